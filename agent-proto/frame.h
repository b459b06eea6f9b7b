/* frame - one frame of the tunnel <-> bytes. Private to this folder; layouts are drawn in
 * PROTOCOL.md. Knows lengths and limits, nothing of streams or order. */
#ifndef AGENT_PROTO_FRAME_H
#define AGENT_PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "session.h"

/* Below this, offset + length cannot overflow, whatever a peer sends. */
#define OFFSET_MAX ((uint64_t)1 << 62)
#define FRAME_HEAD_MAX 32

enum frame_type {
	FRAME_DATA = 1,    /* stream, offset, payload */
	FRAME_ACK = 2,     /* stream, delivered (final + 1 once the FIN is delivered), limit */
	FRAME_FIN = 3,     /* stream, final offset; and where both sides want it, the check */
	FRAME_RESET = 4,   /* stream, code */
	FRAME_CONTROL = 5, /* protobuf Control, link messages only */
};

struct frame {
	enum frame_type type;
	uint32_t stream;
	uint64_t a, b;       /* the varints after the stream, in the order above; FIN's b: 0 if it has none */
	const uint8_t *body; /* points into the bytes given */
	size_t body_len;
};

/* Writes type, stream and the type's varints (b: FRAME_ACK, and FRAME_FIN unless 0); returns the length. */
size_t frame_head(uint8_t out[FRAME_HEAD_MAX], enum frame_type type, uint32_t stream, uint64_t a,
		  uint64_t b);
/* Refuses unknown types, numbers not in their shortest form or too large, empty or oversized
 * bodies, and trailing bytes. */
int frame_decode(const uint8_t *p, size_t n, struct frame *ret, struct err *err);
/* The head, whatever body follows: for who only looks on. False: it makes no sense. */
bool frame_peek(const uint8_t *p, size_t n, struct frame *ret);

#endif
