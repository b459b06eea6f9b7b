/* tunnel_abandoned - processes whose client has gone (R16): they live on, as Docker's do, their input has ended, and their output
 * is taken and counted. A terminal can be told that nobody sits before it any more: that is a setting, and off. */
#include "agents/tunnel_state.h"

#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway.h"
#include "state/container.h"
#include "state/exec.h"

#define HANG_UP_GRACE_MS 10000 /* from SIGHUP to SIGKILL, or as long as it was left alone, if that is less */

void tunnel_abandon(struct tunnel *t, struct channel *ch)
{
	ch->sink = NULL;
	if (ch->in)
		stream_fin(ch->in);
	tunnel_note_alone(t, ch);
	if (ch->out)
		tunnel_output_resume(t, ch->number);
}

void tunnel_exec_detach(struct tunnel *t, uint32_t channel)
{
	struct channel *ch = tunnel_channel(t, channel);

	if (ch)
		tunnel_abandon(t, ch);
}

void tunnel_give_up_orphans(struct tunnel *t)
{
	uint32_t *numbers = xcalloc(HASH_COUNT(t->channels) + 1, sizeof(*numbers));
	size_t n = 0;

	for (struct channel *ch = t->channels; ch; ch = ch->hh.next)
		if (ch->number != MAIN_CHANNEL && !ch->sink)
			numbers[n++] = ch->number;
	for (size_t i = 0; i < n; i++) {
		struct channel *ch = tunnel_channel(t, numbers[i]); /* each may end others */

		if (ch && tunnel_exec_record(t, ch->exec_id))
			tunnel_abandon(t, ch);
		else
			tunnel_tool_cancel(t, numbers[i]);
	}
	free(numbers);
}

void tunnel_lose_clients(struct tunnel *t)
{
	uint32_t *numbers = xcalloc(HASH_COUNT(t->channels) + 1, sizeof(*numbers));
	size_t n = 0;

	for (struct channel *ch = t->channels; ch; ch = ch->hh.next)
		if (ch->number != MAIN_CHANNEL && ch->sink)
			numbers[n++] = ch->number;
	for (size_t i = 0; i < n; i++) {
		struct channel *ch = tunnel_channel(t, numbers[i]); /* each may end others */
		const struct tunnel_sink *sink = ch ? ch->sink : NULL;
		void *ctx = ch ? ch->ctx : NULL;

		if (!sink)
			continue;
		tunnel_abandon(t, ch);
		sink->on_end(ctx, 0, "the container's agent has not been heard of for 10 minutes");
	}
	free(numbers);
}

/* ---- terminals that nobody sits before ------------------------------------------------------------- */

void tunnel_note_alone(struct tunnel *t, struct channel *ch)
{
	const struct exec *e = tunnel_exec_record(t, ch->exec_id);
	int64_t limit = t->g->config->terminal_timeout_ms;

	if (!e || !e->tty || e->detached || ch->alone_ms)
		return;
	ch->alone_ms = clock_mono_ms();
	if (limit)
		tunnel_arm_tick(t, ch->alone_ms + (uint64_t)limit);
}

static void hang_up(struct tunnel *t, struct channel *ch, uint64_t now)
{
	int number = ch->hung_up_ms ? SIGKILL : SIGHUP;
	struct err err;

	if (number == SIGHUP)
		t->hang_ups++;
	else
		ch->hung_up_hard = true;
	ch->hung_up_ms = now;
	log_warn("terminal without a client hung up", "container=%.12s exec=%.12s signal=%s alone_s=%llu", t->c->id, ch->exec_id,
		 number == SIGHUP ? "SIGHUP" : "SIGKILL", (unsigned long long)(now - ch->alone_ms) / 1000);
	if (tunnel_signal(t, ch->number, number, &err) < 0)
		log_warn("terminal cannot be hung up", "container=%.12s exec=%.12s error=\"%s\"", t->c->id, ch->exec_id, err.msg);
}

uint64_t tunnel_hang_up_abandoned(struct tunnel *t, uint64_t now)
{
	uint64_t limit = (uint64_t)t->g->config->terminal_timeout_ms, next = UINT64_MAX;
	uint64_t grace = limit < HANG_UP_GRACE_MS ? limit : HANG_UP_GRACE_MS;

	for (struct channel *ch = t->channels; limit && ch; ch = ch->hh.next) {
		uint64_t due = ch->hung_up_ms ? ch->hung_up_ms + grace : ch->alone_ms + limit;

		if (!ch->alone_ms || ch->hung_up_hard || ch->exited)
			continue;
		if (now >= due) {
			hang_up(t, ch, now);
			due = now + grace;
		}
		if (!ch->hung_up_hard && due < next)
			next = due;
	}
	return next;
}
