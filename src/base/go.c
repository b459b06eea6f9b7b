/* go - see base/go.h. */
#include "base/go.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

uint32_t go_file_mode(mode_t mode)
{
	uint32_t go = mode & 0777;

	go |= mode & S_ISUID ? 1U << 23 : 0;
	go |= mode & S_ISGID ? 1U << 22 : 0;
	go |= mode & S_ISVTX ? 1U << 20 : 0;
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return go | 1U << 31;
	case S_IFLNK:
		return go | 1U << 27;
	case S_IFIFO:
		return go | 1U << 25;
	case S_IFSOCK:
		return go | 1U << 24;
	case S_IFBLK:
		return go | 1U << 26;
	case S_IFCHR:
		return go | 1U << 26 | 1U << 21;
	default:
		return go;
	}
}

char *go_file_time(const struct timespec *t, char out[GO_FILE_TIME_MAX])
{
	struct tm tm;
	char fraction[16];
	size_t n;

	if (!gmtime_r(&t->tv_sec, &tm))
		gmtime_r(&(time_t){0}, &tm);
	n = strftime(out, GO_FILE_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(fraction, sizeof(fraction), ".%09ld", t->tv_nsec);
	for (size_t i = strlen(fraction); i > 0 && (fraction[i - 1] == '0' || fraction[i - 1] == '.'); i--)
		fraction[i - 1] = '\0';
	snprintf(out + n, GO_FILE_TIME_MAX - n, "%sZ", fraction);
	return out;
}
