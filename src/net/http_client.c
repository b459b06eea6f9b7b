/* http_client - see net/http_client.h. curl's multi interface on uv: one uv_poll per curl socket,
 * one timer, both told by curl what to watch. The only file with <curl/curl.h> in the daemon. */
#include "net/http_client.h"

#include <assert.h>
#include <ctype.h>
#include <curl/curl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

#include "base/buf.h"
#include "net/address.h"
#include "net/defer.h"

#define KEPT_MAX 4L /* idle connections; curl alone keeps four times what ever ran at once */
#define RESPONSE_DEFAULT_MAX (16 * 1024 * 1024)
#define HEADERS_MAX 200
#define CONNECT_TIMEOUT_MS 10000L

struct http_client {
	uv_loop_t *loop;
	CURLM *multi;
	uv_timer_t *timer;       /* ours; freed by its close callback, and the client with it */
	struct http_call *calls;
	bool resuming;           /* on_resume is deferred */
	bool closing;            /* freed inside a callback of ours: touch nothing more */
};

struct http_call {
	struct http_client *client;
	CURL *easy;
	struct curl_slist *headers;
	struct buf body;
	struct strv response_headers;
	char *once;              /* a body that may be sent once; ours */
	const char *once_at;
	size_t once_left;
	bool too_large, gave_up;
	char refused[INET6_ADDRSTRLEN]; /* a private address, of a public_only call */
	bool paused, resume;     /* by its read or write; to go on in the next round */
	ssize_t (*read)(void *ctx, void *p, size_t n);
	int (*write)(void *ctx, const void *p, size_t n);
	char error[CURL_ERROR_SIZE];
	http_call_cb *cb;
	void *ctx;
	struct http_call *prev, *next;
};

struct watched {
	uv_poll_t poll;
	struct http_client *client;
	curl_socket_t fd;
};

/* ---- the end of a call ---- */

/* From here on neither curl nor the client knows it. */
static void call_detach(struct http_call *call)
{
	DL_DELETE(call->client->calls, call);
	curl_multi_remove_handle(call->client->multi, call->easy);
	call->client = NULL;
}

static void call_free(struct http_call *call)
{
	if (call->client)
		call_detach(call);
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	buf_release(&call->body);
	strv_release(&call->response_headers);
	free(call->once);
	free(call);
}

static void describe_failure(const struct http_call *call, CURLcode code, struct err *err)
{
	const char *url = NULL;
	enum err_kind kind = code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE;
	size_t len;

	curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
	len = url ? strcspn(url, "?") : 0; /* a query may hold what belongs in no log */
	if (call->too_large)
		err_set(err, ERR_LIMIT, "%.*s: the answer is longer than %zu bytes", (int)len, url ? url : "",
			call->body.max);
	else if (*call->refused)
		err_set(err, ERR_FORBIDDEN, "%.*s: %s is a private address", (int)len, url ? url : "", call->refused);
	else if (call->gave_up)
		err_set(err, ERR_SYSTEM, "%.*s: given up in the middle of a body", (int)len, url ? url : "");
	else if (code == CURLE_GOT_NOTHING || code == CURLE_SEND_FAIL_REWIND) /* the latter: of a body that goes once */
		err_set(err, kind, "%.*s: the connection was closed before there was an answer", (int)len, url ? url : "");
	else
		err_set(err, kind, "%.*s: %s", (int)len, url ? url : "",
			call->error[0] ? call->error : curl_easy_strerror(code));
}

static void finish(struct http_call *call, CURLcode code)
{
	struct http_response r = { 0 };
	struct err err = { 0 };
	http_call_cb *cb = call->cb;
	void *ctx = call->ctx;
	long status = 0;

	/* First, because the callback may cancel this very call, or free the whole client. */
	call_detach(call);
	if (code == CURLE_OK) {
		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
		r.status = (int)status;
		*buf_reserve(&call->body, 1) = '\0';
		r.body = (const char *)buf_head(&call->body);
		r.len = call->body.len;
		r.headers = call->response_headers;
		curl_easy_getinfo(call->easy, CURLINFO_PRIMARY_IP, &r.peer);
		cb(ctx, &r, NULL);
	} else {
		describe_failure(call, code, &err);
		cb(ctx, NULL, &err);
	}
	call_free(call);
}

