/* path - paths as text, without asking any file system. Pure. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

/* Go's filepath.Clean: no "//", "/./" or "x/../", no slash at the end; "" is ".". An absolute path never leads above
 * "/". Caller frees. */
char *path_clean(const char *path);

#endif
