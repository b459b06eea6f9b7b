/* config - one table drives the environment, the command line and --help.
 *
 * Order: defaults, environment, flags. The predecessor's names stay, with its single dash ("-addr");
 * unlike it, a value that makes no sense stops the start instead of being replaced in silence. */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/token.h"

#define DEFAULT_ADDR "unix:///var/run/sockerless.sock"
#define LOCAL_PROJECT "sockerless-local"
#define LABEL_MAX 63
#define HOUR_MS (3600 * 1000LL)
#define CONNECT_PATH "/internal/v1/agent/connect"

struct setting;
typedef int check_fn(const struct setting *s, const char *value, char **ret, struct err *err);

enum kind { STRING, DURATION, SIZE, LIST, FLAG, LEVEL };

struct setting {
	const char *env, *flag;   /* either may be NULL */
	enum kind kind;
	size_t offset;            /* into struct config */
	const char *def;          /* NULL: none, or worked out after loading */
	check_fn *check;          /* STRING and each item of LIST: refuse, or give the tidy form */
	int64_t min_ms, max_ms;   /* DURATION */
	const char *value;        /* what --help calls the value */
	const char *help;
};

/* ---- checks ----------------------------------------------------------------------------------- */

static int refuse(const struct setting *s, const char *value, struct err *err, const char *rule)
{
	/* The token must not end up in a terminal's scrollback or a journal. */
	bool secret = s->env && strstr(s->env, "TOKEN");

	return err_set(err, ERR_INVALID, "%s%s=%s: %s", s->env ? "" : "--",
		       s->env ? s->env : s->flag, secret ? "(hidden)" : value, rule);
}

/* "host:port", "[v6]:port", ":port" when no host is needed; port 0 when it may be chosen. */
static bool is_host_port(const char *s, bool need_host, int min_port)
{
	const char *colon = strrchr(s, ':');
	int64_t port;

	if (!colon || (need_host && colon == s) || parse_i64(colon + 1, &port) < 0)
		return false;
	if (*s == '[' ? colon[-1] != ']' : memchr(s, ':', (size_t)(colon - s)) != NULL)
		return false;
	return port >= min_port && port <= 65535 && !strpbrk(s, "/ \t");
}

static int check_name(const struct setting *s, const char *value, char **ret, struct err *err)
{
	for (const char *p = value; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && !strchr("-.:", *p))
			return refuse(s, value, err, "want lower-case letters, digits and dashes only");
	*ret = xstrdup(value);
	return 0;
}

/* What a label's value may hold. */
static int check_instance(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (strlen(value) > LABEL_MAX || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(value))
		return refuse(s, value, err, "want at most 63 lower-case letters, digits, dashes and underscores");
	*ret = xstrdup(value);
	return 0;
}

static int check_mode(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (strcmp(value, "sidecar") != 0 && strcmp(value, "baked") != 0 && strcmp(value, "overlay") != 0)
		return refuse(s, value, err, "want sidecar, overlay or baked");
	*ret = xstrdup(value);
	return 0;
}

static int check_token(const struct setting *s, const char *value, char **ret, struct err *err)
{
	for (const char *p = value; *p; p++)
		if (!isgraph((unsigned char)*p))
			return refuse(s, value, err, "want printable characters without spaces");
	if (strlen(value) >= ID_HEX_MAX)
		return refuse(s, value, err, "want at most 64 characters");
	*ret = xstrdup(value);
	return 0;
}

static int check_absolute(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (*value != '/')
		return refuse(s, value, err, "want an absolute path");
	*ret = xstrdup(value);
	return 0;
}

static int check_ip(const struct setting *s, const char *value, char **ret, struct err *err)
{
	struct in6_addr any;

	if (inet_pton(AF_INET, value, &any) != 1 && inet_pton(AF_INET6, value, &any) != 1)
		return refuse(s, value, err, "want an IP address");
	*ret = xstrdup(value);
	return 0;
}

static int check_agent_address(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (!is_host_port(value, true, 1))
		return refuse(s, value, err, "want host:port");
	*ret = xstrdup(value);
	return 0;
}

static int check_listen(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (!is_host_port(value, false, 0))
		return refuse(s, value, err, "want [host]:port");
	*ret = xstrdup(value);
	return 0;
}

