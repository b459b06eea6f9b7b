/* client - one synchronous request to the gateway, over its Docker socket.
 * Address: "unix:///path", "tcp://host:port" (TLS as the docker client: DOCKER_TLS_VERIFY and
 * DOCKER_CERT_PATH), "http://…" or "https://…". */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>

#include "base/err.h"

#define CLIENT_DEFAULT_HOST "unix:///var/run/sockerless.sock"

struct client {
	const char *host; /* borrowed */
	long timeout_ms;  /* for the whole request; 0 = 30 s */
};

/* 0 and the JSON of a 2xx answer in *ret (new reference; JSON null when the body is empty), or -1 with
 * the gateway's own sentence. ERR_UNAVAILABLE when nobody answers. */
int client_request(const struct client *c, const char *method, const char *path, json_t **ret,
		   struct err *err);
/* One path segment, percent-encoded; caller frees. */
char *client_escape(const char *segment);

#endif
