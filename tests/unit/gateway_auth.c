/* From credentials to a token: what each type asks of whom, what is told when it is refused, and how the one token
 * serves everybody. */
#include "http_fixture.h"

#include "auth/auth.h"
#include "auth/executable.h"
#include "auth/fetch.h"
#include "auth_fixture.h"
#include "base/clock.h"

static struct fake google; /* every endpoint of Google's, and the metadata services */
static struct auth *a;
static char base[64];

struct outcome {
	int done;
	char *token, *project;
	struct err err;
};

static void on_token(void *ctx, const char *token, const struct err *err)
{
	struct outcome *o = ctx;

	cr_assert(!o->done && !(token && err));
	o->done++;
	o->token = xstrdup(token);
	o->project = xstrdup(err ? NULL : auth_quota_project(a));
	if (err)
		o->err = *err;
}

static struct outcome get(void)
{
	struct outcome o = {0};

	auth_token(a, on_token, &o);
	cr_assert(!o.done, "called inside auth_token");
	fixture_run_until(&o.done);
	return o;
}

static void expect_token(const char *token)
{
	struct outcome o = get();

	cr_assert(o.token, "%s", o.err.msg);
	cr_expect_str_eq(o.token, token);
	free(o.token);
	free(o.project);
}

static void expect_error(enum err_kind kind, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void expect_error(enum err_kind kind, const char *fmt, ...)
{
	struct outcome o = get();
	char want[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(want, sizeof(want), fmt, ap);
	va_end(ap);
	cr_assert(!o.token);
	cr_expect_str_eq(o.err.msg, want);
	cr_expect(o.err.kind == kind, "kind %d", (int)o.err.kind);
	cr_expect(!strstr(o.err.msg, "SECRET"), "%s", o.err.msg);
}

/* Credentials in which ^ stands for the base URL of google. */
static void use(const char *json)
{
	AUTO_FREE char *text = xmalloc(strlen(json) * strlen(base) + 1);
	char *p = text;

	for (; *json; json++)
		if (*json == '^')
			p += snprintf(p, sizeof(base), "%s", base);
		else
			*p++ = *json;
	*p = '\0';
	use_credentials(text);
}

static void setup(void)
{
	credentials_setup();
	fixture_open();
	fake_open(&google);
	snprintf(base, sizeof(base), "http://127.0.0.1:%d", google.port);
	fixture_config = (struct config){.project = (char *)"p", .region = (char *)"r"};
	a = auth_new(&fixture_gateway);
}

static void teardown(void)
{
	auth_free(a);
	fake_close(&google);
	fixture_close();
	credentials_teardown();
}

TestSuite(auth, .init = setup, .fini = teardown);

/* A member of the form that request i sent, decoded. */
static char *form(size_t i, const char *key)
{
	cr_assert(i < google.n_asked, "only %zu requests", google.n_asked);
	return parse_query(google.asked[i].body, key);
}

static void expect_form(size_t i, const char *key, const char *value)
{
	AUTO_FREE char *have = form(i, key);

	cr_expect(value ? have && strcmp(have, value) == 0 : !have, "%s=%s", key, have);
}

#define TOKEN(t) {200, "{\"access_token\":\"" t "\",\"expires_in\":3600,\"token_type\":\"Bearer\"}", NULL}

/* ---- service accounts ---------------------------------------------------------------------------- */

/* A key file with this private key; more is put before its end. */
static EVP_PKEY *use_service_account(const char *more)
{
	EVP_PKEY *key;
	AUTO_FREE char *pem = make_key(2048, &key), *text = NULL;
	AUTO_FREE char *more_text = xasprintf("{%s}", more);
	json_t *o = json_pack("{s:s,s:s,s:s,s:s}", "type", "service_account", "client_email", "me@p.iam", "private_key", pem,
			      "private_key_id", "k1");
	json_t *extra = json_loads(more_text, 0, NULL);

	json_object_update(o, extra);
	text = json_dumps(o, 0);
	use(text);
	json_decref(o);
	json_decref(extra);
	return key;
}

static void free_key(EVP_PKEY *key)
{
	EVP_PKEY_free(key);
}

static int64_t number(json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static void expect_text(json_t *o, const char *name, const char *want)
{
	const char *have = json_string_value(json_object_get(o, name));

	cr_expect(want ? have && strcmp(have, want) == 0 : !have, "%s=%s", name, have);
}

Test(auth, a_key_signs_a_grant_that_becomes_a_token)
{
	EVP_PKEY *key = use_service_account("\"token_uri\":\"^/token\",\"quota_project_id\":\"payer\"");
	AUTO_FREE char *uri = xasprintf("%s/token", base), *jwt = NULL;
	int64_t now = clock_wall_ns() / 1000000000;
	struct outcome o;
	json_t *head, *claims;

	FAKE_SCRIPT(&google, TOKEN("t1"));
	o = get();
	cr_assert(o.token, "%s", o.err.msg);
	cr_expect_str_eq(o.token, "t1");
	cr_expect_str_eq(o.project, "payer");
	fake_expect(&google, 0, "POST /token");
	expect_form(0, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
	jwt = form(0, "assertion");
	cr_assert(jwt && jwt_verifies(jwt, key));
	head = jwt_part(jwt, 0);
	claims = jwt_part(jwt, 1);
	expect_text(head, "kid", "k1");
	expect_text(claims, "iss", "me@p.iam");
	expect_text(claims, "aud", uri);
	expect_text(claims, "scope", "https://www.googleapis.com/auth/cloud-platform");
	cr_expect(number(claims, "iat") >= now - 11 && number(claims, "iat") <= now - 4, "back a little, for other clocks");
	cr_expect(number(claims, "exp") == number(claims, "iat") + 3600);
	json_decref(head);
	json_decref(claims);
	free_key(key);
	free(o.token);
	free(o.project);
}

static void expect_self_signed(EVP_PKEY *key)
{
	struct outcome o = get();
	json_t *claims;

	cr_assert(o.token && strchr(o.token, '.'), "%s %s", o.token, o.err.msg);
	cr_expect(jwt_verifies(o.token, key));
	claims = jwt_part(o.token, 1);
	expect_text(claims, "iss", "me@p.iam");
	expect_text(claims, "sub", "me@p.iam");
	expect_text(claims, "aud", NULL);
	expect_text(claims, "scope", "https://www.googleapis.com/auth/cloud-platform");
	json_decref(claims);
	free(o.token);
	free(o.project);
}

Test(auth, another_universe_takes_self_signed_tokens)
{
	EVP_PKEY *key = use_service_account("\"token_uri\":\"^/token\",\"universe_domain\":\"u.example\"");

	expect_self_signed(key);
	cr_expect(google.n_asked == 0);
	auth_free(a);
	a = auth_new(&fixture_gateway);
	cr_expect_str_eq(auth_universe(a), "u.example");
	free_key(key);
}

Test(auth, when_no_token_endpoint_answers_the_signed_token_itself_is_used)
{
	EVP_PKEY *key = use_service_account("\"token_uri\":\"http://127.0.0.1:1/token\"");

	expect_self_signed(key);
	free_key(key);
}

static void on_fetched(void *ctx, const struct fetched *t, const struct err *err)
{
	cr_assert(t != NULL, "%s", err->msg);
	++*(int *)ctx;
}

Test(auth, a_clock_that_was_wrong_is_replaced_by_googles)
{
	EVP_PKEY *key = use_service_account("\"token_uri\":\"^/token\"");
	int64_t now = clock_wall_ns() / 1000000000, ahead = 100000; /* as far as we know */
	AUTO_FREE char *first = NULL, *second = NULL;
	json_t *before, *after;
	int done = 0;

	FAKE_SCRIPT(&google, {400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT: check your iat\"}", NULL},
		    TOKEN("t1"));
	fetch_start(&fixture_gateway, &ahead, on_fetched, &done);
	fixture_run_until(&done);
	cr_expect(ahead == 0, "the answer's date is ours");
	cr_assert(google.n_asked == 2);
	first = form(0, "assertion");
	second = form(1, "assertion");
	before = jwt_part(first, 1);
	after = jwt_part(second, 1);
	cr_expect(number(before, "iat") >= now + 100000 - 10);
	cr_expect(number(after, "iat") < now + 100);
	json_decref(before);
	json_decref(after);
	free_key(key);
}

Test(auth, a_refused_grant_is_told_in_its_words)
{
	free_key(use_service_account("\"token_uri\":\"^/token\""));
	FAKE_SCRIPT(&google, {400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}", NULL});
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s/token: HTTP status 400, invalid_grant: Invalid JWT Signature. "
		     "(is the key still enabled, and this machine's clock right?)", fixture_file, base);
	cr_expect(google.n_asked == 1, "a refusal is not asked again");
}

/* ---- users --------------------------------------------------------------------------------------- */

#define USER "{\"type\":\"authorized_user\",\"client_id\":\"id\",\"client_secret\":\"SECRET\",\"refresh_token\":\"1//SECRET+r\"," \
	"\"token_uri\":\"^/token\""

Test(auth, a_users_refresh_token)
{
	use(USER "}");
	FAKE_SCRIPT(&google, TOKEN("u1"));
	expect_token("u1");
	fake_expect(&google, 0, "POST /token");
	expect_form(0, "grant_type", "refresh_token");
	expect_form(0, "client_id", "id");
	expect_form(0, "client_secret", "SECRET");
	expect_form(0, "refresh_token", "1//SECRET+r");
	cr_expect(!auth_quota_project(a));
}

Test(auth, a_workforce_users_refresh_token_goes_with_basic_authentication)
{
	use("{\"type\":\"external_account_authorized_user\",\"client_id\":\"id\",\"client_secret\":\"pw\",\"refresh_token\":\"r\","
	    "\"token_url\":\"^/sts\"}");
	FAKE_SCRIPT(&google, TOKEN("u1"));
	expect_token("u1");
	fake_expect(&google, 0, "POST /sts");
	cr_expect_str_eq(google.asked[0].authorization, "Basic aWQ6cHc=");
	expect_form(0, "refresh_token", "r");
	expect_form(0, "client_secret", NULL);
}

Test(auth, answers_that_hold_no_token)
{
	static const struct {
		struct answer answer;
		const char *why;
	} table[] = {
		{{400, "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been expired or revoked.\"}", NULL},
		 "HTTP status 400, invalid_grant: Token has been expired or revoked. (log in again: gcloud auth application-default login)"},
		{{401, "{\"error\":\"invalid_client\"}", NULL},
		 "HTTP status 401, invalid_client (log in again: gcloud auth application-default login)"},
		{{403, "SECRET", NULL}, "HTTP status 403"},
		{{200, "{\"access_token\":\"SECRET\",\"expires_in\":0}", NULL}, "the answer holds no access token that is still valid"},
		{{200, "{\"access_token\":\"SECRET\"}", NULL}, "the answer holds no access token that is still valid"},
		{{200, "{\"access_token\":\"SEC\\r\\nRET: x\",\"expires_in\":60}", NULL}, "the answer holds no access token"},
		{{200, "{\"id_token\":\"SECRET\",\"expires_in\":60}", NULL}, "the answer holds no access token"},
		{{200, "SECRET", NULL}, "the answer holds no access token"},
	};

	use(USER "}");
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		google.answers = &table[i].answer;
		google.n_answers = 1;
		expect_error(ERR_UPSTREAM, "Google credentials %s: %s/token: %s", fixture_file, base, table[i].why);
		cr_expect(google.n_asked == i + 1);
	}
	FAKE_SCRIPT(&google, {200, "{\"access_token\":\"ok\",\"expires_in\":\"60\"}", NULL});
	expect_token("ok");
}

Test(auth, a_server_in_trouble_is_asked_three_times)
{
	use(USER "}");
	FAKE_SCRIPT(&google, {503, "", NULL}, {429, "", "Retry-After: 1"}, TOKEN("u1"));
	expect_token("u1");
	cr_expect(google.n_asked == 3);
	cr_expect_str_eq(google.asked[0].body, google.asked[2].body);
	auth_refused(a, "u1");
	FAKE_SCRIPT(&google, {500, "{\"error\":\"internal_failure\"}", NULL});
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s/token: HTTP status 500, internal_failure", fixture_file, base);
	cr_expect(google.n_asked == 6);
}

/* ---- becoming somebody else ------------------------------------------------------------------------ */

#define ACCOUNT "/v1/projects/-/serviceAccounts/x@y.iam:generateAccessToken"
#define IMPERSONATED "{\"type\":\"impersonated_service_account\",\"service_account_impersonation_url\":\"^" ACCOUNT "\"," \
	"\"quota_project_id\":\"outer\",\"delegates\":[\"d@y.iam\",\"projects/-/serviceAccounts/e@y.iam\"]," \
	"\"service_account_impersonation\":{\"token_lifetime_seconds\":1200},\"source_credentials\":" USER \
	",\"quota_project_id\":\"inner\"}}"

Test(auth, a_user_becomes_a_service_account)
{
	struct outcome o;

	use(IMPERSONATED);
	FAKE_SCRIPT(&google, TOKEN("u1"), {200, "{\"accessToken\":\"i1\",\"expireTime\":\"2094-01-05T12:00:00Z\"}", NULL});
	o = get();
	cr_assert(o.token, "%s", o.err.msg);
	cr_expect_str_eq(o.token, "i1");
	cr_expect_str_eq(o.project, "outer");
	fake_expect(&google, 1, "POST " ACCOUNT);
	cr_expect_str_eq(google.asked[1].authorization, "Bearer u1");
	cr_expect_str_eq(google.asked[1].user_project, "inner");
	cr_expect_str_eq(google.asked[1].body, "{\"scope\":[\"https://www.googleapis.com/auth/cloud-platform\"],\"lifetime\":\"1200s\","
			 "\"delegates\":[\"projects/-/serviceAccounts/d@y.iam\",\"projects/-/serviceAccounts/e@y.iam\"]}");
	free(o.token);
	free(o.project);
}

Test(auth, an_account_that_may_not_be_become)
{
	use(IMPERSONATED);
	FAKE_SCRIPT(&google, TOKEN("u1"), {403, "{\"error\":{\"code\":403,\"message\":\"Permission 'iam.serviceAccounts.getAccessToken' "
		    "denied\",\"status\":\"PERMISSION_DENIED\"}}", NULL}, TOKEN("u2"),
		    {200, "{\"accessToken\":\"SECRET\",\"expireTime\":\"2014-01-05T12:00:00Z\"}", NULL});
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s" ACCOUNT ": HTTP status 403: Permission "
		     "'iam.serviceAccounts.getAccessToken' denied (roles/iam.serviceAccountTokenCreator on that account is needed)",
		     fixture_file, base);
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s" ACCOUNT ": the answer holds no access token that is still valid",
		     fixture_file, base);
}

/* ---- identities from elsewhere ----------------------------------------------------------------------- */

#define EXTERNAL "{\"type\":\"external_account\",\"audience\":\"//iam/pool\",\"subject_token_type\":" \
	"\"urn:ietf:params:oauth:token-type:jwt\",\"token_url\":\"^/sts\",\"credential_source\":"

static void expect_exchange(size_t i, const char *subject_token)
{
	fake_expect(&google, i, "POST /sts");
	expect_form(i, "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
	expect_form(i, "requested_token_type", "urn:ietf:params:oauth:token-type:access_token");
	expect_form(i, "subject_token_type", "urn:ietf:params:oauth:token-type:jwt");
	expect_form(i, "audience", "//iam/pool");
	expect_form(i, "scope", "https://www.googleapis.com/auth/cloud-platform");
	expect_form(i, "subject_token", subject_token);
}

Test(auth, an_identity_in_a_file_is_read_each_time)
{
	AUTO_FREE char *token_file = xasprintf("%s/id", fixture_dir);
	AUTO_FREE char *json = xasprintf(EXTERNAL "{\"file\":\"%s\"}}", token_file);

	use(json);
	FAKE_SCRIPT(&google, TOKEN("e1"));
	expect_error(ERR_SYSTEM, "Google credentials %s: credential_source.file: %s: No such file or directory", fixture_file,
		     token_file);
	put_file(token_file, "\n");
	expect_error(ERR_SYSTEM, "Google credentials %s: %s: holds no token", fixture_file, token_file);
	put_file(token_file, "id+one\n");
	expect_token("e1");
	expect_exchange(0, "id+one");
	auth_refused(a, "e1");
	put_file(token_file, "id+two");
	expect_token("e1");
	expect_exchange(1, "id+two");
	cr_expect(!google.asked[1].authorization);
}

Test(auth, an_identity_behind_a_url)
{
	use(EXTERNAL "{\"url\":\"^/identity?a=b\",\"headers\":{\"Metadata-Flavor\":\"Azure\"},\"format\":{\"type\":\"json\","
	    "\"subject_token_field_name\":\"tok\"}},\"client_id\":\"id\",\"client_secret\":\"pw\",\"service_account_impersonation_url\":\"^"
	    ACCOUNT "\"}");
	FAKE_SCRIPT(&google, {200, "{\"tok\":\"T\"}", NULL}, TOKEN("e1"),
		    {200, "{\"accessToken\":\"i1\",\"expireTime\":\"2094-01-05T12:00:00Z\"}", NULL},
		    {403, "SECRET", NULL}, {200, "{\"other\":\"SECRET\"}", NULL});
	expect_token("i1");
	fake_expect(&google, 0, "GET /identity?a=b");
	cr_expect_str_eq(google.asked[0].flavor, "Azure");
	cr_expect(!google.asked[0].authorization, "the client's password is not for them");
	expect_exchange(1, "T");
	cr_expect_str_eq(google.asked[1].authorization, "Basic aWQ6cHc=");
	cr_expect(!google.asked[1].flavor, "headers belong to one request");
	cr_expect_str_eq(google.asked[2].authorization, "Bearer e1");
	auth_refused(a, "i1");
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s/identity (credential_source.url): HTTP status 403", fixture_file, base);
	expect_error(ERR_SYSTEM, "Google credentials %s: %s/identity: no JSON with a string \"tok\"", fixture_file, base);
}

Test(auth, a_workforce_pool_names_who_pays)
{
	AUTO_FREE char *token_file = xasprintf("%s/id", fixture_dir);
	AUTO_FREE char *json = xasprintf("{\"type\":\"external_account\",\"audience\":\"//iam.googleapis.com/locations/global/workforcePools/p\","
					 "\"subject_token_type\":\"t\",\"token_url\":\"^/sts\",\"workforce_pool_user_project\":\"77\","
					 "\"credential_source\":{\"file\":\"%s\"}}", token_file);

	use(json);
	put_file(token_file, "T");
	FAKE_SCRIPT(&google, {400, "{\"error\":\"invalid_request\",\"error_description\":\"Invalid value for \\\"audience\\\".\"}", NULL},
		    TOKEN("e1"));
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s/sts: HTTP status 400, invalid_request: Invalid value for \"audience\".",
		     fixture_file, base);
	expect_token("e1");
	expect_form(1, "options", "{\"userProject\":\"77\"}");
}

/* ---- Amazon ------------------------------------------------------------------------------------- */

#define AWS EXTERNAL "{\"environment_id\":\"aws1\",\"region_url\":\"^/zone\",\"url\":\"^/keys\",\"regional_cred_verification_url\":" \
	"\"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15\""

static void expect_signed_request(size_t i, const char *region, const char *key_id, const char *token)
{
	AUTO_FREE char *coded = form(i, "subject_token"), *scope = xasprintf("/%s/sts/aws4_request, SignedHeaders=", region);
	AUTO_FREE char *url = xasprintf("https://sts.%s.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15", region);
	const char *authorization = NULL, *session = NULL, *target = NULL;
	json_t *root, *h;
	size_t n;

	cr_assert(coded && parse_percent_decode(coded) > 0);
	root = json_loads(coded, 0, NULL);
	expect_text(root, "method", "POST");
	expect_text(root, "url", url);
	json_array_foreach(json_object_get(root, "headers"), n, h) {
		const char *key = json_string_value(json_object_get(h, "key"));
		const char *value = json_string_value(json_object_get(h, "value"));

		if (strcmp(key, "Authorization") == 0)
			authorization = value;
		if (strcmp(key, "x-amz-security-token") == 0)
			session = value;
		if (strcmp(key, "x-goog-cloud-target-resource") == 0)
			target = value;
	}
	cr_expect(authorization && strstr(authorization, scope) && strstr(authorization, key_id), "%s", authorization);
	cr_expect(authorization && strstr(authorization, "x-goog-cloud-target-resource"), "the target is signed");
	cr_expect(token ? session && strcmp(session, token) == 0 : !session);
	cr_expect(target && strcmp(target, "//iam/pool") == 0);
	json_decref(root);
}

Test(auth, an_amazon_machine_by_its_metadata_service)
{
	use(AWS ",\"imdsv2_session_token_url\":\"^/session\"}}");
	FAKE_SCRIPT(&google, {200, "imds-session", NULL}, {200, "us-east-2b", NULL}, {200, "the-role", NULL},
		    {200, "{\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"SECRET\",\"Token\":\"session\"}", NULL}, TOKEN("a1"));
	expect_token("a1");
	fake_expect(&google, 0, "PUT /session");
	fake_expect(&google, 1, "GET /zone");
	fake_expect(&google, 2, "GET /keys");
	fake_expect(&google, 3, "GET /keys/the-role");
	for (size_t i = 1; i < 4; i++)
		cr_expect_str_eq(google.asked[i].aws_token, "imds-session");
	fake_expect(&google, 4, "POST /sts");
	cr_expect(!strstr(google.asked[4].body, "SECRET"));
	expect_signed_request(4, "us-east-2", "Credential=AKID/", "session");
}

Test(auth, an_amazon_machine_by_its_variables)
{
	use(AWS "}}");
	setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
	setenv("AWS_ACCESS_KEY_ID", "AKENV", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "SECRET", 1);
	FAKE_SCRIPT(&google, TOKEN("a1"));
	expect_token("a1");
	cr_expect(google.n_asked == 1);
	expect_signed_request(0, "eu-west-1", "Credential=AKENV/", NULL);
}

Test(auth, an_amazon_machine_that_tells_nothing)
{
	use(AWS "}}");
	FAKE_SCRIPT(&google, {404, "", NULL}, {200, "us-east-2b", NULL}, {200, "", NULL}, {200, "us-east-2b", NULL},
		    {200, "role", NULL}, {200, "{\"SecretAccessKey\":\"SECRET\"}", NULL});
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s/zone: the AWS metadata service answered HTTP status 404 for the region",
		     fixture_file, base);
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s/keys: the AWS metadata service's answer is no the role",
		     fixture_file, base);
	expect_error(ERR_UPSTREAM, "Google credentials %s: %s/keys/role: the AWS metadata service's answer is no the role's keys",
		     fixture_file, base);
	use(EXTERNAL "{\"environment_id\":\"aws1\",\"regional_cred_verification_url\":\"https://sts.{region}.amazonaws.com\"}}");
	expect_error(ERR_SYSTEM, "Google credentials %s: neither AWS_REGION nor AWS_DEFAULT_REGION are set nor is the field "
		     "\"credential_source.region_url\"", fixture_file);
}

