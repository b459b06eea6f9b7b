/* net_fixture - a loop that a test drives by hand, and must leave empty; certificates made on the
 * spot; a raw peer that collects what it is sent. Every wait ends by its condition, or by the
 * watchdog, which fails the test. */
#ifndef NET_FIXTURE_H
#define NET_FIXTURE_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/defer.h"

#define WATCHDOG_MS 20000

static uv_loop_t loop;
static bool barked;
static char scratch_dir[] = "/tmp/net-test-XXXXXX";

__attribute__((unused)) static void bark(void *p)
{
	barked = true;
}

static inline void world_open(void)
{
	cr_assert_eq(uv_loop_init(&loop), 0);
	cr_assert_not_null(mkdtemp(scratch_dir));
}

static inline const char *scratch(const char *name)
{
	static char path[4][128];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", scratch_dir, name);
	return path[turn];
}

/* Everything has been closed by the test: nothing may be left on the loop. */
static inline void world_close(void)
{
	for (int i = 0; i < 100 && uv_loop_alive(&loop); i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	loop_defer_finish(&loop);
	uv_run(&loop, UV_RUN_DEFAULT);
	cr_assert_eq(uv_loop_close(&loop), 0, "something is left on the loop");
	for (const char *const *n = (const char *const[]){"cert", "key", "cert2", "key2", "sock", "file", NULL};
	     *n; n++)
		unlink(scratch(*n));
	rmdir(scratch_dir);
}

/* Run the loop until the expression holds. */
#define run_until(cond)                                                                                \
	do {                                                                                           \
		struct timer *dog_ = timer_start(&loop, WATCHDOG_MS, bark, NULL);                      \
		while (!(cond) && !barked)                                                             \
			uv_run(&loop, UV_RUN_ONCE);                                                    \
		cr_assert(!barked, "never happened: %s", #cond);                                       \
		timer_cancel(&dog_);                                                                   \
	} while (0)

/* Let happen what can happen now, without waiting for anything. */
static inline void run_ready(void)
{
	for (int i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
}

/* How often does the loop go round in a moment in which nothing should happen? */
__attribute__((unused)) static void count_round(uv_prepare_t *p)
{
	++*(int *)p->data;
}
__attribute__((unused)) static void set_true(void *p)
{
	*(bool *)p = true;
}
static inline int rounds_while_idle(void)
{
	uv_prepare_t prep;
	int rounds = 0;
	bool over = false;

	uv_prepare_init(&loop, &prep);
	prep.data = &rounds;
	uv_prepare_start(&prep, count_round);
	timer_start(&loop, 30, set_true, &over);
	run_until(over);
	uv_close((uv_handle_t *)&prep, NULL);
	uv_run(&loop, UV_RUN_NOWAIT);
	return rounds;
}

/* A self-signed P-256 certificate for localhost and 127.0.0.1 (it is its own CA), as two files. */
static inline void make_cert(const char *cert_name, const char *key_name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
						  "DNS:localhost,IP:127.0.0.1");
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
				   (const unsigned char *)cert_name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_add_ext(x, san, -1);
	cr_assert_gt(X509_sign(x, key, EVP_sha256()), 0);
	f = fopen(scratch(cert_name), "w");
	PEM_write_X509(f, x);
	fclose(f);
	f = fopen(scratch(key_name), "w");
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_EXTENSION_free(san);
	X509_free(x);
	EVP_PKEY_free(key);
}

/* One end of a connection that reads everything (unless deaf) and remembers what happened. */
struct end {
	struct conn *c;
	struct buf got;
	size_t read_at_most;   /* per event; 0 = 64 KiB */
	bool open, eof, hangup, failed, deaf;
	unsigned calls;
	int adopted;           /* fds waiting to be adopted, for listeners */
	struct tls *tls;
};

__attribute__((unused)) static void end_event(struct conn *c, void *ctx, unsigned events)
{
	struct end *e = ctx;
	static uint8_t bytes[65536];
	ssize_t n;

	e->calls++;
	e->open |= !!(events & CONN_OPEN);
	e->hangup |= !!(events & CONN_HANGUP);
	if (!(events & CONN_READ) || e->deaf)
		return;
	n = conn_read(c, bytes, e->read_at_most ? e->read_at_most : sizeof(bytes));
	e->eof |= n == 0;
	e->failed |= n == CONN_FAILED;
	if (n > 0)
		cr_assert_eq(buf_append(&e->got, bytes, (size_t)n), 0);
	if (n == CONN_FAILED)
		conn_want(c, 0);
}

static inline void end_init(struct end *e)
{
	*e = (struct end){0};
	buf_init(&e->got, 64 << 20);
}

static inline void end_close(struct end *e)
{
	conn_close(e->c);
	e->c = NULL;
	buf_release(&e->got);
}

static inline bool end_has(struct end *e, const char *text)
{
	return memmem(e->got.len ? (char *)buf_head(&e->got) : "", e->got.len, text, strlen(text));
}

static inline size_t end_count(struct end *e, const char *text)
{
	size_t n = 0;
	char *p = e->got.len ? (char *)buf_head(&e->got) : NULL, *stop = p + e->got.len;

	for (; p && (p = memmem(p, (size_t)(stop - p), text, strlen(text))); p += strlen(text))
		n++;
	return n;
}

static inline void end_send(struct end *e, const char *text, size_t n)
{
	cr_assert_eq(conn_write(e->c, text, n), (ssize_t)n);
}
#define end_say(e, text) end_send(e, text, strlen(text))

#endif
