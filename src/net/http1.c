/* http1 - wraps llhttp: collects the head into one text buffer and turns callbacks into events.
 *
 * Every callback that ends something pauses llhttp, so http1_next returns right behind it. A head
 * is kept as text with NULs, and offsets into it, because the buffer moves while it grows.
 *
 *   text:  target \0 name \0 value \0 name \0 value \0 ...        names in lower case */
#include "http1.h"

#include <assert.h>
#include <ctype.h>
#include <llhttp.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"

struct header {
	uint32_t name, value; /* offsets into text */
};

struct http1 {
	llhttp_t parser;
	size_t max_head;
	size_t head_bytes;     /* of this message, so far */
	struct buf text;
	struct header *headers;
	size_t n_headers, cap_headers;
	uint32_t name;         /* of the field being read: its offset */
	bool in_name;
	uint32_t target;       /* moves past "http://host" of an absolute target */
	bool started, in_head, paused;
	bool keep_alive, upgrade, has_body;
	char last;             /* the byte before the ones being looked at, for check_lines */
	enum http1_event event; /* what the callbacks found */
	const char *body;
	size_t body_len;
	int error_status;      /* set with why before a callback fails */
	const char *why;
};

static struct http1 *of(llhttp_t *p)
{
	return p->data;
}

static int refuse(struct http1 *h, int status, const char *why)
{
	h->error_status = status;
	h->why = why;
	return HPE_USER;
}

static int keep(struct http1 *h, const char *p, size_t n)
{
	if (buf_append(&h->text, p, n) < 0)
		return refuse(h, 431, "the request's head is too large");
	return 0;
}

static int on_text(llhttp_t *p, const char *at, size_t n)
{
	return of(p)->in_head ? keep(of(p), at, n) : 0; /* trailers are of no use to us */
}

static int on_text_end(llhttp_t *p)
{
	struct http1 *h = of(p);

	if (!h->in_head)
		return 0;
	while (h->text.len && isblank(buf_head(&h->text)[h->text.len - 1]))
		h->text.len--; /* white space behind a value; the NUL before it ends this */
	return keep(h, "", 1);
}

static int on_field(llhttp_t *p, const char *at, size_t n)
{
	struct http1 *h = of(p);
	size_t from = h->text.len;

	if (!h->in_head)
		return 0;
	if (!h->in_name)
		h->name = (uint32_t)from;
	h->in_name |= n > 0; /* llhttp also reports pieces of no bytes */
	if (keep(h, at, n))
		return HPE_USER;
	for (; from < h->text.len; from++) {
		uint8_t *c = buf_head(&h->text) + from;

		*c = (uint8_t)tolower(*c);
	}
	return 0;
}

static int on_field_end(llhttp_t *p)
{
	struct http1 *h = of(p);
	if (!h->in_head)
		return 0;
	if (!h->in_name)
		return refuse(h, 400, "a header field has no name");
	h->in_name = false;
	if (h->n_headers == HTTP1_HEADERS_MAX)
		return refuse(h, 431, "too many header fields");
	if (keep(h, "", 1))
		return HPE_USER;
	if (h->n_headers == h->cap_headers) {
		h->cap_headers = h->cap_headers ? 2 * h->cap_headers : 32;
		h->headers = xrealloc(h->headers, h->cap_headers * sizeof(*h->headers));
	}
	h->headers[h->n_headers++] = (struct header){h->name, (uint32_t)h->text.len};
	return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	if (n == 0) /* llhttp was run without bytes in the middle of a body */
		return 0;
	of(p)->event = HTTP1_BODY;
	of(p)->body = at;
	of(p)->body_len = n;
	return HPE_PAUSED;
}

static int on_complete(llhttp_t *p)
{
	of(p)->event = HTTP1_END;
	return HPE_PAUSED;
}

