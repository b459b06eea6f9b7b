/* takeover - see takeover.h. */
#include "takeover.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agents/ports.h"
#include "agents/registry.h"
#include "agents/tunnel.h"
#include "auth/auth.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cloud/lifecycle.h"
#include "config.h"
#include "gateway.h"
#include "net/http_server.h"
#include "net/listen.h"
#include "relay.h"
#include "state/events.h"

/* ---- can this image start? ------------------------------------------------------------------------ */

static int check_tls(const char *cert, const char *key, const char *ca, struct err *err)
{
	struct tls *tls = cert ? tls_server_new(cert, key, ca, err) : NULL;

	tls_unref(tls);
	return cert && !tls ? -1 : 0;
}

static int check(const struct config *c, struct err *err)
{
	const char *format = getenv(TAKEOVER_ENV) + strlen(TAKEOVER_CHECK);

	if (strcmp(format, TAKEOVER_FORMAT) != 0)
		return err_set(err, ERR_UNSUPPORTED, "version " VERSION " cannot take over from the one that runs: stop that one "
			       "and start this; containers and their commands run on, clients have to attach again");
	if (access(c->state_dir, R_OK | W_OK | X_OK) < 0)
		return err_sys(err, errno, "the state directory %s", c->state_dir);
	if (check_tls(c->tls_cert, c->tls_key, c->tls_client_ca, err) < 0 ||
	    check_tls(c->callback_cert, c->callback_key, NULL, err) < 0)
		return -1;
	return c->local ? 0 : auth_check(c, err);
}

int takeover_check(const struct config *c, const struct err *bad)
{
	const char *asked = getenv(TAKEOVER_ENV);
	struct err err = { 0 };

	if (!asked || strncmp(asked, TAKEOVER_CHECK, strlen(TAKEOVER_CHECK)) != 0)
		return -1;
	if (!bad && check(c, &err) == 0)
		return 0;
	fprintf(stderr, "%s\n", bad ? bad->msg : err.msg);
	return 1;
}

void takeover_unblock_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_UNBLOCK, &all, NULL);
}

/* ---- what is there -------------------------------------------------------------------------------- */

static bool read_all(struct takeover *t, int fd)
{
	struct stat st;
	size_t done = 0;

	if (fstat(fd, &st) < 0)
		return false;
	t->size = (size_t)st.st_size;
	t->mem = xmalloc(t->size + 1);
	while (done < t->size) {
		ssize_t n = pread(fd, t->mem + done, t->size - done, (off_t)done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool split(struct takeover *t)
{
	struct unpack u = { .at = t->mem, .left = t->size };
	AUTO_FREE char *format = unpack_str(&u);
	struct unpack *const parts[] = { &t->meta, &t->listeners, &t->events, &t->sessions, &t->operations, &t->relays,
					 &t->clients, &t->ports };

	if (!format || strcmp(format, TAKEOVER_FORMAT) != 0)
		return false;
	unpack_fds_take(&t->fds, &u);
	u.fds = &t->fds;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		*parts[i] = unpack_part(&u);
	t->frozen_ms = unpack_num(&t->meta);
	t->lock = unpack_fd(&t->meta);
	return !u.bad && !t->meta.bad;
}

void takeover_begin(struct takeover *t)
{
	const char *text = getenv(TAKEOVER_ENV);
	int64_t fd = -1;

	*t = (struct takeover){ .lock = -1 };
	if (!text)
		return;
	if (parse_i64(text, &fd) < 0 || fd < 3 || fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
		fd = -1;
	unsetenv(TAKEOVER_ENV);
	t->here = fd >= 0 && read_all(t, (int)fd) && split(t);
	if (fd >= 0)
		close((int)fd);
	if (!t->here)
		log_error("what the former image has left cannot be read: clients are lost, agents will call again", "%s", "");
}

void takeover_listeners(struct takeover *t)
{
	if (t->here)
		listen_restore(&t->listeners);
}

static void give_up_orphans(void *ctx, struct tunnel *t)
{
	tunnel_give_up_orphans(t);
}

void takeover_state(struct takeover *t, struct gateway *g)
{
	size_t clients;

	if (!t->here)
		return;
	events_restore(g->events, &t->events);
	registry_restore(g->registry, &t->sessions);
	lifecycle_restore(g->lifecycle, &t->operations);
	clients = relays_restore(g, &t->relays);
	log_info("taken over", "streams=%zu", clients);
}

void takeover_clients(struct takeover *t, struct gateway *g)
{
	size_t n;

	if (t->here) {
		listen_close_unwanted();
		n = http_server_restore(g->api, &t->clients);
		ports_restore(g->ports, &t->ports);
		registry_each(g->registry, give_up_orphans, NULL);
		log_info("the restart is done", "version=%s ms=%llu connections=%zu", VERSION,
			 (unsigned long long)(clock_mono_ms() - t->frozen_ms), n);
	}
	unpack_fds_close(&t->fds);
	free(t->mem);
	t->mem = NULL;
	t->here = false;
}
