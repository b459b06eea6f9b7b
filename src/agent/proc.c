/* proc - see proc.h: the table, starting, ending. */
#include "proc_table.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/defer.h"

#define CODE_REFUSED 126

/* ---- telling the gateway ------------------------------------------------------------------------ */

void procs_tell(struct procs *t, const struct control *c)
{
	struct err err;

	/* The row stays unacknowledged, and HELLO lists it: nothing is lost. */
	if (session_send(t->agent->session, c, &err) < 0)
		log_warn("control message not queued", "channel=%u error=\"%s\"", c->channel, err.msg);
}

static void tell_started(struct proc *p)
{
	struct control c = {.type = CONTROL_STARTED, .channel = p->channel};

	c.started.pid = (uint32_t)p->pid;
	c.started.started_ns = p->exit.started_ns;
	procs_tell(p->table, &c);
}

static void tell_exit(struct proc *p)
{
	struct control c = {.type = CONTROL_EXIT, .channel = p->channel};

	c.exit.status = p->exit;
	procs_tell(p->table, &c);
}

/* An EXEC that gets no row: its channel hears the reason, and nothing is started. */
static void refuse(struct procs *t, uint32_t channel, const char *why)
{
	struct control c = {.type = CONTROL_EXIT, .channel = channel};
	AUTO_FREE char *text = xstrdup(why);

	c.exit.status.code = CODE_REFUSED;
	c.exit.status.finished_ns = clock_wall_ns();
	c.exit.status.error = text;
	log_warn("exec refused", "channel=%u reason=\"%s\"", channel, why);
	procs_tell(t, &c);
}

/* ---- rows --------------------------------------------------------------------------------------- */

static struct proc *find(const struct procs *t, uint32_t channel)
{
	struct proc *p;

	HASH_FIND(hh, t->by_channel, &channel, sizeof(channel), p);
	return p;
}

struct proc *proc_new(struct procs *t, uint32_t channel, const char *exec_id)
{
	struct proc *p = xcalloc(1, sizeof(*p));

	p->table = t;
	p->channel = channel;
	p->exec_id = xstrdup(exec_id);
	proc_io_init(p, channel == MAIN_CHANNEL ? t->agent->tee : NULL);
	HASH_ADD(hh, t->by_channel, channel, sizeof(p->channel), p);
	if (*exec_id)
		HASH_ADD_KEYPTR(hh_id, t->by_id, p->exec_id, strlen(p->exec_id), p);
	return p;
}

static void proc_free(struct proc *p)
{
	struct procs *t = p->table;

	proc_io_close(p);
	timer_cancel(&p->drain);
	HASH_DELETE(hh, t->by_channel, p);
	if (*p->exec_id)
		HASH_DELETE(hh_id, t->by_id, p);
	if (p->pid && !p->reaped)
		HASH_DELETE(hh_pid, t->by_pid, p);
	free(p->exit.error);
	free(p->exec_id);
	free(p);
}

/* Rows the gateway has taken over, beyond their time or in the way of new ones. */
static void forget_old_rows(struct procs *t)
{
	uint64_t now = clock_mono_ms();
	struct proc *p;

	while ((p = t->acked) && p->channel != t->highest &&
	       (now - p->acked_ms > EXEC_KEEP_MS || HASH_CNT(hh, t->by_channel) > EXEC_ROWS_MAX)) {
		DL_DELETE(t->acked, p);
		proc_free(p);
	}
}

/* ---- the end ------------------------------------------------------------------------------------ */

void proc_finish(struct proc *p)
{
	timer_cancel(&p->drain);
	proc_io_close(p);
	if (main_goes_on(p))
		return;
	if (p->in) /* unless all of it was taken, this tells the sender to stop */
		stream_close(p->in);
	p->in = NULL;
	if (p->out) {
		p->out_end = stream_written(p->out);
		p->exit.output_check = stream_check(p->out);
		stream_fin(p->out);
	}
	p->state = PROC_EXITED;
	p->exit.final_offset = p->out_end;
	if (!p->tool)
		p->table->unacked++;
	log_info("process ended", "channel=%u pid=%d code=%d%s%s", p->channel, (int)p->pid, p->exit.code,
		 p->exit.pipes_held ? " pipes_held=1" : "", p->exit.started_ns ? "" : " never_ran=1");
	tell_exit(p);
}

