/* start - docker start: BUCKET → INJECT → LAUNCH → AWAIT_AGENT → (PREPARE → AWAIT_MAIN) → running.
 * INJECT is inject.h's, in agent mode overlay. LAUNCH is launch.h's business: from a job's specification to an execution. The agent's call is the start
 * signal; the execution is looked at only to see it fail early. Main is held back by its agent (c->hold) when
 * something must be in place before it: then PREPARE. Whatever fails after LAUNCH deletes the job again, as
 * LAUNCH does itself, and puts the record back. */
#include <jansson.h>
#include <string.h>

#include "agents/ports.h"
#include "agents/registry.h"
#include "agents/tunnel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cloud/inject.h"
#include "cloud/job_identity.h"
#include "cloud/job_resources.h"
#include "cloud/job_spec.h"
#include "cloud/job_volumes.h"
#include "cloud/launch.h"
#include "cloud/lifecycle_ops.h"
#include "cloud/prepare.h"
#include "cloud/run.h"
#include "cloud/shared_task.h"
#include "cloud/storage.h"
#include "gateway.h"
#include "net/defer.h"
#include "state/container.h"
#include "state/network.h"

#define EARLY_END_GRACE_MS 3000   /* an execution that ended may still have its agent's last words on the way */
#define LEAVE_GRACE_MS 2000       /* to the former run's agent, from the launch on */
#define FIRST_LOOK_MS 125
#define NOT_FOUND_GRACE_MS 10000 /* what was just made is not always found at once */

enum step { BUCKET, INJECT, LAUNCH, AWAIT_AGENT, PREPARE, AWAIT_MAIN };

struct start {
	struct slot *slot;
	enum step step;
	char job[LAUNCH_JOB_MAX];
	char *execution;
	char *former;                      /* execution of the run before, in the same job; or NULL */
	enum launch_how how;
	struct inject *inject;
	struct launch *launch;
	struct cloud_call *call;           /* the one the step waits for */
	struct registry_waiter *agent;
	struct prepare *prepare;
	struct timer *main_deadline;       /* from PREPARE on */
	struct timer *poll;
	uint64_t poll_ms;                  /* doubles up to SOCKERLESS_POLL_INTERVAL */
	uint64_t running_since_ms, ended_since_ms, missing_since_ms;
	bool leaving;                      /* the former run's agent; poll is its deadline */
	bool joined;                       /* the job is another container's (shared_task.h) */
	bool finished;
	struct lifecycle_wait *waits;
};

static void launch(struct start *st);
static void await_agent(struct start *st);
static void look_at_execution(void *ctx);

struct lifecycle_wait **start_waits(struct start *st)
{
	return &st->waits;
}

static struct gateway *gateway_of(const struct start *st)
{
	return st->slot->l->g;
}

static void start_end(struct start *st, const struct err *err)
{
	struct slot *s = st->slot;

	st->finished = true;
	cloud_cancel(st->call);
	inject_cancel(st->inject);
	launch_cancel(st->launch, false);
	registry_unwait(&st->agent);
	prepare_cancel(st->prepare);
	timer_cancel(&st->main_deadline);
	timer_cancel(&st->poll);
	waits_finish(&st->waits, err);
	s->start = NULL;
	free(st->execution);
	free(st->former);
	free(st);
	slot_release(s);
}

/* Undo what was done and say why. exit_code: what docker inspect shows. */
static void fail(struct start *st, int exit_code, const struct err *why)
{
	struct slot *s = st->slot;
	struct gateway *g = gateway_of(st);
	struct container *c = slot_container(s);
	struct err err = { 0 };

	log_warn("start failed", "container=%.12s step=%d error=\"%s\"", s->id, (int)st->step, why->msg);
	slot_hang_up(s);
	if (c)
		ports_close(g->ports, c);
	launch_cancel(st->launch, true);
	st->launch = NULL;
	if (c && st->step >= LAUNCH && exit_code == 128)
		inject_doubt(g, c);
	if (st->step > LAUNCH && !st->joined)
		launch_discard(g->cloud, st->job, NULL);
	if (c && exit_code == 128 && again_after_failed_start(s, c)) {
		start_end(st, why);
		return;
	}
	if (c) {
		/* The tunnel stays until the agent leaves: its EXIT is yet to be acknowledged. */
		if (container_set_start_failed(c, exit_code, why->msg, &err) < 0)
			log_error("failed start cannot be stored", "container=%.12s error=\"%s\"", s->id, err.msg);
		if (s->stop)
			stop_end_soon(s->stop);
		if (c->auto_remove && !s->removal)
			removal_automatic(s, c);
	}
	start_end(st, why);
}

