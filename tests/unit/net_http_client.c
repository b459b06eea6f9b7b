/* net/http_client: against our own server on the same loop. */
#include "net_fixture.h"

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/listen.h"

static struct http_server *server;
static struct http_client *client;
static char url[100];
static struct exchange *pending;
static unsigned asked;

struct result {
	bool done;
	int status;
	struct err err;
	char *body;
	size_t len;
	char header[100];
	struct http_call *cancel_me;
	bool free_client;
};

static void reply_echo(struct exchange *x, void *ctx, const char *body, size_t len)
{
	exchange_add_header(x, "X-Method", "%s", exchange_method(x));
	exchange_add_header(x, "X-Given", "%s", exchange_header(x, "X-Given") ? exchange_header(x, "X-Given") : "");
	exchange_reply(x, 200, "text/plain", body, len);
}

static void forget(struct exchange *x, void *ctx)
{
	pending = NULL;
}

static void handle(struct exchange *x, void *ctx)
{
	static char big[100000];

	asked++;
	if (strcmp(exchange_path(x), "/echo") == 0) {
		exchange_collect_body(x, 1 << 20, reply_echo, NULL);
	} else if (strcmp(exchange_path(x), "/big") == 0) {
		exchange_reply(x, 200, NULL, big, sizeof(big));
	} else if (strcmp(exchange_path(x), "/redirect") == 0) {
		exchange_add_header(x, "Location", "%s/echo", url);
		exchange_reply(x, 302, NULL, NULL, 0);
	} else if (strcmp(exchange_path(x), "/hang") == 0) {
		pending = x;
		exchange_on_close(x, forget, NULL);
	} else {
		exchange_reply(x, 404, "application/json", "{}", 2);
	}
}

static void start(void)
{
	int fd;

	world_open();
	fd = listen_tcp("127.0.0.1", 0, false, NULL);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", listen_port(fd));
	server = http_server_new(&loop, NULL, handle, NULL);
	http_server_listen(server, fd, NULL, NULL);
	client = http_client_new(&loop);
}

static void stop(void)
{
	http_client_free(client);
	http_server_free(server);
	world_close();
}

static void on_result(void *ctx, const struct http_response *r, const struct err *err)
{
	struct result *res = ctx;

	cr_assert_neq(r == NULL, err == NULL);
	cr_assert_not(res->done, "called twice");
	res->done = true;
	if (r) {
		res->status = r->status;
		cr_assert_eq(r->body[r->len], '\0');
		res->body = xmemdup(r->body, r->len + 1);
		res->len = r->len;
		if (http_response_header(r, "x-given"))
			snprintf(res->header, sizeof(res->header), "%s", http_response_header(r, "x-given"));
	} else {
		res->err = *err;
	}
	http_call_cancel(res->cancel_me);
	if (res->free_client) {
		http_client_free(client);
		client = NULL;
	}
}

static struct http_call *call(struct result *res, const char *method, const char *path, const char *body,
			      uint64_t timeout_ms, size_t max)
{
	struct http_call_options opt = {.method = method, .body = body, .body_len = body ? strlen(body) : 0,
					.timeout_ms = timeout_ms, .max_response_bytes = max};
	char full[200];
	struct http_call *c;

	snprintf(full, sizeof(full), "%s%s", url, path);
	opt.url = full;
	strv_add(&opt.headers, "X-Given: value");
	c = http_client_start(client, &opt, on_result, res, NULL);
	strv_release(&opt.headers);
	cr_assert_not_null(c);
	cr_assert_not(res->done, "answered inside the call");
	return c;
}

Test(http_client, every_status_is_an_answer_and_methods_and_headers_arrive)
{
	struct result a = {0}, b = {0}, c = {0};

	start();
	call(&a, "PUT", "/echo", "hello", 5000, 0);
	call(&b, "GET", "/nothing", NULL, 5000, 0);
	call(&c, "POST", "/echo", NULL, 5000, 0);
	run_until(a.done && b.done && c.done);
	cr_assert_eq(a.status, 200);
	cr_assert_str_eq(a.body, "hello");
	cr_assert_str_eq(a.header, "value");
	cr_assert_eq(b.status, 404);
	cr_assert_eq(c.status, 200);
	cr_assert_eq(c.len, 0);
	free(a.body);
	free(b.body);
	free(c.body);
	stop();
}

