/* The predecessor's messages, byte for byte; what is refused; the queue of texts. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "dialect.h"

static struct err err;

static char *encode(const struct dialect_message *m)
{
	struct buf b;

	buf_init(&b, DIALECT_MESSAGE_MAX);
	cr_assert_eq(dialect_encode(m, &b, &err), 0, "%s", err.msg);
	return buf_detach(&b, NULL);
}

#define SAYS(text, ...)                                                                                \
	do {                                                                                           \
		struct dialect_message m_ = {__VA_ARGS__};                                             \
		char *got_ = encode(&m_);                                                              \
		cr_assert_str_eq(got_, text "\n");                                                     \
		free(got_);                                                                            \
	} while (0)

static struct dialect_message decode(const char *text)
{
	struct dialect_message m;

	cr_assert_eq(dialect_decode(text, strlen(text), &m, &err), 0, "%s: %s", text, err.msg);
	return m;
}

static void refused(const char *text)
{
	struct dialect_message m;

	cr_assert_eq(dialect_decode(text, strlen(text), &m, &err), -1, "accepted: %s", text);
}

Test(dialect, messages_are_these_bytes)
{
	char *cmd[] = {"sh", "-c", "echo \"$A\" >b && c"}, *env[] = {"A=\n\x01"};

	SAYS("{\"type\":\"exec\",\"id\":\"e\",\"cmd\":[\"sh\",\"-c\",\"echo \\\"$A\\\" \\u003eb \\u0026\\u0026 c\"],"
	     "\"env\":[\"A=\\u000a\\u0001\"],\"workdir\":\"/tmp\",\"tty\":true}",
	     .type = DIALECT_EXEC, .id = "e", .cmd = {cmd, 3}, .env = {env, 1}, .workdir = "/tmp", .tty = true);
	SAYS("{\"type\":\"attach\",\"id\":\"c\"}", .type = DIALECT_ATTACH, .id = "c");
	SAYS("{\"type\":\"stdin\",\"id\":\"e\",\"data\":\"Mwo=\"}", .type = DIALECT_STDIN, .id = "e",
	     .data = (const uint8_t *)"3\n", .data_len = 2);
	SAYS("{\"type\":\"close_stdin\",\"id\":\"e\"}", .type = DIALECT_CLOSE_STDIN, .id = "e");
	SAYS("{\"type\":\"signal\",\"id\":\"e\",\"signal\":\"SIGTERM\"}", .type = DIALECT_SIGNAL, .id = "e", .signal = "SIGTERM");
	SAYS("{\"type\":\"resize\",\"id\":\"e\",\"width\":100,\"height\":40}", .type = DIALECT_RESIZE, .id = "e", .width = 100, .height = 40);
	SAYS("{\"type\":\"exit\",\"id\":\"e\",\"code\":0}", .type = DIALECT_EXIT, .id = "e", .has_code = true);
	SAYS("{\"type\":\"error\",\"message\":\"exec requires id\"}", .type = DIALECT_ERROR, .message = "exec requires id");
}

Test(dialect, what_is_said_is_understood)
{
	struct dialect_message m = decode("{\"type\":\"exec\",\"id\":\"e\",\"cmd\":[\"a\",\"\"],\"env\":[\"A=\\u003cb\"],"
					  "\"workdir\":\"/w\",\"tty\":true,\"later\":{\"x\":[1]}}\n");

	cr_assert_eq(m.type, DIALECT_EXEC);
	cr_assert_eq(m.cmd.n, 2);
	cr_assert_str_eq(m.cmd.v[1], "");
	cr_assert_str_eq(m.env.v[0], "A=<b");
	cr_assert_str_eq(m.workdir, "/w");
	cr_assert(m.tty);
	dialect_release(&m);
	m = decode("{\"type\":\"stdout\",\"id\":\"e\",\"data\":\"AAH/\"}");
	cr_assert_eq(m.data_len, 3);
	cr_assert_arr_eq(m.data, "\0\1\xff", 3);
	dialect_release(&m);
	m = decode("{\"type\":\"exit\",\"id\":\"e\",\"code\":-1,\"message\":null}");
	cr_assert(m.has_code && m.code == -1 && !m.message);
	dialect_release(&m);
	m = decode("{\"type\":\"exit\",\"id\":\"e\"}");
	cr_assert(!m.has_code && m.code == 0);
	dialect_release(&m);
	m = decode("{\"type\":\"weather\"}");
	cr_assert(m.type == DIALECT_UNKNOWN && !m.id);
	cr_assert_str_eq(m.type_name, "weather");
	dialect_release(&m);
	m = decode("{}");
	cr_assert_eq(m.type, DIALECT_UNKNOWN);
	dialect_release(&m);
}

Test(dialect, nonsense_is_refused)
{
	static const char *const texts[] = {
		"", "x", "[]", "7", "{\"type\":", "{\"type\":1}", "{\"type\":\"exec\",\"cmd\":\"sh\"}",
		"{\"type\":\"exec\",\"cmd\":[1]}", "{\"type\":\"exec\",\"tty\":1}", "{\"type\":\"exit\",\"code\":\"1\"}",
		"{\"type\":\"exit\",\"code\":1.5}", "{\"type\":\"exit\",\"code\":4294967296}", "{\"type\":\"stdin\",\"data\":\"*\"}",
		"{\"type\":\"stdin\",\"data\":7}", "{\"type\":\"resize\",\"width\":70000}", "{\"type\":\"resize\",\"height\":-1}",
		"{\"type\":\"exec\",\"id\":\"\\u0000\"}", "{\"type\":\"exec\"} {}", "{\"type\":\"exec\",\"id\":\"\xff\"}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		refused(texts[i]);
}

Test(dialect, long_messages_have_a_limit)
{
	size_t n = DIALECT_MESSAGE_MAX + 1;
	char *text = malloc(n);
	struct dialect_message m;

	memset(text, ' ', n);
	memcpy(text, "{}", 2);
	cr_assert_eq(dialect_decode(text, n, &m, &err), -1);
	cr_assert_eq(err.kind, ERR_LIMIT);
	cr_assert_eq(dialect_decode(text, n - 1, &m, &err), 0);
	dialect_release(&m);
	free(text);
}

Test(dialect, a_replay_of_1_mib_is_one_message)
{
	uint8_t *bytes = malloc(DIALECT_REPLAY);
	struct dialect_message m = {.type = DIALECT_STDOUT, .id = "c", .data = bytes, .data_len = DIALECT_REPLAY}, back;
	char *text;

	for (size_t i = 0; i < DIALECT_REPLAY; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	text = encode(&m);
	cr_assert(strlen(text) > 1398000);
	back = decode(text);
	cr_assert_eq(back.data_len, DIALECT_REPLAY);
	cr_assert_arr_eq(back.data, bytes, DIALECT_REPLAY);
	dialect_release(&back);
	free(text);
	free(bytes);
}

Test(dialect, only_utf8_goes_through_json)
{
	static const char *const good[] = {"", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
					  "\xf8\x80\x80\x80", "\xf0\x9f\x98", "a\xff"};
	struct buf b;

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		cr_assert(dialect_can_carry(good[i]), "%zu", i);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_not(dialect_can_carry(bad[i]), "%zu", i);
	cr_assert(dialect_can_carry(NULL));
	buf_init(&b, 1000);
	cr_assert_eq(dialect_encode(&(struct dialect_message){.type = DIALECT_EXEC, .workdir = "\xff"}, &b, &err), -1);
	cr_assert_eq(err.kind, ERR_UNSUPPORTED);
	buf_release(&b);
}

Test(dialect, a_message_that_does_not_fit_is_an_error)
{
	uint8_t data[100] = {0};
	struct dialect_message m = {.type = DIALECT_STDIN, .id = "\"&\x01", .data = data, .data_len = 100};
	char *text = encode(&m);
	size_t whole = strlen(text);

	free(text);
	for (size_t max = 0; max <= whole + 1; max++) { /* + 1: base64 ends in a NUL for a moment */
		struct buf b;
		int rc;

		buf_init(&b, max);
		rc = dialect_encode(&m, &b, &err);
		cr_assert(rc == 0 ? b.len == whole : err.kind == ERR_LIMIT, "max %zu", max);
		cr_assert_eq(rc == 0, max >= whole, "max %zu", max);
		buf_release(&b);
	}
}

