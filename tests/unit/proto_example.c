/* The example session in agent-proto/PROTOCOL.md, byte for byte: two sessions play it, and every
 * frame must be the one printed there ("A> " agent to gateway, "G> " gateway to agent, "x> " lost).
 * On a mismatch the test prints what belongs there. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/token.h"
#include "proof.h"
#include "session.h"

#define PATH "agent-proto/PROTOCOL.md"
#define HEADING "## An example session"

#define TOKEN "its token"

static struct session *A, *G;
static struct proof proofs[2];          /* the agent's side of the present link, and the gateway's */
static struct proof_pair pairs[2];
static uint8_t key[PROOF_LEN];          /* once the first link has made it */
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

/* What stands in the document behind this name; a line starting with ">" continues it. */
static void documented_header(const char *name, char *value, size_t size)
{
	char *line = strstr(at, name);
	size_t n = 0;

	cr_assert_not_null(line);
	line += strlen(name) + 2;
	do {
		for (; *line != '\n' && n + 1 < size; line++)
			value[n++] = *line;
		line += 1;
	} while (strncmp(line, " > ", 3) == 0 && (line += 3));
	value[n] = '\0';
}

static struct proof_own own(enum session_role role, bool knows)
{
	return (struct proof_own){ .role = role, .pair = &pairs[role], .container_id = "c0ffee", .token = TOKEN,
				   .key = knows ? key : NULL };
}

/* The agent's upgrade and its answer, as they stand there. Nonces are what one byte each is repeated to. */
static void upgrade(uint8_t agent_nonce, uint8_t gateway_nonce, bool knows)
{
	struct proof_own agent = own(SESSION_AGENT, knows), gateway = own(SESSION_GATEWAY, knows);
	struct proof *a = &proofs[SESSION_AGENT], *g = &proofs[SESSION_GATEWAY];
	char asked[PROOF_TEXT_MAX], answered[PROOF_TEXT_MAX], said[PROOF_TEXT_MAX];
	struct err err;

	documented_header("Authorization", asked, sizeof(asked));
	documented_header("Authentication-Info", answered, sizeof(answered));
	proof_request(a, &agent, said); /* the nonce is another one: only what it looks like */
	cr_expect_eq(strlen(said), strlen(asked), "%s", said);
	cr_assert_eq(proof_take_request(g, &gateway, asked, true, &err), 0, "%s", err.msg);
	cr_expect_eq(g->resumes, knows);
	memset(a->nonce[SESSION_AGENT], agent_nonce, PROOF_LEN);
	cr_expect_arr_eq(g->nonce[SESSION_AGENT], a->nonce[SESSION_AGENT], PROOF_LEN);
	memset(g->nonce[SESSION_GATEWAY], gateway_nonce, PROOF_LEN);
	proof_answer(g, SESSION_GATEWAY, said);
	cr_expect_str_eq(said, answered);
	cr_assert_eq(proof_take_answer(a, &agent, answered, &err), 0, "%s", err.msg);
	session_set_proof(A, a);
	session_set_proof(G, g);
}

static void check_hello(const struct hello *h, const uint8_t *frame, size_t n)
{
	struct proof_own gateway = own(SESSION_GATEWAY, h->link_no > 1);
	struct err err;

	cr_assert_eq(proof_make_key(&proofs[SESSION_GATEWAY], &gateway, h->execution, h->boot_id, &err), 0);
	cr_expect_eq(proof_check(&proofs[SESSION_GATEWAY], SESSION_AGENT, frame, &n, &err), 0, "%s", err.msg);
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
			check_hello(&h, flat, n);
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

static void key_of_agent(const uint8_t boot[BOOT_ID_LEN])
{
	struct proof_own agent = own(SESSION_AGENT, false);
	struct err err;

	cr_assert_eq(proof_make_key(&proofs[SESSION_AGENT], &agent, "job-x7k2p", boot, &err), 0);
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

	for (int i = 0; i < 2; i++) {
		memset(pairs[i].private_key, i == SESSION_AGENT ? 0xaa : 0x99, X25519_LEN);
		x25519_public(pairs[i].private_key, pairs[i].public_key);
	}
	upgrade(0x11, 0x22, false);            /* 1. the first link */
	key_of_agent(boot);
	say_hello(1, PROC_RUNNING);
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
	memcpy(key, proofs[SESSION_AGENT].key, PROOF_LEN);
	upgrade(0x33, 0x44, true);
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
