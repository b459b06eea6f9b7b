/* tool_path - see tool_path.h. */
#include "tool_path.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/go.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/utf8.h"

#define LINKS_MAX 255

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

const char *path_errno(int errnum)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s", strerror(errnum));
	text[0] = (char)tolower((unsigned char)text[0]);
	return text;
}

char *path_absolute(const char *asked)
{
	AUTO_FREE char *rooted = xasprintf("/%s", asked);
	AUTO_FREE char *clean = path_clean(rooted);
	size_t n = strlen(asked);
	const char *slash = clean[1] ? "/" : "";

	/* Base("") is "." too, but nobody asks for that. */
	if (n >= 1 && asked[n - 1] == '.' && (n == 1 || asked[n - 2] == '/'))
		return xasprintf("%s%s.", clean, slash);
	if (n >= 1 && asked[n - 1] == '/') {
		size_t end = n;

		while (end > 0 && asked[end - 1] == '/')
			end--;
		/* Go's Base skips slashes at the end: "x/./" is the current directory as well. */
		if (end >= 1 && asked[end - 1] == '.' && (end == 1 || asked[end - 2] == '/'))
			return xasprintf("%s%s./", clean, slash);
		return xasprintf("%s%s", clean, slash);
	}
	return steal_ptr(&clean);
}

/* Put the next part of a path behind b, which is "" or "/a/b". */
static char *joined(const char *b, const char *part, size_t n)
{
	return xasprintf("%s/%.*s", b, (int)n, part);
}

static void drop_last(char *b)
{
	char *slash = strrchr(b, '/');

	if (slash)
		*slash = '\0';
}

/* What the link at path contains, or NULL with errno: EINVAL if it is none. */
static char *read_link(const struct mounts *m, const char *path)
{
	char target[PATH_MAX];
	ssize_t n;

	if (!mounts_visible(m, path)) {
		errno = ENOENT;
		return NULL;
	}
	n = readlink(path, target, sizeof(target));
	return n < 0 ? NULL : xstrndup(target, (size_t)n);
}

char *path_follow(const struct mounts *m, const char *path, struct err *err)
{
	AUTO_FREE char *done = xstrdup(""), *todo = xstrdup(path);
	unsigned links = 0;

	for (char *p = todo; *p;) {
		char *end = strchrnul(p, '/');
		size_t n = (size_t)(end - p);
		char *next = *end ? end + 1 : end;
		char *here, *target;

		if (n == 0 || (n == 1 && *p == '.')) {
			p = next;
			continue;
		}
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			drop_last(done);
			p = next;
			continue;
		}
		here = joined(done, p, n);
		target = read_link(m, here);
		if (!target && errno != EINVAL && errno != ENOENT) {
			err_set(err, ERR_SYSTEM, "lstat %s: %s", here, path_errno(errno));
			free(here);
			return NULL;
		}
		if (!target) {
			free(done);
			done = here;
			p = next;
			continue;
		}
		free(here);
		if (++links > LINKS_MAX) {
			free(target);
			err_set(err, ERR_SYSTEM, "evalSymlinksInScope: too many links in %s", path);
			return NULL;
		}
		if (*target == '/')
			*done = '\0';
		here = xasprintf("%s/%s", target, next);
		free(target);
		free(todo);
		todo = p = here;
	}
	return *done ? steal_ptr(&done) : xstrdup("/");
}

static int lstat_path(const struct mounts *m, const char *path, struct stat *st, struct err *err)
{
	AUTO_FREE char *clean = path_clean(path);

	if (!mounts_visible(m, clean))
		return err_set(err, ERR_NOT_FOUND, "lstat %s: no such file or directory", path);
	if (lstat(path, st) == 0)
		return 0;
	return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, "lstat %s: %s", path,
		       path_errno(errno));
}

int path_stat(const struct mounts *m, const char *asked, struct path_stat *ret, struct err *err)
{
	struct path_stat p = {.abs = path_absolute(asked)};
	size_t dir_len = (size_t)(strrchr(p.abs, '/') - p.abs) + 1;
	AUTO_FREE char *dir = xstrndup(p.abs, dir_len);
	AUTO_FREE char *real_dir = path_follow(m, dir, err);
	AUTO_FREE char *clean = NULL;

	if (!real_dir)
		goto fail;
	p.real = xasprintf("%s/%s", real_dir[1] ? real_dir : "", p.abs + dir_len);
	if (lstat_path(m, p.real, &p.st, err) < 0)
		goto fail;
	p.target = S_ISLNK(p.st.st_mode) ? path_follow(m, p.abs, err) : xstrdup("");
	if (!p.target)
		goto fail;
	clean = xstrdup(p.abs);
	for (size_t n = strlen(clean); n > 1 && clean[n - 1] == '/'; n--)
		clean[n - 1] = '\0';
	p.name = xstrdup(path_base(clean));
	*ret = p;
	return 0;
fail:
	path_stat_release(&p);
	return -1;
}

void path_stat_release(struct path_stat *p)
{
	free(p->abs);
	free(p->real);
	free(p->name);
	free(p->target);
	*p = (struct path_stat){0};
}

/* What is no UTF-8 becomes U+FFFD, as in Go's JSON. */
static json_t *json_text(const char *s)
{
	AUTO_FREE char *clean = utf8_clean(s, strlen(s), NULL);

	return json_string(clean);
}

char *path_stat_json(const struct path_stat *p)
{
	char mtime[GO_FILE_TIME_MAX];
	json_t *j;
	char *text;

	j = json_pack("{s:o, s:I, s:I, s:s, s:o}", "name", json_text(p->name), "size",
		      (json_int_t)p->st.st_size, "mode", (json_int_t)go_file_mode(p->st.st_mode), "mtime",
		      go_file_time(&p->st.st_mtim, mtime), "linkTarget", json_text(p->target));
	text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	return text;
}
