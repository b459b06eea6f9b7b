/* tee - the main process' output once more, on our own stdout or stderr, for Cloud Logging.
 * Never blocks: what does not fit waits in a bounded buffer, and whoever fed it waits too. */
#ifndef AGENT_TEE_H
#define AGENT_TEE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "pump.h"

#define TEE_MAX (64 * 1024)

struct tee {
	int fd;                 /* 1 or 2; not ours */
	int old_flags;          /* of the descriptor, to put back */
	bool broken;            /* nobody reads any more: the copy ends, the tunnel goes on */
	struct buf rest;
	struct pump_item item;
	void (*on_drain)(void *ctx); /* the rest has left; one waiter */
	void *ctx;
};

void tee_init(struct tee *t, struct pump *pump, int fd);
/* True: go on. False: n bytes are taken (all of them), but feed no more until on_drain. */
bool tee_write(struct tee *t, const void *p, size_t n);
static inline bool tee_ready(const struct tee *t) { return t->rest.len == 0; }
/* Write out what waits, for at most timeout_ms, and put the descriptor back as it was. */
void tee_finish(struct tee *t, int timeout_ms);

#endif
