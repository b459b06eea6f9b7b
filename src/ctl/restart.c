/* restart - a planned restart: the answer comes from the image that takes over, so that when this program ends well the
 * new one serves. POST /internal/v1/restart answers {former, version}. */
#include <stdio.h>

#include "commands.h"

#define RESTART_PATH "/internal/v1/restart"
#define RESTART_MS 120000 /* the gateway gives up before */

int command_restart(const struct client *c, int argc, char **argv, struct err *err)
{
	struct client patient = *c;
	json_t *answer;

	if (argc != 1)
		return COMMAND_USAGE;
	patient.timeout_ms = RESTART_MS;
	if (client_request(&patient, "POST", RESTART_PATH, &answer, err) < 0)
		return COMMAND_FAILED;
	printf("version %s has taken over from %s\n", json_string_value(json_object_get(answer, "version")),
	       json_string_value(json_object_get(answer, "former")));
	json_decref(answer);
	return COMMAND_OK;
}
