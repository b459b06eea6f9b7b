/* dialect - see dialect.h. Reading is jansson's; writing is done here, because most of what is written
 * is base64, which needs no second look. */
#include "dialect.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>

#include "base/parse.h"
#include "base/utf8.h"

static const char *const type_names[] = {
	[DIALECT_EXEC] = "exec",       [DIALECT_ATTACH] = "attach", [DIALECT_STDIN] = "stdin",
	[DIALECT_CLOSE_STDIN] = "close_stdin", [DIALECT_SIGNAL] = "signal", [DIALECT_RESIZE] = "resize",
	[DIALECT_STDOUT] = "stdout",   [DIALECT_STDERR] = "stderr", [DIALECT_EXIT] = "exit",
	[DIALECT_ERROR] = "error",     [DIALECT_HEALTH] = "health",
	[DIALECT_LIFETIME_EXPIRED] = "lifetime_expired",
};

static enum dialect_type type_of(const char *name)
{
	for (int i = 0; i < DIALECT_UNKNOWN; i++)
		if (!strcmp(type_names[i], name))
			return (enum dialect_type)i;
	return DIALECT_UNKNOWN;
}

const char *dialect_signal_name(int number)
{
	static const int known[] = {SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i] == number)
			return signal_name(number);
	return NULL;
}

/* ---- writing ------------------------------------------------------------------------------------ */

bool dialect_can_carry(const char *s)
{
	for (size_t n = s ? strlen(s) : 0, len; n; s += len, n -= len) {
		len = utf8_char(s, n);
		if (!len)
			return false;
	}
	return true;
}

/* As Go writes it: <, > and & are escaped, for they might end up in a web page. */
static int put_string(struct buf *out, const char *s)
{
	const uint8_t *p = (const uint8_t *)s, *from = p;
	int rc = buf_append(out, "\"", 1);

	for (; rc == 0 && *p; p++) {
		if (*p >= 0x20 && !strchr("\"\\<>&", *p))
			continue;
		if (p > from)
			rc = buf_append(out, from, (size_t)(p - from));
		from = p + 1;
		if (rc == 0 && (*p == '"' || *p == '\\'))
			rc = buf_printf(out, "\\%c", *p);
		else if (rc == 0)
			rc = buf_printf(out, "\\u%04x", *p);
	}
	if (rc == 0 && p > from)
		rc = buf_append(out, from, (size_t)(p - from));
	return rc < 0 ? -1 : buf_append(out, "\"", 1);
}

static int put_text(struct buf *out, const char *key, const char *value)
{
	if (!value || !*value)
		return 0;
	return buf_printf(out, ",\"%s\":", key) < 0 ? -1 : put_string(out, value);
}

static int put_list(struct buf *out, const char *key, const struct strv *list)
{
	int rc = list->n ? buf_printf(out, ",\"%s\":[", key) : 0;

	for (size_t i = 0; rc == 0 && i < list->n; i++) {
		if (i)
			rc = buf_append(out, ",", 1);
		if (rc == 0)
			rc = put_string(out, list->v[i]);
	}
	return rc < 0 || !list->n ? rc : buf_append(out, "]", 1);
}

static int put_data(struct buf *out, const uint8_t *data, size_t n)
{
	size_t len = base64_encoded_len(n);
	uint8_t *at;

	if (!n)
		return 0;
	if (buf_append(out, ",\"data\":\"", 9) < 0 || !(at = buf_reserve(out, len + 1)))
		return -1;
	base64_encode(data, n, (char *)at);
	buf_commit(out, len);
	return buf_append(out, "\"", 1);
}

static int put_number(struct buf *out, const char *key, bool present, int number)
{
	return present ? buf_printf(out, ",\"%s\":%d", key, number) : 0;
}

