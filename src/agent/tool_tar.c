/* tool_tar - see tool_tar.h. The layout of a header is POSIX', what goes into a pax record Go's choice. */
#include "tool_tar.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "tool.h"
#include "tool_path.h"

#define BLOCK 512
#define CAPABILITY "security.capability"
#define CAPABILITY_MAX 256
#define RECORDS_MAX (64 * 1024)
#define NAME_BYTES_MAX (30 * 1024) /* a path and a link of so much fit into the records; no other program reads more */
#define SENDFILE_MAX (16 * 1024 * 1024)

struct tar_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
	char magic[6], version[2], uname[32], gname[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct tar_header) == BLOCK, "a header is a block");

struct tar_inode {
	struct inode_key {
		dev_t dev;
		ino_t ino;
	} key;
	char *name;    /* ours: the first one in the archive */
	nlink_t left;  /* names not yet met */
	UT_hash_handle hh;
};

struct entry {
	const char *name, *link;
	struct stat st;
	char type;
	off_t size;
	uint8_t capability[CAPABILITY_MAX];
	size_t capability_len;
};

static int write_failed(struct err *err)
{
	return err_set(err, ERR_SYSTEM, "write the archive: %s", path_errno(errno));
}

static int flush(struct tar_writer *t, struct err *err)
{
	size_t n = t->used;

	t->used = 0;
	return write_all(t->fd, t->buffer, n) < 0 ? write_failed(err) : 0;
}

static int put(struct tar_writer *t, const void *p, size_t n, struct err *err)
{
	const uint8_t *at = p;

	while (n) {
		size_t part = TAR_BUFFER - t->used < n ? TAR_BUFFER - t->used : n;

		memcpy(t->buffer + t->used, at, part);
		t->used += part;
		at += part;
		n -= part;
		if (t->used == TAR_BUFFER && flush(t, err) < 0)
			return -1;
	}
	return 0;
}

static int zeros(struct tar_writer *t, uint64_t n, struct err *err)
{
	while (n) {
		size_t room = TAR_BUFFER - t->used, part = room < n ? room : (size_t)n;

		memset(t->buffer + t->used, 0, part);
		t->used += part;
		n -= part;
		if (t->used == TAR_BUFFER && flush(t, err) < 0)
			return -1;
	}
	return 0;
}

static int pad(struct tar_writer *t, uint64_t size, struct err *err)
{
	return zeros(t, (BLOCK - size % BLOCK) % BLOCK, err);
}

/* Zero-filled octal digits and a NUL; what does not fit is 0 and has a pax record. */
static bool octal(char *field, size_t size, int64_t v)
{
	char text[32];
	bool fits = v >= 0 && (uint64_t)v < 1ULL << (3 * (size - 1));

	snprintf(text, sizeof(text), "%0*llo", (int)size - 1, fits ? (unsigned long long)v : 0ULL);
	memcpy(field, text, size);
	return fits;
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

/* What is ASCII of s, cut at the field's end. */
static void ascii(char *field, size_t size, const char *s)
{
	for (size_t n = 0; *s && n < size; s++)
		if ((unsigned char)*s < 0x80)
			field[n++] = *s;
}

/* "27 path=some/long/name\n", whose number counts itself. */
static void record(struct buf *b, const char *key, const void *value, size_t n)
{
	size_t body = 3 + strlen(key) + n, len = body, digits;

	do {
		digits = (size_t)snprintf(NULL, 0, "%zu", len);
		len = body + digits;
	} while ((size_t)snprintf(NULL, 0, "%zu", len) != digits);
	if (buf_printf(b, "%zu %s=", len, key) < 0 || buf_append(b, value, n) < 0 ||
	    buf_append(b, "\n", 1) < 0)
		assert(!"a path, a link and a capability fit");
}

static void record_number(struct buf *b, const char *key, int64_t v)
{
	char text[32];

	record(b, key, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)v));
}

static void finish_header(struct tar_header *h)
{
	unsigned sum = 0;

	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memset(h->checksum, ' ', sizeof(h->checksum));
	for (size_t i = 0; i < BLOCK; i++)
		sum += ((const unsigned char *)h)[i];
	octal(h->checksum, 7, sum); /* and a blank is left behind it */
}

/* The records before an entry are a file themselves, dir/PaxHeaders.0/base. */
static int put_records(struct tar_writer *t, const char *name, const struct buf *records, struct err *err)
{
	struct tar_header h = {.type = 'x'};
	const char *slash = strrchr(name, '/');
	int dir = slash ? (int)(slash - name) : 0;
	AUTO_FREE char *joined = xasprintf("%.*s/PaxHeaders.0/%s", dir, name, slash ? slash + 1 : name);
	AUTO_FREE char *clean = path_clean(slash ? joined : joined + 1);
	size_t n;

	ascii(h.name, sizeof(h.name), clean);
	for (n = strnlen(h.name, sizeof(h.name)); n > 1 && h.name[n - 1] == '/'; n--)
		h.name[n - 1] = '\0';
	octal(h.mode, sizeof(h.mode), 0);
	octal(h.uid, sizeof(h.uid), 0);
	octal(h.gid, sizeof(h.gid), 0);
	octal(h.size, sizeof(h.size), (int64_t)records->len);
	octal(h.mtime, sizeof(h.mtime), 0);
	octal(h.major, sizeof(h.major), 0);
	octal(h.minor, sizeof(h.minor), 0);
	finish_header(&h);
	if (put(t, &h, sizeof(h), err) < 0 || put(t, buf_head(records), records->len, err) < 0)
		return -1;
	return pad(t, records->len, err);
}

