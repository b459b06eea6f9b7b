/* impersonate - with one token for the token of another service account (iamcredentials generateAccessToken).
 * The answer says when the token ends, not how long it lives: measured from the answer's own date. */
#include <string.h>

#include "auth/fetch.h"
#include "base/clock.h"

static void on_answer(struct fetch *f, const struct http_response *r)
{
	json_t *root = NULL;
	const char *token, *end;
	int64_t end_ns = 0, life_s;
	struct err err;

	if (r->status != 200) {
		fetch_refusal(f, r, r->status == 403 ? " (roles/iam.serviceAccountTokenCreator on that account is needed)" : "",
			      &err);
		fetch_fail(f, &err);
		return;
	}
	root = json_loadb(r->body, r->len, 0, NULL);
	token = json_string_value(json_object_get(root, "accessToken"));
	end = json_string_value(json_object_get(root, "expireTime"));
	life_s = end && clock_parse(end, &end_ns) == 0 ? end_ns / 1000000000 - fetch_google_now_s(f) : 0;
	if (token && *token && !strpbrk(token, "\r\n") && life_s > 0) {
		fetch_done(f, token, life_s);
	} else {
		err_set(&err, ERR_UPSTREAM, "Google credentials %s: %s: the answer holds no access token that is still valid",
			f->adc.path, f->url);
		fetch_fail(f, &err);
	}
	json_decref(root);
}

/* "a@b" or "projects/-/serviceAccounts/a@b": the interface wants the latter. */
static json_t *full_names(const json_t *delegates)
{
	json_t *list = json_array(), *d;
	size_t i;

	json_array_foreach(delegates, i, d) {
		const char *name = json_string_value(d);

		json_array_append_new(list, json_sprintf("%s%s", strchr(name, '/') ? "" : "projects/-/serviceAccounts/", name));
	}
	return list;
}

void impersonate_start(struct fetch *f, const char *token)
{
	json_t *body = json_pack("{s:[s]}", "scope", FETCH_SCOPE);
	const char *pays = json_string_value(json_object_get(f->adc.cred, "quota_project_id"));

	json_object_set_new(body, "lifetime", json_sprintf("%llds", (long long)f->adc.lifetime_s));
	if (json_array_size(f->adc.delegates))
		json_object_set_new(body, "delegates", full_names(f->adc.delegates));
	fetch_header(f, xasprintf("Authorization: Bearer %s", token));
	fetch_header(f, xstrdup("Content-Type: application/json"));
	if (pays && *pays && f->adc.cred != f->adc.root)
		fetch_header(f, xasprintf("x-goog-user-project: %s", pays));
	fetch_ask(f, "POST", xstrdup(f->adc.impersonate_url), json_dumps(body, JSON_COMPACT), on_answer);
	json_decref(body);
}