static void fail_call(struct start *st, const struct err *err, const char *doing)
{
	struct err why = *err;

	err_wrap(&why, "%s", doing);
	fail(st, 128, &why);
}

/* NULL shuts the operation down without touching the record (the gateway is going away). */
void start_abort(struct start *st, const char *sentence)
{
	struct err why = { 0 };

	err_set(&why, sentence ? ERR_CONFLICT : ERR_UNAVAILABLE, "%s",
		sentence ? sentence : "the gateway is shutting down");
	if (sentence)
		fail(st, 137, &why);
	else
		start_end(st, &why);
}

/* The agent that is connected is that of the run before. */
static bool is_former(const struct start *st, const struct container *c)
{
	return st->former && c->tunnel && strcmp(tunnel_execution(c->tunnel), st->former) == 0;
}

/* ---- BUCKET, INJECT, LAUNCH -------------------------------------------------------------------------------- */

/* The first start of all that mounts a named volume. */
static void on_bucket(void *ctx, json_t *json, const struct err *err)
{
	struct start *st = ctx;

	st->call = NULL;
	if (err)
		fail_call(st, err, "prepare the bucket of volumes (SOCKERLESS_GCR_VOLUME_BUCKET)");
	else
		launch(st);
}

static void on_injected(void *ctx, const struct err *err)
{
	struct start *st = ctx;

	st->inject = NULL;
	if (err)
		fail(st, 128, err);
	else
		launch(st);
}

static void launched(struct start *st, const char *execution)
{
	struct container *c = slot_container(st->slot);
	struct job_resources size;
	struct err e = { 0 };

	st->launch = NULL;
	if (job_resources_pick(gateway_of(st)->config, c, &size, NULL) == 0)
		c->memory_limit = size.memory_mib * 1024 * 1024;
	st->execution = xstrdup(execution);
	st->step = AWAIT_AGENT;
	if (container_set_job(c, st->job, st->execution, &e) < 0)
		fail(st, 128, &e);
	else
		await_agent(st);
}

static void on_launched(void *ctx, const char *execution, const struct err *err)
{
	struct start *st = ctx;

	st->launch = NULL;
	if (err)
		fail(st, 128, err);
	else
		launched(st, execution);
}

/* The agent has called before Google has answered, or Google's answer was lost: it knows its execution. False: the
 * start is over. */
static bool learn_execution(struct start *st, const struct container *c)
{
	const char *execution = c->tunnel ? tunnel_execution(c->tunnel) : "";
	struct slot *s = st->slot;
	size_t n = strlen(st->job);

	if (st->step != LAUNCH || !st->launch || strncmp(execution, st->job, n) != 0 || execution[n] != '-')
		return true;
	launch_cancel(st->launch, false);
	launched(st, execution);
	return s->start == st;
}

static void launch(struct start *st)
{
	struct gateway *g = gateway_of(st);
	struct container *c = slot_container(st->slot);
	AUTO_FREE struct container **staged = shared_task_staged(g, c);
	struct err err = { 0 };
	bool bucket = job_volumes_need_bucket(c);
	json_t *job;

	for (size_t i = 0; staged[i]; i++)
		bucket = bucket || job_volumes_need_bucket(staged[i]);
	if (bucket && !storage_bucket_is_known(g->cloud)) {
		st->call = storage_ensure_bucket(g->cloud, on_bucket, st);
		return;
	}
	if (g->overlays && st->step != INJECT) {
		st->step = INJECT;
		st->inject = inject_begin(g, c, staged, on_injected, st);
		return;
	}
	st->step = LAUNCH;
	c->hold = prepare_needed(g, c);
	job = job_spec_build(g->config, c, staged, &err);
	if (!job) {
		fail(st, 128, &err);
		return;
	}
	job_identity_write(g, job, c, staged);
	st->launch = launch_begin(g->cloud, st->job, job, st->how, on_launched, st);
}

/* ---- AWAIT_AGENT ------------------------------------------------------------------------------------ */

