/* pump - see pump.h. */
#include "pump.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <utlist.h>

#include "base/mem.h"

#define EVENTS_PER_POLL 128
#define TURNS_PER_ROUND 32 /* of at most 64 KiB each: then the links and timers have their say */

struct pump {
	int epoll_fd;           /* ours */
	uv_poll_t poll;
	uv_idle_t more;         /* active while items are queued, so that the loop does not sleep */
	struct pump_item *queue;
	int open_handles;
};

static void handle_closed(uv_handle_t *h)
{
	struct pump *p = h->data;

	if (--p->open_handles)
		return;
	close(p->epoll_fd);
	free(p);
}

static void enqueue(struct pump_item *it)
{
	if (it->queued)
		return;
	it->queued = true;
	DL_APPEND(it->pump->queue, it);
}

static void on_idle(uv_idle_t *h)
{
	pump_run(h->data);
}

/* Every event is turned into a place in the queue before any turn is taken, so a turn may remove
 * items without leaving stale pointers behind. */
static void on_ready(uv_poll_t *h, int status, int uv_events)
{
	struct pump *p = h->data;
	struct epoll_event ev[EVENTS_PER_POLL];
	int n = epoll_wait(p->epoll_fd, ev, EVENTS_PER_POLL, 0);

	for (int i = 0; i < n; i++) {
		struct pump_item *it = ev[i].data.ptr;

		it->events |= ev[i].events;
		enqueue(it);
	}
	pump_run(p);
}

struct pump *pump_new(uv_loop_t *loop, struct err *err)
{
	struct pump *p = xcalloc(1, sizeof(*p));

	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll_fd < 0) {
		err_sys(err, errno, "epoll_create");
		free(p);
		return NULL;
	}
	uv_poll_init(loop, &p->poll, p->epoll_fd);
	uv_idle_init(loop, &p->more);
	p->poll.data = p->more.data = p;
	p->open_handles = 2;
	uv_poll_start(&p->poll, UV_READABLE, on_ready);
	return p;
}

void pump_close(struct pump *p)
{
	if (!p)
		return;
	assert(!p->queue);
	uv_close((uv_handle_t *)&p->poll, handle_closed);
	uv_close((uv_handle_t *)&p->more, handle_closed);
}

int pump_add(struct pump *p, struct pump_item *it, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events | EPOLLET, .data.ptr = it};

	assert(it->turn);
	if (epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -1;
	it->pump = p;
	it->fd = fd;
	it->events = 0;
	it->queued = false;
	return 0;
}

void pump_release(struct pump_item *it)
{
	if (it->fd < 0)
		return;
	if (it->queued)
		DL_DELETE(it->pump->queue, it);
	it->queued = false;
	epoll_ctl(it->pump->epoll_fd, EPOLL_CTL_DEL, it->fd, NULL);
	it->fd = -1;
}

void pump_remove(struct pump_item *it)
{
	int fd = it->fd;

	if (fd < 0)
		return;
	pump_release(it);
	close(fd);
}

void pump_kick(struct pump_item *it)
{
	if (it->fd < 0)
		return;
	enqueue(it);
	uv_idle_start(&it->pump->more, on_idle);
}

void pump_run(struct pump *p)
{
	for (int i = 0; i < TURNS_PER_ROUND && p->queue; i++) {
		struct pump_item *it = p->queue;

		DL_DELETE(p->queue, it);
		it->queued = false;
		if (it->turn(it) == PUMP_AGAIN && it->fd >= 0)
			enqueue(it);
	}
	if (p->queue)
		uv_idle_start(&p->more, on_idle);
	else
		uv_idle_stop(&p->more);
}
