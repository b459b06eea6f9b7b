/* adc - Application Default Credentials: which file, what is in it, is it complete?
 *
 * Order: $GOOGLE_APPLICATION_CREDENTIALS, gcloud's file ($CLOUDSDK_CONFIG or ~/.config/gcloud, there
 * application_default_credentials.json), the metadata server. Every sentence names the file and the field and
 * never its value. Nothing is asked of anybody. Source: AIP-4110; the types: AIP-4112, 4113, 4117. */
#ifndef AUTH_ADC_H
#define AUTH_ADC_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

enum adc_type { ADC_METADATA, ADC_SERVICE_ACCOUNT, ADC_USER, ADC_EXTERNAL, ADC_EXTERNAL_USER };

struct adc {
	char *path;              /* of the file; NULL: the metadata server */
	json_t *root;
	json_t *cred;            /* who we are: root, or its source_credentials. Borrowed */
	enum adc_type type;      /* of cred */
	char *impersonate_url;   /* ...:generateAccessToken, to become somebody else; or NULL */
	json_t *delegates;       /* the chain to there, or NULL. Borrowed */
	int64_t lifetime_s;      /* of the token from there */
	char *quota_project;     /* or NULL */
	char *universe;          /* "googleapis.com" */
};

int adc_load(struct adc *a, struct err *err); /* fills a in any case: release it */
void adc_release(struct adc *a);

/* The text at "a.b.c" below cred; NULL: absent. adc_load has refused what is not a text. */
const char *adc_text(const struct adc *a, const char *field);
json_t *adc_value(const struct adc *a, const char *field);
/* ERR_SYSTEM: "Google credentials <file>: ..." */
int adc_refuse(const struct adc *a, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A regular file of at most 256 KiB, NUL-terminated; caller frees. ERR_NOT_FOUND if there is none. */
char *adc_read_file(const char *path, size_t *ret_len, struct err *err);

#endif
