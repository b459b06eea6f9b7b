/* config - every setting of the daemon in one table (config_settings.c): parser, --help and man page come from it.
 * The environment is read first, flags win. Bad values are refused at start with the name, the value
 * and the rule. Names of the predecessor are kept. */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

struct config {
	/* Google */
	char *project;             /* SOCKERLESS_GCR_PROJECT; required without --local */
	char *region;              /* SOCKERLESS_GCR_REGION, "us-central1" */
	char *instance;            /* SOCKERLESS_GCR_INSTANCE: which jobs of the project are ours; the host's name */
	char *vpc_connector;       /* SOCKERLESS_GCR_VPC_CONNECTOR or NULL */
	char *network, *subnetwork; /* SOCKERLESS_GCR_NETWORK, _SUBNETWORK: Direct VPC egress, or NULL */
	char *network_tags;        /* SOCKERLESS_GCR_NETWORK_TAGS, with commas, or NULL */
	char *vpc_egress;          /* SOCKERLESS_GCR_VPC_EGRESS: "all-traffic" (default) or "private-ranges-only" */
	char *default_cpu, *default_memory; /* SOCKERLESS_GCR_CPU, _MEMORY: of containers that ask for none, or NULL */
	char *gpu;                 /* SOCKERLESS_GCR_GPU: what --gpus means, "nvidia-l4" */
	char *binds;               /* SOCKERLESS_BINDS: "label" (default), "upload" or "refuse" host paths */
	char *volume_bucket;       /* SOCKERLESS_GCR_VOLUME_BUCKET: BUCKET[/PREFIX] of named volumes, or NULL */
	char *log_id;              /* SOCKERLESS_GCR_LOG_ID, "sockerless" */
	char *endpoint_url;        /* SOCKERLESS_ENDPOINT_URL: replaces every Google host */
	char *endpoint_auth;       /* SOCKERLESS_ENDPOINT_AUTH: "none" (default) or "google": who we are, to that URL */
	char *service_account;     /* SOCKERLESS_GCR_SERVICE_ACCOUNT or NULL */
	/* Agent */
	char *agent_image;         /* SOCKERLESS_GCR_AGENT_IMAGE, "sockerless/agent:latest" */
	char *agent_mode;          /* SOCKERLESS_AGENT_MODE: "sidecar", "overlay" (default with image_repository) or "baked" */
	char *agent_binary;        /* SOCKERLESS_AGENT_BINARY: what overlays bring; NULL = that of share/agent-image */
	char *agent_path;          /* SOCKERLESS_AGENT_PATH: where a baked image has it, "/sockerless/bin/sockerless-agent" */
	char *agent_token;         /* SOCKERLESS_GCR_AGENT_TOKEN; NULL = one per execution */
	char *agent_address;       /* SOCKERLESS_AGENT_ADDRESS: host:port for forward mode, or NULL = as the agent reports */
	char *callback_url;        /* SOCKERLESS_CALLBACK_URL, http(s) or ws(s)://host[:port], no trailing slash; a path is kept
				    * as it is, without one cloud/job_spec appends ours. NULL = forward mode */
	char *callback_listen;     /* --callback-addr, SOCKERLESS_CALLBACK_ADDR, ":9112"; used when callback_url is set */
	bool accept_bootstraps;    /* SOCKERLESS_ACCEPT_BOOTSTRAPS: agents of the predecessor's that have no token */
	char *callback_cert, *callback_key; /* --callback-cert/-key: serve wss ourselves */
	int64_t poll_interval_ms;  /* SOCKERLESS_POLL_INTERVAL, 2s */
	int64_t agent_timeout_ms;  /* SOCKERLESS_AGENT_TIMEOUT, 30s: from the container's start to the agent's call */
	int64_t sweep_interval_ms; /* SOCKERLESS_SWEEP_INTERVAL, 5m: how often all jobs are listed */
	int64_t start_timeout_ms;  /* SOCKERLESS_START_TIMEOUT, 10m: from RunJob to a started container */
	int64_t call_timeout_ms;   /* SOCKERLESS_CALL_TIMEOUT, 30s: one request to Google with its repetitions */
	int64_t log_timeout_ms;    /* SOCKERLESS_LOG_TIMEOUT, 30s */
	bool start_token;          /* SOCKERLESS_GCR_START_TOKEN: create and run a job by one request */
	int64_t exit_stay_ms;      /* SOCKERLESS_GCR_EXIT_STAY, 15s: how long an ended container's files can be read */
	int64_t tunnel_memory;     /* SOCKERLESS_TUNNEL_MEMORY, 256MiB: what the tunnels' windows may grow by, together */
	int64_t agent_rate;        /* SOCKERLESS_AGENT_RATE, 1000: so many calls of agents are taken each second; 0 = all */
	bool tunnel_checksums;     /* SOCKERLESS_TUNNEL_CHECKSUMS: a CRC32C of every stream */
	int64_t link_lifetime_ms;  /* SOCKERLESS_LINK_LIFETIME: what is between us and the agents ends a link of this age; 0 */
	int64_t terminal_timeout_ms; /* SOCKERLESS_TERMINAL_TIMEOUT: without a client so long, docker exec -t is hung up; 0 = never */
	int64_t task_timeout_ms;   /* SOCKERLESS_TASK_TIMEOUT, 24h: Cloud Run's limit for one execution, <= 168h */
	/* Docker side */
	struct strv addrs;         /* --addr (repeatable), SOCKERLESS_ADDR: "unix:///path", "/path", "tcp://h:p", ":p" */
	char *tls_cert, *tls_key, *tls_client_ca; /* --tls-cert, --tls-key, --tls-client-ca for tcp */
	char *publish_address;     /* SOCKERLESS_PUBLISH_ADDRESS: where published ports listen unless -p says so; NULL = everywhere */
	/* Images */
	char *hub_mirror;          /* SOCKERLESS_HUB_MIRROR: host[:port][/prefix] asked instead of Docker Hub */
	char *image_repository;    /* SOCKERLESS_GCR_IMAGE_REPOSITORY: host[:port]/prefix for images we make; NULL = none */
	struct strv private_hosts; /* SOCKERLESS_PRIVATE_HOSTS: private addresses public registries may send us to */
	struct strv plain_registries; /* SOCKERLESS_PLAIN_REGISTRIES: hosts spoken to without TLS (loopback always is) */
	/* House */
	int64_t layer_cache_max;   /* SOCKERLESS_LAYER_CACHE_MAX, bytes */
	int64_t pending_files_max; /* SOCKERLESS_PENDING_FILES_MAX, bytes of one container's files before its start */
	char *state_dir;           /* --state-dir, SOCKERLESS_DATA_DIR; default /var/lib/sockerless or ~/.local/state/sockerless */
	bool local;                /* --local: emulator and registry as children */
	char *local_bin_dir;       /* where the sibling programs are; default: beside this program */
	enum log_level log_level;  /* --log-level */
};

/* 0 = go on; 1 = --help or --version was answered; -1 = err says what is wrong (exit status 2). */
int config_load(struct config *c, int argc, char **argv, struct err *err);
/* A line for each SOCKERLESS_ variable that is no setting: a slip of the pen, or the predecessor's. Names only. */
void config_warn_unknown(void);
void config_release(struct config *c);
void config_print_help(FILE *f);
void config_print_man(FILE *f); /* docs/sockerless-gateway.8 */

#endif
