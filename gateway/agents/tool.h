/* tool - one run of the agent's own program in a container (`sockerless-agent tool ARGV...`,
 * docs/agent.md): files in and out, process list, figures, a connection to a port. Needs nothing of the
 * image; works while main is held, runs, and after it has ended for as long as the agent stays.
 * It is no docker exec: no record, no events. Loop thread only. */
#ifndef AGENTS_TOOL_H
#define AGENTS_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"

struct gateway;
struct container;
struct tool;

struct tool_ops {
	/* Its stdout. Returns how many of the n bytes were taken (0..n); for the rest call tool_resume
	 * when there is room again. */
	size_t (*on_output)(void *ctx, const uint8_t *p, size_t n);
	/* It has closed its stdout, and may go on reading. May be NULL; not told of every tool that ends. */
	void (*on_output_end)(void *ctx);
	/* tool_input takes bytes again. May be NULL when there is no input. */
	void (*on_input_room)(void *ctx);
	/* Last call; *t is gone. err NULL: it ended with 0 and all its output was taken. Else its
	 * sentence, with the kind its exit code stands for, or that the agent was lost. */
	void (*on_end)(void *ctx, const struct err *err);
};

/* argv: NULL-terminated, without "tool"; copied. input: stdin is a pipe, else it is empty. If the
 * container's agent is away for the moment it is waited for (config's agent timeout). NULL:
 * ERR_CONFLICT "Container x is not running" when there is no agent to wait for. No callback runs
 * inside the call. */
struct tool *tool_start(struct gateway *g, struct container *c, const char *const argv[], bool input,
			const struct tool_ops *ops, void *ctx, struct err *err);
size_t tool_input_room(const struct tool *t);                    /* 0 while the agent is waited for */
size_t tool_input(struct tool *t, const void *p, size_t n);      /* how many were taken */
void tool_input_end(struct tool *t);                             /* half-close */
void tool_resume(struct tool *t);                                /* on_output may be offered the rest */
/* For the process image that takes over: can_save only while the program runs. restore: call tool_resume once its
 * owner can take output; NULL if its session is gone. */
bool tool_can_save(const struct tool *t);
void tool_save(const struct tool *t, struct pack *p);
struct tool *tool_restore(struct gateway *g, struct container *c, const struct tool_ops *ops, void *ctx, struct unpack *u);
/* No more callbacks; the program is killed. NULL is fine. */
void tool_cancel(struct tool *t);

#endif
