/* reference - image names: "busybox", "ghcr.io/a/b:1", "x@sha256:…" taken apart as Docker does. Pure. */
#ifndef IMAGE_REFERENCE_H
#define IMAGE_REFERENCE_H

#include "base/err.h"

struct reference {
	char *domain;      /* "docker.io", "127.0.0.1:5000" */
	char *path;        /* "library/busybox" */
	char *tag;         /* "latest" when neither tag nor digest was given; NULL with a digest only */
	char *digest;      /* "sha256:…" or NULL */
	char *familiar;    /* "busybox": as Docker shows it, without tag */
};
/* ERR_INVALID "invalid reference format" with Docker's wording. */
int reference_parse(const char *s, struct reference *ret, struct err *err);
void reference_release(struct reference *r);
char *reference_familiar_tagged(const struct reference *r);  /* "busybox:latest"; caller frees */
/* The host[:port] and repository to ask, with config->hub_mirror in place of Docker Hub; *ret_plain: http. */
struct config;
void reference_location(const struct reference *r, const struct config *c, char **ret_host, char **ret_repo, int *ret_plain);

#endif
