/* socket - options and addresses of one connected socket (net/socket.h). */
#include "net/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define KEEPALIVE_IDLE_S 60    /* a vanished TCP peer is noticed after 60 + 4 * 15 seconds */
#define KEEPALIVE_EVERY_S 15
#define KEEPALIVE_PROBES 4

/* Not by TCP_USER_TIMEOUT: a client that only does not read (docker logs | less) would be cut by it as well. */
void socket_tune(int fd)
{
	static const int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S,
			 probes = KEEPALIVE_PROBES;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

void socket_give_up_after(int fd, unsigned ms)
{
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)); /* a unix socket does not mind */
}

size_t socket_queue(int fd)
{
	int n = 0;

	return ioctl(fd, TIOCOUTQ, &n) < 0 || n < 0 ? 0 : (size_t)n; /* SIOCOUTQ by its other name */
}

void socket_peer(int fd, char peer[SOCKET_PEER_MAX])
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	char ip[INET6_ADDRSTRLEN] = "?";

	snprintf(peer, SOCKET_PEER_MAX, "unix");
	if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
		return;
	if (ss.ss_family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&ss;

		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		snprintf(peer, SOCKET_PEER_MAX, "%s:%u", ip, ntohs(in->sin_port));
	} else if (ss.ss_family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
		bool v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		inet_ntop(v4 ? AF_INET : AF_INET6, in6->sin6_addr.s6_addr + (v4 ? 12 : 0), ip, sizeof(ip));
		snprintf(peer, SOCKET_PEER_MAX, v4 ? "%s:%u" : "[%s]:%u", ip, ntohs(in6->sin6_port));
	}
}

bool socket_is_near(int fd)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;
	uint32_t v4 = 0;

	if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
		return false;
	if (ss.ss_family == AF_INET)
		v4 = ntohl(((const struct sockaddr_in *)&ss)->sin_addr.s_addr);
	else if (ss.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		v4 = ntohl(in6->sin6_addr.s6_addr32[3]);
	else if (ss.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
	return ss.ss_family == AF_UNIX || v4 >> 24 == 127 || v4 >> 16 == (169u << 8 | 254);
}
