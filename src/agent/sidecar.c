/* sidecar - see sidecar.h. */
#include "sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "agent.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/defer.h"
#include "net/listen.h"

#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

struct sidecar {
	uv_loop_t loop;
	struct listener *probe, *life;
	uv_signal_t term, intr;
	unsigned held;               /* life lines open */
};

/* Under another name first: nobody ever sees half a file, and a running copy can be replaced. */
static int copy_file(const char *from, const char *dir, const char *name, mode_t mode,
		     struct err *err)
{
	AUTO_FREE char *to = xasprintf("%s/%s", dir, name);
	AUTO_FREE char *tmp = xasprintf("%s/.%s.%d", dir, name, (int)getpid());
	AUTO_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int out = -1;
	ssize_t n;

	if (in < 0)
		return err_sys(err, errno, "open %s", from);
	out = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0)
		return err_sys(err, errno, "create %s", tmp);
	while ((n = sendfile(out, in, NULL, 1 << 20)) > 0)
		;
	if (n < 0 || fchmod(out, mode) < 0) {
		err_sys(err, errno, "write %s", tmp);
		goto fail;
	}
	/* Closed before it gets its name: a file open for writing cannot be executed. */
	close(steal_fd(&out));
	if (rename(tmp, to) == 0)
		return 0;
	err_sys(err, errno, "rename %s", tmp);
fail:
	unlink(tmp);
	return -1;
}

static int install_ca(const char *dir, const char *ca_file, struct err *err)
{
	AUTO_FREE char *own = config_beside_executable("ca-certificates.crt");
	const char *from = ca_file ? ca_file : access(SYSTEM_CA, R_OK) == 0 ? SYSTEM_CA : own;

	if (!ca_file && access(from, R_OK) < 0) {
		log_warn("no CA bundle to install: the agent will not speak TLS", "dir=%s", dir);
		return 0;
	}
	return copy_file(from, dir, "ca-certificates.crt", 0644, err);
}

int sidecar_install(const char *dir, const char *ca_file, struct err *err)
{
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "mkdir %s", dir);
	if (install_ca(dir, ca_file, err) < 0)
		return err_wrap(err, "install the CA bundle");
	if (copy_file("/proc/self/exe", dir, "sockerless-agent", 0755, err) < 0)
		return err_wrap(err, "install the agent");
	return 0;
}

static void on_probe(int fd, void *ctx)
{
	close(fd); /* having been accepted is all the probe wants to know */
}

static void on_life_event(struct conn *c, void *ctx, unsigned events)
{
	struct sidecar *s = ctx;
	char ignored[256];
	ssize_t n = CONN_FAILED;

	if (!(events & CONN_HANGUP))
		while ((n = conn_read(c, ignored, sizeof(ignored))) > 0)
			;
	if (n == CONN_AGAIN)
		return;
	conn_close(c);
	if (--s->held == 0) {
		log_info("the agent has ended", "%s", "");
		uv_stop(&s->loop);
	}
}

static void on_life_line(int fd, void *ctx)
{
	struct sidecar *s = ctx;
	struct conn *c = conn_adopt(&s->loop, fd, NULL, 0, on_life_event, s, NULL);

	if (!c)
		return;
	s->held++;
	conn_want(c, CONN_READ);
}

static void on_signal(uv_signal_t *h, int sig)
{
	struct sidecar *s = h->data;

	uv_stop(&s->loop);
}

static struct listener *listen_on(struct sidecar *s, uint16_t port, listener_cb *cb, struct err *err)
{
	int fd = listen_tcp("127.0.0.1", port, false, err);

	return fd < 0 ? NULL : listener_new(&s->loop, fd, cb, s, err);
}

static int listen_both(struct sidecar *s, uint16_t port, struct err *err)
{
	/* The life line first: whoever has seen the probe's port may connect there. */
	s->life = listen_on(s, (uint16_t)(port + 1), on_life_line, err);
	s->probe = s->life ? listen_on(s, port, on_probe, err) : NULL;
	return s->probe ? 0 : -1;
}

int sidecar_run(const char *dir, const char *ca_file, uint16_t port)
{
	struct sidecar s = {0};
	struct err err;

	uv_loop_init(&s.loop);
	uv_signal_init(&s.loop, &s.term);
	uv_signal_init(&s.loop, &s.intr);
	s.term.data = s.intr.data = &s;
	uv_signal_start(&s.term, on_signal, SIGTERM);
	uv_signal_start(&s.intr, on_signal, SIGINT);
	if (sidecar_install(dir, ca_file, &err) < 0 || listen_both(&s, port, &err) < 0) {
		log_error("sidecar cannot begin", "error=\"%s\"", err.msg);
		return AGENT_EXIT_UNUSABLE;
	}
	log_info("installed", "dir=%s port=%d", dir, (int)port);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	listener_close(s.probe);
	listener_close(s.life);
	loop_defer_finish(&s.loop);
	return 0;
}
