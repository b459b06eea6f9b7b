/* user - see user.h. */
#include "user.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/parse.h"

#define FILE_MAX_BYTES (4 * 1024 * 1024)
#define ID_MAX 2147483647

/* The whole file as a string the caller frees; "" when it cannot be read. */
static char *read_file(const char *path)
{
	struct buf b;
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *room;
	ssize_t n = 0;

	buf_init(&b, FILE_MAX_BYTES);
	while (fd >= 0 && (room = buf_reserve(&b, 4096)) && (n = read(fd, room, 4096)) > 0)
		buf_commit(&b, (size_t)n);
	return buf_detach(&b, NULL);
}

/* Cut the next line of *rest into n fields at ':'; the missing ones are "". False at the end. */
static bool next_record(char **rest, char *field[], size_t n)
{
	static char empty[1];
	char *line = strsep(rest, "\n");

	if (!line)
		return false;
	for (size_t i = 0; i < n; i++) {
		field[i] = strsep(&line, ":");
		if (!field[i])
			field[i] = empty;
	}
	return true;
}

/* 0 and *ret, 1 if s is not a number, -1 if it is one out of range. */
static int parse_id(const char *s, uint32_t *ret, struct err *err)
{
	int64_t v;

	if (*s == '\0' || strspn(s, "0123456789") != strlen(s))
		return 1;
	if (parse_i64(s, &v) < 0 || v < 0 || v > ID_MAX)
		return err_set(err, ERR_INVALID, "uids and gids must be in range 0-2147483647");
	*ret = (uint32_t)v;
	return 0;
}

static bool id_is(const char *field, uint32_t id)
{
	uint32_t v;

	return parse_id(field, &v, NULL) == 0 && v == id;
}

struct passwd_entry {
	bool found;
	char *name, *home; /* ours */
	uint32_t uid, gid;
};

static void entry_release(struct passwd_entry *e)
{
	free(e->name);
	free(e->home);
}

/* The first line whose name is `name`, or whose uid is *id when id is given. */
static void find_user(const char *file, const char *name, const uint32_t *id,
		      struct passwd_entry *ret)
{
	AUTO_FREE char *text = read_file(file);
	char *rest = text, *f[7];

	while (next_record(&rest, f, 7)) {
		if (!(name && *name && strcmp(f[0], name) == 0) && !(id && id_is(f[2], *id)))
			continue;
		if (parse_id(f[2], &ret->uid, NULL) != 0)
			continue;
		if (parse_id(f[3], &ret->gid, NULL) != 0)
			ret->gid = 0;
		ret->found = true;
		ret->name = xstrdup(f[0]);
		ret->home = xstrdup(*f[5] ? f[5] : "/");
		return;
	}
}

static bool lists_member(char *members, const char *name)
{
	char *m;

	while ((m = strsep(&members, ",")))
		if (strcmp(m, name) == 0)
			return true;
	return false;
}

static void add_group(struct user *u, gid_t gid)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (u->groups[i] == gid)
			return;
	if (u->n_groups == USER_GROUPS_MAX)
		return;
	u->groups = xrealloc(u->groups, (u->n_groups + 1) * sizeof(*u->groups));
	u->groups[u->n_groups++] = gid;
}

/* The group asked for by name or number. */
static int find_group(const char *file, const char *spec, gid_t *ret, struct err *err)
{
	AUTO_FREE char *text = read_file(file);
	char *rest = text, *f[4];
	uint32_t id = 0, gid;
	int kind = parse_id(spec, &id, err);

	if (kind < 0)
		return -1;
	while (next_record(&rest, f, 4))
		if (strcmp(f[0], spec) == 0 && parse_id(f[2], &gid, NULL) == 0) {
			*ret = gid;
			return 0;
		}
	if (kind == 1)
		return err_set(err, ERR_INVALID,
			       "unable to find group %.64s: no matching entries in group file", spec);
	*ret = id;
	return 0;
}

static void add_memberships(const char *file, const char *name, struct user *u)
{
	AUTO_FREE char *text = read_file(file);
	char *rest = text, *f[4];
	uint32_t gid;

	while (next_record(&rest, f, 4))
		if (parse_id(f[2], &gid, NULL) == 0 && lists_member(f[3], name))
			add_group(u, gid);
}

int user_resolve(const char *passwd_file, const char *group_file, const char *spec, struct user *ret,
		 struct err *err)
{
	AUTO_FREE char *copy = xstrdup(spec ? spec : "");
	char *group = copy, *name = strsep(&group, ":");
	struct user u = {0};
	struct passwd_entry e = {0};
	uint32_t id = 0;
	int kind = *name ? parse_id(name, &id, err) : 0;
	int rc = -1;

	if (kind < 0)
		return -1;
	find_user(passwd_file, name, kind == 0 ? &id : NULL, &e);
	if (!e.found && kind == 1) {
		err_set(err, ERR_INVALID,
			"unable to find user %.64s: no matching entries in passwd file", name);
		goto out;
	}
	u.uid = e.found ? e.uid : id;
	u.gid = e.found ? e.gid : 0;
	if (group && *group && find_group(group_file, group, &u.gid, err) < 0)
		goto out;
	add_group(&u, u.gid);
	/* An explicit group replaces the memberships, as in Docker. */
	if (e.found && !(group && *group))
		add_memberships(group_file, e.name, &u);
	u.home = xstrdup(e.found ? e.home : "/");
	*ret = u;
	u = (struct user){0};
	rc = 0;
out:
	user_release(&u);
	entry_release(&e);
	return rc;
}

char *user_home(const char *passwd_file, uid_t uid)
{
	struct passwd_entry e = {0};
	uint32_t id = uid;
	char *home;

	find_user(passwd_file, NULL, &id, &e);
	home = e.found ? steal_ptr(&e.home) : xstrdup("/");
	entry_release(&e);
	return home;
}

char *user_name_of_id(const char *file, uint32_t id)
{
	AUTO_FREE char *text = read_file(file);
	char *rest = text, *field[3];

	while (next_record(&rest, field, 3))
		if (*field[0] && id_is(field[2], id))
			return xstrdup(field[0]);
	return NULL;
}

void user_release(struct user *u)
{
	free(u->groups);
	free(u->home);
	*u = (struct user){0};
}
