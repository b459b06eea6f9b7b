/* handover - see handover.h. The steps, and what ends each:
 *
 *   TRYING     a child of the new image says whether it could start        its exit, or TRY_MS
 *   WAITING    until all that goes on could go on in another image         quiet, or WAIT_MS
 *              (new requests are held back HOLD_MS at a time meanwhile)
 *   then, without a turn of the loop: pack, exec. An exec that fails leaves everything as it was. */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <uv.h>

#include "agents/ports.h"
#include "agents/registry.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "cloud/lifecycle.h"
#include "gateway.h"
#include "net/defer.h"
#include "net/http_server.h"
#include "net/listen.h"
#include "relay.h"
#include "state/events.h"
#include "takeover.h"

#define TRY_MS 20000
#define WAIT_MS 60000
#define HOLD_MS 5000          /* a client waits at most so long in one piece */
#define OPEN_MS 1000
#define LOOK_MS 5
#define FLUSH_ROUNDS 16
#define SENTENCE_MAX 1024

struct handover {
	struct gateway *g;
	char *program;        /* where an upgrade puts the new one */
	char **argv;          /* main's */
	char **environment;   /* main's; the first entry is free for us */
	int lock;

	bool under_way;
	handover_failed *failed;
	void *ctx;
	uv_process_t *child;  /* ours; freed by its close callback */
	int words;            /* the child's stderr: a file in memory */
	bool child_ended;
	struct timer *timer;
	uint64_t give_up_ms, turn_ms; /* WAITING: the end; when holding back begins or ends */
	bool holding;
};

static const int blocked_signals[] = { SIGHUP, SIGTERM, SIGINT };

/* ---- life ----------------------------------------------------------------------------------------- */

/* Not resolved: a link that is turned to another version is the upgrade. */
static char *absolute(const char *argv0)
{
	char path[PATH_MAX];
	ssize_t n;

	if (*argv0 == '/')
		return xstrdup(argv0);
	if (strchr(argv0, '/') && getcwd(path, sizeof(path)))
		return xasprintf("%s/%s", path, argv0);
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return xstrdup(path);
}

/* As the process was given it, before settings were read into it; but not what a former image has told this one. */
char **handover_environment(void)
{
	static const char ours[] = TAKEOVER_ENV "=";
	char **copy;
	size_t n = 0, kept = 1;

	while (environ[n])
		n++;
	copy = xcalloc(n + 2, sizeof(*copy)); /* and one of ours */
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], ours, strlen(ours)) != 0)
			copy[kept++] = environ[i];
	return copy;
}

struct handover *handover_new(struct gateway *g, char **argv, char **environment, int lock)
{
	struct handover *h = xcalloc(1, sizeof(*h));

	h->g = g;
	h->argv = argv;
	h->lock = lock;
	h->words = -1;
	h->program = absolute(argv[0]);
	h->environment = environment;
	return h;
}

static void hold(struct handover *h, bool holding)
{
	if (holding != h->holding)
		http_server_hold(h->g->api, holding);
	h->holding = holding;
}

static void forget_words(struct handover *h)
{
	if (h->words >= 0)
		close(h->words);
	h->words = -1;
}

static void free_process(uv_handle_t *p)
{
	free(p);
}

static void end_child(struct handover *h)
{
	if (!h->child)
		return;
	if (!h->child_ended)
		uv_process_kill(h->child, SIGKILL);
	h->child->data = NULL;
	uv_close((uv_handle_t *)h->child, free_process);
	h->child = NULL;
}

void handover_free(struct handover *h)
{
	if (!h)
		return;
	timer_cancel(&h->timer);
	end_child(h);
	forget_words(h);
	free(h->program);
	free(h);
}

static void fail(struct handover *h, const struct err *err)
{
	handover_failed *failed = h->failed;
	void *ctx = h->ctx;

	log_warn("no restart: this one goes on", "reason=\"%s\"", err->msg);
	timer_cancel(&h->timer);
	end_child(h);
	forget_words(h);
	hold(h, false);
	h->under_way = false;
	h->failed = NULL;
	if (failed)
		failed(ctx, err);
}

