/* doc - records to JSON documents and back; what container, exec and image share. Absent members read
 * as "", 0 or false, so that a record may grow members without a schema change. */
#ifndef STATE_DOC_H
#define STATE_DOC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct store;

/* A string made of bytes from outside; what is not UTF-8 becomes U+FFFD, as in dockerd's. NULL: JSON null. */
json_t *doc_text(const char *s);
json_t *doc_list(const struct strv *list);

const char *doc_str(const json_t *doc, const char *key);  /* borrowed; NULL if absent or null */
char *doc_dup(const json_t *doc, const char *key);        /* ours; NULL if absent or null */
int64_t doc_int(const json_t *doc, const char *key);
bool doc_bool(const json_t *doc, const char *key);
json_t *doc_object(const json_t *doc, const char *key);   /* new reference; NULL if absent or null */
void doc_strv(const json_t *doc, const char *key, struct strv *ret);
/* Copies into a fixed array; too long reads as empty. */
void doc_copy(const json_t *doc, const char *key, char *out, size_t size);

/* Writes and steals doc; *version is the expected one and becomes the new one. */
int doc_save(struct store *s, const char *kind, const char *key, json_t *doc, uint64_t *version,
	     struct err *err);
/* Calls fn with every record of a kind, by key. The first error ends it: fn's (-1 and err), or the sentence that
 * names a record which cannot be read. */
typedef int doc_fn(void *ctx, const char *key, json_t *doc, uint64_t version, struct err *err);
int doc_load_all(struct store *s, const char *kind, doc_fn *fn, void *ctx, struct err *err);

#endif
