/* proc_main - what only the main process does: it may be held until BEGIN, is run again by its restart
 * policy as dockerd's restart manager does it, and takes everything of the container with it when it ends.
 * Its streams live from the first to the last run; its input waits while there is no process. */
#include <assert.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/defer.h"
#include "proc_table.h"
#include "walk.h"

#define PAUSE_FIRST_MS 100
#define PAUSE_MAX_MS 60000
#define RUN_STABLE_MS 10000      /* after a run of so long the pauses begin anew */
#define KILL_WALKS_MAX 50        /* then tools are not spared either */
#define CODE_GAVE_UP 125

/* ---- the others end with it --------------------------------------------------------------------- */

/* Everything that is not a tool: walks until one meets nobody new. -1: that does not come to an end. */
static int kill_by_walking(void)
{
	struct tasks now, before = {0};
	bool more = true;

	for (int i = 0; more && i < KILL_WALKS_MAX; i++) {
		if (walk_tasks(getpid(), &now, NULL) < 0)
			break;
		more = now.unsteady;
		for (size_t k = 0; k < now.n; k++) {
			if (task_is_dead(&now.v[k]) || tasks_find(&before, &now.v[k]))
				continue;
			task_kill(&now.v[k], SIGKILL);
			more = true;
		}
		tasks_release(&before);
		before = now;
	}
	tasks_release(&before);
	return more ? -1 : 0;
}

/* As the kernel does it for the init of a pid namespace. */
static void kill_the_rest(struct procs *t)
{
	struct proc *p, *tmp;

	if (getpid() == 1 && (t->tools == 0 || kill_by_walking() < 0)) {
		kill(-1, SIGKILL);
	} else if (getpid() != 1) {
		kill(-t->main->pid, SIGKILL);
		HASH_ITER(hh_pid, t->by_pid, p, tmp)
			if (!p->tool)
				kill(-p->pid, SIGKILL);
		if (kill_by_walking() < 0)
			log_warn("not all of the container could be killed", "%s", "");
	}
}

void main_reaped(struct proc *p)
{
	kill_the_rest(p->table);
	pump_remove(&p->inlet); /* what comes now is for the next run, if there is one */
}

/* ---- runs --------------------------------------------------------------------------------------- */

/* A run later than the first that cannot be started ends the container with the code of the one before,
 * as in dockerd. */
static void rerun_failed(struct proc *p, struct exit_status *before, const struct err *err)
{
	log_error("cannot start again", "error=\"%s\"", err->msg);
	p->exit = *before;
	p->exit.error = xstrdup(err->msg);
	p->reaped = true;
	proc_finish(p);
}

static void run_main(struct procs *t)
{
	struct proc *p = t->main;
	struct exit_status before = p->exit;
	struct err err;
	int code;

	p->exit = (struct exit_status){0};
	p->state = PROC_STARTING;
	p->reaped = false;
	t->started_ms = clock_mono_ms();
	if (proc_spawn(p, &t->main_spec, &code, &err) < 0) {
		if (t->restarts)
			rerun_failed(p, &before, &err);
		else
			proc_start_failed(p, code, &err);
		return;
	}
	if (!p->in || p->in_ended)
		proc_io_input_end(p);
	else
		stream_resume(p->in);
}

void procs_start_main(struct procs *t)
{
	const struct config *cfg = t->agent->cfg;
	const struct exec_spec *spec = &cfg->main;
	struct proc *p;

	t->main_spec = (struct exec_spec){.tty = spec->tty, .open_stdin = spec->open_stdin,
					  .rows = spec->rows, .cols = spec->cols};
	strv_copy(&t->main_spec.argv, &spec->argv);
	strv_copy(&t->main_spec.env, &spec->env);
	t->main_spec.workdir = xstrdup(spec->workdir);
	t->main_spec.user = xstrdup(spec->user);
	t->policy = cfg->restart;
	t->highest = MAIN_CHANNEL;
	p = t->main = proc_new(t, MAIN_CHANNEL, "");
	p->tty = spec->tty;
	p->record_head = RECORD_HEADER + RECORD_TIME;
	if (proc_open_streams(p, false, NULL) < 0)
		assert(!"the first streams of a session");
	if (cfg->hold)
		p->state = PROC_HELD;
	else
		run_main(t);
}

