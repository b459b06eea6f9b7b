/* What a create request may say, how times and commands read, and Go's idea of a JSON object. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/container_options.h"
#include "api/container_spec.h"
#include "api/fields.h"
#include "api/format.h"
#include "base/mem.h"

static json_t *json(const char *text)
{
	json_t *o = json_loads(text, JSON_DECODE_ANY, NULL);

	cr_assert_not_null(o, "%s", text);
	return o;
}

/* ---- fields ---- */

static const struct field fields[] = {
	{"Tty", FIELD_BOOL}, {"Cmd", FIELD_WORDS}, {"Env", FIELD_STRINGS}, {"Labels", FIELD_MAP}, {"N", FIELD_INT},
	{"Image", FIELD_STRING}, {"ConsoleSize", FIELD_SIZE}, {NULL, 0},
};

Test(fields, names_match_in_any_case_and_unknown_ones_go)
{
	json_t *o = json("{\"tty\":true,\"IMAGE\":\"x\",\"Nonsense\":1}"), *want = json("{\"Tty\":true,\"Image\":\"x\"}");

	cr_assert_eq(fields_check(o, "T", fields, NULL), 0);
	cr_assert(json_equal(o, want));
	json_decref(o);
	json_decref(want);
}

Test(fields, a_string_is_a_list_of_words_where_docker_says_so)
{
	json_t *o = json("{\"Cmd\":\"echo hi\"}"), *want = json("{\"Cmd\":[\"echo hi\"]}");

	cr_assert_eq(fields_check(o, "T", fields, NULL), 0);
	cr_assert(json_equal(o, want));
	json_decref(o);
	json_decref(want);
}

Test(fields, null_fits_everywhere)
{
	json_t *o = json("{\"Cmd\":null,\"Tty\":null,\"Labels\":null,\"N\":null}");

	cr_assert_eq(fields_check(o, "T", fields, NULL), 0);
	json_decref(o);
}

Test(fields, wrong_types_are_refused_in_gos_words)
{
	static const char *const bad[][2] = {
		{"{\"Image\":3}", "json: cannot unmarshal number into Go struct field T.Image of type string"},
		{"{\"Tty\":\"x\"}", "json: cannot unmarshal string into Go struct field T.Tty of type bool"},
		{"{\"Env\":\"x\"}", "json: cannot unmarshal string into Go struct field T.Env of type []string"},
		{"{\"Env\":[1]}", "json: cannot unmarshal number into Go struct field T.Env of type []string"},
		{"{\"Cmd\":{}}", "json: cannot unmarshal object into Go struct field T.Cmd of type strslice.StrSlice"},
		{"{\"Labels\":{\"a\":true}}", "json: cannot unmarshal bool into Go struct field T.Labels of type map[string]string"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *o = json(bad[i][0]);
		struct err err;

		cr_assert_eq(fields_check(o, "T", fields, &err), -1, "%s", bad[i][0]);
		cr_assert_str_eq(err.msg, bad[i][1]);
		cr_assert_eq(err.kind, ERR_INVALID);
		json_decref(o);
	}
}

/* ---- format ---- */

Test(format, durations_read_as_in_docker_ps)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} table[] = {
		{0, "Less than a second"}, {1, "1 second"}, {2, "2 seconds"}, {59, "59 seconds"}, {60, "About a minute"},
		{119, "About a minute"}, {120, "2 minutes"}, {2700, "45 minutes"}, {3599, "59 minutes"},
		{3600, "About an hour"}, {5399, "About an hour"}, {5400, "2 hours"}, {47 * 3600, "47 hours"},
		{48 * 3600, "2 days"}, {14 * 86400, "2 weeks"}, {60 * 86400, "2 months"}, {730 * 86400, "2 years"},
	};
	char out[FORMAT_DURATION_MAX];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		cr_assert_str_eq(format_duration(table[i].seconds * 1000000000, out), table[i].text);
}

Test(format, commands_quote_words_with_blanks_but_never_the_first)
{
	json_t *a = json("[\"my prog\"]"), *b = json("[\"-c\",\"sleep 100\"]");
	char *text = format_command(a, b);

	cr_assert_str_eq(text, "my prog -c 'sleep 100'");
	free(text);
	text = format_command(NULL, NULL);
	cr_assert_str_eq(text, "");
	free(text);
	json_decref(a);
	json_decref(b);
}

/* ---- container_spec ---- */

