/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection sends, and what is held to be sent to it: SP's frames. */
#include <stdarg.h>
#include <stdio.h>

#include "ingest_parts.h"
#include "sp.h"

#define BACKTRACE_BYTES (4 * SP_BACKTRACE_WORDS)

void
connection_refuse(struct connection *c, enum reason reason, enum self_closed cause,
    const char *format, ...)
{
	uint64_t now_ms = turn_ms(c->in->turn);
	char why[160];
	va_list arguments;

	self_refused(c->in->self, reason);
	self_closed(c->in->self, SELF_SOCKET_INGEST, cause);
	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	apply_closed(c->in->apply, &c->peer, reason, why, now_ms);
	log_limited(c->in->log, LOG_LEVEL_WARNING, CAUSE_CLOSED + (unsigned)cause, now_ms,
	    "ingest: connection of pid %d (uid %u) closed: %s", (int)c->peer.pid,
	    (unsigned)c->peer.uid, why);
}

static enum verdict
refuse_memory(struct connection *c)
{
	connection_refuse(c, REASON_MEMORY, SELF_CLOSED_MEMORY, "memory is out");
	return VERDICT_BAD;
}

/* ---- What is answered ---------------------------------------------------- */

/* What goes out at the end of the turn. False when memory is out. */
static bool
hold(struct connection *c, const struct stream_view *part, size_t n)
{
	if (!c->is_held)
		TAILQ_INSERT_TAIL(&c->in->held, c, among_held);
	c->is_held = true;
	return stream_put(&c->stream, part, n);
}

static bool
hold_reply(struct connection *c, const uint8_t *backtrace, size_t backtrace_bytes)
{
	const struct strbuf *reply = &c->in->reply;
	uint8_t head[SP_FRAME_BYTES];
	const struct stream_view parts[] = { { head, sizeof(head) },
		{ backtrace, backtrace_bytes },
		{ (const uint8_t *)reply->at, reply->bytes } };

	sp_put_frame(head, backtrace_bytes + reply->bytes);
	return hold(c, parts, sizeof(parts) / sizeof(parts[0]));
}

/* ---- Frames -------------------------------------------------------------- */

/* Nobody could be answered. nanomsg drops such requests, too. */
static void
drop_request(struct connection *c)
{
	self_refused(c->in->self, REASON_MESSAGE);
	log_limited(c->in->log, LOG_LEVEL_WARNING, CAUSE_BACKTRACE, turn_ms(c->in->turn),
	    "ingest: request dropped: no request id within %d words (pid %d, uid %u)",
	    SP_BACKTRACE_WORDS, (int)c->peer.pid, (unsigned)c->peer.uid);
}

/* One whole payload, still in its buffer. */
static enum verdict
take_payload(struct connection *c, const uint8_t *payload, size_t bytes)
{
	struct ingest *in = c->in;
	size_t backtrace = 0;

	if (c->state == STATE_REQ) {
		backtrace = sp_backtrace_bytes(payload, bytes);
		if (backtrace == 0) {
			drop_request(c);
			return VERDICT_NEXT;
		}
	}
	c->peer.direct = c->state == STATE_REQ && backtrace == 4;
	c->peer.unheard = c->state == STATE_PUSH || c->ending;
	c->peer.has_request = c->state == STATE_REQ;
	c->peer.request = backtrace ? sp_get_word(payload + backtrace - 4) : 0;
	strbuf_reset(&in->reply);
	apply_request(in->apply, &c->peer, payload + backtrace, bytes - backtrace,
	    turn_ms(in->turn), &in->reply);
	if (c->peer.unheard)
		return VERDICT_NEXT;
	if (!in->reply.failed && in->reply.bytes > 0 && hold_reply(c, payload, backtrace))
		return VERDICT_NEXT;
	return refuse_memory(c);
}

/* Each of these takes from the first bytes of from, and moves it behind them. */
static enum verdict
take_frame(struct connection *c, struct stream_view *from)
{
	uint64_t most = (uint64_t)c->in->options.message_bytes + BACKTRACE_BYTES;
	const uint8_t *payload;
	uint64_t bytes;

	if (from->bytes < SP_FRAME_BYTES)
		return VERDICT_MORE;
	if (sp_get_frame(from->at, &bytes) != 0) {
		connection_refuse(c, REASON_MESSAGE, SELF_CLOSED_PROTOCOL,
		    "what it sends are not SP frames");
		return VERDICT_BAD;
	}
	if (bytes > most) {
		connection_refuse(c, REASON_LENGTH, SELF_CLOSED_PROTOCOL,
		    "a message of %llu bytes is longer than ingest.message_bytes, %u",
		    (unsigned long long)bytes, c->in->options.message_bytes);
		return VERDICT_BAD;
	}
	if (from->bytes - SP_FRAME_BYTES < bytes)
		return VERDICT_MORE;
	payload = from->at + SP_FRAME_BYTES;
	from->at = payload + bytes;
	from->bytes -= SP_FRAME_BYTES + (size_t)bytes;
	c->progress = true;
	return take_payload(c, payload, (size_t)bytes);
}

static enum verdict
take_handshake(struct connection *c, struct stream_view *from)
{
	uint8_t ours[SP_HEADER_BYTES];
	const struct stream_view header = { ours, sizeof(ours) };
	int protocol;

	if (from->bytes < SP_HEADER_BYTES)
		return VERDICT_MORE;
	protocol = sp_get_header(from->at);
	if (protocol != SP_REQ && protocol != SP_PUSH) {
		if (protocol < 0)
			connection_refuse(c, REASON_MESSAGE, SELF_CLOSED_PROTOCOL,
			    "it does not speak nanomsg's SP");
		else
			connection_refuse(c, REASON_MESSAGE, SELF_CLOSED_PROTOCOL,
			    "it speaks SP pattern 0x%02x; REQ and PUSH are served",
			    (unsigned)protocol);
		return VERDICT_BAD;
	}
	from->at += SP_HEADER_BYTES;
	from->bytes -= SP_HEADER_BYTES;
	c->state = protocol == SP_REQ ? STATE_REQ : STATE_PUSH;
	c->progress = true;
	sp_put_header(ours, protocol == SP_REQ ? SP_REP : SP_PULL);
	return hold(c, &header, 1) ? VERDICT_NEXT : refuse_memory(c);
}

/* One more, as far as the peer and its time allow. */
static enum verdict
take_one(struct connection *c, struct stream_view *from, uint64_t until_ns)
{
	enum verdict verdict =
	    c->state == STATE_HANDSHAKE ? take_handshake(c, from) : take_frame(c, from);

	if (verdict == VERDICT_BAD)
		return verdict;
	/* A clone that speaks for a dead process: its sessions are over. */
	if (!c->ending && c->process.gone && c->peer.bindings != NULL)
		return VERDICT_BAD;
	if (verdict != VERDICT_NEXT)
		return verdict;
	if (stream_queued(&c->stream) > c->in->options.queue_bytes && !c->ending)
		return VERDICT_FULL;
	/* The clock is not asked when that would change nothing. */
	if (from->bytes > 0 && turn_clock_ns() > until_ns)
		return VERDICT_LATER;
	return VERDICT_NEXT;
}

enum verdict
connection_take(struct connection *c, struct stream_view view, uint64_t until_ns)
{
	struct stream_view left = view;
	enum verdict verdict = VERDICT_NEXT;

	while (verdict == VERDICT_NEXT)
		verdict = take_one(c, &left, until_ns);
	if (verdict == VERDICT_BAD)
		return verdict;
	if (stream_keep(&c->stream, view, view.bytes - left.bytes))
		return verdict;
	return refuse_memory(c);
}
