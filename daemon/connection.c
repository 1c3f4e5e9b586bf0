/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sp.h"

#define QUEUE_BYTES_MAX (1 << 20)   /* replies not taken: the peer is not read any more */
#define QUEUE_BYTES_LOW (256 << 10) /* ... and now it is read again */
#define DRAIN_BYTES_MAX (16 << 20)  /* read from a connection whose process is dead */
#define LINGER_MS	500 /* a process that closes all it has needs a moment to be dead */
#define UNREAD_MS	500 /* more, for a peer that is late while nothing is read */
#define BACKTRACE_BYTES (4 * SP_BACKTRACE_WORDS)

static void
set_deadline(struct connection *c, uint32_t ms)
{
	struct timeval tv = milliseconds(ms);

	if (!c->deadline_is_set)
		c->deadline_is_set = event_add(c->deadline, &tv) == 0;
}

static void
clear_deadline(struct connection *c)
{
	if (c->deadline_is_set)
		event_del(c->deadline);
	c->deadline_is_set = false;
}

/* ---- The end of a connection ------------------------------------------- */

static void
unlink_held(struct connection *c)
{
	struct connection **at = &c->in->first_held;

	while (c->is_held && *at != c)
		at = &(*at)->next_held;
	if (c->is_held)
		*at = c->next_held;
	c->is_held = false;
}

void
connection_free(struct connection *c)
{
	struct ingest *in = c->in;

	unlink_held(c);
	stream_close(&c->stream);
	if (c->deadline)
		event_free(c->deadline);
	if (c->death)
		event_free(c->death);
	process_peer_close(&c->process);
	if (c->previous)
		c->previous->next = c->next;
	else
		in->first = c->next;
	if (c->next)
		c->next->previous = c->previous;
	ingest_count(in, -1);
	free(c);
}

static void
connection_end(struct connection *c)
{
	struct ingest *in = c->in;

	apply_disconnect(
	    in->apply, &c->peer, process_peer_is_gone(&c->process), turn_ms(in->turn));
	connection_free(c);
}

/*
 * The peer has closed. A process that is killed closes what it has a moment before it is
 * dead, so one that has sessions is watched a little longer: if it is dead then, they can
 * be folded at once.
 */
static void
connection_close(struct connection *c)
{
	if (c->peer.bindings == NULL || c->process.pidfd < 0 || c->in->stopped ||
	    process_peer_is_gone(&c->process)) {
		connection_end(c);
		return;
	}
	stream_close(&c->stream);
	unlink_held(c);
	c->state = STATE_LINGER;
	clear_deadline(c);
	set_deadline(c, LINGER_MS);
}

/* Count and log why a connection is about to be closed. */
__attribute__((format(printf, 4, 5))) static void
refuse_connection(
    struct connection *c, enum reason reason, unsigned cause, const char *format, ...)
{
	char why[160];
	va_list arguments;

	self_refused(c->in->self, reason);
	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	apply_closed(c->in->apply, &c->peer, reason, why, turn_ms(c->in->turn));
	log_limited(c->in->log, LOG_LEVEL_WARNING, cause, turn_ms(c->in->turn),
	    "ingest: connection of pid %d (uid %u) closed: %s", (int)c->peer.pid,
	    (unsigned)c->peer.uid, why);
}

/* ---- Frames ------------------------------------------------------------ */

enum verdict {
	VERDICT_MORE, /* wait for more bytes */
	VERDICT_NEXT, /* one is done: look at the next */
	VERDICT_BAD   /* the connection is to be closed */
};