void handover_forget(struct handover *h, void *ctx)
{
	if (h->ctx == ctx)
		h->failed = NULL;
}

/* ---- the exec ------------------------------------------------------------------------------------- */

/* A part of the pack for each module; takeover.c unpacks them in this order. */
#define PART(save)                                                                                                    \
	do {                                                                                                          \
		size_t part = pack_begin(p);                                                                          \
		save;                                                                                                 \
		pack_end(p, part);                                                                                    \
	} while (0)

static void save_meta(const struct handover *h, struct pack *p)
{
	pack_num(p, clock_mono_ms());
	pack_fd(p, h->lock);
}

static void pack_all(const struct handover *h, struct pack *p)
{
	PART(save_meta(h, p));
	PART(listen_save(p));
	PART(events_save(h->g->events, p));
	PART(registry_save(h->g->registry, p));
	PART(lifecycle_save(h->g->lifecycle, p));
	PART(relays_save(p));
	PART(http_server_save(h->g->api, p));
	PART(ports_save(h->g->ports, p));
}

/* A file in memory with everything, to be read by takeover.c. */
static int make_file(const struct pack *all, struct err *err)
{
	AUTO_CLOSE int fd = memfd_create("sockerless-handover", MFD_CLOEXEC);
	struct pack head;
	int rc;

	if (fd < 0)
		return err_sys(err, errno, "a file in memory");
	pack_init(&head);
	pack_str(&head, TAKEOVER_FORMAT);
	pack_fd_list(&head, all);
	rc = write_all(fd, buf_head(&head.bytes), head.bytes.len);
	if (rc == 0)
		rc = write_all(fd, buf_head(&all->bytes), all->bytes.len);
	pack_release(&head);
	if (rc < 0)
		return err_sys(err, errno, "write a file in memory");
	return steal_fd(&fd);
}

/* What comes between the two images waits for the handlers of the next one. */
static void block_signals(bool block)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(blocked_signals) / sizeof(*blocked_signals); i++)
		sigaddset(&set, blocked_signals[i]);
	pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static char **environment_with(struct handover *h, char *assignment)
{
	h->environment[0] = assignment;
	return h->environment;
}

static int replace(struct handover *h, const struct pack *all, struct err *err)
{
	AUTO_CLOSE int file = make_file(all, err);
	AUTO_FREE char *ours = NULL;
	int errnum;

	if (file < 0)
		return -1;
	ours = xasprintf(TAKEOVER_ENV "=%d", file);
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC); /* curl's sockets are not by themselves */
	if (pack_keep_fds(all, true) < 0 || fcntl(file, F_SETFD, 0) < 0) {
		pack_keep_fds(all, false);
		return err_sys(err, errno, "keep descriptors");
	}
	block_signals(true);
	execve(h->program, h->argv, environment_with(h, ours));
	errnum = errno;
	block_signals(false);
	pack_keep_fds(all, false);
	return err_sys(err, errnum, "exec %s", h->program);
}

static void freeze(struct handover *h)
{
	struct pack all;
	struct err err = { 0 };

	pack_init(&all);
	pack_all(h, &all);
	log_info("handing over", "bytes=%zu descriptors=%zu program=%s", all.bytes.len, all.n_fds, h->program);
	replace(h, &all, &err);
	pack_release(&all);
	fail(h, &err);
}

/* ---- waiting until nothing goes on that could not go on elsewhere ----------------------------------- */

static bool is_quiet(struct handover *h, char *why, size_t cap)
{
	if (http_server_busy(h->g->api, why, cap) > 0)
		return false;
	return !lifecycle_busy(h->g->lifecycle, why, cap);
}