/* Where the host of a URL with one of these schemes begins and ends; false if there is none. */
static bool url_host(const char *url, const char *const *schemes, const char **ret, size_t *ret_len)
{
	for (; *schemes; schemes++)
		if (strncmp(url, *schemes, strlen(*schemes)) == 0)
			break;
	if (!*schemes)
		return false;
	*ret = url + strlen(*schemes);
	*ret_len = strcspn(*ret, "/?#");
	return *ret_len > 0 && !strpbrk(url, " \t\r\n#") && !memchr(*ret, '@', *ret_len);
}

static bool host_is_valid(const char *host, size_t len)
{
	AUTO_FREE char *s = xstrndup(host, len);

	if (*s == '[' ? s[len - 1] == ']' : !strchr(s, ':'))
		return true;
	return is_host_port(s, true, 1);
}

static char *without_trailing_slashes(const char *s)
{
	size_t n = strlen(s);

	while (n > 0 && s[n - 1] == '/')
		n--;
	return xstrndup(s, n);
}

static int check_endpoint(const struct setting *s, const char *value, char **ret, struct err *err)
{
	static const char *const schemes[] = {"http://", "https://", NULL};
	const char *host;
	size_t n;

	if (!url_host(value, schemes, &host, &n) || !host_is_valid(host, n) || strchr(value, '?'))
		return refuse(s, value, err, "want http(s)://host[:port]");
	*ret = without_trailing_slashes(value);
	return 0;
}

static int check_callback(const struct setting *s, const char *value, char **ret, struct err *err)
{
	static const char *const schemes[] = {"http://", "https://", "ws://", "wss://", NULL};
	const char *host;
	size_t n;

	if (!url_host(value, schemes, &host, &n) || !host_is_valid(host, n))
		return refuse(s, value, err, "want http(s):// or ws(s)://host[:port][/path]");
	if (strchr(value, '?'))
		return refuse(s, value, err, "want no query: ?id= is added for each container");
	*ret = without_trailing_slashes(value);
	return 0;
}

/* Docker's spellings; stored as "unix:///path" or "tcp://host:port". */
static int check_addr(const struct setting *s, const char *value, char **ret, struct err *err)
{
	const char *tcp = strncmp(value, "tcp://", 6) == 0 ? value + 6 : value;

	if (*value == '/')
		*ret = xasprintf("unix://%s", value);
	else if (strncmp(value, "unix:///", 8) == 0 && value[8])
		*ret = xstrdup(value);
	else if (is_host_port(tcp, false, 0))
		*ret = xasprintf("tcp://%s", tcp);
	else
		return refuse(s, value, err, "want unix:///path, /path, tcp://host:port or :port");
	return 0;
}

static int check_binds(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (strcmp(value, "label") != 0 && strcmp(value, "upload") != 0 && strcmp(value, "refuse") != 0)
		return refuse(s, value, err, "want label, upload or refuse");
	*ret = xstrdup(value);
	return 0;
}

static int check_endpoint_auth(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (strcmp(value, "none") != 0 && strcmp(value, "google") != 0)
		return refuse(s, value, err, "want none or google");
	*ret = xstrdup(value);
	return 0;
}

static int check_egress(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (strcmp(value, "all-traffic") != 0 && strcmp(value, "private-ranges-only") != 0)
		return refuse(s, value, err, "want all-traffic or private-ranges-only");
	*ret = xstrdup(value);
	return 0;
}

static int check_cpu(const struct setting *s, const char *value, char **ret, struct err *err)
{
	int64_t n;

	if (parse_i64(value, &n) < 0 || n < 1 || n > 8)
		return refuse(s, value, err, "want a whole number of CPUs from 1 to 8");
	*ret = xstrdup(value);
	return 0;
}

static int check_memory(const struct setting *s, const char *value, char **ret, struct err *err)
{
	int64_t bytes;

	if (parse_size(value, &bytes) < 0 || bytes < (INT64_C(512) << 20) || bytes > (INT64_C(32) << 30))
		return refuse(s, value, err, "want a size from 512MiB to 32GiB");
	*ret = xstrdup(value);
	return 0;
}

