/* rtnl - the six rtnetlink requests that a task's network needs. Blocking, one request at a time;
 * a socket belongs to the network namespace in which it was opened, whoever uses it later. */
#ifndef EMULATOR_RTNL_H
#define EMULATOR_RTNL_H

#include <netinet/in.h>

#include "base/err.h"

int rtnl_open(struct err *err); /* in the calling thread's namespace; the fd, or -1 */
/* All below: 0, or -1 with err (err->code is the errno). */
int rtnl_link_up(int sock, const char *dev, struct err *err);
int rtnl_link_del(int sock, const char *dev, struct err *err);
/* A veth pair: dev here, peer in the namespace that peer_ns_fd refers to. */
int rtnl_veth_add(int sock, const char *dev, const char *peer, int peer_ns_fd, struct err *err);
int rtnl_addr_add(int sock, const char *dev, struct in_addr addr, struct err *err); /* as a /32 */
/* dst/32 on the link (no gateway), or the default route through gateway. */
int rtnl_route_add(int sock, const char *dev, struct in_addr dst, struct err *err);
int rtnl_default_route_add(int sock, const char *dev, struct in_addr gateway, struct err *err);

#endif