/* ---- programs ----------------------------------------------------------------------------------- */

/* An executable that runs this shell text; it is "/bin/sh FILE". */
static void use_program(const char *script, const char *more)
{
	AUTO_FREE char *path = xasprintf("%s/get-identity", fixture_dir);
	AUTO_FREE char *json = xasprintf(EXTERNAL "{\"executable\":{\"command\":\"/bin/sh %s arg\"%s}}}", path, more);

	put_file(path, script);
	use(json);
	setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1", 1);
}

#define SAYS "echo '{\"version\":1,\"success\":true,\"token_type\":\"urn:ietf:params:oauth:token-type:jwt\",\"id_token\":\"'"

Test(auth, an_identity_that_a_program_prints)
{
	use_program("echo noise >&2; " SAYS "$GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE,$GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE,"
		    "$GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE,$1'\"}'", "");
	FAKE_SCRIPT(&google, TOKEN("x1"));
	expect_token("x1");
	expect_exchange(0, "//iam/pool,urn:ietf:params:oauth:token-type:jwt,0,arg");
}

Test(auth, a_program_that_fails)
{
	use_program("echo SECRET; exit 3", "");
	expect_error(ERR_SYSTEM, "Google credentials %s: credential_source.executable.command: /bin/sh: ended with status 3", fixture_file);
	use_program("kill -9 $$", "");
	expect_error(ERR_SYSTEM, "Google credentials %s: credential_source.executable.command: /bin/sh: killed by signal 9", fixture_file);
	use_program("echo SECRET", "");
	expect_error(ERR_SYSTEM, "Google credentials %s: credential_source.executable.command: the response is no JSON object", fixture_file);
	use_program("", "");
	expect_error(ERR_SYSTEM, "Google credentials %s: credential_source.executable.command: the executable printed nothing", fixture_file);
	use_program("yes SECRET", "");
	expect_error(ERR_SYSTEM, "Google credentials %s: credential_source.executable.command: /bin/sh: prints more than 256 KiB, killed",
		     fixture_file);
	use(EXTERNAL "{\"executable\":{\"command\":\"/nonexistent/program\"}}}");
	expect_error(ERR_SYSTEM, "Google credentials %s: credential_source.executable.command: /nonexistent/program: "
		     "no such file or directory", fixture_file);
	cr_expect(google.n_asked == 0);
}

