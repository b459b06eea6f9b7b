/* detach_keys - the key sequence by which a terminal's user leaves a container running. Pure.
 * Keys held back while they may still become the sequence are passed on as soon as they cannot. */
#ifndef DETACH_KEYS_H
#define DETACH_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DETACH_KEYS_MAX 32

struct detach_keys {
	uint8_t key[DETACH_KEYS_MAX];
	size_t n;      /* 0 = no sequence: everything passes */
	size_t seen;   /* how many of them have been typed */
};

/* "ctrl-p,ctrl-q", "a,b", "DEL"; NULL or "" is Docker's default. ERR_INVALID otherwise. */
int detach_keys_parse(struct detach_keys *k, const char *spec, struct err *err);
/* What of in[0..n) the process gets: at most n + DETACH_KEYS_MAX bytes into out. *ret_detach: the
 * sequence is complete; what followed it is dropped. */
size_t detach_keys_scan(struct detach_keys *k, const uint8_t *in, size_t n, uint8_t *out, bool *ret_detach);
/* The input has ended: hand over what is held back. */
size_t detach_keys_flush(struct detach_keys *k, uint8_t out[DETACH_KEYS_MAX]);

#endif
