/* tool_connect - a TCP connection made in the container, its two directions on stdin and stdout. Each may end,
 * and the other goes on: the end of stdin becomes a FIN to the peer, the peer's FIN the end of stdout. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/parse.h"
#include "tool.h"

#define PIECE (64 * 1024)

static int connect_any(const struct addrinfo *list)
{
	int fd = -1, on = 1, saved = ECONNREFUSED;

	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			return fd;
		}
		saved = errno;
		if (fd >= 0)
			close(fd);
	}
	errno = saved;
	return -1;
}

/* One piece from one side to the other. 1: went well; 0: from has ended; -1: a side is broken. */
static int move(int from, int to)
{
	static char piece[PIECE];
	ssize_t n;

	do
		n = read(from, piece, sizeof(piece));
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return (int)n;
	return write_all(to, piece, (size_t)n) < 0 ? -1 : 1;
}

/* Two processes, one a direction, so that a side that does not read stops only its own. */
static int relay(int fd)
{
	struct pollfd over = {.fd = fd};
	pid_t reader = fork();
	int moved;

	if (reader < 0)
		return tool_fail(TOOL_FAILED, "fork: %s", strerror(errno));
	if (reader == 0) {
		close(STDOUT_FILENO);
		while ((moved = move(STDIN_FILENO, fd)) > 0)
			;
		shutdown(fd, moved < 0 ? SHUT_RDWR : SHUT_WR);
		_exit(TOOL_OK);
	}
	while ((moved = move(fd, STDOUT_FILENO)) > 0)
		;
	if (moved == 0) {
		close(STDOUT_FILENO);
		while (poll(&over, 1, -1) < 0 && errno == EINTR) /* until both have ended, or it breaks */
			;
	}
	kill(reader, SIGKILL);
	return TOOL_OK;
}

int tool_connect(int argc, char *argv[])
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
	int64_t port;
	int rc, fd;

	if (argc != 3 || parse_i64(argv[2], &port) < 0 || port < 1 || port > 65535)
		return tool_fail(TOOL_INVALID, "usage: connect HOST PORT");
	rc = getaddrinfo(argv[1], argv[2], &hints, &list);
	if (rc != 0)
		return tool_fail(TOOL_FAILED, "connect %s: %s", argv[1], gai_strerror(rc));
	fd = connect_any(list);
	freeaddrinfo(list);
	if (fd < 0)
		return tool_fail(TOOL_FAILED, "connect %s:%s: %s", argv[1], argv[2], strerror(errno));
	return relay(fd);
}