Test(dialect, it_knows_seven_signals)
{
	cr_assert_str_eq(dialect_signal_name(SIGTERM), "SIGTERM");
	cr_assert_str_eq(dialect_signal_name(SIGUSR2), "SIGUSR2");
	cr_assert_null(dialect_signal_name(SIGWINCH));
	cr_assert_null(dialect_signal_name(0));
	cr_assert_null(dialect_signal_name(1000));
}

Test(dialect, the_queue_keeps_texts_whole_and_in_order)
{
	struct dialect_queue q;
	const uint8_t *p;
	size_t n;

	dialect_queue_init(&q, 64);
	cr_assert_not(dialect_queue_next(&q, &p, &n));
	cr_assert_eq(dialect_queue_put(&q, "first", 5), 0);
	cr_assert_eq(dialect_queue_put(&q, "", 0), 0);
	cr_assert_eq(dialect_queue_put(&q, "third", 5), 0);
	cr_assert_eq(dialect_queue_put(&q, "no room for so many bytes as these are in all", 45), -1);
	cr_assert(dialect_queue_next(&q, &p, &n) && n == 5 && !memcmp(p, "first", 5));
	cr_assert(dialect_queue_next(&q, &p, &n) && n == 0);
	cr_assert_eq(dialect_queue_put(&q, "room for as many bytes as this again", 36), 0);
	cr_assert(dialect_queue_next(&q, &p, &n) && n == 5 && !memcmp(p, "third", 5));
	cr_assert(dialect_queue_next(&q, &p, &n) && n == 36);
	cr_assert_not(dialect_queue_next(&q, &p, &n));
	cr_assert_eq(dialect_queue_len(&q), 0);
	dialect_queue_release(&q);
}
