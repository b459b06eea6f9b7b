/* fuzz: frames and control messages. Whatever decodes must encode again, and its encoding must
 * decode to the same thing. First byte: what the rest is. */
#include <assert.h>
#include <string.h>

#include "frame.h"

static void check_frame(const uint8_t *p, size_t n)
{
	uint8_t head[FRAME_HEAD_MAX];
	struct frame f;
	size_t len;

	if (frame_decode(p, n, &f, NULL) < 0 || f.type == FRAME_CONTROL)
		return;
	len = frame_head(head, f.type, f.stream, f.a, f.b);
	assert(len + f.body_len == n && memcmp(head, p, len) == 0);
}

static void check_message(const uint8_t *p, size_t n)
{
	struct control c, again;
	struct buf one, two;

	if (control_decode(p, n, &c, NULL) < 0)
		return;
	buf_init(&one, CONTROL_HANDSHAKE_MAX);
	buf_init(&two, CONTROL_HANDSHAKE_MAX);
	if (control_encode(&c, &one, NULL) == 0) {
		assert(control_decode(buf_head(&one), one.len, &again, NULL) == 0);
		assert(control_encode(&again, &two, NULL) == 0);
		assert(one.len == two.len && memcmp(buf_head(&one), buf_head(&two), one.len) == 0);
		control_release(&again);
	} else
		assert(n > CONTROL_MESSAGE_MAX);
	if (c.type == CONTROL_EXEC) {
		uint8_t hash[32];

		exec_spec_hash(&c.exec, hash);
	}
	buf_release(&one);
	buf_release(&two);
	control_release(&c);
}

static void check_hello(const uint8_t *p, size_t n)
{
	struct hello h;

	if (session_peek_hello(p, n, &h, NULL) == 0)
		hello_release(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	/* An exact copy, so that reading past the end is noticed. */
	uint8_t *copy;

	if (n == 0)
		return 0;
	copy = xmalloc(n);
	memcpy(copy, p + 1, n - 1);
	if (p[0] % 3 == 0)
		check_frame(copy, n - 1);
	else if (p[0] % 3 == 1)
		check_message(copy, n - 1);
	else
		check_hello(copy, n - 1);
	free(copy);
	return 0;
}
