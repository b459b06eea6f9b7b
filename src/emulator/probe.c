/* probe - see probe.h.   WAIT -> CONNECT -> [SEND, RECEIVE for httpGet] -> passed, or WAIT again */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/defer.h"

#define FIRST_INTERVAL_MS 10
#define RESPONSE_HEAD 16 /* "HTTP/1.1 200 " is enough */

struct probe {
	uv_loop_t *loop;
	struct network *net;
	const struct netns *ns;
	uv_poll_t *poll;         /* of the attempt under way; frees itself */
	int fd;
	struct timer *timer;     /* until the next attempt, or this one's timeout */
	int port;
	char *request;           /* httpGet: the request's bytes */
	bool sent;
	char head[RESPONSE_HEAD];
	size_t head_len;
	uint64_t period_ms, timeout_ms, give_up_ms;
	unsigned attempts;
	probe_cb *cb;
	void *ctx;
};

static void attempt(void *p);

static int64_t number(const json_t *o, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(o, key);

	return v ? json_integer_value(v) : otherwise;
}

static void poll_closed(uv_handle_t *h)
{
	close((int)(intptr_t)h->data);
	free(h);
}

static void end_attempt(struct probe *p)
{
	timer_cancel(&p->timer);
	if (p->poll) {
		p->poll->data = (void *)(intptr_t)p->fd;
		uv_close((uv_handle_t *)p->poll, poll_closed);
		p->poll = NULL;
	}
	p->fd = -1;
}

static void probe_free(struct probe *p)
{
	end_attempt(p);
	free(p->request);
	free(p);
}

static void finish(struct probe *p, bool passed)
{
	probe_cb *cb = p->cb;
	void *ctx = p->ctx;

	probe_free(p);
	cb(ctx, passed);
}

static void failed(struct probe *p)
{
	/* 10 ms for the first second, then slower and slower up to the period that was asked for. */
	uint64_t wait_ms = p->attempts < 100 ? FIRST_INTERVAL_MS : FIRST_INTERVAL_MS * p->attempts / 10;

	end_attempt(p);
	if (clock_mono_ms() >= p->give_up_ms) {
		finish(p, false);
		return;
	}
	p->timer = timer_start(p->loop, wait_ms < p->period_ms ? wait_ms : p->period_ms, attempt, p);
}

static void timed_out(void *v)
{
	struct probe *p = v;

	p->timer = NULL;
	failed(p);
}

/* 200..399 passes */
static bool good_status(const char *head)
{
	return !strncmp(head, "HTTP/1.", 7) && head[8] == ' ' && (head[9] == '2' || head[9] == '3');
}

static void on_event(uv_poll_t *h, int status, int events)
{
	struct probe *p = h->data;
	int error = 0;
	socklen_t len = sizeof error;

	if (status < 0 || getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
		failed(p);
		return;
	}
	if (!p->request) {
		finish(p, true);
		return;
	}
	if (!p->sent) {
		/* A fresh socket's buffer takes a few hundred bytes at once. */
		if (send(p->fd, p->request, strlen(p->request), MSG_NOSIGNAL) < 0) {
			failed(p);
			return;
		}
		p->sent = true;
		uv_poll_start(p->poll, UV_READABLE, on_event);
		return;
	}
	ssize_t n = recv(p->fd, p->head + p->head_len, sizeof p->head - 1 - p->head_len, 0);
	if (n > 0)
		p->head_len += (size_t)n;
	if (p->head_len >= 12)
		good_status(p->head) ? finish(p, true) : failed(p);
	else if (n == 0 || (n < 0 && errno != EAGAIN))
		failed(p);
}

static void attempt(void *v)
{
	struct probe *p = v;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)p->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	p->timer = NULL;
	p->attempts++;
	p->sent = false;
	p->head_len = 0;
	memset(p->head, 0, sizeof p->head);
	p->fd = netns_socket(p->net, p->ns, NULL);
	if (p->fd >= 0 && connect(p->fd, (struct sockaddr *)&sa, sizeof sa) < 0 &&
	    errno != EINPROGRESS) {
		close(p->fd);
		p->fd = -1;
	}
	if (p->fd < 0) {
		failed(p);
		return;
	}
	p->poll = xmalloc(sizeof *p->poll);
	uv_poll_init(p->loop, p->poll, p->fd);
	p->poll->data = p;
	uv_poll_start(p->poll, UV_WRITABLE, on_event);
	p->timer = timer_start(p->loop, p->timeout_ms, timed_out, p);
}

static char *http_request(const json_t *get)
{
	const char *path = json_string_value(json_object_get(get, "path"));
	struct strv lines = { 0 };
	const json_t *h;
	size_t i;

	strv_take(&lines, xasprintf("GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: "
				    "GoogleHC/1.0\r\nConnection: close\r\n", path ? path : "/"));
	json_array_foreach(json_object_get(get, "httpHeaders"), i, h) {
		const char *name = json_string_value(json_object_get(h, "name"));
		const char *value = json_string_value(json_object_get(h, "value"));
		char *all = xasprintf("%s%s: %s\r\n", lines.v[0], name ? name : "X", value ? value : "");
		strv_release(&lines);
		strv_take(&lines, all);
	}
	char *request = xasprintf("%s\r\n", lines.v[0]);
	strv_release(&lines);
	return request;
}

struct probe *probe_start(uv_loop_t *loop, struct network *net, const struct netns *ns,
			  const json_t *spec, int default_port, probe_cb *cb, void *ctx)
{
	struct probe *p = xcalloc(1, sizeof *p);
	const json_t *get = json_object_get(spec, "httpGet");
	uint64_t delay_ms = (uint64_t)number(spec, "initialDelaySeconds", 0) * 1000;

	p->loop = loop;
	p->net = net;
	p->ns = ns;
	p->fd = -1;
	p->cb = cb;
	p->ctx = ctx;
	p->port = (int)number(get ? get : json_object_get(spec, "tcpSocket"), "port", default_port);
	p->period_ms = (uint64_t)number(spec, "periodSeconds", 10) * 1000;
	p->timeout_ms = (uint64_t)number(spec, "timeoutSeconds", 1) * 1000;
	p->give_up_ms = clock_mono_ms() + delay_ms +
			(uint64_t)number(spec, "failureThreshold", 3) * p->period_ms;
	p->request = get ? http_request(get) : NULL;
	p->timer = timer_start(loop, delay_ms, attempt, p);
	return p;
}

void probe_cancel(struct probe *p)
{
	if (p)
		probe_free(p);
}