static void poll_again(struct start *st)
{
	const struct config *cfg = gateway_of(st)->config;

	uint64_t max = (uint64_t)cfg->poll_interval_ms;

	if (st->finished || st->poll)
		return;
	st->poll_ms = !st->poll_ms ? FIRST_LOOK_MS : st->poll_ms * 2;
	st->poll_ms = st->poll_ms > max ? max : st->poll_ms;
	st->poll = timer_start(gateway_of(st)->loop, st->poll_ms, look_at_execution, st);
}

static void on_no_agent(void *ctx, bool ok)
{
	struct start *st = ctx;
	struct err err = { 0 };

	st->agent = NULL;
	if (ok) {
		start_agent_up(st, slot_container(st->slot)); /* perhaps it is there already */
		return;
	}
	err_set(&err, ERR_TIMEOUT, "the container has not started within %lld s (SOCKERLESS_START_TIMEOUT)",
		(long long)gateway_of(st)->config->start_timeout_ms / 1000);
	fail(st, 128, &err);
}

static void hang_up_on_former(struct slot *s, struct container *c)
{
	registry_drop(s->l->g->registry, c);
	slot_hang_up(s);
}

static void former_is_gone(void *ctx)
{
	struct start *st = ctx;
	struct container *c = slot_container(st->slot);

	st->poll = NULL;
	st->leaving = false;
	if (!c->tunnel || is_former(st, c))
		hang_up_on_former(st->slot, c);
	await_agent(st);
}

static void await_agent(struct start *st)
{
	struct gateway *g = gateway_of(st);
	struct container *c = slot_container(st->slot);

	st->step = AWAIT_AGENT;
	if (is_former(st, c)) { /* it has been told to leave; hung up on before it has, it would call again */
		st->leaving = true;
		st->poll = timer_start(g->loop, tunnel_is_up(c->tunnel) ? LEAVE_GRACE_MS : 0, former_is_gone, st);
		return;
	}
	st->agent = registry_wait(g->registry, st->slot->id, (uint64_t)g->config->start_timeout_ms, on_no_agent, st);
	poll_again(st);
}

static void early_end(struct start *st, json_t *execution, enum execution_phase phase)
{
	const char *message = run_execution_message(execution);
	struct err err = { 0 };

	if (!st->ended_since_ms)
		st->ended_since_ms = clock_mono_ms();
	if (clock_mono_ms() - st->ended_since_ms < EARLY_END_GRACE_MS) {
		poll_again(st);
		return;
	}
	err_set(&err, ERR_UPSTREAM, "the execution %s ended before its agent called: %s", st->execution,
		message ? message : phase == EXECUTION_CANCELLED ? "it was cancelled" : "Cloud Run gives no reason");
	fail(st, 128, &err);
}

static void still_running(struct start *st)
{
	const struct config *cfg = gateway_of(st)->config;
	uint64_t now = clock_mono_ms();
	struct err err = { 0 };

	if (!st->running_since_ms)
		st->running_since_ms = now;
	if (now - st->running_since_ms > 2 * (uint64_t)cfg->agent_timeout_ms) {
		err_set(&err, ERR_TIMEOUT, "the container runs, but its agent has not been heard of for %lld s "
			"(SOCKERLESS_AGENT_TIMEOUT); is %s reachable from it?", 2 * (long long)cfg->agent_timeout_ms / 1000,
			cfg->callback_url ? cfg->callback_url : "the agent's port");
		fail(st, 128, &err);
		return;
	}
	find_agent_if_silent(st->slot, slot_container(st->slot), now - st->running_since_ms);
	poll_again(st);
}

static void on_execution(void *ctx, json_t *json, const struct err *err)
{
	struct start *st = ctx;
	enum execution_phase phase;

	st->call = NULL;
	if (err) {
		if (err->kind == ERR_NOT_FOUND && !st->missing_since_ms)
			st->missing_since_ms = clock_mono_ms();
		if (err->kind == ERR_NOT_FOUND && clock_mono_ms() - st->missing_since_ms > NOT_FOUND_GRACE_MS)
			fail_call(st, err, "look at the execution");
		else
			poll_again(st);
		return;
	}
	st->missing_since_ms = 0;
	phase = run_execution_phase(json);
	if (phase == EXECUTION_PENDING)
		poll_again(st);
	else if (phase == EXECUTION_RUNNING)
		still_running(st);
	else
		early_end(st, json, phase);
}

