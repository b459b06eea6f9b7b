/* pack - see the header. Numbers are eight bytes, little-endian. */
#include "base/pack.h"

#include <fcntl.h>
#include <string.h>

#include "base/mem.h"

#define PACK_MAX (1ull << 40)

void pack_init(struct pack *p)
{
	*p = (struct pack){0};
	buf_init(&p->bytes, PACK_MAX);
}

void pack_release(struct pack *p)
{
	buf_release(&p->bytes);
	free(p->fds);
	p->fds = NULL;
	p->n_fds = 0;
}

static void put_num(uint8_t out[8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

void pack_num(struct pack *p, uint64_t v)
{
	uint8_t le[8];

	put_num(le, v);
	buf_append(&p->bytes, le, sizeof(le));
}

void pack_bytes(struct pack *p, const void *bytes, size_t n)
{
	pack_num(p, n);
	buf_append(&p->bytes, bytes, n);
}

void pack_buf(struct pack *p, const struct buf *b)
{
	pack_bytes(p, buf_head(b), b->len);
}

void pack_str(struct pack *p, const char *s)
{
	pack_bytes(p, s, s ? strlen(s) + 1 : 0);
}

void pack_fd(struct pack *p, int fd)
{
	p->fds = xrealloc(p->fds, (p->n_fds + 1) * sizeof(*p->fds));
	p->fds[p->n_fds++] = fd;
	pack_num(p, (uint64_t)fd);
}

size_t pack_begin(struct pack *p)
{
	pack_num(p, 0);
	return p->bytes.len;
}

void pack_end(struct pack *p, size_t begun)
{
	put_num(buf_head(&p->bytes) + begun - 8, p->bytes.len - begun);
}

void pack_fd_list(struct pack *to, const struct pack *from)
{
	pack_num(to, from->n_fds);
	for (size_t i = 0; i < from->n_fds; i++)
		pack_num(to, (uint64_t)from->fds[i]);
}

int pack_keep_fds(const struct pack *p, bool keep)
{
	int rc = 0;

	for (size_t i = 0; i < p->n_fds; i++)
		if (fcntl(p->fds[i], F_SETFD, keep ? 0 : FD_CLOEXEC) < 0)
			rc = -1;
	return rc;
}

/* ---- reading -------------------------------------------------------------------------------------- */

uint64_t unpack_num(struct unpack *u)
{
	uint64_t v = 0;

	if (u->bad || u->left < 8) {
		u->bad = true;
		return 0;
	}
	for (int i = 0; i < 8; i++)
		v |= (uint64_t)u->at[i] << (8 * i);
	u->at += 8;
	u->left -= 8;
	return v;
}

const uint8_t *unpack_bytes(struct unpack *u, size_t *ret_n)
{
	uint64_t n = unpack_num(u);
	const uint8_t *p = u->at;

	*ret_n = 0;
	if (u->bad || n > u->left) {
		u->bad = true;
		return NULL;
	}
	u->at += n;
	u->left -= n;
	*ret_n = n;
	return n ? p : NULL;
}

void unpack_exact(struct unpack *u, void *to, size_t n)
{
	size_t have;
	const uint8_t *p = unpack_bytes(u, &have);

	u->bad |= have != n;
	if (u->bad || !n)
		memset(to, 0, n);
	else
		memcpy(to, p, n);
}

static bool is_text(const uint8_t *p, size_t n)
{
	return n > 0 && p[n - 1] == '\0';
}

void unpack_text(struct unpack *u, char *to, size_t cap)
{
	size_t n;
	const uint8_t *p = unpack_bytes(u, &n);

	*to = '\0';
	if (!p || n > cap || !is_text(p, n))
		u->bad = true;
	else
		memcpy(to, p, n);
}

char *unpack_str(struct unpack *u)
{
	size_t n;
	const uint8_t *p = unpack_bytes(u, &n);

	if (p && is_text(p, n))
		return xstrdup((const char *)p);
	u->bad |= p != NULL;
	return NULL;
}

struct unpack unpack_part(struct unpack *u)
{
	size_t n;
	const uint8_t *p = unpack_bytes(u, &n);

	return (struct unpack){ .at = p, .left = n, .bad = u->bad, .fds = u->fds };
}

int unpack_fd(struct unpack *u)
{
	int fd = (int)unpack_num(u);

	for (size_t i = 0; !u->bad && u->fds && i < u->fds->n; i++)
		if (u->fds->v[i] == fd) {
			u->fds->v[i] = -1;
			return fd;
		}
	u->bad = true;
	return -1;
}

void unpack_fds_take(struct unpack_fds *f, struct unpack *list)
{
	uint64_t n = unpack_num(list);

	*f = (struct unpack_fds){0};
	for (; n && !list->bad; n--) {
		int fd = (int)unpack_num(list);

		if (list->bad || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			continue;
		f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
		f->v[f->n++] = fd;
	}
}

void unpack_fds_close(struct unpack_fds *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i] >= 0)
			close(f->v[i]);
	free(f->v);
	*f = (struct unpack_fds){0};
}