/* What Cloud Storage takes as a bucket's name, and a tidy folder behind it. */
static int check_bucket(const struct setting *s, const char *value, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t n = strcspn(value, "/");
	const char *folder = value[n] ? value + n + 1 : "";

	if (n < 3 || n > 222 || strspn(value, allowed) < n || strchr("-_.", value[0]) || strchr("-_.", value[n - 1]))
		return refuse(s, value, err, "want BUCKET[/PREFIX], the bucket in lower-case letters, digits, dashes, dots");
	if (*folder == '/' || strstr(folder, "//") || strstr(folder, "..") || strpbrk(folder, ", \t\r\n"))
		return refuse(s, value, err, "want a plain folder as the prefix");
	*ret = without_trailing_slashes(value);
	return 0;
}

static int check_registry(const struct setting *s, const char *value, char **ret, struct err *err)
{
	size_t n = strcspn(value, "/");

	if (strstr(value, "://") || n == 0 || strpbrk(value, " \t@") || !host_is_valid(value, n))
		return refuse(s, value, err, "want host[:port][/prefix] without a scheme");
	*ret = without_trailing_slashes(value);
	return 0;
}

/* ---- the table -------------------------------------------------------------------------------- */

#define AT(field) offsetof(struct config, field)
#define GCR "SOCKERLESS_GCR_"

