/* fuzz: HTTP/1.1 heads and bodies. Byte 0 chooses request or response and how the rest is cut into
 * pieces. However it is cut, the parser says the same, and never uses more than it was given. */
#include "../../src/net/http1.c"

#include "check.h"

#define HEAD_MAX 600

/* What was found, as text: without where the pieces were cut. */
static void run(const char *p, size_t n, size_t step, bool response, struct buf *out)
{
	struct http1 *h = response ? http1_new_response(HEAD_MAX) : http1_new_request(HEAD_MAX);
	size_t off = 0, fed = step < n ? step : n;

	for (;;) {
		const char *body;
		size_t used, len;
		struct err err = {0};
		enum http1_event e = http1_next(h, p + off, fed - off, &used, &body, &len, &err);

		CHECK(used <= fed - off);
		off += used;
		if (e == HTTP1_MORE) {
			CHECK(off == fed);
			if (fed == n)
				break;
			fed = fed + step < n ? fed + step : n;
		} else if (e == HTTP1_HEAD) {
			buf_printf(out, "\nHEAD %d %d %d %d", http1_status(h), http1_keep_alive(h),
				   http1_wants_upgrade(h), http1_has_body(h));
			for (size_t i = 0; i < h->n_headers; i++) {
				const char *text = (char *)buf_head(&h->text);

				CHECK(h->headers[i].value < h->text.len);
				buf_printf(out, "\n%s: %s", text + h->headers[i].name, text + h->headers[i].value);
				CHECK(strcmp(http1_header(h, text + h->headers[i].name), "") >= 0);
			}
			if (!response)
				buf_printf(out, "\n%s %s", http1_method(h), http1_target(h));
			http1_header_has_token(h, "connection", "upgrade");
		} else if (e == HTTP1_BODY) {
			CHECK(len > 0 && body >= p && body + len <= p + fed);
			buf_append(out, body, len);
		} else if (e == HTTP1_END) {
			buf_printf(out, "\nEND");
			http1_reset(h);
		} else {
			CHECK(http1_error_status(h) >= 400 && err.msg[0] && !strpbrk(err.msg, "\"\\\n"));
			buf_printf(out, "\nERROR");
			break;
		}
	}
	http1_free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;

	if (size < 1 || size > 20000)
		return 0;
	buf_init(&whole, 1 << 20);
	buf_init(&pieces, 1 << 20);
	run((const char *)data + 1, size - 1, size, data[0] & 1, &whole);
	run((const char *)data + 1, size - 1, 1 + data[0] / 2 % 64, data[0] & 1, &pieces);
	/* Bodies before an error may be seen or not; everything else is the same. */
	if (whole.len < 5 || memcmp(buf_head(&whole) + whole.len - 5, "ERROR", 5) != 0)
		CHECK(whole.len == pieces.len &&
		      (!whole.len || memcmp(buf_head(&whole), buf_head(&pieces), whole.len) == 0));
	else
		CHECK(pieces.len >= 5 && memcmp(buf_head(&pieces) + pieces.len - 5, "ERROR", 5) == 0);
	buf_release(&whole);
	buf_release(&pieces);
	return 0;
}