static struct http_call *take_finished(struct http_client *c, CURLcode *ret_code)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left))) {
		char *p = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p);
		*ret_code = m->data.result;
		return (struct http_call *)p;
	}
	return NULL;
}

/* One at a time: a callback may cancel other calls. */
static void reap(struct http_client *c)
{
	struct http_call *call;
	CURLcode code;

	while (!c->closing && (call = take_finished(c, &code)))
		finish(call, code);
}

/* ---- curl on uv ---- */

static void on_socket_event(uv_poll_t *p, int status, int events)
{
	struct watched *w = p->data;
	struct http_client *c = w->client;
	int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;

	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(c->multi, w->fd, flags, &running);
	reap(c);
}

static void free_watched(uv_handle_t *h)
{
	free(h->data);
}

static struct watched *watch(struct http_client *c, curl_socket_t fd)
{
	struct watched *w = xcalloc(1, sizeof(*w));

	w->client = c;
	w->fd = fd;
	w->poll.data = w;
	if (uv_poll_init(c->loop, &w->poll, fd) < 0) {
		free(w);
		return NULL;
	}
	curl_multi_assign(c->multi, fd, w);
	return w;
}

static int on_watch(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
	struct http_client *c = ctx;
	struct watched *w = socket_ctx;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			uv_poll_stop(&w->poll);
			uv_close((uv_handle_t *)&w->poll, free_watched);
			curl_multi_assign(c->multi, fd, NULL);
		}
		return 0;
	}
	if (!w)
		w = watch(c, fd);
	if (!w)
		return -1;
	uv_poll_start(&w->poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
		      on_socket_event);
	return 0;
}

static void on_timeout(uv_timer_t *t)
{
	struct http_client *c = t->data;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(c);
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct http_client *c = ctx;

	(void)multi;
	if (timeout_ms < 0)
		uv_timer_stop(c->timer);
	else
		uv_timer_start(c->timer, on_timeout, (uint64_t)timeout_ms, 0);
	return 0;
}

/* ---- only to the internet ---- */

/* A new connection: not even opened. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct http_call *call = ctx;

	if (!address_is_private(&to->addr))
		return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
	if (getnameinfo(&to->addr, to->addrlen, call->refused, sizeof(call->refused), NULL, 0, NI_NUMERICHOST) != 0)
		snprintf(call->refused, sizeof(call->refused), "it");
	return CURL_SOCKET_BAD;
}

/* One that was kept, of a call that was allowed more. */
static int on_connected(void *ctx, char *peer, char *local, int peer_port, int local_port)
{
	struct http_call *call = ctx;

	call->refused[0] = '\0'; /* another address of the host may have been tried before */
	if (!address_text_is_private(peer))
		return CURL_PREREQFUNC_OK;
	snprintf(call->refused, sizeof(call->refused), "%s", peer);
	return CURL_PREREQFUNC_ABORT;
}

static bool through_proxy(const char *url)
{
	bool tls = strncmp(url, "https:", 6) == 0;

	return getenv("all_proxy") || getenv("ALL_PROXY") || (tls ? getenv("https_proxy") || getenv("HTTPS_PROXY")
							     : getenv("http_proxy") != NULL);
}

