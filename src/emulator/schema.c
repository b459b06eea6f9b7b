/* schema - the known fields of every message, and the walk that checks against them; see schema.h.
 * Source of the tables: the published discovery documents of run v2 and logging v2. */
#include "schema.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

enum kind { STRING, BOOL, INT32, INT64, DURATION, ENUM, MAP, MESSAGE, ANY };

enum {
	REPEATED = 1,
	READ_ONLY = 2, /* accepted and ignored, as output-only fields are */
	PRESENCE = 4,  /* optional or oneof: an explicit default is kept */
};

struct field {
	const char *name;
	enum kind kind;
	unsigned flags;
	const struct schema *message;
	const char *const *values; /* of an enum; the first is its default */
	const char *type;          /* of an enum, for the error's sentence */
};

struct schema {
	const struct field *fields; /* ends with a NULL name */
};

#define VALUES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define MSG(n, m, fl) { .name = n, .kind = MESSAGE, .flags = fl, .message = &m }
#define STR(n, fl) { .name = n, .kind = STRING, .flags = fl }
#define F(n, k, fl) { .name = n, .kind = k, .flags = fl }
#define MESSAGE_OF(id, ...) \
	const struct schema id = { (const struct field[]){ __VA_ARGS__, { .name = NULL } } }

static MESSAGE_OF(secret_key_selector, STR("secret", 0), STR("version", 0));
static MESSAGE_OF(env_var_source, MSG("secretKeyRef", secret_key_selector, 0));
static MESSAGE_OF(env_var, STR("name", 0), STR("value", PRESENCE),
		  MSG("valueSource", env_var_source, 0));
static MESSAGE_OF(resources, F("limits", MAP, 0), F("cpuIdle", BOOL, 0), F("startupCpuBoost", BOOL, 0));
static MESSAGE_OF(container_port, STR("name", 0), F("containerPort", INT32, 0));
static MESSAGE_OF(volume_mount, STR("name", 0), STR("mountPath", 0), STR("subPath", 0));
static MESSAGE_OF(http_header, STR("name", 0), STR("value", 0));
static MESSAGE_OF(http_get, STR("path", 0), F("port", INT32, 0),
		  MSG("httpHeaders", http_header, REPEATED));
static MESSAGE_OF(tcp_socket, F("port", INT32, 0));
static MESSAGE_OF(grpc_action, F("port", INT32, 0), STR("service", 0));
static MESSAGE_OF(probe, F("initialDelaySeconds", INT32, 0), F("timeoutSeconds", INT32, 0),
		  F("periodSeconds", INT32, 0), F("failureThreshold", INT32, 0),
		  MSG("httpGet", http_get, 0), MSG("tcpSocket", tcp_socket, 0),
		  MSG("grpc", grpc_action, 0));
static MESSAGE_OF(cloud_storage_source, STR("bucket", 0), STR("object", 0),
		  F("generation", INT64, 0));
static MESSAGE_OF(source_file, STR("filename", 0), STR("content", 0));
static MESSAGE_OF(inlined_source, MSG("sources", source_file, REPEATED));
static MESSAGE_OF(source_code, MSG("cloudStorageSource", cloud_storage_source, 0),
		  MSG("inlinedSource", inlined_source, 0));
static MESSAGE_OF(container,
	STR("name", 0), STR("image", 0), STR("command", REPEATED), STR("args", REPEATED),
	MSG("env", env_var, REPEATED), MSG("resources", resources, 0),
	MSG("ports", container_port, REPEATED), MSG("volumeMounts", volume_mount, REPEATED),
	STR("workingDir", 0), MSG("livenessProbe", probe, 0), MSG("startupProbe", probe, 0),
	MSG("readinessProbe", probe, 0), STR("dependsOn", REPEATED), STR("baseImageUri", 0),
	F("buildInfo", ANY, READ_ONLY), MSG("sourceCode", source_code, 0),
	F("sandboxLauncher", BOOL, 0));
