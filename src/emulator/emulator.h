/* emulator - everything main builds and passes down. */
#ifndef EMULATOR_H
#define EMULATOR_H

#include <stdio.h>
#include <uv.h>

#include "base/mem.h"
#include "image.h"
#include "knobs.h"
#include "logs.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "netns.h"
#include "proc.h"

struct store;
struct task;

struct emulator {
	uv_loop_t *loop;
	struct procs *procs;
	struct http_client *client;
	struct http_server *server;
	struct images *images;
	struct logs *logs;
	struct store *store;         /* jobs, executions, operations; jobs.h */
	struct task *tasks;          /* every attempt that holds resources; task.h */
	struct task *tasks_waiting;  /* for a network address */
	struct network network;
	struct knobs knobs;
	struct strv plain_hosts;
	struct strv secrets;         /* NAME=FILE */
	char *secrets_dir;           /* whose files are secrets, too; or NULL */
	char *state_dir;             /* --state-dir: the image cache, shared with others */
	char *run_dir;               /* a tmpfs in a mount namespace of ours: gone with the process */
	char url[64];
	int host_proc;               /* the host's /proc, to tell pids that tests can use */
	FILE *record;                /* wire.h */
	bool stopping;
};

#endif