Test(auth, an_identity_that_a_program_has_left_in_its_file)
{
	AUTO_FREE char *out = xasprintf("%s/out", fixture_dir), *more = xasprintf(",\"output_file\":\"%s\"", out);
	static const char left[] = "{\"version\":1,\"success\":true,\"token_type\":\"urn:ietf:params:oauth:token-type:jwt\","
		"\"id_token\":\"left\",\"expiration_time\":%lld}";
	AUTO_FREE char *valid = xasprintf(left, 3913704000LL), *over = xasprintf(left, 1000000000LL);

	use_program(SAYS "new'\"}'", more);
	FAKE_SCRIPT(&google, TOKEN("x1"));
	put_file(out, valid);
	expect_token("x1");
	expect_form(0, "subject_token", "left");
	auth_refused(a, "x1");
	put_file(out, over);
	expect_token("x1");
	expect_form(1, "subject_token", "new");
	auth_refused(a, "x1");
	put_file(out, "{}");
	expect_error(ERR_SYSTEM, "Google credentials %s: credential_source.executable.output_file: the response has no \"version\"",
		     fixture_file);
	/* One that writes only the file. */
	cr_assert(remove(out) == 0);
	use_program("{ " SAYS "written'\"}'; } >$GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", more);
	expect_token("x1");
	expect_form(2, "subject_token", "written");
}

