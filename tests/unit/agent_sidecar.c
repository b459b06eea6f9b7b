/* agent_sidecar - installing, the probe, the life line. The sidecar runs in a child process. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/agent/sidecar.h"
#include "base/mem.h"
#include "net/listen.h"

static char dir[] = "/tmp/agent-sidecar-XXXXXX";
static uint16_t port;
static pid_t sidecar;

static int dial(uint16_t to)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(to),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Two ports in a row that are free now. */
static uint16_t free_ports(void)
{
	for (;;) {
		int a = listen_tcp("127.0.0.1", 0, false, NULL), b;
		uint16_t p = listen_port(a);

		b = p < 65535 ? listen_tcp("127.0.0.1", p + 1, false, NULL) : -1;
		close(a);
		if (b < 0)
			continue;
		close(b);
		return p;
	}
}

static void start(void)
{
	int fd, status;

	cr_assert(mkdtemp(dir));
	port = free_ports();
	sidecar = fork();
	if (sidecar == 0)
		_exit(sidecar_run(dir, "/etc/hostname", port));
	while ((fd = dial(port)) < 0) {
		cr_assert_eq(waitpid(sidecar, &status, WNOHANG), 0, "it ended early");
		usleep(1000);
	}
	close(fd);
}

static void ends_with_0(void)
{
	int status;

	cr_assert_eq(waitpid(sidecar, &status, 0), sidecar);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static mode_t mode_of(const char *name)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	cr_assert_eq(stat(path, &st), 0, "%s", path);
	return st.st_mode & 07777;
}

static void clean_up(void)
{
	static const char *const names[] = {"sockerless-agent", "ca-certificates.crt"};

	for (int i = 0; i < 2; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, names[i]);

		unlink(path);
	}
	cr_assert_eq(rmdir(dir), 0, "something else is left in %s", dir);
}

TestSuite(sidecar, .timeout = 30);

Test(sidecar, the_probe_answers_when_everything_is_in_place)
{
	start();
	cr_assert_eq(mode_of("sockerless-agent"), 0755);
	cr_assert_eq(mode_of("ca-certificates.crt"), 0644);
	kill(sidecar, SIGTERM);
	ends_with_0();
	clean_up();
}

Test(sidecar, it_ends_when_the_life_line_closes_and_not_before)
{
	int a, b;

	start();
	a = dial(port + 1);
	b = dial(port + 1);
	close(a);
	close(dial(port)); /* the probe goes on being answered */
	cr_assert_eq(waitpid(sidecar, NULL, WNOHANG), 0);
	close(b);
	ends_with_0();
	clean_up();
}

Test(sidecar, installing_again_replaces_what_is_there)
{
	struct err err;

	cr_assert(mkdtemp(dir));
	for (int i = 0; i < 2; i++)
		cr_assert_eq(sidecar_install(dir, "/etc/hostname", &err), 0, "%s", err.msg);
	clean_up();
	cr_assert_eq(sidecar_install("/proc/no/such", "/etc/hostname", &err), -1);
	cr_assert(strstr(err.msg, "mkdir /proc/no/such"));
}

Test(sidecar, a_ca_file_that_was_named_must_be_there)
{
	struct err err;

	cr_assert(mkdtemp(dir));
	cr_assert_eq(sidecar_install(dir, "/no/such/ca", &err), -1);
	cr_assert(strstr(err.msg, "install the CA bundle: open /no/such/ca"), "%s", err.msg);
	clean_up();
}