void proc_start_failed(struct proc *p, int code, const struct err *err)
{
	p->exit.code = code;
	p->exit.error = xstrdup(err->msg);
	p->exit.finished_ns = clock_wall_ns();
	p->reaped = true;
	/* The main process' failure is the container's: Cloud Logging should have the sentence. */
	if (p->channel == MAIN_CHANNEL)
		log_error("cannot start", "code=%d error=\"%s\"", code, err->msg);
	proc_finish(p);
}

/* R13: a descendant may hold the pipes open. What was written before the exit is always delivered;
 * after that, silence for DRAIN_IDLE_MS or DRAIN_MAX_MS in all end it. */
static void on_drain_timer(void *ctx)
{
	struct proc *p = ctx;
	bool over = clock_mono_ms() - p->reaped_ms >= DRAIN_MAX_MS;

	p->drain = NULL;
	if (!proc_io_owes(p) && (!p->active || over)) {
		p->exit.pipes_held = true;
		proc_finish(p);
		return;
	}
	p->active = false;
	p->drain = timer_start(&p->table->agent->loop, DRAIN_IDLE_MS, on_drain_timer, p);
}

void proc_output_ended(struct proc *p)
{
	if (p->reaped && p->state == PROC_RUNNING)
		proc_finish(p);
}

static void count_running(struct proc *p, int by)
{
	*(p->tool ? &p->table->tools : &p->table->running) += (size_t)by;
}

static void proc_reaped(struct proc *p, int status)
{
	struct procs *t = p->table;

	HASH_DELETE(hh_pid, t->by_pid, p);
	count_running(p, -1);
	p->reaped = true;
	p->reaped_ms = clock_mono_ms();
	p->exit.finished_ns = clock_wall_ns();
	if (WIFSIGNALED(status)) {
		p->exit.signal = WTERMSIG(status);
		p->exit.code = 128 + p->exit.signal;
		p->exit.core_dumped = WCOREDUMP(status);
	} else {
		p->exit.code = WEXITSTATUS(status);
	}
	if (p == t->main)
		main_reaped(p);
	if (proc_io_ended(p)) {
		proc_finish(p);
		return;
	}
	p->drain = timer_start(&t->agent->loop, DRAIN_IDLE_MS, on_drain_timer, p);
	proc_io_reaped(p);
}

void procs_reap(struct procs *t)
{
	struct proc *p;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		HASH_FIND(hh_pid, t->by_pid, &pid, sizeof(pid), p);
		if (p) /* else an orphan that fell to us as init */
			proc_reaped(p, status);
	}
	pump_run(t->agent->pump);
}

/* ---- the beginning ------------------------------------------------------------------------------ */

int proc_open_streams(struct proc *p, bool detach, struct err *err)
{
	struct session *s = p->table->agent->session;

	p->in = session_open(s, 2 * p->channel, 0, STREAM_WINDOW_IN);
	p->out = session_open(s, 2 * p->channel + 1, 0, STREAM_WINDOW_OUT);
	if (p->in)
		stream_set_user(p->in, p);
	if (p->out) {
		stream_set_user(p->out, p);
		stream_set_bulk(p->out, !p->tty);
	}
	if (!p->in || !p->out)
		return err_set(err, ERR_LIMIT, "too many streams are open");
	if (detach) { /* its output goes nowhere: say so at once */
		stream_fin(p->out);
		stream_close(p->out);
		p->out = NULL;
	}
	return 0;
}

static void watch_ends(void *ctx, const struct spawned *ends)
{
	struct proc *p = ctx;

	proc_io_open(p, ends, p->table->agent->pump);
}

int proc_spawn(struct proc *p, const struct exec_spec *spec, int *ret_code, struct err *err)
{
	struct procs *t = p->table;
	struct agent *a = t->agent;
	struct spawn_options opt = {
		.spec = spec,
		.make_workdir = p->channel == MAIN_CHANNEL,
		.nofile = a->nofile.rlim_max ? &a->nofile : NULL,
		.passwd_file = "/etc/passwd",
		.group_file = "/etc/group",
		.watch = watch_ends,
		.ctx = p,
	};
	/* Read before the process can do anything: what it changes is younger. */
	int64_t started_ns = clock_wall_ns();
	struct spawned s;

	if (spawn(&opt, &s, ret_code, err) < 0)
		return -1;
	p->pid = s.pid;
	p->state = PROC_RUNNING;
	p->exit.started_ns = started_ns;
	HASH_ADD(hh_pid, t->by_pid, pid, sizeof(p->pid), p);
	count_running(p, 1);
	log_info("process started", "channel=%u pid=%d", p->channel, (int)p->pid);
	tell_started(p);
	return 0;
}

