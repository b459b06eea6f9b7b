/* credentials - see credentials.h. A helper is a child of two pipes: the registry's address goes in, a JSON
 * object comes out. It is waited for by its exit and the end of its output, killed at the deadline. */
#include "image/credentials.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "net/defer.h"

#define HELPER_MS 20000
#define ANSWER_MAX (64 * 1024)
#define HUB_ADDRESS "https://index.docker.io/v1/"
#define HUB_REGISTRY "registry-1.docker.io"

void credentials_release(struct credentials *c)
{
	free(c->user);
	free(c->password);
	free(c->identity_token);
	free(c->registry_token);
	*c = (struct credentials){0};
}

bool credentials_given(const struct credentials *c)
{
	return c->user || c->identity_token || c->registry_token;
}

static const char *text_at(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static char *take_text(json_t *o, const char *key)
{
	const char *s = text_at(o, key);

	return *s ? xstrdup(s) : NULL;
}

/* "https://index.docker.io/v1/", "quay.io/x" and "quay.io" are all ways to write an address. */
static bool same_registry(const char *address, const char *host)
{
	const char *scheme = strstr(address, "://");
	AUTO_FREE char *named = NULL;

	if (scheme)
		address = scheme + 3;
	named = xstrndup(address, strcspn(address, "/"));
	if (strcasecmp(named, host) == 0)
		return true;
	return strcmp(host, HUB_REGISTRY) == 0 &&
	       (strcasecmp(named, "index.docker.io") == 0 || strcasecmp(named, "docker.io") == 0);
}

/* An AuthConfig: a request's, or an entry of the file's "auths". */
static void read_auth_config(json_t *o, struct credentials *ret)
{
	const char *coded = text_at(o, "auth");
	size_t n;

	ret->identity_token = take_text(o, "identitytoken");
	ret->registry_token = take_text(o, "registrytoken");
	ret->user = take_text(o, "username");
	ret->password = take_text(o, "password");
	if (!ret->user && *coded) {
		AUTO_FREE uint8_t *raw = base64_decode(coded, &n);
		AUTO_FREE char *pair = raw ? xstrndup((char *)raw, n) : NULL;
		char *colon = pair ? strchr(pair, ':') : NULL;

		if (colon) {
			free(ret->password);
			ret->user = xstrndup(pair, (size_t)(colon - pair));
			ret->password = xstrdup(colon + 1);
		}
	}
	if (ret->user && !ret->password)
		ret->password = xstrdup("");
}

void credentials_from_header(const char *header, const char *host, bool only_for_host, struct credentials *ret)
{
	size_t n = 0;
	AUTO_FREE uint8_t *raw = header && *header ? base64_decode(header, &n) : NULL;
	json_t *o = raw ? json_loadb((char *)raw, n, 0, NULL) : NULL;

	if (json_is_object(o) && (!only_for_host || same_registry(text_at(o, "serveraddress"), host)))
		read_auth_config(o, ret);
	json_decref(o);
}

/* ---- Docker's file ------------------------------------------------------------------------------- */

static json_t *load_file(void)
{
	const char *dir = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
	AUTO_FREE char *path = NULL;
	json_error_t why;
	json_t *root;

	if (dir && *dir)
		path = xasprintf("%s/config.json", dir);
	else
		path = xasprintf("%s/.docker/config.json", home ? home : "/root");
	if (access(path, R_OK) < 0)
		return NULL;
	root = json_load_file(path, 0, &why);
	if (!root)
		log_warn("registry credentials ignored", "file=%s line=%d why=\"%s\"", path, why.line, why.text);
	return root;
}

/* A helper's name becomes part of a program's name. */
static bool is_helper_name(const char *s)
{
	return s && *s && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] == '\0';
}

void credentials_from_file(const char *host, struct credentials *ret, char **ret_helper)
{
	json_t *root = load_file(), *entry;
	const char *key, *helper = NULL;

	*ret_helper = NULL;
	json_object_foreach(json_object_get(root, "credHelpers"), key, entry)
		if (same_registry(key, host))
			helper = json_string_value(entry);
	if (!helper)
		helper = json_string_value(json_object_get(root, "credsStore"));
	if (!is_helper_name(helper))
		helper = NULL;
	json_object_foreach(json_object_get(root, "auths"), key, entry)
		if (!credentials_given(ret) && same_registry(key, host))
			read_auth_config(entry, ret);
	if (!credentials_given(ret) && helper)
		*ret_helper = xstrdup(helper);
	json_decref(root);
}

/* ---- a helper ------------------------------------------------------------------------------------ */

struct credentials_query {
	uv_process_t process;
	uv_pipe_t in, out;
	uv_write_t write;
	struct timer *deadline;
	struct buf answer;
	char *program, *address;
	credentials_cb *cb;      /* NULL once cancelled */
	void *ctx;
	bool running, failed;
	int open_handles;
};