static void look_at_execution(void *ctx)
{
	struct start *st = ctx;

	st->poll = NULL;
	if (!st->call)
		st->call = run_get_execution(gateway_of(st)->cloud, st->job, st->execution, on_execution, st);
}

/* ---- what the agent tells ---------------------------------------------------------------------------- */

static void started(struct start *st, struct container *c, uint32_t pid, int64_t started_ns)
{
	struct err err = { 0 };

	networks_emit(gateway_of(st)->networks, c, "connect");
	if (container_set_running(c, pid, started_ns, &err) < 0) {
		fail(st, 128, &err);
		return;
	}
	ports_serve(gateway_of(st)->ports, c);
	if (st->former) /* its agent may be staying for the files of a run that nobody asks for any more */
		launch_discard(gateway_of(st)->cloud, st->job, st->former);
	log_info("container started", "container=%.12s execution=%s", c->id, c->execution ? c->execution : "");
	start_end(st, NULL);
}

static void on_main_late(void *ctx)
{
	struct start *st = ctx;
	struct err err = { 0 };

	st->main_deadline = NULL;
	err_set(&err, ERR_TIMEOUT, "the container's agent has called, but its main process has not begun within %lld s "
		"(SOCKERLESS_START_TIMEOUT)", (long long)gateway_of(st)->config->start_timeout_ms / 1000);
	fail(st, 128, &err);
}

static void on_prepared(void *ctx, const struct err *failed)
{
	struct start *st = ctx;
	struct container *c = slot_container(st->slot);
	struct err err;

	st->prepare = NULL;
	st->step = AWAIT_MAIN;
	if (failed)
		fail(st, 128, failed);
	else if (!c->tunnel)
		st->step = AWAIT_AGENT; /* its successor is prepared, or the deadline passes */
	else if (tunnel_begin_main(c->tunnel, &err) < 0)
		fail(st, 128, &err);
}

/* Main is held: put everything in its place, then let it go. */
static void prepare(struct start *st, struct container *c)
{
	struct gateway *g = gateway_of(st);

	st->step = PREPARE;
	if (!st->main_deadline)
		st->main_deadline = timer_start(g->loop, (uint64_t)g->config->start_timeout_ms, on_main_late, st);
	st->prepare = prepare_begin(g, c, on_prepared, st);
}

void start_agent_lost(struct start *st)
{
	if (!st->leaving)
		return;
	timer_cancel(&st->poll);
	st->poll = timer_start(gateway_of(st)->loop, 0, former_is_gone, st);
}

void start_agent_up(struct start *st, struct container *c)
{
	uint32_t pid;
	int64_t started_ns;

	/* A main process that could not be run is reported by start_main_exited. */
	if (is_former(st, c) || !learn_execution(st, c) || st->step < AWAIT_AGENT || !c->tunnel)
		return;
	if (st->leaving) {
		start_agent_lost(st);
		return;
	}
	if (tunnel_main_started(c->tunnel, &pid, &started_ns))
		started(st, c, pid, started_ns);
	else if (c->hold && st->step == AWAIT_AGENT)
		prepare(st, c);
}

/* Exits inside the start: a program that could not be run fails the start; a short one has started. */
void start_main_exited(struct start *st, struct container *c, const struct exit_status *status)
{
	struct err err = { 0 };

	if (is_former(st, c) || !learn_execution(st, c))
		return;
	if (!status->error || status->started_ns) { /* an error besides: a later run could not be started */
		started(st, c, 0, status->started_ns);
		return;
	}
	err_set(&err, ERR_INVALID, "failed to create task for container: failed to create shim task: OCI runtime "
		"create failed: unable to start container process: %s: unknown", status->error);
	fail(st, status->code, &err);
}

/* ---- beginning --------------------------------------------------------------------------------------- */

static struct start *start_new(struct slot *s, const struct container *c)
{
	struct start *st = xcalloc(1, sizeof(*st));

	st->slot = s;
	st->joined = network_shared_with(c) != NULL;
	if (st->joined)
		snprintf(st->job, sizeof(st->job), "%s", c->job ? c->job : "");
	else
		launch_job_name(c->id, st->job);
	st->execution = st->joined ? xstrdup(c->execution) : NULL;
	s->start = st;
	return st;
}

