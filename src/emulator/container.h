/* container - one container of a task: started by crun, its output made log entries, its end seen.
 *
 *   WAITING -> STARTING (crun works) -> RUNNING -> ENDED      (STARTING -> ENDED if crun fails)
 *
 * The bundle must be ready before container_start. */
#ifndef EMULATOR_CONTAINER_H
#define EMULATOR_CONTAINER_H

#include <jansson.h>
#include <stdbool.h>

#include "emulator.h"

enum container_state { CONTAINER_WAITING, CONTAINER_STARTING, CONTAINER_RUNNING, CONTAINER_ENDED };

enum container_event {
	CONTAINER_STARTED,
	CONTAINER_START_FAILED, /* why is a sentence; the state is ENDED */
	CONTAINER_EXITED,       /* status is set and all output has become entries */
};

struct container;
/* Never called inside a call to this module. */
typedef void container_cb(void *ctx, struct container *c, enum container_event event,
			  const char *why);

struct container {
	struct emulator *emu;
	const json_t *spec;          /* the API's Container; borrowed from the execution */
	const struct image *image;   /* borrowed from images */
	struct image_request *request; /* for it, while it is out */
	struct log_source *source;   /* ours */
	char *name, *id, *bundle;    /* ours; id is crun's name for it */
	enum container_state state;
	bool ready;                  /* running and past its startup probe */
	struct probe *probe;         /* ours, while it probes */
	pid_t pid;                   /* in the emulator's PID namespace */
	bool exited;
	int status;                  /* as waitpid() gives it */
	int signal_when_started;     /* arrived while crun worked */
	unsigned open_outputs;
	struct output *output[2];    /* self-freeing; NULL when ended */
	struct timer *drain_timer;
	container_cb *cb;
	void *ctx;
};

void container_init(struct container *c, struct emulator *emu, const json_t *spec, char *id,
		    char *bundle, container_cb *cb, void *ctx);
void container_release(struct container *c); /* must be WAITING or ENDED */
int container_start(struct container *c, struct err *err);
void container_signal(struct container *c, int sig);

#endif