Test(http_client, connections_are_used_again)
{
	start();
	for (int i = 0; i < 5; i++) {
		struct result r = {0};

		call(&r, "GET", "/nothing", NULL, 5000, 0);
		run_until(r.done);
		free(r.body);
		cr_assert_eq(http_server_connections(server), 1);
	}
	stop();
}

/* A stranger's URL, answered or refused. */
static void expect_refused(void)
{
	struct http_call_options opt = {.method = "GET", .url = url, .timeout_ms = 5000, .public_only = true};
	struct result r = {0};

	cr_assert_not_null(http_client_start(client, &opt, on_result, &r, NULL));
	for (int i = 0; !r.done && i < 1000; i++) /* it ends in a timer: nothing would wake a loop that waits */
		run_ready();
	cr_expect(r.err.kind == ERR_FORBIDDEN && strstr(r.err.msg, "127.0.0.1 is a private address"), "%s", r.err.msg);
	free(r.body);
}

Test(http_client, a_strangers_url_may_not_lead_to_a_private_address)
{
	struct result r = {0};

	unsetenv("http_proxy");
	unsetenv("all_proxy");
	unsetenv("ALL_PROXY");
	start();
	expect_refused();
	cr_expect_eq(http_server_connections(server), 0);
	call(&r, "GET", "/nothing", NULL, 5000, 0); /* ours: and its connection is kept */
	run_until(r.done);
	cr_expect_eq(r.status, 404);
	cr_expect_eq(asked, 1);
	expect_refused();
	cr_expect_eq(asked, 1);
	free(r.body);
	stop();
}

Test(http_client, redirects_are_not_followed)
{
	struct result r = {0};

	start();
	call(&r, "GET", "/redirect", NULL, 5000, 0);
	run_until(r.done);
	cr_assert_eq(r.status, 302);
	cr_assert_eq(asked, 1);
	free(r.body);
	stop();
}

Test(http_client, an_answer_beyond_its_limit_is_an_error)
{
	struct result just = {0}, beyond = {0};

	start();
	call(&just, "GET", "/big", NULL, 5000, 100000);
	call(&beyond, "GET", "/big", NULL, 5000, 99999);
	run_until(just.done && beyond.done);
	cr_assert_eq(just.len, 100000);
	cr_assert_eq(beyond.err.kind, ERR_LIMIT);
	free(just.body);
	stop();
}

Test(http_client, no_answer_in_time_and_nobody_there)
{
	struct result slow = {0}, nobody = {0};

	start();
	call(&slow, "GET", "/hang", NULL, 50, 0);
	run_until(slow.done);
	cr_assert_eq(slow.err.kind, ERR_TIMEOUT);
	exchange_abort(pending);
	http_server_stop_listening(server);
	run_ready();
	call(&nobody, "GET", "/echo", NULL, 5000, 0);
	run_until(nobody.done);
	cr_assert_eq(nobody.err.kind, ERR_UNAVAILABLE);
	cr_assert_not_null(strstr(nobody.err.msg, "/echo"), "%s", nobody.err.msg);
	stop();
}

Test(http_client, a_cancelled_call_says_nothing)
{
	struct result a = {0}, b = {0};
	struct http_call *c;

	start();
	c = call(&a, "GET", "/hang", NULL, 5000, 0);
	run_until(pending);
	http_call_cancel(c);
	http_call_cancel(NULL);
	exchange_reply(pending, 200, NULL, NULL, 0); /* TCP tells of a closed client only on writing */
	call(&b, "GET", "/nothing", NULL, 5000, 0);
	run_until(b.done);
	cr_assert_not(a.done);
	free(b.body);
	stop();
}

Test(http_client, a_callback_may_cancel_itself_and_others_and_free_the_client)
{
	struct result a = {0}, b = {0}, c = {0};

	start();
	a.cancel_me = call(&b, "GET", "/hang", NULL, 5000, 0);
	call(&a, "GET", "/nothing", NULL, 5000, 0);
	run_until(a.done);
	c.cancel_me = call(&c, "GET", "/nothing", NULL, 5000, 0);
	c.free_client = true;
	run_until(c.done);
	run_ready();
	cr_assert_not(b.done);
	free(a.body);
	free(c.body);
	stop();
}

Test(http_client, freeing_it_cancels_what_runs)
{
	struct result a = {0};

	start();
	call(&a, "GET", "/hang", NULL, 5000, 0);
	run_until(pending);
	stop();
	cr_assert_not(a.done);
}