struct run {
	int done;
	struct err err;
};

static void on_run(void *ctx, const char *output, size_t len, const struct err *err)
{
	struct run *r = ctx;

	r->done++;
	if (err)
		r->err = *err;
}

Test(auth, a_program_that_does_not_end_is_killed_with_its_children)
{
	AUTO_FREE char *pid_file = xasprintf("%s/pid", fixture_dir);
	AUTO_FREE char *script = xasprintf("sleep 1000 & echo $! >%s; wait", pid_file);
	AUTO_FREE char *gone = xasprintf("kill -0 $(cat %s) 2>/dev/null && ! grep -q '^State:.Z' /proc/$(cat %s)/status", pid_file,
					 pid_file);
	char *argv[] = {(char *)"/bin/sh", (char *)"-c", script, NULL};
	struct run r = {0}, cancelled = {0};

	executable_start(&fixture_loop, argv, NULL, 1000, on_run, &r);
	fixture_run_until(&r.done);
	cr_expect_str_eq(r.err.msg, "/bin/sh: not done after 1 s, killed");
	for (int i = 0; i < 100 && system(gone) == 0; i++)
		uv_sleep(20);
	cr_expect(system(gone) != 0, "the child's child lives");
	executable_cancel(executable_start(&fixture_loop, argv, NULL, 100000, on_run, &cancelled));
	executable_cancel(NULL);
	uv_run(&fixture_loop, UV_RUN_NOWAIT);
	cr_expect(!cancelled.done);
}

