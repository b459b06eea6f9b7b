/* secret_ref - "SECRET[:VERSION]", as labels and volumes name a secret of Secret Manager. Pure. */
#ifndef STATE_SECRET_REF_H
#define STATE_SECRET_REF_H

#include "base/err.h"

#define SECRET_REF_RULE "want SECRET or projects/PROJECT/secrets/SECRET, and :VERSION behind it if it is not the latest"

struct secret_ref {
	char *secret;   /* "NAME" or "projects/P/secrets/NAME" */
	char *version;  /* a number, an alias, or "latest" */
};

/* -1, with nothing to release, if text is none. */
int secret_ref_parse(const char *text, struct secret_ref *ret);
void secret_ref_release(struct secret_ref *s);

#endif
