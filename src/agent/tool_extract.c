/* tool_extract - see tool_extract.h. libarchive reads; each entry is made here, because its own writer
 * to disk treats links and what is in the way differently. */
#include "tool_extract.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"
#include "tool_path.h"
#include "tool_remove.h"

#define PIECE (256 * 1024)
#define BLOCK 512
#define DIRS_MAX (64 * 1024)

struct extract {
	const struct extract_options *o;
	const char *dest;
	struct archive *a;
	int in;
	uint64_t n_read;
	char *piece;      /* ours: what libarchive looks at */
	/* Directories whose times are set at the end, because what is put into them changes them. */
	struct dir_time {
		char *name;
		struct timespec mtime;
	} *dirs; /* ours */
	size_t n_dirs;
};

/* One file of the archive. */
struct member {
	struct archive_entry *e;
	char *name;  /* ours: relative to dest, clean; "." is dest itself */
	char *path;  /* ours: the same for sentences */
	mode_t type, mode;
	bool is_link; /* another name of a file */
	bool is_root; /* named "/": dest, whose metadata is meant */
	uid_t uid;
	gid_t gid;
	struct timespec times[2];
};

static int failed(struct err *err, const char *what, const char *path)
{
	return err_set(err, ERR_SYSTEM, "%s %s: %s", what, path, path_errno(errno));
}

/* ---- reading ---- */

static la_ssize_t on_read(struct archive *a, void *ctx, const void **ret)
{
	struct extract *x = ctx;
	ssize_t n;

	do
		n = read(x->in, x->piece, PIECE);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		archive_set_error(a, errno, "read the archive: %s", path_errno(errno));
	x->n_read += n > 0 ? (uint64_t)n : 0;
	*ret = x->piece;
	return n;
}

static void open_archive(struct extract *x)
{
	x->a = archive_read_new();
	archive_read_support_filter_gzip(x->a);
	archive_read_support_filter_bzip2(x->a);
	archive_read_support_filter_xz(x->a);
	archive_read_support_filter_zstd(x->a);
	archive_read_support_format_tar(x->a);
	archive_read_support_format_empty(x->a); /* nothing at all is an empty archive */
	/* What fails here fails again in the first header. */
	archive_read_open(x->a, x, NULL, on_read, NULL);
}

/* A warning is about what we do not use: a name that is no UTF-8 comes as it is, for one. ARCHIVE_RETRY
 * would be to skip what is damaged. */
static bool usable(int rc)
{
	return rc == ARCHIVE_OK || rc == ARCHIVE_WARN;
}

/* libarchive's words in those of Go. */
static int broken(const struct extract *x, struct err *err)
{
	const char *text = archive_error_string(x->a);

	if (!text || strcasestr(text, "truncated") || x->n_read < BLOCK)
		text = "unexpected EOF";
	else if (strstr(text, "Unrecognized archive format") || strstr(text, "Damaged tar archive"))
		text = "archive/tar: invalid tar header";
	return err_set(err, ERR_SYSTEM, "%s", text);
}

/* The members are done; what the client still sends is read, so that its request ends well. */
static int drain(struct extract *x, struct err *err)
{
	ssize_t n;

	do
		n = read(x->in, x->piece, PIECE);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? failed(err, "read", "the archive") : 0;
}

/* ---- one member ---- */

static void set_times(struct member *m)
{
	struct timespec *at = &m->times[0], *mt = &m->times[1];

	mt->tv_sec = archive_entry_mtime(m->e);
	mt->tv_nsec = archive_entry_mtime_nsec(m->e);
	if (mt->tv_sec < 0)
		*mt = (struct timespec){0};
	at->tv_sec = archive_entry_atime(m->e);
	at->tv_nsec = archive_entry_atime_nsec(m->e);
	/* Read before it was written, or never: then when it was written. */
	if (at->tv_sec < mt->tv_sec || (at->tv_sec == mt->tv_sec && at->tv_nsec < mt->tv_nsec))
		*at = *mt;
}

static void member_release(struct member *m)
{
	free(m->name);
	free(m->path);
	*m = (struct member){0};
}

