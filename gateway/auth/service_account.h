/* service_account - a key file of a service account: signs for itself. Inside gateway/auth only. */
#ifndef AUTH_SERVICE_ACCOUNT_H
#define AUTH_SERVICE_ACCOUNT_H

struct adc;
struct err;

int service_account_check(const struct adc *a, struct err *err); /* the private key can be used */

#endif
