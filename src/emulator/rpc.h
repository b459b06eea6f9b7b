/* rpc - how Google's APIs say no, and how every answer leaves: status codes, error bodies with
 * details (AIP-193), JSON replies. Nothing here knows about jobs or logs. */
#ifndef EMULATOR_RPC_H
#define EMULATOR_RPC_H

#include <jansson.h>

#include "net/http_server.h"

/* google.rpc.Code */
enum rpc_code {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_INVALID_ARGUMENT = 3,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_NOT_FOUND = 5,
	RPC_ALREADY_EXISTS = 6,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_FAILED_PRECONDITION = 9,
	RPC_ABORTED = 10,
	RPC_OUT_OF_RANGE = 11,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
	RPC_UNAUTHENTICATED = 16,
};

#define RPC_MESSAGE_MAX 1024

/* Zero it to begin with. Filled by whoever fails, consumed by rpc_reply_error. */
struct rpc_error {
	enum rpc_code code;
	char message[RPC_MESSAGE_MAX];
	json_t *violations; /* BadRequest.fieldViolations; ours, may be NULL */
};

/* Both return -1. */
int rpc_fail(struct rpc_error *e, enum rpc_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* INVALID_ARGUMENT about one field: "Violation in <field>: <description>". */
int rpc_violation(struct rpc_error *e, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* As the JSON front end says it: message and description are the same sentence. */
int rpc_bad_json(struct rpc_error *e, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

const char *rpc_status_name(int http_status);

void rpc_reply(struct exchange *x, json_t *body);                   /* 200; takes body */
void rpc_reply_error(struct exchange *x, struct rpc_error *e);      /* releases what e holds */
void rpc_reply_status(struct exchange *x, int http_status, const char *message);

/* Set a member unless it has proto3's default value, which the JSON mapping omits. */
void rpc_put_string(json_t *o, const char *key, const char *value); /* NULL and "" are omitted */
void rpc_put_int(json_t *o, const char *key, json_int_t value);
void rpc_put_time(json_t *o, const char *key, int64_t wall_ns);     /* 0 is omitted; microseconds */

#endif
