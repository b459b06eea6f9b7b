/* http_fixture - a loop, a client and servers on loopback that answer by script and write down what
 * they were asked. The script is a list of answers, given in order, or a function of the request. */
#ifndef HTTP_FIXTURE_H
#define HTTP_FIXTURE_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/mem.h"
#include "config.h"
#include "gateway.h"
#include "net/defer.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "net/listen.h"

#define ASKED_MAX 64

struct answer {
	int status;
	const char *body;
	const char *header;         /* "Name: value" or NULL */
};
struct asked {
	char *line;                 /* "GET /path?query" */
	char *authorization;        /* or NULL */
	char *flavor;               /* Metadata-Flavor, or NULL */
	char *user_project;         /* X-Goog-User-Project, or NULL */
	char *aws_token;            /* X-Aws-Ec2-Metadata-Token, or NULL */
	char *body;
};
struct fake {
	struct http_server *server;
	uint16_t port;
	const struct answer *answers; /* the last one repeats */
	size_t n_answers;
	/* If set, asked before the list; a status of 0 means: go to the list. */
	struct answer (*answer)(struct fake *f, const struct asked *a);
	struct asked asked[ASKED_MAX];
	size_t n_asked, n_listed;
};

static uv_loop_t fixture_loop;
static struct config fixture_config;
static struct gateway fixture_gateway;

static void fake_reply(struct exchange *x, const struct answer *a)
{
	AUTO_FREE char *name = a->header ? xstrndup(a->header, strcspn(a->header, ":")) : NULL;

	if (name)
		exchange_add_header(x, name, "%s", a->header + strlen(name) + 2);
	exchange_reply(x, a->status, "application/json", a->body, strlen(a->body));
}

/* What is asked of Google's token services, for tests/contract/google. */
static void fake_record(struct exchange *x, const char *body)
{
	const char *file = getenv("CONTRACT_RECORD"), *path = exchange_path(x);
	AUTO_FREE char *line = NULL;
	json_t *o;
	FILE *f;

	if (!file || !(strstr(path, ":generateAccessToken") || strstr(body, "grant_type=")))
		return;
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "agent", "sockerless-gateway/", "method", exchange_method(x),
		      "path", path, "query", exchange_query(x), "request", body, "status", 0, "response", "");
	line = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	f = fopen(file, "ae"); /* tests run at the same time, each a process */
	cr_assert(f && fprintf(f, "%s\n", line) > 0 && fclose(f) == 0);
}

static void fake_body(struct exchange *x, void *ctx, const char *body, size_t len)
{
	struct fake *f = ctx;
	struct asked *a = &f->asked[f->n_asked++];
	const char *query = exchange_query(x);
	struct answer answer = {0};

	cr_assert(f->n_asked < ASKED_MAX, "asked without end");
	a->line = xasprintf("%s %s%s%s", exchange_method(x), exchange_path(x), *query ? "?" : "", query);
	a->authorization = xstrdup(exchange_header(x, "authorization"));
	a->flavor = xstrdup(exchange_header(x, "metadata-flavor"));
	a->user_project = xstrdup(exchange_header(x, "x-goog-user-project"));
	a->aws_token = xstrdup(exchange_header(x, "x-aws-ec2-metadata-token"));
	a->body = xstrndup(body, len);
	fake_record(x, a->body);
	if (f->answer)
		answer = f->answer(f, a);
	if (!answer.status) {
		cr_assert(f->n_answers > 0, "nothing to answer to %s", a->line);
		answer = f->answers[f->n_listed < f->n_answers ? f->n_listed : f->n_answers - 1];
		f->n_listed++;
	}
	fake_reply(x, &answer);
}

static void fake_handler(struct exchange *x, void *ctx)
{
	exchange_collect_body(x, 1 << 20, fake_body, ctx);
}

static void fake_open_at(struct fake *f, const char *address)
{
	static const struct http_server_options options = {0};
	struct err err = {0};
	int fd = listen_tcp(address, 0, false, &err);

	cr_assert(fd >= 0, "%s", err.msg);
	f->port = listen_port(fd);
	f->server = http_server_new(&fixture_loop, &options, fake_handler, f);
	cr_assert(http_server_listen(f->server, fd, NULL, &err) == 0, "%s", err.msg);
}

static inline void fake_open(struct fake *f)
{
	fake_open_at(f, "127.0.0.1");
}

static void fake_close(struct fake *f)
{
	http_server_free(f->server);
	for (size_t i = 0; i < f->n_asked; i++) {
		free(f->asked[i].line);
		free(f->asked[i].authorization);
		free(f->asked[i].flavor);
		free(f->asked[i].user_project);
		free(f->asked[i].aws_token);
		free(f->asked[i].body);
	}
	*f = (struct fake){0};
}

#define FAKE_SCRIPT(f, ...) do { \
	static const struct answer script_[] = {__VA_ARGS__}; \
	(f)->answers = script_; \
	(f)->n_answers = sizeof(script_) / sizeof(*script_); \
} while (0)

static void fake_expect(const struct fake *f, size_t i, const char *line)
{
	cr_assert(i < f->n_asked, "only %zu requests", f->n_asked);
	cr_expect(strcmp(f->asked[i].line, line) == 0, "request %zu is %s", i, f->asked[i].line);
}

static void fixture_open(void)
{
	uv_loop_init(&fixture_loop);
	fixture_gateway = (struct gateway){.loop = &fixture_loop, .config = &fixture_config};
	fixture_gateway.http = http_client_new(&fixture_loop);
}

/* Ends by showing that nothing is left on the loop. */
static void fixture_close(void)
{
	http_client_free(fixture_gateway.http);
	loop_defer_finish(&fixture_loop);
	uv_run(&fixture_loop, UV_RUN_DEFAULT);
	cr_expect(uv_loop_close(&fixture_loop) == 0, "handles are left");
}

static void fixture_too_late(void *p)
{
	cr_assert_fail("nothing has happened for 20 s");
}

static void fixture_run_until(const int *done)
{
	struct timer *watchdog = timer_start(&fixture_loop, 20000, fixture_too_late, NULL);

	while (!*done)
		uv_run(&fixture_loop, UV_RUN_ONCE);
	timer_cancel(&watchdog);
}

#endif
