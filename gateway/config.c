/* config - loads the settings by their table (config_settings.c).
 *
 * Order: defaults, environment (the file that SOCKERLESS_ENV_FILE names becomes part of it), flags.
 * The predecessor's names stay, with its single dash ("-addr");
 * unlike it, a value that makes no sense stops the start instead of being replaced in silence. */
#include "config.h"

#include <assert.h>
#include <ctype.h>
#include <getopt.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "config_settings.h"

#define LOCAL_PROJECT "sockerless-local"
#define GCR "SOCKERLESS_GCR_"
#define SETTINGS_MAX 128

/* ---- loading ---------------------------------------------------------------------------------- */

static void duration_text(int64_t ms, char out[32])
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
	size_t i = 0;

	while (ms % units[i].ms)
		i++;
	snprintf(out, 32, "%lld%s", (long long)(ms / units[i].ms), ms ? units[i].unit : "s");
}

static int refuse_duration(const struct setting *s, const char *value, struct err *err)
{
	char min[32], max[32], rule[96];

	duration_text(s->min_ms, min);
	duration_text(s->max_ms, max);
	snprintf(rule, sizeof(rule), "want %s to %s", min, max);
	return config_refuse(s, value, err, rule);
}

static int apply_one(struct config *c, const struct setting *s, const char *value, struct err *err)
{
	void *at = (char *)c + s->offset;
	char *tidy = NULL;
	int64_t ms;

	switch (s->kind) {
	case FLAG:
		if (value && strcmp(value, "1") != 0 && strcmp(value, "true") != 0 && strcmp(value, "0") != 0 &&
		    strcmp(value, "false") != 0)
			return config_refuse(s, value, err, "want 1, true, 0 or false");
		*(bool *)at = !value || *value == '1' || *value == 't';
		return 0;
	case LEVEL:
		if (log_level_parse(value, at) < 0)
			return config_refuse(s, value, err, "want error, warn, info or debug");
		return 0;
	case DURATION:
		if (parse_duration_ms(value, &ms) < 0)
			return config_refuse(s, value, err, "want a duration such as 500ms, 30s or 1m30s");
		if (ms < s->min_ms || ms > s->max_ms)
			return refuse_duration(s, value, err);
		*(int64_t *)at = ms;
		return 0;
	case SIZE:
		if (parse_size(value, at) < 0)
			return config_refuse(s, value, err, "want a size such as 512MiB or 4GiB");
		return 0;
	case STRING:
	case LIST:
	case ELSEWHERE:
	case SECTION:
		break;
	}
	if (!s->check)
		tidy = xstrdup(value);
	else if (s->check(s, value, &tidy, err) < 0)
		return -1;
	if (s->kind == LIST) {
		strv_take(at, tidy);
	} else if (s->kind == ELSEWHERE) {
		free(tidy);
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
	const char *file = getenv("SOCKERLESS_ENV_FILE");

	if (file && *file && config_read_file(file, err) < 0)
		return -1;
	for (size_t i = 0; i < config_settings_n; i++) {
		const char *value = config_settings[i].env ? getenv(config_settings[i].env) : NULL;

		if (value && *value && apply(c, &config_settings[i], value, err) < 0)
			return -1;
	}
	return 0;
}

static int load_defaults(struct config *c, struct err *err)
{
	for (size_t i = 0; i < config_settings_n; i++)
		if (config_settings[i].def && apply(c, &config_settings[i], config_settings[i].def, err) < 0)
			return -1;
	return 0;
}

/* Beyond every character: getopt answers '?' and ':' itself. */
enum { OPT_HELP = 1000, OPT_VERSION, OPT_MAN, OPT_SETTING };

static int load_flags(struct config *c, int argc, char **argv, struct err *err)
{
	struct option options[SETTINGS_MAX + 4] = {
		{"help", no_argument, NULL, OPT_HELP},
		{"version", no_argument, NULL, OPT_VERSION},
		{"man", no_argument, NULL, OPT_MAN},
	};
	bool cleared[SETTINGS_MAX] = {false};
	size_t n = 3;
	int o;

	assert(config_settings_n <= SETTINGS_MAX);
	for (size_t i = 0; i < config_settings_n; i++)
		if (config_settings[i].flag)
			options[n++] = (struct option){config_settings[i].flag,
				config_settings[i].kind == FLAG ? no_argument : required_argument, NULL, OPT_SETTING + (int)i};
	optind = 0; /* glibc: start afresh */
	opterr = 0;
	while ((o = getopt_long_only(argc, argv, "+:", options, NULL)) != -1) {
		if (o == OPT_HELP) {
			config_print_help(stdout);
			return 1;
		}
		if (o == OPT_MAN) {
			config_print_man(stdout);
			return 1;
		}
		if (o == OPT_VERSION) {
			printf("sockerless-gateway %s\n", VERSION);
			return 1;
		}
		if (o == '?' || o == ':')
			return err_set(err, ERR_INVALID, "%s: %s (--help lists all flags)",
				       argv[optind - 1], o == ':' ? "needs a value" : "unknown flag");
		o -= OPT_SETTING;
		/* The first --addr replaces what the environment listed, the others add to it. */
		if (config_settings[o].kind == LIST && !cleared[o])
			strv_release((struct strv *)((char *)c + config_settings[o].offset));
		cleared[o] = true;
		if (optarg && !*optarg)
			return config_refuse(&config_settings[o], "", err, "is empty");
		if (apply(c, &config_settings[o], optarg, err) < 0)
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
	char name[CONFIG_LABEL_MAX + 1] = "";

	if (gethostname(name, sizeof(name)) < 0)
		name[0] = '\0';
	name[CONFIG_LABEL_MAX] = '\0';
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
		strv_add(&c->addrs, CONFIG_DEFAULT_ADDR);
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

void config_warn_unknown(void)
{
	static const char prefix[] = "SOCKERLESS_";

	for (char **e = environ; *e; e++) {
		size_t n = strcspn(*e, "=");
		bool known = strncmp(*e, prefix, strlen(prefix)) != 0;

		for (size_t i = 0; !known && i < config_settings_n; i++)
			known = config_settings[i].env && strlen(config_settings[i].env) == n &&
				strncmp(config_settings[i].env, *e, n) == 0;
		if (!known)
			log_warn("not a setting, ignored (--help lists them)", "variable=%.*s", (int)n, *e);
	}
}

void config_release(struct config *c)
{
	for (size_t i = 0; i < config_settings_n; i++) {
		void *at = (char *)c + config_settings[i].offset;

		if (config_settings[i].kind == STRING)
			free(*(char **)at);
		else if (config_settings[i].kind == LIST)
			strv_release(at);
	}
	*c = (struct config){0};
}