static const struct setting settings[] = {
	{GCR "PROJECT", NULL, STRING, AT(project), .check = check_name, .value = "ID",
	 .help = "Google Cloud project; required without --local"},
	{GCR "REGION", NULL, STRING, AT(region), "us-central1", check_name, .value = "REGION",
	 .help = "where the jobs run"},
	{GCR "INSTANCE", NULL, STRING, AT(instance), .check = check_instance, .value = "NAME",
	 .help = "which jobs of the project are this gateway's: every gateway of a project needs its own; default the host's "
	 "name"},
	{GCR "VPC_CONNECTOR", NULL, STRING, AT(vpc_connector), .value = "NAME",
	 .help = "VPC connector of every job; all its traffic goes through it"},
	{GCR "NETWORK", NULL, STRING, AT(network), .value = "NAME",
	 .help = "VPC network of every job, by Direct VPC egress instead of a connector"},
	{GCR "SUBNETWORK", NULL, STRING, AT(subnetwork), .value = "NAME", .help = "its subnetwork"},
	{GCR "NETWORK_TAGS", NULL, STRING, AT(network_tags), .value = "TAG,...", .help = "network tags of every job there"},
	{GCR "VPC_EGRESS", NULL, STRING, AT(vpc_egress), "all-traffic", check_egress, .value = "RANGE",
	 .help = "what goes through the connector or network: all-traffic or private-ranges-only"},
	{GCR "CPU", NULL, STRING, AT(default_cpu), .check = check_cpu, .value = "CPUS",
	 .help = "of a container that does not say; 1 to 8"},
	{GCR "MEMORY", NULL, STRING, AT(default_memory), .check = check_memory, .value = "SIZE",
	 .help = "of a container that does not say; unset: as little as its CPUs allow, from 512 MiB"},
	{GCR "GPU", NULL, STRING, AT(gpu), "nvidia-l4", .value = "ACCELERATOR", .help = "what docker run --gpus means"},
	{"SOCKERLESS_BINDS", NULL, STRING, AT(binds), "label", check_binds, .value = "HOW",
	 .help = "bind mounts of this machine's paths. label: refused, but for containers with run.sockerless.bind=upload, "
	 "which get a copy; upload: a copy for all; refuse: never"},
	{GCR "VOLUME_BUCKET", NULL, STRING, AT(volume_bucket), .check = check_bucket, .value = "BUCKET[/PREFIX]",
	 .help = "Cloud Storage bucket whose folders are the named volumes; made if it is missing"},
	{GCR "SERVICE_ACCOUNT", NULL, STRING, AT(service_account), .value = "EMAIL",
	 .help = "service account the jobs run as"},
	{GCR "LOG_ID", NULL, STRING, AT(log_id), "sockerless", .value = "ID",
	 .help = "accepted for compatibility; Cloud Run names its own logs"},
	{"SOCKERLESS_ENDPOINT_URL", NULL, STRING, AT(endpoint_url), .check = check_endpoint,
	 .value = "URL", .help = "asked instead of every Google host"},
	{"SOCKERLESS_ENDPOINT_AUTH", NULL, STRING, AT(endpoint_auth), "none", check_endpoint_auth, .value = "HOW",
	 .help = "who we are to that URL. none: nobody; google: as to Google, for a proxy or a private endpoint"},

	{GCR "AGENT_IMAGE", NULL, STRING, AT(agent_image), "sockerless/agent:latest", .value = "IMAGE",
	 .help = "image of the agent's sidecar, as Cloud Run pulls it"},
	{"SOCKERLESS_AGENT_MODE", NULL, STRING, AT(agent_mode), .check = check_mode, .value = "MODE",
	 .help = "sidecar: images stay untouched, a second container brings the agent; overlay: images run with one layer "
	 "more, which has it, from " GCR "IMAGE_REPOSITORY; baked: every image holds it. Default: overlay with that "
	 "repository, else sidecar"},
	{"SOCKERLESS_AGENT_BINARY", NULL, STRING, AT(agent_binary), .check = check_absolute, .value = "FILE",
	 .help = "the static agent that overlays bring; default: the one in share/agent-image"},
	{"SOCKERLESS_AGENT_PATH", NULL, STRING, AT(agent_path), "/sockerless/bin/sockerless-agent",
	 check_absolute, .value = "PATH", .help = "where a baked image holds it"},
	{GCR "AGENT_TOKEN", NULL, STRING, AT(agent_token), .check = check_token, .value = "TOKEN",
	 .help = "one token for all agents; without it each execution has its own"},
	{"SOCKERLESS_CALLBACK_URL", NULL, STRING, AT(callback_url), .check = check_callback,
	 .value = "URL", .help = "where agents reach this gateway, http(s):// or ws(s)://; "
	 "without a path, " CONNECT_PATH " is added; unset: the gateway dials the agents"},
	{"SOCKERLESS_CALLBACK_ADDR", "callback-addr", STRING, AT(callback_listen), ":9112", check_listen,
	 .value = "ADDR", .help = "where agents' calls are accepted; used with a callback URL"},
	{"SOCKERLESS_CALLBACK_CERT", "callback-cert", STRING, AT(callback_cert), .value = "FILE",
	 .help = "certificate, to take agents' calls over TLS"},
	{"SOCKERLESS_CALLBACK_KEY", "callback-key", STRING, AT(callback_key), .value = "FILE",
	 .help = "its private key"},
	{"SOCKERLESS_AGENT_ADDRESS", NULL, STRING, AT(agent_address), .check = check_agent_address,
	 .value = "HOST:PORT", .help = "where to dial agents; unset: as the agent reports"},

	{"SOCKERLESS_POLL_INTERVAL", NULL, DURATION, AT(poll_interval_ms), "2s", .min_ms = 10,
	 .max_ms = HOUR_MS, .value = "DURATION", .help = "between two looks at a running execution"},
	{"SOCKERLESS_AGENT_TIMEOUT", NULL, DURATION, AT(agent_timeout_ms), "30s", .min_ms = 100,
	 .max_ms = HOUR_MS, .value = "DURATION", .help = "from a started container to its agent's call"},
	{"SOCKERLESS_SWEEP_INTERVAL", NULL, DURATION, AT(sweep_interval_ms), "5m", .min_ms = 1000,
	 .max_ms = 24 * HOUR_MS, .value = "DURATION",
	 .help = "how often all jobs are listed, to see what was done to them behind our back"},
	{"SOCKERLESS_START_TIMEOUT", NULL, DURATION, AT(start_timeout_ms), "10m", .min_ms = 1000,
	 .max_ms = 24 * HOUR_MS, .value = "DURATION", .help = "from the run request to a started container"},
	{"SOCKERLESS_CALL_TIMEOUT", NULL, DURATION, AT(call_timeout_ms), "30s", .min_ms = 1000,
	 .max_ms = HOUR_MS, .value = "DURATION", .help = "for one request to Google, repetitions included"},
	{"SOCKERLESS_LOG_TIMEOUT", NULL, DURATION, AT(log_timeout_ms), "30s", .min_ms = 100,
	 .max_ms = HOUR_MS, .value = "DURATION", .help = "for one question to Cloud Logging"},
	{GCR "START_TOKEN", NULL, FLAG, AT(start_token), .help = "create and run a job by one request "
	 "(startExecutionToken) instead of two"},
	{GCR "EXIT_STAY", NULL, DURATION, AT(exit_stay_ms), "15s", .min_ms = 0, .max_ms = HOUR_MS,
	 .value = "DURATION", .help = "an ended container's files can be copied for so long, which Cloud Run bills; "
	 "0s: not at all. Never with --rm"},
	{"SOCKERLESS_TASK_TIMEOUT", NULL, DURATION, AT(task_timeout_ms), "24h", .min_ms = 1000,
	 .max_ms = 168 * HOUR_MS, .value = "DURATION", .help = "Cloud Run ends a container after this; at most 168h"},

	{"SOCKERLESS_ADDR", "addr", LIST, AT(addrs), .check = check_addr, .value = "ADDR",
	 .help = "where the Docker API is served: unix:///path, /path, tcp://host:port, :port; "
	 "repeatable; default " DEFAULT_ADDR},
	{"SOCKERLESS_TLS_CERT", "tls-cert", STRING, AT(tls_cert), .value = "FILE",
	 .help = "certificate for tcp addresses"},
	{"SOCKERLESS_TLS_KEY", "tls-key", STRING, AT(tls_key), .value = "FILE", .help = "its private key"},
	{"SOCKERLESS_TLS_CLIENT_CA", "tls-client-ca", STRING, AT(tls_client_ca), .value = "FILE",
	 .help = "only clients with a certificate of this CA"},

	{"SOCKERLESS_PUBLISH_ADDRESS", NULL, STRING, AT(publish_address), .check = check_ip, .value = "IP",
	 .help = "where ports are published when docker run -p names no address; unset: on every address of this "
	 "machine, as dockerd does; 127.0.0.1 keeps them to it"},

	{"SOCKERLESS_HUB_MIRROR", NULL, STRING, AT(hub_mirror), .check = check_registry,
	 .value = "HOST[/PREFIX]", .help = "asked instead of Docker Hub"},
	{GCR "IMAGE_REPOSITORY", NULL, STRING, AT(image_repository), .check = check_registry,
	 .value = "HOST/PREFIX", .help = "Artifact Registry repository for images with the agent (overlays), and for those "
	 "that come from docker load, import and commit, which are refused without it"},
	{"SOCKERLESS_PLAIN_REGISTRIES", NULL, LIST, AT(plain_registries), .check = check_registry,
	 .value = "HOST,...", .help = "registries without TLS; this machine's never need it"},
	{"SOCKERLESS_PRIVATE_HOSTS", NULL, LIST, AT(private_hosts), .check = check_registry, .value = "HOST,...",
	 .help = "hosts with private addresses to which a public registry may send us (token servers, stores of blobs)"},

	{"SOCKERLESS_LAYER_CACHE_MAX", NULL, SIZE, AT(layer_cache_max), "4GiB", .value = "SIZE",
	 .help = "of image layers kept in the state directory for docker cp, diff and export"},
	{"SOCKERLESS_PENDING_FILES_MAX", NULL, SIZE, AT(pending_files_max), "1GiB", .value = "SIZE",
	 .help = "of files copied into one container before its start, kept in the state directory"},
	{"SOCKERLESS_DATA_DIR", "state-dir", STRING, AT(state_dir), .value = "DIR",
	 .help = "what must survive; default /var/lib/sockerless, or ~/.local/state/sockerless"},
	{NULL, "local", FLAG, AT(local), .help = "run an emulated Cloud Run and a registry beside us; with "
	 "SOCKERLESS_LOCAL_FORWARD=1 agents are dialled instead of calling back"},
	{NULL, "local-bin-dir", STRING, AT(local_bin_dir), .value = "DIR",
	 .help = "where the programs for --local are; default: beside this one"},
	{NULL, "log-level", LEVEL, AT(log_level), "info", .value = "LEVEL",
	 .help = "error, warn, info or debug"},
};
#define N_SETTINGS (sizeof(settings) / sizeof(*settings))

