/* config - see config.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/parse.h"

#define OWN_PREFIX "SOCKERLESS_"
#define TOKEN_MAX 4096
#define TASK_MS_MAX (168 * 3600000LL) /* a task of Cloud Run does not last longer */
#define SPEC_VARIABLE "SOCKERLESS_AGENT_SPEC"
#define SPEC_MAX (4 * 1024 * 1024)

static const char *env_get(char *const envp[], const char *key)
{
	size_t n = strlen(key);

	for (; *envp; envp++)
		if (strncmp(*envp, key, n) == 0 && (*envp)[n] == '=')
			return (*envp)[n + 1] ? *envp + n + 1 : NULL; /* empty counts as not given */
	return NULL;
}

static char *dup_or_empty(const char *s)
{
	return xstrdup(s ? s : "");
}

char *config_beside_executable(const char *file)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	if (n <= 0)
		return xstrdup(file);
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	if (slash)
		slash[1] = '\0';
	return xasprintf("%s%s", exe, file);
}

static int read_token_file(const char *path, char **ret, struct err *err)
{
	char text[TOKEN_MAX];
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return err_sys(err, errno, "read %s", path);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	free(*ret);
	*ret = xstrndup(text, (size_t)n);
	return 0;
}

/* ":9111", "127.0.0.1:9111" */
static int parse_listen(const char *s, struct config *c, struct err *err)
{
	const char *colon = strrchr(s, ':');
	int64_t port;

	if (!colon || parse_i64(colon + 1, &port) < 0 || port < 0 || port > 65535)
		return err_set(err, ERR_INVALID, "listening address \"%.128s\": want [HOST]:PORT", s);
	free(c->listen_host);
	c->listen_host = colon == s ? xstrdup("0.0.0.0") : xstrndup(s, (size_t)(colon - s));
	c->listen_port = (uint16_t)port;
	return 0;
}

/* ---- SOCKERLESS_AGENT_SPEC ---------------------------------------------------------------------- */

static int spec_strings(const json_t *root, const char *key, struct strv *ret, struct err *err)
{
	const json_t *list = json_object_get(root, key), *item;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return err_set(err, ERR_INVALID, "\"%s\" is not a list", key);
	strv_release(ret);
	json_array_foreach(list, i, item) {
		if (!json_is_string(item))
			return err_set(err, ERR_INVALID, "\"%s\" holds something else than strings", key);
		strv_add(ret, json_string_value(item));
	}
	return 0;
}

static int spec_string(const json_t *root, const char *key, char **ret, struct err *err)
{
	const json_t *v = json_object_get(root, key);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return err_set(err, ERR_INVALID, "\"%s\" is not a string", key);
	free(*ret);
	*ret = xstrdup(json_string_value(v));
	return 0;
}

static int spec_number(const json_t *root, const char *key, int64_t max, int64_t *ret,
		       struct err *err)
{
	const json_t *v = json_object_get(root, key);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return err_set(err, ERR_INVALID, "\"%s\" is not a number from 0 to %lld", key,
			       (long long)max);
	*ret = json_integer_value(v);
	return 0;
}

/* "" is as good as absent. */
static int spec_name(const json_t *root, const char *key, char **ret, struct err *err)
{
	if (spec_string(root, key, ret, err) < 0)
		return -1;
	if (*ret && !**ret) {
		free(*ret);
		*ret = NULL;
	}
	return 0;
}

static int spec_names(const json_t *root, struct names *n, struct err *err)
{
	if (spec_name(root, "hostname", &n->hostname, err) < 0 ||
	    spec_name(root, "domainname", &n->domainname, err) < 0 ||
	    spec_strings(root, "extraHosts", &n->extra_hosts, err) < 0 ||
	    spec_strings(root, "dns", &n->dns, err) < 0 ||
	    spec_strings(root, "dnsSearch", &n->dns_search, err) < 0 ||
	    spec_strings(root, "dnsOptions", &n->dns_options, err) < 0)
		return -1;
	return 0;
}

