/* lifecycle - docker start, stop, kill, restart and rm as step machines over Cloud Run and the agent.
 *
 *   start:  DELETE_OLD → CREATE_JOB → RUN_JOB → AWAIT_AGENT → done      (each with a deadline and an undo)
 *   stop:   signal through the agent → wait → SIGKILL → cancel the execution
 *   remove: (force: kill) → delete the job → forget
 *
 * An operation goes on when the client that asked for it hangs up; callers cancel only their interest.
 * At most one start and one stop per container: a second caller joins the first. */
#ifndef CLOUD_LIFECYCLE_H
#define CLOUD_LIFECYCLE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/pack.h"

struct gateway;
struct container;
struct lifecycle;
struct lifecycle_wait; /* one caller's interest in an operation */

struct lifecycle *lifecycle_new(struct gateway *g); /* after the registry, which it observes */
void lifecycle_free(struct lifecycle *l);
/* After the stores are loaded: reconcile every container that should be running with its execution, adopt the jobs
 * of ours that a new disk does not know, and look for drift from then on. ready runs once, from the loop, when clients
 * and agents may come: at once, unless there are jobs to be adopted first. */
void lifecycle_recover(struct lifecycle *l, void (*ready)(void *ctx), void *ctx);

/* err NULL = done. From the loop, never inside the call. c is still valid unless it was removed. */
typedef void lifecycle_cb(void *ctx, const struct err *err);

/* All return NULL with err set when refused at once (ERR_NOT_MODIFIED, ERR_CONFLICT …); else cb will
 * run once unless lifecycle_forget() is called. */
struct lifecycle_wait *lifecycle_start(struct lifecycle *l, struct container *c, lifecycle_cb *cb, void *ctx, struct err *err);
/* timeout_s -1: wait for ever before SIGKILL. signal 0: the container's StopSignal. Ends when exited. */
struct lifecycle_wait *lifecycle_stop(struct lifecycle *l, struct container *c, int signal, int timeout_s, lifecycle_cb *cb, void *ctx, struct err *err);
struct lifecycle_wait *lifecycle_restart(struct lifecycle *l, struct container *c, int signal, int timeout_s, lifecycle_cb *cb, void *ctx, struct err *err);
/* volumes: those that nobody named go along, as they do with --rm. Without force it waits for a start under way, and is then
 * refused if that went well. */
struct lifecycle_removal { bool force, volumes; };
struct lifecycle_wait *lifecycle_remove(struct lifecycle *l, struct container *c, struct lifecycle_removal how, lifecycle_cb *cb, void *ctx, struct err *err);
/* ERR_CONFLICT if it is paused already or cannot be; unpausing what is not paused is ERR_SYSTEM, as in dockerd. */
struct lifecycle_wait *lifecycle_pause(struct lifecycle *l, struct container *c, bool pause, lifecycle_cb *cb, void *ctx, struct err *err);
void lifecycle_forget(struct lifecycle_wait *w); /* NULL is fine */
/* For the process image that takes over. busy: something is under way that could not go on there, and in why what.
 * Else starts wait for their agents and stops for their ends: callers who ask for the same again there join them, if
 * they have not been told already (waits). restore: before lifecycle_recover. */
bool lifecycle_busy(const struct lifecycle *l, char *why, size_t cap);
bool lifecycle_waits(const struct lifecycle_wait *w);
void lifecycle_save(const struct lifecycle *l, struct pack *p);
void lifecycle_restore(struct lifecycle *l, struct unpack *u);
/* The restart policy in host_config has been changed. */
void lifecycle_policy_changed(struct lifecycle *l, struct container *c);
/* Deliver a signal now. ERR_CONFLICT if not running. It is a stop by hand, so the restart policy may end;
 * a paused container is unpaused. SIGKILL and SIGTERM also work without an agent
 * (the execution is cancelled). */
int lifecycle_kill(struct lifecycle *l, struct container *c, int signal, struct err *err);

#endif
