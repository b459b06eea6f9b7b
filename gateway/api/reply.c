/* reply - see reply.h. */
#include "api/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

#define JSON_TYPE "application/json"

static int http_status(enum err_kind kind)
{
	switch (kind) {
	case ERR_INVALID:
		return 400;
	case ERR_DENIED:
		return 401;
	case ERR_FORBIDDEN:
		return 403;
	case ERR_NOT_FOUND:
		return 404;
	case ERR_CONFLICT:
		return 409;
	case ERR_NOT_MODIFIED:
		return 304;
	case ERR_LIMIT:
		return 429;
	case ERR_TIMEOUT:
		return 504;
	case ERR_UNAVAILABLE:
		return 503;
	case ERR_UNSUPPORTED:
		return 501;
	case ERR_NONE:
	case ERR_UPSTREAM:
	case ERR_SYSTEM:
		break;
	}
	return 500;
}

/* One JSON text with the newline that Go's encoder puts behind it; caller frees. */
static char *json_text(json_t *body, size_t *ret_len)
{
	size_t n = json_dumpb(body, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
	char *text = xmalloc(n + 2);

	json_dumpb(body, text, n, JSON_COMPACT | JSON_ENCODE_ANY);
	text[n] = '\n';
	text[n + 1] = '\0';
	*ret_len = n + 1;
	json_decref(body);
	return text;
}

void reply_json(struct request *r, int status, json_t *body)
{
	size_t len;
	AUTO_FREE char *text = json_text(body, &len);

	exchange_reply(r->x, status, JSON_TYPE, text, len);
	request_free(r);
}

void reply_empty(struct request *r, int status)
{
	exchange_reply(r->x, status, NULL, NULL, 0);
	request_free(r);
}

void reply_text(struct request *r, int status, const char *text)
{
	exchange_reply(r->x, status, "text/plain; charset=utf-8", text, strlen(text));
	request_free(r);
}

void reply_err(struct request *r, const struct err *err)
{
	int status = http_status(err->kind);

	if (status == 304)
		reply_empty(r, 304);
	else
		reply_json(r, status, json_pack("{s:o}", "message", reply_string(err->msg)));
}

void reply_error(struct request *r, enum err_kind kind, const char *fmt, ...)
{
	struct err err = {.kind = kind};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.msg, sizeof(err.msg), fmt, ap);
	va_end(ap);
	reply_err(r, &err);
}

void reply_begin(struct request *r, const char *content_type)
{
	exchange_begin(r->x, 200, content_type);
}

bool reply_line(struct request *r, json_t *line)
{
	size_t len;
	AUTO_FREE char *text = json_text(line, &len);

	return exchange_write(r->x, text, len);
}

void reply_end(struct request *r)
{
	exchange_end(r->x);
	request_free(r);
}

json_t *reply_string(const char *s)
{
	json_t *ret = json_string(s ? s : "");
	AUTO_FREE char *clean = ret ? NULL : utf8_clean(s, strlen(s), NULL);

	return ret ? ret : json_string(clean);
}