void procs_begin_main(struct procs *t)
{
	if (t->main->state == PROC_HELD)
		run_main(t);
}

bool main_waits(const struct proc *p)
{
	return p == p->table->main &&
	       (p->state == PROC_HELD || p->state == PROC_RESTARTING || (p->state == PROC_RUNNING && p->reaped));
}

const char *main_refuses_execs(const struct procs *t)
{
	if (t->main->state == PROC_RESTARTING)
		return "container is restarting, wait until the container is running";
	return t->main->state == PROC_RUNNING && !t->main->reaped ? NULL : "container is not running";
}

/* ---- again -------------------------------------------------------------------------------------- */

bool main_has_next_run(const struct procs *t)
{
	switch (t->policy.when) {
	case RESTART_ALWAYS:
		return true;
	case RESTART_ON_FAILURE:
		return !t->policy.max_retries || t->restarts < t->policy.max_retries;
	default:
		return false;
	}
}

static void next_pause(struct procs *t)
{
	if (clock_mono_ms() - t->started_ms >= RUN_STABLE_MS)
		t->delay_ms = 0;
	t->delay_ms = t->delay_ms ? 2 * t->delay_ms : PAUSE_FIRST_MS;
	if (t->delay_ms > PAUSE_MAX_MS)
		t->delay_ms = PAUSE_MAX_MS;
}

static void on_pause_over(void *ctx)
{
	struct procs *t = ctx;

	t->pause = NULL;
	run_main(t);
}

bool main_goes_on(struct proc *p)
{
	struct procs *t = p->table;
	struct control c = {.type = CONTROL_RESTARTING, .channel = p->channel};

	/* RUNNING: not one that was never begun, or whose pause was ended */
	if (p != t->main || p->state != PROC_RUNNING || !main_has_next_run(t) ||
	    (t->policy.when == RESTART_ON_FAILURE && p->exit.code == 0))
		return false;
	next_pause(t);
	t->restarts++;
	if (p->out)
		p->out_end = stream_written(p->out);
	p->exit.final_offset = p->out_end;
	p->state = PROC_RESTARTING;
	log_info("main process ended and is run again", "code=%d restarts=%u in_ms=%llu", p->exit.code, t->restarts,
		 (unsigned long long)t->delay_ms);
	c.restarting.status = p->exit;
	c.restarting.count = t->restarts;
	c.restarting.delay_ms = (uint32_t)t->delay_ms;
	procs_tell(t, &c);
	t->pause = timer_start(&t->agent->loop, t->delay_ms, on_pause_over, t);
	return true;
}

static void end_pause(struct procs *t)
{
	timer_cancel(&t->pause);
	proc_finish(t->main);
}

void procs_set_restart(struct procs *t, const struct restart_policy *policy)
{
	t->policy = *policy;
	if (policy->when == RESTART_NO && t->main->state == PROC_RESTARTING)
		end_pause(t);
}

/* ---- signals and a gateway that never comes, without a process ----------------------------------- */

static bool ends_a_process(const struct procs *t, int sig)
{
	switch (sig) {
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH:
	case SIGSTOP:
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		return sig == t->agent->cfg->stop_signal;
	default:
		return sig >= 1 && sig <= 64;
	}
}

bool main_takes_signal(struct procs *t, int sig)
{
	struct proc *p = t->main;

	if (p->state != PROC_HELD && p->state != PROC_RESTARTING)
		return false;
	if (!ends_a_process(t, sig))
		return true;
	if (p->state == PROC_RESTARTING) {
		end_pause(t);
		return true;
	}
	p->exit.signal = sig;
	p->exit.code = 128 + sig;
	p->exit.finished_ns = clock_wall_ns();
	p->reaped = true;
	proc_finish(p);
	return true;
}

void procs_end_held_main(struct procs *t, const char *why)
{
	struct err err;

	if (t->main->state != PROC_HELD)
		return;
	err_set(&err, ERR_TIMEOUT, "%s", why);
	proc_start_failed(t->main, CODE_GAVE_UP, &err);
}

void main_release(struct procs *t)
{
	timer_cancel(&t->pause);
	exec_spec_release(&t->main_spec);
}
