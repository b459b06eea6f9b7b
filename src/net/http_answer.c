/* http_answer - the head of an answer: status line, the headers that every one has, and how the body is framed. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "http_server_state.h"

#define HEAD_MAX 2048 /* without the extra headers */

static const char *reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} known[] = {
		{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
		{206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"},
		{304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
		{400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
		{405, "Method Not Allowed"}, {406, "Not Acceptable"}, {408, "Request Timeout"},
		{409, "Conflict"}, {410, "Gone"}, {411, "Length Required"},
		{412, "Precondition Failed"}, {413, "Request Entity Too Large"},
		{415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
		{417, "Expectation Failed"}, {426, "Upgrade Required"}, {429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
		{501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].status == status)
			return known[i].phrase;
	return "Status";
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", made once a second. */
static const char *http_date(void)
{
	static _Thread_local char text[40];
	static _Thread_local time_t made_at;
	time_t now = time(NULL);
	struct tm tm;

	if (now != made_at) {
		gmtime_r(&now, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		made_at = now;
	}
	return text;
}

/* One of our own header lines, if there is a value for it. */
static size_t head_line(char *out, size_t n, const char *name, const char *value)
{
	if (!value)
		return n;
	n += (size_t)snprintf(out + n, HEAD_MAX - n, "%s: %s\r\n", name, value);
	assert(n < HEAD_MAX); /* names and types are ours, not a peer's */
	return n;
}

static size_t make_head(const struct client *c, char out[HEAD_MAX], int status, const char *type,
			enum framing framing, size_t length)
{
	char digits[24];
	size_t n = (size_t)snprintf(out, HEAD_MAX, "HTTP/1.1 %d %s\r\n", status,
				    reason_phrase(status));

	snprintf(digits, sizeof(digits), "%zu", length);
	n = head_line(out, n, "Date", http_date());
	n = head_line(out, n, "Server", c->server->server_name);
	n = head_line(out, n, "Content-Type", type);
	n = head_line(out, n, "Content-Length", framing == LENGTH ? digits : NULL);
	n = head_line(out, n, "Transfer-Encoding", framing == CHUNKED ? "chunked" : NULL);
	if (c->close_after)
		n = head_line(out, n, "Connection", "close");
	else if (http1_is_1_0(c->parser))
		n = head_line(out, n, "Connection", "keep-alive");
	return n;
}

void server_answer(struct client *c, int status, const char *type, enum framing framing, const void *body, size_t len,
		   struct buf *extra, bool with_body)
{
	char head[HEAD_MAX];
	struct iovec iov[4];

	iov[0] = (struct iovec){head, make_head(c, head, status, type, framing, len)};
	iov[1] = (struct iovec){extra && extra->len ? buf_head(extra) : NULL,
				extra ? extra->len : 0};
	iov[2] = (struct iovec){"\r\n", 2};
	iov[3] = (struct iovec){(void *)body, len};
	server_client_send(c, iov, with_body && len ? 4 : 3);
}

void server_refuse(struct client *c, int status, const char *why)
{
	AUTO_FREE char *text = xasprintf("{\"message\":\"%s\"}\n", why); /* our words: no escapes */

	c->close_after = true;
	server_answer(c, status, "application/json", LENGTH, text, strlen(text), NULL, true);
}
