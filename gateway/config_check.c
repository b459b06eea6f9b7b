/* config_check - the rules that values of settings have to keep. Each says what it wants, none guesses. */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "base/token.h"
#include "config_settings.h"
#include "image/reference.h"

int config_refuse(const struct setting *s, const char *value, struct err *err, const char *rule)
{
	/* The token must not end up in a terminal's scrollback or a journal. */
	bool secret = s->check == check_token;

	return err_set(err, ERR_INVALID, "%s%s=%s: %s", s->env ? "" : "--",
		       s->env ? s->env : s->flag, secret ? "(hidden)" : value, rule);
}

/* "host:port", "[v6]:port", ":port" when no host is needed; port 0 when it may be chosen. */
static bool is_host_port(const char *s, bool need_host, int min_port)
{
	const char *colon = strrchr(s, ':');
	int64_t port;

	if (!colon || (need_host && colon == s) || parse_i64(colon + 1, &port) < 0)
		return false;
	if (*s == '[' ? colon[-1] != ']' : memchr(s, ':', (size_t)(colon - s)) != NULL)
		return false;
	return port >= min_port && port <= 65535 && !strpbrk(s, "/ \t");
}

int check_name(const struct setting *s, const char *value, char **ret, struct err *err)
{
	for (const char *p = value; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && !strchr("-.:", *p))
			return config_refuse(s, value, err, "want lower-case letters, digits and dashes only");
	*ret = xstrdup(value);
	return 0;
}

/* What a label's value may hold. */
int check_instance(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (strlen(value) > CONFIG_LABEL_MAX || strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(value))
		return config_refuse(s, value, err, "want at most 63 lower-case letters, digits, dashes and underscores");
	*ret = xstrdup(value);
	return 0;
}

int check_token(const struct setting *s, const char *value, char **ret, struct err *err)
{
	for (const char *p = value; *p; p++)
		if (!isgraph((unsigned char)*p))
			return config_refuse(s, value, err, "want printable characters without spaces");
	if (strlen(value) >= ID_HEX_MAX)
		return config_refuse(s, value, err, "want at most 64 characters");
	*ret = xstrdup(value);
	return 0;
}

int check_absolute(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (*value != '/')
		return config_refuse(s, value, err, "want an absolute path");
	*ret = xstrdup(value);
	return 0;
}

int check_ip(const struct setting *s, const char *value, char **ret, struct err *err)
{
	struct in6_addr any;

	if (inet_pton(AF_INET, value, &any) != 1 && inet_pton(AF_INET6, value, &any) != 1)
		return config_refuse(s, value, err, "want an IP address");
	*ret = xstrdup(value);
	return 0;
}

int check_agent_address(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (!is_host_port(value, true, 1))
		return config_refuse(s, value, err, "want host:port");
	*ret = xstrdup(value);
	return 0;
}

int check_listen(const struct setting *s, const char *value, char **ret, struct err *err)
{
	if (!is_host_port(value, false, 0))
		return config_refuse(s, value, err, "want [host]:port");
	*ret = xstrdup(value);
	return 0;
}

/* Where the host of a URL with one of these schemes begins and ends; false if there is none. */
static bool url_host(const char *url, const char *const *schemes, const char **ret, size_t *ret_len)
{
	for (; *schemes; schemes++)
		if (strncmp(url, *schemes, strlen(*schemes)) == 0)
			break;
	if (!*schemes)
		return false;
	*ret = url + strlen(*schemes);
	*ret_len = strcspn(*ret, "/?#");
	return *ret_len > 0 && !strpbrk(url, " \t\r\n#") && !memchr(*ret, '@', *ret_len);
}

static bool host_is_valid(const char *host, size_t len)
{
	AUTO_FREE char *s = xstrndup(host, len);

	if (*s == '[' ? s[len - 1] == ']' : !strchr(s, ':'))
		return true;
	return is_host_port(s, true, 1);
}

static char *without_trailing_slashes(const char *s)
{
	size_t n = strlen(s);

	while (n > 0 && s[n - 1] == '/')
		n--;
	return xstrndup(s, n);
}

int check_endpoint(const struct setting *s, const char *value, char **ret, struct err *err)
{
	static const char *const schemes[] = {"http://", "https://", NULL};
	const char *host;
	size_t n;

	if (!url_host(value, schemes, &host, &n) || !host_is_valid(host, n) || strchr(value, '?'))
		return config_refuse(s, value, err, "want http(s)://host[:port]");
	*ret = without_trailing_slashes(value);
	return 0;
}

int check_callback(const struct setting *s, const char *value, char **ret, struct err *err)
{
	static const char *const schemes[] = {"http://", "https://", "ws://", "wss://", NULL};
	const char *host;
	size_t n;

	if (!url_host(value, schemes, &host, &n) || !host_is_valid(host, n))
		return config_refuse(s, value, err, "want http(s):// or ws(s)://host[:port][/path]");
	if (strchr(value, '?'))
		return config_refuse(s, value, err, "want no query: ?id= is added for each container");
	*ret = without_trailing_slashes(value);
	return 0;
}

/* Docker's spellings; stored as "unix:///path" or "tcp://host:port". */
int check_addr(const struct setting *s, const char *value, char **ret, struct err *err)
{
	const char *tcp = strncmp(value, "tcp://", 6) == 0 ? value + 6 : value;

	if (*value == '/')
		*ret = xasprintf("unix://%s", value);
	else if (strncmp(value, "unix:///", 8) == 0 && value[8])
		*ret = xstrdup(value);
	else if (is_host_port(tcp, false, 0))
		*ret = xasprintf("tcp://%s", tcp);
	else
		return config_refuse(s, value, err, "want unix:///path, /path, tcp://host:port or :port");
	return 0;
}

