/* user - "name", "uid", "user:group" into numbers, by the image's own /etc/passwd and /etc/group.
 * The C library's look-up is not used: in a static program it would load shared parts, which an
 * empty image does not have. The rules are those of Docker's --user. */
#ifndef AGENT_USER_H
#define AGENT_USER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define USER_GROUPS_MAX 1024

struct user {
	uid_t uid;
	gid_t gid;
	gid_t *groups;  /* ours: supplementary groups, the primary one first */
	size_t n_groups;
	char *home;     /* ours: from passwd, "/" without an entry */
};

/* spec: as above, a part that is missing or "" is uid 0 or the user's own group. A number need not
 * be listed; a name must. Missing files are empty ones. On failure *ret is untouched. */
int user_resolve(const char *passwd_file, const char *group_file, const char *spec, struct user *ret,
		 struct err *err);
/* The home directory of a uid: caller frees. "/" without an entry. */
char *user_home(const char *passwd_file, uid_t uid);
/* The name of a number in a file of passwd's or group's form: caller frees. NULL without an entry. */
char *user_name_of_id(const char *file, uint32_t id);
void user_release(struct user *u);

#endif
