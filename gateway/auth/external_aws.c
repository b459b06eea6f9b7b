/* external_aws - an Amazon machine's identity: a signed request for GetCallerIdentity that Google makes in our
 * name. Region and keys come from the AWS_* variables, else from the instance's metadata service, with a
 * session (IMDSv2) if the credentials name its URL: session → region → role → keys → signature. */
#include <string.h>

#include "auth/external.h"
#include "auth/fetch.h"
#include "auth/sign.h"

#define SESSION_LIFE_S "300"
#define TARGET "x-goog-cloud-target-resource"

struct aws {
	char *session;              /* IMDSv2, or NULL */
	char *region;
	char *key_id, *secret, *session_token;
};

static void go_on(struct fetch *f);

void aws_free(struct aws *a)
{
	if (!a)
		return;
	free(a->session);
	free(a->region);
	free(a->key_id);
	free(a->secret);
	free(a->session_token);
	free(a);
}

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* ---- the metadata service ---------------------------------------------------------------------- */

static void fail(struct fetch *f, const char *what, const struct http_response *r)
{
	struct err err;

	if (r->status != 200)
		adc_refuse(&f->adc, &err, "%s: the AWS metadata service answered HTTP status %d for %s", f->url, r->status, what);
	else
		adc_refuse(&f->adc, &err, "%s: the AWS metadata service's answer is no %s", f->url, what);
	err.kind = ERR_UPSTREAM;
	fetch_fail(f, &err);
}

/* One line, or NULL. */
static char *line_of(const struct http_response *r)
{
	size_t n = strcspn(r->body, "\r\n");

	return r->status == 200 && n ? xstrndup(r->body, n) : NULL;
}

static void ask(struct fetch *f, char *url, fetch_step *step)
{
	if (f->aws->session)
		fetch_header(f, xasprintf("X-aws-ec2-metadata-token: %s", f->aws->session));
	fetch_ask(f, "GET", url, NULL, step);
}

static void on_session(struct fetch *f, const struct http_response *r)
{
	f->aws->session = line_of(r);
	if (f->aws->session)
		go_on(f);
	else
		fail(f, "a session", r);
}

/* A zone: "us-east-2b" is in us-east-2. */
static void on_region(struct fetch *f, const struct http_response *r)
{
	AUTO_FREE char *zone = line_of(r);

	if (!zone || !zone[1]) {
		fail(f, "the region", r);
		return;
	}
	f->aws->region = xstrndup(zone, strlen(zone) - 1);
	go_on(f);
}

static void on_keys(struct fetch *f, const struct http_response *r)
{
	json_t *root = r->status == 200 ? json_loadb(r->body, r->len, 0, NULL) : NULL;
	struct aws *a = f->aws;

	a->key_id = xstrdup(json_string_value(json_object_get(root, "AccessKeyId")));
	a->secret = xstrdup(json_string_value(json_object_get(root, "SecretAccessKey")));
	a->session_token = xstrdup(json_string_value(json_object_get(root, "Token")));
	json_decref(root);
	if (a->key_id && a->secret)
		go_on(f);
	else
		fail(f, "the role's keys", r);
}

static void on_role(struct fetch *f, const struct http_response *r)
{
	AUTO_FREE char *role = line_of(r);

	if (role)
		ask(f, xasprintf("%s/%s", adc_text(&f->adc, "credential_source.url"), role), on_keys);
	else
		fail(f, "the role", r);
}

/* ---- the subject token -------------------------------------------------------------------------- */

static char *with_region(const char *url, const char *region)
{
	static const char mark[] = "{region}";
	const char *at = strstr(url, mark);

	return at ? xasprintf("%.*s%s%s", (int)(at - url), url, region, at + strlen(mark)) : xstrdup(url);
}

static void give(struct fetch *f)
{
	struct aws *a = f->aws;
	AUTO_FREE char *url = with_region(adc_text(&f->adc, "credential_source.regional_cred_verification_url"), a->region);
	struct aws_request q = {
		.method = "POST", .url = url, .region = a->region, .key_id = a->key_id, .secret = a->secret,
		.session_token = a->session_token, .now_s = fetch_google_now_s(f),
	};
	AUTO_FREE char *text = NULL, *coded = NULL;
	json_t *request;

	strv_take(&q.headers, xasprintf(TARGET ": %s", adc_text(&f->adc, "audience")));
	request = aws_sign(&q);
	strv_release(&q.headers);
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	coded = sign_percent_encode(text, "");
	external_exchange(f, coded);
}

static void go_on(struct fetch *f)
{
	static const char source[] = "credential_source.";
	const char *session_url = adc_text(&f->adc, "credential_source.imdsv2_session_token_url");
	const char *region_url = adc_text(&f->adc, "credential_source.region_url");
	const char *keys_url = adc_text(&f->adc, "credential_source.url");
	struct aws *a = f->aws;
	struct err err;

	if (a->region && a->key_id) {
		give(f);
	} else if (!a->session && session_url) {
		fetch_header(f, xstrdup("X-aws-ec2-metadata-token-ttl-seconds: " SESSION_LIFE_S));
		fetch_ask(f, "PUT", xstrdup(session_url), NULL, on_session);
	} else if (!a->region && region_url) {
		ask(f, xstrdup(region_url), on_region);
	} else if (a->region && keys_url) {
		ask(f, xstrdup(keys_url), on_role);
	} else {
		adc_refuse(&f->adc, &err, "%s are set nor is the field \"%s%s\"", a->region
			   ? "neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" : "neither AWS_REGION nor AWS_DEFAULT_REGION",
			   source, a->region ? "url" : "region_url");
		fetch_fail(f, &err);
	}
}

/* ---- API -------------------------------------------------------------------------------------- */

void aws_start(struct fetch *f)
{
	const char *region = variable("AWS_REGION"), *id = variable("AWS_ACCESS_KEY_ID");
	const char *secret = variable("AWS_SECRET_ACCESS_KEY");
	struct aws *a = xcalloc(1, sizeof(*a));

	f->aws = a;
	a->region = xstrdup(region ? region : variable("AWS_DEFAULT_REGION"));
	if (id && secret) {
		a->key_id = xstrdup(id);
		a->secret = xstrdup(secret);
		a->session_token = xstrdup(variable("AWS_SESSION_TOKEN"));
	}
	go_on(f);
}

int aws_check(const struct adc *a, struct err *err)
{
	static const char *const urls[] = {"credential_source.url", "credential_source.region_url",
					   "credential_source.imdsv2_session_token_url"};
	const char *verify = adc_text(a, "credential_source.regional_cred_verification_url");

	if (strcmp(adc_text(a, "credential_source.environment_id"), "aws1") != 0)
		return adc_refuse(a, err, "the field \"credential_source.environment_id\" is not aws1, the only one known");
	if (!verify || strncmp(verify, "https://", 8) != 0)
		return adc_refuse(a, err, "the field \"credential_source.regional_cred_verification_url\" is %s",
				  verify ? "not an https:// URL" : "missing");
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		const char *url = adc_text(a, urls[i]);

		if (url && strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
			return adc_refuse(a, err, "the field \"%s\" is not an http(s):// URL", urls[i]);
	}
	return 0;
}
