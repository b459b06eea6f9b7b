/* detach_keys - see detach_keys.h. */
#include "detach_keys.h"

#include <string.h>

#define DEFAULT_SPEC "ctrl-p,ctrl-q"

/* One name of n bytes: a single character, "ctrl-" and one of @ a-z [ \ ] ^ _, or "DEL". */
static int parse_key(const char *s, size_t n)
{
	static const char ctrl[] = "@abcdefghijklmnopqrstuvwxyz[\\]^_";
	const char *at;

	if (n == 1)
		return (uint8_t)s[0];
	if (n == 3 && memcmp(s, "DEL", 3) == 0)
		return 127;
	if (n != 6 || memcmp(s, "ctrl-", 5) != 0)
		return -1;
	at = memchr(ctrl, s[5], sizeof(ctrl) - 1);
	return at ? (int)(at - ctrl) : -1;
}

int detach_keys_parse(struct detach_keys *k, const char *spec, struct err *err)
{
	struct detach_keys parsed = {0};
	const char *s = spec && *spec ? spec : DEFAULT_SPEC;

	for (;;) {
		size_t n = strcspn(s, ",");
		int key = parse_key(s, n);

		if (key < 0 || parsed.n == DETACH_KEYS_MAX)
			return err_set(err, ERR_INVALID, "Invalid detach keys (%s) provided", spec);
		parsed.key[parsed.n++] = (uint8_t)key;
		if (!s[n])
			break;
		s += n + 1;
	}
	*k = parsed;
	return 0;
}

size_t detach_keys_scan(struct detach_keys *k, const uint8_t *in, size_t n, uint8_t *out, bool *ret_detach)
{
	size_t written = 0;

	*ret_detach = false;
	for (size_t i = 0; i < n; i++) {
		/* A mismatch gives up the oldest held key, until the rest fits the sequence's beginning again. */
		while (k->seen > 0 && in[i] != k->key[k->seen]) {
			size_t keep = k->seen - 1;

			while (keep > 0 && memcmp(k->key, k->key + k->seen - keep, keep) != 0)
				keep--;
			memcpy(out + written, k->key, k->seen - keep);
			written += k->seen - keep;
			k->seen = keep;
		}
		if (k->n == 0 || in[i] != k->key[k->seen]) {
			out[written++] = in[i];
			continue;
		}
		if (++k->seen == k->n) {
			k->seen = 0;
			*ret_detach = true;
			break;
		}
	}
	return written;
}

size_t detach_keys_flush(struct detach_keys *k, uint8_t out[DETACH_KEYS_MAX])
{
	size_t n = k->seen;

	memcpy(out, k->key, n);
	k->seen = 0;
	return n;
}
