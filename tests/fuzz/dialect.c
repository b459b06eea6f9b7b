/* fuzz: the predecessor's messages. What decodes and can be said again decodes to the same thing. */
#include "../../agent-proto/dialect.c"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_lists(const struct strv *a, const struct strv *b)
{
	assert(a->n == b->n);
	for (size_t i = 0; i < a->n; i++)
		assert(!strcmp(a->v[i], b->v[i]));
}

static bool same(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct dialect_message m, again;
	uint8_t *copy = malloc(n ? n : 1); /* exact, so that reading past the end is noticed */
	struct buf text;

	memcpy(copy, p, n);
	if (dialect_decode(copy, n, &m, NULL) == 0) {
		buf_init(&text, DIALECT_MESSAGE_MAX);
		assert(dialect_encode(&m, &text, NULL) == 0);
		assert(dialect_decode(buf_head(&text), text.len, &again, NULL) == 0);
		assert(m.type == again.type && m.tty == again.tty && m.code == again.code && m.width == again.width &&
		       m.height == again.height && m.has_code == again.has_code && m.data_len == again.data_len);
		assert(!m.data_len || !memcmp(m.data, again.data, m.data_len));
		assert(same(m.id, again.id) && same(m.workdir, again.workdir) && same(m.signal, again.signal) &&
		       same(m.message, again.message) && same(m.type_name, again.type_name));
		check_lists(&m.cmd, &again.cmd);
		check_lists(&m.env, &again.env);
		dialect_release(&again);
		buf_release(&text);
		dialect_release(&m);
	}
	free(copy);
	return 0;
}
