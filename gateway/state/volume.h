/* volume - the records of volumes: names, labels, driver options, and where the data of each are.
 * A record is all that docker volume create makes; nothing exists at Google before a container mounts it.
 * Loop thread only. */
#ifndef STATE_VOLUME_H
#define STATE_VOLUME_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

#include "base/err.h"

#define VOLUME_DRIVER "local"
#define VOLUME_ANONYMOUS_LABEL "com.docker.volume.anonymous"

struct gateway;

enum volume_place {
	VOLUME_IN_BUCKET,     /* a folder of the bucket in SOCKERLESS_GCR_VOLUME_BUCKET */
	VOLUME_ON_NFS,        /* driver options type=nfs, o=addr=HOST, device=:/PATH */
	VOLUME_IN_MEMORY,     /* driver option type=tmpfs: empty at each start, one per execution */
	VOLUME_OF_SECRET,     /* driver options type=secret, device=SECRET[:VERSION]: read-only, one file */
	VOLUME_IN_CONTAINER,  /* of an image's VOLUME: a folder of the container's own file system */
};

struct volume {
	char *name;
	int64_t created_ns;
	json_t *labels;       /* object or NULL, as given */
	json_t *options;      /* object or NULL, as given */
	bool anonymous;       /* nobody chose its name */
	enum volume_place place;
	uint64_t version;     /* of the stored document */
	UT_hash_handle hh;
};

struct volumes;
/* Called after a volume was made or removed. */
typedef void volumes_fn(void *ctx);
void volumes_watch(struct volumes *t, volumes_fn *changed, void *ctx);
struct volumes *volumes_new(struct gateway *g, struct err *err); /* loads every record */
void volumes_free(struct volumes *t);

/* ERR_NOT_FOUND "get x: no such volume". */
struct volume *volumes_find(struct volumes *t, const char *name, struct err *err);
struct volume **volumes_list(struct volumes *t); /* by name; NULL-terminated, the caller frees the array */

/* The volume of that name, made if it is not there ("create"); an existing one stays as it is. name NULL or
 * "": a new anonymous one. labels and options are borrowed. ERR_INVALID and ERR_NOT_FOUND (driver) as dockerd. */
struct volume_new {
	const char *name, *driver;
	json_t *labels, *options;
	bool in_container;    /* an anonymous one that needs no storage */
};
struct volume *volumes_add(struct volumes *t, const struct volume_new *spec, struct err *err);
/* What another gateway needs to know it by, with its name; and back: one that is there already stays. */
json_t *volume_record(const struct volume *v);
int volumes_adopt(struct volumes *t, const json_t *record, struct err *err);
/* The IDs of the containers that mount it, as a JSON array; new reference. */
json_t *volume_users(struct volumes *t, const char *name);
/* Forgets it ("destroy"); v is gone. The data are cloud/storage's to delete. */
void volume_remove(struct volumes *t, struct volume *v);
/* ERR_INVALID unless dockerd would take the name. */
int volume_name_check(const char *name, struct err *err);
/* What a mount of v needs to know, to be stored with its container: on, and server, path, size, readOnly, or secret, version,
 * file, perm (and then rw is false). */
void volume_describe(const struct volume *v, json_t *mount);
/* "64m" and the like of mount options, in bytes; -1 if it is none. */
int64_t volume_size(const char *text);

#endif