/* What goes out at the end of the turn. False when memory is out. */
static bool
hold(struct connection *c, const struct stream_view *part, size_t n)
{
	struct ingest *in = c->in;

	if (!c->is_held) {
		c->is_held = true;
		c->next_held = in->first_held;
		in->first_held = c;
	}
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

/* One whole payload, still in its buffer. */
static enum verdict
take_payload(struct connection *c, const uint8_t *payload, size_t bytes)
{
	struct ingest *in = c->in;
	uint64_t now_ms = turn_ms(in->turn);
	size_t backtrace = 0;

	if (c->state == STATE_REQ) {
		backtrace = sp_backtrace_bytes(payload, bytes);
		if (backtrace == 0) {
			/* Nobody could be answered. nanomsg drops such requests, too. */
			self_refused(in->self, REASON_MESSAGE);
			log_limited(in->log, LOG_LEVEL_WARNING, CAUSE_BACKTRACE, now_ms,
			    "ingest: request dropped: no request id within %d words "
			    "(pid %d, uid %u)",
			    SP_BACKTRACE_WORDS, (int)c->peer.pid, (unsigned)c->peer.uid);
			return VERDICT_NEXT;
		}
	}
	c->peer.direct = c->state == STATE_REQ && backtrace == 4;
	c->peer.unheard = c->state == STATE_PUSH || c->draining;
	c->peer.has_request = c->state == STATE_REQ;
	c->peer.request = backtrace ? sp_get_word(payload + backtrace - 4) : 0;
	strbuf_reset(&in->reply);
	apply_request(in->apply, &c->peer, payload + backtrace, bytes - backtrace, now_ms,
	    &in->reply);
	if (c->peer.unheard)
		return VERDICT_NEXT;
	if (!in->reply.failed && in->reply.bytes > 0 && hold_reply(c, payload, backtrace))
		return VERDICT_NEXT;
	refuse_connection(c, REASON_MEMORY, CAUSE_MEMORY, "memory is out");
	return VERDICT_BAD;
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
		refuse_connection(
		    c, REASON_MESSAGE, CAUSE_FRAME, "what it sends are not SP frames");
		return VERDICT_BAD;
	}
	if (bytes > most) {
		refuse_connection(c, REASON_LENGTH, CAUSE_FRAME,
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
			refuse_connection(c, REASON_MESSAGE, CAUSE_HANDSHAKE,
			    "it does not speak nanomsg's SP");
		else
			refuse_connection(c, REASON_MESSAGE, CAUSE_HANDSHAKE,
			    "it speaks SP pattern 0x%02x; REQ and PUSH are served",
			    (unsigned)protocol);
		return VERDICT_BAD;
	}
	from->at += SP_HEADER_BYTES;
	from->bytes -= SP_HEADER_BYTES;
	c->state = protocol == SP_REQ ? STATE_REQ : STATE_PUSH;
	sp_put_header(ours, protocol == SP_REQ ? SP_REP : SP_PULL);
	clear_deadline(c);
	return hold(c, &header, 1) ? VERDICT_NEXT : VERDICT_BAD;
}

/*
 * Take what is whole. MORE: all was taken; NEXT: the peer must take its replies first;
 * BAD: c is to be closed.
 */
static enum verdict
take_all(struct connection *c, struct stream_view *from)
{
	enum verdict verdict = VERDICT_NEXT;

	while (verdict == VERDICT_NEXT) {
		if (c->state == STATE_HANDSHAKE)
			verdict = take_handshake(c, from);
		else
			verdict = take_frame(c, from);
		if (c->draining)
			continue;
		/* A clone that speaks for a dead process: its sessions are over. */
		if (c->process.gone && c->peer.bindings != NULL)
			return VERDICT_BAD;
		if (verdict == VERDICT_NEXT &&
		    stream_queued(&c->stream) > QUEUE_BYTES_MAX)
			return VERDICT_NEXT;
	}
	return verdict;
}

/* The same, and what is left is kept. */
static enum verdict
take(struct connection *c, struct stream_view view)
{
	struct stream_view left = view;
	enum verdict verdict = take_all(c, &left);

	if (verdict == VERDICT_BAD)
		return verdict;
	if (stream_keep(&c->stream, view, view.bytes - left.bytes))
		return verdict;
	refuse_connection(c, REASON_MEMORY, CAUSE_MEMORY, "memory is out");
	return VERDICT_BAD;
}

/* ---- Events ------------------------------------------------------------ */

static void
pause_reading(struct connection *c)
{
	stream_pause(&c->stream);
	log_limited(c->in->log, LOG_LEVEL_WARNING, CAUSE_SLOW, turn_ms(c->in->turn),
	    "ingest: not reading: pid %d (uid %u) does not take its replies",
	    (int)c->peer.pid, (unsigned)c->peer.uid);
}

static void
serve(struct connection *c, struct stream_view view)
{
	enum verdict verdict = take(c, view);

	if (verdict == VERDICT_BAD) {
		connection_close(c);
		return;
	}
	if (verdict == VERDICT_NEXT)
		pause_reading(c);
	if (c->state == STATE_HANDSHAKE)
		return;
	if (c->progress || c->stream.paused)
		clear_deadline(c);
	c->progress = false;
	if (!c->stream.paused && stream_kept(&c->stream).bytes > 0)
		set_deadline(c, c->in->options.frame_ms);
}

/*
 * Take what the kernel still has of a connection that nobody will be answered on. The
 * bound is for a clone that goes on sending.
 */
static void
drain(struct connection *c)
{
	struct stream_view view = stream_kept(&c->stream);
	size_t taken = 0;
	int n = 1;

	c->draining = true;
	while (take(c, view) == VERDICT_MORE && n > 0 && taken < DRAIN_BYTES_MAX) {
		n = stream_read(&c->stream, &c->in->room, &view);
		taken += n > 0 ? (size_t)n : 0;
	}
}

/* It has ended, or cannot be written any more. */
static void
end(struct connection *c)
{
	drain(c);
	connection_close(c);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct connection *c = arg;
	struct ingest *in = c->in;
	struct stream_view view;
	int n;

	(void)fd;
	(void)what;
	turn_ms(in->turn);
	/* Until it goes on, the loop is not to come back for this. */
	if (in->held) {
		event_del(c->stream.readable);
		return;
	}
	n = stream_read(&c->stream, &in->room, &view);
	if (n > 0)
		serve(c, view);
	else if (n < 0)
		end(c);
	ingest_took(in);
}

static void
on_writable(int fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)what;
	turn_ms(c->in->turn);
	if (stream_send(&c->stream) != 0) {
		end(c);
		return;
	}
	if (!c->stream.paused || c->in->stopped ||
	    stream_queued(&c->stream) > QUEUE_BYTES_LOW)
		return;
	stream_resume(&c->stream);
	serve(c, stream_kept(&c->stream));
}

