/* sign - signatures that prove who we are: RS256 for JSON web tokens, HMAC-SHA256 for Amazon's requests, and
 * the encodings around them. Pure; beside token, tls and conn the only user of OpenSSL. */
#ifndef AUTH_SIGN_H
#define AUTH_SIGN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/token.h"

/* A PEM text that holds an RSA private key of at least 2048 bits? The sentence quotes nothing of it. */
int sign_check_key(const char *pem, struct err *err);
/* RFC 7515: header.claims.signature; caller frees. header gets alg RS256 and typ. Both JSON values are stolen. */
char *sign_jwt(const char *pem, json_t *header, json_t *claims, struct err *err);
/* Percent-encoding of everything but letters, digits and -_.~ and what is in `also`; caller frees. */
char *sign_percent_encode(const char *s, const char *also);

#endif