static void set_public_only(struct http_call *call)
{
	curl_easy_setopt(call->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(call->easy, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(call->easy, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(call->easy, CURLOPT_PREREQDATA, call);
}

/* ---- bodies that flow ---- */

static void on_resume(void *p)
{
	struct http_client *c = p;
	struct http_call *call;
	int running;

	c->resuming = false;
	if (c->closing) {
		if (!c->timer)
			free(c);
		return;
	}
	DL_FOREACH(c->calls, call) {
		if (!call->resume)
			continue;
		call->resume = call->paused = false;
		curl_easy_pause(call->easy, CURLPAUSE_CONT);
	}
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap(c);
}

void http_call_resume(struct http_call *call)
{
	struct http_client *c = call ? call->client : NULL;

	if (!c || !call->paused || call->resume)
		return;
	call->resume = true;
	if (!c->resuming)
		loop_defer(c->loop, on_resume, c);
	c->resuming = true;
}

static size_t on_read(char *p, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	ssize_t got;

	call->paused = true; /* it may ask for the resume already */
	got = call->read(call->ctx, p, size * n);
	call->paused = got == 0;
	if (got > 0)
		return (size_t)got;
	call->gave_up = got < 0;
	return got == 0 ? CURL_READFUNC_PAUSE : CURL_READFUNC_ABORT;
}

static size_t read_once(char *p, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	size_t len = size * n < call->once_left ? size * n : call->once_left;

	memcpy(p, call->once_at, len);
	call->once_at += len;
	call->once_left -= len;
	return len;
}

static size_t pass_on(struct http_call *call, const char *p, size_t n)
{
	int r;

	call->paused = true; /* as in on_read */
	r = call->write(call->ctx, p, n);
	call->paused = r > 0;
	if (r == 0)
		return n;
	call->gave_up = r < 0;
	return r > 0 ? CURL_WRITEFUNC_PAUSE : 0;
}

/* ---- life ---- */

struct http_client *http_client_new(uv_loop_t *loop)
{
	static bool initialised;
	struct http_client *c = xcalloc(1, sizeof(*c));

	if (!initialised)
		curl_global_init(CURL_GLOBAL_DEFAULT);
	initialised = true;
	c->loop = loop;
	c->timer = xcalloc(1, sizeof(*c->timer));
	uv_timer_init(loop, c->timer);
	c->timer->data = c;
	c->multi = curl_multi_init();
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, KEPT_MAX);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_watch);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	return c;
}

static void timer_closed(uv_handle_t *h)
{
	struct http_client *c = h->data;

	free(h);
	c->timer = NULL;
	if (!c->resuming) /* else on_resume frees it */
		free(c);
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	while (c->calls)
		call_free(c->calls);
	curl_multi_cleanup(c->multi);
	c->closing = true;
	uv_close((uv_handle_t *)c->timer, timer_closed); /* frees c: reap() may be below us */
}

/* ---- a call ---- */

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	long status = 0;

	if (call->write && !curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status) && status / 100 == 2)
		return pass_on(call, p, size * n);
	/* One byte of room is kept for the NUL behind the body. */
	if (size * n >= buf_room(&call->body) || buf_append(&call->body, p, size * n) < 0) {
		call->too_large = true;
		return 0;
	}
	return size * n;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
	struct http_call *call = ctx;
	size_t len = size * n, colon;
	char *line;

	while (len > 0 && (p[len - 1] == '\r' || p[len - 1] == '\n'))
		len--;
	if (len >= 5 && !strncmp(p, "HTTP/", 5))
		strv_release(&call->response_headers); /* a new head: the former was "100 Continue" */
	if (len == 0 || !memchr(p, ':', len) || call->response_headers.n >= HEADERS_MAX)
		return size * n;
	line = xstrndup(p, len);
	colon = strcspn(line, ":");
	for (size_t i = 0; i < colon; i++)
		line[i] = (char)tolower((unsigned char)line[i]);
	strv_take(&call->response_headers, line);
	return size * n;
}

