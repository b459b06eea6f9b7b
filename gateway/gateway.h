/* gateway - everything main builds and passes down. One loop, one thread; every pointer here is
 * owned by main and outlives all callbacks. */
#ifndef GATEWAY_H
#define GATEWAY_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "config.h"

struct gateway {
	uv_loop_t *loop;
	struct config *config;
	struct http_client *http;       /* Google, registries */
	struct tls *agent_tls;          /* client context for dialling agents over TLS, or NULL */

	struct store *store;            /* state/store.h */
	struct containers *containers;  /* state/container.h */
	struct execs *execs;            /* state/exec.h */
	struct images *images;          /* state/image.h */
	struct layer_cache *layers;     /* image/layer_cache.h: layers somebody wanted to look into */
	struct overlays *overlays;      /* image/overlay.h: images with the agent; NULL in the other agent modes */
	struct pending_files *pending_files; /* state/pending_files.h: copied in before a start */
	struct volumes *volumes;        /* state/volume.h */
	struct networks *networks;      /* state/network.h */
	struct events *events;          /* state/events.h */

	struct registry *registry;      /* agents/registry.h: which agent serves which container */
	struct dialects *dialects;      /* agents/dialect_agent.h: those of the predecessor */
	struct ports *ports;            /* agents/ports.h: what containers publish */
	struct callback *callback;      /* agents/callback.h: the libwebsockets listener; NULL in forward mode */

	struct cloud *cloud;            /* cloud/run.h: typed calls to Cloud Run and Cloud Logging */
	struct lifecycle *lifecycle;    /* cloud/lifecycle.h: start, stop, kill, remove */
	struct health_monitors *health; /* health.h: probes of the containers that run */
	struct http_server *api;        /* the Docker side */

	struct handover *handover;      /* handover.h: planned restart */

	char instance_id[17];           /* hex; follows from project, region and instance, so that it outlives the disk */
	char home_id[17];               /* hex; of this state directory */
	bool disk_is_new;               /* jobs may belong to containers that this disk has lost; cloud/adopt.h */
	int64_t started_ns;
};

#endif
