/* registry_upload - see registry_upload.h:
 *
 *   HEAD blob ──200──▶ exists
 *     └─▶ POST uploads/[?mount=…&from=…] ──201──▶ mounted       (refused: the same without mount)
 *           └─202──▶ PATCH with the bytes ──▶ PUT ?digest= ──201──▶ sent      (as docker push does)
 *
 * Between two registries the bytes go through `pipe`: the download stops when it is full, the upload when it
 * is empty. The receiving registry checks the digest. Source: OCI distribution spec. */
#include "image/registry_upload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "net/defer.h"

#define PIPE_MAX (512 * 1024)
#define BLOB_MS (12ULL * 3600 * 1000)
#define STALL_MS 120000
#define TRIES 3
#define RETRY_MS 1000

struct registry_upload {
	struct gateway *g;
	struct registry_session *to;
	struct registry_blob blob;
	struct registry_upload_ops ops;
	void *ctx;
	int tries;
	bool no_mount;                  /* it has been refused */
	struct timer *retry;
	struct registry_call *call;     /* to the receiving registry */
	char *location;
	int64_t sent;
	int fd;                         /* of blob.path, or -1 */
	struct registry_call *download;
	struct buf pipe;
	bool downloaded;
	bool done;                      /* ops.done is running */
};

static int begin(struct registry_upload *u, struct err *err);

static void stop(struct registry_upload *u)
{
	registry_cancel(u->call);
	registry_cancel(u->download);
	u->call = u->download = NULL;
	free(u->location);
	u->location = NULL;
	buf_release(&u->pipe);
	buf_init(&u->pipe, PIPE_MAX);
	if (u->fd >= 0)
		close(u->fd);
	u->fd = -1;
	u->sent = 0;
	u->downloaded = false;
}

static void upload_free(struct registry_upload *u)
{
	stop(u);
	timer_cancel(&u->retry);
	buf_release(&u->pipe);
	free(u);
}

static void finish(struct registry_upload *u, enum upload_result result, const struct err *err)
{
	u->done = true;
	u->ops.done(u->ctx, result, err);
	upload_free(u);
}

/* ---- trying again ------------------------------------------------------------------------------ */

static bool may_pass(const struct err *err)
{
	return err->kind == ERR_TIMEOUT || err->kind == ERR_UNAVAILABLE || err->kind == ERR_LIMIT ||
	       (err->kind == ERR_UPSTREAM && err->code >= 500);
}

static void on_retry(void *p)
{
	struct registry_upload *u = p;
	struct err err;

	u->retry = NULL;
	if (begin(u, &err) < 0)
		finish(u, UPLOAD_SENT, &err);
}

static void failed(struct registry_upload *u, const struct err *why)
{
	struct err err = *why;

	stop(u);
	if (++u->tries >= TRIES || !may_pass(&err)) {
		finish(u, UPLOAD_SENT, &err);
		return;
	}
	log_info("a blob is sent again", "registry=%s digest=%.19s why=\"%s\"", registry_host(u->to), u->blob.digest,
		 err.msg);
	u->retry = timer_start(u->g->loop, RETRY_MS << (u->tries - 1), on_retry, u);
}

/* ---- requests to the receiving registry ---------------------------------------------------------- */

static int ask(struct registry_upload *u, const struct registry_request *q, http_call_cb *cb, struct err *err)
{
	u->call = registry_ask(u->to, q, cb, u, err);
	return u->call ? 0 : -1;
}

/* The response to go on with, or false after the upload has failed. */
static bool expect(struct registry_upload *u, const struct http_response *r, const struct err *why, int status)
{
	struct err err;

	u->call = NULL;
	if (why) {
		failed(u, why);
		return false;
	}
	if (r->status == status)
		return true;
	registry_refused(u->to, r, false, &err);
	failed(u, &err);
	return false;
}

static void next(struct registry_upload *u, int rc, const struct err *err)
{
	if (rc < 0)
		failed(u, err);
}

static int take_location(struct registry_upload *u, const struct http_response *r, struct err *err)
{
	char *location = registry_location(u->to, r);

	if (!location)
		return err_set(err, ERR_UPSTREAM, "registry %s: an upload without a usable Location",
			       registry_host(u->to));
	free(u->location);
	u->location = location;
	return 0;
}

static void on_put(void *ctx, const struct http_response *r, const struct err *why)
{
	struct registry_upload *u = ctx;

	if (expect(u, r, why, 201))
		finish(u, UPLOAD_SENT, NULL);
}

/* The end of the upload; with the bytes when they are in memory anyway. */
static int put(struct registry_upload *u, struct err *err)
{
	AUTO_FREE char *url = xasprintf("%s%cdigest=%s", u->location, strchr(u->location, '?') ? '&' : '?',
					u->blob.digest);
	struct registry_request q = {.method = "PUT", .path = url, .timeout_ms = STALL_MS};
	int rc;

	strv_add(&q.headers, "Content-Type: application/octet-stream");
	if (u->blob.bytes) {
		q.body = u->blob.bytes;
		q.body_len = (size_t)u->blob.size;
	}
	rc = ask(u, &q, on_put, err);
	strv_release(&q.headers);
	return rc;
}

static void on_patch(void *ctx, const struct http_response *r, const struct err *why)
{
	struct registry_upload *u = ctx;
	struct err err;

	if (expect(u, r, why, 202))
		next(u, take_location(u, r, &err) < 0 || put(u, &err) < 0 ? -1 : 0, &err);
}

/* ---- the bytes ------------------------------------------------------------------------------------ */

