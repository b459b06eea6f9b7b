/* net/http1: bytes in, events out; every case at once and one byte at a time. */
#include <criterion/criterion.h>
#include <string.h>

#include "../../src/net/http1.h"
#include "base/buf.h"

#define HEAD_MAX 4096

/* What the parser says about text, fed step bytes at a time, as one line. Bodies are joined. */
static void transcript(struct http1 *h, const char *text, size_t n, size_t step, struct buf *out)
{
	size_t off = 0, fed = 0;
	bool in_body = false;

	for (;;) {
		const char *body;
		size_t used, len;
		struct err err;
		enum http1_event e = http1_next(h, text + off, fed - off, &used, &body, &len, &err);

		cr_assert_leq(used, fed - off);
		off += used;
		if (e != HTTP1_BODY && e != HTTP1_MORE && in_body) {
			buf_printf(out, ")");
			in_body = false;
		}
		switch (e) {
		case HTTP1_MORE:
			cr_assert_eq(off, fed);
			if (fed == n)
				return;
			fed = fed + step < n ? fed + step : n;
			break;
		case HTTP1_HEAD:
			buf_printf(out, "%s %s%s%s%s ", http1_method(h), http1_target(h),
				   http1_keep_alive(h) ? "" : " close", http1_wants_upgrade(h) ? " upgrade" : "",
				   http1_has_body(h) ? " body" : "");
			break;
		case HTTP1_BODY:
			buf_printf(out, "%s%.*s", in_body ? "" : "(", (int)len, body);
			in_body = true;
			break;
		case HTTP1_END:
			buf_printf(out, ". ");
			http1_reset(h);
			break;
		case HTTP1_ERROR:
			buf_printf(out, "!%d", http1_error_status(h));
			return;
		}
	}
}

static void expect(const char *text, size_t n, const char *want)
{
	for (size_t step = 1; step <= n; step = step < 4 ? step + 1 : step == 4 ? n : n + 1) {
		struct http1 *h = http1_new_request(HEAD_MAX);
		struct buf out;
		char *got;

		buf_init(&out, 1 << 20);
		transcript(h, text, n, step, &out);
		got = buf_detach(&out, NULL);
		cr_assert_str_eq(got, want, "%s (in steps of %zu)\ngot  %s\nwant %s", text, step, got, want);
		free(got);
		http1_free(h);
	}
}

#define H "Host: x\r\n"

struct example {
	const char *text, *want;
};

static void expect_all(const struct example *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect(t[i].text, strlen(t[i].text), t[i].want);
}
#define EXPECT_ALL(t) expect_all(t, sizeof(t) / sizeof(*(t)))

