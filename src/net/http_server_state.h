/* http_server_state - what the files of http_server share: a client, its exchange, and who calls whom. Private to them. */
#ifndef NET_HTTP_SERVER_STATE_H
#define NET_HTTP_SERVER_STATE_H

#include "base/buf.h"
#include "http1.h"
#include "net/defer.h"
#include "net/http_server.h"

#define READ_BYTES_PER_EVENT (64 * 1024)

enum phase { HEAD, BODY, DONE, LINGER, DEAD };

struct client {
	struct client *prev, *next; /* in the server's list */
	struct http_server *server;
	struct conn *conn;          /* ours; NULL once hijacked or closed */
	struct http1 *parser;
	struct exchange *x;         /* the exchange that is not ended, or NULL */
	enum phase phase;
	bool eof;                   /* nothing more will come */
	bool close_after;           /* no other request after this answer */
	bool head_timed;            /* the deadline is the head's already */
	bool parser_stopped;        /* at an event; it may find another one without more bytes */
	bool shut;                  /* LINGER: our half is closed */
	bool in_feed, pump_deferred, broken;
	const char *view;           /* in_feed: the bytes to parse, of the scratch buffer or of in */
	size_t view_len;
	struct buf in;              /* read, but not to be parsed yet */
	struct buf out;             /* answered, but not in the kernel yet */
	size_t dropped;             /* bytes of a body nobody asked for */
	struct timer *timer;
	uint64_t timer_at, deadline; /* loop clock; 0 = none. The timer may come early: looks again */
};

enum { ANSWER_BEGUN = 1, ANSWER_BODYLESS = 2, ANSWER_CHUNKED = 4 };

enum body_mode { HOLD, COLLECT, STREAM }; /* HOLD: nobody has asked for it yet */

struct exchange {
	struct client *client;
	const char *path, *query;
	bool head_request, http_1_0;
	bool owes_continue;   /* the client waits for 100 Continue */
	bool begun, bodyless, chunked, congested, lost;
	enum body_mode mode;
	bool body_paused, end_told;
	exchange_body_cb *collected;
	struct exchange_body_ops ops;
	void *body_ctx;
	struct buf body;      /* COLLECT; one byte more than max_bytes for the NUL */
	void (*on_close)(struct exchange *x, void *ctx);
	void *close_ctx;
	void (*on_drain)(struct exchange *x, void *ctx);
	void *drain_ctx;
	exchange_carry *carry;
	void *carry_ctx;
	struct unpack *carried; /* of a former process image; while the handler runs */
	bool resumed;         /* begun by a former process image */
	void *user;
	struct buf extra;     /* headers added by the owner, as text */
};

struct listening {
	struct listening *next;
	struct http_server *server;
	struct listener *listener;
	struct tls *tls; /* referenced, or NULL */
};

struct http_server {
	uv_loop_t *loop;
	struct http_server_options opt;
	char *server_name; /* ours */
	http_handler *handler;
	void *ctx;
	struct listening *listening;
	struct client *clients;
	size_t n_clients;
	bool held;             /* no new requests */
	struct unpack *carried; /* of the exchange that is being restored */
	unsigned carried_answer; /* and how far its answer is: ANSWER_* */
	char scratch[READ_BYTES_PER_EVENT]; /* one for all: what stays unparsed is copied */
};

/* http_server.c: the connection */
struct client *server_client_new(struct http_server *s, int fd, struct tls *tls, struct err *err);
/* Go on as far as it goes: with the n bytes at p, or with what was kept when p is NULL. */
void server_client_feed(struct client *c, const char *p, size_t n);
void server_client_pump(struct client *c); /* something has changed inside an exchange_* call: go on from the loop */
void server_client_want(struct client *c);
void server_client_send(struct client *c, struct iovec *iov, int n); /* to the kernel what it takes, the rest to out */
void server_client_detach(struct client *c); /* the conn has another owner */
void server_client_close(struct client *c);

/* http_answer.c */
enum framing { NO_BODY, UNTIL_CLOSE, CHUNKED, LENGTH };
void server_answer(struct client *c, int status, const char *type, enum framing framing, const void *body, size_t len,
		   struct buf *extra, bool with_body);
/* An answer of the server's own, where there is no exchange, or none any more. The connection ends behind it. */
void server_refuse(struct client *c, int status, const char *why);

/* http_exchange.c */
void server_exchange_open(struct client *c); /* the head is complete: calls the handler */
void server_exchange_body(struct exchange *x, const char *p, size_t n);
void server_exchange_body_end(struct exchange *x);
void server_exchange_lost(struct exchange *x); /* ends without its owner's doing: tells it, once. NULL is fine */

#endif
