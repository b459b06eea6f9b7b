/* metadata - the metadata server, both on the API's listener and at 169.254.169.254 of each task. */
#ifndef EMULATOR_METADATA_H
#define EMULATOR_METADATA_H

#include "net/http_server.h"

struct metadata_identity {
	const char *project, *location, *instance_id;
};

void metadata_handle(struct exchange *x, const struct metadata_identity *who);
/* Project numbers are derived from the name, so that they are stable. */
long long metadata_project_number(const char *project);

#endif
