/* utf8 - Table 3-7 of the Unicode standard, "Well-Formed UTF-8 Byte Sequences". */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define REPLACEMENT "\xef\xbf\xbd"

size_t utf8_char(const void *p, size_t n)
{
	const uint8_t *s = p;
	size_t len;

	if (!n)
		return 0;
	len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3
	    : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

char *utf8_clean(const char *s, size_t n, size_t *ret_len)
{
	char *clean = xmalloc(n * strlen(REPLACEMENT) + 1), *out = clean;

	while (n) {
		size_t len = utf8_char(s, n), step = len ? len : 1;

		memcpy(out, len ? s : REPLACEMENT, len ? len : strlen(REPLACEMENT));
		out += len ? len : strlen(REPLACEMENT);
		s += step;
		n -= step;
	}
	*out = '\0';
	if (ret_len)
		*ret_len = (size_t)(out - clean);
	return clean;
}