/* 0, or -1: its name leads out of dest. */
static int member_init(const struct extract *x, struct archive_entry *e, struct member *m, struct err *err)
{
	const char *raw = archive_entry_pathname(e);
	AUTO_FREE char *clean = path_clean(raw ? raw : "");

	*m = (struct member){.e = e};
	m->is_root = strcmp(clean, "/") == 0;
	m->name = xstrdup(m->is_root ? "." : *clean == '/' ? clean + 1 : clean);
	m->path = strcmp(m->name, ".") == 0 ? xstrdup(x->dest) :
		xasprintf("%s/%s", x->dest[1] ? x->dest : "", m->name);
	m->type = archive_entry_filetype(e);
	m->mode = archive_entry_perm(e) & 07777;
	m->is_link = archive_entry_hardlink(e) != NULL;
	m->uid = x->o->own ? x->o->uid : (uid_t)archive_entry_uid(e);
	m->gid = x->o->own ? x->o->gid : (gid_t)archive_entry_gid(e);
	set_times(m);
	if (strcmp(m->name, "..") != 0 && strncmp(m->name, "../", 3) != 0)
		return 0;
	err_set(err, ERR_SYSTEM, "\"%s\" is outside of \"%s\"", m->name, x->dest);
	member_release(m);
	return -1;
}

static int chown_failed(void)
{
	/* Who is not root gives nothing away: it keeps what it makes, as with tar. */
	return !(errno == EPERM && geteuid() != 0);
}

/* Parents that the archive does not mention. */
static int make_parents(const struct member *m, struct err *err)
{
	AUTO_FREE char *path = xstrdup(m->name);
	char *last = strrchr(path, '/');
	struct stat st;

	if (!last)
		return 0;
	*last = '\0';
	if (lstat(path, &st) == 0 || errno != ENOENT)
		return 0;
	for (char *end = path; end; ) {
		end = strchr(end + 1, '/');
		if (end)
			*end = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return failed(err, "mkdir", m->path);
		if (end)
			*end = '/';
	}
	return 0;
}

/* Whatever has the name makes room, but for directories that meet directories. 1: nothing is to be
 * done, the directory extracted to has itself in the archive. */
static int make_room(const struct extract *x, const struct member *m, struct err *err)
{
	bool becomes_dir = m->type == AE_IFDIR && !m->is_link;
	struct stat st;

	if (lstat(m->name, &st) < 0)
		return 0; /* if something else is wrong than its absence, creating it says so */
	if (S_ISDIR(st.st_mode) && !becomes_dir && (x->o->keep_kind || m->is_root))
		return err_set(err, ERR_SYSTEM, "cannot overwrite directory \"%s\" with non-directory \"%s\"",
			       m->path, x->dest);
	if (x->o->keep_kind && !S_ISDIR(st.st_mode) && becomes_dir)
		return err_set(err, ERR_SYSTEM, "cannot overwrite non-directory \"%s\" with directory \"%s\"",
			       m->path, x->dest);
	if (S_ISDIR(st.st_mode) && strcmp(m->name, ".") == 0 && !m->is_root)
		return 1;
	if (S_ISDIR(st.st_mode) && becomes_dir)
		return 0;
	return remove_tree(AT_FDCWD, m->name) == 0 ? 0 : failed(err, "unlinkat", m->path);
}

static int write_at(int fd, const char *p, size_t n, off_t at)
{
	while (n) {
		ssize_t wrote = pwrite(fd, p, n, at);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return -1;
		p += wrote;
		n -= (size_t)wrote;
		at += wrote;
	}
	return 0;
}

static int copy_content(struct extract *x, const struct member *m, int fd, struct err *err)
{
	const void *piece;
	size_t n;
	la_int64_t at;
	off_t end = 0;
	int rc;

	while (usable(rc = archive_read_data_block(x->a, &piece, &n, &at))) {
		if (write_at(fd, piece, n, at) < 0)
			return failed(err, "write", m->path);
		end = at + (off_t)n;
	}
	if (rc != ARCHIVE_EOF)
		return broken(x, err);
	/* A sparse file may end in a hole. */
	if (end < archive_entry_size(m->e) && ftruncate(fd, archive_entry_size(m->e)) < 0)
		return failed(err, "truncate", m->path);
	return 0;
}

