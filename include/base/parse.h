/* parse - text from outside into values; every function says what it refuses, none guesses. */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

int parse_i64(const char *s, int64_t *ret);                 /* whole string, decimal; 0 or -1 */
int parse_duration_ms(const char *s, int64_t *ret_ms);      /* Go: "500ms", "1m30s", "2h", "0" */
int parse_size(const char *s, int64_t *ret_bytes);          /* "512MiB", "4g", "100": powers of 1024 */
/* Docker's query booleans: "", "0", "no", "false", "none" in any case (and NULL) are false. */
bool parse_docker_bool(const char *s);
/* Docker's since/until: unix seconds with an optional fraction, or RFC 3339. 0 or -1. */
int parse_docker_time(const char *s, int64_t *ret_ns);
/* Docker's "until" filters: the same, or a date with as much of its time as is given ("2024-05-01",
 * "2024-05-01T10:00", in UTC), or a duration before now. 0 or -1. */
int parse_docker_until(const char *s, int64_t now_ns, int64_t *ret_ns);
/* Signal by number ("9") or name with or without SIG ("KILL", "SIGRTMIN+3"): 1..64, or -1. */
int parse_signal(const char *s);
const char *signal_name(int sig); /* "SIGTERM"; "SIG34" style for the unnamed */

/* Percent-decoding in place; returns the new length, or -1 on a broken escape or an embedded NUL. */
int parse_percent_decode(char *s);
/* The decoded value of key in a raw query string; NULL if absent; caller frees. */
char *parse_query(const char *query, const char *key);
void parse_query_all(const char *query, const char *key, struct strv *ret); /* every one, in their order */

size_t base64_encoded_len(size_t n);                         /* without the NUL */
void base64_encode(const void *p, size_t n, char *out);      /* standard, padded, NUL-terminated */
/* Standard and URL alphabets, padded or not. Bytes the caller frees, or NULL. */
uint8_t *base64_decode(const char *s, size_t *ret_len);

#endif
