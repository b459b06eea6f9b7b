/* file_tree - see file_tree.h. */
#include "image/file_tree.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"

#define WHITEOUT ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_META ".wh..wh." /* other names of aufs: no files */
#define LINKS_MAX 255
#define NAME_BYTES_MAX 4096
#define PATH_BYTES_MAX (64 * 1024)
#define DEPTH_MAX 4096 /* a tree is walked by recursion; what a path may name, twice */

/* ---- nodes --------------------------------------------------------------------------------------- */

static struct tree_node *node_new(struct file_tree *t, struct tree_node *parent, const char *name, size_t len)
{
	struct tree_node *n = xcalloc(1, sizeof(*n));

	n->name = xstrndup(name, len);
	n->mode = S_IFDIR | 0755;
	n->source = TREE_NO_SOURCE;
	n->parent = parent;
	if (parent)
		HASH_ADD_KEYPTR(hh, parent->children, n->name, len, n);
	t->n++;
	return n;
}

static void node_free(struct file_tree *t, struct tree_node *n)
{
	struct tree_node *child, *tmp;

	HASH_ITER(hh, n->children, child, tmp)
		node_free(t, child);
	if (n->parent)
		HASH_DEL(n->parent->children, n);
	free(n->name);
	free(n->link);
	free(n);
	t->n--;
}

static struct tree_node *child_of(const struct tree_node *n, const char *name, size_t len)
{
	struct tree_node *child;

	HASH_FIND(hh, n->children, name, len, child);
	return child;
}

/* What layers below this one have put below n. */
static void prune(struct file_tree *t, struct tree_node *n, uint32_t archive)
{
	struct tree_node *child, *tmp;

	HASH_ITER(hh, n->children, child, tmp) {
		if (child->archive < archive)
			node_free(t, child);
		else
			prune(t, child, archive);
	}
}

struct file_tree *file_tree_new(void)
{
	struct file_tree *t = xcalloc(1, sizeof(*t));

	t->root = node_new(t, NULL, "", 0);
	return t;
}

void file_tree_free(struct file_tree *t)
{
	if (!t)
		return;
	node_free(t, t->root);
	free(t);
}

/* ---- looking ------------------------------------------------------------------------------------- */

char *file_tree_path(const struct tree_node *n)
{
	AUTO_FREE char *above = NULL;

	if (!n->parent)
		return xstrdup("/");
	above = file_tree_path(n->parent);
	return xasprintf("%s/%s", above[1] ? above : "", n->name);
}

/* Where a path through nothing would lead. */
static char *literal_path(const struct tree_node *at, const char *rest)
{
	char *path = file_tree_path(at);

	while (*rest) {
		size_t len = strcspn(rest, "/");
		char *slash = strrchr(path, '/'), *longer;

		if (len == 2 && memcmp(rest, "..", 2) == 0) {
			slash[slash == path] = '\0';
		} else if (len && !(len == 1 && *rest == '.')) {
			longer = xasprintf("%s/%.*s", path[1] ? path : "", (int)len, rest);
			free(path);
			path = longer;
		}
		rest += len;
		rest += *rest == '/';
	}
	return path;
}

struct tree_node *file_tree_find(const struct file_tree *t, const char *path, bool follow, char **ret_path)
{
	AUTO_FREE char *rest = xstrdup(path);
	struct tree_node *at = t->root, *next;
	const char *p = rest;
	unsigned links = 0;

	for (;;) {
		size_t len;

		p += strspn(p, "/");
		len = strcspn(p, "/");
		if (len == 0)
			break;
		if (len == 1 && *p == '.') {
			p += len;
			continue;
		}
		if (len == 2 && memcmp(p, "..", 2) == 0) {
			at = at->parent ? at->parent : at;
			p += len;
			continue;
		}
		next = S_ISDIR(at->mode) ? child_of(at, p, len) : NULL;
		if (!next || (next->link && (follow || p[len]) && ++links > LINKS_MAX)) {
			if (ret_path)
				*ret_path = literal_path(at, p);
			return NULL;
		}
		p += len;
		if (next->link && (follow || *p)) {
			char *longer = xasprintf("%s/%s", next->link, p);

			at = *next->link == '/' ? t->root : at;
			free(rest);
			p = rest = longer;
			if (strlen(rest) > PATH_BYTES_MAX)
				return NULL;
			continue;
		}
		at = next;
	}
	if (ret_path)
		*ret_path = file_tree_path(at);
	return at;
}

