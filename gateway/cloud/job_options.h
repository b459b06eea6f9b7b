/* job_options - what a container's labels say about its job, over what the gateway's settings say about all.
 *
 *   label run.sockerless.…    setting                      value
 *   cpu                       SOCKERLESS_GCR_CPU           0.1 to 8; for a container that asks for none (setting)
 *   memory                    SOCKERLESS_GCR_MEMORY        512m to 32g; the same
 *   timeout                   SOCKERLESS_TASK_TIMEOUT      1s to 168h
 *   service-account           SOCKERLESS_GCR_SERVICE_ACCOUNT
 *   vpc-connector             SOCKERLESS_GCR_VPC_CONNECTOR
 *   network, subnetwork       SOCKERLESS_GCR_NETWORK, SOCKERLESS_GCR_SUBNETWORK
 *   network-tags              SOCKERLESS_GCR_NETWORK_TAGS  words with commas between
 *   vpc-egress                SOCKERLESS_GCR_VPC_EGRESS    all-traffic or private-ranges-only
 *   execution-environment     (always gen2)                gen2 or default
 *   gpu                       SOCKERLESS_GCR_GPU           an accelerator such as nvidia-l4; the label alone asks for it
 *   secret.env.NAME           (none)                       job_secrets.h
 *
 * Pure. */
#ifndef CLOUD_JOB_OPTIONS_H
#define CLOUD_JOB_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct config;
struct container;

#define JOB_LABEL_PREFIX "run.sockerless."

enum job_option {
	JOB_CPU, JOB_MEMORY, JOB_TIMEOUT, JOB_SERVICE_ACCOUNT, JOB_VPC_CONNECTOR, JOB_NETWORK, JOB_SUBNETWORK,
	JOB_NETWORK_TAGS, JOB_VPC_EGRESS, JOB_EXECUTION_ENVIRONMENT, JOB_GPU,
};

/* Every label that begins with the prefix: ERR_INVALID names the label, its value and the rule; an unknown one is
 * told in warnings. labels may be NULL. */
int job_options_check(const json_t *labels, json_t *warnings, struct err *err);
/* The label, NULL if it is not there; or else the setting, NULL if that is not there either. Borrowed. */
const char *job_label(const struct container *c, enum job_option option);
const char *job_option(const struct config *cfg, const struct container *c, enum job_option option);
int64_t job_timeout_s(const struct config *cfg, const struct container *c, bool gpu); /* with a GPU an hour at most */
/* "1.5" CPUs in thousandths; -1 if it is none. */
int64_t job_parse_cpu(const char *text);
/* vpcAccess, or NULL; new reference. */
json_t *job_vpc_access(const struct config *cfg, const struct container *c);

#endif
