/* job_record - see job_record.h. */
#include "cloud/job_record.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/parse.h"

#define KEY_MAX 128
#define PIECES_MAX (JOB_RECORD_TOTAL_MAX / JOB_RECORD_PIECE_MAX + 1)
#define VERSION_HERE 1

/* What is left out for lack of room: where it is, and what "cut" calls it. */
static const struct {
	const char *in, *key;
} cuts[] = {
	{"config", "Env"}, {"config", "Cmd"}, {"config", "Entrypoint"}, {"config", "Labels"}, {"config", "Healthcheck"},
	{"hostConfig", "Annotations"}, {NULL, "networking"}, {NULL, "mounts"},
};

static void key_of(char key[KEY_MAX], const char *prefix, int piece)
{
	snprintf(key, KEY_MAX, "%s_%d", prefix, piece);
}

/* ---- to annotations ----------------------------------------------------------------------------- */

/* NULL: longer than budget. */
static char *encode(json_t *record, size_t budget)
{
	AUTO_FREE char *text = json_dumps(record, JSON_COMPACT);
	size_t n = strlen(text);
	uLongf packed_len = compressBound(n);
	AUTO_FREE uint8_t *packed = NULL;
	char *coded;

	if (n > JOB_RECORD_TEXT_MAX)
		return NULL;
	packed = xmalloc(packed_len);
	if (compress2(packed, &packed_len, (const Bytef *)text, n, Z_BEST_COMPRESSION) != Z_OK ||
	    base64_encoded_len(packed_len) > budget)
		return NULL;
	coded = xmalloc(base64_encoded_len(packed_len) + 1);
	base64_encode(packed, packed_len, coded);
	return coded;
}

static bool cut(json_t *record, size_t i)
{
	json_t *from = json_object_get(record, "container"), *list = json_object_get(record, "cut");

	if (cuts[i].in)
		from = json_object_get(from, cuts[i].in);
	if (json_object_del(from, cuts[i].key) < 0)
		return false;
	if (!list) {
		list = json_array();
		json_object_set_new(record, "cut", list);
	}
	json_array_append_new(list, json_string(cuts[i].key));
	return true;
}

int job_record_write(json_t *annotations, const char *prefix, json_t *record, size_t budget, struct err *err)
{
	AUTO_FREE char *coded = NULL;
	char key[KEY_MAX];
	size_t left;

	json_object_set_new(record, "v", json_integer(VERSION_HERE));
	coded = encode(record, budget);
	for (size_t i = 0; !coded && i < sizeof(cuts) / sizeof(cuts[0]); i++)
		if (cut(record, i))
			coded = encode(record, budget);
	if (!coded)
		return err_set(err, ERR_LIMIT, "the container's configuration is too long for its job's annotations");
	left = strlen(coded);
	for (const char *p = coded; left > 0;) {
		size_t n = left < JOB_RECORD_PIECE_MAX ? left : JOB_RECORD_PIECE_MAX;

		key_of(key, prefix, (int)((p - coded) / JOB_RECORD_PIECE_MAX) + 1);
		json_object_set_new(annotations, key, json_stringn(p, n));
		p += n;
		left -= n;
	}
	return 0;
}

/* ---- and back ------------------------------------------------------------------------------------- */

static char *join(const json_t *annotations, const char *prefix)
{
	char *all = NULL, key[KEY_MAX];

	for (int i = 1; i <= PIECES_MAX; i++) {
		const char *piece;
		char *longer;

		key_of(key, prefix, i);
		piece = json_string_value(json_object_get(annotations, key));
		if (!piece)
			break;
		longer = xasprintf("%s%s", all ? all : "", piece);
		free(all);
		all = longer;
	}
	return all;
}

/* The text, or NULL: no zlib stream, cut short, or longer than it may be. */
static char *unpack(const uint8_t *packed, size_t n, size_t *ret_len)
{
	size_t room = n * 8 < 4096 ? 4096 : n * 8;
	char *text = xmalloc(room);
	z_stream z = {.next_in = (Bytef *)packed, .avail_in = (uInt)n};
	int rc = inflateInit(&z);

	while (rc == Z_OK) {
		if (z.total_out == room) {
			if (room >= JOB_RECORD_TEXT_MAX)
				break;
			room = room * 2 > JOB_RECORD_TEXT_MAX ? JOB_RECORD_TEXT_MAX : room * 2;
			text = xrealloc(text, room);
		}
		z.next_out = (Bytef *)text + z.total_out;
		z.avail_out = (uInt)(room - z.total_out);
		rc = inflate(&z, Z_NO_FLUSH);
	}
	*ret_len = z.total_out;
	inflateEnd(&z);
	if (rc == Z_STREAM_END && z.avail_in == 0)
		return text;
	free(text);
	return NULL;
}

json_t *job_record_read(const json_t *annotations, const char *prefix, struct err *err)
{
	AUTO_FREE char *coded = join(annotations, prefix);
	AUTO_FREE uint8_t *packed = NULL;
	AUTO_FREE char *text = NULL;
	size_t packed_len, len;
	json_t *record = NULL;

	if (!coded) {
		err_set(err, ERR_NOT_FOUND, "the job has no annotation %s_1", prefix);
		return NULL;
	}
	packed = base64_decode(coded, &packed_len);
	text = packed ? unpack(packed, packed_len, &len) : NULL;
	if (text)
		record = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (json_integer_value(json_object_get(record, "v")) == VERSION_HERE &&
	    json_is_object(json_object_get(record, "container")))
		return record;
	err_set(err, ERR_INVALID, "the annotations %s_* of the job make no sense", prefix);
	json_decref(record);
	return NULL;
}
