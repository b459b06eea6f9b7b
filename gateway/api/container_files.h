/* container_files - where a container's file system is at the moment, and questions to it. Running, or ended
 * with its agent staying: the agent has it. Not started yet: the image, and what was copied in. Ended with its
 * execution: nobody has it. */
#ifndef API_CONTAINER_FILES_H
#define API_CONTAINER_FILES_H

#include <stdbool.h>

#include "api/request.h"
#include "image/image_files.h"

struct container;

/* fn(r, c) once no start is under way, at once if there is none; errors are answered here. */
void files_settled(struct request *r, void (*fn)(struct request *r, struct container *c));
/* The same, for a request that must have ?path=. */
void files_settled_at_path(struct request *r, void (*fn)(struct request *r, struct container *c));

bool files_with_agent(const struct container *c);
bool files_of_image(const struct container *c);
/* dockerd keeps the files of an ended container; always -1. */
int files_ended(const struct container *c, struct err *err);

/* The question is completed with what the container's record says. */
struct image_files *files_ask_image(struct gateway *g, struct container *c, enum image_files_what what,
				    const char *path, const struct image_files_ops *ops, void *ctx, struct err *err);

#endif
