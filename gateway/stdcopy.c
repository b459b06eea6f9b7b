/* stdcopy - see stdcopy.h. */
#include "stdcopy.h"

#include <string.h>

void stdcopy_header(uint8_t out[STDCOPY_HEADER], uint8_t stream, uint32_t len)
{
	memset(out, 0, STDCOPY_HEADER);
	out[0] = stream;
	out[4] = (uint8_t)(len >> 24);
	out[5] = (uint8_t)(len >> 16);
	out[6] = (uint8_t)(len >> 8);
	out[7] = (uint8_t)len;
}

static bool stream_passes(const struct stdcopy_filter *f, uint8_t stream)
{
	if (stream == STDCOPY_STDERR)
		return f->want_stderr;
	return stream == STDCOPY_ERROR || f->want_stdout;
}

static uint32_t frame_length(const uint8_t head[STDCOPY_HEADER])
{
	return (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 | (uint32_t)head[6] << 8 | head[7];
}

/* The first byte decides over the whole frame, so a header that comes in pieces never has to wait. */
size_t stdcopy_filter_next(const struct stdcopy_filter *f, const uint8_t *p, size_t n, bool *ret_pass)
{
	bool in_header = f->have < STDCOPY_HEADER;
	size_t run = in_header ? STDCOPY_HEADER - f->have : f->left;

	*ret_pass = stream_passes(f, f->have ? f->head[0] : p[0]) && !(f->drop_headers && in_header);
	if (f->have == 0 && n > STDCOPY_HEADER && !f->drop_headers)
		run += frame_length(p); /* header and payload in one piece */
	return run < n ? run : n;
}

void stdcopy_filter_advance(struct stdcopy_filter *f, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t step;

		if (f->have < STDCOPY_HEADER) {
			step = STDCOPY_HEADER - f->have < n ? STDCOPY_HEADER - f->have : n;
			memcpy(f->head + f->have, p, step);
			f->have += (unsigned)step;
			if (f->have == STDCOPY_HEADER)
				f->left = frame_length(f->head);
		} else {
			step = f->left < n ? f->left : n;
			f->left -= (uint32_t)step;
		}
		if (f->have == STDCOPY_HEADER && f->left == 0)
			f->have = 0;
		p += step;
		n -= step;
	}
}
