/* job_spec - the Cloud Run Job that runs one container: what Docker was told, said in Google's words.
 *
 *   sidecar mode                                   overlay and baked mode
 *     containers[0] main            the user's       containers[0] main   c->overlay_ref, or the user's image
 *       command  /sockerless/sockerless-agent          command  the same, or config->agent_path
 *       dependsOn sockerless-agent                     (nothing else)
 *     containers[1] sockerless-agent  puts the agent on the shared volume, then answers on TCP 9112
 *     volumes[0] sockerless         emptyDir in memory, mounted at /sockerless in both
 *
 * Members (containers that share c's network; NULL-terminated list, or NULL) come after main, each like it with
 * the name shared-<short ID>; then the first agent stays after its main's end until it is told to leave.
 *
 * The agent gets the original argv in its arguments ("run -- argv..."), or in its specification when
 * that is too long; user, working directory, environment and terminal always come in the
 * specification, because a Job has no field for most of them and starts the agent before them.
 * Pure. Source: run.googleapis.com v2 discovery, Job. */
#ifndef CLOUD_JOB_SPEC_H
#define CLOUD_JOB_SPEC_H

#include <jansson.h>

#include "base/err.h"

struct config;
struct container;

/* Environment of the agent:
 *   SOCKERLESS_CONTAINER_ID         64 hex digits
 *   SOCKERLESS_AGENT_TOKEN          of this run
 *   SOCKERLESS_AGENT_CALLBACK_URL   only in reverse mode; see job_spec_callback_url
 *   SOCKERLESS_AGENT_LISTEN         ":9111", when an agent address is configured beside the callback
 *   SOCKERLESS_SIDECAR_PORT         "0" but in sidecar mode: nobody to wait for
 *   SOCKERLESS_AGENT_SPEC           base64 of JSON {tty, openStdin, stdinOnce, user, workdir, rows, cols,
 *                                   env, argv, lingerMs, stayMs, hold, restart, stopSignal, hostname, domainname, extraHosts,
 *                                   dns, dnsSearch, dnsOptions, modes, nofile, inherit}; a key without a value is absent.
 *                                   Cut into pieces of JOB_SPEC_PIECE_MAX characters when longer: the
 *                                   others are SOCKERLESS_AGENT_SPEC_2, _3 ... ; concatenate, then decode */
#define JOB_SPEC_PIECE_MAX 32000
#define JOB_SPEC_PIECES_MAX 64       /* 1.5 MB of JSON; ERR_INVALID beyond */
#define JOB_SPEC_ARGS_MAX 1000       /* Cloud Run's limit */
#define JOB_SPEC_ARG_BYTES_MAX 32000 /* of all arguments together, else they go into the specification */
#define JOB_SPEC_LINGER_MS 60000
#define JOB_SPEC_MAIN "main"
#define JOB_SPEC_SIDECAR "sockerless-agent"
#define JOB_SPEC_PROBE_PORT 9112

/* The body of jobs.create, a new reference; never has a name (the job id is in the URL). ERR_INVALID
 * with Docker's sentence when CPU or memory is beyond what Cloud Run has. */
json_t *job_spec_build(const struct config *cfg, const struct container *c, struct container *const *members,
		       struct err *err);

/* Where this container's agent calls: the callback URL's own path, or /internal/v1/agent/connect when it
 * has none, and ?id=. NULL without a callback URL. Caller frees. */
char *job_spec_callback_url(const struct config *cfg, const char *container_id);

#endif
