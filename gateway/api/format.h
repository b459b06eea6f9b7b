/* format - Docker's way of saying things to people. Pure. */
#ifndef API_FORMAT_H
#define API_FORMAT_H

#include <jansson.h>
#include <stdint.h>

#define FORMAT_DURATION_MAX 32
/* "Less than a second", "5 seconds", "About a minute", "3 hours", "2 weeks". */
char *format_duration(int64_t ns, char out[FORMAT_DURATION_MAX]);
/* "sh -c 'sleep 100'": words with a blank in them are quoted, the first one never; caller frees. */
char *format_command(json_t *entrypoint, json_t *cmd);

#endif
