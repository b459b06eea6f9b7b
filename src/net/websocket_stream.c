/* websocket_stream - see the header. Between two connections: the client's, and one end of a socket pair
 * whose other end is our caller's. Each direction holds at most one piece and reads no more until it is
 * written.
 *
 *   open ──our caller's EOF──▶ our Close is out ──client's Close, EOF, or time──▶ gone
 *     └────client's Close: the stream reads EOF, we answer──────────────────────▶ */
#include "net/websocket_stream.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/defer.h"
#include "net/websocket.h"

#define PIECE (64 * 1024)
#define STATUS_NORMAL 1000
#define STATUS_PROTOCOL_ERROR 1002

struct ws_stream {
	uv_loop_t *loop;
	struct conn *client, *pair;    /* NULL once closed */
	struct ws_decoder decoder;
	struct buf in;                 /* from the client, not yet decoded */
	struct ws_message message;     /* decoded, being written to the pair; points into in or decoder */
	size_t message_used;           /* bytes of `in` behind which it ends */
	struct buf out;                /* to the client: frames not yet written */
	bool client_ended;             /* it has sent Close or EOF, or we do not listen any more */
	bool pair_ended;               /* our caller's side has ended: Close follows */
	bool close_sent, freed;
	struct timer *closing;
};

static void move(struct ws_stream *s);

static void stream_free(void *p)
{
	struct ws_stream *s = p;

	ws_decoder_release(&s->decoder);
	buf_release(&s->in);
	buf_release(&s->out);
	free(s);
}

static void end(struct ws_stream *s)
{
	if (s->freed)
		return;
	s->freed = true;
	timer_cancel(&s->closing);
	conn_close(s->client);
	conn_close(s->pair);
	s->client = s->pair = NULL;
	loop_defer(s->loop, stream_free, s);
}

/* ---- to the client ------------------------------------------------------------------------------ */

static void put_frame(struct ws_stream *s, enum ws_opcode op, const void *p, size_t n)
{
	uint8_t head[WS_HEADER_MAX];

	buf_append(&s->out, head, ws_header(head, op, n, NULL));
	buf_append(&s->out, p, n);
}

static void put_close(struct ws_stream *s, unsigned status)
{
	uint8_t payload[2] = {(uint8_t)(status >> 8), (uint8_t)status};

	if (s->close_sent)
		return;
	s->close_sent = true;
	put_frame(s, WS_CLOSE, payload, sizeof(payload));
}

static void close_overdue(void *p)
{
	struct ws_stream *s = p;

	s->closing = NULL;
	end(s);
}

/* Our caller has written its last byte. */
static void end_of_output(struct ws_stream *s)
{
	if (s->pair_ended)
		return;
	s->pair_ended = true;
	put_close(s, STATUS_NORMAL);
	if (!s->closing)
		s->closing = timer_start(s->loop, WS_STREAM_CLOSE_MS, close_overdue, s);
}

/* False: there is more than the client takes now, or it is over. */
static bool write_out(struct ws_stream *s)
{
	ssize_t n;

	while (s->out.len) {
		n = conn_write(s->client, buf_head(&s->out), s->out.len);
		if (n == CONN_FAILED)
			end(s);
		if (n < 0)
			return false;
		buf_consume(&s->out, (size_t)n);
	}
	return true;
}

/* One piece of the pair becomes one message. False: nothing more for now. */
static bool fill_out(struct ws_stream *s)
{
	uint8_t piece[PIECE];
	ssize_t n;

	if (s->pair_ended)
		return false;
	n = conn_read(s->pair, piece, sizeof(piece));
	if (n > 0) {
		put_frame(s, WS_BINARY, piece, (size_t)n);
		return true;
	}
	if (n == CONN_AGAIN)
		return false;
	end_of_output(s);
	return true;
}

/* ---- from the client ---------------------------------------------------------------------------- */

/* Our caller reads EOF; what it still writes goes to the client, if there is one. */
static void end_of_input(struct ws_stream *s)
{
	if (s->client_ended)
		return;
	s->client_ended = true;
	if (s->pair)
		conn_shutdown_write(s->pair);
}

static void take_control(struct ws_stream *s, const struct ws_message *m)
{
	if (m->op == WS_PING && buf_room(&s->out) >= m->len + WS_HEADER_MAX && !s->close_sent)
		put_frame(s, WS_PONG, m->data, m->len);
	if (m->op != WS_CLOSE)
		return;
	end_of_input(s);
	put_close(s, STATUS_NORMAL);
	if (!s->closing)
		s->closing = timer_start(s->loop, WS_STREAM_CLOSE_MS, close_overdue, s);
}