Test(http_client, a_given_ca_stands_alone)
{
	struct result good = {0}, bad = {0};
	struct http_call_options opt = {.method = "GET", .timeout_ms = 5000};
	struct tls *tls;
	int fd;

	start();
	make_cert("cert", "key");
	make_cert("cert2", "key2");
	tls = tls_server_new(scratch("cert"), scratch("key"), NULL, NULL);
	fd = listen_tcp("127.0.0.1", 0, false, NULL);
	snprintf(url, sizeof(url), "https://localhost:%u/nothing", listen_port(fd));
	http_server_listen(server, fd, tls, NULL);
	tls_unref(tls);
	opt.url = url;
	opt.ca_file = scratch("cert");
	http_client_start(client, &opt, on_result, &good, NULL);
	opt.ca_file = scratch("cert2");
	http_client_start(client, &opt, on_result, &bad, NULL);
	run_until(good.done && bad.done);
	cr_assert_eq(good.status, 404, "%s", good.err.msg);
	cr_assert_eq(bad.status, 0);
	free(good.body);
	stop();
}

/* ---- bodies that flow ---- */

struct flow {
	struct result res; /* first: cb's ctx is also that of read and write */
	struct http_call *call;
	size_t got, given, size, pauses;
	bool give_up;
};

static int take(void *ctx, const void *p, size_t n)
{
	struct flow *f = ctx;

	if (f->give_up)
		return -1;
	if (f->pauses++ % 2 == 0) { /* every piece is refused once */
		http_call_resume(f->call);
		return 1;
	}
	f->got += n;
	return 0;
}

static ssize_t give(void *ctx, void *p, size_t n)
{
	struct flow *f = ctx;
	size_t left = f->size - f->given;

	if (f->give_up)
		return -1;
	if (f->pauses++ % 2 == 0) {
		http_call_resume(f->call);
		return 0;
	}
	n = n < left ? n : left;
	memset(p, 'x', n);
	f->given += n;
	return (ssize_t)n;
}

static void flow_start(struct flow *f, const char *method, const char *path)
{
	char full[200];
	struct http_call_options opt = {.method = method, .url = full, .timeout_ms = 10000, .stall_ms = 5000,
					.body_len = f->size, .read = f->size ? give : NULL, .write = take};

	snprintf(full, sizeof(full), "%s%s", url, path);
	f->call = http_client_start(client, &opt, on_result, &f->res, NULL);
	cr_assert_not_null(f->call);
}

Test(http_client, a_body_flows_and_waits_when_told)
{
	struct flow down = {0}, up = {.size = 300000};

	start();
	flow_start(&down, "GET", "/big");
	flow_start(&up, "PUT", "/echo");
	run_until(down.res.done && up.res.done);
	cr_expect_eq(down.res.status, 200);
	cr_expect_eq(down.got, 100000);
	cr_expect(down.pauses >= 2);
	cr_expect_eq(up.res.status, 200, "%s", up.res.err.msg);
	cr_expect_eq(up.given, 300000);
	cr_expect_eq(up.got, 300000);
	cr_expect_eq(down.res.len, 0);
	free(down.res.body);
	free(up.res.body);
	stop();
}

Test(http_client, an_answer_that_is_no_success_does_not_flow)
{
	struct flow f = {0};

	start();
	flow_start(&f, "GET", "/nothing");
	run_until(f.res.done);
	cr_expect_eq(f.res.status, 404);
	cr_expect_eq(f.got, 0);
	cr_expect_str_eq(f.res.body, "{}");
	free(f.res.body);
	stop();
}

Test(http_client, whoever_gives_up_in_the_middle_hears_of_it)
{
	struct flow down = {.give_up = true}, up = {.size = 300000, .give_up = true};

	start();
	flow_start(&down, "GET", "/big");
	flow_start(&up, "PUT", "/echo");
	run_until(down.res.done && up.res.done);
	cr_expect_eq(down.res.err.kind, ERR_SYSTEM);
	cr_expect_eq(up.res.err.kind, ERR_SYSTEM);
	stop();
}

Test(http_client, a_client_may_be_freed_with_a_resume_on_its_way)
{
	struct flow f = {0};

	start();
	flow_start(&f, "GET", "/big");
	run_until(f.pauses > 0);
	stop();
	cr_expect_not(f.res.done);
}
