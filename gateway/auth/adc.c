/* adc - finds the file, reads it and checks every field that some step will need, so that a mistake is told
 * at the start of the gateway and not by a refusal of Google's. Owns nothing. */
#include "auth/adc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/external.h"
#include "auth/service_account.h"
#include "base/mem.h"

#define FILE_BYTES_MAX (256 * 1024)
#define LIFETIME_S 3600
#define LIFETIME_MIN_S 600
#define LIFETIME_MAX_S 43200

int adc_refuse(const struct adc *a, struct err *err, const char *fmt, ...)
{
	char what[ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(err, ERR_SYSTEM, "Google credentials %s: %s", a->path ? a->path : "of the metadata server", what);
}

/* ---- the file ----------------------------------------------------------------------------------- */

char *adc_read_file(const char *path, size_t *ret_len, struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	AUTO_FREE char *text = NULL;
	struct stat st;
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		err_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
		return NULL;
	}
	if (fd < 0 || fstat(fd, &st) < 0) {
		err_sys(err, errno, "%s", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(err, ERR_SYSTEM, "%s: not a regular file", path);
		return NULL;
	}
	text = xmalloc(FILE_BYTES_MAX + 1);
	while (len <= FILE_BYTES_MAX && (n = read(fd, text + len, FILE_BYTES_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0) {
		err_sys(err, errno, "%s", path);
		return NULL;
	}
	if (len > FILE_BYTES_MAX) {
		err_set(err, ERR_SYSTEM, "%s: longer than %d KiB", path, FILE_BYTES_MAX / 1024);
		return NULL;
	}
	text[len] = '\0';
	*ret_len = len;
	return steal_ptr(&text);
}

static char *gcloud_file(void)
{
	static const char name[] = "application_default_credentials.json";
	const char *dir = getenv("CLOUDSDK_CONFIG"), *home = getenv("HOME");

	if (dir && *dir)
		return xasprintf("%s/%s", dir, name);
	return home && *home ? xasprintf("%s/.config/gcloud/%s", home, name) : NULL;
}

/* With no file at all root stays NULL. */
static int read_root(struct adc *a, struct err *err)
{
	const char *named = getenv("GOOGLE_APPLICATION_CREDENTIALS");
	bool given = named && *named;
	AUTO_FREE char *text = NULL;
	json_error_t why;
	size_t len;

	a->path = given ? xstrdup(named) : gcloud_file();
	text = a->path ? adc_read_file(a->path, &len, err) : NULL;
	if (!text && (!a->path || (!given && err->kind == ERR_NOT_FOUND))) {
		free(a->path);
		a->path = NULL;
		return 0;
	}
	if (!text) {
		err->kind = ERR_SYSTEM;
		return err_wrap(err, given ? "GOOGLE_APPLICATION_CREDENTIALS" : "gcloud's default credentials");
	}
	a->root = json_loadb(text, len, 0, &why);
	if (!a->root) /* jansson's text may quote the file: a secret */
		return adc_refuse(a, err, "not JSON: a mistake in line %d, column %d", why.line, why.column);
	if (!json_is_object(a->root))
		return adc_refuse(a, err, "want a JSON object");
	return 0;
}

/* ---- fields ------------------------------------------------------------------------------------- */

static json_t *find(json_t *o, const char *field)
{
	while (o) {
		size_t n = strcspn(field, ".");
		AUTO_FREE char *key = xstrndup(field, n);

		o = json_object_get(o, key);
		if (!field[n])
			break;
		field += n + 1;
	}
	return json_is_null(o) ? NULL : o;
}

json_t *adc_value(const struct adc *a, const char *field)
{
	return find(a->cred, field);
}

const char *adc_text(const struct adc *a, const char *field)
{
	return json_string_value(adc_value(a, field));
}

/* Secrets go there: https, or this very machine. */
static bool is_secret_url(const char *url)
{
	static const char *const starts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

	if (strncmp(url, "https://", 8) == 0)
		return strlen(url) > 8 && !strpbrk(url, " \t\r\n");
	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		size_t n = strlen(starts[i]);

		if (strncmp(url, starts[i], n) == 0 && (url[n] == ':' || url[n] == '/' || !url[n]))
			return !strpbrk(url, " \t\r\n") && !memchr(url + n, '@', strcspn(url + n, "/?"));
	}
	return false;
}

static int check_texts(const struct adc *a, struct err *err)
{
	static const char *const texts[] = {
		"client_email", "private_key", "private_key_id", "client_id", "client_secret", "refresh_token", "token_uri",
		"token_url", "audience", "subject_token_type", "workforce_pool_user_project", "quota_project_id",
		"universe_domain", "credential_source.file", "credential_source.url", "credential_source.environment_id",
		"credential_source.region_url", "credential_source.regional_cred_verification_url",
		"credential_source.imdsv2_session_token_url", "credential_source.format.type",
		"credential_source.format.subject_token_field_name", "credential_source.executable.command",
		"credential_source.executable.output_file",
	};
	static const char *const urls[] = {"token_uri", "token_url"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		json_t *v = adc_value(a, texts[i]);

		if (v && !json_is_string(v))
			return adc_refuse(a, err, "the field \"%s\" is not a string", texts[i]);
		if (v && strpbrk(json_string_value(v), "\r\n") && strcmp(texts[i], "private_key") != 0)
			return adc_refuse(a, err, "the field \"%s\" has more than one line", texts[i]);
	}
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		const char *url = adc_text(a, urls[i]);

		if (url && !is_secret_url(url))
			return adc_refuse(a, err, "the field \"%s\" is not an https:// URL", urls[i]);
	}
	return 0;
}

static int check_required(const struct adc *a, const char *const *fields, struct err *err)
{
	for (; *fields; fields++) {
		const char *text = adc_text(a, *fields);

		if (!text || !*text)
			return adc_refuse(a, err, "the field \"%s\" is %s", *fields, text ? "empty" : "missing");
	}
	return 0;
}

/* ---- types -------------------------------------------------------------------------------------- */

static const struct type {
	const char *name;
	enum adc_type type;
	const char *required[5];
	int (*check)(const struct adc *a, struct err *err);
} types[] = {
	{"service_account", ADC_SERVICE_ACCOUNT, {"client_email", "private_key"}, service_account_check},
	{"authorized_user", ADC_USER, {"client_id", "client_secret", "refresh_token"}, NULL},
	{"external_account", ADC_EXTERNAL, {"audience", "subject_token_type"}, external_check},
	{"external_account_authorized_user", ADC_EXTERNAL_USER,
	 {"refresh_token", "token_url", "client_id", "client_secret"}, NULL},
};
#define KNOWN_TYPES "service_account, authorized_user, external_account, external_account_authorized_user " \
	"and impersonated_service_account"

static int check_type(struct adc *a, const char *where, struct err *err)
{
	const char *name = json_string_value(json_object_get(a->cred, "type"));

	if (!name)
		return adc_refuse(a, err, "the field \"%stype\" is missing", where);
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		const struct type *t = &types[i];

		if (strcmp(name, t->name) != 0)
			continue;
		a->type = t->type;
		if (check_texts(a, err) < 0 || check_required(a, t->required, err) < 0)
			return -1;
		return t->check ? t->check(a, err) : 0;
	}
	if (a->cred == a->root && (json_object_get(a->root, "installed") || json_object_get(a->root, "web")))
		return adc_refuse(a, err, "this is an OAuth client, not credentials");
	return adc_refuse(a, err, "the field \"%stype\" is \"%.60s\", known are " KNOWN_TYPES, where, name);
}