/* What this machine has to give; as dockerd does, the record says why a start came to nothing. */
static int take_networks(struct slot *s, struct container *c, struct err *err)
{
	struct gateway *g = s->l->g;
	struct err failed = {0};

	if (network_shared_with(c) ? shared_task_join(g, c, err) != NULL
				   : networks_check_start(g->networks, c, err) == 0 && ports_open(g->ports, c, err) == 0)
		return 0;
	if (container_set_start_failed(c, 128, err->msg, &failed) < 0)
		log_error("failed start cannot be stored", "container=%.12s error=\"%s\"", s->id, failed.msg);
	if (c->auto_remove && !s->removal)
		removal_automatic(s, c);
	return -1;
}

static void on_joined(void *ctx)
{
	struct start *st = ctx;

	st->poll = NULL;
	start_agent_up(st, slot_container(st->slot));
}

/* The agent is there, or calls again, and holds main: it runs in its owner's task. */
static int join(struct slot *s, struct container *c, struct err *err)
{
	struct container *owner = shared_task_join(s->l->g, c, err);
	char token[ID_HEX_MAX];
	struct start *st;

	memcpy(token, c->token, sizeof(token));
	if (!owner || container_set_starting(c, token, err) < 0 ||
	    container_set_job(c, owner->job, owner->execution, err) < 0)
		return -1;
	c->hold = true;
	st = start_new(s, c);
	await_agent(st);
	if (c->tunnel) {
		timer_cancel(&st->poll);
		st->poll = timer_start(s->l->g->loop, 0, on_joined, st);
	}
	return 0;
}

/* An agent that stays for an ended run's files leaves while the next one is launched. */
static void send_off(struct container *c)
{
	struct err err;

	if (c->tunnel && tunnel_leave(c->tunnel, &err) < 0)
		log_warn("an agent is not told to leave", "container=%.12s error=\"%s\"", c->id, err.msg);
}

static void begin_launch(void *ctx)
{
	struct start *st = ctx;

	st->poll = NULL;
	launch(st);
}

int start_begin(struct slot *s, struct container *c, struct err *err)
{
	const char *fixed = s->l->g->config->agent_token;
	/* The job of a run that has ended serves the next one; what a failed start has left, nobody knows. */
	enum launch_how how = c->runs == 0 ? LAUNCH_NEW : c->execution && !c->error ? LAUNCH_AGAIN : LAUNCH_OVER;
	AUTO_FREE char *former = how == LAUNCH_AGAIN ? xstrdup(c->execution) : NULL;
	struct start *st;
	char token[ID_HEX_MAX];

	if (fixed)
		snprintf(token, sizeof(token), "%s", fixed);
	else
		random_hex(token, 64);
	if (take_networks(s, c, err) < 0)
		return -1;
	if (network_shared_with(c))
		return join(s, c, err);
	if (former)
		send_off(c);
	if (!former || !c->tunnel)
		hang_up_on_former(s, c);
	if (container_set_starting(c, token, err) < 0)
		return -1;
	if (shared_task_stage(s->l, c, err) < 0) {
		container_set_start_failed(c, 128, err->msg, NULL);
		return -1;
	}
	st = start_new(s, c);
	st->how = how;
	st->former = steal_ptr(&former);
	st->poll = timer_start(s->l->g->loop, 0, begin_launch, st); /* the caller has yet to join */
	return 0;
}

bool start_is_waiting(const struct start *st)
{
	return st->step == AWAIT_AGENT && !st->leaving && !st->finished && !st->joined && !st->call;
}

/* The gateway was killed during a start. With an execution we wait for its agent as before; without
 * one we cannot know how far we came, and begin again from nothing. */
void start_resume(struct slot *s, struct container *c)
{
	struct start *st = start_new(s, c);

	ports_reopen(s->l->g->ports, c);
	if (st->joined && !c->execution) {
		start_abort(st, "the gateway was stopped during the start");
	} else if (c->execution) {
		free(st->execution);
		st->execution = xstrdup(c->execution);
		c->hold = true; /* perhaps: letting go of what is not held does nothing */
		await_agent(st);
	} else {
		st->how = LAUNCH_OVER;
		st->poll = timer_start(s->l->g->loop, 0, begin_launch, st);
	}
}