static MESSAGE_OF(empty_dir,
	{ .name = "medium", .kind = ENUM, .values = VALUES("MEDIUM_UNSPECIFIED", "MEMORY", "DISK"),
	  .type = "google.cloud.run.v2.EmptyDirVolumeSource.Medium" },
	STR("sizeLimit", 0));
static MESSAGE_OF(version_to_path, STR("path", 0), STR("version", 0), F("mode", INT32, 0));
static MESSAGE_OF(secret_volume, STR("secret", 0), MSG("items", version_to_path, REPEATED),
		  F("defaultMode", INT32, 0));
static MESSAGE_OF(gcs_volume, STR("bucket", 0), F("readOnly", BOOL, 0),
		  STR("mountOptions", REPEATED));
static MESSAGE_OF(nfs_volume, STR("server", 0), STR("path", 0), F("readOnly", BOOL, 0));
static MESSAGE_OF(cloud_sql, STR("instances", REPEATED));
static MESSAGE_OF(volume, STR("name", 0), MSG("secret", secret_volume, 0),
		  MSG("cloudSqlInstance", cloud_sql, 0), MSG("emptyDir", empty_dir, 0),
		  MSG("nfs", nfs_volume, 0), MSG("gcs", gcs_volume, 0));
static MESSAGE_OF(network_interface, STR("network", 0), STR("subnetwork", 0),
		  STR("tags", REPEATED));
static MESSAGE_OF(vpc_access, STR("connector", 0),
	{ .name = "egress", .kind = ENUM, .values = VALUES("VPC_EGRESS_UNSPECIFIED", "ALL_TRAFFIC",
					   "PRIVATE_RANGES_ONLY"),
	  .type = "google.cloud.run.v2.VpcAccess.VpcEgress" },
	MSG("networkInterfaces", network_interface, REPEATED));
static MESSAGE_OF(node_selector, STR("accelerator", 0));
static MESSAGE_OF(task_template,
	MSG("containers", container, REPEATED), MSG("volumes", volume, REPEATED),
	F("maxRetries", INT32, PRESENCE), F("timeout", DURATION, 0), STR("serviceAccount", 0),
	{ .name = "executionEnvironment", .kind = ENUM,
	  .values = VALUES("EXECUTION_ENVIRONMENT_UNSPECIFIED", "EXECUTION_ENVIRONMENT_GEN1",
			   "EXECUTION_ENVIRONMENT_GEN2"),
	  .type = "google.cloud.run.v2.ExecutionEnvironment" },
	STR("encryptionKey", 0), MSG("vpcAccess", vpc_access, 0),
	MSG("nodeSelector", node_selector, 0), F("gpuZonalRedundancyDisabled", BOOL, PRESENCE));
static MESSAGE_OF(execution_template, F("labels", MAP, 0), F("annotations", MAP, 0),
		  F("parallelism", INT32, 0), F("taskCount", INT32, 0),
		  MSG("template", task_template, 0), STR("client", 0), STR("clientVersion", 0));
static MESSAGE_OF(binary_authorization, F("useDefault", BOOL, 0), STR("policy", 0),
		  STR("breakglassJustification", 0));
MESSAGE_OF(schema_job,
	STR("name", 0), STR("uid", READ_ONLY), F("generation", ANY, READ_ONLY),
	F("labels", MAP, 0), F("annotations", MAP, 0), STR("createTime", READ_ONLY),
	STR("updateTime", READ_ONLY), STR("deleteTime", READ_ONLY), STR("expireTime", READ_ONLY),
	STR("creator", READ_ONLY), STR("lastModifier", READ_ONLY), STR("client", 0),
	STR("clientVersion", 0),
	{ .name = "launchStage", .kind = ENUM,
	  .values = VALUES("LAUNCH_STAGE_UNSPECIFIED", "UNIMPLEMENTED", "PRELAUNCH",
			   "EARLY_ACCESS", "ALPHA", "BETA", "GA", "DEPRECATED"),
	  .type = "google.api.LaunchStage" },
	MSG("binaryAuthorization", binary_authorization, 0),
	MSG("template", execution_template, 0), F("observedGeneration", ANY, READ_ONLY),
	F("terminalCondition", ANY, READ_ONLY), F("conditions", ANY, READ_ONLY),
	F("executionCount", ANY, READ_ONLY), F("latestCreatedExecution", ANY, READ_ONLY),
	F("reconciling", ANY, READ_ONLY), F("satisfiesPzs", ANY, READ_ONLY),
	STR("startExecutionToken", 0), STR("runExecutionToken", 0), STR("etag", 0));
