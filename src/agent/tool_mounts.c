/* tool_mounts - see tool_mounts.h. */
#include "tool_mounts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

#define OVERLAY "/sockerless" /* where a layer of ours in the user's image has us; and where the sidecar's volume is */
#define MOUNTINFO_MAX (4 * 1024 * 1024)

static bool of_kernel(const char *path, const char *type)
{
	static const char *const types[] = {
		"proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "securityfs",
		"debugfs", "tracefs", "bpf", "pstore", "binfmt_misc",
	};

	if (strcmp(path, "/dev") == 0)
		return true; /* a tmpfs as a rule */
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

/* Blanks and backslashes come as \040 and \134. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

static void add(struct mounts *m, const char *path, enum mount_kind kind)
{
	struct mount_point *p;

	m->v = xrealloc(m->v, (m->n + 1) * sizeof(*m->v));
	p = &m->v[m->n++];
	p->path = xstrdup(path);
	p->kind = kind;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": the fifth, and the one after "-". */
static void add_line(struct mounts *m, char *line, const char *own)
{
	char *path = NULL, *type = NULL, *field;

	for (int i = 1; (field = strsep(&line, " ")); i++) {
		if (i == 5)
			path = field;
		if (i > 6 && strcmp(field, "-") == 0) {
			type = strsep(&line, " ");
			break;
		}
	}
	if (!path || !type || *path != '/' || path[1] == '\0')
		return;
	unescape(path);
	add(m, path, of_kernel(path, type) ? MOUNT_KERNEL : own && strcmp(path, own) == 0 ? MOUNT_AGENT : MOUNT_VOLUME);
}

void mounts_load(struct mounts *m, const char *file)
{
	AUTO_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC);
	AUTO_FREE char *text = NULL;
	char own[PATH_MAX], *rest, *line, *slash;
	struct buf b;
	uint8_t *room;
	ssize_t n;

	*m = (struct mounts){0};
	n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	own[n > 0 ? n : 0] = '\0';
	slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	buf_init(&b, MOUNTINFO_MAX);
	while (fd >= 0 && (room = buf_reserve(&b, 16384)) && (n = read(fd, room, 16384)) > 0)
		buf_commit(&b, (size_t)n);
	text = buf_detach(&b, NULL);
	for (rest = text; (line = strsep(&rest, "\n"));)
		add_line(m, line, slash ? own : NULL);
	if (strcmp(own, OVERLAY) == 0 && mounts_at(m, own) == MOUNT_NONE)
		add(m, own, MOUNT_AGENT);
}

void mounts_release(struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i].path);
	free(m->v);
	*m = (struct mounts){0};
}

/* The later of two mounts at one place hides the former. */
enum mount_kind mounts_at(const struct mounts *m, const char *path)
{
	for (size_t i = m->n; i-- > 0;)
		if (strcmp(m->v[i].path, path) == 0)
			return m->v[i].kind;
	return MOUNT_NONE;
}

enum mount_kind mounts_over(const struct mounts *m, const char *path)
{
	enum mount_kind kind = MOUNT_NONE;
	size_t longest = 0;

	for (size_t i = 0; i < m->n; i++) {
		size_t n = strlen(m->v[i].path);

		if (n >= longest && strncmp(path, m->v[i].path, n) == 0 &&
		    (path[n] == '/' || path[n] == '\0')) {
			longest = n;
			kind = m->v[i].kind;
		}
	}
	return kind;
}

bool mounts_visible(const struct mounts *m, const char *path)
{
	enum mount_kind over = mounts_over(m, path);

	return over != MOUNT_AGENT && (over != MOUNT_KERNEL || mounts_at(m, path) == MOUNT_KERNEL);
}