static int spec_restart(const json_t *root, struct restart_policy *ret, struct err *err)
{
	static const char *const when[] = {
		[RESTART_NO] = "no", [RESTART_ON_FAILURE] = "on-failure", [RESTART_ALWAYS] = "always"};
	const json_t *v = json_object_get(root, "restart");
	AUTO_FREE char *name = NULL;
	int64_t max = 0;

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_object(v))
		return err_set(err, ERR_INVALID, "\"restart\" is not an object");
	if (spec_string(v, "when", &name, err) < 0 || spec_number(v, "maxRetries", INT32_MAX, &max, err) < 0)
		return err_wrap(err, "\"restart\"");
	for (size_t i = 0; name && i < sizeof(when) / sizeof(*when); i++)
		if (strcmp(when[i], name) == 0) {
			*ret = (struct restart_policy){.when = i, .max_retries = (uint32_t)max};
			return 0;
		}
	return err_set(err, ERR_INVALID, "\"restart\": want \"when\" to be no, on-failure or always");
}

static int spec_apply(const json_t *root, struct config *c, struct err *err)
{
	int64_t rows = 0, cols = 0, linger_ms = (int64_t)c->linger_ms, hold_ms = (int64_t)c->hold_ms,
		stay_ms = 0, tunnel_memory = (int64_t)c->tunnel_memory, renew_ms = (int64_t)c->renew_ms;
	AUTO_FREE char *signal_text = NULL;

	if (!json_is_object(root))
		return err_set(err, ERR_INVALID, "not an object");
	if (spec_strings(root, "argv", &c->main.argv, err) < 0 ||
	    spec_strings(root, "env", &c->main.env, err) < 0 ||
	    spec_string(root, "user", &c->main.user, err) < 0 ||
	    spec_string(root, "workdir", &c->main.workdir, err) < 0 ||
	    spec_string(root, "stopSignal", &signal_text, err) < 0 ||
	    spec_number(root, "rows", UINT16_MAX, &rows, err) < 0 ||
	    spec_number(root, "cols", UINT16_MAX, &cols, err) < 0 ||
	    spec_number(root, "lingerMs", TASK_MS_MAX, &linger_ms, err) < 0 ||
	    spec_number(root, "stayMs", TASK_MS_MAX, &stay_ms, err) < 0 ||
	    spec_number(root, "holdMs", 24 * 3600000, &hold_ms, err) < 0 ||
	    spec_number(root, "tunnelMemory", INT32_MAX, &tunnel_memory, err) < 0 ||
	    spec_number(root, "renewMs", TASK_MS_MAX, &renew_ms, err) < 0 ||
	    spec_restart(root, &c->restart, err) < 0 || spec_names(root, &c->names, err) < 0 || setup_read(root, &c->setup, err) < 0)
		return -1;
	if (signal_text && *signal_text && (c->stop_signal = parse_signal(signal_text)) < 0)
		return err_set(err, ERR_INVALID, "\"stopSignal\": no signal \"%.32s\"", signal_text);
	c->main.rows = (uint16_t)rows;
	c->main.cols = (uint16_t)cols;
	c->linger_ms = (uint64_t)linger_ms;
	c->stay_ms = (uint64_t)stay_ms;
	c->hold_ms = (uint64_t)hold_ms;
	c->tunnel_memory = (size_t)tunnel_memory;
	c->renew_ms = (uint64_t)renew_ms;
	c->checksums = json_is_true(json_object_get(root, "checksums"));
	c->proofs = json_is_true(json_object_get(root, "proofs"));
	c->hold = json_is_true(json_object_get(root, "hold"));
	c->main.tty = json_is_true(json_object_get(root, "tty"));
	c->main.open_stdin = json_is_true(json_object_get(root, "openStdin"));
	c->stdin_once = json_is_true(json_object_get(root, "stdinOnce"));
	return 0;
}

/* The whole of SOCKERLESS_AGENT_SPEC and its continuations _2, _3 ...: an environment variable has a
 * limit, a container's environment does not. NULL if there is none. */
static char *gather_spec(char *const envp[])
{
	const char *piece = env_get(envp, SPEC_VARIABLE);
	struct buf all;

	if (!piece)
		return NULL;
	buf_init(&all, SPEC_MAX);
	for (int n = 2; piece && buf_append(&all, piece, strlen(piece)) == 0; n++) {
		AUTO_FREE char *name = xasprintf("%s_%d", SPEC_VARIABLE, n);

		piece = env_get(envp, name);
	}
	return buf_detach(&all, NULL);
}

