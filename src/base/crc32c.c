/* crc32c - see crc32c.h. The instruction takes eight bytes each cycle but gives its result only after
 * three: so three lanes run side by side, and are joined by tables that say what a lane's length of
 * zeros makes of a checksum (it is linear: 32 bits tell all). Elsewhere eight tables, eight bytes a step. */
#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t slice[8][256];

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void make_slices(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = v >> 1 ^ (v & 1 ? POLYNOMIAL : 0);
		slice[0][i] = v;
	}
	for (int k = 1; k < 8; k++)
		for (int i = 0; i < 256; i++)
			slice[k][i] = slice[k - 1][i] >> 8 ^ slice[0][slice[k - 1][i] & 0xff];
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n)
{
	const uint8_t *p = data;

	crc = ~crc;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t v = load64(p) ^ crc;

		crc = 0;
#pragma GCC unroll 8
		for (int k = 0; k < 8; k++)
			crc ^= slice[7 - k][v >> (8 * k) & 0xff];
	}
#endif
	for (; n > 0; p++, n--)
		crc = crc >> 8 ^ slice[0][(crc ^ *p) & 0xff];
	return ~crc;
}

#ifdef __x86_64__

#define LANE 2048

static bool has_instruction;
static uint32_t lane_of_zeros[4][256];

__attribute__((target("sse4.2")))
static void make_lane(void)
{
	uint32_t bits[32];

	for (int i = 0; i < 32; i++) {
		uint64_t v = 1u << i;

		for (int k = 0; k < LANE / 8; k++)
			v = __builtin_ia32_crc32di(v, 0);
		bits[i] = (uint32_t)v;
	}
	for (int k = 0; k < 4; k++)
		for (int i = 0; i < 256; i++)
			for (int bit = 0; bit < 8; bit++)
				if (i >> bit & 1)
					lane_of_zeros[k][i] ^= bits[8 * k + bit];
}

static uint32_t past_lane(uint32_t v)
{
	return lane_of_zeros[0][v & 0xff] ^ lane_of_zeros[1][v >> 8 & 0xff] ^
	       lane_of_zeros[2][v >> 16 & 0xff] ^ lane_of_zeros[3][v >> 24];
}

__attribute__((target("sse4.2")))
static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t v = ~crc;

	for (; n >= 3 * LANE; p += 3 * LANE, n -= 3 * LANE) {
		uint64_t second = 0, third = 0;

		for (const uint8_t *q = p; q < p + LANE; q += 8) {
			v = __builtin_ia32_crc32di(v, load64(q));
			second = __builtin_ia32_crc32di(second, load64(q + LANE));
			third = __builtin_ia32_crc32di(third, load64(q + 2 * LANE));
		}
		v = past_lane((uint32_t)v) ^ second;
		v = past_lane((uint32_t)v) ^ third;
	}
	for (; n >= 8; p += 8, n -= 8)
		v = __builtin_ia32_crc32di(v, load64(p));
	for (; n > 0; p++, n--)
		v = __builtin_ia32_crc32qi((uint32_t)v, *p);
	return ~(uint32_t)v;
}

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	return has_instruction ? by_instruction(crc, p, n) : crc32c_portable(crc, p, n);
}

#else

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
	return crc32c_portable(crc, p, n);
}

#endif

__attribute__((constructor))
static void prepare(void)
{
	make_slices();
#ifdef __x86_64__
	has_instruction = __builtin_cpu_supports("sse4.2");
	if (has_instruction)
		make_lane();
#endif
}
