/* names - what the container is called and whom it asks for names: the host name, and what docker run's
 * --hostname, --add-host and --dns options write to /etc/hostname, /etc/hosts and /etc/resolv.conf. */
#ifndef AGENT_NAMES_H
#define AGENT_NAMES_H

#include "base/mem.h"

struct names {                      /* from the configuration; all may be absent */
	char *hostname, *domainname; /* ours */
	struct strv extra_hosts;     /* "name:ip" */
	struct strv dns, dns_search, dns_options;
};

/* Once, before the main process. What cannot be had (a read-only file system, no right to it) is logged. */
void names_apply(const struct names *n, const char *etc);
void names_release(struct names *n);

#endif
