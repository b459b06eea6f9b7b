/* container_changes - docker diff: GET /containers/{id}/changes. The names in the image on one side; on the
 * other what the agent's "changes" tells of every path in the container (was its inode touched since the
 * start?), or for a container that has not begun what was copied in. Loop thread; both sides come in pieces. */
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#include "agents/tool.h"
#include "api/container_files.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "base/buf.h"
#include "base/mem.h"
#include "state/container.h"

#define ENTRY_MAX (64 * 1024)
#define CHANGES_MAX 1000000
#define FILE_CLOCK_NS 10000000LL /* inodes' times are those of the last tick, which may be before the start */

enum kind { CHANGED, ADDED, DELETED }; /* as Docker numbers them */

struct change {
	char *path;
	enum kind kind;
	UT_hash_handle hh;
};

struct changes {
	struct request *r;
	struct image_files *image;
	struct tool *tool;
	struct file_tree *tree;  /* seen: the container has it */
	struct buf entry;        /* the beginning of one that has not come whole */
	struct change *found;
	bool broken;             /* an entry that is none, or too many */
};

static void release(struct request *r)
{
	struct changes *ch = r->state;
	struct change *c, *tmp;

	image_files_cancel(ch->image);
	tool_cancel(ch->tool);
	file_tree_free(ch->tree);
	buf_release(&ch->entry);
	HASH_ITER(hh, ch->found, c, tmp) {
		HASH_DEL(ch->found, c);
		free(c->path);
		free(c);
	}
	free(ch);
}

/* ---- finding ------------------------------------------------------------------------------------- */

/* As in dockerd, a directory with a change in it has changed. */
static void note(struct changes *ch, const char *path, enum kind kind)
{
	const char *slash = strrchr(path, '/');
	struct change *c;

	HASH_FIND_STR(ch->found, path, c);
	if (c) {
		c->kind = kind == CHANGED ? c->kind : kind;
		return;
	}
	ch->broken |= HASH_COUNT(ch->found) >= CHANGES_MAX;
	if (ch->broken)
		return;
	c = xcalloc(1, sizeof(*c));
	c->path = xstrdup(path);
	c->kind = kind;
	HASH_ADD_KEYPTR(hh, ch->found, c->path, strlen(c->path), c);
	if (slash && slash > path) {
		AUTO_FREE char *parent = xstrndup(path, (size_t)(slash - path));

		note(ch, parent, CHANGED);
	}
}

/* Not of the image: made by whoever runs the container. */
static bool is_foreign(const char *path)
{
	static const char *const roots[] = {"/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
					    "/etc/mtab", "/.dockerenv", "/sockerless"};

	for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
		size_t n = strlen(roots[i]);

		if (strncmp(path, roots[i], n) == 0 && (path[n] == '/' || path[n] == '\0'))
			return true;
	}
	return false;
}

static char type_of(const struct tree_node *n)
{
	return S_ISDIR(n->mode) ? 'd' : S_ISREG(n->mode) ? 'f' : S_ISLNK(n->mode) ? 'l' : 'o';
}

static void see_all(struct tree_node *n)
{
	struct tree_node *child;

	n->seen = true;
	for (child = n->children; child; child = child->hh.next)
		see_all(child);
}

/* "!d/path": its change flag, its type, its path. */
static void take_entry(struct changes *ch, const char *entry)
{
	const char *path = entry[0] && entry[1] ? entry + 2 : "";
	struct tree_node *n;

	if (*path != '/') {
		ch->broken = true;
		return;
	}
	n = file_tree_find(ch->tree, path, false, NULL);
	if (n && S_ISDIR(n->mode) && entry[1] != 'd')
		see_all(n); /* dockerd does not tell what was below what is no directory any more */
	if (n)
		n->seen = true;
	if (path[1] == '\0' || is_foreign(path))
		return;
	if (!n || !n->base)
		note(ch, path, ADDED);
	else if (entry[0] == '!' || entry[1] != type_of(n) || (n->archive >= ch->tree->n_layers && !S_ISDIR(n->mode)))
		note(ch, path, CHANGED);
}

/* What of the image is not there any more: only the topmost, as in dockerd. */
static void find_deleted(struct changes *ch, struct tree_node *n)
{
	struct tree_node *child;

	for (child = n->children; child; child = child->hh.next) {
		AUTO_FREE char *path = file_tree_path(child);

		if (is_foreign(path) || child->mount)
			continue;
		if (child->seen || child->source == TREE_NO_SOURCE)
			find_deleted(ch, child);
		else if (child->base)
			note(ch, path, DELETED);
	}
}

