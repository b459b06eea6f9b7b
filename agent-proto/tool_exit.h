/* tool_exit - how `sockerless-agent tool ...` ends; the gateway makes an error of it (agents/tool.h).
 * A failing tool writes one sentence, without a newline at its end, to stderr. */
#ifndef AGENT_PROTO_TOOL_EXIT_H
#define AGENT_PROTO_TOOL_EXIT_H

enum tool_exit {
	TOOL_OK = 0,
	TOOL_FAILED = 1,      /* the system said no: 500 */
	TOOL_INVALID = 2,     /* the request is wrong: 400 */
	TOOL_FORBIDDEN = 3,   /* 403 */
	TOOL_NOT_FOUND = 4,   /* 404 */
	TOOL_CONFLICT = 5,    /* 409 */
};
#define TOOL_SENTENCE_MAX 1000

#endif