/* The next message into s->message. False: more bytes are needed, or it is over. */
static bool decode(struct ws_stream *s)
{
	size_t used, need;
	struct err err;
	int rc;

	for (;;) {
		rc = ws_decode(&s->decoder, buf_head(&s->in), s->in.len, &s->message, &used, &need, &err);
		if (rc < 0) {
			end_of_input(s);
			put_close(s, STATUS_PROTOCOL_ERROR);
			s->pair_ended = true;
			return false;
		}
		if (rc > 0 && (s->message.op == WS_TEXT || s->message.op == WS_BINARY) && s->message.len) {
			s->message_used = used;
			return true;
		}
		if (rc > 0)
			take_control(s, &s->message);
		s->message.len = 0;
		buf_consume(&s->in, used);
		if (rc == 0 && used == 0)
			return false;
		if (s->client_ended)
			return false;
	}
}

/* False: the pair takes no more now, or it is over. */
static bool write_message(struct ws_stream *s)
{
	ssize_t n;

	while (s->message.len) {
		n = s->pair ? conn_write(s->pair, s->message.data, s->message.len) : CONN_FAILED;
		if (n == CONN_AGAIN)
			return false;
		if (n == CONN_FAILED) /* nobody reads the input any more: it goes nowhere */
			n = (ssize_t)s->message.len;
		s->message.data += n;
		s->message.len -= (size_t)n;
	}
	buf_consume(&s->in, s->message_used);
	s->message_used = 0;
	return true;
}

static bool read_in(struct ws_stream *s)
{
	size_t room = buf_room(&s->in) < PIECE ? buf_room(&s->in) : PIECE;
	ssize_t n = room ? conn_read(s->client, buf_reserve(&s->in, room), room) : CONN_AGAIN;

	if (n > 0)
		buf_commit(&s->in, (size_t)n);
	else if (n != CONN_AGAIN)
		end(s);        /* without its Close there is nobody left to write to */
	return n > 0;
}

/* ---- both --------------------------------------------------------------------------------------- */

static void listen_on(struct ws_stream *s)
{
	conn_want(s->client, (s->message.len || s->pair_ended ? 0 : CONN_READ) | (s->out.len ? CONN_WRITE : 0) |
				     (s->closing ? CONN_READ : 0));
	if (!s->pair)
		return;
	conn_want(s->pair, (s->out.len || s->pair_ended ? 0 : CONN_READ) | (s->message.len ? CONN_WRITE : 0));
}

/* One bounded round in each direction. */
static void move(struct ws_stream *s)
{
	if (!s->message.len)
		read_in(s);
	while (!s->freed && !s->client_ended && (s->message.len || decode(s)))
		if (!write_message(s))
			break;
	if (!s->freed && !s->out.len)
		fill_out(s);
	if (s->freed || (!write_out(s) && s->freed))
		return;
	if (s->close_sent && !s->out.len && s->client_ended) {
		end(s);
		return;
	}
	listen_on(s);
}

static void on_client(struct conn *c, void *ctx, unsigned events)
{
	if (events & CONN_HANGUP)
		end(ctx);
	else
		move(ctx);
}

static void on_pair(struct conn *c, void *ctx, unsigned events)
{
	struct ws_stream *s = ctx;

	if (events & CONN_HANGUP) { /* told only when all bytes have been read */
		conn_close(s->pair);
		s->pair = NULL;
		end_of_output(s);
	}
	move(s);
}

static void first_move(void *p)
{
	struct ws_stream *s = p;

	if (!s->freed)
		move(s);
}

struct conn *ws_stream_open(uv_loop_t *loop, struct conn *client, struct buf *leftover, const char *answer,
			    conn_cb *cb, void *ctx, struct err *err)
{
	struct ws_stream *s;
	struct conn *far;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
		err_set(err, ERR_SYSTEM, "no socket pair for a WebSocket client");
		conn_close(client);
		buf_release(leftover);
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->loop = loop;
	s->client = client;
	ws_decoder_init(&s->decoder, true, WS_STREAM_MESSAGE_MAX);
	buf_init(&s->in, WS_STREAM_MESSAGE_MAX + WS_HEADER_MAX + PIECE);
	buf_init(&s->out, 2 * PIECE);
	s->pair = conn_adopt(loop, fds[0], NULL, 0, on_pair, s, err);
	far = conn_adopt(loop, fds[1], NULL, 0, cb, ctx, err);
	if (!s->pair || !far) {
		conn_close(far);
		end(s);
		buf_release(leftover);
		return NULL;
	}
	buf_append(&s->in, buf_head(leftover), leftover->len);
	buf_release(leftover);
	buf_append(&s->out, answer, strlen(answer));
	conn_set_callback(client, on_client, s);
	loop_defer(loop, first_move, s);
	return far;
}
