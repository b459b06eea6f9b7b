/* netns - the network of the tasks: one namespace each, and a link to the host.
 *
 *   task namespace                                        host
 *   lo    127.0.0.1
 *   eth0  169.254.N.x  ===== veth =====  crN-SEQ          route 169.254.N.x -> crN-SEQ
 *         default via 169.254.N.1                         crN: 169.254.N.1 = host_address
 *                                                         hub
 *   meta  route 169.254.169.254 == veth == crN-SEQ        169.254.169.254 (metadata, port 80)
 *
 * The metadata server is not in the task, whose ports are all its own. crN is one end of a veth pair
 * whose other end sits in the hub, a namespace that only the emulator holds.
 * So nothing here outlives the emulator's process, whatever kills it: the kernel removes namespaces
 * with their last descriptor or process, links with their namespace, addresses and routes with
 * their link. The name crN is also what keeps two emulators from choosing the same N. */
#ifndef EMULATOR_NETNS_H
#define EMULATOR_NETNS_H

#include <stdint.h>

#include "base/err.h"

#define NETNS_ADDRESSES 253 /* x in 2..254: how many tasks can have a network at a time */
#define NETNS_METADATA_ADDRESS "169.254.169.254"

struct network {
	int host_ns;           /* fd of the namespace the emulator lives in */
	int hub_ns;            /* holds the other end of crN, and where the metadata is served */
	int host_rtnl, hub_rtnl;
	int n;
	char host_address[16]; /* 169.254.N.1 */
	unsigned next;         /* where the search for a free x begins */
	unsigned seq;
	uint8_t used[256];     /* by x */
};

struct netns {
	int fd;                /* -1: not made */
	int metadata_fd;       /* listening on 169.254.169.254:80 for this task; whoever serves it takes it */
	int x;
	char device[16];       /* the host's end, and the hub's */
	char address[16];      /* the task's */
};

int network_init(struct network *net, struct err *err);
void network_release(struct network *net);

/* Reserve an address (loop thread). 0, or -1 when all are in use. */
int netns_reserve(struct network *net, struct netns *ns);
/* Make it / unmake it: blocking, a few ms, for a worker thread. Unmake accepts a half-made one. */
int netns_make(struct network *net, struct netns *ns, struct err *err);
void netns_unmake(struct network *net, struct netns *ns);
void netns_unreserve(struct network *net, struct netns *ns); /* loop thread */

/* A non-blocking TCP socket that lives in the namespace. Any thread, microseconds. */
int netns_socket(struct network *net, const struct netns *ns, struct err *err);

#endif