/* ---- one token for all ---------------------------------------------------------------------------- */

Test(auth, one_fetch_serves_all_and_a_refused_token_is_fetched_again)
{
	struct outcome o[20] = {0}, gone = {0};

	use(USER "}");
	FAKE_SCRIPT(&google, TOKEN("u1"), TOKEN("u2"));
	auth_cancel(auth_token(a, on_token, &gone));
	for (size_t i = 0; i < 20; i++)
		auth_token(a, on_token, &o[i]);
	for (size_t i = 0; i < 20; i++) {
		fixture_run_until(&o[i].done);
		cr_expect_str_eq(o[i].token, "u1");
		free(o[i].token);
	}
	expect_token("u1");
	cr_expect(google.n_asked == 1 && !gone.done);
	auth_refused(a, "another"); /* of one who is late */
	expect_token("u1");
	auth_refused(a, "u1");
	auth_refused(a, "u1");
	expect_token("u2");
	cr_expect(google.n_asked == 2);
}

Test(auth, a_token_is_renewed_while_it_is_still_given_out)
{
	use(USER "}");
	/* Eight seconds: renewed from the fourth on, given out until the seventh. */
	FAKE_SCRIPT(&google, {200, "{\"access_token\":\"u1\",\"expires_in\":8}", NULL}, TOKEN("u2"));
	expect_token("u1");
	uv_sleep(4100);
	expect_token("u1");
	for (int i = 0; google.n_asked < 2 && i < 500; i++) {
		uv_run(&fixture_loop, UV_RUN_NOWAIT);
		uv_sleep(2);
	}
	cr_assert(google.n_asked == 2, "no second fetch");
	auth_refused(a, "u1"); /* the next one has to wait for it, if it is not there yet */
	expect_token("u2");
	cr_expect(google.n_asked == 2);
}