/* Variables that Cloud Run gave us for the command: values of secrets, which no specification holds. */
static int spec_inherit(const json_t *root, char *const envp[], struct strv *env, struct err *err)
{
	struct strv names = {0};

	if (spec_strings(root, "inherit", &names, err) < 0) {
		strv_release(&names);
		return -1;
	}
	for (size_t i = 0; i < names.n; i++) {
		const char *value = env_get(envp, names.v[i]);
		AUTO_FREE char *entry = value ? xasprintf("%s=%s", names.v[i], value) : NULL;

		if (entry)
			strv_env_set(env, entry);
	}
	strv_release(&names);
	return 0;
}

static int load_spec(char *const envp[], struct config *c, struct err *err)
{
	AUTO_FREE char *base64 = gather_spec(envp);
	AUTO_FREE uint8_t *text = NULL;
	json_error_t jerr;
	json_t *root;
	size_t len;
	int rc;

	if (!base64)
		return 0;
	text = base64_decode(base64, &len);
	if (!text)
		return err_set(err, ERR_INVALID, "not base64");
	root = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, &jerr);
	if (!root)
		return err_set(err, ERR_INVALID, "line %d: %s", jerr.line, jerr.text);
	rc = spec_apply(root, c, err);
	if (rc == 0)
		rc = spec_inherit(root, envp, &c->main.env, err);
	json_decref(root);
	return rc;
}

/* ---- command line: our own and the predecessor's ------------------------------------------------ */

/* "-addr :9111", "--addr=:9111": the value, with *i moved past it; NULL if arg i is not this flag. */
static const char *flag_value(int argc, char *const argv[], int *i, const char *name)
{
	const char *a = argv[*i];
	size_t n = strlen(name);

	if (*a++ != '-')
		return NULL;
	if (*a == '-')
		a++;
	if (strncmp(a, name, n) != 0)
		return NULL;
	if (a[n] == '=')
		return a + n + 1;
	if (a[n] == '\0' && *i + 1 < argc)
		return argv[++*i];
	return NULL;
}

static int load_flags(int argc, char *const argv[], struct config *c, struct err *err)
{
	const char *v;
	int i = 0;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--") == 0) {
			i++;
			break;
		}
		c->main.open_stdin = true; /* as the predecessor's agent has it, whose flags these are */
		if (strcmp(argv[i] + strspn(argv[i], "-"), "keep-alive") == 0) {
			c->keep_alive = true;
		} else if ((v = flag_value(argc, argv, &i, "addr"))) {
			if (parse_listen(v, c, err) < 0)
				return -1;
		} else if ((v = flag_value(argc, argv, &i, "callback"))) {
			free(c->callback_url);
			c->callback_url = xstrdup(v);
		} else if ((v = flag_value(argc, argv, &i, "log-level"))) {
			if (log_level_parse(v, &c->log_level) < 0)
				return err_set(err, ERR_INVALID, "-log-level %.32s: unknown level", v);
		} else {
			return err_set(err, ERR_INVALID, "%.64s: unknown option or no value", argv[i]);
		}
	}
	if (i < argc)
		strv_release(&c->main.argv);
	for (; i < argc; i++)
		strv_add(&c->main.argv, argv[i]);
	return 0;
}

/* ---- environment -------------------------------------------------------------------------------- */

static int load_identity(char *const envp[], struct config *c, struct err *err)
{
	const char *file = env_get(envp, "SOCKERLESS_AGENT_TOKEN_FILE");
	const char *attempt = env_get(envp, "CLOUD_RUN_TASK_ATTEMPT");
	const char *url = env_get(envp, "SOCKERLESS_AGENT_CALLBACK_URL");
	int64_t n;

	c->container_id = dup_or_empty(env_get(envp, "SOCKERLESS_CONTAINER_ID"));
	c->token = dup_or_empty(env_get(envp, "SOCKERLESS_AGENT_TOKEN"));
	c->execution = dup_or_empty(env_get(envp, "CLOUD_RUN_EXECUTION"));
	if (attempt && parse_i64(attempt, &n) == 0 && n >= 0 && n <= UINT32_MAX)
		c->task_attempt = (uint32_t)n;
	if (url)
		c->callback_url = xstrdup(url);
	if (file && read_token_file(file, &c->token, err) < 0)
		return err_wrap(err, "SOCKERLESS_AGENT_TOKEN_FILE");
	return 0;
}

