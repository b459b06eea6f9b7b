/* fuzz: everything in parse.c and the clock's RFC 3339, on one text. Byte 0 chooses the function.
 * What is accepted has the properties it promises; what can be written can be read back. */
#include "../../src/base/parse.c"
#include "base/token.h"

#include "check.h"

static void check_number(const char *s)
{
	char back[32];
	int64_t v, again;

	if (parse_i64(s, &v) < 0)
		return;
	snprintf(back, sizeof(back), "%lld", (long long)v);
	CHECK(parse_i64(back, &again) == 0 && again == v);
}

static void check_time(const char *s)
{
	char out[CLOCK_RFC3339_MAX];
	int64_t ns, again;

	if (parse_docker_time(s, &ns) < 0)
		return;
	if (ns && ns > -62135596800LL) {
		CHECK(clock_parse(clock_format(ns, ns & 1, out), &again) == 0);
		CHECK(again == ns);
	}
}

static void check_query(const char *s)
{
	char *v;

	for (const char *const *k = (const char *const[]){"a", "filters", "", NULL}; *k; k++) {
		v = parse_query(s, *k);
		CHECK(!v || strlen(v) <= strlen(s));
		free(v);
	}
}

static void check_percent(char *s)
{
	size_t before = strlen(s);
	int n = parse_percent_decode(s);

	CHECK(n < 0 || ((size_t)n <= before && strlen(s) == (size_t)n));
}

static void check_base64(const char *s, size_t size)
{
	size_t n, again_n;
	uint8_t *bytes = base64_decode(s, &n), *again;
	char *text;

	if (bytes) {
		CHECK(n <= size / 4 * 3 + 2);
		text = xmalloc(base64_encoded_len(n) + 1);
		base64_encode(bytes, n, text);
		CHECK(strlen(text) == base64_encoded_len(n));
		again = base64_decode(text, &again_n);
		CHECK(again && again_n == n && memcmp(again, bytes, n) == 0);
		free(again);
		free(text);
	}
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t raw[8];
	int64_t ms;
	char *s;
	int sig;

	if (size < 1 || size > 4096)
		return 0;
	s = xstrndup((const char *)data + 1, size - 1);
	switch (data[0] % 9) {
	case 0:
		check_number(s);
		break;
	case 1:
		parse_duration_ms(s, &ms);
		break;
	case 2:
		parse_docker_bool(s);
		break;
	case 3:
		check_time(s);
		break;
	case 4:
		sig = parse_signal(s);
		CHECK(sig == -1 || (sig >= 1 && sig <= 64));
		break;
	case 5:
		check_percent(s);
		break;
	case 6:
		check_query(s);
		break;
	case 7:
		check_base64(s, strlen(s));
		break;
	case 8:
		hex_decode(s, raw, sizeof(raw));
		token_equal("secret", s);
		break;
	}
	free(s);
	return 0;
}
