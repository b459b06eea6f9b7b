/* run_api - run.googleapis.com v2: paths, verbs and query parameters to functions. */
#ifndef EMULATOR_RUN_API_H
#define EMULATOR_RUN_API_H

#include "emulator.h"

/* path begins with "/v2/projects/"; body is "" if there was none. Answers. */
void run_api_handle(struct emulator *emu, struct exchange *x, const char *body, size_t len);

#endif
