/* The example session in agent-proto/PROTOCOL.md, byte for byte: two sessions play it, and every
 * frame must be the one printed there ("A> " agent to gateway, "G> " gateway to agent, "x> " lost).
 * On a mismatch the test prints what belongs there. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/token.h"
#include "session.h"

#define PATH "agent-proto/PROTOCOL.md"
#define HEADING "## An example session"

static struct session *A, *G;
static uint64_t now = 1000;
static char *spec, *at;                 /* what is left of the document */
static char exit_seen[64];

static size_t on_data(void *ctx, struct stream *st, const uint8_t *p, size_t n) { return n; }
static void on_fin(void *ctx, struct stream *st) {}
static void on_reset(void *ctx, struct stream *st, uint32_t code) {}
static void on_writable(void *ctx, struct stream *st) {}
static void on_wake(void *ctx) {}
static void on_control(void *ctx, const struct control *c)
{
	if (c->type == CONTROL_EXIT)
		snprintf(exit_seen + strlen(exit_seen), 32, "exit %d;", c->exit.status.code);
}

static const struct session_ops ops = {
	.on_data = on_data, .on_fin = on_fin, .on_reset = on_reset, .on_writable = on_writable,
	.on_control = on_control, .on_wake = on_wake,
};

/* The next frame line of the document, as hex digits only; a line starting with ">" continues it. */
static void documented(char *who, char *hex, size_t size)
{
	size_t n = 0;

	*who = 0;
	hex[0] = '\0';
	while (*at && strncmp(at, "## ", 3) != 0) {
		char *end = strchrnul(at, '\n');
		bool begins = (at[0] == 'A' || at[0] == 'G' || at[0] == 'x') && at[1] == '>';

		if (*who && (begins || strncmp(at, " >", 2) != 0))
			return;
		if (begins)
			*who = at[0];
		if (*who)
			for (char *p = at + 2; p < end && n + 1 < size; p++)
				if (*p != ' ')
					hex[n++] = *p;
		hex[n] = '\0';
		at = *end ? end + 1 : end;
	}
}

/* All `from` has to say now; what comes after the first n_pass frames is lost. */
static void play_until(unsigned n_pass, char who, struct session *from, struct session *to)
{
	struct frame_out f;
	struct err err;

	while (session_next_frame(from, &f, now)) {
		uint8_t flat[4096];
		char hex[8192], want[8192], documented_who;
		size_t n = f.head_len + f.body_len;

		cr_assert(n <= sizeof(flat));
		memcpy(flat, f.head, f.head_len);
		if (f.body_len)
			memcpy(flat + f.head_len, f.body, f.body_len);
		hex_encode(flat, n, hex);
		if (n_pass == 0)
			who = 'x';
		documented(&documented_who, want, sizeof(want));
		cr_expect_eq(documented_who, who, "%c> %s", who, hex);
		cr_expect_str_eq(want, hex, "%c> %s", who, hex);
		if (n_pass-- == 0) {
			n_pass = 0;
			continue;
		}
		if (to == G && !session_link_up(G)) {
			struct hello h;
			static const uint8_t nobody[BOOT_ID_LEN];

			cr_assert_eq(session_peek_hello(flat, n, &h, &err), 0);
			cr_assert_eq(session_accept(G, &h, !memcmp(h.gateway_id, nobody, BOOT_ID_LEN), now, &err),
				     0, "%s", err.msg);
			hello_release(&h);
		} else
			cr_assert_eq(session_receive(to, flat, n, now, &err), 0, "%s", err.msg);
	}
}

static void play(char who, struct session *from, struct session *to)
{
	play_until(1000, who, from, to);
}

static void say_hello(uint64_t link_no, enum proc_state state)
{
	struct hello h = { .container_id = xstrdup("c0ffee"), .execution = xstrdup("job-x7k2p"),
			   .agent_version = xstrdup("0.1.0"), .link_no = link_no,
			   .window_in = 65536, .window_out = 1048576 };

	h.procs = xcalloc(1, sizeof(*h.procs));
	h.n_procs = 1;
	h.procs[0] = (struct proc_row){ .channel = 1, .exec_id = xstrdup(""), .state = state, .pid = 7 };
	if (state == PROC_EXITED)
		h.procs[0].exit = (struct exit_status){ .code = 3, .final_offset = 22 };
	session_hello(A, &h, now);
	hello_release(&h);
}

static char *read_document(void)
{
	FILE *f = fopen(PATH, "re");
	char *text = xcalloc(1, 1 << 20), *start;

	cr_assert_not_null(f, "run from the top of the tree");
	cr_assert_gt(fread(text, 1, (1 << 20) - 1, f), 0);
	fclose(f);
	start = strstr(text, HEADING);
	cr_assert_not_null(start);
	at = strchr(start, '\n') + 1;
	return text;
}

Test(example, the_document_shows_what_is_sent)
{
	uint8_t boot[BOOT_ID_LEN], gateway[BOOT_ID_LEN];
	struct stream *in, *out;
	char who, hex[8192];
	struct control c = { .type = CONTROL_EXIT, .channel = 1 };

	spec = read_document();
	memset(boot, 0xb0, sizeof(boot));
	memset(gateway, 0x6a, sizeof(gateway));
	A = session_new(SESSION_AGENT, boot, &ops, NULL);
	G = session_new(SESSION_GATEWAY, gateway, &ops, NULL);
	session_set_checks(G);
	session_open(A, 2, 0, 65536);
	out = session_open(A, 3, 0, 1048576);
	in = session_open(G, 2, 0, 65536);
	session_open(G, 3, 0, 1048576);

	say_hello(1, PROC_RUNNING);            /* 1. the first link */
	play('A', A, G);
	play('G', G, A);
	play('A', A, G);
	play('G', G, A);

	stream_write(in, "date\n", 5);         /* 2. input, output, end */
	play('G', G, A);
	stream_write(out, "\1\1\0\0\0\0\0\6" "\x17\x97\x9c\xfe\x36\x2a\0\0" "hello\n", 22);
	stream_fin(out);
	c.exit.status = (struct exit_status){ .code = 3, .final_offset = 22 };
	cr_assert_eq(session_send(A, &c, NULL), 0);
	play_until(2, 'A', A, G);
	session_link_down(A);                  /* 3. the link breaks: output and end are lost */
	session_link_down(G);

	now += 300;
	say_hello(2, PROC_EXITED);
	play('A', A, G);
	play('G', G, A);
	play('A', A, G);
	play('G', G, A);
	c = (struct control){ .type = CONTROL_EXIT_ACK, .channel = 1 };
	cr_assert_eq(session_send(G, &c, NULL), 0);
	play('G', G, A);

	cr_expect(stream_fin_acked(out));
	cr_expect_str_eq(exit_seen, "exit 3;");
	documented(&who, hex, sizeof(hex));
	cr_expect_eq(who, 0, "one frame too many in the document: %s", hex);
	session_free(A);
	session_free(G);
	free(spec);
}