static bool is_utf8(const struct dialect_message *m)
{
	bool ok = dialect_can_carry(m->id) && dialect_can_carry(m->workdir) && dialect_can_carry(m->message) &&
		  dialect_can_carry(m->signal);

	for (size_t i = 0; ok && i < m->cmd.n; i++)
		ok = dialect_can_carry(m->cmd.v[i]);
	for (size_t i = 0; ok && i < m->env.n; i++)
		ok = dialect_can_carry(m->env.v[i]);
	return ok;
}

int dialect_encode(const struct dialect_message *m, struct buf *out, struct err *err)
{
	const char *type = m->type == DIALECT_UNKNOWN ? m->type_name : type_names[m->type];

	if (!is_utf8(m) || !dialect_can_carry(type))
		return err_set(err, ERR_UNSUPPORTED, "JSON cannot carry text that is not UTF-8");
	if (buf_append(out, "{\"type\":", 8) < 0 || put_string(out, type) < 0 || put_text(out, "id", m->id) < 0 ||
	    put_list(out, "cmd", &m->cmd) < 0 || put_list(out, "env", &m->env) < 0 ||
	    put_text(out, "workdir", m->workdir) < 0 || (m->tty && buf_append(out, ",\"tty\":true", 11) < 0) ||
	    put_data(out, m->data, m->data_len) < 0 || put_text(out, "signal", m->signal) < 0 ||
	    put_number(out, "code", m->has_code, m->code) < 0 || put_text(out, "message", m->message) < 0 ||
	    put_number(out, "width", m->width, m->width) < 0 || put_number(out, "height", m->height, m->height) < 0 ||
	    buf_append(out, "}\n", 2) < 0)
		return err_set(err, ERR_LIMIT, "the message is too long");
	return 0;
}

/* ---- reading ------------------------------------------------------------------------------------ */

/* Keys are looked for as they are written; null counts as absent. NULL: not there. */
static json_t *field(json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	return json_is_null(v) ? NULL : v;
}

static int wrong(struct err *err, const char *key)
{
	return err_set(err, ERR_INVALID, "%s is of the wrong kind", key);
}

static int take_text(json_t *o, const char *key, char **ret, struct err *err)
{
	json_t *v = field(o, key);

	if (v && !json_is_string(v))
		return wrong(err, key);
	*ret = v ? xstrdup(json_string_value(v)) : NULL;
	return 0;
}

static int take_list(json_t *o, const char *key, struct strv *ret, struct err *err)
{
	json_t *v = field(o, key), *item;
	size_t i;

	if (v && !json_is_array(v))
		return wrong(err, key);
	json_array_foreach(v, i, item) {
		if (!json_is_string(item))
			return wrong(err, key);
		strv_add(ret, json_string_value(item));
	}
	return 0;
}

static int take_number(json_t *o, const char *key, int64_t low, int64_t high, int64_t *ret, struct err *err)
{
	json_t *v = field(o, key);

	*ret = 0;
	if (!v)
		return 0;
	if (!json_is_integer(v))
		return wrong(err, key);
	*ret = json_integer_value(v);
	return *ret < low || *ret > high ? err_set(err, ERR_INVALID, "%s is out of range", key) : 0;
}

static int take_data(json_t *o, struct dialect_message *m, struct err *err)
{
	json_t *v = field(o, "data");
	const char *text = json_string_value(v);

	if (v && !text)
		return wrong(err, "data");
	if (!v || !*text)
		return 0;
	m->mem = base64_decode(text, &m->data_len);
	m->data = m->mem;
	return m->mem ? 0 : err_set(err, ERR_INVALID, "data is not base64");
}