const char *http_response_header(const struct http_response *r, const char *lower_name)
{
	size_t len = strlen(lower_name);

	for (size_t i = 0; i < r->headers.n; i++) {
		const char *line = r->headers.v[i];

		if (!strncmp(line, lower_name, len) && line[len] == ':')
			return line + len + 1 + strspn(line + len + 1, " \t");
	}
	return NULL;
}

static void set_body(struct http_call *call, const struct http_call_options *opt)
{
	bool has_body = opt->body != NULL;

	if (opt->read) {
		curl_easy_setopt(call->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(call->easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1); /* pausing is sound there */
		curl_easy_setopt(call->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)opt->body_len);
		curl_easy_setopt(call->easy, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(call->easy, CURLOPT_READDATA, call);
		call->headers = curl_slist_append(call->headers, "Expect:");
		return;
	}
	if (opt->once) { /* a body that curl cannot rewind is not sent again */
		assert(has_body);
		call->once = xstrndup(opt->body, opt->body_len);
		call->once_left = opt->body_len;
		call->once_at = call->once;
		curl_easy_setopt(call->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(call->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)opt->body_len);
		curl_easy_setopt(call->easy, CURLOPT_READFUNCTION, read_once);
		curl_easy_setopt(call->easy, CURLOPT_READDATA, call);
		call->headers = curl_slist_append(call->headers, "Expect:");
		return;
	}
	if (!has_body && strcmp(opt->method, "POST") && strcmp(opt->method, "PUT") && strcmp(opt->method, "PATCH"))
		return;
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(has_body ? opt->body_len : 0));
	curl_easy_setopt(call->easy, CURLOPT_COPYPOSTFIELDS, has_body ? opt->body : "");
	call->headers = curl_slist_append(call->headers, "Expect:");
}

static void set_options(struct http_call *call, const struct http_call_options *opt)
{
	CURL *e = call->easy;

	curl_easy_setopt(e, CURLOPT_URL, opt->url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, call);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)opt->timeout_ms);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->error);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "sockerless-gateway/" VERSION);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
	if (opt->ca_file) {
		curl_easy_setopt(e, CURLOPT_CAINFO, opt->ca_file);
		curl_easy_setopt(e, CURLOPT_CAPATH, NULL); /* else the system's store counts as well */
	}
	if (opt->direct)
		curl_easy_setopt(e, CURLOPT_PROXY, "");
	if (opt->stall_ms) {
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((opt->stall_ms + 999) / 1000));
	}
	if (opt->public_only && !through_proxy(opt->url))
		set_public_only(call);
	set_body(call, opt);
	if (!strcmp(opt->method, "HEAD"))
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, opt->method);
	for (size_t i = 0; i < opt->headers.n; i++)
		call->headers = curl_slist_append(call->headers, opt->headers.v[i]);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
}

struct http_call *http_client_start(struct http_client *c, const struct http_call_options *opt,
				    http_call_cb *cb, void *ctx, struct err *err)
{
	struct http_call *call = xcalloc(1, sizeof(*call));
	size_t max = opt->max_response_bytes ? opt->max_response_bytes : RESPONSE_DEFAULT_MAX;

	assert(opt->timeout_ms > 0);
	call->client = c;
	call->cb = cb;
	call->ctx = ctx;
	call->read = opt->read;
	call->write = opt->write;
	buf_init(&call->body, max + 1);
	call->easy = curl_easy_init();
	DL_APPEND(c->calls, call);
	if (!call->easy) {
		DL_DELETE(c->calls, call);
		free(call);
		err_set(err, ERR_SYSTEM, "libcurl cannot start a request");
		return NULL;
	}
	set_options(call, opt);
	if (curl_multi_add_handle(c->multi, call->easy) != CURLM_OK) {
		call_free(call);
		err_set(err, ERR_SYSTEM, "libcurl cannot start a request to %s", opt->url);
		return NULL;
	}
	return call;
}

void http_call_cancel(struct http_call *call)
{
	if (call && call->client) /* else its callback is running right now */
		call_free(call);
}
