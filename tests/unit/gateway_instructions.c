/* Dockerfile instructions on an image's config, as docker import -c and docker commit -c take them. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "image/instructions.h"

/* The config after the instructions (separated by newlines), or the sentence. Caller frees. */
static char *applied(const char *before, const char *instructions)
{
	json_t *config = json_loads(before, 0, NULL);
	char *out = NULL;
	struct err err;

	for (const char *s = instructions; *s && !out; s += strcspn(s, "\n"), s += *s == '\n') {
		AUTO_FREE char *one = xstrndup(s, strcspn(s, "\n"));

		if (instruction_apply(config, one, &err) < 0)
			out = xasprintf("! %s", err.msg);
	}
	if (!out)
		out = json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(config);
	return out;
}

static void expect_all(const char *const (*table)[3], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *got = applied(table[i][0], table[i][1]);

		cr_expect_str_eq(got, table[i][2], "%s: %s", table[i][1], got);
	}
}

Test(instructions, every_instruction)
{
	static const char *const table[][3] = {
		{"{}", "CMD [\"a\",\"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}"},
		{"{}", "cmd echo $HOME", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $HOME\"]}"},
		{"{}", "ENTRYPOINT [\"x\"]", "{\"Entrypoint\":[\"x\"]}"},
		{"{}", "ENTRYPOINT [not json", "{\"Entrypoint\":[\"/bin/sh\",\"-c\",\"[not json\"]}"},
		{"{\"Env\":[\"A=0\",\"B=1\"]}", "ENV A=b C='d e' D=\\\"q\\\"", "{\"Env\":[\"A=b\",\"B=1\",\"C=d e\",\"D=\\\"q\\\"\"]}"},
		{"{}", "ENV K all the rest", "{\"Env\":[\"K=all the rest\"]}"},
		{"{}", "EXPOSE 80 53/udp", "{\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{}}}"},
		{"{}", "LABEL a=b \"c d\"=\"e f\"", "{\"Labels\":{\"a\":\"b\",\"c d\":\"e f\"}}"},
		{"{}", "USER 1:2", "{\"User\":\"1:2\"}"},
		{"{\"WorkingDir\":\"/a\"}", "WORKDIR b", "{\"WorkingDir\":\"/a/b\"}"},
		{"{}", "VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}"},
		{"{}", "VOLUME [\"/a b\"]", "{\"Volumes\":{\"/a b\":{}}}"},
		{"{}", "STOPSIGNAL SIGUSR1", "{\"StopSignal\":\"SIGUSR1\"}"},
		{"{}", "ONBUILD RUN x\nONBUILD RUN y", "{\"OnBuild\":[\"RUN x\",\"RUN y\"]}"},
		{"{}", "HEALTHCHECK --interval=5s --retries=2 CMD true",
		 "{\"Healthcheck\":{\"Interval\":5000000000,\"Retries\":2,\"Test\":[\"CMD-SHELL\",\"true\"]}}"},
		{"{}", "HEALTHCHECK CMD [\"a\"]", "{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"]}}"},
		{"{}", "HEALTHCHECK NONE", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}"},
	};

	expect_all(table, sizeof(table) / sizeof(*table));
}

Test(instructions, refusals_are_sentences)
{
	static const char *const table[][3] = {
		{"{}", "RUN x", "! run is not a valid change command"},
		{"{}", "nonsense", "! nonsense is not a valid change command"},
		{"{}", "ENV", "! ENV requires at least one argument"},
		{"{}", "ENV A", "! ENV must have two arguments"},
		{"{}", "ENV A=b C", "! Syntax error - can't find = in \"C\". Must be of the form: name=value"},
		{"{}", "LABEL =b", "! LABEL names can not be blank"},
		{"{}", "EXPOSE x", "! invalid containerPort: x"},
		{"{}", "EXPOSE 80/ip", "! invalid containerPort: 80/ip"},
		{"{}", "USER a b", "! USER requires exactly one argument"},
		{"{}", "STOPSIGNAL NO", "! Invalid signal: NO"},
		{"{}", "HEALTHCHECK --bogus CMD x", "! Unknown flag: --bogus"},
		{"{}", "HEALTHCHECK RUN x", "! Unknown type \"RUN\" in HEALTHCHECK (try CMD)"},
	};

	expect_all(table, sizeof(table) / sizeof(*table));
}
