/* proc_io - between a process' descriptors and its two streams.
 * Output is read straight into the stream's replay buffer, behind a record header that is filled in
 * afterwards; a full window stops the reading, and so the process. Input is written as it comes;
 * what the pipe does not take stays in the session, within the credit given. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "proc_table.h"

#define CHUNK (64 * 1024)      /* read at once, at most */
#define CHUNK_FIRST (8 * 1024) /* until a read fills it: most execs say little, and the replay buffer
				* grows by what is asked for */
#define SPACE_MIN 512          /* less window than this is not worth a record */
#define READ_BLOCKED (-2)      /* no window */
#define PIPE_BYTES (1024 * 1024) /* of a pipe that was found full */

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* Fewer changes between us and the process when there is much to carry. Only then: the kernel counts the pages of a
 * user's pipes, in all containers of a machine together, and gives those beyond 64 MiB two pages each. */
static bool grow_pipe(int fd, bool *grown)
{
	if (*grown)
		return false;
	*grown = true;
	return fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES) >= 0 || fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES / 4) >= 0;
}

/* ---- output ------------------------------------------------------------------------------------- */

static void put_be(uint8_t *p, uint64_t v, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

/* Layout: session.h, top. The time is taken at the read. */
static void put_header(const struct proc *p, const struct outlet *o, uint8_t *at, size_t n)
{
	if (!p->record_head)
		return;
	memset(at, 0, RECORD_HEADER);
	at[0] = o->tag;
	put_be(at + 4, n, 4);
	if (p->record_head > RECORD_HEADER) {
		at[1] = RECORD_TIMED;
		put_be(at + RECORD_HEADER, (uint64_t)clock_wall_ns(), RECORD_TIME);
	}
}

/* Read one piece into the stream. *ret_asked: what was asked for, to tell a short read. */
static ssize_t read_into_stream(struct outlet *o, size_t *ret_asked)
{
	static uint8_t scratch[RECORD_HEADER + RECORD_TIME + CHUNK];
	struct proc *p = o->proc;
	size_t head = p->record_head, space = stream_space(p->out), room;
	uint8_t *at;
	ssize_t n;

	if (space < head + SPACE_MIN)
		return READ_BLOCKED;
	at = stream_reserve(p->out, MIN(space, head + o->chunk), &room);
	bool direct = at && room >= head + SPACE_MIN;
	if (!direct) { /* the buffer's seam: read beside it and copy */
		if (at)
			stream_commit(p->out, 0);
		at = scratch;
		room = MIN(space, sizeof(scratch));
	}
	*ret_asked = room - head;
	n = read(o->item.fd, at + head, room - head);
	if (n > 0) {
		put_header(p, o, at, (size_t)n);
		if (o->tee)
			tee_write(o->tee, at + head, (size_t)n);
	}
	size_t taken = n > 0 ? head + (size_t)n : 0;
	if (direct)
		stream_commit(p->out, taken);
	else
		stream_write(p->out, scratch, taken);
	return n;
}

/* The stream was given up (its client is gone for good): the process goes on all the same. */
static ssize_t read_and_discard(struct outlet *o, size_t *ret_asked)
{
	static uint8_t scratch[CHUNK];
	ssize_t n = read(o->item.fd, scratch, sizeof(scratch));

	*ret_asked = sizeof(scratch);
	if (n > 0 && o->tee)
		tee_write(o->tee, scratch, (size_t)n);
	return n;
}

static void set_blocked(struct outlet *o, bool blocked)
{
	struct outlet **list = procs_blocked(o->proc->table);

	if (o->blocked == blocked)
		return;
	o->blocked = blocked;
	if (blocked)
		DL_APPEND(*list, o);
	else
		DL_DELETE(*list, o);
}

/* A tool that closes its stdout and goes on (a connection whose peer has sent its FIN) is heard: a record of
 * no bytes. There is room for it where there was room to read. */
static void tell_end(struct outlet *o)
{
	uint8_t head[RECORD_HEADER];

	put_header(o->proc, o, head, 0);
	stream_write(o->proc->out, head, sizeof(head));
}

static enum pump_verdict outlet_ended(struct outlet *o)
{
	struct proc *p = o->proc;

	if (p->tool && p->out && !p->reaped)
		tell_end(o);
	o->owed = 0;
	pump_remove(&o->item);
	if (proc_io_ended(p))
		proc_output_ended(p);
	return PUMP_WAIT;
}

static enum pump_verdict outlet_turn(struct pump_item *it)
{
	struct outlet *o = container_of(it, struct outlet, item);
	struct proc *p = o->proc;
	size_t asked = 0;
	ssize_t n;

	if (o->blocked || (o->tee && !tee_ready(o->tee)))
		return PUMP_WAIT;
	n = p->out ? read_into_stream(o, &asked) : read_and_discard(o, &asked);
	if (n == READ_BLOCKED) {
		set_blocked(o, true);
		return PUMP_WAIT;
	}
	if (n < 0 && errno == EINTR)
		return PUMP_AGAIN;
	if (n < 0 && errno == EAGAIN) {
		o->owed = 0;
		return PUMP_WAIT;
	}
	if (n <= 0) /* a terminal whose other side is closed says EIO */
		return outlet_ended(o);
	if ((size_t)n == asked && o->chunk < CHUNK)
		o->chunk *= 2;
	if (o->chunk == CHUNK)
		grow_pipe(it->fd, &o->grown);
	p->active = true;
	o->owed -= MIN(o->owed, (size_t)n);
	/* A short read has emptied a pipe, and the next write rings again; after a hang-up nothing
	 * will, and a terminal gives its bytes in small portions. */
	if (!p->tty && (size_t)n < asked && !(it->events & (EPOLLHUP | EPOLLERR)))
		return PUMP_WAIT;
	return PUMP_AGAIN;
}

static void on_tee_drained(void *ctx)
{
	struct outlet *o = ctx;

	pump_kick(&o->item);
}

/* ---- input -------------------------------------------------------------------------------------- */

/* Nobody reads the input any more: let the sender know, and swallow what is under way. */
static void input_refused(struct proc *p)
{
	pump_remove(&p->inlet);
	if (p->in && !(p == p->table->main && main_has_next_run(p->table)))
		stream_reset(p->in, RESET_CANCELLED);
}

static enum pump_verdict inlet_turn(struct pump_item *it)
{
	struct proc *p = container_of(it, struct proc, inlet);

	if (!p->tty && (it->events & EPOLLERR))
		input_refused(p);
	else if (p->in && stream_kept(p->in))
		stream_resume(p->in);
	return PUMP_WAIT;
}

size_t proc_io_input(struct proc *p, const uint8_t *data, size_t n)
{
	size_t done = 0;

	if (main_waits(p))
		return 0;
	while (done < n && p->inlet.fd >= 0) {
		ssize_t w = write(p->inlet.fd, data + done, n - done);

		if (w >= 0) {
			done += (size_t)w;
		} else if (errno == EAGAIN) {
			if (!grow_pipe(p->inlet.fd, &p->inlet_grown))
				return done;
		} else if (errno != EINTR) {
			input_refused(p);
		}
	}
	return n;
}

void proc_io_input_end(struct proc *p)
{
	if (!p->tty)
		pump_remove(&p->inlet);
}

/* ---- life cycle --------------------------------------------------------------------------------- */

void proc_io_init(struct proc *p, struct tee tee[2])
{
	p->inlet = (struct pump_item){.fd = -1, .turn = inlet_turn};
	for (int i = 0; i < 2; i++)
		p->outlet[i] = (struct outlet){
			.item = {.fd = -1, .turn = outlet_turn},
			.proc = p,
			.tag = (uint8_t)(i + 1),
			.chunk = CHUNK_FIRST,
			.tee = tee ? &tee[i] : NULL,
		};
	for (int i = 0; tee && i < 2; i++) {
		tee[i].on_drain = on_tee_drained;
		tee[i].ctx = &p->outlet[i];
	}
}

static void add_or_close(struct pump *pump, struct pump_item *it, int fd, uint32_t events)
{
	if (fd >= 0 && pump_add(pump, it, fd, events) < 0)
		close(fd);
}

void proc_io_open(struct proc *p, const struct spawned *s, struct pump *pump)
{
	add_or_close(pump, &p->inlet, s->in, EPOLLOUT);
	add_or_close(pump, &p->outlet[0].item, s->out, EPOLLIN);
	add_or_close(pump, &p->outlet[1].item, s->errout, EPOLLIN);
}

void proc_io_kick(struct proc *p)
{
	for (int i = 0; i < 2; i++)
		pump_kick(&p->outlet[i].item);
}

/* What lies in the pipes now was written before the exit and must be delivered, however slowly the
 * other side takes it. A terminal cannot tell exactly: its buffers hold less than this. */
void proc_io_reaped(struct proc *p)
{
	for (int i = 0; i < 2; i++) {
		struct outlet *o = &p->outlet[i];
		int n = 0;

		if (o->item.fd < 0)
			continue;
		if (p->tty)
			n = CHUNK;
		else
			ioctl(o->item.fd, FIONREAD, &n);
		o->owed = (size_t)n;
	}
	p->active = false;
	proc_io_kick(p);
}

bool proc_io_owes(const struct proc *p)
{
	return p->outlet[0].owed || p->outlet[1].owed;
}

bool proc_io_ended(const struct proc *p)
{
	return p->outlet[0].item.fd < 0 && p->outlet[1].item.fd < 0;
}

void proc_io_unblock(struct outlet **blocked)
{
	struct outlet *o, *tmp;

	DL_FOREACH_SAFE(*blocked, o, tmp) {
		struct proc *p = o->proc;

		if (p->out && stream_space(p->out) < (size_t)p->record_head + SPACE_MIN)
			continue;
		set_blocked(o, false);
		pump_kick(&o->item);
	}
}

void proc_io_close(struct proc *p)
{
	pump_remove(&p->inlet);
	for (int i = 0; i < 2; i++) {
		set_blocked(&p->outlet[i], false);
		p->outlet[i].owed = 0;
		pump_remove(&p->outlet[i].item);
	}
}

int proc_io_resize(struct proc *p, uint16_t rows, uint16_t cols)
{
	struct winsize size = {.ws_row = rows, .ws_col = cols};

	if (!p->tty || p->outlet[0].item.fd < 0)
		return -1;
	return ioctl(p->outlet[0].item.fd, TIOCSWINSZ, &size);
}
