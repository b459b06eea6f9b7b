/* tee - see tee.h. */
#include "tee.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"

/* How many of the n bytes have left. A reader who is gone swallows everything. */
static size_t push(struct tee *t, const uint8_t *p, size_t n)
{
	size_t done = 0;

	while (done < n && !t->broken) {
		ssize_t w = write(t->fd, p + done, n - done);

		if (w >= 0)
			done += (size_t)w;
		else if (errno == EAGAIN)
			return done;
		else if (errno != EINTR)
			t->broken = true;
	}
	return t->broken ? n : done;
}

static enum pump_verdict tee_turn(struct pump_item *it)
{
	struct tee *t = (struct tee *)((char *)it - offsetof(struct tee, item));

	if (t->rest.len == 0)
		return PUMP_WAIT;
	buf_consume(&t->rest, push(t, buf_head(&t->rest), t->rest.len));
	if (t->rest.len == 0 && t->on_drain)
		t->on_drain(t->ctx);
	return PUMP_WAIT;
}

void tee_init(struct tee *t, struct pump *pump, int fd)
{
	*t = (struct tee){.fd = fd, .item = {.fd = -1, .turn = tee_turn}};
	buf_init(&t->rest, TEE_MAX);
	t->old_flags = fcntl(fd, F_GETFL);
	t->broken = t->old_flags < 0;
	if (t->broken)
		return;
	fcntl(fd, F_SETFL, t->old_flags | O_NONBLOCK);
	pump_add(pump, &t->item, fd, EPOLLOUT); /* a regular file cannot be watched, nor does it block */
}

bool tee_write(struct tee *t, const void *p, size_t n)
{
	size_t done = push(t, p, n);

	assert(t->rest.len == 0);
	if (done == n)
		return true;
	if (t->item.fd < 0) { /* would block, yet cannot be watched: nothing like that is known */
		t->broken = true;
		return true;
	}
	buf_append(&t->rest, (const uint8_t *)p + done, n - done);
	return false;
}

void tee_finish(struct tee *t, int timeout_ms)
{
	uint64_t end = clock_mono_ms() + (uint64_t)timeout_ms, now;

	pump_release(&t->item);
	while (t->rest.len && (now = clock_mono_ms()) < end) {
		struct pollfd pfd = {.fd = t->fd, .events = POLLOUT};

		poll(&pfd, 1, (int)(end - now));
		buf_consume(&t->rest, push(t, buf_head(&t->rest), t->rest.len));
	}
	if (t->old_flags >= 0)
		fcntl(t->fd, F_SETFL, t->old_flags);
	buf_release(&t->rest);
}