/* ---- loading ---------------------------------------------------------------------------------- */

static int apply_one(struct config *c, const struct setting *s, const char *value, struct err *err)
{
	void *at = (char *)c + s->offset;
	char *tidy = NULL;
	int64_t ms;

	switch (s->kind) {
	case FLAG:
		if (value && strcmp(value, "1") != 0 && strcmp(value, "true") != 0 && strcmp(value, "0") != 0 &&
		    strcmp(value, "false") != 0)
			return refuse(s, value, err, "want 1, true, 0 or false");
		*(bool *)at = !value || *value == '1' || *value == 't';
		return 0;
	case LEVEL:
		if (log_level_parse(value, at) < 0)
			return refuse(s, value, err, "want error, warn, info or debug");
		return 0;
	case DURATION:
		if (parse_duration_ms(value, &ms) < 0)
			return refuse(s, value, err, "want a duration such as 500ms, 30s or 1m30s");
		if (ms < s->min_ms || ms > s->max_ms)
			return refuse(s, value, err, ms < s->min_ms ? "too short" : "too long");
		*(int64_t *)at = ms;
		return 0;
	case SIZE:
		if (parse_size(value, at) < 0)
			return refuse(s, value, err, "want a size such as 512MiB or 4GiB");
		return 0;
	case STRING:
	case LIST:
		break;
	}
	if (!s->check)
		tidy = xstrdup(value);
	else if (s->check(s, value, &tidy, err) < 0)
		return -1;
	if (s->kind == LIST) {
		strv_take(at, tidy);
	} else {
		free(*(char **)at);
		*(char **)at = tidy;
	}
	return 0;
}

