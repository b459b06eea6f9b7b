/* job_options - see job_options.h. */
#include "cloud/job_options.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cloud/job_secrets.h"
#include "config.h"
#include "state/container.h"

#define HOUR_MS (3600 * 1000LL)
#define CPU_MAX 8000
#define MEMORY_MAX (32LL << 30)
#define N(a) (sizeof(a) / sizeof((a)[0]))

/* ---- rules ---------------------------------------------------------------------------------------- */

int64_t job_parse_cpu(const char *text)
{
	int64_t milli = 0, digit = 100;

	if (!isdigit((unsigned char)*text))
		return -1;
	for (; isdigit((unsigned char)*text); text++) {
		milli = milli * 10 + (*text - '0') * 1000;
		if (milli > 1000000)
			return -1;
	}
	if (*text == '.')
		for (text++; isdigit((unsigned char)*text); text++, digit /= 10)
			milli += (*text - '0') * digit;
	return *text ? -1 : milli;
}

static bool is_cpu(const char *s)
{
	int64_t milli = job_parse_cpu(s);

	return milli > 0 && milli <= CPU_MAX;
}

static bool is_memory(const char *s)
{
	int64_t bytes;

	return parse_size(s, &bytes) == 0 && bytes > 0 && bytes <= MEMORY_MAX;
}

static bool is_timeout(const char *s)
{
	int64_t ms;

	return parse_duration_ms(s, &ms) == 0 && ms >= 1000 && ms <= 168 * HOUR_MS;
}

/* A name, or a resource's full name; never blanks or quotes. */
static bool is_name(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@";

	return *s && strspn(s, allowed) == strlen(s);
}

static bool is_tags(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-,";

	return *s && strspn(s, allowed) == strlen(s) && !strstr(s, ",,") && *s != ',';
}

static bool is_egress(const char *s)
{
	return strcmp(s, "all-traffic") == 0 || strcmp(s, "private-ranges-only") == 0;
}

static bool is_environment(const char *s)
{
	return strcmp(s, "gen2") == 0 || strcmp(s, "default") == 0;
}

#define AT(field) offsetof(struct config, field)
#define NO_SETTING SIZE_MAX

static const struct {
	const char *label;
	size_t offset;         /* of a char * in struct config */
	bool (*valid)(const char *);
	const char *rule;
} options[] = {
	[JOB_CPU] = {"cpu", AT(default_cpu), is_cpu, "want a number of CPUs up to 8"},
	[JOB_MEMORY] = {"memory", AT(default_memory), is_memory, "want a size such as 512m or 4g, up to 32g"},
	[JOB_TIMEOUT] = {"timeout", NO_SETTING, is_timeout, "want a duration from 1s to 168h"},
	[JOB_SERVICE_ACCOUNT] = {"service-account", AT(service_account), is_name, "want the e-mail of a service account"},
	[JOB_VPC_CONNECTOR] = {"vpc-connector", AT(vpc_connector), is_name, "want the name of a connector"},
	[JOB_NETWORK] = {"network", AT(network), is_name, "want the name of a VPC network"},
	[JOB_SUBNETWORK] = {"subnetwork", AT(subnetwork), is_name, "want the name of a subnetwork"},
	[JOB_NETWORK_TAGS] = {"network-tags", AT(network_tags), is_tags, "want network tags with commas between them"},
	[JOB_VPC_EGRESS] = {"vpc-egress", AT(vpc_egress), is_egress, "want all-traffic or private-ranges-only"},
	[JOB_EXECUTION_ENVIRONMENT] = {"execution-environment", NO_SETTING, is_environment,
				       "want gen2 or default: Cloud Run runs jobs in the second generation only"},
	[JOB_GPU] = {"gpu", AT(gpu), is_name, "want an accelerator such as nvidia-l4"},
};

/* Ours too, but not of the job. */
static const char *const other_labels[] = {"agent-address", "bind"};

static int check_label(const char *label, const char *value, json_t *warnings, struct err *err)
{
	const char *name = label + strlen(JOB_LABEL_PREFIX);

	for (size_t i = 0; i < N(options); i++) {
		if (strcmp(options[i].label, name) != 0)
			continue;
		if (options[i].valid(value))
			return 0;
		return err_set(err, ERR_INVALID, "label %s=%s: %s", label, value, options[i].rule);
	}
	if (job_secrets_is_label(name))
		return job_secrets_check(name, value, err);
	for (size_t i = 0; i < N(other_labels); i++)
		if (strcmp(other_labels[i], name) == 0)
			return 0;
	json_array_append_new(warnings, json_sprintf("Label %s is not known and has no effect.", label));
	return 0;
}

