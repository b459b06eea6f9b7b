/* frame - see frame.h. Numbers are LEB128 as in protobuf, but only their shortest form is valid:
 * then a frame has exactly one spelling and captures can be compared byte by byte. */
#include "frame.h"

#include <stdbool.h>

static uint8_t *varint_put(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

static bool varint_get(const uint8_t **p, const uint8_t *end, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	unsigned shift = 0;

	for (const uint8_t *q = *p; q < end && shift < 63; shift += 7) {
		uint8_t byte = *q++;

		v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if ((byte == 0 && shift > 0) || v > max)
			return false;
		*p = q;
		*ret = v;
		return true;
	}
	return false;
}

size_t frame_head(uint8_t out[FRAME_HEAD_MAX], enum frame_type type, uint32_t stream, uint64_t a,
		  uint64_t b)
{
	uint8_t *p = out;

	*p++ = (uint8_t)type;
	p = varint_put(p, stream);
	p = varint_put(p, a);
	if (type == FRAME_ACK || (type == FRAME_FIN && b))
		p = varint_put(p, b);
	return (size_t)(p - out);
}

static bool known(enum frame_type type)
{
	return type >= FRAME_DATA && type <= FRAME_CONTROL;
}

/* The numbers of a frame whose type is known, and where its body begins. */
static bool numbers_get(const uint8_t *p, const uint8_t *end, struct frame *f)
{
	uint64_t stream = 0;

	if (f->type != FRAME_CONTROL &&
	    (!varint_get(&p, end, UINT32_MAX, &stream) ||
	     !varint_get(&p, end, f->type == FRAME_RESET ? UINT32_MAX : OFFSET_MAX, &f->a) ||
	     (f->type == FRAME_ACK && !varint_get(&p, end, OFFSET_MAX, &f->b)) ||
	     (f->type == FRAME_FIN && p < end &&
	      (!varint_get(&p, end, STREAM_CHECK | UINT32_MAX, &f->b) || f->b < STREAM_CHECK))))
		return false;
	f->stream = (uint32_t)stream;
	f->body = p;
	f->body_len = (size_t)(end - p);
	return true;
}

bool frame_peek(const uint8_t *p, size_t n, struct frame *ret)
{
	*ret = (struct frame){ .type = n ? p[0] : 0 };
	return known(ret->type) && numbers_get(p + 1, p + n, ret);
}

int frame_decode(const uint8_t *p, size_t n, struct frame *ret, struct err *err)
{
	struct frame f = { .type = n ? p[0] : 0 };

	if (n == 0)
		return err_set(err, ERR_INVALID, "empty frame");
	if (n > (f.type == FRAME_CONTROL ? FRAME_HANDSHAKE_MAX : FRAME_MAX))
		return err_set(err, ERR_LIMIT, "frame of %zu bytes", n);
	if (!known(f.type))
		return err_set(err, ERR_INVALID, "unknown frame type %d", (int)f.type);
	if (!numbers_get(p + 1, p + n, &f))
		return err_set(err, ERR_INVALID, "bad number in a frame of type %d", (int)f.type);
	if ((f.type == FRAME_DATA || f.type == FRAME_CONTROL) != (f.body_len > 0))
		return err_set(err, ERR_INVALID, "frame of type %d with a body of %zu bytes", (int)f.type,
			       f.body_len);
	*ret = f;
	return 0;
}
