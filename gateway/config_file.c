/* config_file - settings from a file that is read again at each start, also at the one of a planned restart, which has the
 * environment of the first. Its lines become the environment. As systemd reads its EnvironmentFile, but for
 * continued lines: NAME=value, blanks around, one pair of quotes around the value, comments by # and ;. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_settings.h"

#define LINE_LEN_MAX (64 * 1024)

static char *trimmed(char *s)
{
	size_t n;

	s += strspn(s, " \t\r\n");
	n = strlen(s);
	while (n && strchr(" \t\r\n", s[n - 1]))
		s[--n] = '\0';
	return s;
}

static char *unquoted(char *s)
{
	size_t n = strlen(s);

	if (n < 2 || s[0] != s[n - 1] || (*s != '"' && *s != '\''))
		return s;
	s[n - 1] = '\0';
	return s + 1;
}

static bool is_name(const char *s)
{
	if (!*s || isdigit((unsigned char)*s))
		return false;
	while (isalnum((unsigned char)*s) || *s == '_')
		s++;
	return !*s;
}

static int take_line(char *line, struct err *err)
{
	char *name = trimmed(line), *equals;

	if (!*name || *name == '#' || *name == ';')
		return 0;
	equals = strchr(name, '=');
	if (equals)
		*equals = '\0';
	if (!equals || !is_name(trimmed(name)))
		return err_set(err, ERR_INVALID, "want NAME=value");
	if (setenv(trimmed(name), unquoted(trimmed(equals + 1)), 1) < 0)
		return err_sys(err, errno, "set %s", name);
	return 0;
}

int config_read_file(const char *path, struct err *err)
{
	FILE *f = *path == '/' ? fopen(path, "re") : NULL;
	AUTO_FREE char *line = NULL;
	size_t cap = 0;
	int rc = 0;

	if (*path != '/') /* the table's rule, which is asked only when all is read */
		return err_set(err, ERR_INVALID, "SOCKERLESS_ENV_FILE=%s: want an absolute path", path);
	if (!f)
		return err_sys(err, errno, "read settings from %s", path);
	for (int n = 1; rc == 0 && getline(&line, &cap, f) >= 0; n++) {
		struct err why = { 0 };

		rc = strlen(line) > LINE_LEN_MAX ? err_set(&why, ERR_LIMIT, "the line is too long") : take_line(line, &why);
		if (rc < 0)
			err_set(err, why.kind, "%s, line %d: %s", path, n, why.msg);
	}
	fclose(f);
	return rc;
}