static void
on_death(int pidfd, short what, void *arg)
{
	struct connection *c = arg;

	(void)pidfd;
	(void)what;
	turn_ms(c->in->turn);
	c->process.gone = true;
	if (c->state == STATE_LINGER) {
		connection_end(c);
		return;
	}
	/* Nothing is lost with a connection that has no sessions: a child of the dead
	 * process may go on using it. */
	if (c->peer.bindings == NULL)
		return;
	drain(c);
	connection_end(c);
}

static void
on_deadline(int fd, short what, void *arg)
{
	struct connection *c = arg;

	(void)fd;
	(void)what;
	turn_ms(c->in->turn);
	c->deadline_is_set = false;
	if (c->state == STATE_LINGER) {
		connection_end(c);
		return;
	}
	/* What it is to send may have come, and was not looked for. */
	if (c->in->held) {
		set_deadline(c, UNREAD_MS);
		return;
	}
	if (c->state == STATE_HANDSHAKE)
		refuse_connection(c, REASON_MESSAGE, CAUSE_HANDSHAKE,
		    "no handshake within %u ms", c->in->options.handshake_ms);
	else
		refuse_connection(c, REASON_MESSAGE, CAUSE_FRAME,
		    "a message was not whole within %u ms", c->in->options.frame_ms);
	connection_close(c);
}

/* ---- Made ---------------------------------------------------------------- */

/* 0, or -1 with errno when memory or descriptors are out; what was made is in c. */
static int
set_up(struct connection *c, int fd)
{
	struct event_base *base = c->in->base;

	if (stream_open(&c->stream, base, fd, on_readable, on_writable, c) != 0 ||
	    process_peer_of(fd, &c->process) != 0)
		return -1;
	c->peer = (struct apply_peer){ .connection = ++c->in->last_number,
		.pid = c->process.pid,
		.uid = c->process.uid,
		.process_start = c->process.start };
	c->deadline = evtimer_new(base, on_deadline, c);
	if (c->deadline == NULL)
		return -1;
	if (c->process.pidfd >= 0) {
		c->death = event_new(base, c->process.pidfd, EV_READ, on_death, c);
		if (c->death == NULL || event_add(c->death, NULL) != 0)
			return -1;
	}
	set_deadline(c, c->in->options.handshake_ms);
	return 0;
}

struct connection *
connection_new(struct ingest *in, int socket)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(socket);
		return NULL;
	}
	c->in = in;
	c->stream.fd = -1;
	c->process.pidfd = -1;
	c->next = in->first;
	if (c->next)
		c->next->previous = c;
	in->first = c;
	ingest_count(in, 1);
	if (set_up(c, socket) != 0) {
		connection_free(c);
		return NULL;
	}
	return c;
}

/* A peer that has gone is dealt with in the next turn: what that does has to be written
 * before anything is shown. */
void
connection_send_held(struct connection *c)
{
	bool gone = stream_release(&c->stream) != 0;

	/* What has all been taken at once makes no socket writable. */
	if (gone || (c->stream.paused && stream_queued(&c->stream) <= QUEUE_BYTES_LOW))
		event_active(c->stream.writable, EV_WRITE, 0);
}
