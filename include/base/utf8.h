/* utf8 - text that may be none, for those who need it to be: JSON carries nothing else. Pure. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* The length of the character at p, which ends at or before p[n]; 0: there is none. No surrogates, nothing longer
 * than needed, nothing above U+10FFFF. A NUL is a character of one byte. */
size_t utf8_char(const void *p, size_t n);
/* The same text, each byte that belongs to no character replaced by U+FFFD, as Go's JSON does, with a NUL behind it.
 * ret_len may be NULL. Caller frees. */
char *utf8_clean(const char *s, size_t n, size_t *ret_len);

#endif
