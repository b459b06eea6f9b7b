/* tunnel_settle - what follows from what the agent has said: an exec's exit is recorded at once and told to its client after
 * its last byte; main's is told when its output is in the log. Outside the session's callbacks, so that whoever is told
 * may end what he likes. */
#include "agents/tunnel_state.h"

#include "base/log.h"
#include "gateway.h"
#include "state/container.h"
#include "state/events.h"
#include "state/exec.h"

static bool channel_output_complete(const struct channel *ch)
{
	return !ch->out || ch->lost || stream_delivered(ch->out) >= ch->status.final_offset;
}

static void send_exit_ack(struct tunnel *t, uint32_t channel)
{
	struct control c = { .type = CONTROL_EXIT_ACK, .channel = channel };
	struct err err;

	if (session_send(t->session, &c, &err) < 0)
		log_warn("exit cannot be acknowledged", "container=%.12s error=\"%s\"", t->c->id, err.msg);
}

static void emit_exec_die(struct tunnel *t, const struct channel *ch)
{
	json_t *attributes = container_event_attributes(t->c);

	json_object_set_new(attributes, "execID", json_string(ch->exec_id));
	json_object_set_new(attributes, "exitCode", json_sprintf("%d", ch->status.code));
	events_emit(t->g->events, "container", "exec_die", t->c->id, attributes);
}

/* The exit code is visible to docker exec inspect at once; the client's stream ends after its last byte. */
static void record_exec_exit(struct tunnel *t, struct channel *ch)
{
	struct exec *e = tunnel_exec_record(t, ch->exec_id);
	struct err err;

	if (e && e->state != EXEC_EXITED) {
		if (exec_set_exited(e, ch->status.code, ch->status.error, ch->status.finished_ns, &err) < 0)
			log_error("exec's end cannot be stored", "exec=%.12s error=\"%s\"", ch->exec_id, err.msg);
		if (!ch->status.error) /* as in dockerd, what could not be run does not die */
			emit_exec_die(t, ch);
	}
	send_exit_ack(t, ch->number);
}

/* Who had what run, for how long, and what came of it: a line for whoever asks later. */
static void audit(struct tunnel *t, const struct channel *ch, const char *lost)
{
	const struct exec *e = tunnel_exec_record(t, ch->exec_id);

	if (!e || e->probe)
		return;
	log_info("exec ended", "container=%.12s exec=%.12s by=%s start=%.3f end=%.3f code=%d in=%llu out=%llu discarded=%llu "
		 "resumes=%llu%s%s%s", t->c->id, ch->exec_id, e->by ? e->by : "", (double)ch->status.started_ns / 1e9,
		 (double)ch->status.finished_ns / 1e9, ch->status.code, (unsigned long long)ch->input,
		 (unsigned long long)(ch->out ? stream_delivered(ch->out) : 0), (unsigned long long)ch->discarded,
		 (unsigned long long)(t->links - ch->links), lost ? " lost=\"" : "", lost ? lost : "", lost ? "\"" : "");
}

void tunnel_end_exec(struct tunnel *t, struct channel *ch, const char *lost)
{
	const struct tunnel_sink *sink = ch->sink;
	void *ctx = ch->ctx;
	int code = ch->status.code;

	audit(t, ch, lost);
	tunnel_channel_close(ch);
	tunnel_channel_free(t, ch);
	if (sink)
		sink->on_end(ctx, code, lost);
}

/* All has come: is it what was sent? A sentence if not. */
static const char *output_damage(struct tunnel *t, struct channel *ch)
{
	uint64_t sent = ch->status.output_check, come = ch->out ? stream_check(ch->out) : 0;

	if (!ch->lost && sent && come && sent != come) {
		ch->lost = OUTPUT_CHANGED;
		log_error("checksums differ at the end of an output", "container=%.12s channel=%u", t->c->id, ch->number);
	}
	return ch->lost;
}

static void settle_main(struct tunnel *t, struct channel *ch)
{
	if (!tunnel_settle_restarts(t, ch) || t->main_reported || !ch->exited || !channel_output_complete(ch))
		return;
	t->main_reported = true;
	if (output_damage(t, ch))
		log_error("container ended, output incomplete", "container=%.12s reason=\"%s\"", t->c->id, ch->lost);
	send_exit_ack(t, MAIN_CHANNEL);
	t->observer->main_exited(t->observer_ctx, t->c, &ch->status);
}

void tunnel_settle(struct tunnel *t)
{
	struct channel *ch, *tmp;

	while (t->dirty && !t->freed) {
		t->dirty = false;
		HASH_ITER(hh, t->channels, ch, tmp) {
			if (ch->number == MAIN_CHANNEL)
				continue;
			if (ch->exited && !ch->ended) {
				ch->ended = true;
				record_exec_exit(t, ch);
			}
			if (!(ch->exited && channel_output_complete(ch)) && !ch->lost)
				continue;
			tunnel_end_exec(t, ch, ch->exited ? output_damage(t, ch) : ch->lost);
			t->dirty = true; /* the sink may have changed the table: start over */
			break;
		}
	}
	ch = tunnel_channel(t, MAIN_CHANNEL);
	if (ch)
		settle_main(t, ch);
}
