/* ps - what docker top shows: the argument language of procps' ps over rows that the agent's tool `top`
 * gives, since an image need not have a ps. Selection by -p, -q, -C and -u; every other selection means all
 * processes of the container, as with dockerd. Pure. */
#ifndef API_PS_H
#define API_PS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define PS_COLUMNS_MAX 64

struct ps {
	struct {
		int what;            /* ps.c's kinds */
		char *header;        /* ours */
	} columns[PS_COLUMNS_MAX];
	size_t n;
	struct strv pids, names, users;
	int sort;                    /* a kind; -1: by pid */
	bool descending, no_header;
};

/* args as the client gave them; "" is dockerd's default, -ef. ERR_SYSTEM in the words of ps, or of dockerd
 * when there is no PID column. *ret is to be released in any case. */
int ps_parse(struct ps *ret, const char *args, struct err *err);
void ps_release(struct ps *ps);
/* {"Titles", "Processes"} of the tool's list; Processes is null when no process is selected. */
json_t *ps_table(const struct ps *ps, json_t *processes, int64_t now_s);

#endif