/* By descriptor, or by name (fd -1) for what cannot be opened harmlessly: a link, a pipe, a device. */
static int set_xattrs(const struct member *m, int fd, struct err *err)
{
	const char *key;
	const void *value;
	size_t n;
	int rc;

	archive_entry_xattr_reset(m->e);
	while (archive_entry_xattr_next(m->e, &key, &value, &n) == ARCHIVE_OK) {
		rc = fd >= 0 ? fsetxattr(fd, key, value, n, 0) : lsetxattr(m->name, key, value, n, 0);
		/* dockerd as well leaves out what the file system does not have or allow. */
		if (rc < 0 && errno != ENOTSUP && errno != EPERM)
			return failed(err, "lsetxattr", m->path);
	}
	return 0;
}

/* The order matters: a change of owner takes away capabilities and set-id bits. */
static int set_metadata(const struct member *m, int fd, struct err *err)
{
	int rc = fd >= 0 ? fchown(fd, m->uid, m->gid) : lchown(m->name, m->uid, m->gid);

	if (rc < 0 && chown_failed())
		return failed(err, "lchown", m->path);
	if (set_xattrs(m, fd, err) < 0)
		return -1;
	if (fd >= 0 && fchmod(fd, m->mode) < 0)
		return failed(err, "chmod", m->path);
	rc = fd >= 0 ? futimens(fd, m->times) : utimensat(AT_FDCWD, m->name, m->times, AT_SYMLINK_NOFOLLOW);
	return rc < 0 ? failed(err, "chtimes", m->path) : 0;
}

/* Another name of a file shares all with it; only an owner of its own is looked at, as in dockerd. */
static int set_link_owner(const struct member *m, struct err *err)
{
	struct stat st;

	if (lstat(m->name, &st) < 0)
		return failed(err, "lstat", m->path);
	if (st.st_uid == m->uid && st.st_gid == m->gid)
		return 0; /* chown would take away set-id bits even so */
	if (lchown(m->name, m->uid, m->gid) < 0 && chown_failed())
		return failed(err, "lchown", m->path);
	return 0;
}

static int make_regular(struct extract *x, const struct member *m, struct err *err)
{
	AUTO_CLOSE int fd = open(m->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return failed(err, "open", m->path);
	return copy_content(x, m, fd, err) < 0 ? -1 : set_metadata(m, fd, err);
}

static int finish_dirs(struct extract *x, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < x->n_dirs; i++) {
		struct timespec times[2] = {x->dirs[i].mtime, x->dirs[i].mtime};

		if (rc == 0 && utimensat(AT_FDCWD, x->dirs[i].name, times, AT_SYMLINK_NOFOLLOW) < 0 &&
		    errno != ENOENT)
			rc = failed(err, "chtimes", x->dirs[i].name);
		free(x->dirs[i].name);
	}
	x->n_dirs = 0;
	return rc;
}

