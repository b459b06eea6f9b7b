/* storage_api - Cloud Storage's JSON API v1, the part for volumes: buckets (insert, get, list, delete) and objects
 * (get with alt=media too, list, delete, and insert of a small one).   /storage/v1/b[/BUCKET[/o[/OBJECT]]] */
#ifndef EMULATOR_STORAGE_API_H
#define EMULATOR_STORAGE_API_H

#include "emulator.h"
#include "net/http_server.h"

/* POST /upload/storage/v1/b/BUCKET/o?uploadType=media&name=OBJECT: the body is the object. */
void storage_api_upload(struct emulator *emu, struct exchange *x, const char *body, size_t len);
void storage_api_handle(struct emulator *emu, struct exchange *x, const char *body, size_t len);

#endif
