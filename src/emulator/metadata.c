/* metadata - see metadata.h. Tokens are made up: nothing here checks them but --require-token. */
#include "metadata.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/token.h"
#include "wall.h"
#include "wire.h"

#define PREFIX "/computeMetadata/v1/"
#define TOKEN_SECONDS 3599

long long metadata_project_number(const char *project)
{
	uint8_t hash[SHA256_LEN];
	long long n = 0;

	sha256(project, strlen(project), hash);
	for (int i = 0; i < 5; i++)
		n = n << 8 | hash[i];
	return 100000000000 + n % 900000000000;
}

static void reply_text(struct exchange *x, int status, const char *type, const char *text)
{
	exchange_add_header(x, "Metadata-Flavor", "%s", "Google");
	wire_reply(x, status, type, text, strlen(text));
}

static void base64url(const char *text, char *out)
{
	base64_encode(text, strlen(text), out);
	for (char *p = out; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p == '=' ? 0 : *p;
}

/* header.claims.signature, where the signature is not one. */
static void reply_identity(struct exchange *x, const struct metadata_identity *who)
{
	AUTO_FREE char *audience = parse_query(exchange_query(x), "audience");
	int64_t now = wall_now_ns() / 1000000000;

	if (!audience || !*audience) {
		reply_text(x, 400, "text/html", "non-empty audience parameter required");
		return;
	}
	AUTO_FREE char *email = xasprintf("%lld-compute@developer.gserviceaccount.com",
					  metadata_project_number(who->project));
	json_t *claims = json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:s, s:s}", "aud", audience, "azp",
		"100000000000000000000", "email", email, "email_verified", 1, "exp",
		(json_int_t)(now + 3600), "iat", (json_int_t)now, "iss",
		"https://accounts.google.com", "sub", "100000000000000000000");
	AUTO_FREE char *text = json_dumps(claims, JSON_COMPACT);
	json_decref(claims);
	if (!text) {
		reply_text(x, 400, "text/html", "bad audience");
		return;
	}
	static const char header[] = "{\"alg\":\"none\",\"typ\":\"JWT\"}";
	AUTO_FREE char *a = xmalloc(base64_encoded_len(sizeof header) + 1);
	AUTO_FREE char *b = xmalloc(base64_encoded_len(strlen(text)) + 1);
	base64url(header, a);
	base64url(text, b);
	AUTO_FREE char *jwt = xasprintf("%s.%s.emulated", a, b);
	reply_text(x, 200, "text/html", jwt);
}

static void reply_token(struct exchange *x)
{
	char secret[33], text[160];

	random_hex(secret, 32);
	snprintf(text, sizeof text, "{\"access_token\":\"ya29.emulated-%s\",\"expires_in\":%d,"
		 "\"token_type\":\"Bearer\"}", secret, TOKEN_SECONDS);
	reply_text(x, 200, "application/json", text);
}

/* What follows the prefix; "" if path is not below it. */
static const char *below(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) ? "" : path + n;
}

void metadata_handle(struct exchange *x, const struct metadata_identity *who)
{
	const char *path = exchange_path(x), *flavor = exchange_header(x, "Metadata-Flavor");
	long long number = metadata_project_number(who->project);
	AUTO_FREE char *text = NULL;

	if (!strcmp(path, "/")) {
		reply_text(x, 200, "application/text", "computeMetadata/\n");
		return;
	}
	if (!flavor || strcmp(flavor, "Google")) {
		reply_text(x, 403, "text/html", "Missing Metadata-Flavor:Google header.");
		return;
	}
	if (strcmp(exchange_method(x), "GET")) {
		reply_text(x, 405, "text/html", "Method not allowed.");
		return;
	}
	const char *item = below(path, PREFIX);
	const char *mine = below(item, "instance/service-accounts/default/");
	if (!strcmp(mine, "token")) {
		reply_token(x);
		return;
	}
	if (!strcmp(mine, "identity")) {
		reply_identity(x, who);
		return;
	}
	if (!strcmp(item, "project/project-id"))
		text = xstrdup(who->project);
	else if (!strcmp(item, "project/numeric-project-id"))
		text = xasprintf("%lld", number);
	else if (!strcmp(item, "instance/region"))
		text = xasprintf("projects/%lld/regions/%s", number, who->location);
	else if (!strcmp(item, "instance/zone"))
		text = xasprintf("projects/%lld/zones/%s-1", number, who->location);
	else if (!strcmp(item, "instance/id"))
		text = xstrdup(who->instance_id);
	else if (!strcmp(mine, "email"))
		text = xasprintf("%lld-compute@developer.gserviceaccount.com", number);
	else if (!strcmp(mine, "scopes"))
		text = xstrdup("https://www.googleapis.com/auth/cloud-platform\n");
	reply_text(x, text ? 200 : 404, "application/text", text ? text : "Not Found");
}
