/* fuzz: WebSocket frames. Byte 0 chooses client or server and how the rest is cut into pieces.
 * However it is cut, the same messages come out, none longer than the limit, and what we encode we
 * decode. */
#include "../../src/net/websocket.c"

#include "check.h"

#define MESSAGE_MAX 300
#define INPUT_MAX 4096

/* Number of messages, or -1 after a protocol error; the messages themselves are appended to out. */
static int run(const uint8_t *p, size_t n, size_t step, bool masked, struct buf *out)
{
	/* Heap memory of exactly the bytes that are there, so that reading past them is seen. */
	size_t have = 0, fed = 0;
	struct ws_decoder d;
	int messages = 0, rc;
	uint8_t *in = malloc(1);

	ws_decoder_init(&d, masked, MESSAGE_MAX);
	for (;;) {
		struct ws_message m = {0};
		size_t used, need, more;
		struct err err;
		uint8_t *grown;

		rc = ws_decode(&d, in, have, &m, &used, &need, &err);
		if (rc < 0)
			break;
		CHECK(used <= have);
		if (rc == 1) {
			CHECK(m.op != WS_CONTINUATION && m.len <= MESSAGE_MAX);
			buf_printf(out, "%d:", m.op);
			buf_append(out, m.data, m.len);
			messages++;
		} else {
			CHECK(need == 0 || need > have - used);
		}
		have -= used;
		memmove(in, in + used, have);
		if (rc == 1)
			continue;
		if (fed == n)
			break;
		more = step < n - fed ? step : n - fed;
		grown = malloc(have + more);
		memcpy(grown, in, have);
		memcpy(grown + have, p + fed, more);
		free(in);
		in = grown;
		have += more;
		fed += more;
	}
	ws_decoder_release(&d);
	free(in);
	return rc < 0 ? -1 : messages;
}

static void there_and_back(const uint8_t *p, size_t n, bool masked)
{
	uint8_t wire[WS_HEADER_MAX + INPUT_MAX];
	static const uint8_t mask[4] = {0xde, 0xad, 0xbe, 0xef};
	size_t len = n < MESSAGE_MAX ? n : MESSAGE_MAX;
	size_t h = ws_header(wire, WS_BINARY, len, masked ? mask : NULL), cut = len / 3;
	struct buf out;

	memcpy(wire + h, p, len);
	if (masked) {
		ws_mask(wire + h, p, cut, mask, 0);
		ws_mask(wire + h + cut, p + cut, len - cut, mask, cut);
	}
	buf_init(&out, 2 * INPUT_MAX);
	CHECK(run(wire, h + len, 17, masked, &out) == 1);
	CHECK(out.len == len + 2 && memcmp(buf_head(&out) + 2, p, len) == 0);
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;
	char accept[29], key[100];
	int a, b;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	buf_init(&whole, 64 * INPUT_MAX);
	buf_init(&pieces, 64 * INPUT_MAX);
	a = run(data + 1, size - 1, size, data[0] & 1, &whole);
	b = run(data + 1, size - 1, 1 + data[0] / 2 % 64, data[0] & 1, &pieces);
	CHECK(a == b);
	CHECK(whole.len == pieces.len &&
	      (!whole.len || memcmp(buf_head(&whole), buf_head(&pieces), whole.len) == 0));
	buf_release(&whole);
	buf_release(&pieces);
	there_and_back(data + 1, size - 1, data[0] & 1);
	snprintf(key, sizeof(key), "%.*s", (int)(size - 1), (const char *)data + 1);
	ws_accept_key(key, accept);
	CHECK(strlen(accept) == 28);
	return 0;
}