static int read_impersonation(struct adc *a, struct err *err)
{
	static const char url_field[] = "service_account_impersonation_url", end[] = ":generateAccessToken";
	json_t *url = find(a->root, url_field), *life = find(a->root, "service_account_impersonation.token_lifetime_seconds");
	const char *text = json_string_value(url);
	size_t i;
	json_t *d;

	if (!url && a->cred == a->root)
		return 0;
	if (!text || !is_secret_url(text))
		return adc_refuse(a, err, "the field \"%s\" is %s", url_field, url ? "not an https:// URL" : "missing");
	if (strlen(text) < strlen(end) || strcmp(text + strlen(text) - strlen(end), end) != 0)
		return adc_refuse(a, err, "the field \"%s\" does not end with %s", url_field, end);
	a->impersonate_url = xstrdup(text);
	a->delegates = find(a->root, "delegates");
	if (a->delegates && !json_is_array(a->delegates))
		return adc_refuse(a, err, "the field \"delegates\" is not a list of strings");
	json_array_foreach(a->delegates, i, d)
		if (!json_is_string(d))
			return adc_refuse(a, err, "the field \"delegates\" is not a list of strings");
	if (life && (!json_is_integer(life) || json_integer_value(life) < LIFETIME_MIN_S ||
		     json_integer_value(life) > LIFETIME_MAX_S))
		return adc_refuse(a, err, "the field \"service_account_impersonation.token_lifetime_seconds\" is not "
				  "a number from %d to %d", LIFETIME_MIN_S, LIFETIME_MAX_S);
	if (life)
		a->lifetime_s = json_integer_value(life);
	return 0;
}

static int read_file(struct adc *a, struct err *err)
{
	const char *type = json_string_value(json_object_get(a->root, "type"));
	const char *where = "";

	a->cred = a->root;
	if (type && strcmp(type, "impersonated_service_account") == 0) {
		a->cred = find(a->root, "source_credentials");
		where = "source_credentials.";
		if (!json_is_object(a->cred))
			return adc_refuse(a, err, "the field \"source_credentials\" is %s", a->cred ? "not an object" : "missing");
	}
	if (check_type(a, where, err) < 0)
		return -1;
	return read_impersonation(a, err);
}

static const char *first_of(const char *variable, json_t *root, const char *field)
{
	const char *value = getenv(variable);

	return value && *value ? value : json_string_value(json_object_get(root, field));
}

int adc_load(struct adc *a, struct err *err)
{
	const char *universe;
	struct err unused;

	*a = (struct adc){.lifetime_s = LIFETIME_S};
	if (!err)
		err = &unused;
	if (read_root(a, err) < 0)
		return -1;
	universe = first_of("GOOGLE_CLOUD_UNIVERSE_DOMAIN", a->root, "universe_domain");
	a->universe = xstrdup(universe && *universe ? universe : "googleapis.com");
	a->quota_project = xstrdup(first_of("GOOGLE_CLOUD_QUOTA_PROJECT", a->root, "quota_project_id"));
	return a->root ? read_file(a, err) : 0;
}

void adc_release(struct adc *a)
{
	free(a->path);
	json_decref(a->root);
	free(a->impersonate_url);
	free(a->quota_project);
	free(a->universe);
	*a = (struct adc){0};
}