static int make_dir(struct extract *x, const struct member *m, struct err *err)
{
	AUTO_CLOSE int fd = -1;

	if (mkdir(m->name, 0700) < 0 && errno != EEXIST)
		return failed(err, "mkdir", m->path);
	fd = open(m->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return failed(err, "open", m->path);
	if (set_metadata(m, fd, err) < 0)
		return -1;
	/* An archive of endless directories does not get endless memory: early ones may get their times
	 * too early. */
	if (x->n_dirs == DIRS_MAX && finish_dirs(x, err) < 0)
		return -1;
	if (!x->dirs)
		x->dirs = xcalloc(DIRS_MAX, sizeof(*x->dirs));
	x->dirs[x->n_dirs++] = (struct dir_time){xstrdup(m->name), m->times[1]};
	return 0;
}

static int make_hardlink(const struct extract *x, const struct member *m, struct err *err)
{
	const char *raw = archive_entry_hardlink(m->e);
	AUTO_FREE char *joined = xasprintf("./%s", raw);
	AUTO_FREE char *target = path_clean(joined);
	AUTO_FREE char *shown = NULL;

	joined[0] = '/';
	if (strcmp(target, "..") == 0 || strncmp(target, "../", 3) == 0) {
		AUTO_FREE char *from = xasprintf("%s/%s", x->dest, raw);

		shown = path_clean(from);
		return err_set(err, ERR_SYSTEM, "invalid hardlink \"%s\" -> \"%s\"", shown, raw);
	}
	if (link(target, m->name) == 0)
		return set_link_owner(m, err);
	return err_set(err, ERR_SYSTEM, "link %s/%s %s: %s", x->dest[1] ? x->dest : "", target, m->path,
		       path_errno(errno));
}

/* dockerd refuses a link that names, by its words, something above dest. */
static int make_symlink(const struct extract *x, const struct member *m, struct err *err)
{
	const char *target = archive_entry_symlink(m->e);
	char *slash = strrchr(m->path, '/');
	AUTO_FREE char *joined = xasprintf("%.*s/%s", (int)(slash - m->path), m->path, target ? target : "");
	AUTO_FREE char *meant = path_clean(joined);
	size_t n = strlen(x->dest);

	if (n > 1 && !(strncmp(meant, x->dest, n) == 0 && (meant[n] == '/' || meant[n] == '\0')))
		return err_set(err, ERR_SYSTEM, "invalid symlink \"%s\" -> \"%s\"", m->path, target);
	if (symlink(target ? target : "", m->name) < 0)
		return err_set(err, ERR_SYSTEM, "symlink %s %s: %s", target, m->path, path_errno(errno));
	return set_metadata(m, -1, err);
}

static int make_node(const struct member *m, struct err *err)
{
	dev_t dev = m->type == AE_IFIFO ? 0 : makedev(archive_entry_rdevmajor(m->e),
						     archive_entry_rdevminor(m->e));

	if (mknod(m->name, m->type | m->mode, dev) < 0)
		return failed(err, "mknod", m->path);
	if (set_metadata(m, -1, err) < 0)
		return -1;
	/* We have just made it and it is no link: chown may have taken bits of its mode. */
	return fchmodat(AT_FDCWD, m->name, m->mode, 0) < 0 ? failed(err, "chmod", m->path) : 0;
}

static int make_member(struct extract *x, const struct member *m, struct err *err)
{
	if (m->is_link)
		return make_hardlink(x, m, err);
	switch (m->type) {
	case AE_IFDIR:
		return make_dir(x, m, err);
	case AE_IFREG:
		return make_regular(x, m, err);
	case AE_IFLNK:
		return make_symlink(x, m, err);
	case AE_IFCHR:
	case AE_IFBLK:
	case AE_IFIFO:
		return make_node(m, err);
	default:
		return err_set(err, ERR_SYSTEM, "unhandled tar header type of \"%s\"", m->name);
	}
}

static int extract_entry(struct extract *x, struct archive_entry *e, struct err *err)
{
	struct member m;
	int rc;

	if (member_init(x, e, &m, err) < 0)
		return -1;
	rc = make_parents(&m, err);
	if (rc == 0)
		rc = make_room(x, &m, err);
	if (rc == 0)
		rc = make_member(x, &m, err);
	member_release(&m);
	return rc < 0 ? -1 : 0;
}

int extract_archive(int in, const char *dest, const struct extract_options *o, struct err *err)
{
	struct extract x = {.o = o, .dest = dest, .in = in};
	struct archive_entry *e;
	int rc = 0, got = ARCHIVE_OK;

	if (chdir(dest) < 0)
		return failed(err, "chdir", dest);
	umask(0);
	x.piece = xmalloc(PIECE);
	fcntl(in, F_SETPIPE_SZ, 4 * PIECE); /* if it is one, and if it may be that large */
	open_archive(&x);
	while (rc == 0 && usable(got = archive_read_next_header(x.a, &e)))
		rc = extract_entry(&x, e, err);
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = broken(&x, err);
	if (rc == 0)
		rc = finish_dirs(&x, err);
	else
		finish_dirs(&x, NULL); /* what is there is as complete as can be */
	if (rc == 0)
		rc = drain(&x, err);
	archive_read_free(x.a);
	free(x.piece);
	free(x.dirs);
	return rc;
}
