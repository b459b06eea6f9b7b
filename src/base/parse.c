/* parse - numbers, durations, times, signals, query strings and base64 from text of others.
 * Pure. A syntax that Docker or Go defines is followed exactly, and everything else is refused. */
#include "base/parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"

#define NS_PER_S 1000000000LL
#define SIGNAL_RTMIN 34 /* what programs see: the C library keeps 32 and 33 */
#define SIGNAL_MAX 64

int parse_i64(const char *s, int64_t *ret)
{
	char *end;
	long long v;

	/* strtoll would also take leading spaces and a plus. */
	if (*s != '-' && !isdigit((unsigned char)*s))
		return -1;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno || end == s || *end)
		return -1;
	*ret = v;
	return 0;
}

int parse_size(const char *s, int64_t *ret_bytes)
{
	static const char units[] = "kmgt";
	char *end;
	const char *unit;
	long long v;

	if (!isdigit((unsigned char)*s))
		return -1;
	errno = 0;
	v = strtoll(s, &end, 10);
	if (errno)
		return -1;
	unit = *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
	if (unit) {
		for (const char *u = units; u <= unit; u++)
			if (__builtin_mul_overflow(v, 1024, &v))
				return -1;
		end++;
		if (tolower((unsigned char)*end) == 'i' && end[1])
			end++;
	}
	if (strcasecmp(end, "b") != 0 && *end)
		return -1;
	*ret_bytes = v;
	return 0;
}

/* The unit at s in nanoseconds; its length in *ret_len. 0 if there is none. */
static int64_t duration_unit(const char *s, size_t *ret_len)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
		{"ns", 1},       {"us", 1000},    {"\xc2\xb5s", 1000},  {"\xce\xbcs", 1000},
		{"ms", 1000000}, {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		*ret_len = strlen(units[i].name);
		if (strncmp(s, units[i].name, *ret_len) == 0)
			return units[i].ns;
	}
	return 0;
}

int parse_duration_ms(const char *s, int64_t *ret_ms)
{
	bool negative = *s == '-';
	int64_t total = 0;

	s += *s == '-' || *s == '+';
	if (strcmp(s, "0") == 0) {
		*ret_ms = 0;
		return 0;
	}
	if (!*s)
		return -1;
	while (*s) {
		int64_t whole = 0, frac = 0, scale = 1, unit, part;
		bool any = false;
		size_t len;

		for (; isdigit((unsigned char)*s); s++, any = true)
			if (__builtin_mul_overflow(whole, 10, &whole) ||
			    __builtin_add_overflow(whole, *s - '0', &whole))
				return -1;
		if (*s == '.')
			for (s++; isdigit((unsigned char)*s); s++, any = true)
				if (scale < NS_PER_S) { /* finer is below a nanosecond, or close */
					frac = frac * 10 + (*s - '0');
					scale *= 10;
				}
		unit = duration_unit(s, &len);
		if (!any || !unit)
			return -1;
		s += len;
		if (__builtin_mul_overflow(whole, unit, &part) ||
		    __builtin_add_overflow(part, (int64_t)((__int128)frac * unit / scale), &part) ||
		    __builtin_add_overflow(total, part, &total))
			return -1;
	}
	*ret_ms = (negative ? -total : total) / 1000000;
	return 0;
}

bool parse_docker_bool(const char *s)
{
	static const char *const no[] = {"", "0", "no", "false", "none"};
	size_t n;

	if (!s)
		return false;
	while (isspace((unsigned char)*s))
		s++;
	for (n = strlen(s); n && isspace((unsigned char)s[n - 1]); n--)
		;
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (strlen(no[i]) == n && strncasecmp(s, no[i], n) == 0)
			return false;
	return true;
}

int parse_docker_time(const char *s, int64_t *ret_ns)
{
	size_t whole_len = strcspn(s, ".");
	char whole[24];
	int64_t sec, frac = 0, unit = NS_PER_S, ns;

	if (clock_parse(s, ret_ns) == 0)
		return 0;
	if (whole_len >= sizeof(whole))
		return -1;
	memcpy(whole, s, whole_len);
	whole[whole_len] = '\0';
	if (parse_i64(whole, &sec) < 0)
		return -1;
	for (s += whole_len + (s[whole_len] == '.'); *s; s++) {
		if (!isdigit((unsigned char)*s))
			return -1;
		unit /= 10;
		frac += unit * (*s - '0');
	}
	/* Clients say "always" with a second far beyond what a clock of nanoseconds holds. */
	if (__builtin_mul_overflow(sec, NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, whole[0] == '-' ? -frac : frac, &ns))
		ns = sec < 0 ? INT64_MIN : INT64_MAX;
	*ret_ns = ns;
	return 0;
}

int parse_docker_until(const char *s, int64_t now_ns, int64_t *ret_ns)
{
	static const struct {
		size_t len;
		const char *rest;
	} shortened[] = {{10, "T00:00:00Z"}, {13, ":00:00Z"}, {16, ":00Z"}, {19, "Z"}};
	size_t n = strlen(s);
	char full[40];
	int64_t ms;

	if (parse_duration_ms(s, &ms) == 0 && strcmp(s, "0") != 0)
		return __builtin_mul_overflow(ms, 1000000, &ms) || __builtin_sub_overflow(now_ns, ms, ret_ns) ? -1 : 0;
	for (size_t i = 0; i < sizeof(shortened) / sizeof(*shortened); i++) {
		if (n != shortened[i].len)
			continue;
		snprintf(full, sizeof(full), "%s%s", s, shortened[i].rest);
		if (clock_parse(full, ret_ns) == 0)
			return 0;
	}
	return parse_docker_time(s, ret_ns);
}

