/* metadata - the token of the service account that this Google machine runs as (AIP-4115). */
#include <stdlib.h>
#include <strings.h>

#include "auth/fetch.h"

#define HOST "metadata.google.internal"
#define TOKEN_PATH "/computeMetadata/v1/instance/service-accounts/default/token"

void metadata_start(struct fetch *f)
{
	const char *host = getenv("GCE_METADATA_HOST"), *no_check = getenv("NO_GCE_CHECK");
	struct err err;

	if (no_check && strcasecmp(no_check, "true") == 0) {
		err_set(&err, ERR_SYSTEM, "no Google credentials: GOOGLE_APPLICATION_CREDENTIALS names no file, gcloud has left "
			"none (gcloud auth application-default login), and NO_GCE_CHECK forbids the metadata server");
		fetch_fail(f, &err);
		return;
	}
	fetch_header(f, xstrdup("Metadata-Flavor: Google"));
	fetch_ask(f, "GET", xasprintf("http://%s" TOKEN_PATH, host && *host ? host : HOST), NULL, fetch_oauth_step);
}