static int load_settings(char *const envp[], struct config *c, struct err *err)
{
	const char *level = env_get(envp, "SOCKERLESS_AGENT_LOG");
	const char *ca = env_get(envp, "SOCKERLESS_AGENT_CA_FILE");
	const char *listen = env_get(envp, "SOCKERLESS_AGENT_LISTEN");
	const char *sidecar = env_get(envp, "SOCKERLESS_SIDECAR_PORT");
	int64_t n;

	if (level && log_level_parse(level, &c->log_level) < 0)
		return err_set(err, ERR_INVALID, "SOCKERLESS_AGENT_LOG: unknown level \"%.32s\"", level);
	if (listen && parse_listen(listen, c, err) < 0)
		return err_wrap(err, "SOCKERLESS_AGENT_LISTEN");
	if (sidecar) {
		if (parse_i64(sidecar, &n) < 0 || n < 0 || n > 65534)
			return err_set(err, ERR_INVALID, "SOCKERLESS_SIDECAR_PORT: no port");
		c->sidecar_port = (uint16_t)n;
	}
	c->ca_file = ca ? xstrdup(ca) : config_beside_executable("ca-certificates.crt");
	if (!ca && access(c->ca_file, R_OK) < 0) {
		free(c->ca_file);
		c->ca_file = NULL;
	}
	return 0;
}

static void inherit_env(char *const envp[], struct strv *ret)
{
	for (; *envp; envp++)
		if (strncmp(*envp, OWN_PREFIX, strlen(OWN_PREFIX)) != 0)
			strv_add(ret, *envp);
}

static bool needs_tls(const char *url)
{
	return strncmp(url, "wss:", 4) == 0 || strncmp(url, "https:", 6) == 0;
}

/* The predecessor puts it into the URL. */
static bool has_token(const char *url)
{
	const char *query = strchr(url, '?');
	AUTO_FREE char *token = query ? parse_query(query + 1, "token") : NULL;

	return token && *token;
}

static int check(struct config *c, struct err *err)
{
	if (!c->callback_url && !c->listen_host) {
		c->listen_host = xstrdup("0.0.0.0");
		c->listen_port = AGENT_LISTEN_PORT;
	}
	if (!*c->token && (c->listen_host || !has_token(c->callback_url)))
		return err_set(err, ERR_INVALID,
			       "neither SOCKERLESS_AGENT_TOKEN nor SOCKERLESS_AGENT_TOKEN_FILE is set");
	if (c->callback_url && needs_tls(c->callback_url) && !c->ca_file)
		return err_set(err, ERR_INVALID,
			       "the callback URL wants TLS, but there is no CA bundle: neither "
			       "SOCKERLESS_AGENT_CA_FILE is set nor ca-certificates.crt lies beside "
			       "the agent");
	if (c->callback_url && needs_tls(c->callback_url) && access(c->ca_file, R_OK) < 0)
		return err_sys(err, errno, "CA bundle %s", c->ca_file);
	if (c->main.argv.n == 0 && c->keep_alive)
		strv_add(&c->main.argv, "/bin/sh");
	if (c->main.argv.n == 0)
		return err_set(err, ERR_INVALID,
			       "no command: neither on the command line nor in SOCKERLESS_AGENT_SPEC");
	return 0;
}

int config_load(int argc, char *const argv[], char *const envp[], struct config *ret,
		struct err *err)
{
	struct config c = {.log_level = LOG_LEVEL_WARN, .linger_ms = LINGER_MS, .hold_ms = HOLD_MS, .tunnel_memory = TUNNEL_MEMORY, .renew_ms = RENEW_MS,
			   .stop_signal = SIGTERM, .sidecar_port = SIDECAR_PORT};

	inherit_env(envp, &c.main.env);
	if (load_identity(envp, &c, err) < 0 || load_settings(envp, &c, err) < 0 ||
	    load_flags(argc, argv, &c, err) < 0)
		goto fail;
	if (load_spec(envp, &c, err) < 0) {
		err_wrap(err, SPEC_VARIABLE);
		goto fail;
	}
	if (check(&c, err) < 0)
		goto fail;
	*ret = c;
	return 0;
fail:
	config_release(&c);
	return -1;
}

void config_release(struct config *c)
{
	free(c->container_id);
	free(c->token);
	free(c->callback_url);
	free(c->ca_file);
	free(c->execution);
	free(c->listen_host);
	exec_spec_release(&c->main);
	names_release(&c->names);
	setup_release(&c->setup);
	*c = (struct config){0};
}
