/* spool - a request's body as a file of bounded size, in a folder of its own below the state directory. What a
 * gateway that was killed left there is removed by the next one. */
#ifndef API_SPOOL_H
#define API_SPOOL_H

#include "api/request.h"

#define SPOOL_MAX (64LL << 30)

struct spool {
	char *dir, *path;  /* the folder, and the body's file in it */
	int fd;
	int64_t size;
};
void spool_close(struct spool *s); /* and remove the folder; NULL is fine */

/* The whole body, then done(r, spool) with the spool given away, unless the request was answered (413, 500). */
void spool_body(struct request *r, void (*done)(struct request *r, struct spool *s));

#endif
