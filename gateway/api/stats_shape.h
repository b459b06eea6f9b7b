/* stats_shape - one sample of the agent's figures (its tool `stats`, docs/agent.md) as the Docker API shows it,
 * so that `docker stats` computes true percentages of it. Pure. */
#ifndef API_STATS_SHAPE_H
#define API_STATS_SHAPE_H

#include <jansson.h>
#include <stdint.h>

struct stats_subject {
	const char *id, *name;       /* name without slash */
	int64_t memory_limit;        /* what Cloud Run gives; 0: as the agent sees it */
	int version;                 /* minor version of the API */
};
/* now NULL: the container does not run, everything is zero. before NULL: there is no earlier sample. */
json_t *stats_shape(const struct stats_subject *s, json_t *now, json_t *before);

#endif
