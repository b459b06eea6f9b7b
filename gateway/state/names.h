/* names - a name for a container that was given none, and the rule that every name must keep. */
#ifndef STATE_NAMES_H
#define STATE_NAMES_H

#include <stdbool.h>

#define NAME_GENERATED_MAX 48

/* "adjective_noun"; retry > 0 appends a number, because the plain ones run out. */
void name_generate(char out[NAME_GENERATED_MAX], unsigned retry);
bool name_valid(const char *name); /* [a-zA-Z0-9][a-zA-Z0-9_.-]+ */

#endif