static void look(void *ctx)
{
	struct handover *h = ctx;
	uint64_t now = clock_mono_ms();
	char why[160];
	struct err err = { 0 };

	h->timer = NULL;
	/* What is decided but not done yet would be forgotten. */
	if (is_quiet(h, why, sizeof(why)) && loop_defer_flush(h->g->loop, FLUSH_ROUNDS) && is_quiet(h, why, sizeof(why))) {
		freeze(h);
		return;
	}
	if (now >= h->give_up_ms) {
		err_set(&err, ERR_TIMEOUT, "after %d s this is still under way: %s", WAIT_MS / 1000, why);
		fail(h, &err);
		return;
	}
	if (now >= h->turn_ms) {
		hold(h, !h->holding);
		h->turn_ms = now + (h->holding ? HOLD_MS : OPEN_MS);
	}
	h->timer = timer_start(h->g->loop, LOOK_MS, look, h);
}

static void wait_for_quiet(struct handover *h)
{
	h->give_up_ms = clock_mono_ms() + WAIT_MS;
	h->turn_ms = clock_mono_ms() + HOLD_MS;
	hold(h, true);
	h->timer = timer_start(h->g->loop, 0, look, h);
}

/* ---- trying --------------------------------------------------------------------------------------- */

/* Its last line. */
static void take_words(struct handover *h, char *ret, size_t cap)
{
	ssize_t n = pread(h->words, ret, cap - 1, 0);
	char *line;

	ret[n > 0 ? n : 0] = '\0';
	for (n = (ssize_t)strlen(ret); n > 0 && ret[n - 1] == '\n'; n--)
		ret[n - 1] = '\0';
	line = strrchr(ret, '\n');
	if (line)
		memmove(ret, line + 1, strlen(line));
}

static void on_tried(uv_process_t *p, int64_t status, int signal)
{
	struct handover *h = p->data;
	char words[SENTENCE_MAX];
	struct err err = { 0 };

	if (!h)
		return;
	h->child_ended = true;
	timer_cancel(&h->timer);
	if (status == 0 && !signal) {
		end_child(h);
		forget_words(h);
		wait_for_quiet(h);
		return;
	}
	take_words(h, words, sizeof(words));
	if (*words)
		err_set(&err, ERR_CONFLICT, "%s would not start: %s", h->program, words);
	else
		err_set(&err, ERR_CONFLICT, "%s would not start: %s %d", h->program, signal ? "killed by signal" : "exit status",
			signal ? signal : (int)status);
	fail(h, &err);
}

static void tried_too_long(void *ctx)
{
	struct handover *h = ctx;
	struct err err = { 0 };

	h->timer = NULL;
	err_set(&err, ERR_TIMEOUT, "%s does not say within %d s whether it can start", h->program, TRY_MS / 1000);
	fail(h, &err);
}

static int try(struct handover *h, struct err *err)
{
	uv_stdio_container_t io[3] = { [0].flags = UV_IGNORE, [1].flags = UV_IGNORE, [2].flags = UV_INHERIT_FD };
	uv_process_options_t options = {
		.file = h->program, .args = h->argv, .stdio = io, .stdio_count = 3, .exit_cb = on_tried,
		.env = environment_with(h, TAKEOVER_ENV "=" TAKEOVER_CHECK TAKEOVER_FORMAT),
	};
	int rc;

	h->words = memfd_create("sockerless-words", MFD_CLOEXEC);
	if (h->words < 0)
		return err_sys(err, errno, "a file in memory");
	io[2].data.fd = h->words;
	h->child = xcalloc(1, sizeof(*h->child));
	h->child->data = h;
	h->child_ended = false;
	rc = uv_spawn(h->g->loop, h->child, &options);
	if (rc == 0) {
		h->timer = timer_start(h->g->loop, TRY_MS, tried_too_long, h);
		return 0;
	}
	h->child_ended = true;
	end_child(h);
	forget_words(h);
	return err_sys(err, -rc, "start %s", h->program);
}

int handover_begin(struct handover *h, handover_failed *failed, void *ctx, struct err *err)
{
	if (h->under_way)
		return err_set(err, ERR_CONFLICT, "a restart is under way");
	if (try(h, err) < 0)
		return -1;
	h->under_way = true;
	h->failed = failed;
	h->ctx = ctx;
	log_info("restart asked for", "program=%s", h->program);
	return 0;
}