static const char *const signal_names[SIGNAL_MAX + 1] = {
	NULL,        "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
	"SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
	"SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
	"SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS",
	"SIG32",     "SIG33",   "SIG34",     "SIG35",   "SIG36",    "SIG37",   "SIG38",   "SIG39",
	"SIG40",     "SIG41",   "SIG42",     "SIG43",   "SIG44",    "SIG45",   "SIG46",   "SIG47",
	"SIG48",     "SIG49",   "SIG50",     "SIG51",   "SIG52",    "SIG53",   "SIG54",   "SIG55",
	"SIG56",     "SIG57",   "SIG58",     "SIG59",   "SIG60",    "SIG61",   "SIG62",   "SIG63",
	"SIG64",
};

int parse_signal(const char *s)
{
	static const struct {
		const char *name;
		int sig;
	} aliases[] = {
		{"CLD", 17}, {"IOT", 6}, {"POLL", 29}, {"RTMIN", SIGNAL_RTMIN}, {"RTMAX", SIGNAL_MAX},
	};
	int64_t n;

	if (parse_i64(s, &n) == 0)
		return n >= 1 && n <= SIGNAL_MAX ? (int)n : -1;
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	for (int i = 1; i < 32; i++)
		if (strcasecmp(s, signal_names[i] + 3) == 0)
			return i;
	for (size_t i = 0; i < sizeof(aliases) / sizeof(*aliases); i++)
		if (strcasecmp(s, aliases[i].name) == 0)
			return aliases[i].sig;
	/* RTMIN+n and RTMAX-n */
	if (strncasecmp(s, "RTMIN+", 6) == 0 && isdigit((unsigned char)s[6]) &&
	    parse_i64(s + 6, &n) == 0 && n <= SIGNAL_MAX - SIGNAL_RTMIN)
		return SIGNAL_RTMIN + (int)n;
	if (strncasecmp(s, "RTMAX-", 6) == 0 && isdigit((unsigned char)s[6]) &&
	    parse_i64(s + 6, &n) == 0 && n <= SIGNAL_MAX - SIGNAL_RTMIN)
		return SIGNAL_MAX - (int)n;
	return -1;
}

const char *signal_name(int sig)
{
	return sig >= 1 && sig <= SIGNAL_MAX ? signal_names[sig] : "SIG0";
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int parse_percent_decode(char *s)
{
	char *out = s;
	const char *start = s;

	for (; *s; s++) {
		int hi, lo;

		if (*s != '%') {
			*out++ = *s;
			continue;
		}
		hi = hex_digit(s[1]);
		lo = hi < 0 ? -1 : hex_digit(s[2]);
		if (lo < 0 || (hi << 4 | lo) == 0)
			return -1;
		*out++ = (char)(hi << 4 | lo);
		s += 2;
	}
	*out = '\0';
	return (int)(out - start);
}

/* One half of a query pair, decoded: '+' is a space there, unlike in a path. NULL if broken. */
static char *query_part(const char *s, size_t n)
{
	char *part = xstrndup(s, n);

	for (char *p = part; (p = strchr(p, '+')) != NULL;)
		*p = ' ';
	if (parse_percent_decode(part) < 0) {
		free(part);
		return NULL;
	}
	return part;
}

/* The pair at *s, which moves behind it: its value if its key is this one, else NULL. As in Go, a pair that
 * cannot be decoded is as if it were not there. */
static char *query_pair(const char **s, const char *key)
{
	size_t n = strcspn(*s, "&");
	const char *pair = *s, *eq = memchr(pair, '=', n);
	size_t key_len = eq ? (size_t)(eq - pair) : n;
	AUTO_FREE char *name = query_part(pair, key_len);

	*s += n + (pair[n] == '&');
	if (!name || strcmp(name, key) != 0)
		return NULL;
	return eq ? query_part(eq + 1, n - key_len - 1) : xstrdup("");
}

char *parse_query(const char *query, const char *key)
{
	char *value = NULL;

	while (!value && *query)
		value = query_pair(&query, key);
	return value;
}

void parse_query_all(const char *query, const char *key, struct strv *ret)
{
	while (*query) {
		char *value = query_pair(&query, key);

		if (value)
			strv_take(ret, value);
	}
}

size_t base64_encoded_len(size_t n)
{
	return (n + 2) / 3 * 4;
}

void base64_encode(const void *p, size_t n, char *out)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *b = p;

	for (; n; n -= n < 3 ? n : 3, b += 3) {
		uint32_t v = (uint32_t)b[0] << 16 | (n > 1 ? (uint32_t)b[1] << 8 : 0) |
			     (n > 2 ? b[2] : 0);

		*out++ = digit[v >> 18];
		*out++ = digit[v >> 12 & 63];
		*out++ = n > 1 ? digit[v >> 6 & 63] : '=';
		*out++ = n > 2 ? digit[v & 63] : '=';
	}
	*out = '\0';
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

uint8_t *base64_decode(const char *s, size_t *ret_len)
{
	size_t total = strlen(s), n = total, out = 0;
	AUTO_FREE uint8_t *bytes = NULL;
	uint32_t v = 0;
	int bits = 0;

	while (n && total - n < 2 && s[n - 1] == '=')
		n--;
	if (n % 4 == 1 || (n != total && total % 4 != 0))
		return NULL;
	bytes = xmalloc(n / 4 * 3 + 3);
	for (size_t i = 0; i < n; i++) {
		int d = base64_value(s[i]);

		if (d < 0)
			return NULL;
		v = v << 6 | (uint32_t)d;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			bytes[out++] = (uint8_t)(v >> bits);
		}
	}
	bytes[out] = '\0'; /* not counted: most of what we decode is text */
	*ret_len = out;
	return steal_ptr(&bytes);
}
