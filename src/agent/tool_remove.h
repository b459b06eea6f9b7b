/* tool_remove - a file, or a directory with all that is in it, is unlinked. */
#ifndef AGENT_TOOL_REMOVE_H
#define AGENT_TOOL_REMOVE_H

/* name in the directory dir (or AT_FDCWD); links are not followed. 0, or -1 and errno; what is already
 * gone is no error. */
int remove_tree(int dir, const char *name);

#endif