static void report(struct credentials_query *q)
{
	struct credentials c = {0};
	json_t *o = q->failed ? NULL : json_loadb((char *)buf_head(&q->answer), q->answer.len, 0, NULL);
	const char *user = text_at(o, "Username"), *secret = text_at(o, "Secret");

	if (strcmp(user, "<token>") == 0)
		c.identity_token = xstrdup(secret);
	else if (*user) {
		c.user = xstrdup(user);
		c.password = xstrdup(secret);
	}
	json_decref(o);
	q->cb(q->ctx, &c);
	credentials_release(&c);
}

static void on_closed(uv_handle_t *h)
{
	struct credentials_query *q = h->data;

	if (--q->open_handles > 0)
		return;
	if (q->cb)
		report(q);
	buf_release(&q->answer);
	free(q->program);
	free(q->address);
	free(q);
}

static void close_handle(void *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_closed);
}

static void on_exited(uv_process_t *p, int64_t status, int sig)
{
	struct credentials_query *q = p->data;

	if (status != 0 || sig) {
		log_info("the credential helper has no answer", "program=%s status=%d signal=%d", q->program, (int)status, sig);
		q->failed = true;
	}
	timer_cancel(&q->deadline);
	close_handle(&q->in);
	close_handle(&q->process);
}

static void on_deadline(void *p)
{
	struct credentials_query *q = p;

	q->deadline = NULL;
	q->failed = true;
	log_warn("the credential helper does not answer, killed", "program=%s", q->program);
	uv_process_kill(&q->process, SIGKILL);
	close_handle(&q->out); /* a grandchild may hold it open */
}

static void on_room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
	struct credentials_query *q = h->data;
	size_t n = buf_room(&q->answer) < 4096 ? buf_room(&q->answer) : 4096;

	*buf = uv_buf_init(n ? (char *)buf_reserve(&q->answer, n) : NULL, (unsigned)n);
}

static void on_answer(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	struct credentials_query *q = s->data;

	if (n > 0) {
		buf_commit(&q->answer, (size_t)n);
		return;
	}
	if (n == 0)
		return;
	q->failed = q->failed || n != UV_EOF;
	close_handle(&q->out);
}

static void on_written(uv_write_t *w, int status)
{
	struct credentials_query *q = w->data;

	close_handle(&q->in); /* the helper reads until the end */
}

static int spawn(uv_loop_t *loop, struct credentials_query *q)
{
	char *argv[] = {q->program, "get", NULL};
	uv_stdio_container_t stdio[3] = {
		{.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&q->in},
		{.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&q->out},
		{.flags = UV_IGNORE},
	};
	uv_process_options_t opt = {
		.exit_cb = on_exited, .file = q->program, .args = argv, .stdio_count = 3, .stdio = stdio,
	};

	return uv_spawn(loop, &q->process, &opt);
}

struct credentials_query *credentials_ask(uv_loop_t *loop, const char *helper, const char *host,
					  credentials_cb *cb, void *ctx)
{
	struct credentials_query *q = xcalloc(1, sizeof(*q));
	uv_buf_t address;
	int rc;

	q->cb = cb;
	q->ctx = ctx;
	q->open_handles = 3;
	q->program = xasprintf("docker-credential-%s", helper);
	q->address = xstrdup(strcmp(host, HUB_REGISTRY) == 0 ? HUB_ADDRESS : host);
	buf_init(&q->answer, ANSWER_MAX);
	uv_pipe_init(loop, &q->in, 0);
	uv_pipe_init(loop, &q->out, 0);
	q->process.data = q->in.data = q->out.data = q->write.data = q;
	rc = spawn(loop, q);
	if (rc < 0) {
		log_warn("registry credentials ignored", "helper=%s why=\"%s\"", q->program, uv_strerror(rc));
		q->failed = true;
		close_handle(&q->in);
		close_handle(&q->out);
		close_handle(&q->process); /* initialised by uv_spawn also when that fails */
		return q;
	}
	q->deadline = timer_start(loop, HELPER_MS, on_deadline, q);
	address = uv_buf_init(q->address, (unsigned)strlen(q->address));
	uv_read_start((uv_stream_t *)&q->out, on_room, on_answer);
	uv_write(&q->write, (uv_stream_t *)&q->in, &address, 1, on_written);
	return q;
}

void credentials_ask_cancel(struct credentials_query *q)
{
	if (!q)
		return;
	q->cb = NULL;
	timer_cancel(&q->deadline);
	if (uv_is_active((uv_handle_t *)&q->process))
		uv_process_kill(&q->process, SIGKILL); /* its exit closes the rest */
	close_handle(&q->out);
}