static void expect_host(const char *text, enum err_kind kind, size_t n_warnings)
{
	json_t *host = json(text), *warnings = json_array();
	struct err err = {0};
	int rc = container_spec_host(host, warnings, &err);

	cr_assert_eq(rc, kind ? -1 : 0, "%s: %s", text, err.msg);
	cr_assert_eq(err.kind, kind, "%s: %s", text, err.msg);
	if (!kind)
		cr_assert_eq(json_array_size(warnings), n_warnings, "%s", text);
	json_decref(host);
	json_decref(warnings);
}

Test(container_spec, what_the_docker_client_sends_by_itself_is_fine)
{
	expect_host("{\"Binds\":null,\"ContainerIDFile\":\"\",\"LogConfig\":{\"Type\":\"\",\"Config\":{}},\"NetworkMode\":"
		    "\"bridge\",\"PortBindings\":{},\"RestartPolicy\":{\"Name\":\"no\",\"MaximumRetryCount\":0},\"AutoRemove\":"
		    "true,\"ConsoleSize\":[24,80],\"CapAdd\":null,\"CgroupnsMode\":\"\",\"Dns\":[],\"IpcMode\":\"\",\"PidMode\":\"\","
		    "\"Privileged\":false,\"UTSMode\":\"\",\"ShmSize\":0,\"MemorySwappiness\":-1,\"OomKillDisable\":false,"
		    "\"PidsLimit\":0,\"Ulimits\":[],\"MaskedPaths\":null}", ERR_NONE, 0);
}

Test(container_spec, what_cannot_be_had_is_refused)
{
	static const char *const bad[] = {
		"{\"Privileged\":true}", "{\"CapAdd\":[\"SYS_ADMIN\"]}", "{\"Devices\":[{}]}", "{\"PidMode\":\"host\"}",
		"{\"IpcMode\":\"host\"}", "{\"SecurityOpt\":[\"bogus\"]}", "{\"CapAdd\":[\"ALL\"]}",
		"{\"Runtime\":\"kata\"}", "{\"Memory\":1000}", "{\"RestartPolicy\":{\"Name\":\"maybe\"}}",
		"{\"RestartPolicy\":{\"Name\":\"always\"},\"AutoRemove\":true}",
		"{\"RestartPolicy\":{\"Name\":\"always\",\"MaximumRetryCount\":3}}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_host(bad[i], ERR_INVALID, 0);
}

Test(container_spec, what_has_no_effect_is_told)
{
	expect_host("{\"OomScoreAdj\":5,\"CpuShares\":10}", ERR_NONE, 2);
	expect_host("{\"SecurityOpt\":[\"seccomp=unconfined\"]}", ERR_NONE, 0);
}

Test(container_spec, defaults_are_filled_in)
{
	json_t *host = json("{\"memory\":67108864,\"RestartPolicy\":{\"Name\":\"\"}}"), *warnings = json_array();

	cr_assert_eq(container_spec_host(host, warnings, NULL), 0);
	cr_assert_eq(json_integer_value(json_object_get(host, "Memory")), 67108864);
	cr_assert_str_eq(json_string_value(json_object_get(host, "NetworkMode")), "default");
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(host, "RestartPolicy"), "Name")), "no");
	cr_assert_eq(json_integer_value(json_object_get(host, "ShmSize")), 67108864);
	json_decref(host);
	json_decref(warnings);
}

Test(container_spec, config_is_checked)
{
	static const char *const bad[] = {
		"{}", "{\"Image\":\"\"}", "{\"Image\":\"x\",\"Env\":[\"=x\"]}", "{\"Image\":\"x\",\"WorkingDir\":\"rel\"}",
		"{\"Image\":\"x\",\"StopSignal\":\"SIGNOPE\"}", "{\"Image\":\"x\",\"Tty\":1}",
	};
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *o = json(bad[i]);

		cr_assert_eq(container_spec_config(o, &err), -1, "%s", bad[i]);
		cr_assert_eq(err.kind, ERR_INVALID);
		json_decref(o);
	}
}

Test(container_spec, inspect_shows_every_member)
{
	json_t *config = json("{\"Tty\":true,\"Labels\":null}"), *shown = container_spec_shown(config);

	cr_assert(json_is_true(json_object_get(shown, "Tty")));
	cr_assert(json_is_object(json_object_get(shown, "Labels")));
	cr_assert(json_is_false(json_object_get(shown, "OpenStdin")));
	json_decref(config);
	json_decref(shown);
}

/* ---- the table of options ---- */

