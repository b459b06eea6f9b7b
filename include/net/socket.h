/* socket - what is asked of the kernel about one connected socket, or told to it; TCP or unix, whoever owns the fd.
 * Nothing here fails: a unix socket knows none of TCP's options, and no option is worth a connection. Any thread. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#define SOCKET_PEER_MAX 64

void socket_tune(int fd); /* TCP: no Nagle; a peer that has vanished is noticed after two minutes */
/* TCP: a peer that confirms nothing of what was sent for so long ends the connection; so does one that takes nothing:
 * only for peers that always read. */
void socket_give_up_after(int fd, unsigned ms);
size_t socket_queue(int fd); /* bytes written that the peer's kernel has not confirmed */
void socket_peer(int fd, char peer[SOCKET_PEER_MAX]); /* "127.0.0.1:4711", "[::1]:4711" or "unix" */
bool socket_is_near(int fd); /* the peer is on this machine or on this very link: nobody is in between */

#endif
