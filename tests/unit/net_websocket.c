/* net/websocket: RFC 6455's own examples, what must be refused, and fragments. */
#include <criterion/criterion.h>
#include <string.h>

#include "net/websocket.h"

#define MESSAGE_MAX 1000

/* Feed step bytes at a time as a link does; what comes out, as text: op 'payload' or !error. */
static void transcript(const uint8_t *p, size_t n, size_t step, bool masked, char *out, size_t max)
{
	uint8_t in[4096];
	size_t have = 0, fed = 0, at = 0;
	struct ws_decoder d;
	struct err err;

	ws_decoder_init(&d, masked, MESSAGE_MAX);
	out[0] = '\0';
	for (;;) {
		struct ws_message m;
		size_t used, need;
		int rc = ws_decode(&d, in, have, &m, &used, &need, &err);

		cr_assert_leq(used, have);
		if (rc < 0) {
			snprintf(out + at, max - at, "!");
			break;
		}
		if (rc == 1)
			at += (size_t)snprintf(out + at, max - at, "%d'%.*s' ", m.op, (int)m.len, (char *)m.data);
		memmove(in, in + used, have - used);
		have -= used;
		if (rc == 1)
			continue;
		cr_assert(need == 0 || need > have, "a whole frame was left lying");
		if (fed == n)
			break;
		step = step < n - fed ? step : n - fed;
		memcpy(in + have, p + fed, step);
		have += step;
		fed += step;
	}
	ws_decoder_release(&d);
}

static void expect(const void *p, size_t n, bool masked, const char *want)
{
	static const size_t steps[] = {1, 2, 3, 7, 4096};
	char got[4096];

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		transcript(p, n, steps[i], masked, got, sizeof(got));
		cr_assert_str_eq(got, want, "steps of %zu: got %s, want %s", steps[i], got, want);
	}
}
#define EXPECT(bytes, masked, want) expect(bytes, sizeof(bytes) - 1, masked, want)

Test(websocket, examples_of_rfc_6455_5_7)
{
	EXPECT("\x82\x05Hello", false, "2'Hello' ");
	EXPECT("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", true, "1'Hello' ");
	EXPECT("\x01\x03Hel\x80\x02lo", false, "1'Hello' ");
	EXPECT("\x89\x05Hello", false, "9'Hello' ");
	EXPECT("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", true, "10'Hello' ");
}

Test(websocket, control_frames_may_come_between_fragments)
{
	EXPECT("\x02\x01" "a\x89\x01p\x00\x01" "b\x88\x00\x80\x01" "c\x82\x01" "d", false,
	       "9'p' 8'' 2'abc' 2'd' ");
	EXPECT("\x02\x00\x80\x00\x82\x00", false, "2'' 2'' ");
}

Test(websocket, protocol_errors)
{
	EXPECT("\x82\x05Hello", true, "!");                        /* unmasked to a server */
	EXPECT("\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", false, "!"); /* masked to a client */
	EXPECT("\xc2\x01" "a", false, "!");                        /* RSV1 */
	EXPECT("\x92\x01" "a", false, "!");                        /* RSV3 */
	EXPECT("\x83\x01" "a", false, "!");                        /* reserved opcodes */
	EXPECT("\x8b\x01" "a", false, "!");
	EXPECT("\x80\x01" "a", false, "!");                        /* continuation of nothing */
	EXPECT("\x02\x01" "a\x82\x01" "b", false, "!");            /* a message in a message */
	EXPECT("\x09\x01" "a", false, "!");                        /* fragmented ping */
	EXPECT("\x89\x7e\x00\x7e", false, "!");                    /* ping of 126 */
	EXPECT("\x88\x01" "a", false, "!");                        /* half a status */
	EXPECT("\x82\x7e\x00\x05Hello", false, "!");               /* not the shortest length */
	EXPECT("\x82\x7f\0\0\0\0\0\0\x00\x05Hello", false, "!");
	EXPECT("\x82\x7e\x03\xe9", false, "!");                    /* 1001 of 1000 */
	EXPECT("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", false, "!");
	EXPECT("\x02\x7d" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	       "\x00\x7e\x03\x6c", false, "!");                     /* 125 + 876 of 1000 */
}

Test(websocket, headers_take_the_shortest_form)
{
	static const struct {
		uint64_t len;
		size_t plain;
	} t[] = {{0, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}};
	uint8_t h[WS_HEADER_MAX], mask[4] = {1, 2, 3, 4};

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		cr_assert_eq(ws_header(h, WS_BINARY, t[i].len, NULL), t[i].plain);
		cr_assert_eq(ws_header(h, WS_BINARY, t[i].len, mask), t[i].plain + 4);
		cr_assert_eq(memcmp(h + t[i].plain, mask, 4), 0);
		cr_assert_eq(h[0], 0x82);
		cr_assert(h[1] & 0x80);
	}
}

Test(websocket, masking_agrees_with_the_definition_at_any_length_and_phase)
{
	static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
	uint8_t src[200], dst[200];

	for (size_t i = 0; i < sizeof(src); i++)
		src[i] = (uint8_t)(i * 31);
	for (size_t n = 0; n < 130; n++) {
		for (size_t phase = 0; phase < 9; phase++) {
			memset(dst, 0xee, sizeof(dst));
			ws_mask(dst + 3, src + 5, n, mask, phase);
			for (size_t i = 0; i < n; i++)
				cr_assert_eq(dst[3 + i], src[5 + i] ^ mask[(phase + i) % 4]);
			cr_assert_eq(dst[3 + n], 0xee);
			cr_assert_eq(dst[2], 0xee);
			ws_mask(dst + 3, dst + 3, n, mask, phase);
			cr_assert_eq(memcmp(dst + 3, src + 5, n), 0);
		}
	}
}

Test(websocket, accept_key_of_rfc_6455_1_3)
{
	char accept[29], a[25], b[25];

	ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", accept);
	cr_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	ws_make_key(a);
	ws_make_key(b);
	cr_assert_eq(strlen(a), 24);
	cr_assert_neq(strcmp(a, b), 0);
}
