/* wire - see wire.h. Each exchange has a struct passage as its user pointer from its body to its answer. */
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/defer.h"
#include "rpc.h"

#define BODY_MAX (32 * 1024 * 1024)

struct passage {
	struct emulator *emu;
	struct exchange *x;
	wire_handler *handle;
	struct injection fault;    /* its strings are not ours; count 0: there is none */
	char *body;
	size_t len;
	struct timer *stall;
};

/* ---- recording -------------------------------------------------------------------------------------- */

int wire_record(struct emulator *emu, const char *file, struct err *err)
{
	emu->record = fopen(file, "ae");
	return emu->record ? 0 : err_sys(err, errno, "open %s", file);
}

static void record(const struct passage *p, int status, const char *body, size_t len)
{
	const char *agent = exchange_header(p->x, "User-Agent");
	json_t *o;

	if (!p->emu->record || strncmp(exchange_path(p->x), "/emulator/", 10) == 0)
		return;
	o = json_pack("{s:s, s:s, s:s, s:s, s:o, s:i, s:o}", "agent", agent ? agent : "", "method", exchange_method(p->x),
		      "path", exchange_path(p->x), "query", exchange_query(p->x), "request", json_stringn(p->body, p->len),
		      "status", status, "response", json_stringn(body ? body : "", len));
	if (!o)
		return; /* not UTF-8: no JSON of ours */
	json_dumpf(o, p->emu->record, JSON_COMPACT);
	fputc('\n', p->emu->record);
	fflush(p->emu->record);
	json_decref(o);
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static void passage_free(struct passage *p)
{
	timer_cancel(&p->stall);
	exchange_set_user(p->x, NULL);
	free(p->body);
	free(p);
}

void wire_forget(struct exchange *x)
{
	if (exchange_user(x))
		passage_free(exchange_user(x));
}

static void on_close(struct exchange *x, void *ctx)
{
	wire_forget(x);
}

/* RetryInfo is where clients of gRPC look, Retry-After where the others do. */
static char *refusal(const struct injection *in)
{
	json_t *error = json_pack("{s:{s:i, s:s, s:s}}", "error", "code", in->status, "message", "Injected by the emulator.",
				  "status", rpc_status_name(in->status));
	char *text;

	if (in->retry_after_s)
		json_object_set_new(json_object_get(error, "error"), "details", json_pack("[{s:s, s:o}]", "@type",
			"type.googleapis.com/google.rpc.RetryInfo", "retryDelay", json_sprintf("%ds", in->retry_after_s)));
	text = json_dumps(error, JSON_COMPACT);
	json_decref(error);
	return text;
}

static void refuse(struct exchange *x, const struct injection *in)
{
	AUTO_FREE char *text = refusal(in);

	if (in->retry_after_s)
		exchange_add_header(x, "Retry-After", "%d", in->retry_after_s);
	exchange_reply(x, in->status, "application/json; charset=UTF-8", text, strlen(text));
}

/* A body that ends in the middle: the last chunk never comes. */
static void reply_half(struct exchange *x, int status, const char *type, const char *body, size_t len)
{
	exchange_begin(x, status, type);
	if (len > 1)
		exchange_write(x, body, len / 2);
	exchange_abort(x);
}

void wire_reply(struct exchange *x, int status, const char *type, const char *body, size_t len)
{
	struct passage *p = exchange_user(x);
	struct injection fault = p ? p->fault : (struct injection){0};

	if (p) {
		record(p, status, body, len);
		passage_free(p);
	}
	if (fault.count && fault.half)
		reply_half(x, status, type, body, len);
	else if (fault.count && fault.after && fault.status == 0)
		exchange_abort(x);
	else if (fault.count && fault.after && fault.status > 0)
		refuse(x, &fault);
	else
		exchange_reply(x, status, type, body, len);
}

/* ---- requests --------------------------------------------------------------------------------------- */

static void proceed(void *ctx)
{
	struct passage *p = ctx;
	struct exchange *x = p->x;
	struct injection fault = p->fault;

	p->stall = NULL;
	if (!fault.count || fault.after || fault.half || fault.status < 0) {
		p->handle(p->emu, x, p->body, p->len);
		return;
	}
	if (fault.status > 0) {
		AUTO_FREE char *text = refusal(&fault);

		record(p, fault.status, text, strlen(text));
	}
	passage_free(p);
	if (fault.status == 0)
		exchange_abort(x);
	else
		refuse(x, &fault);
}

static void with_body(struct exchange *x, void *ctx, const char *body, size_t len)
{
	struct passage *p = exchange_user(x);

	p->body = xmalloc(len + 1);
	memcpy(p->body, body, len);
	p->body[len] = '\0';
	p->len = len;
	if (p->fault.count && p->fault.stall_ms)
		p->stall = timer_start(p->emu->loop, p->fault.stall_ms, proceed, p);
	else
		proceed(p);
}

void wire_receive(struct emulator *emu, struct exchange *x, wire_handler *handle)
{
	struct passage *p = xcalloc(1, sizeof(*p));

	p->emu = emu;
	p->x = x;
	p->handle = handle;
	if (strncmp(exchange_path(x), "/emulator/", 10) != 0)
		knobs_inject(&emu->knobs, exchange_method(x), exchange_path(x), &p->fault);
	exchange_set_user(x, p);
	exchange_on_close(x, on_close, NULL);
	exchange_collect_body(x, BODY_MAX, with_body, NULL);
}
