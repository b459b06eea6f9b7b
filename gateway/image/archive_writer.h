/* archive_writer - a tar that is written while its files arrive: for docker save. Nothing is kept but what
 * `out` has not taken. */
#ifndef IMAGE_ARCHIVE_WRITER_H
#define IMAGE_ARCHIVE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct archive_writer;
struct archive_writer *archive_writer_new(void (*out)(void *ctx, const void *p, size_t n), void *ctx);
/* A regular file of so many bytes; they follow in as many pieces as they come. */
int archive_writer_file(struct archive_writer *w, const char *name, int64_t size, struct err *err);
int archive_writer_data(struct archive_writer *w, const void *p, size_t n, struct err *err);
int archive_writer_end(struct archive_writer *w, struct err *err);
void archive_writer_free(struct archive_writer *w); /* NULL is fine */

#endif