static int take_message(json_t *o, struct dialect_message *m, struct err *err)
{
	AUTO_FREE char *type = NULL;
	json_t *tty = field(o, "tty");
	int64_t code, width, height;

	if (take_text(o, "type", &type, err) < 0 || take_text(o, "id", &m->id, err) < 0 ||
	    take_list(o, "cmd", &m->cmd, err) < 0 || take_list(o, "env", &m->env, err) < 0 ||
	    take_text(o, "workdir", &m->workdir, err) < 0 || take_data(o, m, err) < 0 ||
	    take_text(o, "signal", &m->signal, err) < 0 || take_text(o, "message", &m->message, err) < 0 ||
	    take_number(o, "code", INT32_MIN, INT32_MAX, &code, err) < 0 ||
	    take_number(o, "width", 0, UINT16_MAX, &width, err) < 0 ||
	    take_number(o, "height", 0, UINT16_MAX, &height, err) < 0)
		return -1;
	if (tty && !json_is_boolean(tty))
		return wrong(err, "tty");
	m->type = type_of(type ? type : "");
	if (m->type == DIALECT_UNKNOWN)
		m->type_name = xstrdup(type ? type : "");
	m->tty = json_is_true(tty);
	m->has_code = field(o, "code") != NULL;
	m->code = (int32_t)code;
	m->width = (uint16_t)width;
	m->height = (uint16_t)height;
	return 0;
}

int dialect_decode(const void *text, size_t n, struct dialect_message *ret, struct err *err)
{
	struct dialect_message m = {0};
	json_error_t why;
	json_t *o;
	int rc;

	if (n > DIALECT_MESSAGE_MAX)
		return err_set(err, ERR_LIMIT, "a message of %zu bytes, %d is the limit", n, DIALECT_MESSAGE_MAX);
	o = json_loadb(text, n, 0, &why);
	if (!o)
		return err_set(err, ERR_INVALID, "not JSON: %s", why.text);
	rc = json_is_object(o) ? take_message(o, &m, err) : err_set(err, ERR_INVALID, "not a JSON object");
	json_decref(o);
	if (rc < 0)
		dialect_release(&m);
	else
		*ret = m;
	return rc;
}

void dialect_release(struct dialect_message *m)
{
	strv_release(&m->cmd);
	strv_release(&m->env);
	free(m->type_name);
	free(m->id);
	free(m->workdir);
	free(m->signal);
	free(m->message);
	free(m->mem);
	*m = (struct dialect_message){0};
}

/* ---- a queue of texts --------------------------------------------------------------------------- */

#define LENGTH sizeof(uint32_t)

void dialect_queue_init(struct dialect_queue *q, size_t max)
{
	*q = (struct dialect_queue){0};
	buf_init(&q->bytes, max);
}

void dialect_queue_release(struct dialect_queue *q)
{
	buf_release(&q->bytes);
}

/* What was handed out last is no longer looked at. */
static void forget_handed(struct dialect_queue *q)
{
	if (q->handed)
		buf_consume(&q->bytes, q->handed);
	q->handed = 0;
}

int dialect_queue_put(struct dialect_queue *q, const void *text, size_t n)
{
	uint32_t len = (uint32_t)n;

	forget_handed(q);
	if (n > DIALECT_MESSAGE_MAX || buf_room(&q->bytes) < LENGTH + n)
		return -1;
	buf_append(&q->bytes, &len, LENGTH);
	return buf_append(&q->bytes, text, n);
}

int dialect_queue_say(struct dialect_queue *q, const struct dialect_message *m, struct err *err)
{
	struct buf text;
	int rc;

	buf_init(&text, DIALECT_MESSAGE_MAX);
	rc = dialect_encode(m, &text, err);
	if (rc == 0 && dialect_queue_put(q, buf_head(&text), text.len) < 0)
		rc = err_set(err, ERR_LIMIT, "too much waits to be sent");
	buf_release(&text);
	return rc;
}

bool dialect_queue_next(struct dialect_queue *q, const uint8_t **ret, size_t *ret_len)
{
	uint32_t len;

	forget_handed(q);
	if (!q->bytes.len)
		return false;
	memcpy(&len, buf_head(&q->bytes), LENGTH);
	*ret = buf_head(&q->bytes) + LENGTH;
	*ret_len = len;
	q->handed = LENGTH + len;
	return true;
}
