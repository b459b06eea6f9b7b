/* logging_api - logging.googleapis.com v2: entries:list and entries:write. */
#ifndef EMULATOR_LOGGING_API_H
#define EMULATOR_LOGGING_API_H

#include "emulator.h"

void logging_list(struct emulator *emu, struct exchange *x, const char *body, size_t len);
void logging_write(struct emulator *emu, struct exchange *x, const char *body, size_t len);

#endif