static MESSAGE_OF(container_override, STR("name", 0), STR("args", REPEATED),
		  MSG("env", env_var, REPEATED), F("clearArgs", BOOL, 0));
static MESSAGE_OF(overrides, MSG("containerOverrides", container_override, REPEATED),
		  F("taskCount", INT32, 0), F("timeout", DURATION, 0));
MESSAGE_OF(schema_run_job_request, F("validateOnly", BOOL, 0), STR("etag", 0),
	   MSG("overrides", overrides, 0));
MESSAGE_OF(schema_cancel_request, F("validateOnly", BOOL, 0), STR("etag", 0));
MESSAGE_OF(schema_wait_request, F("timeout", DURATION, 0));

static MESSAGE_OF(bucket_level_access, F("enabled", BOOL, 0));
static MESSAGE_OF(iam_configuration, MSG("uniformBucketLevelAccess", bucket_level_access, 0),
		  STR("publicAccessPrevention", 0));
MESSAGE_OF(schema_bucket, STR("name", 0), STR("location", 0), STR("storageClass", 0), F("labels", MAP, 0),
	   MSG("iamConfiguration", iam_configuration, 0));

static MESSAGE_OF(monitored_resource, STR("type", 0), F("labels", MAP, 0));
static MESSAGE_OF(log_entry,
	STR("logName", 0), MSG("resource", monitored_resource, 0), F("protoPayload", ANY, 0),
	STR("textPayload", PRESENCE), F("jsonPayload", ANY, 0), STR("timestamp", 0),
	STR("receiveTimestamp", READ_ONLY), STR("insertId", 0), F("httpRequest", ANY, 0),
	{ .name = "severity", .kind = ENUM,
	  .values = VALUES("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL",
			   "ALERT", "EMERGENCY"),
	  .type = "google.logging.type.LogSeverity" },
	F("labels", MAP, 0), F("operation", ANY, 0), STR("trace", 0), STR("spanId", 0),
	F("traceSampled", BOOL, 0), F("sourceLocation", ANY, 0), F("split", ANY, 0),
	F("metadata", ANY, READ_ONLY), F("errorGroups", ANY, READ_ONLY), F("otel", ANY, 0),
	F("apphub", ANY, READ_ONLY), F("apphubDestination", ANY, READ_ONLY),
	F("apphubSource", ANY, READ_ONLY));
MESSAGE_OF(schema_list_entries_request, STR("projectIds", REPEATED),
	   STR("resourceNames", REPEATED), STR("filter", 0), STR("orderBy", 0),
	   F("pageSize", INT32, 0), STR("pageToken", 0));
MESSAGE_OF(schema_write_entries_request, STR("logName", 0),
	   MSG("resource", monitored_resource, 0), F("labels", MAP, 0),
	   MSG("entries", log_entry, REPEATED), F("partialSuccess", BOOL, 0), F("dryRun", BOOL, 0));

#define PATH_MAX_LEN 256

static json_t *parse_message(const struct schema *m, const char *path, const json_t *in,
			     struct rpc_error *e);

/* Errors name fields as the .proto files do: task_count, not taskCount. */
static void join_path(char out[PATH_MAX_LEN], const char *path, const char *camel)
{
	size_t n = (size_t)snprintf(out, PATH_MAX_LEN, "%s%s", path, *path ? "." : "");

	for (; *camel && n + 3 < PATH_MAX_LEN; camel++) {
		if (isupper((unsigned char)*camel))
			out[n++] = '_';
		out[n++] = (char)tolower((unsigned char)*camel);
	}
	out[n < PATH_MAX_LEN ? n : PATH_MAX_LEN - 1] = 0;
}