int check_cpu(const struct setting *s, const char *value, char **ret, struct err *err)
{
	int64_t n;

	if (parse_i64(value, &n) < 0 || n < 1 || n > 8)
		return config_refuse(s, value, err, "want a whole number of CPUs from 1 to 8");
	*ret = xstrdup(value);
	return 0;
}

int check_memory(const struct setting *s, const char *value, char **ret, struct err *err)
{
	int64_t bytes;

	if (parse_size(value, &bytes) < 0 || bytes < (INT64_C(512) << 20) || bytes > (INT64_C(32) << 30))
		return config_refuse(s, value, err, "want a size from 512MiB to 32GiB");
	*ret = xstrdup(value);
	return 0;
}

/* What Cloud Storage takes as a bucket's name, and a tidy folder behind it. */
int check_bucket(const struct setting *s, const char *value, char **ret, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t n = strcspn(value, "/");
	const char *folder = value[n] ? value + n + 1 : "";

	if (n < 3 || n > 222 || strspn(value, allowed) < n || strchr("-_.", value[0]) || strchr("-_.", value[n - 1]))
		return config_refuse(s, value, err, "want BUCKET[/PREFIX], the bucket in lower-case letters, digits, dashes, dots");
	if (*folder == '/' || strstr(folder, "//") || strstr(folder, "..") || strpbrk(folder, ", \t\r\n"))
		return config_refuse(s, value, err, "want a plain folder as the prefix");
	*ret = without_trailing_slashes(value);
	return 0;
}

int check_registry(const struct setting *s, const char *value, char **ret, struct err *err)
{
	size_t n = strcspn(value, "/");

	if (strstr(value, "://") || n == 0 || strpbrk(value, " \t@") || !host_is_valid(value, n))
		return config_refuse(s, value, err, "want host[:port][/prefix] without a scheme");
	*ret = without_trailing_slashes(value);
	return 0;
}

/* "want a, b or c" */
int check_choice(const struct setting *s, const char *value, char **ret, struct err *err)
{
	char rule[128] = "want";
	size_t n = strlen(rule), len;

	for (const char *c = s->choices; *c; c += len + (c[len] == ' ')) {
		len = strcspn(c, " ");
		if (strlen(value) == len && strncmp(value, c, len) == 0) {
			*ret = xstrdup(value);
			return 0;
		}
		n += (size_t)snprintf(rule + n, sizeof(rule) - n, "%s%.*s", c == s->choices ? " " : c[len] ? ", " : " or ",
				      (int)len, c);
		assert(n < sizeof(rule)); /* the table's */
	}
	return config_refuse(s, value, err, rule);
}

/* "name" or "projects/P/...": what Google takes is for Google to say, but no blanks and no URLs. */
int check_resource(const struct setting *s, const char *value, char **ret, struct err *err)
{
	bool good = isalnum((unsigned char)*value) && !strstr(value, "//") && value[strlen(value) - 1] != '/';

	for (const char *p = value; *p; p++)
		good = good && (isalnum((unsigned char)*p) || strchr("-_./:", *p));
	if (!good)
		return config_refuse(s, value, err, "want a name, or projects/PROJECT/... without blanks");
	*ret = xstrdup(value);
	return 0;
}

int check_tags(const struct setting *s, const char *value, char **ret, struct err *err)
{
	for (const char *p = value;; p++) {
		size_t n = strcspn(p, ",");

		if (n < 1 || n > CONFIG_LABEL_MAX || !islower((unsigned char)*p) || p[n - 1] == '-' ||
		    strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-") < n)
			return config_refuse(s, value, err, "want lower-case letters, digits and dashes, with commas between tags");
		p += n;
		if (!*p)
			break;
	}
	*ret = xstrdup(value);
	return 0;
}

int check_account(const struct setting *s, const char *value, char **ret, struct err *err)
{
	const char *at = strchr(value, '@');

	if (!at || at == value || !at[1] || strchr(at + 1, '@') || strpbrk(value, " \t\r\n/,;"))
		return config_refuse(s, value, err, "want an e-mail address");
	*ret = xstrdup(value);
	return 0;
}

int check_log_id(const struct setting *s, const char *value, char **ret, struct err *err)
{
	for (const char *p = value; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("/_-.", *p))
			return config_refuse(s, value, err, "want letters, digits and /_-. only");
	*ret = xstrdup(value);
	return 0;
}

int check_image(const struct setting *s, const char *value, char **ret, struct err *err)
{
	struct reference r;

	if (reference_parse(value, &r, NULL) < 0)
		return config_refuse(s, value, err, "want an image such as REGISTRY/NAME:TAG");
	reference_release(&r);
	*ret = xstrdup(value);
	return 0;
}

int check_file(const struct setting *s, const char *value, char **ret, struct err *err)
{
	char rule[128];

	if (access(value, R_OK) < 0) {
		snprintf(rule, sizeof(rule), "want a file that can be read: %s", strerror(errno));
		return config_refuse(s, value, err, rule);
	}
	*ret = xstrdup(value);
	return 0;
}

/* It may be missing, but be nothing else. */
int check_folder(const struct setting *s, const char *value, char **ret, struct err *err)
{
	struct stat st;

	if (stat(value, &st) == 0 && !S_ISDIR(st.st_mode))
		return config_refuse(s, value, err, "want a folder, this is none");
	*ret = xstrdup(value);
	return 0;
}

/* It becomes part of a request. */
int check_line(const struct setting *s, const char *value, char **ret, struct err *err)
{
	for (const char *p = value; *p; p++)
		if (!isgraph((unsigned char)*p))
			return config_refuse(s, value, err, "want printable characters without spaces");
	*ret = xstrdup(value);
	return 0;
}