/* What llhttp leaves to its user. Source: RFC 9112, 3.2 and 6.1. */
static int check_request(struct http1 *h)
{
	const char *te = http1_header(h, "transfer-encoding"), *expect = http1_header(h, "expect");
	const char *target = http1_target(h);
	size_t hosts = 0;

	for (size_t i = 0; i < h->n_headers; i++)
		hosts += strcmp((char *)buf_head(&h->text) + h->headers[i].name, "host") == 0;
	if (h->parser.http_major != 1 || h->parser.http_minor > 1)
		return refuse(h, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	if (hosts > 1 || (hosts == 0 && h->parser.http_minor == 1))
		return refuse(h, 400, "exactly one Host header is required");
	if (te && h->parser.http_minor == 0)
		return refuse(h, 400, "Transfer-Encoding in an HTTP/1.0 request");
	if (te && strcasecmp(te, "chunked") != 0)
		return refuse(h, 501, "only the chunked transfer coding is known here");
	if (expect && strcasecmp(expect, "100-continue") != 0)
		return refuse(h, 417, "only 100-continue can be expected here");
	if (strncasecmp(target, "http://", 7) == 0) {
		const char *slash = strchr(target + 7, '/');

		if (!slash)
			return refuse(h, 400, "the request target has no path");
		h->target = (uint32_t)(slash - (char *)buf_head(&h->text));
	} else if (*target != '/' && strcmp(target, "*") != 0) {
		return refuse(h, 400, "the request target is no path");
	}
	return 0;
}

static int on_head(llhttp_t *p)
{
	struct http1 *h = of(p);

	h->in_head = false;
	h->upgrade = p->upgrade;
	h->keep_alive = llhttp_should_keep_alive(p);
	h->has_body =
		(p->flags & F_CHUNKED) || p->content_length > 0 || llhttp_message_needs_eof(p);
	if (p->type == HTTP_REQUEST && check_request(h))
		return -1;
	h->event = HTTP1_HEAD;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_text,
	.on_url_complete = on_text_end,
	.on_header_field = on_field,
	.on_header_field_complete = on_field_end,
	.on_header_value = on_text,
	.on_header_value_complete = on_text_end,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

static struct http1 *http1_new(llhttp_type_t type, size_t max_head_bytes)
{
	struct http1 *h = xcalloc(1, sizeof(*h));

	assert(max_head_bytes < UINT32_MAX / 2);
	llhttp_init(&h->parser, type, &settings);
	h->parser.data = h;
	h->max_head = max_head_bytes;
	/* A NUL behind each name and value replaces at least a colon and a line end. */
	buf_init(&h->text, max_head_bytes + 1);
	http1_reset(h);
	return h;
}

struct http1 *http1_new_request(size_t max_head_bytes)
{
	return http1_new(HTTP_REQUEST, max_head_bytes);
}

struct http1 *http1_new_response(size_t max_head_bytes)
{
	return http1_new(HTTP_RESPONSE, max_head_bytes);
}

void http1_free(struct http1 *h)
{
	if (!h)
		return;
	buf_release(&h->text);
	free(h->headers);
	free(h);
}

void http1_reset(struct http1 *h)
{
	llhttp_reset(&h->parser);
	buf_consume(&h->text, h->text.len);
	h->n_headers = 0;
	h->head_bytes = 0;
	h->target = 0;
	h->in_head = true;
	h->started = h->paused = h->in_name = h->upgrade = h->keep_alive = h->has_body = false;
	h->last = 0;
	h->error_status = 0;
}

/* llhttp tolerates some line ends that others read differently: each LF of a head follows a CR, and
 * no line continues the one before (RFC 9112, 5.2). */
static const char *check_lines(struct http1 *h, const char *p, size_t n)
{
	for (const char *s = p, *end = p + n; (s = memchr(s, '\n', (size_t)(end - s))); s++) {
		if ((s > p ? s[-1] : h->last) != '\r')
			return "a line of the head ends without CR";
		if (s + 1 < end && (s[1] == ' ' || s[1] == '\t'))
			return "a header field is folded";
	}
	if (n && h->last == '\n' && (*p == ' ' || *p == '\t'))
		return "a header field is folded";
	h->last = n ? p[n - 1] : h->last;
	return NULL;
}

static enum http1_event fail(struct http1 *h, int status, const char *why, struct err *err)
{
	h->error_status = status;
	err_set(err, ERR_INVALID, "bad HTTP message: %s", why);
	return HTTP1_ERROR;
}

enum http1_event http1_next(struct http1 *h, const char *p, size_t n, size_t *ret_used,
			    const char **ret_body, size_t *ret_body_len, struct err *err)
{
	bool in_head = h->in_head, cut = in_head && n > h->max_head - h->head_bytes;
	const char *why;
	llhttp_errno_t rc;

	*ret_used = 0;
	h->started |= n > 0;
	if (cut)
		n = h->max_head - h->head_bytes;
	if (h->paused)
		llhttp_resume(&h->parser);
	h->paused = false;
	h->event = HTTP1_MORE;
	rc = llhttp_execute(&h->parser, p, n);
	if (rc != HPE_OK && rc != HPE_PAUSED) {
		if (h->error_status) /* a callback's own words */
			return fail(h, h->error_status, h->why, err);
		return fail(h, 400, llhttp_get_error_reason(&h->parser), err);
	}
	h->paused = rc == HPE_PAUSED;
	*ret_used = h->paused ? (size_t)(llhttp_get_error_pos(&h->parser) - p) : n;
	if (in_head) {
		h->head_bytes += *ret_used;
		why = check_lines(h, p, *ret_used);
		if (why)
			return fail(h, 400, why, err);
		if (cut && h->event == HTTP1_MORE)
			return fail(h, 431, "the head is too large", err);
	}
	*ret_body = h->body;
	*ret_body_len = h->body_len;
	return h->event;
}

bool http1_started(const struct http1 *h)
{
	return h->started;
}

const char *http1_method(const struct http1 *h)
{
	return llhttp_method_name((llhttp_method_t)h->parser.method);
}

const char *http1_target(const struct http1 *h)
{
	return (const char *)buf_head(&h->text) + h->target;
}

char *http1_target_mutable(struct http1 *h)
{
	return (char *)buf_head(&h->text) + h->target;
}

int http1_status(const struct http1 *h)
{
	return h->parser.status_code;
}

const char *http1_header(const struct http1 *h, const char *name)
{
	const char *text = (const char *)buf_head(&h->text);

	for (size_t i = 0; i < h->n_headers; i++)
		if (strcasecmp(text + h->headers[i].name, name) == 0)
			return text + h->headers[i].value;
	return NULL;
}

bool http1_header_at(const struct http1 *h, size_t i, const char **ret_name, const char **ret_value)
{
	const char *text = (const char *)buf_head(&h->text);

	if (i >= h->n_headers)
		return false;
	*ret_name = text + h->headers[i].name;
	*ret_value = text + h->headers[i].value;
	return true;
}

bool http1_header_has_token(const struct http1 *h, const char *name, const char *token)
{
	const char *text = (const char *)buf_head(&h->text);
	size_t len = strlen(token);

	for (size_t i = 0; i < h->n_headers; i++) {
		const char *s = text + h->headers[i].value;

		if (strcasecmp(text + h->headers[i].name, name) != 0)
			continue;
		while (*s) {
			s += strspn(s, ", \t");
			if (strncasecmp(s, token, len) == 0 && (!s[len] || strchr(", \t", s[len])))
				return true;
			s += strcspn(s, ",");
		}
	}
	return false;
}

bool http1_is_1_0(const struct http1 *h)
{
	return h->parser.http_minor == 0;
}

bool http1_keep_alive(const struct http1 *h)
{
	return h->keep_alive;
}

bool http1_wants_upgrade(const struct http1 *h)
{
	return h->upgrade;
}

bool http1_has_body(const struct http1 *h)
{
	return h->has_body;
}

int http1_error_status(const struct http1 *h)
{
	return h->error_status ? h->error_status : 400;
}