/* Go sorts the keys: capability, gid, linkpath, mtime, path, size, uid. */
static int put_header(struct tar_writer *t, const struct entry *e, struct err *err)
{
	struct tar_header h = {.type = e->type};
	bool device = e->type == '3' || e->type == '4';
	struct buf records;
	int rc;

	if (strlen(e->name) > NAME_BYTES_MAX || strlen(e->link) > NAME_BYTES_MAX)
		return err_set(err, ERR_SYSTEM, "lstat %.256s...: file name too long", e->name);
	buf_init(&records, RECORDS_MAX);
	if (e->capability_len)
		record(&records, "SCHILY.xattr." CAPABILITY, e->capability, e->capability_len);
	octal(h.mode, sizeof(h.mode), e->st.st_mode & 07777);
	if (!octal(h.gid, sizeof(h.gid), e->st.st_gid))
		record_number(&records, "gid", e->st.st_gid);
	if (strlen(e->link) > sizeof(h.link) || !is_ascii(e->link))
		record(&records, "linkpath", e->link, strlen(e->link));
	if (!octal(h.mtime, sizeof(h.mtime), e->st.st_mtime))
		record_number(&records, "mtime", e->st.st_mtime);
	if (strlen(e->name) > sizeof(h.name) || !is_ascii(e->name))
		record(&records, "path", e->name, strlen(e->name));
	if (!octal(h.size, sizeof(h.size), e->size))
		record_number(&records, "size", e->size);
	if (!octal(h.uid, sizeof(h.uid), e->st.st_uid))
		record_number(&records, "uid", e->st.st_uid);
	ascii(h.name, sizeof(h.name), e->name);
	ascii(h.link, sizeof(h.link), e->link);
	octal(h.major, sizeof(h.major), device ? major(e->st.st_rdev) : 0);
	octal(h.minor, sizeof(h.minor), device ? minor(e->st.st_rdev) : 0);
	finish_header(&h);
	rc = records.len ? put_records(t, e->name, &records, err) : 0;
	buf_release(&records);
	return rc < 0 ? -1 : put(t, &h, sizeof(h), err);
}

static int became_shorter(const char *path, struct err *err)
{
	return err_set(err, ERR_SYSTEM, "read %s: it became shorter meanwhile", path);
}

/* From *at to end, which is there unless the file shrinks. A small piece goes through the buffer. */
static int copy_range(struct tar_writer *t, int fd, off_t *at, off_t end, const char *path, struct err *err)
{
	bool small = end - *at <= TAR_BUFFER / 4;
	ssize_t n;

	if (!small && flush(t, err) < 0)
		return -1;
	while (*at < end) {
		size_t left = end - *at > SENDFILE_MAX ? SENDFILE_MAX : (size_t)(end - *at);

		if (!small) {
			n = sendfile(t->fd, fd, at, left);
			small = n < 0 && (errno == EINVAL || errno == ENOSYS);
			if (small || (n < 0 && errno == EINTR))
				continue;
		} else {
			if (t->used == TAR_BUFFER && flush(t, err) < 0)
				return -1;
			if (left > TAR_BUFFER - t->used)
				left = TAR_BUFFER - t->used;
			n = pread(fd, t->buffer + t->used, left, *at);
			if (n < 0 && errno == EINTR)
				continue;
			t->used += n > 0 ? (size_t)n : 0;
			*at += n > 0 ? n : 0;
		}
		if (n < 0 && errno == EPIPE)
			return write_failed(err);
		if (n < 0)
			return err_set(err, ERR_SYSTEM, "read %s: %s", path, path_errno(errno));
		if (n == 0)
			return became_shorter(path, err);
	}
	return 0;
}

/* Holes are written as zeros, as dockerd does, but not read: that might allocate what they save. */
static int put_content(struct tar_writer *t, int fd, off_t size, const char *path, struct err *err)
{
	off_t at = 0;

	while (at < size) {
		off_t data = lseek(fd, at, SEEK_DATA), hole = size;
		bool no_data = data < 0 && errno == ENXIO; /* else, if it failed, nobody knows of holes */

		if (no_data && lseek(fd, 0, SEEK_END) < size)
			return became_shorter(path, err);
		if (data < 0)
			data = no_data ? size : at;
		else
			hole = lseek(fd, data, SEEK_HOLE);
		if (data > size)
			data = size;
		if (hole <= data || hole > size)
			hole = size;
		if (zeros(t, (uint64_t)(data - at), err) < 0)
			return -1;
		at = data;
		if (copy_range(t, fd, &at, hole, path, err) < 0)
			return -1;
	}
	return pad(t, (uint64_t)size, err);
}