static void start_exec(struct proc *p, const struct exec_spec *spec)
{
	struct err err;
	int code = CODE_REFUSED;

	p->tty = spec->tty;
	p->record_head = spec->tty ? 0 : RECORD_HEADER;
	if (proc_open_streams(p, spec->detach, &err) < 0 || proc_spawn(p, spec, &code, &err) < 0)
		proc_start_failed(p, code, &err);
}

/* Our own program, as we are: nothing of the container has a say in it. */
static void prepare_tool(const struct exec_spec *spec, struct exec_spec *ret)
{
	*ret = (struct exec_spec){.open_stdin = spec->open_stdin, .detach = spec->detach};
	strv_add(&ret->argv, "/proc/self/exe");
	strv_add(&ret->argv, "tool");
	for (size_t i = 0; i < spec->argv.n; i++)
		strv_add(&ret->argv, spec->argv.v[i]);
	ret->workdir = xstrdup("/");
}

/* What EXEC leaves out comes from the main process. */
static void inherit_main(const struct procs *t, const struct exec_spec *spec, struct exec_spec *ret)
{
	*ret = (struct exec_spec){.tty = spec->tty, .open_stdin = spec->open_stdin,
				  .detach = spec->detach, .rows = spec->rows, .cols = spec->cols};
	strv_copy(&ret->argv, &spec->argv);
	strv_copy(&ret->env, &t->main_spec.env);
	for (size_t i = 0; i < spec->env.n; i++)
		strv_env_set(&ret->env, spec->env.v[i]);
	ret->workdir = xstrdup(spec->workdir && *spec->workdir ? spec->workdir : t->main_spec.workdir);
	ret->user = xstrdup(spec->user && *spec->user ? spec->user : t->main_spec.user);
}

/* EXEC once more for an id we know never starts anything (R18). */
static void exec_again(struct proc *p, uint32_t channel, const uint8_t hash[32])
{
	if (p->channel != channel || memcmp(p->spec_hash, hash, sizeof(p->spec_hash)) != 0)
		refuse(p->table, channel, "exec id reused");
	else if (p->state == PROC_EXITED)
		tell_exit(p);
	else
		tell_started(p);
}

void procs_exec(struct procs *t, uint32_t channel, const struct exec_spec *spec)
{
	struct exec_spec full;
	uint8_t hash[32];
	const char *why;
	struct proc *p;

	exec_spec_hash(spec, hash);
	HASH_FIND(hh_id, t->by_id, spec->exec_id, strlen(spec->exec_id), p);
	if (p) {
		exec_again(p, channel, hash);
		return;
	}
	if (channel <= t->highest) {
		/* An answer would be taken for another process' exit. */
		log_error("EXEC for a channel in use ignored", "channel=%u", channel);
		return;
	}
	forget_old_rows(t);
	if (!*spec->exec_id) {
		refuse(t, channel, "exec without an id");
	} else if (!spec->tool && (why = main_refuses_execs(t))) {
		refuse(t, channel, why);
	} else if (HASH_CNT(hh, t->by_channel) > EXEC_ROWS_MAX) {
		refuse(t, channel, "too many execs at once");
	} else {
		t->highest = channel;
		p = proc_new(t, channel, spec->exec_id);
		memcpy(p->spec_hash, hash, sizeof(hash));
		if (spec->tool)
			prepare_tool(spec, &full);
		else
			inherit_main(t, spec, &full);
		p->tool = spec->tool;
		start_exec(p, &full);
		exec_spec_release(&full);
	}
}

/* ---- requests ----------------------------------------------------------------------------------- */

void procs_signal(struct procs *t, uint32_t channel, int sig)
{
	struct proc *p = find(t, channel);

	if (p && p == t->main && main_takes_signal(t, sig))
		return;
	if (!p || p->state != PROC_RUNNING || p->reaped)
		return; /* it ended before the signal came: EXIT is the answer */
	if (sig < 1 || sig > 64 || kill(p->pid, sig) < 0)
		log_warn("signal not delivered", "channel=%u signal=%d", channel, sig);
}