Test(http1, messages_follow_each_other)
{
	static const struct example t[] = {
		{"GET /a?b=c HTTP/1.1\r\n" H "\r\nHEAD /b HTTP/1.1\r\n" H "\r\n", "GET /a?b=c . HEAD /b . "},
		{"POST /e HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" H "\r\n",
		 "POST /e body (abc). GET / . "},
		{"POST /e HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n"
		 "0\r\nTrailer: v\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n",
		 "POST /e body (abc0123456789). GET / . "},
		{"POST /e HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "POST /e . "},
		{"POST /e HTTP/1.1\r\n" H "\r\n", "POST /e . "},
		{"\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / . "},
		{"GET http://host:1/p?q HTTP/1.1\r\n" H "\r\n", "GET /p?q . "},
		{"OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * . "},
	};

	EXPECT_ALL(t);
}

Test(http1, keep_alive_and_upgrade)
{
	static const struct example t[] = {
		{"GET / HTTP/1.0\r\n\r\n", "GET / close . "},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET / . "},
		{"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "GET / close . "},
		{"POST /e HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
		 "POST /e upgrade body ({}). "},
		{"POST /e HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n", "POST /e upgrade . "},
		{"POST /e HTTP/1.1\r\n" H "Upgrade: tcp\r\n\r\n", "POST /e . "},
	};

	EXPECT_ALL(t);
}

Test(http1, what_two_readers_could_read_differently_is_refused)
{
	static const struct example t[] = {
		{"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "!400"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "!400"},
		{"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "!400"},
		{"POST / HTTP/1.1\r\n" H "Content-Length: 1,1\r\n\r\n", "!400"},
		{"POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", "!400"},
		{"POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", "!400"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n", "!400"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", "!501"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", "!501"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "!400"},
		{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\nHost : x\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\nHost: x\n\n", "!400"},
		{"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\ty\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\n Host: x\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\n" H "A: b\rc\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\n" H "A\x01: b\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\n" H "A: \x01\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\n\r\n", "!400"},
		{"GET / HTTP/1.1\r\n" H H "\r\n", "!400"},
		{"GET /a b HTTP/1.1\r\n" H "\r\n", "!400"},
		{"GET /\x7f HTTP/1.1\r\n" H "\r\n", "!400"},
		{"GET x HTTP/1.1\r\n" H "\r\n", "!400"},
		{"CONNECT a:1 HTTP/1.1\r\n" H "\r\n", "!400"},
		{"GET / HTTP/2.0\r\n" H "\r\n", "!505"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!400"},
		{"FOO / HTTP/1.1\r\n" H "\r\n", "!400"},
		{"POST / HTTP/1.1\r\n" H "Expect: miracles\r\n\r\n", "!417"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n", "POST / body !400"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n", "POST / body !400"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", "POST / body (abc)!400"},
		{"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "POST / body !400"},
	};
	static const char nul_value[] = "GET / HTTP/1.1\r\n" H "A: b\0c\r\n\r\n";
	static const char nul_target[] = "GET /\0a HTTP/1.1\r\n" H "\r\n";

	EXPECT_ALL(t);
	expect(nul_value, sizeof(nul_value) - 1, "!400");
	expect(nul_target, sizeof(nul_target) - 1, "!400");
}

Test(http1, headers_are_found_in_any_case_and_trimmed)
{
	static const char text[] = "GET / HTTP/1.1\r\nHOST:  x  \r\nX-Empty:\r\nX-Two: first\r\nx-two: second\r\n"
				   "Connection: keep-alive, Upgrade ,x\r\n\r\n";
	struct http1 *h = http1_new_request(HEAD_MAX);
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		const char *body;
		size_t used, len;

		if (http1_next(h, text + i, 1, &used, &body, &len, NULL) == HTTP1_HEAD)
			break;
	}
	cr_assert_str_eq(http1_header(h, "Host"), "x");
	cr_assert_str_eq(http1_header(h, "x-empty"), "");
	cr_assert_str_eq(http1_header(h, "X-TWO"), "first");
	cr_assert_null(http1_header(h, "X"));
	cr_assert(http1_header_has_token(h, "connection", "upgrade"));
	cr_assert(http1_header_has_token(h, "connection", "X"));
	cr_assert_not(http1_header_has_token(h, "connection", "keep"));
	http1_free(h);
}

Test(http1, heads_are_limited_by_bytes_and_by_fields)
{
	struct buf b;
	char *text;
	size_t n;

	buf_init(&b, 1 << 20);
	buf_printf(&b, "GET / HTTP/1.1\r\n" H "A: ");
	while (b.len < HEAD_MAX - 4)
		buf_append(&b, "a", 1);
	buf_append(&b, "\r\n\r\n", 4);
	text = buf_detach(&b, &n);
	cr_assert_eq(n, HEAD_MAX);
	expect(text, n, "GET / . ");
	free(text);
	buf_printf(&b, "GET / HTTP/1.1\r\n" H "A: ");
	while (b.len < HEAD_MAX - 3)
		buf_append(&b, "a", 1);
	buf_append(&b, "\r\n\r\n", 4);
	text = buf_detach(&b, &n);
	expect(text, n, "!431");
	free(text);
	buf_printf(&b, "GET / HTTP/1.1\r\n");
	for (int i = 0; i <= HTTP1_HEADERS_MAX; i++)
		buf_printf(&b, "a:\r\n");
	text = buf_detach(&b, &n);
	expect(text, n, "!431");
	free(text);
}