/* proto3 JSON accepts the field's own name beside the lowerCamelCase one. */
static bool same_name(const char *camel, const char *given)
{
	for (; *camel || *given; camel++, given++) {
		if (*given == '_' && isupper((unsigned char)*camel) &&
		    given[1] == tolower((unsigned char)*camel))
			given++;
		else if (*camel != *given)
			return false;
	}
	return true;
}

static const struct field *find_field(const struct schema *m, const char *name)
{
	for (const struct field *f = m->fields; f->name; f++)
		if (same_name(f->name, name))
			return f;
	return NULL;
}

static const char *type_of(const struct field *f)
{
	static const char *const names[] = {
		[STRING] = "TYPE_STRING", [BOOL] = "TYPE_BOOL", [INT32] = "TYPE_INT32",
		[INT64] = "TYPE_INT64",
		[DURATION] = "type.googleapis.com/google.protobuf.Duration",
		[MAP] = "TYPE_MESSAGE", [MESSAGE] = "TYPE_MESSAGE", [ANY] = "TYPE_MESSAGE",
	};
	return f->kind == ENUM ? f->type : names[f->kind];
}

static json_t *bad_value(const struct field *f, const char *path, const json_t *v,
			 struct rpc_error *e)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

	rpc_bad_json(e, path, "Invalid value at '%s' (%s%s), %.200s", path,
		     f->kind == ENUM ? "type.googleapis.com/" : "", type_of(f), text ? text : "");
	free(text);
	return NULL;
}

static json_t *parse_integer(const struct field *f, const char *path, const json_t *v,
			     struct rpc_error *e)
{
	int64_t n;

	if (json_is_integer(v))
		n = json_integer_value(v);
	else if (json_is_real(v) && json_real_value(v) >= -9e15 && json_real_value(v) <= 9e15 &&
		 json_real_value(v) == (double)(int64_t)json_real_value(v))
		n = (int64_t)json_real_value(v);
	else if (!json_is_string(v) || parse_i64(json_string_value(v), &n) < 0)
		return bad_value(f, path, v, e);
	if (f->kind == INT32 && (n < INT32_MIN || n > INT32_MAX))
		return bad_value(f, path, v, e);
	if (f->kind == INT64) {
		char text[24];
		snprintf(text, sizeof text, "%" PRId64, n);
		return json_string(text);
	}
	return json_integer(n);
}

static json_t *parse_enum(const struct field *f, const char *path, const json_t *v,
			  struct rpc_error *e)
{
	for (size_t i = 0; f->values[i]; i++)
		if ((json_is_string(v) && !strcmp(f->values[i], json_string_value(v))) ||
		    (json_is_integer(v) && json_integer_value(v) == (json_int_t)i))
			return json_string(f->values[i]);
	return bad_value(f, path, v, e);
}

static json_t *parse_map(const struct field *f, const char *path, const json_t *v,
			 struct rpc_error *e)
{
	const char *key;
	json_t *val;

	if (!json_is_object(v))
		return bad_value(f, path, v, e);
	json_object_foreach((json_t *)v, key, val)
		if (!json_is_string(val)) {
			char entry[PATH_MAX_LEN];
			snprintf(entry, sizeof entry, "%s[%.60s]", path, key);
			return bad_value(&(struct field){ .kind = STRING }, entry, val, e);
		}
	return json_deep_copy(v);
}

static json_t *parse_one(const struct field *f, const char *path, const json_t *v,
			 struct rpc_error *e)
{
	int64_t ms;

