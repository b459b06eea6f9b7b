/* external_executable - an identity that a program of the user's prints, or has left in its output file.
 * Only with GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1: a credentials file alone must not run programs.
 * The command is cut at blanks; no shell. Source: AIP-4117, "executable-sourced credentials". */
#include <stdbool.h>
#include <string.h>

#include "auth/executable.h"
#include "auth/external.h"
#include "auth/fetch.h"
#include "base/clock.h"
#include "gateway.h"

#define COMMAND "credential_source.executable.command"
#define TIMEOUT "credential_source.executable.timeout_millis"
#define OUTPUT_FILE "credential_source.executable.output_file"
#define TIMEOUT_MS 30000
#define TIMEOUT_MIN_MS 5000
#define TIMEOUT_MAX_MS 120000
#define VERSION_MAX 1
#define TOKEN_TYPE "urn:ietf:params:oauth:token-type:"

extern char **environ;

/* ---- what it says ------------------------------------------------------------------------------- */

static char *read_success(json_t *root, int64_t now_s, bool need_end, struct err *err)
{
	const char *type = json_string_value(json_object_get(root, "token_type"));
	json_t *end = json_object_get(root, "expiration_time");
	bool saml = type && strcmp(type, TOKEN_TYPE "saml2") == 0;
	const char *field = saml ? "saml_response" : "id_token", *token;

	if (end && !json_is_integer(end))
		err_set(err, ERR_SYSTEM, "the response's \"expiration_time\" is not a number");
	else if (end ? json_integer_value(end) <= now_s : need_end)
		err_set(err, ERR_NOT_FOUND, "the response's token has ended");
	else if (!type)
		err_set(err, ERR_SYSTEM, "the response has no \"token_type\"");
	else if (!saml && strcmp(type, TOKEN_TYPE "jwt") != 0 && strcmp(type, TOKEN_TYPE "id_token") != 0)
		err_set(err, ERR_SYSTEM, "the response's \"token_type\" is neither jwt, id_token nor saml2");
	else if (!(token = json_string_value(json_object_get(root, field))) || !*token)
		err_set(err, ERR_SYSTEM, "the response has no \"%s\"", field);
	else
		return xstrdup(token);
	return NULL;
}

char *external_executable_read(const char *text, size_t len, int64_t now_s, bool need_end, struct err *err)
{
	json_t *root = json_loadb(text, len, 0, NULL), *version = json_object_get(root, "version");
	json_t *success = json_object_get(root, "success");
	const char *code = json_string_value(json_object_get(root, "code"));
	const char *message = json_string_value(json_object_get(root, "message"));
	char *token = NULL;

	if (!json_is_object(root))
		err_set(err, ERR_SYSTEM, "the response is no JSON object");
	else if (!json_is_integer(version))
		err_set(err, ERR_SYSTEM, "the response has no \"version\"");
	else if (json_integer_value(version) > VERSION_MAX)
		err_set(err, ERR_SYSTEM, "the response's \"version\" is %d, known is 1", (int)json_integer_value(version));
	else if (!json_is_boolean(success))
		err_set(err, ERR_SYSTEM, "the response has no \"success\"");
	else if (json_is_true(success))
		token = read_success(root, now_s, need_end, err);
	else if (!code || !message)
		err_set(err, ERR_SYSTEM, "the response tells a failure without \"code\" and \"message\"");
	else
		err_set(err, ERR_UPSTREAM, "the executable failed with %.60s: %.300s", code, message);
	json_decref(root);
	return token;
}

/* ---- the run ------------------------------------------------------------------------------------ */

static void fail(struct fetch *f, const char *where, const struct err *why)
{
	struct err err;

	adc_refuse(&f->adc, &err, "%s: %s", where, why->msg);
	err.kind = why->kind == ERR_UPSTREAM ? ERR_UPSTREAM : ERR_SYSTEM;
	fetch_fail(f, &err);
}

