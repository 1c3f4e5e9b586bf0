/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest_parts.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sp.h"

#define READ_BYTES	65536 /* at once from one connection, so that others get turns */
#define QUEUE_BYTES_MAX (1 << 20)   /* replies not taken: the peer is not read any more */
#define QUEUE_BYTES_LOW (256 << 10) /* ... and now it is read again */
#define DRAIN_BYTES_MAX (16 << 20)  /* read from a connection whose process is dead */
#define LINGER_MS	500 /* a process that closes all it has needs a moment to be dead */
#define BACKTRACE_BYTES (4 * SP_BACKTRACE_WORDS)

static void
count_connections(struct ingest *in, int change)
{
	in->connections += (uint32_t)change;
	self_set(in->self, SELF_CONNECTIONS, 0, 0, in->connections);
}

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
	if (c->stream)
		bufferevent_free(c->stream);
	if (c->held)
		evbuffer_free(c->held);
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
	count_connections(in, -1);
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
	bufferevent_free(c->stream);
	c->stream = NULL;
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

static void
hold_reply(struct connection *c, const uint8_t *backtrace, size_t backtrace_bytes)
{
	struct ingest *in = c->in;
	uint8_t head[SP_FRAME_BYTES + BACKTRACE_BYTES];

	sp_put_frame(head, backtrace_bytes + in->reply.bytes);
	memcpy(head + SP_FRAME_BYTES, backtrace, backtrace_bytes);
	evbuffer_add(c->held, head, SP_FRAME_BYTES + backtrace_bytes);
	evbuffer_add(c->held, in->reply.at, in->reply.bytes);
	if (!c->is_held) {
		c->is_held = true;
		c->next_held = in->first_held;
		in->first_held = c;
	}
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
	if (in->reply.failed || in->reply.bytes == 0) {
		refuse_connection(c, REASON_MEMORY, CAUSE_MEMORY, "memory is out");
		return VERDICT_BAD;
	}
	hold_reply(c, payload, backtrace);
	return VERDICT_NEXT;
}

static enum verdict
take_frame(struct connection *c, struct evbuffer *from)
{
	uint64_t most = (uint64_t)c->in->options.message_bytes + BACKTRACE_BYTES;
	uint8_t head[SP_FRAME_BYTES];
	uint64_t bytes;
	enum verdict verdict;
	const uint8_t *frame;

	if (evbuffer_copyout(from, head, sizeof(head)) < (ev_ssize_t)sizeof(head))
		return VERDICT_MORE;
	if (sp_get_frame(head, &bytes) != 0) {
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
	if (evbuffer_get_length(from) < sizeof(head) + bytes)
		return VERDICT_MORE;
	frame = evbuffer_pullup(from, (ev_ssize_t)(sizeof(head) + bytes));
	if (frame == NULL) {
		refuse_connection(c, REASON_MEMORY, CAUSE_MEMORY, "memory is out");
		return VERDICT_BAD;
	}
	verdict = take_payload(c, frame + sizeof(head), (size_t)bytes);
	c->progress = true;
	evbuffer_drain(from, sizeof(head) + bytes);
	return verdict;
}

static enum verdict
take_handshake(struct connection *c, struct evbuffer *from)
{
	uint8_t theirs[SP_HEADER_BYTES];
	uint8_t ours[SP_HEADER_BYTES];
	int protocol;

	if (evbuffer_copyout(from, theirs, sizeof(theirs)) < (ev_ssize_t)sizeof(theirs))
		return VERDICT_MORE;
	protocol = sp_get_header(theirs);
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
	evbuffer_drain(from, sizeof(theirs));
	c->state = protocol == SP_REQ ? STATE_REQ : STATE_PUSH;
	sp_put_header(ours, protocol == SP_REQ ? SP_REP : SP_PULL);
	bufferevent_write(c->stream, ours, sizeof(ours));
	clear_deadline(c);
	return VERDICT_NEXT;
}

size_t
connection_queued_bytes(const struct connection *c)
{
	if (c->stream == NULL)
		return 0;
	return evbuffer_get_length(bufferevent_get_output(c->stream)) +
	       evbuffer_get_length(c->held);
}

/*
 * Take what is whole. MORE: all was taken; NEXT: the peer must take its replies first;
 * BAD: c is to be closed.
 */
static enum verdict
take_all(struct connection *c, struct evbuffer *from)
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
		    connection_queued_bytes(c) > QUEUE_BYTES_MAX)
			return VERDICT_NEXT;
	}
	return verdict;
}

/* ---- Events ------------------------------------------------------------ */