/* Lists in one value: separated by commas or blanks. */
static int apply(struct config *c, const struct setting *s, const char *value, struct err *err)
{
	if (s->kind != LIST)
		return apply_one(c, s, value, err);
	for (value += strspn(value, ", \t"); *value; value += strspn(value, ", \t")) {
		size_t n = strcspn(value, ", \t");
		AUTO_FREE char *item = xstrndup(value, n);

		if (apply_one(c, s, item, err) < 0)
			return -1;
		value += n;
	}
	return 0;
}

/* An empty variable counts as unset, as in the predecessor. */
static int load_environment(struct config *c, struct err *err)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const char *value = settings[i].env ? getenv(settings[i].env) : NULL;

		if (value && *value && apply(c, &settings[i], value, err) < 0)
			return -1;
	}
	return 0;
}

static int load_defaults(struct config *c, struct err *err)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		if (settings[i].def && apply(c, &settings[i], settings[i].def, err) < 0)
			return -1;
	return 0;
}

enum { OPT_HELP = 1000, OPT_VERSION };

static int load_flags(struct config *c, int argc, char **argv, struct err *err)
{
	struct option options[N_SETTINGS + 3] = {
		{"help", no_argument, NULL, OPT_HELP},
		{"version", no_argument, NULL, OPT_VERSION},
	};
	bool cleared[N_SETTINGS] = {false};
	size_t n = 2;
	int o;

	for (size_t i = 0; i < N_SETTINGS; i++)
		if (settings[i].flag)
			options[n++] = (struct option){settings[i].flag,
				settings[i].kind == FLAG ? no_argument : required_argument, NULL, (int)i};
	optind = 0; /* glibc: start afresh */
	opterr = 0;
	while ((o = getopt_long_only(argc, argv, "+:", options, NULL)) != -1) {
		if (o == OPT_HELP) {
			config_print_help(stdout);
			return 1;
		}
		if (o == OPT_VERSION) {
			printf("sockerless-gateway %s\n", VERSION);
			return 1;
		}
		if (o == '?' || o == ':')
			return err_set(err, ERR_INVALID, "%s: %s (--help lists all flags)",
				       argv[optind - 1], o == ':' ? "needs a value" : "unknown flag");
		/* The first --addr replaces what the environment listed, the others add to it. */
		if (settings[o].kind == LIST && !cleared[o])
			strv_release((struct strv *)((char *)c + settings[o].offset));
		cleared[o] = true;
		if (optarg && !*optarg)
			return refuse(&settings[o], "", err, "is empty");
		if (apply(c, &settings[o], optarg, err) < 0)
			return -1;
	}
	if (optind < argc)
		return err_set(err, ERR_INVALID, "unexpected argument \"%s\" (--help lists all flags)",
			       argv[optind]);
	return 0;
}

/* ---- what follows from what ------------------------------------------------------------------- */

static char *default_state_dir(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (geteuid() == 0 || (!(state && *state == '/') && !(home && *home)))
		return xstrdup("/var/lib/sockerless");
	if (state && *state == '/')
		return xasprintf("%s/sockerless", state);
	return xasprintf("%s/.local/state/sockerless", home);
}

static char *program_dir(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return xstrdup(".");
	*slash = '\0';
	return xstrdup(path);
}