	switch (f->kind) {
	case STRING:
		return json_is_string(v) ? json_copy((json_t *)v) : bad_value(f, path, v, e);
	case BOOL:
		return json_is_boolean(v) ? json_boolean(json_is_true(v)) : bad_value(f, path, v, e);
	case INT32:
	case INT64:
		return parse_integer(f, path, v, e);
	case DURATION:
		if (!json_is_string(v) || schema_duration_ms(json_string_value(v), &ms) < 0)
			return bad_value(f, path, v, e);
		return json_copy((json_t *)v);
	case ENUM:
		return parse_enum(f, path, v, e);
	case MAP:
		return parse_map(f, path, v, e);
	case MESSAGE:
		return json_is_object(v) ? parse_message(f->message, path, v, e)
					 : bad_value(f, path, v, e);
	case ANY:
		return json_deep_copy(v);
	}
	return NULL;
}

static json_t *parse_repeated(const struct field *f, const char *path, const json_t *v,
			      struct rpc_error *e)
{
	if (!json_is_array(v))
		return bad_value(f, path, v, e);
	json_t *out = json_array();
	for (size_t i = 0; i < json_array_size(v); i++) {
		char item[PATH_MAX_LEN + 24];
		snprintf(item, sizeof item, "%s[%zu]", path, i);
		json_t *one = parse_one(f, item, json_array_get(v, i), e);
		if (!one) {
			json_decref(out);
			return NULL;
		}
		json_array_append_new(out, one);
	}
	return out;
}

/* What proto3 does not print. A message that is present is printed even when empty. */
static bool is_default(const struct field *f, const json_t *v)
{
	if (f->flags & REPEATED)
		return json_array_size(v) == 0;
	switch (f->kind) {
	case STRING:   return !*json_string_value(v);
	case BOOL:     return !json_is_true(v);
	case INT32:    return json_integer_value(v) == 0;
	case INT64:    return !strcmp(json_string_value(v), "0");
	case ENUM:     return !strcmp(json_string_value(v), f->values[0]);
	case MAP:      return json_object_size(v) == 0;
	default:       return false;
	}
}

static json_t *parse_message(const struct schema *m, const char *path, const json_t *in,
			     struct rpc_error *e)
{
	json_t *out = json_object(), *v;
	const char *key;

	json_object_foreach((json_t *)in, key, v) {
		const struct field *f = find_field(m, key);
		char at[PATH_MAX_LEN];

		if (!f) {
			rpc_bad_json(e, path, "Invalid JSON payload received. Unknown name \"%.100s\""
				     "%s%s%s: Cannot find field.", key, *path ? " at '" : "", path,
				     *path ? "'" : "");
			goto fail;
		}
		if (json_is_null(v) || f->flags & READ_ONLY)
			continue;
		join_path(at, path, f->name);
		if (json_object_get(out, f->name)) {
			rpc_bad_json(e, at, "Invalid JSON payload received. Multiple values for "
				     "field '%s'.", at);
			goto fail;
		}
		json_t *one = f->flags & REPEATED ? parse_repeated(f, at, v, e)
						  : parse_one(f, at, v, e);
		if (!one)
			goto fail;
		if (!(f->flags & PRESENCE) && is_default(f, one))
			json_decref(one);
		else
			json_object_set_new(out, f->name, one);
	}
	return out;
fail:
	json_decref(out);
	return NULL;
}

json_t *schema_parse(const struct schema *m, const char *path, const json_t *in,
		     struct rpc_error *e)
{
	if (!json_is_object(in)) {
		rpc_bad_json(e, path, "Invalid JSON payload received. Expected an object.");
		return NULL;
	}
	return parse_message(m, path, in, e);
}

int schema_duration_ms(const char *s, int64_t *ret_ms)
{
	int64_t sec = 0, ms = 0, unit = 100;

	if (!isdigit((unsigned char)*s))
		return -1;
	for (; isdigit((unsigned char)*s); s++) {
		sec = sec * 10 + (*s - '0');
		if (sec > 315576000000) /* proto's own bound: 10,000 years */
			return -1;
	}
	if (*s == '.')
		for (s++; isdigit((unsigned char)*s); s++, unit /= 10)
			ms += (*s - '0') * unit;
	if (*s != 's' || s[1])
		return -1;
	*ret_ms = sec * 1000 + ms;
	return 0;
}
