/* api - the one listener: injected errors, credentials, and which of the services is meant. */
#ifndef EMULATOR_API_H
#define EMULATOR_API_H

#include "emulator.h"

void api_handle(struct exchange *x, void *emulator); /* an http_handler */

#endif
