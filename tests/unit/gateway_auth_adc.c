/* Credentials files: which one is taken, and each way in which one can be wrong, by file and field. */
#include "auth_fixture.h"

#include <sys/stat.h>

#include "auth/adc.h"
#include "auth/auth.h"
#include "config.h"

static struct adc adc;
static struct err err;

static void teardown(void)
{
	adc_release(&adc);
	credentials_teardown();
}

TestSuite(auth_adc, .init = credentials_setup, .fini = teardown);

static int load(void)
{
	adc_release(&adc);
	err = (struct err){0};
	return adc_load(&adc, &err);
}

#define USER "{\"type\":\"authorized_user\",\"client_id\":\"i\",\"client_secret\":\"s\",\"refresh_token\":\"r\""
#define EXTERNAL "{\"type\":\"external_account\",\"audience\":\"a\",\"subject_token_type\":\"t\""
#define IMPERSONATED "{\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":" \
	"\"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/x@y:generateAccessToken\""

Test(auth_adc, the_named_file_then_gclouds_then_the_metadata_server)
{
	AUTO_FREE char *gcloud = xasprintf("%s/application_default_credentials.json", fixture_dir);
	AUTO_FREE char *home = xasprintf("%s/home", fixture_dir), *in_home = NULL;

	cr_assert(load() == 0, "%s", err.msg);
	cr_expect(!adc.path && adc.type == ADC_METADATA);
	cr_expect_str_eq(adc.universe, "googleapis.com");
	put_file(gcloud, USER "}");
	cr_assert(load() == 0, "%s", err.msg);
	cr_expect_str_eq(adc.path, gcloud);
	use_credentials(USER ",\"quota_project_id\":\"q\"}");
	cr_assert(load() == 0, "%s", err.msg);
	cr_expect_str_eq(adc.path, fixture_file);
	cr_expect_str_eq(adc.quota_project, "q");
	setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "other", 1);
	setenv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "u.example", 1);
	cr_assert(load() == 0);
	cr_expect_str_eq(adc.quota_project, "other");
	cr_expect_str_eq(adc.universe, "u.example");
	/* Without CLOUDSDK_CONFIG it is in the home directory. */
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
	unsetenv("CLOUDSDK_CONFIG");
	setenv("HOME", home, 1);
	cr_assert(load() == 0 && !adc.path);
	in_home = xasprintf("mkdir -p %s/.config/gcloud && cp %s %s/.config/gcloud", home, gcloud, home);
	cr_assert(system(in_home) == 0);
	cr_assert(load() == 0 && adc.path && strstr(adc.path, "/home/.config/gcloud/application_default"));
}

Test(auth_adc, a_named_file_that_cannot_be_read_is_no_reason_to_look_elsewhere)
{
	static const char variable[] = "GOOGLE_APPLICATION_CREDENTIALS";
	AUTO_FREE char *want = NULL;

	setenv(variable, "/nonexistent/key.json", 1);
	cr_assert(load() < 0 && err.kind == ERR_SYSTEM);
	cr_expect_str_eq(err.msg, "GOOGLE_APPLICATION_CREDENTIALS: /nonexistent/key.json: No such file or directory");
	setenv(variable, fixture_dir, 1);
	want = xasprintf("GOOGLE_APPLICATION_CREDENTIALS: %s: not a regular file", fixture_dir);
	cr_assert(load() < 0);
	cr_expect_str_eq(err.msg, want);
}

Test(auth_adc, the_start_asks_nobody_and_tells_what_is_wrong)
{
	struct config c = {0};

	use_credentials("{}");
	cr_expect(auth_check(&c, &err) < 0 && strstr(err.msg, "\"type\" is missing"), "%s", err.msg);
	c.endpoint_url = (char *)"http://127.0.0.1:1";
	cr_expect(auth_check(&c, &err) == 0, "an emulator needs none");
	c.endpoint_auth = (char *)"google";
	cr_expect(auth_check(&c, &err) < 0);
}

#define SOURCE EXTERNAL ",\"credential_source\":"
#define AWS SOURCE "{\"environment_id\":\"aws1\","
#define FIELD(f) "the field \"" f "\" is "

