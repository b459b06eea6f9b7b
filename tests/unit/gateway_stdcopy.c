/* Docker's stream framing: the filter over frames cut at every place. */
#include <criterion/criterion.h>
#include <string.h>

#include "stdcopy.h"

static size_t frame(uint8_t *out, uint8_t stream, const char *text)
{
	stdcopy_header(out, stream, (uint32_t)strlen(text));
	memcpy(out + STDCOPY_HEADER, text, strlen(text));
	return STDCOPY_HEADER + strlen(text);
}

/* Feed p in pieces of `step` bytes; what passes is collected. */
static size_t run(struct stdcopy_filter f, const uint8_t *p, size_t n, size_t step, uint8_t *out)
{
	size_t got = 0, at = 0;

	while (at < n) {
		size_t piece = n - at < step ? n - at : step, done = 0;

		while (done < piece) {
			bool pass;
			size_t k = stdcopy_filter_next(&f, p + at + done, piece - done, &pass);

			cr_assert(k > 0 && k <= piece - done);
			if (pass) {
				memcpy(out + got, p + at + done, k);
				got += k;
			}
			stdcopy_filter_advance(&f, p + at + done, k);
			done += k;
		}
		at += piece;
	}
	return got;
}

static size_t sample(uint8_t *wire)
{
	size_t n = frame(wire, STDCOPY_STDOUT, "one");

	n += frame(wire + n, STDCOPY_STDERR, "two!");
	n += frame(wire + n, STDCOPY_STDOUT, "");
	n += frame(wire + n, STDCOPY_STDOUT, "three");
	return n;
}

Test(stdcopy, header_is_stream_and_big_endian_length)
{
	uint8_t h[STDCOPY_HEADER];

	stdcopy_header(h, STDCOPY_STDERR, 0x01020304);
	cr_assert_arr_eq(h, ((uint8_t[]){2, 0, 0, 0, 1, 2, 3, 4}), 8);
}

Test(stdcopy, filter_drops_whole_frames_of_the_other_stream_at_any_cut)
{
	uint8_t wire[128], want[128], out[128];
	size_t n = sample(wire), w = frame(want, STDCOPY_STDERR, "two!");

	for (size_t step = 1; step <= n; step++) {
		size_t got = run((struct stdcopy_filter){.want_stderr = true}, wire, n, step, out);

		cr_assert_eq(got, w, "step %zu", step);
		cr_assert_arr_eq(out, want, w);
	}
}

Test(stdcopy, filter_passes_everything_untouched_when_both_are_wanted)
{
	uint8_t wire[128], out[128];
	size_t n = sample(wire);

	for (size_t step = 1; step <= n; step++) {
		cr_assert_eq(run((struct stdcopy_filter){.want_stdout = true, .want_stderr = true}, wire, n, step, out), n);
		cr_assert_arr_eq(out, wire, n);
	}
}

Test(stdcopy, filter_without_headers_leaves_bare_bytes)
{
	uint8_t wire[128], out[128];
	size_t n = sample(wire);

	for (size_t step = 1; step <= n; step++) {
		size_t got = run((struct stdcopy_filter){.want_stdout = true, .want_stderr = true, .drop_headers = true},
				 wire, n, step, out);

		cr_assert_eq(got, 12, "step %zu", step);
		cr_assert_arr_eq(out, "onetwo!three", 12);
	}
}