Test(auth, a_renewal_that_fails_spoils_nothing)
{
	use(USER "}");
	FAKE_SCRIPT(&google, {200, "{\"access_token\":\"u1\",\"expires_in\":8}", NULL}, {400, "{\"error\":\"invalid_grant\"}", NULL});
	expect_token("u1");
	uv_sleep(4100);
	expect_token("u1");
	for (int i = 0; google.n_asked < 2 && i < 500; i++) {
		uv_run(&fixture_loop, UV_RUN_NOWAIT);
		uv_sleep(2);
	}
	for (int i = 0; i < 20; i++) { /* until the answer is here, too */
		uv_run(&fixture_loop, UV_RUN_NOWAIT);
		uv_sleep(2);
	}
	expect_token("u1");
	cr_expect(google.n_asked == 2, "not asked again at once");
}

Test(auth, what_is_under_way_may_be_left)
{
	struct outcome o = {0};

	use_program("sleep 1000", "");
	auth_token(a, on_token, &o);
	for (int i = 0; i < 5; i++)
		uv_run(&fixture_loop, UV_RUN_NOWAIT);
	auth_free(a);
	use(USER "}");
	FAKE_SCRIPT(&google, TOKEN("u1"));
	a = auth_new(&fixture_gateway);
	auth_token(a, on_token, &o);
	uv_run(&fixture_loop, UV_RUN_NOWAIT);
	uv_run(&fixture_loop, UV_RUN_NOWAIT);
	auth_free(a);
	a = NULL;
	for (int i = 0; i < 5; i++)
		uv_run(&fixture_loop, UV_RUN_NOWAIT);
	cr_expect(!o.done);
}

Test(auth, nobody_anywhere_names_all_three_places)
{
	struct outcome o;

	setenv("GCE_METADATA_HOST", "127.0.0.1:1", 1);
	o = get();
	cr_expect(o.err.kind == ERR_UNAVAILABLE && strstr(o.err.msg, "no Google credentials: GOOGLE_APPLICATION_CREDENTIALS names no file, "
		  "gcloud has left none (gcloud auth application-default login) and this is no machine of Google's"), "%s", o.err.msg);
	setenv("NO_GCE_CHECK", "true", 1);
	o = get();
	cr_expect(o.err.kind == ERR_SYSTEM && strstr(o.err.msg, "NO_GCE_CHECK"), "%s", o.err.msg);
}
