/* A record through its annotations: sizes, pieces, what is cut, and what somebody else may have written there. */
#include <criterion/criterion.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/token.h"
#include "cloud/job_record.h"

#define KUBERNETES_MAX (256 * 1024)

static json_t *record(json_t *env)
{
	return json_pack("{s:{s:s, s:{s:o, s:[s]}, s:{}}}", "container", "name", "na\xc3\xafve \"\\\n\x01", "config",
			 "Env", env, "Cmd", "echo", "hostConfig");
}

/* n bytes that do not compress, as a JSON string. */
static json_t *noise(size_t n)
{
	AUTO_FREE char *hex = xmalloc(n + 1);

	random_hex(hex, n);
	return json_string(hex);
}

static size_t total(json_t *annotations)
{
	const char *key;
	size_t n = 0;
	json_t *v;

	json_object_foreach(annotations, key, v) {
		cr_expect(json_string_length(v) <= JOB_RECORD_PIECE_MAX);
		cr_expect(strspn(key, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(key) && strlen(key) <= 63, "%s", key);
		n += strlen(key) + json_string_length(v);
	}
	return n;
}

/* What comes back; *ret_bytes: what it took. */
static json_t *round_trip(json_t *r, size_t budget, size_t *ret_bytes)
{
	json_t *annotations = json_object(), *back;
	struct err err = {0};

	cr_assert_eq(job_record_write(annotations, JOB_RECORD_PREFIX, r, budget, &err), 0, "%s", err.msg);
	*ret_bytes = total(annotations);
	back = job_record_read(annotations, JOB_RECORD_PREFIX, &err);
	cr_assert(back != NULL, "%s", err.msg);
	json_decref(annotations);
	return back;
}

Test(job_record, comes_back_as_it_was)
{
	json_t *r = record(json_pack("[s, s]", "A=\xf0\x9f\x98\x80", "B=")), *back;
	size_t n;

	back = round_trip(r, JOB_RECORD_TOTAL_MAX, &n);
	cr_expect(json_equal(r, back));
	cr_expect(!json_object_get(back, "cut"));
	cr_expect(n < 400, "%zu", n);
	json_decref(r);
	json_decref(back);
}

Test(job_record, a_long_one_is_in_pieces)
{
	json_t *r = record(json_pack("[o]", noise(150 * 1024))), *back;
	size_t n;

	back = round_trip(r, JOB_RECORD_TOTAL_MAX, &n);
	cr_expect(json_equal(r, back));
	cr_expect(!json_object_get(back, "cut"));
	cr_expect(n > 4 * JOB_RECORD_PIECE_MAX && n < KUBERNETES_MAX, "%zu", n);
	json_decref(r);
	json_decref(back);
}

Test(job_record, what_does_not_fit_is_left_out_and_named)
{
	json_t *r = record(json_pack("[o]", noise(1024 * 1024))), *back;
	size_t n;

	back = round_trip(r, JOB_RECORD_TOTAL_MAX, &n);
	cr_expect(n < KUBERNETES_MAX);
	cr_expect_str_eq(json_string_value(json_array_get(json_object_get(back, "cut"), 0)), "Env");
	cr_expect_eq(json_array_size(json_object_get(back, "cut")), 1, "no more than needed");
	json_t *c = json_object_get(back, "container");

	cr_expect_str_eq(json_string_value(json_object_get(c, "name")), "na\xc3\xafve \"\\\n\x01");
	cr_expect(json_object_get(json_object_get(c, "config"), "Cmd"));
	json_decref(r);
	json_decref(back);
}

Test(job_record, too_long_at_all_is_refused_and_leaves_nothing)
{
	json_t *annotations = json_object(), *r = json_pack("{s:{s:o}}", "container", "name", noise(1024 * 1024));
	struct err err = {0};

	cr_expect_eq(job_record_write(annotations, JOB_RECORD_PREFIX, r, JOB_RECORD_TOTAL_MAX, &err), -1);
	cr_expect_eq(err.kind, ERR_LIMIT);
	cr_expect_eq(json_object_size(annotations), 0);
	json_decref(r);
	json_decref(annotations);
}

static void expect_refused(json_t *annotations, enum err_kind kind)
{
	struct err err = {0};

	cr_expect(job_record_read(annotations, JOB_RECORD_PREFIX, &err) == NULL);
	cr_expect_eq(err.kind, kind, "%d %s", err.kind, err.msg);
	json_decref(annotations);
}

Test(job_record, hostile_annotations_are_refused)
{
	json_t *r = record(json_pack("[o]", noise(60 * 1024))), *good = json_object(), *bad;
	const char *first;
	struct err err;

	cr_assert_eq(job_record_write(good, JOB_RECORD_PREFIX, r, JOB_RECORD_TOTAL_MAX, &err), 0);
	expect_refused(json_object(), ERR_NOT_FOUND);
	expect_refused(json_pack("{s:s}", JOB_RECORD_PREFIX "_1", ""), ERR_INVALID);
	expect_refused(json_pack("{s:s}", JOB_RECORD_PREFIX "_1", "not base64!"), ERR_INVALID);
	expect_refused(json_pack("{s:s}", JOB_RECORD_PREFIX "_1", "AAAA"), ERR_INVALID);
	expect_refused(json_pack("{s:i}", JOB_RECORD_PREFIX "_1", 5), ERR_NOT_FOUND);
	bad = json_copy(good); /* a piece is gone */
	json_object_del(bad, JOB_RECORD_PREFIX "_2");
	expect_refused(bad, ERR_INVALID);
	bad = json_copy(good); /* the last piece is cut short */
	json_object_set_new(bad, JOB_RECORD_PREFIX "_3", json_string("AAAA"));
	expect_refused(bad, ERR_INVALID);
	bad = json_copy(good); /* one character is another */
	first = json_string_value(json_object_get(good, JOB_RECORD_PREFIX "_1"));
	json_object_set_new(bad, JOB_RECORD_PREFIX "_1", json_sprintf("%.100s%c%s", first, first[100] == 'A' ? 'B' : 'A', first + 101));
	expect_refused(bad, ERR_INVALID);
	json_decref(r);
	json_decref(good);
}

/* 20 MB of blanks are 20 kB when they are packed. */
Test(job_record, a_bomb_is_not_unpacked)
{
	size_t n = 20 * 1024 * 1024;
	AUTO_FREE char *text = xmalloc(n + 1), *coded = NULL;
	uLongf packed_len = compressBound(n);
	AUTO_FREE uint8_t *packed = xmalloc(packed_len);
	json_t *annotations = json_object();

	memset(text, ' ', n);
	memcpy(text + n - 23, "{\"v\":1,\"container\":{}} ", 23);
	cr_assert_eq(compress(packed, &packed_len, (Bytef *)text, n), Z_OK);
	coded = xmalloc(base64_encoded_len(packed_len) + 1);
	base64_encode(packed, packed_len, coded);
	for (size_t i = 0; i * JOB_RECORD_PIECE_MAX < strlen(coded); i++) {
		AUTO_FREE char *key = xasprintf("%s_%zu", JOB_RECORD_PREFIX, i + 1);

		json_object_set_new(annotations, key, json_sprintf("%.*s", JOB_RECORD_PIECE_MAX, coded + i * JOB_RECORD_PIECE_MAX));
	}
	expect_refused(annotations, ERR_INVALID);
}
