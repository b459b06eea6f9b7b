/* fuzz: the Logging query language. Whatever the text: it is refused with a sentence, or compiled;
 * then it matches or not, and what it matches lies within the bounds it announces. */
#include "../../src/emulator/filter.c"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRY_NS ((int64_t)1736956086716662000) /* 2025-01-15T15:48:06.716662Z */

static const char *get(void *entry, const struct filter_path *path)
{
	return path->part[1] ? "J-abcde" : path->part[0][0] == 's' ? "WARNING" : NULL;
}

static bool get_time(void *entry, const struct filter_path *path, int64_t *ret)
{
	*ret = ENTRY_NS;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct filter_ops ops = { NULL, get, get_time };
	char *text = xstrndup((const char *)data, size);
	struct err err = { 0 };
	struct filter *f = filter_new(text, &ops, &err);

	if (!f && (err.kind != ERR_INVALID || !*err.msg))
		abort();
	if (f && filter_match(f, NULL) &&
	    (ENTRY_NS < filter_min_time(f) || ENTRY_NS > filter_max_time(f)))
		abort();
	filter_free(f);
	free(text);
	return 0;
}