/* The host's name, as the predecessor; whatever a label cannot hold becomes a dash. */
static char *host_instance(void)
{
	char name[LABEL_MAX + 1] = "";

	if (gethostname(name, sizeof(name)) < 0)
		name[0] = '\0';
	name[LABEL_MAX] = '\0';
	for (char *p = name; *p; p++) {
		*p = (char)tolower((unsigned char)*p);
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_')
			*p = '-';
	}
	return xstrdup(name);
}

static int check_pair(const char *a, const char *b, const char *names, struct err *err)
{
	if (!a != !b)
		return err_set(err, ERR_INVALID, "%s belong together: only one of them is given", names);
	return 0;
}

static int finish(struct config *c, struct err *err)
{
	if (!c->project && !c->local)
		return err_set(err, ERR_INVALID, "set SOCKERLESS_GCR_PROJECT to the Google Cloud project "
			       "whose Cloud Run is to be used, or run with --local for an emulated one");
	if (check_pair(c->tls_cert, c->tls_key, "--tls-cert and --tls-key", err) < 0 ||
	    check_pair(c->callback_cert, c->callback_key, "--callback-cert and --callback-key", err) < 0)
		return -1;
	/* --local has a repository of its own, later, and stays with sidecar. */
	if (!c->agent_mode)
		c->agent_mode = xstrdup(c->image_repository ? "overlay" : "sidecar");
	if (strcmp(c->agent_mode, "overlay") == 0 && !c->image_repository && !c->local)
		return err_set(err, ERR_INVALID, "SOCKERLESS_AGENT_MODE=overlay needs " GCR "IMAGE_REPOSITORY: that is where images "
			       "with the agent are put");
	if (c->vpc_connector && (c->network || c->subnetwork))
		return err_set(err, ERR_INVALID, GCR "VPC_CONNECTOR and " GCR "NETWORK exclude each other: a job reaches its "
			       "network by one of them");
	if (c->tls_client_ca && !c->tls_cert)
		return err_set(err, ERR_INVALID, "--tls-client-ca needs --tls-cert and --tls-key");
	if (!c->project)
		c->project = xstrdup(LOCAL_PROJECT);
	if (!c->instance)
		c->instance = host_instance();
	if (!c->addrs.n)
		strv_add(&c->addrs, DEFAULT_ADDR);
	if (!c->state_dir)
		c->state_dir = default_state_dir();
	if (!c->local_bin_dir)
		c->local_bin_dir = program_dir();
	return 0;
}

int config_load(struct config *c, int argc, char **argv, struct err *err)
{
	struct err bad_env;
	int env, r;

	*c = (struct config){0};
	r = load_defaults(c, err);
	/* Flags first get their say: --help must work whatever the environment holds. */
	env = r < 0 ? 0 : load_environment(c, &bad_env);
	if (r == 0)
		r = load_flags(c, argc, argv, err);
	if (r == 0 && env < 0)
		r = err_set(err, bad_env.kind, "%s", bad_env.msg);
	if (r == 0)
		r = finish(c, err);
	if (r)
		config_release(c);
	return r;
}

void config_release(struct config *c)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		void *at = (char *)c + settings[i].offset;

		if (settings[i].kind == STRING)
			free(*(char **)at);
		else if (settings[i].kind == LIST)
			strv_release(at);
	}
	*c = (struct config){0};
}

/* ---- help ------------------------------------------------------------------------------------- */

static void print_wrapped(FILE *f, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column && column + 1 + n > 84)
			column = 0;
		if (column == 0)
			fprintf(f, "\n      ");
		else
			column++, fputc(' ', f);
		fwrite(text, 1, n, f);
		column += n;
		text += n + strspn(text + n, " ");
	}
}

void config_print_help(FILE *f)
{
	fprintf(f, "usage: sockerless-gateway [flags]\n\n"
		"Serves the Docker Engine API and runs every container as a Cloud Run job.\n"
		"Settings come from the environment; a flag wins over its variable.\n");
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const struct setting *s = &settings[i];

		fprintf(f, "\n  ");
		if (s->flag)
			fprintf(f, "--%s%s%s", s->flag, s->value ? " " : "", s->value ? s->value : "");
		if (s->env)
			fprintf(f, "%s%s=%s", s->flag ? ", " : "", s->env, s->value);
		print_wrapped(f, s->help);
		if (s->def)
			fprintf(f, " (default %s)", s->def);
	}
	fprintf(f, "\n\n  --help, --version\n");
}
