/* archive_folder - see archive_folder.h. Sockets are left out: nobody could use them elsewhere. */
#include "image/archive_folder.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

static int refused(struct archive *a, const char *doing, const char *path, struct err *err)
{
	return err_set(err, ERR_SYSTEM, "%s %s: %s", doing, path, archive_error_string(a));
}

/* Blocks as they lie in the file, so that holes stay holes. */
static int copy_data(struct archive *disk, struct archive *tar, const char *path, struct err *err)
{
	static const char zeros[64 * 1024];
	const void *block;
	int64_t at = 0, offset;
	size_t n;
	int rc;

	while ((rc = archive_read_data_block(disk, &block, &n, &offset)) == ARCHIVE_OK) {
		for (; at < offset; at += (int64_t)sizeof(zeros)) {
			size_t gap = offset - at < (int64_t)sizeof(zeros) ? (size_t)(offset - at) : sizeof(zeros);

			if (archive_write_data(tar, zeros, gap) < 0)
				return refused(tar, "pack", path, err);
		}
		at = offset + (int64_t)n;
		if (n > 0 && archive_write_data(tar, block, n) < 0)
			return refused(tar, "pack", path, err);
	}
	return rc == ARCHIVE_EOF ? 0 : refused(disk, "read", path, err);
}

static int copy_entry(struct archive *disk, struct archive *tar, struct archive_entry *e, const char *name, struct err *err)
{
	const char *path = archive_entry_sourcepath(e);
	AUTO_FREE char *from = xstrdup(path ? path : archive_entry_pathname(e));

	if (archive_entry_filetype(e) == AE_IFSOCK)
		return 0;
	archive_entry_copy_pathname(e, name);
	if (archive_write_header(tar, e) < ARCHIVE_WARN)
		return refused(tar, "pack", from, err);
	if (archive_entry_filetype(e) == AE_IFREG && archive_entry_size(e) > 0)
		return copy_data(disk, tar, from, err);
	return 0;
}

static int walk(struct archive *disk, struct archive *tar, const char *source, const char *target, struct err *err)
{
	size_t skip = strcmp(source, "/") == 0 ? 0 : strlen(source);
	int rc = 0;

	while (rc == 0) {
		struct archive_entry *e = archive_entry_new();
		AUTO_FREE char *name = NULL;
		int got = archive_read_next_header2(disk, e);

		if (got == ARCHIVE_EOF) {
			archive_entry_free(e);
			break;
		}
		if (got < ARCHIVE_WARN) {
			rc = refused(disk, "read", source, err);
		} else {
			/* "/host/dir/a" below "/host/dir" becomes "target/a". */
			name = xasprintf("%s%s", target + 1, archive_entry_pathname(e) + skip);
			archive_read_disk_descend(disk);
			rc = copy_entry(disk, tar, e, name, err);
		}
		archive_entry_free(e);
	}
	return rc;
}

int archive_folder_write(void *arg, int out_fd, struct err *err)
{
	const struct archive_folder *f = arg;
	AUTO_FREE char *source = realpath(f->source, NULL);
	struct archive *disk, *tar;
	int rc = -1;

	if (!source)
		return err_sys(err, errno, "read %s", f->source);
	disk = archive_read_disk_new();
	tar = archive_write_new();
	archive_read_disk_set_symlink_physical(disk);
	archive_read_disk_set_behavior(disk, ARCHIVE_READDISK_NO_TRAVERSE_MOUNTS);
	archive_write_set_format_pax_restricted(tar);
	if (archive_write_open_fd(tar, out_fd) != ARCHIVE_OK)
		refused(tar, "pack", source, err);
	else if (archive_read_disk_open(disk, source) != ARCHIVE_OK)
		refused(disk, "read", source, err);
	else
		rc = walk(disk, tar, source, f->target, err);
	if (archive_write_close(tar) != ARCHIVE_OK && rc == 0)
		rc = refused(tar, "pack", source, err);
	archive_read_free(disk);
	archive_write_free(tar);
	return rc;
}

void archive_folder_release(void *arg)
{
	struct archive_folder *f = arg;

	free(f->source);
	free(f->target);
	free(f);
}
