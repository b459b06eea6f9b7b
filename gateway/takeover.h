/* takeover - what a former image of this process has left to the present one (handover.h): one file in memory,
 * descriptors, and the order in which they are taken up. Without one every step does nothing. */
#ifndef TAKEOVER_H
#define TAKEOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"

struct gateway;
struct config;

/* "check:FORMAT": only say whether an image can start; "FD": that file. */
#define TAKEOVER_ENV "SOCKERLESS_HANDOVER"
#define TAKEOVER_CHECK "check:"
/* Changes whenever a packed value does. Images of different formats do not hand over to each other. */
#define TAKEOVER_FORMAT "4"

struct takeover {
	bool here;
	uint8_t *mem;              /* ours */
	size_t size;
	struct unpack_fds fds;
	struct unpack meta, listeners, events, sessions, operations, relays, clients, ports;
	uint64_t frozen_ms;        /* monotonic: when the former image stood still */
	int lock;                  /* of the state directory; -1 none */
};

/* Reads the environment. A file that makes no sense: said in the log, and the start is as after a crash. */
void takeover_begin(struct takeover *t);
/* The former image asks whether we can start with this. The exit status, or -1: it does not. err: of the settings, or NULL. */
int takeover_check(const struct config *c, const struct err *bad);
void takeover_unblock_signals(void);                             /* which came while no image could take them */
void takeover_listeners(struct takeover *t);                     /* before the first socket */
void takeover_state(struct takeover *t, struct gateway *g);     /* the records are loaded, nothing goes on yet */
void takeover_clients(struct takeover *t, struct gateway *g);   /* the doors are open: it is over */

/* handover.c: what takeover reads, in the same order. */
char **handover_environment(void);                               /* at the very beginning; the caller frees */
struct handover *handover_new(struct gateway *g, char **argv, char **environment, int lock);
void handover_free(struct handover *h);

#endif
