/* clock - reading the two clocks, and RFC 3339 to and from nanoseconds since 1970.
 * Pure but for the three readers. int64_t nanoseconds reach from 1677 to 2262, no further. */
#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000LL
#define GO_ZERO_S (-62135596800LL) /* 0001-01-01T00:00:00Z */

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

uint64_t clock_mono_ms(void)
{
	return (uint64_t)read_clock(CLOCK_MONOTONIC) / 1000000;
}

uint64_t clock_mono_us(void)
{
	return (uint64_t)read_clock(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

char *clock_format(int64_t wall_ns, int fixed, char out[CLOCK_RFC3339_MAX])
{
	int64_t sec = wall_ns / NS_PER_S, frac = wall_ns % NS_PER_S;
	time_t t;
	struct tm tm;
	size_t n;

	if (frac < 0) {
		frac += NS_PER_S;
		sec--;
	}
	t = wall_ns == 0 ? GO_ZERO_S : sec;
	gmtime_r(&t, &tm);
	n = (size_t)snprintf(out, CLOCK_RFC3339_MAX, "%04d-%02d-%02dT%02d:%02d:%02d",
			     (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			     tm.tm_min, tm.tm_sec);
	if (fixed || frac) {
		n += (size_t)snprintf(out + n, CLOCK_RFC3339_MAX - n, ".%09d", (int)frac);
		while (!fixed && out[n - 1] == '0')
			n--;
	}
	out[n] = 'Z';
	out[n + 1] = '\0';
	return out;
}

/* Exactly n digits at *s, within [lo, hi]; *s moves behind them. */
static bool digits(const char **s, int n, int lo, int hi, int *ret)
{
	int v = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		v = v * 10 + (**s - '0');
	}
	*ret = v;
	return v >= lo && v <= hi;
}

static bool literal(const char **s, const char *any_of)
{
	return **s && strchr(any_of, *(*s)++);
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static bool parse_fraction(const char **s, int64_t *ret_ns)
{
	int64_t unit = NS_PER_S;

	*ret_ns = 0;
	if (**s != '.')
		return true;
	if ((*s)[1] < '0' || (*s)[1] > '9')
		return false;
	for ((*s)++; **s >= '0' && **s <= '9'; (*s)++) {
		unit /= 10; /* 0 from the tenth digit on: finer than we can hold */
		*ret_ns += unit * (**s - '0');
	}
	return true;
}

static bool parse_offset(const char **s, int *ret_s)
{
	int sign, h, m;

	*ret_s = 0;
	if (**s == 'Z' || **s == 'z') {
		(*s)++;
		return true;
	}
	sign = **s == '-' ? -1 : 1;
	if (!literal(s, "+-") || !digits(s, 2, 0, 23, &h) || !literal(s, ":") ||
	    !digits(s, 2, 0, 59, &m))
		return false;
	*ret_s = sign * (h * 3600 + m * 60);
	return true;
}

int clock_parse(const char *s, int64_t *ret_ns)
{
	struct tm tm = {0};
	int year, month, offset;
	int64_t frac, sec, ns;

	if (!digits(&s, 4, 0, 9999, &year) || !literal(&s, "-") || !digits(&s, 2, 1, 12, &month) ||
	    !literal(&s, "-") || !digits(&s, 2, 1, days_in_month(year, month), &tm.tm_mday) ||
	    !literal(&s, "Tt") || !digits(&s, 2, 0, 23, &tm.tm_hour) || !literal(&s, ":") ||
	    !digits(&s, 2, 0, 59, &tm.tm_min) || !literal(&s, ":") ||
	    !digits(&s, 2, 0, 59, &tm.tm_sec) || !parse_fraction(&s, &frac) ||
	    !parse_offset(&s, &offset) || *s)
		return -1;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	sec = timegm(&tm) - offset;
	if (sec == GO_ZERO_S && frac == 0) {
		*ret_ns = 0;
		return 0;
	}
	if (__builtin_mul_overflow(sec, NS_PER_S, &ns) || __builtin_add_overflow(ns, frac, &ns))
		return -1;
	*ret_ns = ns;
	return 0;
}
