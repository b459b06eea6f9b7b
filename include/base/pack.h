/* pack - values in a row of bytes, for the gateway's own next process image (gateway/handover.h) and nobody
 * else: no versions inside, no compatibility. A reader that meets the end or a wrong length turns bad,
 * stays so, and answers zeros.
 * Descriptors travel as their numbers: whoever execs keeps those listed open. */
#ifndef BASE_PACK_H
#define BASE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct pack {
	struct buf bytes;
	int *fds;      /* every one that was packed; borrowed */
	size_t n_fds;
};
void pack_init(struct pack *p);
void pack_release(struct pack *p);
void pack_num(struct pack *p, uint64_t v);
void pack_bytes(struct pack *p, const void *bytes, size_t n);
void pack_buf(struct pack *p, const struct buf *b);
void pack_str(struct pack *p, const char *s); /* NULL stays NULL */
void pack_fd(struct pack *p, int fd);
/* What is packed between the two is one value, which a reader may pass over. */
size_t pack_begin(struct pack *p);
void pack_end(struct pack *p, size_t begun);

struct unpack {
	const uint8_t *at;
	size_t left;
	bool bad;
	struct unpack_fds *fds; /* NULL: none */
};
uint64_t unpack_num(struct unpack *u);
const uint8_t *unpack_bytes(struct unpack *u, size_t *ret_n); /* borrowed; NULL when bad or none */
void unpack_exact(struct unpack *u, void *to, size_t n);
void unpack_text(struct unpack *u, char *to, size_t cap);    /* bad if it does not fit */
char *unpack_str(struct unpack *u);                          /* the caller frees */
struct unpack unpack_part(struct unpack *u);
/* Ours from here on, CLOEXEC again; -1 when bad. */
int unpack_fd(struct unpack *u);

/* The descriptors a former image left us. What nobody has unpacked is closed in the end. */
struct unpack_fds {
	int *v;
	size_t n;
};
void unpack_fds_take(struct unpack_fds *f, struct unpack *list);
void unpack_fds_close(struct unpack_fds *f);
void pack_fd_list(struct pack *to, const struct pack *from);
/* Survive an exec, or not after all. 0, or -1 if one is not open. */
int pack_keep_fds(const struct pack *p, bool keep);

#endif
