/* external - checks what is said about the source, reads the identity from a file or a URL, and exchanges it
 * at Google's Security Token Service (RFC 8693). */
#include "auth/external.h"

#include <stdbool.h>
#include <string.h>

#include "auth/fetch.h"

#define GRANT_TYPE "urn:ietf:params:oauth:grant-type:token-exchange"
#define ACCESS_TOKEN "urn:ietf:params:oauth:token-type:access_token"

/* ---- check ------------------------------------------------------------------------------------ */

static bool is_url(const char *s)
{
	return (strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0) && !strpbrk(s, " \t\r\n");
}

static int check_format(const struct adc *a, struct err *err)
{
	const char *type = adc_text(a, "credential_source.format.type");
	const char *url = adc_text(a, "credential_source.url"), *name;
	json_t *headers = adc_value(a, "credential_source.headers"), *v;

	if (type && strcmp(type, "text") != 0 && strcmp(type, "json") != 0)
		return adc_refuse(a, err, "the field \"credential_source.format.type\" is neither text nor json");
	if (type && strcmp(type, "json") == 0 && !adc_text(a, "credential_source.format.subject_token_field_name"))
		return adc_refuse(a, err, "the field \"credential_source.format.subject_token_field_name\" is missing");
	if (url && !is_url(url))
		return adc_refuse(a, err, "the field \"credential_source.url\" is not an http(s):// URL");
	if (headers && !json_is_object(headers))
		return adc_refuse(a, err, "the field \"credential_source.headers\" is not an object");
	json_object_foreach(headers, name, v)
		if (!json_is_string(v) || strpbrk(json_string_value(v), "\r\n") || strpbrk(name, ": \r\n"))
			return adc_refuse(a, err, "the field \"credential_source.headers\" holds what is no header");
	return 0;
}

int external_check(const struct adc *a, struct err *err)
{
	json_t *source = adc_value(a, "credential_source");
	bool file = adc_text(a, "credential_source.file"), url = adc_text(a, "credential_source.url");

	if (!json_is_object(source))
		return adc_refuse(a, err, "the field \"credential_source\" is %s", source ? "not an object" : "missing");
	if (adc_text(a, "workforce_pool_user_project") && !strstr(adc_text(a, "audience"), "/workforcePools/"))
		return adc_refuse(a, err, "the field \"workforce_pool_user_project\" is for workforce pools only");
	if (adc_text(a, "credential_source.environment_id"))
		return aws_check(a, err);
	if (adc_value(a, "credential_source.executable"))
		return external_executable_check(a, err);
	if (file && url)
		return adc_refuse(a, err, "the fields \"credential_source.file\" and \"credential_source.url\" exclude each other");
	if (!file && !url)
		return adc_refuse(a, err, "the field \"credential_source\" has no file, url, environment_id or executable%s",
				  adc_value(a, "credential_source.certificate") ? "; certificates are not supported" : "");
	return check_format(a, err);
}

/* ---- the exchange ----------------------------------------------------------------------------- */

void external_exchange(struct fetch *f, const char *subject_token)
{
	const struct adc *a = &f->adc;
	AUTO_FREE char *default_url = xasprintf("https://sts.%s/v1/token", a->universe);
	const char *url = adc_text(a, "token_url"), *id = adc_text(a, "client_id");
	const char *project = adc_text(a, "workforce_pool_user_project");
	json_t *options = project && !id ? json_pack("{s:s}", "userProject", project) : NULL;
	AUTO_FREE char *options_text = options ? json_dumps(options, JSON_COMPACT) : NULL;

	json_decref(options);
	if (id)
		fetch_basic(f, id, adc_text(a, "client_secret"));
	fetch_post_form(f, url ? url : default_url, fetch_oauth_step, (const struct form_field[]){
		{"grant_type", GRANT_TYPE},
		{"audience", adc_text(a, "audience")},
		{"scope", FETCH_SCOPE},
		{"requested_token_type", ACCESS_TOKEN},
		{"subject_token", subject_token},
		{"subject_token_type", adc_text(a, "subject_token_type")},
		{"options", options_text},
		{NULL, NULL},
	});
}

/* ---- file and url ----------------------------------------------------------------------------- */

/* The identity in what was read from `where`: all of it, or one member. */
static char *read_token(const struct adc *a, const char *where, const char *text, size_t len, struct err *err)
{
	const char *type = adc_text(a, "credential_source.format.type");
	const char *field = adc_text(a, "credential_source.format.subject_token_field_name");
	char *token;

	if (type && strcmp(type, "json") == 0) {
		json_t *root = json_loadb(text, len, 0, NULL);

		token = xstrdup(json_string_value(json_object_get(root, field)));
		json_decref(root);
		if (!token)
			adc_refuse(a, err, "%s: no JSON with a string \"%s\"", where, field);
	} else {
		while (len && strchr("\r\n", text[len - 1])) /* an editor's */
			len--;
		token = xstrndup(text, len);
	}
	if (token && !*token) {
		adc_refuse(a, err, "%s: holds no token", where);
		free(token);
		token = NULL;
	}
	return token;
}

static void exchange_text(struct fetch *f, const char *where, const char *text, size_t len)
{
	struct err err;
	AUTO_FREE char *token = read_token(&f->adc, where, text, len, &err);

	if (token)
		external_exchange(f, token);
	else
		fetch_fail(f, &err);
}

static void on_url(struct fetch *f, const struct http_response *r)
{
	AUTO_FREE char *where = xstrndup(f->url, strcspn(f->url, "?"));
	struct err err;

	if (r->status == 200) {
		exchange_text(f, where, r->body, r->len);
		return;
	}
	adc_refuse(&f->adc, &err, "%s (credential_source.url): HTTP status %d", where, r->status);
	err.kind = ERR_UPSTREAM;
	fetch_fail(f, &err);
}

static void ask_url(struct fetch *f)
{
	const char *name;
	json_t *v;

	json_object_foreach(adc_value(&f->adc, "credential_source.headers"), name, v)
		fetch_header(f, xasprintf("%s: %s", name, json_string_value(v)));
	fetch_ask(f, "GET", xstrdup(adc_text(&f->adc, "credential_source.url")), NULL, on_url);
}

static void read_token_file(struct fetch *f, const char *path)
{
	struct err why, err;
	size_t len;
	AUTO_FREE char *text = adc_read_file(path, &len, &why);

	if (text) {
		exchange_text(f, path, text, len);
		return;
	}
	adc_refuse(&f->adc, &err, "credential_source.file: %s", why.msg);
	fetch_fail(f, &err);
}

void external_start(struct fetch *f)
{
	const char *file = adc_text(&f->adc, "credential_source.file");

	if (adc_text(&f->adc, "credential_source.environment_id"))
		aws_start(f);
	else if (adc_value(&f->adc, "credential_source.executable"))
		external_executable_start(f);
	else if (file)
		read_token_file(f, file);
	else
		ask_url(f);
}
