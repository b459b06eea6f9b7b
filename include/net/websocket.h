/* websocket - RFC 6455 framing as pure code: bytes in, messages out. No socket, no handshake state.
 *
 *   0                   1                   2                   3
 *  +-+-+-+-+-------+-+-------------+-------------------------------+
 *  |F|R|R|R| opcode|M| Payload len |  Extended payload length 16/64|
 *  +-+-+-+-+-------+-+-------------+-------------------------------+
 *
 * Decoding unmasks in place and hands out a pointer into the caller's bytes for unfragmented
 * messages; fragmented ones are assembled in a bounded buffer of the decoder. */
#ifndef NET_WEBSOCKET_H
#define NET_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

#define WS_HEADER_MAX 14
/* Header for one final frame; mask NULL = unmasked (server). Returns its length. */
size_t ws_header(uint8_t out[WS_HEADER_MAX], enum ws_opcode op, uint64_t len, const uint8_t mask[4]);
/* dst = src ^ mask, word by word; phase = bytes of this frame masked before. dst may be src. */
void ws_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t mask[4], size_t phase);

struct ws_decoder {
	bool expect_mask;     /* we are the server: refuse unmasked frames; client: refuse masked */
	size_t max_message;
	bool in_fragments;
	enum ws_opcode fragment_op;
	struct buf fragments;
};
struct ws_message {
	enum ws_opcode op;    /* never WS_CONTINUATION */
	const uint8_t *data;  /* valid until the next call or until the input bytes move */
	size_t len;
};
void ws_decoder_init(struct ws_decoder *d, bool expect_mask, size_t max_message);
void ws_decoder_release(struct ws_decoder *d);
/* Look at p[0..n): 1 = a message in *ret, *ret_used bytes are done with; 0 = more bytes needed
 * (*ret_used may be > 0: a fragment was swallowed); -1 = protocol error, close the link.
 * *ret_need: how many bytes the frame at the front needs in all, when known (else 0). */
int ws_decode(struct ws_decoder *d, uint8_t *p, size_t n, struct ws_message *ret, size_t *ret_used,
	      size_t *ret_need, struct err *err);

/* Handshake pieces. key: 24 characters and a NUL; accept: 28 and a NUL. */
void ws_make_key(char out[25]);
void ws_accept_key(const char *key, char out[29]);

#endif