/* The file's token; NULL and ERR_NOT_FOUND: run the program. */
static char *from_file(struct fetch *f, bool need_end, struct err *err)
{
	const char *path = adc_text(&f->adc, OUTPUT_FILE);
	AUTO_FREE char *text = NULL;
	size_t len;

	if (!path || !*path) {
		err_set(err, ERR_NOT_FOUND, "the executable printed nothing");
		return NULL;
	}
	text = adc_read_file(path, &len, err);
	if (text && len)
		return external_executable_read(text, len, fetch_google_now_s(f), need_end, err);
	if (text)
		err_set(err, ERR_NOT_FOUND, "%s: empty", path);
	return NULL;
}

static void on_output(void *ctx, const char *output, size_t len, const struct err *failed)
{
	struct fetch *f = ctx;
	AUTO_FREE char *token = NULL;
	struct err err;

	f->child = NULL;
	if (failed) {
		fail(f, COMMAND, failed);
		return;
	}
	if (len)
		token = external_executable_read(output, len, fetch_google_now_s(f), false, &err);
	else
		token = from_file(f, false, &err);
	f->deadline_ms = clock_mono_ms() + 60000; /* the program's time was its own */
	if (token)
		external_exchange(f, token);
	else
		fail(f, COMMAND, &err);
}

static void split(const char *s, struct strv *ret)
{
	for (s += strspn(s, " \t"); *s; s += strspn(s, " \t")) {
		size_t n = strcspn(s, " \t");

		strv_take(ret, xstrndup(s, n));
		s += n;
	}
}

static void set(struct strv *env, const char *name, const char *value)
{
	AUTO_FREE char *pair = xasprintf("GOOGLE_EXTERNAL_ACCOUNT_%s=%s", name, value);

	strv_env_set(env, pair);
}

static void environment(const struct fetch *f, struct strv *ret)
{
	const char *url = f->adc.impersonate_url, *file = adc_text(&f->adc, OUTPUT_FILE);

	for (char **e = environ; *e; e++)
		strv_add(ret, *e);
	set(ret, "AUDIENCE", adc_text(&f->adc, "audience"));
	set(ret, "TOKEN_TYPE", adc_text(&f->adc, "subject_token_type"));
	set(ret, "INTERACTIVE", "0");
	set(ret, "REVOKE", "0");
	if (url) {
		const char *account = strrchr(url, '/') + 1;
		AUTO_FREE char *email = xstrndup(account, strcspn(account, ":"));

		set(ret, "IMPERSONATED_EMAIL", email);
	}
	if (file)
		set(ret, "OUTPUT_FILE", file);
}

static void run(struct fetch *f)
{
	json_t *timeout = adc_value(&f->adc, TIMEOUT);
	struct strv argv = {0}, env = {0};

	split(adc_text(&f->adc, COMMAND), &argv);
	environment(f, &env);
	f->child = executable_start(f->g->loop, argv.v, env.v,
				    timeout ? (uint64_t)json_integer_value(timeout) : TIMEOUT_MS, on_output, f);
	strv_release(&argv);
	strv_release(&env);
}

/* ---- API -------------------------------------------------------------------------------------- */

void external_executable_start(struct fetch *f)
{
	struct err err = {0};
	AUTO_FREE char *token = from_file(f, true, &err);

	if (token)
		external_exchange(f, token);
	else if (err.kind == ERR_NOT_FOUND || err.kind == ERR_UPSTREAM) /* a failure of long ago */
		run(f);
	else
		fail(f, OUTPUT_FILE, &err);
}

int external_executable_check(const struct adc *a, struct err *err)
{
	const char *allowed = getenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"), *command = adc_text(a, COMMAND);
	json_t *timeout = adc_value(a, TIMEOUT);

	if (!command || !command[strspn(command, " \t")])
		return adc_refuse(a, err, "the field \"" COMMAND "\" is %s", command ? "empty" : "missing");
	if (timeout && (!json_is_integer(timeout) || json_integer_value(timeout) < TIMEOUT_MIN_MS ||
			json_integer_value(timeout) > TIMEOUT_MAX_MS))
		return adc_refuse(a, err, "the field \"" TIMEOUT "\" is not a number from %d to %d", TIMEOUT_MIN_MS,
				  TIMEOUT_MAX_MS);
	if (!allowed || strcmp(allowed, "1") != 0)
		return adc_refuse(a, err, "the field \"" COMMAND "\" asks to run a program, which "
				  "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 must allow");
	return 0;
}
