/* websocket - RFC 6455 frames in and out, and the two hashes of the handshake. Pure.
 * The decoder owns only the buffer in which fragments are put together. */
#include "net/websocket.h"

#include <string.h>

#include "base/parse.h"
#include "base/token.h"

#define CONTROL_PAYLOAD_MAX 125

size_t ws_header(uint8_t out[WS_HEADER_MAX], enum ws_opcode op, uint64_t len, const uint8_t mask[4])
{
	uint8_t masked = mask ? 0x80 : 0;
	size_t n = 2, width = len < 126 ? 0 : len <= 0xffff ? 2 : 8;

	out[0] = (uint8_t)(0x80 | op);
	out[1] = masked | (uint8_t)(width == 0 ? len : width == 2 ? 126 : 127);
	for (size_t i = width; i > 0; i--)
		out[n++] = (uint8_t)(len >> (8 * (i - 1)));
	if (mask) {
		memcpy(out + n, mask, 4);
		n += 4;
	}
	return n;
}

void ws_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4], size_t phase)
{
	typedef uint64_t block __attribute__((vector_size(32)));
	uint8_t key[sizeof(block)];
	block k, v;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = mask[(phase + i) & 3];
	memcpy(&k, key, sizeof(k));
	for (; n >= sizeof(v); n -= sizeof(v), src += sizeof(v), dst += sizeof(v)) {
		memcpy(&v, src, sizeof(v));
		v ^= k;
		memcpy(dst, &v, sizeof(v));
	}
	for (size_t i = 0; i < n; i++)
		dst[i] = src[i] ^ key[i];
}

void ws_decoder_init(struct ws_decoder *d, bool expect_mask, size_t max_message)
{
	*d = (struct ws_decoder){.expect_mask = expect_mask, .max_message = max_message};
	buf_init(&d->fragments, max_message);
}

void ws_decoder_release(struct ws_decoder *d)
{
	buf_release(&d->fragments);
}

struct frame {
	bool fin, masked;
	uint8_t op;
	size_t header_len;
	uint64_t len;
};

/* 1 = header complete, 0 = more bytes needed. Judges nothing. */
static int read_header(const uint8_t *p, size_t n, struct frame *f)
{
	size_t width;

	if (n < 2)
		return 0;
	f->fin = p[0] & 0x80;
	f->op = p[0] & 0x0f;
	f->masked = p[1] & 0x80;
	f->len = p[1] & 0x7f;
	width = f->len == 126 ? 2 : f->len == 127 ? 8 : 0;
	f->header_len = 2 + width + (f->masked ? 4 : 0);
	if (n < 2 + width)
		return 0;
	if (width)
		f->len = 0;
	for (size_t i = 0; i < width; i++)
		f->len = f->len << 8 | p[2 + i];
	return n >= f->header_len;
}

/* What of this frame offends? NULL = nothing. Looks at the first byte before the rest has come, so
 * that nonsense is refused at once. Source: RFC 6455, 5.2, 5.4 and 5.5. */
static const char *offence(const struct ws_decoder *d, const struct frame *f, uint8_t first)
{
	bool control = f->op & 8;

	if (first & 0x70)
		return "reserved bits are set";
	if (f->op > WS_BINARY && !(f->op >= WS_CLOSE && f->op <= WS_PONG))
		return "unknown opcode";
	if (f->masked != d->expect_mask)
		return d->expect_mask ? "frame is not masked" : "frame is masked";
	if (control && (!f->fin || f->len > CONTROL_PAYLOAD_MAX))
		return "control frame is fragmented or too long";
	if (f->op == WS_CLOSE && f->len == 1)
		return "close frame with half a status";
	if (f->op == WS_CONTINUATION && !d->in_fragments)
		return "continuation of nothing";
	if (!control && f->op != WS_CONTINUATION && d->in_fragments)
		return "new message inside a fragmented one";
	if (!control && f->len > d->max_message - (d->in_fragments ? d->fragments.len : 0))
		return "message is too long";
	return NULL;
}

/* The length must be given in the shortest form. */
static bool is_minimal(const uint8_t *p, uint64_t len)
{
	uint8_t form = p[1] & 0x7f;

	return form < 126 || (form == 126 ? len >= 126 : len > 0xffff);
}

int ws_decode(struct ws_decoder *d, uint8_t *p, size_t n, struct ws_message *ret, size_t *ret_used,
	      size_t *ret_need, struct err *err)
{
	*ret_used = *ret_need = 0;
	if (!d->in_fragments && d->fragments.len) /* the message given out by the call before */
		buf_consume(&d->fragments, d->fragments.len);
	for (;;) {
		struct frame f;
		const char *why;
		uint8_t *data;

		if (!read_header(p, n, &f))
			return 0;
		why = offence(d, &f, p[0]);
		if (!why && !is_minimal(p, f.len))
			why = "length is not in its shortest form";
		if (why)
			return err_set(err, ERR_INVALID, "WebSocket: %s", why);
		*ret_need = f.header_len + (size_t)f.len;
		if (n < *ret_need)
			return 0;
		data = p + f.header_len;
		if (f.masked)
			ws_mask(data, data, (size_t)f.len, data - 4, 0);
		*ret_used += *ret_need;
		p += *ret_need;
		n -= *ret_need;
		*ret_need = 0;
		if ((f.op & 8) || (f.fin && !d->in_fragments)) {
			*ret = (struct ws_message){(enum ws_opcode)f.op, data, (size_t)f.len};
			return 1;
		}
		if (!d->in_fragments)
			d->fragment_op = (enum ws_opcode)f.op;
		d->in_fragments = !f.fin;
		buf_append(&d->fragments, data, (size_t)f.len); /* fits: offence() has looked */
		if (f.fin) {
			*ret = (struct ws_message){d->fragment_op, buf_head(&d->fragments),
						   d->fragments.len};
			return 1;
		}
	}
}

void ws_make_key(char out[25])
{
	uint8_t raw[16];

	random_bytes(raw, sizeof(raw));
	base64_encode(raw, sizeof(raw), out);
}

void ws_accept_key(const char *key, char out[29])
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
	char text[128];
	uint8_t digest[20];
	size_t n = strnlen(key, 64); /* a right key has 24: what is longer fails anyway */

	memcpy(text, key, n);
	memcpy(text + n, magic, sizeof(magic) - 1);
	sha1(text, n + sizeof(magic) - 1, digest);
	base64_encode(digest, sizeof(digest), out);
}
