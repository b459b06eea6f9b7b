/* store - documents by kind and key, with compare-and-set. A small interface on purpose: SQLite (WAL)
 * implements it for one gateway, a distributed store can for several. Synchronous; every write is in
 * the operating system's hands when it returns, so a killed process loses nothing. */
#ifndef STATE_STORE_H
#define STATE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define STORE_DOCUMENT_MAX (8 * 1024 * 1024)

struct store;
struct store *store_open(const char *path, struct err *err); /* creates it; refuses a newer schema */
void store_close(struct store *s);

/* The document (caller frees) and its version (>= 1); NULL with ERR_NOT_FOUND or ERR_SYSTEM. */
char *store_get(struct store *s, const char *kind, const char *key, uint64_t *ret_version,
		struct err *err);
/* Write if the present version is `expected` (0 = must not exist): the new version in *ret_version,
 * or ERR_CONFLICT and nothing written. */
int store_put(struct store *s, const char *kind, const char *key, const char *doc,
	      uint64_t expected, uint64_t *ret_version, struct err *err);
int store_delete(struct store *s, const char *kind, const char *key, struct err *err); /* absent is fine */
/* Every document of a kind, by key. fn returns 0 to go on. Writing inside fn is not allowed. */
int store_scan(struct store *s, const char *kind,
	       int (*fn)(void *ctx, const char *key, const char *doc, uint64_t version), void *ctx,
	       struct err *err);

#endif
