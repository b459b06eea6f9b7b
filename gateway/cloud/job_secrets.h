/* job_secrets - environment variables whose values are in Secret Manager: the labels
 *
 *   run.sockerless.secret.env.NAME = SECRET[:VERSION]
 *
 * Cloud Run gives the value to the agent, which passes it on to the container's process; it is in no record, no job
 * and no inspection. Secrets as files are volumes (state/volume, job_volumes). Pure. */
#ifndef CLOUD_JOB_SECRETS_H
#define CLOUD_JOB_SECRETS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct container;

/* Is it one of these labels (named without the prefix run.sockerless.)? */
bool job_secrets_is_label(const char *name);
/* ERR_INVALID names the label, its value and the rule. */
int job_secrets_check(const char *name, const char *value, struct err *err);
/* Appends the variables to the container's env, and their names to the agent's specification ("inherit"). */
void job_secrets_add(const struct container *c, json_t *env);
void job_secrets_add_names(const struct container *c, json_t *spec);

#endif