static int by_name(const void *a, const void *b)
{
	const struct tree_node *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

struct tree_node **file_tree_children(const struct tree_node *n)
{
	struct tree_node **list = xcalloc(HASH_COUNT(n->children) + 1, sizeof(struct tree_node *)), *child;
	size_t count = 0;

	for (child = n->children; child; child = child->hh.next)
		list[count++] = child;
	qsort(list, count, sizeof(*list), by_name);
	return list;
}

static void set_base(struct tree_node *n)
{
	struct tree_node *child;

	n->base = true;
	for (child = n->children; child; child = child->hh.next)
		set_base(child);
}

void file_tree_set_base(struct file_tree *t)
{
	set_base(t->root);
}

/* ---- adding -------------------------------------------------------------------------------------- */

/* Components without "." and "..", joined by '/'; NULL when it leads out. Caller frees. */
static char *clean(const char *path)
{
	char *out = xmalloc(strlen(path) + 2), *end = out;

	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 2 && memcmp(path, "..", 2) == 0) {
			if (end == out) {
				free(out);
				return NULL;
			}
			while (end > out && *--end != '/')
				;
		} else if (len && !(len == 1 && *path == '.')) {
			if (end > out)
				*end++ = '/';
			memcpy(end, path, len);
			end += len;
		}
		path += len;
	}
	*end = '\0';
	return out;
}

static size_t depth_of(const struct tree_node *n)
{
	size_t depth = 0;

	for (; n->parent; n = n->parent)
		depth++;
	return depth;
}

/* The directory of this name, made or put in the place of what is no directory; links are followed. */
static struct tree_node *enter(struct file_tree *t, struct tree_node *at, const char *name, size_t len, uint32_t archive)
{
	struct tree_node *n = child_of(at, name, len);

	if (n && n->link) {
		AUTO_FREE char *dir = file_tree_path(at), *path = xasprintf("%s/%s", dir, n->name);
		struct tree_node *target = file_tree_find(t, path, true, NULL);

		if (target && S_ISDIR(target->mode))
			return target;
	}
	if (n && !S_ISDIR(n->mode)) {
		node_free(t, n);
		n = NULL;
	}
	if (!n)
		n = node_new(t, at, name, len);
	if (n->archive < archive)
		n->archive = archive;
	return n;
}

/* The node's parent, made as far as it is missing, and its own name. */
static struct tree_node *enter_parent(struct file_tree *t, struct tree_node *base, const char *path, uint32_t archive,
				      const char **ret_name)
{
	const char *slash;

	while ((slash = strchr(path, '/'))) {
		base = enter(t, base, path, (size_t)(slash - path), archive);
		path = slash + 1;
	}
	*ret_name = path;
	return base;
}

struct tree_node *file_tree_make_dirs(struct file_tree *t, const char *path, uint32_t archive)
{
	struct tree_node *at = file_tree_find(t, path, true, NULL);
	AUTO_FREE char *whole = NULL, *rest = NULL;
	const char *p;

	if (at || strlen(path) > NAME_BYTES_MAX)
		return at && S_ISDIR(at->mode) ? at : NULL;
	whole = clean(path);
	p = whole ? whole : "";
	for (at = t->root; *p && S_ISDIR(at->mode);) {
		size_t len = strcspn(p, "/");
		struct tree_node *n = child_of(at, p, len);

		if (n && !S_ISDIR(n->mode) && !n->link)
			return NULL;
		at = n && !n->link ? n : enter(t, at, p, len, archive);
		p += len;
		p += *p == '/';
	}
	return at;
}

static void take_away(struct file_tree *t, struct tree_node *dir, const char *name, uint32_t archive)
{
	struct tree_node *n;

	if (strcmp(name, WHITEOUT_OPAQUE) == 0) {
		prune(t, dir, archive);
		return;
	}
	n = strncmp(name, WHITEOUT_META, strlen(WHITEOUT_META)) == 0 ? NULL :
	    child_of(dir, name + strlen(WHITEOUT), strlen(name + strlen(WHITEOUT)));
	if (n && n->archive < archive)
		node_free(t, n);
	else if (n)
		prune(t, n, archive);
}