int job_options_check(const json_t *labels, json_t *warnings, struct err *err)
{
	const char *bind, *key;
	json_t *v;

	json_object_foreach((json_t *)labels, key, v)
		if (strncmp(key, JOB_LABEL_PREFIX, strlen(JOB_LABEL_PREFIX)) == 0 &&
		    check_label(key, json_string_value(v), warnings, err) < 0)
			return -1;
	bind = json_string_value(json_object_get(labels, JOB_LABEL_PREFIX "bind"));
	if (bind && strcmp(bind, "upload") != 0 && strcmp(bind, "refuse") != 0)
		return err_set(err, ERR_INVALID, "label " JOB_LABEL_PREFIX "bind=%s: want upload or refuse", bind);
	if (json_object_get(labels, JOB_LABEL_PREFIX "vpc-connector") && json_object_get(labels, JOB_LABEL_PREFIX "network"))
		return err_set(err, ERR_INVALID, "labels " JOB_LABEL_PREFIX "vpc-connector and " JOB_LABEL_PREFIX "network "
			       "exclude each other: a job reaches its network by one of them");
	return 0;
}

/* ---- values --------------------------------------------------------------------------------------- */

const char *job_label(const struct container *c, enum job_option option)
{
	AUTO_FREE char *key = xasprintf(JOB_LABEL_PREFIX "%s", options[option].label);

	return json_string_value(json_object_get(json_object_get(c->config, "Labels"), key));
}

const char *job_option(const struct config *cfg, const struct container *c, enum job_option option)
{
	const char *label = job_label(c, option);

	if (label || options[option].offset == NO_SETTING)
		return label;
	return *(char *const *)((const char *)cfg + options[option].offset);
}

int64_t job_timeout_s(const struct config *cfg, const struct container *c, bool gpu)
{
	const char *label = job_label(c, JOB_TIMEOUT);
	int64_t ms;

	if (!label || parse_duration_ms(label, &ms) < 0)
		ms = cfg->task_timeout_ms;
	if (gpu && ms > HOUR_MS)
		ms = HOUR_MS;
	return (ms + 999) / 1000;
}

static json_t *network_interface(const struct config *cfg, const struct container *c)
{
	const char *network = job_option(cfg, c, JOB_NETWORK), *subnetwork = job_option(cfg, c, JOB_SUBNETWORK);
	const char *tags = job_option(cfg, c, JOB_NETWORK_TAGS);
	json_t *o = json_object(), *list = json_array();

	if (network)
		json_object_set_new(o, "network", json_string(network));
	if (subnetwork)
		json_object_set_new(o, "subnetwork", json_string(subnetwork));
	for (const char *at = tags; at && *at; at += strcspn(at, ","), at += *at == ',')
		json_array_append_new(list, json_stringn(at, strcspn(at, ",")));
	if (json_array_size(list))
		json_object_set(o, "tags", list);
	json_decref(list);
	return o;
}

json_t *job_vpc_access(const struct config *cfg, const struct container *c)
{
	const char *egress = job_option(cfg, c, JOB_VPC_EGRESS);
	const char *connector = job_option(cfg, c, JOB_VPC_CONNECTOR);
	bool direct = job_option(cfg, c, JOB_NETWORK) || job_option(cfg, c, JOB_SUBNETWORK);
	json_t *o;

	/* A label of the one kind wins over the settings of the other. */
	if (job_label(c, JOB_VPC_CONNECTOR))
		direct = false;
	else if (job_label(c, JOB_NETWORK) || job_label(c, JOB_SUBNETWORK))
		connector = NULL;
	if (!connector && !direct)
		return NULL;
	o = connector ? json_pack("{s:s}", "connector", connector)
		      : json_pack("{s:[o]}", "networkInterfaces", network_interface(cfg, c));
	json_object_set_new(o, "egress", json_string(egress && strcmp(egress, "private-ranges-only") == 0
						     ? "PRIVATE_RANGES_ONLY" : "ALL_TRAFFIC"));
	return o;
}
