/* task - one attempt of one task: a network, volumes, and containers in the order of dependsOn.
 *
 *   IMAGES -> SETUP (network, mounts; worker thread) -> LATENCY -> RUNNING -> STOPPING -> CLEANUP
 *
 * The main container is the first in the list. When it ends, the others get SIGTERM, 10 seconds,
 * SIGKILL, and its status is the attempt's. A container that ends before the main one has started
 * fails the attempt. */
#ifndef EMULATOR_TASK_H
#define EMULATOR_TASK_H

#include <jansson.h>
#include <stdbool.h>

#include "emulator.h"
#include "rpc.h"

#define TASK_STOP_GRACE_MS 10000

struct task;

struct task_spec {
	const char *project, *location, *job, *execution; /* copied */
	int index, attempt, count;
	const json_t *template; /* TaskTemplate; borrowed until TASK_DONE */
	uint64_t timeout_ms;
};

enum task_outcome {
	TASK_SUCCEEDED,
	TASK_FAILED,         /* the program's doing: may be retried */
	TASK_CANNOT_START,   /* no image, no network ...: retrying would not help */
	TASK_CANCELLED,
};

struct task_result {
	enum task_outcome outcome;
	bool has_exit_code;
	int exit_code;
	int term_signal;      /* 0: none. At most one of the two */
	enum rpc_code code;
	char message[768];
	const char *reason;   /* a Condition's reason, for TASK_CANNOT_START; or NULL */
};

enum task_event { TASK_HAS_IMAGES, TASK_STARTED, TASK_DONE };

/* result is set for TASK_DONE, the last call. Never called inside task_start. */
typedef void task_cb(void *ctx, enum task_event event, const struct task_result *result);

struct task *task_start(struct emulator *emu, const struct task_spec *spec, task_cb *cb, void *ctx);
void task_cancel(struct task *t, uint64_t grace_ms); /* TASK_DONE follows */

/* Every attempt that still holds resources: cancel. emu->tasks becomes empty when all are gone. */
void tasks_stop_all(struct emulator *emu, uint64_t grace_ms);
json_t *tasks_show(struct emulator *emu);

#endif