static void
pause_reading(struct connection *c)
{
	bufferevent_disable(c->stream, EV_READ);
	c->paused = true;
	log_limited(c->in->log, LOG_LEVEL_WARNING, CAUSE_SLOW, turn_ms(c->in->turn),
	    "ingest: not reading: pid %d (uid %u) does not take its replies",
	    (int)c->peer.pid, (unsigned)c->peer.uid);
}

static void
serve(struct connection *c)
{
	struct evbuffer *input = bufferevent_get_input(c->stream);
	enum verdict verdict = take_all(c, input);

	if (verdict == VERDICT_BAD) {
		connection_close(c);
		return;
	}
	if (verdict == VERDICT_NEXT)
		pause_reading(c);
	if (c->state == STATE_HANDSHAKE)
		return;
	if (c->progress || c->paused)
		clear_deadline(c);
	c->progress = false;
	if (!c->paused && evbuffer_get_length(input) > 0)
		set_deadline(c, c->in->options.frame_ms);
}

static void
on_readable(struct bufferevent *stream, void *arg)
{
	struct connection *c = arg;

	(void)stream;
	turn_ms(c->in->turn);
	serve(c);
}

/* The queue has fallen to QUEUE_BYTES_LOW. */
static void
on_written(struct bufferevent *stream, void *arg)
{
	struct connection *c = arg;

	if (!c->paused || c->in->stopped)
		return;
	turn_ms(c->in->turn);
	c->paused = false;
	bufferevent_enable(stream, EV_READ);
	serve(c);
}

/*
 * Take what the kernel still has of a connection that nobody will be answered on. The
 * bound is for a clone that goes on sending.
 */
static void
drain(struct connection *c)
{
	struct evbuffer *rest = evbuffer_new();
	size_t taken = 0;
	int n = 1;

	bufferevent_disable(c->stream, EV_READ | EV_WRITE);
	if (rest == NULL)
		return;
	c->draining = true;
	evbuffer_add_buffer(rest, bufferevent_get_input(c->stream));
	while (take_all(c, rest) == VERDICT_MORE && n > 0 && taken < DRAIN_BYTES_MAX) {
		n = evbuffer_read(rest, bufferevent_getfd(c->stream), READ_BYTES);
		taken += n > 0 ? (size_t)n : 0;
	}
	evbuffer_free(rest);
}

static void
on_event(struct bufferevent *stream, short what, void *arg)
{
	struct connection *c = arg;

	(void)stream;
	(void)what;
	turn_ms(c->in->turn);
	drain(c);
	connection_close(c);
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

	c->stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->stream == NULL) {
		close(fd);
		return -1;
	}
	if (process_peer_of(fd, &c->process) != 0)
		return -1;
	c->peer = (struct apply_peer){ .connection = ++c->in->last_number,
		.pid = c->process.pid,
		.uid = c->process.uid,
		.process_start = c->process.start };
	c->held = evbuffer_new();
	c->deadline = evtimer_new(base, on_deadline, c);
	if (c->held == NULL || c->deadline == NULL)
		return -1;
	if (c->process.pidfd >= 0) {
		c->death = event_new(base, c->process.pidfd, EV_READ, on_death, c);
		if (c->death == NULL || event_add(c->death, NULL) != 0)
			return -1;
	}
	bufferevent_setcb(c->stream, on_readable, on_written, on_event, c);
	bufferevent_setwatermark(c->stream, EV_WRITE, QUEUE_BYTES_LOW, 0);
	bufferevent_set_max_single_read(c->stream, READ_BYTES);
	set_deadline(c, c->in->options.handshake_ms);
	return bufferevent_enable(c->stream, EV_READ | EV_WRITE);
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
	c->process.pidfd = -1;
	c->next = in->first;
	if (c->next)
		c->next->previous = c;
	in->first = c;
	count_connections(in, 1);
	if (set_up(c, socket) != 0) {
		connection_free(c);
		return NULL;
	}
	return c;
}

/*
 * Most replies fit into the socket: written here, they leave a turn of the loop and three
 * system calls earlier than by way of the bufferevent, which gets what is left.
 */
void
connection_send_held(struct connection *c)
{
	struct evbuffer *output = bufferevent_get_output(c->stream);

	/* A paused peer goes on when the bufferevent says that it has written. */
	if (evbuffer_get_length(output) == 0 && !c->paused)
		evbuffer_write(c->held, bufferevent_getfd(c->stream));
	if (evbuffer_get_length(c->held) > 0)
		bufferevent_write_buffer(c->stream, c->held);
}