/* Nothing runs: what was copied in is the change. */
static void find_copied(struct changes *ch, const struct tree_node *n, uint32_t n_layers)
{
	struct tree_node *child;

	for (child = n->children; child; child = child->hh.next) {
		AUTO_FREE char *path = file_tree_path(child);

		if (!child->base)
			note(ch, path, ADDED);
		else if (child->archive >= n_layers && !S_ISDIR(child->mode))
			note(ch, path, CHANGED);
		find_copied(ch, child, n_layers);
	}
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static int by_path(const struct change *a, const struct change *b)
{
	return strcmp(a->path, b->path);
}

static void answer(struct changes *ch)
{
	json_t *list = json_array();
	struct change *c;

	if (ch->broken) {
		json_decref(list);
		reply_error(ch->r, ERR_UPSTREAM, "the container's list of files is not understood, or too long");
		return;
	}
	HASH_SORT(ch->found, by_path);
	for (c = ch->found; c; c = c->hh.next)
		json_array_append_new(list, json_pack("{s:o, s:i}", "Path", reply_string(c->path), "Kind", (int)c->kind));
	if (json_array_size(list) == 0) { /* as dockerd says it */
		json_decref(list);
		list = json_null();
	}
	reply_json(ch->r, 200, list);
}

/* ---- the container's side ------------------------------------------------------------------------ */

static size_t on_output(void *ctx, const uint8_t *p, size_t n)
{
	struct changes *ch = ctx;
	size_t used = 0;

	while (used < n && !ch->broken) {
		const uint8_t *end = memchr(p + used, '\0', n - used);
		size_t part = end ? (size_t)(end - p) + 1 - used : n - used;

		if (buf_append(&ch->entry, p + used, part) < 0)
			ch->broken = true;
		used += part;
		if (end && !ch->broken)
			take_entry(ch, (char *)buf_head(&ch->entry));
		if (end)
			buf_consume(&ch->entry, ch->entry.len);
	}
	return n;
}

static void on_end(void *ctx, const struct err *err)
{
	struct changes *ch = ctx;

	ch->tool = NULL;
	if (err) {
		reply_err(ch->r, err);
		return;
	}
	find_deleted(ch, ch->tree->root);
	answer(ch);
}

static void ask_container(struct changes *ch, struct container *c)
{
	static const struct tool_ops ops = { .on_output = on_output, .on_end = on_end };
	AUTO_FREE char *since = xasprintf("%lld", (long long)(c->started_ns - FILE_CLOCK_NS));
	const char *argv[] = { "changes", since, NULL };
	struct err err;

	ch->tool = tool_start(ch->r->g, c, argv, false, &ops, ch, &err);
	if (!ch->tool)
		reply_err(ch->r, &err);
}

/* ---- the image's side ---------------------------------------------------------------------------- */

static void on_tree(void *ctx, struct file_tree *tree)
{
	struct changes *ch = ctx;
	struct request *r = ch->r;
	struct err err;
	struct container *c = containers_find(r->g->containers, r->name, &err);

	ch->image = NULL;
	ch->tree = tree;
	if (!c) {
		reply_err(r, &err);
	} else if (files_with_agent(c)) {
		ask_container(ch, c);
	} else {
		find_copied(ch, tree->root, tree->n_layers);
		answer(ch);
	}
}

static void on_no_tree(void *ctx, const struct err *err)
{
	struct changes *ch = ctx;

	ch->image = NULL;
	reply_err(ch->r, err);
}

static void settled(struct request *r, struct container *c)
{
	static const struct image_files_ops ops = { .on_tree = on_tree, .on_end = on_no_tree };
	struct changes *ch = xcalloc(1, sizeof(*ch));
	struct err err;

	ch->r = r;
	buf_init(&ch->entry, ENTRY_MAX);
	r->state = ch;
	r->release = release;
	if (!files_with_agent(c) && !files_of_image(c))
		files_ended(c, &err);
	else
		ch->image = files_ask_image(r->g, c, IMAGE_FILES_TREE, "/", &ops, ch, &err);
	if (!ch->image)
		reply_err(r, &err);
}

void container_changes(struct request *r)
{
	files_settled(r, settled);
}