/* The name under which this inode is already in the archive, or NULL; then it is noted. */
static char *seen_before(struct tar_writer *t, const struct stat *st, const char *as)
{
	struct tar_inode *i;
	struct inode_key key;
	char *name;

	memset(&key, 0, sizeof(key)); /* the hash takes the padding as well */
	key.dev = st->st_dev;
	key.ino = st->st_ino;
	HASH_FIND(hh, t->seen, &key, sizeof(key), i);
	if (!i) {
		i = xcalloc(1, sizeof(*i));
		i->key = key;
		i->name = xstrdup(as);
		i->left = st->st_nlink - 1;
		HASH_ADD(hh, t->seen, key, sizeof(i->key), i);
		return NULL;
	}
	if (--i->left > 0)
		return xstrdup(i->name);
	HASH_DEL(t->seen, i);
	name = i->name;
	free(i);
	return name;
}

/* It was left out after all: the next of its names is the first one. */
static void forget(struct tar_writer *t, const struct stat *st)
{
	struct tar_inode *i;
	struct inode_key key;

	memset(&key, 0, sizeof(key));
	key.dev = st->st_dev;
	key.ino = st->st_ino;
	HASH_FIND(hh, t->seen, &key, sizeof(key), i);
	if (i) {
		HASH_DEL(t->seen, i);
		free(i->name);
		free(i);
	}
}

/* 1: it has gone, or is something else by now. */
static int add_regular(struct tar_writer *t, int dir, const char *name, struct entry *e, const char *path,
		       struct err *err)
{
	AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	if (fd < 0 && (errno == ENOENT || errno == ELOOP))
		return 1;
	if (fd < 0 || fstat(fd, &e->st) < 0)
		return err_set(err, ERR_SYSTEM, "open %s: %s", path, path_errno(errno));
	if (!S_ISREG(e->st.st_mode))
		return 1;
	e->size = e->st.st_size;
	n = fgetxattr(fd, CAPABILITY, e->capability, sizeof(e->capability));
	e->capability_len = n > 0 ? (size_t)n : 0;
	return put_header(t, e, err) < 0 ? -1 : put_content(t, fd, e->size, path, err);
}

static char type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return '0';
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	default:
		return 0;
	}
}

void tar_init(struct tar_writer *t, int fd)
{
	*t = (struct tar_writer){.fd = fd, .buffer = xmalloc(TAR_BUFFER)};
	fcntl(fd, F_SETPIPE_SZ, 1024 * 1024); /* if it is one, and if it may be that large */
}

void tar_release(struct tar_writer *t)
{
	struct tar_inode *i, *next;

	HASH_ITER(hh, t->seen, i, next) {
		HASH_DEL(t->seen, i);
		free(i->name);
		free(i);
	}
	free(t->buffer);
}

int tar_add(struct tar_writer *t, int dir, const char *name, const struct stat *st, const char *as,
	    const char *path, struct err *err)
{
	AUTO_FREE char *dir_name = S_ISDIR(st->st_mode) ? xasprintf("%s/", as) : NULL;
	AUTO_FREE char *first = NULL;
	char target[PATH_MAX + 1];
	struct entry e = {.name = dir_name ? dir_name : as, .link = "", .st = *st};
	ssize_t n;
	int rc;

	e.type = type_of(st->st_mode);
	if (!e.type)
		return 0;
	if (e.type == '2') {
		n = readlinkat(dir, name, target, PATH_MAX);
		if (n < 0)
			return errno == ENOENT || errno == EINVAL ? 0 :
				err_set(err, ERR_SYSTEM, "readlink %s: %s", path, path_errno(errno));
		target[n] = '\0';
		e.link = target;
	}
	first = !dir_name && st->st_nlink > 1 ? seen_before(t, st, as) : NULL;
	if (first) {
		e.type = '1';
		e.link = first;
	}
	if (e.type != '0')
		return put_header(t, &e, err);
	rc = add_regular(t, dir, name, &e, path, err);
	if (rc == 1)
		forget(t, st);
	return rc < 0 ? -1 : 0;
}

int tar_add_empty(struct tar_writer *t, const struct stat *st, const char *as, struct err *err)
{
	AUTO_FREE char *dir_name = S_ISDIR(st->st_mode) ? xasprintf("%s/", as) : NULL;
	struct entry e = {.name = dir_name ? dir_name : as, .link = "", .st = *st};

	e.type = dir_name ? '5' : '0';
	return put_header(t, &e, err);
}

int tar_end(struct tar_writer *t, struct err *err)
{
	return zeros(t, 2 * BLOCK, err) < 0 ? -1 : flush(t, err);
}