void procs_resize(struct procs *t, uint32_t channel, uint16_t rows, uint16_t cols)
{
	struct proc *p = find(t, channel);

	if (p && p == t->main) { /* also of the runs to come */
		t->main_spec.rows = rows;
		t->main_spec.cols = cols;
	}
	if (p)
		proc_io_resize(p, rows, cols);
}

void procs_exit_acked(struct procs *t, uint32_t channel)
{
	struct proc *p = find(t, channel);

	if (!p || p->acked || p->state != PROC_EXITED)
		return;
	p->acked = true;
	p->acked_ms = clock_mono_ms();
	if (!p->tool)
		t->unacked--;
	if (p == t->main)
		return; /* we wait for its last byte: the stream stays in our hands */
	if (p->out)
		stream_close(p->out);
	p->out = NULL;
	DL_APPEND(t->acked, p);
}

size_t procs_on_data(struct stream *st, const uint8_t *data, size_t n)
{
	struct proc *p = stream_user(st);

	return p && st == p->in ? proc_io_input(p, data, n) : n;
}

void procs_on_fin(struct stream *st)
{
	struct proc *p = stream_user(st);

	if (!p || st != p->in)
		return;
	p->in_ended = true;
	proc_io_input_end(p);
}

void procs_on_reset(struct stream *st)
{
	struct proc *p = stream_user(st);

	if (p && st == p->in) {
		proc_io_input_end(p);
		p->in = NULL;
	} else if (p && st == p->out) {
		p->out_end = stream_written(st);
		p->out = NULL;
		proc_io_kick(p);
	}
	stream_close(st);
	if (p)
		procs_unblock(p->table);
}

void procs_unblock(struct procs *t)
{
	if (t->blocked)
		proc_io_unblock(&t->blocked);
}

struct outlet **procs_blocked(struct procs *t)
{
	return &t->blocked;
}

/* ---- reports ------------------------------------------------------------------------------------ */

void procs_list(const struct procs *t, struct hello *h)
{
	struct proc *p, *tmp;

	h->procs = xrealloc(h->procs, (h->n_procs + HASH_CNT(hh, t->by_channel)) * sizeof(*h->procs));
	HASH_ITER(hh, t->by_channel, p, tmp) {
		struct proc_row *row;

		/* An acknowledged exec is recorded at the gateway for good, and HELLO is one frame. The
		 * highest is listed all the same: a new gateway learns from it which channels are free. */
		if (p->acked && p != t->main && p->channel != t->highest)
			continue;
		row = &h->procs[h->n_procs++];
		*row = (struct proc_row){.channel = p->channel, .state = p->state,
					 .pid = (uint32_t)p->pid, .exit = p->exit,
					 .restarts = p == t->main ? t->restarts : 0};
		row->exec_id = xstrdup(p->exec_id);
		row->exit.error = xstrdup(p->exit.error);
		memcpy(row->spec_hash, p->spec_hash, sizeof(row->spec_hash));
	}
}

const struct exit_status *procs_main_exit(const struct procs *t)
{
	return t->main->state == PROC_EXITED ? &t->main->exit : NULL;
}

bool procs_main_held(const struct procs *t)
{
	return t->main->state == PROC_HELD;
}

unsigned procs_tools(const struct procs *t)
{
	return (unsigned)t->tools;
}

bool procs_settled(const struct procs *t)
{
	const struct proc *m = t->main;

	return m->state == PROC_EXITED && !t->running && t->unacked == 0 &&
	       (!m->out || stream_fin_acked(m->out));
}

uint64_t procs_main_unacked(const struct procs *t)
{
	return t->main->out ? t->main->exit.final_offset - stream_acked(t->main->out) : 0;
}

struct procs *procs_new(struct agent *a)
{
	struct procs *t = xcalloc(1, sizeof(*t));

	t->agent = a;
	return t;
}

void procs_free(struct procs *t)
{
	struct proc *p, *tmp;

	if (!t)
		return;
	HASH_ITER(hh, t->by_channel, p, tmp)
		proc_free(p);
	main_release(t);
	free(t);
}