static void says(const char *text, const char *part)
{
	json_t *host = json(text), *warnings = json_array();
	AUTO_FREE char *told = NULL;
	struct err err = {0};
	int rc = container_spec_host(host, warnings, &err);

	told = json_dumps(warnings, 0);
	cr_expect(strstr(rc < 0 ? err.msg : told, part), "%s: %s", text, rc < 0 ? err.msg : told);
	json_decref(host);
	json_decref(warnings);
}

Test(options, every_value_has_its_sentence)
{
	static const char *const table[][2] = {
		{"{\"NanoCpus\":1000000000,\"CpuPeriod\":100000}", "Conflicting options: Nano CPUs and CPU Period cannot both be set"},
		{"{\"NanoCpus\":1000000000,\"CpuQuota\":100000}", "Conflicting options: Nano CPUs and CPU Quota cannot both be set"},
		{"{\"CpuPeriod\":10}", "CPU cfs period can not be less than 1ms"},
		{"{\"CpuQuota\":10}", "CPU cfs quota can not be less than 1ms"},
		{"{\"Memory\":10000000,\"MemorySwap\":5000000}", "Minimum memoryswap limit should be larger than memory limit"},
		{"{\"MemorySwap\":5000000}", "You should always set the Memory limit when using Memoryswap limit"},
		{"{\"Memory\":10000000,\"MemoryReservation\":20000000}", "can not be less than memory reservation limit"},
		{"{\"MemoryReservation\":1000}", "Minimum memory reservation allowed is 6MB"},
		{"{\"MemorySwappiness\":200}", "valid memory swappiness range is 0-100"},
		{"{\"ShmSize\":-1}", "SHM size can not be less than 0"},
		{"{\"ShmSize\":1000}", "ShmSize has no effect"},
		{"{\"ShmSize\":67108864}", "[]"},
		{"{\"OomScoreAdj\":2000}", "range for oom score adj is [-1000, 1000]"},
		{"{\"CapAdd\":[\"FOO\"]}", "invalid CapAdd: unknown capability: \"CAP_FOO\""},
		{"{\"CapDrop\":[\"FOO\"]}", "invalid CapDrop: unknown capability: \"CAP_FOO\""},
		{"{\"CapAdd\":[\"cap_net_admin\"]}", "CapAdd NET_ADMIN is not available"},
		{"{\"CapAdd\":[\"chown\"]}", "[]"},
		{"{\"CapAdd\":[\"SYS_PTRACE\"]}", "CapAdd SYS_PTRACE has no effect"},
		{"{\"CapDrop\":[\"ALL\"]}", "CapDrop has no effect"},
		{"{\"SecurityOpt\":[\"bogus\"]}", "invalid --security-opt 1: \"bogus\""},
		{"{\"SecurityOpt\":[\"no-new-privileges\"]}", "Security option no-new-privileges has no effect"},
		{"{\"SecurityOpt\":[\"no-new-privileges:false\",\"seccomp=unconfined\",\"label:disable\"]}", "[]"},
		{"{\"SecurityOpt\":[\"seccomp={}\"]}", "Security option seccomp has no effect"},
		{"{\"ReadonlyRootfs\":true}", "ReadonlyRootfs has no effect"},
		{"{\"LogConfig\":{\"Type\":\"nope\"}}", "error looking up logging plugin nope: plugin \"nope\" not found"},
		{"{\"LogConfig\":{\"Type\":\"json-file\",\"Config\":{\"bogus\":\"1\"}}}", "unknown log opt 'bogus' for json-file log driver"},
		{"{\"LogConfig\":{\"Type\":\"local\",\"Config\":{\"max-size\":\"1m\"}}}", "[]"},
		{"{\"LogConfig\":{\"Type\":\"syslog\"}}", "log driver \"syslog\" is not available"},
		{"{\"LogConfig\":{\"Type\":\"none\"}}", "Log driver none has no effect"},
		{"{\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":10,\"Hard\":20}]}", "[]"},
		{"{\"Ulimits\":[{\"Name\":\"core\",\"Soft\":10,\"Hard\":20}]}", "other than nofile have no effect"},
		{"{\"Ulimits\":[{\"Name\":\"nofile\",\"Soft\":10,\"Hard\":5}]}", "must be less than or equal to hard limit: 10 > 5"},
		{"{\"Ulimits\":[1]}", "cannot unmarshal"},
		{"{\"ExtraHosts\":[\"bad\"]}", "bad format for add-host: \"bad\""},
		{"{\"ExtraHosts\":[\"a:nope\"]}", "invalid IP address in add-host: \"nope\""},
		{"{\"ExtraHosts\":[\"a:host-gateway\"]}", "host-gateway is not available"},
		{"{\"ExtraHosts\":[\"a:1.2.3.4\",\"b:[::1]\",\"c=::1\"]}", "[]"},
		{"{\"Dns\":[\"nope\"]}", "invalid IP address in dns: \"nope\""},
		{"{\"Dns\":[\"8.8.8.8\"],\"DnsSearch\":[\"x\"],\"DnsOptions\":[\"ndots:1\"]}", "[]"},
		{"{\"DeviceRequests\":[{\"Count\":-1,\"Capabilities\":[[\"gpu\"]]}]}", "[]"},
		{"{\"DeviceRequests\":[{\"Count\":2,\"Capabilities\":[[\"gpu\"]]}]}", "one GPU at most"},
		{"{\"DeviceRequests\":[{\"Driver\":\"cdi\",\"DeviceIDs\":[\"x\"]}]}", "could not select device driver \"cdi\""},
		{"{\"UsernsMode\":\"host\",\"Init\":true,\"MemorySwap\":-1}", "[]"},
		{"{\"UsernsMode\":\"private\"}", "UsernsMode \"private\" is not available on Cloud Run"},
		{"{\"Privileged\":true}", "Privileged mode is not available: Cloud Run gives every container the same rights "
		 "(HostConfig.Privileged)"},
		{"{\"Sysctls\":{\"a\":\"b\"}}", "(HostConfig.Sysctls)"},
		{"{\"BlkioWeight\":5,\"BlkioDeviceReadBps\":[{}],\"BlkioDeviceWriteBps\":[{}]}",
		 "[\"Block I/O weight has no effect on Cloud Run. Weight discarded.\", \"Block I/O limits have no effect on Cloud Run.\"]"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		says(table[i][0], table[i][1]);
}

/* The documentation shows the table as it is; on a difference, the rows it should have are printed. */
static void expect_documented(const char *doc, const char *where, const struct option *o)
{
	for (; o->name; o++) {
		AUTO_FREE char *line = xasprintf("| `%s%s` | %s | %s |\n", where, o->name, option_fate_name(o->fate), o->text);

		cr_expect(strstr(doc, line), "docs/docker-api-mapping.md lacks the row\n%s", line);
	}
}

Test(options, the_documentation_has_every_row)
{
	FILE *f = fopen("docs/docker-api-mapping.md", "r");
	static char doc[1 << 20];

	cr_assert(f, "run the tests in the project's folder");
	doc[fread(doc, 1, sizeof(doc) - 1, f)] = '\0';
	fclose(f);
	expect_documented(doc, "", config_options);
	expect_documented(doc, "HostConfig.", host_options);
}

/* Every field of the published interface has a fate. Needs SPEC_DIR with the swagger documents. */
Test(options, the_published_interface_has_no_other_field)
{
	const char *dir = getenv("SPEC_DIR");
	AUTO_FREE char *path = NULL, *text = NULL;
	FILE *f;

	if (!dir || !*dir)
		cr_skip_test("SPEC_DIR is not set");
	path = xasprintf("%s/v1.55.yaml", dir);
	f = fopen(path, "r");
	cr_assert(f, "%s", path);
	text = xcalloc(1, 4 << 20);
	cr_assert(fread(text, 1, (4 << 20) - 1, f) > 0);
	fclose(f);
	for (int i = 0; i < 3; i++) {
		static const struct { const char *definition; int indent; } parts[] = {
			{"\n  ContainerConfig:\n", 6}, {"\n  HostConfig:\n", 10}, {"\n  Resources:\n", 6},
		};
		const struct option *options = i == 0 ? config_options : host_options;
		char *at = strstr(text, parts[i].definition), *end;
		int seen = 0;

		cr_assert(at, "%s", parts[i].definition);
		at += strlen(parts[i].definition);
		end = at;
		while ((end = strstr(end, "\n  ")) && (end[3] < 'A' || end[3] > 'Z')) /* the next definition */
			end++;
		cr_assert(end);
		for (char *line = at; line < end; line = strchr(line, '\n') + 1) {
			int n = (int)strspn(line, " ");
			size_t len = strcspn(line + n, ":\n");
			bool known = false;

			if (n != parts[i].indent || line[n] < 'A' || line[n] > 'Z' || line[n + (int)len] != ':')
				continue;
			for (const struct option *o = options; o->name; o++)
				known = known || (strlen(o->name) == len && strncmp(o->name, line + n, len) == 0);
			cr_expect(known, "%.*s has no row", (int)len, line + n);
			seen++;
		}
		cr_expect(seen > 20, "%s: only %d fields were read", parts[i].definition, seen);
	}
}