/* Each file holds SECRET where a secret would be. */
static const struct {
	const char *json, *why;
} wrong[] = {
	{"SECRET", "not JSON: a mistake in line 1, column 6"},
	{"[\"SECRET\"]", "want a JSON object"},
	{"{\"client_secret\":\"SECRET\"}", FIELD("type") "missing"},
	{"{\"type\":7}", FIELD("type") "missing"},
	{"{\"type\":\"gdch_service_account\"}", FIELD("type") "\"gdch_service_account\", known are service_account, authorized_user, "
	 "external_account, external_account_authorized_user and impersonated_service_account"},
	{"{\"type\":\"x\",\"installed\":{\"client_secret\":\"SECRET\"}}", "this is an OAuth client, not credentials"},

	{"{\"type\":\"service_account\",\"private_key\":\"SECRET\"}", FIELD("client_email") "missing"},
	{"{\"type\":\"service_account\",\"client_email\":\"e\"}", FIELD("private_key") "missing"},
	{"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":null}", FIELD("private_key") "missing"},
	{"{\"type\":\"service_account\",\"client_email\":\"\",\"private_key\":\"SECRET\"}", FIELD("client_email") "empty"},
	{"{\"type\":\"service_account\",\"client_email\":5,\"private_key\":\"SECRET\"}", FIELD("client_email") "not a string"},
	{"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"SECRET\"}",
	 FIELD("private_key") "not a private key in PEM"},
	{"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"SECRET\",\"token_uri\":\"http://evil/\"}",
	 FIELD("token_uri") "not an https:// URL"},

	{"{\"type\":\"authorized_user\",\"client_id\":\"i\",\"client_secret\":\"SECRET\"}", FIELD("refresh_token") "missing"},
	{"{\"type\":\"authorized_user\",\"client_id\":\"i\",\"refresh_token\":\"SECRET\"}", FIELD("client_secret") "missing"},
	{"{\"type\":\"authorized_user\",\"client_id\":\"i\",\"client_secret\":\"SE\\nCRET\",\"refresh_token\":\"SECRET\"}",
	 "the field \"client_secret\" has more than one line"},
	{"{\"type\":\"external_account_authorized_user\",\"client_id\":\"i\",\"client_secret\":\"SECRET\",\"refresh_token\":\"SECRET\"}",
	 FIELD("token_url") "missing"},

	{EXTERNAL "}", FIELD("credential_source") "missing"},
	{"{\"type\":\"external_account\",\"subject_token_type\":\"t\"}", FIELD("audience") "missing"},
	{EXTERNAL ",\"token_url\":\"http://127.0.0.1.evil/\"}", FIELD("token_url") "not an https:// URL"},
	{EXTERNAL ",\"token_url\":\"http://127.0.0.1:x@evil/\"}", FIELD("token_url") "not an https:// URL"},
	{EXTERNAL ",\"workforce_pool_user_project\":\"1\",\"credential_source\":{\"file\":\"/f\"}}",
	 FIELD("workforce_pool_user_project") "for workforce pools only"},
	{SOURCE "7}", FIELD("credential_source") "not an object"},
	{SOURCE "{}}", "the field \"credential_source\" has no file, url, environment_id or executable"},
	{SOURCE "{\"certificate\":{}}}", "the field \"credential_source\" has no file, url, environment_id or executable; "
	 "certificates are not supported"},
	{SOURCE "{\"file\":\"/f\",\"url\":\"http://x/\"}}",
	 "the fields \"credential_source.file\" and \"credential_source.url\" exclude each other"},
	{SOURCE "{\"file\":[\"/f\"]}}", FIELD("credential_source.file") "not a string"},
	{SOURCE "{\"url\":\"ftp://x/\"}}", FIELD("credential_source.url") "not an http(s):// URL"},
	{SOURCE "{\"file\":\"/f\",\"format\":{\"type\":\"xml\"}}}", FIELD("credential_source.format.type") "neither text nor json"},
	{SOURCE "{\"file\":\"/f\",\"format\":{\"type\":\"json\"}}}",
	 FIELD("credential_source.format.subject_token_field_name") "missing"},
	{SOURCE "{\"url\":\"http://x/\",\"headers\":{\"A\":\"SECRET\\r\\nB: c\"}}}",
	 "the field \"credential_source.headers\" holds what is no header"},
	{SOURCE "{\"url\":\"http://x/\",\"headers\":[]}}", FIELD("credential_source.headers") "not an object"},
	{SOURCE "{\"environment_id\":\"aws2\"}}", FIELD("credential_source.environment_id") "not aws1, the only one known"},
	{AWS "\"url\":\"http://x/\"}}", FIELD("credential_source.regional_cred_verification_url") "missing"},
	{AWS "\"regional_cred_verification_url\":\"http://x/\"}}",
	 FIELD("credential_source.regional_cred_verification_url") "not an https:// URL"},
	{AWS "\"regional_cred_verification_url\":\"https://x/\",\"region_url\":\"x\"}}",
	 FIELD("credential_source.region_url") "not an http(s):// URL"},
	{SOURCE "{\"executable\":{}}}", FIELD("credential_source.executable.command") "missing"},
	{SOURCE "{\"executable\":{\"command\":\" \"}}}", FIELD("credential_source.executable.command") "empty"},
	{SOURCE "{\"executable\":{\"command\":\"x\",\"timeout_millis\":4999}}}",
	 FIELD("credential_source.executable.timeout_millis") "not a number from 5000 to 120000"},
	{SOURCE "{\"executable\":{\"command\":\"x\"}}}", "the field \"credential_source.executable.command\" asks to run a "
	 "program, which GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 must allow"},

	{IMPERSONATED "}", FIELD("source_credentials") "missing"},
	{IMPERSONATED ",\"source_credentials\":{}}", FIELD("source_credentials.type") "missing"},
	{IMPERSONATED ",\"source_credentials\":{\"type\":\"impersonated_service_account\"}}",
	 FIELD("source_credentials.type") "\"impersonated_service_account\", known are service_account, authorized_user, "
	 "external_account, external_account_authorized_user and impersonated_service_account"},
	{IMPERSONATED ",\"delegates\":\"d\",\"source_credentials\":" USER "}}", FIELD("delegates") "not a list of strings"},
	{IMPERSONATED ",\"delegates\":[1],\"source_credentials\":" USER "}}", FIELD("delegates") "not a list of strings"},
	{IMPERSONATED ",\"service_account_impersonation\":{\"token_lifetime_seconds\":599},\"source_credentials\":" USER "}}",
	 FIELD("service_account_impersonation.token_lifetime_seconds") "not a number from 600 to 43200"},
	{"{\"type\":\"impersonated_service_account\",\"source_credentials\":" USER "}}",
	 FIELD("service_account_impersonation_url") "missing"},
	{SOURCE "{\"file\":\"/f\"},\"service_account_impersonation_url\":\"http://evil/x:generateAccessToken\"}",
	 FIELD("service_account_impersonation_url") "not an https:// URL"},
	{SOURCE "{\"file\":\"/f\"},\"service_account_impersonation_url\":\"https://x/y\"}",
	 "the field \"service_account_impersonation_url\" does not end with :generateAccessToken"},
};

Test(auth_adc, every_mistake_is_told_by_file_and_field_and_never_by_value)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		AUTO_FREE char *want = xasprintf("Google credentials %s: %s", fixture_file, wrong[i].why);

		use_credentials(wrong[i].json);
		cr_assert(load() < 0, "accepted: %s", wrong[i].json);
		cr_expect(err.kind == ERR_SYSTEM);
		cr_expect_str_eq(err.msg, want);
		cr_expect(!strstr(err.msg, "SECRET"));
	}
	(void)make_key;
}

Test(auth_adc, a_file_of_any_length_is_not_read)
{
	AUTO_FREE char *text = xmalloc(300 * 1024);

	memset(text, ' ', 300 * 1024 - 1);
	text[300 * 1024 - 1] = '\0';
	use_credentials(text);
	cr_expect(load() < 0 && strstr(err.msg, "longer than 256 KiB"), "%s", err.msg);
}