static int put(struct file_tree *t, struct tree_node *dir, const char *name, uint32_t archive, uint64_t source,
	       const struct tree_entry *e, struct err *err)
{
	struct tree_node *n = child_of(dir, name, strlen(name));
	bool base = n && n->base;

	if (n && t->refuse_type_change && S_ISDIR(n->mode) && !S_ISDIR(e->mode))
		return err_set(err, ERR_INVALID, "cannot overwrite directory \"%s\" with non-directory \"%s\"", n->name, e->path);
	if (n && t->refuse_type_change && !S_ISDIR(n->mode) && S_ISDIR(e->mode))
		return err_set(err, ERR_INVALID, "cannot overwrite non-directory \"%s\" with directory \"%s\"", n->name, e->path);
	if (n && !(S_ISDIR(n->mode) && S_ISDIR(e->mode))) {
		node_free(t, n);
		n = NULL;
	}
	if (!n && t->n >= TREE_NODES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d files", TREE_NODES_MAX);
	if (!n)
		n = node_new(t, dir, name, strlen(name));
	n->base = base;
	n->mode = e->mode;
	n->uid = e->uid;
	n->gid = e->gid;
	n->size = S_ISREG(e->mode) ? e->size : 0;
	n->mtime_ns = e->mtime_ns;
	n->link = S_ISLNK(e->mode) ? xstrdup(e->link ? e->link : "") : NULL;
	n->source = source;
	n->archive = archive;
	return 0;
}

/* The same file under another name: whatever holds the content of the one holds that of the other. */
static int put_hard_link(struct file_tree *t, struct tree_node *base, struct tree_node *dir, const char *name,
			 uint32_t archive, const struct tree_entry *e, struct err *err)
{
	AUTO_FREE char *target = clean(e->link), *above = file_tree_path(base);
	AUTO_FREE char *path = target ? xasprintf("%s/%s", above, target) : NULL, *link = NULL;
	struct tree_node *n = path ? file_tree_find(t, path, false, NULL) : NULL;
	struct tree_entry same;

	if (!n || S_ISDIR(n->mode))
		return err_set(err, ERR_INVALID, "\"%s\" is a link to \"%s\", which is not there", e->path, e->link);
	if (n == child_of(dir, name, strlen(name)))
		return 0;
	link = xstrdup(n->link); /* n goes if it is below what it replaces */
	same = (struct tree_entry){ .path = e->path, .mode = n->mode, .uid = n->uid, .gid = n->gid, .size = n->size,
				    .mtime_ns = n->mtime_ns, .link = link };
	return put(t, dir, name, archive, n->source, &same, err);
}

int file_tree_add(struct file_tree *t, struct tree_node *base, uint32_t archive, uint32_t number,
		  const struct tree_entry *e, bool whiteouts, struct err *err)
{
	AUTO_FREE char *path = clean(e->path);
	const char *name;
	struct tree_node *dir;

	if (!path)
		return err_set(err, ERR_INVALID, "\"%s\" is outside of the directory it is for", e->path);
	if (!*path) { /* the directory itself; as in dockerd, a copy leaves its attributes alone */
		if (whiteouts && base == t->root && S_ISDIR(e->mode)) {
			base->mode = e->mode;
			base->uid = e->uid;
			base->gid = e->gid;
			base->mtime_ns = e->mtime_ns;
		}
		return 0;
	}
	if (strlen(path) > NAME_BYTES_MAX)
		return err_set(err, ERR_INVALID, "a name of more than %d bytes", NAME_BYTES_MAX);
	if (t->n >= TREE_NODES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d files", TREE_NODES_MAX);
	dir = enter_parent(t, base, path, archive, &name);
	if (depth_of(dir) > DEPTH_MAX) /* by links below links */
		return err_set(err, ERR_LIMIT, "more than %d folders in one another", DEPTH_MAX);
	if (whiteouts && strncmp(name, WHITEOUT, strlen(WHITEOUT)) == 0) {
		take_away(t, dir, name, archive);
		return 0;
	}
	if (e->hard_link)
		return put_hard_link(t, base, dir, name, archive, e, err);
	return put(t, dir, name, archive, (uint64_t)archive << 32 | number, e, err);
}
