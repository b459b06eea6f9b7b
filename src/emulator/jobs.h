/* jobs - the requests about jobs, and what a job looks like. */
#ifndef EMULATOR_JOBS_H
#define EMULATOR_JOBS_H

#include "store.h"

#define EMULATED_USER "user@example.com"

json_t *job_json(const struct job *j);

/* parent: "projects/P/locations/L"; body as parsed JSON, NULL if none */
void jobs_create(struct emulator *emu, struct exchange *x, const char *project,
		 const char *location, const json_t *body);
void jobs_get(struct emulator *emu, struct exchange *x, const char *name);
void jobs_list(struct emulator *emu, struct exchange *x, const char *parent);
void jobs_patch(struct emulator *emu, struct exchange *x, const char *project,
		const char *location, const char *id, const json_t *body);
void jobs_delete(struct emulator *emu, struct exchange *x, const char *name);
void jobs_run(struct emulator *emu, struct exchange *x, const char *name, const json_t *body);

#endif