static void sent(struct registry_upload *u, size_t n)
{
	u->sent += (int64_t)n;
	if (u->ops.progress)
		u->ops.progress(u->ctx, u->sent);
}

static ssize_t read_file(void *ctx, void *p, size_t n)
{
	struct registry_upload *u = ctx;
	ssize_t got = pread(u->fd, p, n, u->sent);

	if (got <= 0)
		return -1; /* it was longer a moment ago */
	sent(u, (size_t)got);
	return got;
}

static ssize_t read_pipe(void *ctx, void *p, size_t n)
{
	struct registry_upload *u = ctx;

	if (u->pipe.len == 0)
		return u->downloaded ? -1 : 0;
	if (n > u->pipe.len)
		n = u->pipe.len;
	memcpy(p, buf_head(&u->pipe), n);
	buf_consume(&u->pipe, n);
	if (u->pipe.len < PIPE_MAX / 2)
		registry_resume(u->download);
	sent(u, n);
	return (ssize_t)n;
}

static int write_pipe(void *ctx, const void *p, size_t n)
{
	struct registry_upload *u = ctx;

	if (buf_append(&u->pipe, p, n) < 0)
		return 1;
	registry_resume(u->call);
	return 0;
}

static void on_downloaded(void *ctx, const struct http_response *r, const struct err *why)
{
	struct registry_upload *u = ctx;
	struct err err;

	u->download = NULL;
	if (why) {
		failed(u, why);
	} else if (r->status != 200) {
		registry_refused(u->blob.from, r, false, &err);
		failed(u, &err);
	} else {
		u->downloaded = true;
		registry_resume(u->call);
	}
}

static int open_source(struct registry_upload *u, struct err *err)
{
	AUTO_FREE char *path = xasprintf("blobs/%s", u->blob.digest);
	struct registry_request q = {.path = path, .write = write_pipe, .timeout_ms = BLOB_MS, .stall_ms = STALL_MS};

	if (u->blob.path) {
		u->fd = open(u->blob.path, O_RDONLY | O_CLOEXEC);
		return u->fd < 0 ? err_sys(err, errno, "open %s", u->blob.path) : 0;
	}
	u->download = registry_ask(u->blob.from, &q, on_downloaded, u, err);
	return u->download ? 0 : -1;
}

static int patch(struct registry_upload *u, struct err *err)
{
	struct registry_request q = {
		.method = "PATCH", .path = u->location, .read = u->blob.path ? read_file : read_pipe,
		.body_len = (size_t)u->blob.size, .timeout_ms = BLOB_MS, .stall_ms = STALL_MS,
	};
	int rc;

	if (open_source(u, err) < 0)
		return -1;
	strv_add(&q.headers, "Content-Type: application/octet-stream");
	rc = ask(u, &q, on_patch, err);
	strv_release(&q.headers);
	return rc;
}

/* ---- the way there ---------------------------------------------------------------------------------- */

static int post(struct registry_upload *u, struct err *err);

static void on_post(void *ctx, const struct http_response *r, const struct err *why)
{
	struct registry_upload *u = ctx;
	struct err err;
	int rc;

	if (!why && r->status == 201) {
		u->call = NULL;
		finish(u, UPLOAD_MOUNTED, NULL);
		return;
	}
	/* Not every registry knows mounting, not every neighbour may be read: sending always works. */
	if (!why && u->blob.mount_from && !u->no_mount && r->status != 202) {
		u->call = NULL;
		u->no_mount = true;
		next(u, post(u, &err), &err);
		return;
	}
	if (!expect(u, r, why, 202))
		return;
	rc = take_location(u, r, &err);
	if (rc == 0)
		rc = u->blob.bytes ? put(u, &err) : patch(u, &err);
	next(u, rc, &err);
}

static int post(struct registry_upload *u, struct err *err)
{
	AUTO_FREE char *path = u->blob.mount_from && !u->no_mount
		? xasprintf("blobs/uploads/?mount=%s&from=%s", u->blob.digest, u->blob.mount_from)
		: xstrdup("blobs/uploads/");
	struct registry_request q = {.method = "POST", .path = path};

	return ask(u, &q, on_post, err);
}

static void on_head(void *ctx, const struct http_response *r, const struct err *why)
{
	struct registry_upload *u = ctx;
	struct err err;

	if (!why && r->status == 404) {
		u->call = NULL;
		next(u, post(u, &err), &err);
	} else if (expect(u, r, why, 200)) {
		finish(u, UPLOAD_EXISTS, NULL);
	}
}

static int begin(struct registry_upload *u, struct err *err)
{
	AUTO_FREE char *path = xasprintf("blobs/%s", u->blob.digest);
	struct registry_request q = {.method = "HEAD", .path = path};

	return ask(u, &q, on_head, err);
}

/* ---- API ---------------------------------------------------------------------------------------------- */

struct registry_upload *registry_upload_start(struct gateway *g, struct registry_session *to,
					      const struct registry_blob *blob, const struct registry_upload_ops *ops,
					      void *ctx, struct err *err)
{
	struct registry_upload *u = xcalloc(1, sizeof(*u));

	u->g = g;
	u->to = to;
	u->blob = *blob;
	u->ops = *ops;
	u->ctx = ctx;
	u->fd = -1;
	buf_init(&u->pipe, PIPE_MAX);
	if (begin(u, err) == 0)
		return u;
	upload_free(u);
	return NULL;
}

void registry_upload_cancel(struct registry_upload *u)
{
	if (u && !u->done)
		upload_free(u);
}
