/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAIN_BYTES_MAX (16 << 20) /* read from a connection whose process is dead */
#define LINGER_MS	500 /* a process that closes all it has needs a moment to be dead */
#define UNREAD_MS	500	 /* more, for a peer that is late while nothing is read */
#define VISIT_NS	250000	 /* the time of a visit; a message may take longer */
#define HEAVY_NS	2000000	 /* who has had so much of our time lately waits ... */
#define LONG_WEIGHT	8	 /* of what a visit took too long, once more */
#define HEAVY_NS_NEW	10000000 /* ... and so does who is new, for a while; */
#define HEAVY_NS_MAX	50000000 /* no more of it is remembered; */
#define HEAVY_SHARE	25	 /* a twenty-fifth of all time is forgotten */

static bool
set_deadline(struct connection *c, uint32_t ms)
{
	struct timeval tv = milliseconds(ms);

	if (!c->deadline_is_set)
		c->deadline_is_set = event_add(c->deadline, &tv) == 0;
	return c->deadline_is_set;
}

static void
clear_deadline(struct connection *c)
{
	if (c->deadline_is_set)
		event_del(c->deadline);
	c->deadline_is_set = false;
}

/* ---- The end of a connection ------------------------------------------- */

/* It takes part in nothing any more. */
static void
leave(struct connection *c)
{
	struct ingest *in = c->in;

	if (c->is_held)
		TAILQ_REMOVE(&in->held, c, among_held);
	if (c->is_waiting)
		TAILQ_REMOVE(&in->waiting, c, among_waiting);
	c->is_held = c->is_waiting = false;
	stream_close(&c->stream);
	ingest_account(c, false);
}

void
connection_free(struct connection *c)
{
	struct ingest *in = c->in;

	leave(c);
	if (c->deadline)
		event_free(c->deadline);
	if (c->death)
		event_free(c->death);
	process_peer_close(&c->process);
	if (c->state == STATE_LINGER)
		TAILQ_REMOVE(&in->lingering, c, among_all);
	else
		TAILQ_REMOVE(&in->open, c, among_all);
	if (c->user)
		owners_remove(&in->users, c->user);
	ingest_count(in, -1);
	free(c);
}

void
connection_end(struct connection *c)
{
	struct ingest *in = c->in;

	apply_disconnect(
	    in->apply, &c->peer, process_peer_is_gone(&c->process), turn_ms(in->turn));
	connection_free(c);
}

/*
 * A process that is killed closes what it has a moment before it is dead, so one that
 * has sessions is watched a little longer: if it is dead then, they can be folded at
 * once.
 */
void
connection_close(struct connection *c)
{
	clear_deadline(c);
	if (!apply_has_worker(c->in->apply, &c->peer) || c->process.pidfd < 0 ||
	    c->in->stopped || process_peer_is_gone(&c->process) ||
	    !set_deadline(c, LINGER_MS)) {
		connection_end(c);
		return;
	}
	leave(c);
	c->state = STATE_LINGER;
	TAILQ_REMOVE(&c->in->open, c, among_all);
	TAILQ_INSERT_TAIL(&c->in->lingering, c, among_all);
}

/* Where nothing may be told to its sessions now. */
static void
doom(struct connection *c)
{
	c->doomed = true;
	event_active(c->deadline, EV_TIMEOUT, 0);
}

/*
 * It has ended, or cannot be written any more: what the kernel still has of it is taken,
 * and nobody is answered. No more than there is now: a clone may go on sending.
 */
static void
begin_end(struct connection *c)
{
	int bytes = 0;

	clear_deadline(c);
	if (ioctl(c->stream.fd, FIONREAD, &bytes) != 0 || bytes < 0)
		bytes = 0;
	c->left = bytes < DRAIN_BYTES_MAX ? (size_t)bytes : DRAIN_BYTES_MAX;
	c->ending = true;
	if (c->in->stopped || (c->left == 0 && !c->unseen)) {
		connection_close(c);
		return;
	}
	stream_pause(&c->stream);
	ingest_wait(c);
}

/* ---- What a peer may have of our time ------------------------------------ */

static void
forget_use(struct connection *c, uint64_t now_ns)
{
	uint64_t forgotten = (now_ns - c->used_at_ns) / HEAVY_SHARE;

	c->used_ns -= forgotten < c->used_ns ? forgotten : c->used_ns;
	c->used_at_ns = now_ns;
}

/* A visit has ended. A message that takes longer than one may weighs more than many that
 * do not: others wait for all of it. */
static void
count_use(struct connection *c, uint64_t began_ns)
{
	uint64_t ns;

	forget_use(c, turn_clock_ns());
	ns = c->used_at_ns - began_ns;
	c->used_ns += ns > VISIT_NS ? ns + LONG_WEIGHT * (ns - VISIT_NS) : ns;
	if (c->used_ns > HEAVY_NS_MAX)
		c->used_ns = HEAVY_NS_MAX;
}

static bool
is_heavy(struct connection *c)
{
	if (c->used_ns <= HEAVY_NS)
		return false;
	forget_use(c, turn_clock_ns());
	return c->used_ns > HEAVY_NS;
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

/* The deadline of what is not whole. False when it could not be set. */
static bool
watch_message(struct connection *c)
{
	if (c->progress || c->unseen)
		clear_deadline(c);
	if (c->state == STATE_HANDSHAKE || c->unseen ||
	    stream_kept(&c->stream).bytes == 0)
		return true;
	return set_deadline(c, c->in->options.frame_ms);
}

/* Take it. False: c is gone. */
static bool
serve(struct connection *c, struct stream_view view, uint64_t until_ns)
{
	enum verdict verdict = connection_take(c, view, until_ns);

	if (verdict == VERDICT_BAD) {
		connection_close(c);
		return false;
	}
	c->unseen = verdict == VERDICT_LATER || verdict == VERDICT_FULL;
	if (c->progress)
		ingest_touch(c);
	if (verdict == VERDICT_FULL)
		pause_reading(c);
	if (!c->ending && !watch_message(c)) {
		connection_refuse(c, REASON_MEMORY, SELF_CLOSED_MEMORY, "memory is out");
		connection_close(c);
		return false;
	}
	ingest_account(c, c->progress);
	c->progress = false;
	return true;
}

/* Bytes of what is to be looked at, 0: none, -1: it has ended. */
static int
next_bytes(struct connection *c, struct stream_view *ret)
{
	int n;

	*ret = stream_kept(&c->stream);
	if (c->unseen)
		return 1;
	if (c->ending && c->left == 0)
		return -1;
	n = stream_read(&c->stream, &c->in->room, ret);
	if (!c->ending)
		return n;
	c->left -= n > 0 && (size_t)n < c->left ? (size_t)n : c->left;
	return n > 0 ? n : -1;
}

void
connection_visit(struct connection *c)
{
	uint64_t began_ns = turn_clock_ns();
	struct stream_view view;
	int n;

	/* What is kept is looked at first, and then what came meanwhile is read. */
	c->more &= c->unseen;
	n = next_bytes(c, &view);
	if (n < 0 && c->ending) {
		connection_close(c);
		return;
	}
	if (n < 0) {
		begin_end(c);
		return;
	}
	if (n > 0 && !serve(c, view, began_ns + VISIT_NS))
		return;
	count_use(c, began_ns);
	/* As much as is read at once: there is more, most likely. */
	if (c->ending || ((c->unseen || c->more || (size_t)n == c->in->room.bytes) &&
			     !c->stream.paused))
		ingest_wait(c);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct connection *c = arg;
	struct ingest *in = c->in;

	(void)fd;
	(void)what;
	turn_ms(in->turn);
	/* Until it goes on, the loop is not to come back for this. */
	if (in->hold) {
		event_del(c->stream.readable);
		return;
	}
	if (c->is_waiting || is_heavy(c)) {
		c->more = true;
		ingest_wait(c);
	} else {
		in->took = true;
		connection_visit(c);
	}
	ingest_took(in);
}

void
connection_read_on(struct connection *c)
{
	if (stream_resume(&c->stream) != 0)
		doom(c);
}

static void
on_writable(int fd, short what, void *arg)
{
	struct connection *c = arg;
	size_t queued = stream_queued(&c->stream);

	(void)fd;
	(void)what;
	turn_ms(c->in->turn);
	if (c->ending)
		return;
	if (stream_send(&c->stream) != 0) {
		begin_end(c);
		return;
	}
	ingest_account(c, stream_queued(&c->stream) < queued);
	if (!c->stream.paused || c->in->stopped ||
	    stream_queued(&c->stream) > c->in->options.queue_bytes / 4)
		return;
	connection_read_on(c);
	if (c->unseen)
		ingest_wait(c);
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
	if (c->peer.bindings != NULL && !c->ending)
		begin_end(c);
}

/* It had its time. */
static void
refuse_late(struct connection *c)
{
	if (c->state == STATE_HANDSHAKE)
		connection_refuse(c, REASON_MESSAGE, SELF_CLOSED_LATE,
		    "no handshake within %u ms", c->in->options.handshake_ms);
	else
		connection_refuse(c, REASON_MESSAGE, SELF_CLOSED_LATE,
		    "a message was not whole within %u ms", c->in->options.frame_ms);
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
	if (c->doomed) {
		connection_refuse(c, REASON_MEMORY, SELF_CLOSED_MEMORY, "memory is out");
		connection_close(c);
		return;
	}
	/* What it is to send may have come, and was not looked for. */
	if ((c->in->hold || c->is_waiting) && set_deadline(c, UNREAD_MS))
		return;
	refuse_late(c);
	connection_close(c);
}

/* ---- Made ---------------------------------------------------------------- */

/* 0, or -1 with errno when memory or descriptors are out; what was made is in c. */
static int
set_up(struct connection *c, int fd)
{
	struct event_base *base = c->in->base;

	errno = ENOMEM;
	if (stream_open(&c->stream, base, fd, on_readable, on_writable, c) != 0 ||
	    process_peer_of(fd, &c->process) != 0)
		return -1;
	c->peer = (struct apply_peer){ .connection = ++c->in->last_number,
		.pid = c->process.pid,
		.uid = c->process.uid,
		.process_start = c->process.start };
	errno = ENOMEM;
	c->deadline = evtimer_new(base, on_deadline, c);
	if (c->deadline == NULL || !ingest_count_user(c))
		return -1;
	if (c->process.pidfd >= 0) {
		c->death = event_new(base, c->process.pidfd, EV_READ, on_death, c);
		if (c->death == NULL || event_add(c->death, NULL) != 0)
			return -1;
	}
	return set_deadline(c, c->in->options.handshake_ms) ? 0 : -1;
}

struct connection *
connection_new(struct ingest *in, int socket)
{
	struct connection *c = calloc(1, sizeof(*c));
	int error;

	if (c == NULL) {
		close(socket);
		errno = ENOMEM;
		return NULL;
	}
	c->in = in;
	c->stream.fd = -1;
	c->process.pidfd = -1;
	c->touched_ms = turn_ms(in->turn);
	c->used_ns = HEAVY_NS_NEW;
	c->used_at_ns = turn_clock_ns();
	TAILQ_INSERT_TAIL(&in->open, c, among_all);
	ingest_count(in, 1);
	if (set_up(c, socket) != 0) {
		error = errno;
		connection_free(c);
		errno = error;
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

	ingest_account(c, false);
	/* What has all been taken at once makes no socket writable. */
	if (gone || (c->stream.paused &&
			stream_queued(&c->stream) <= c->in->options.queue_bytes / 4))
		event_active(c->stream.writable, EV_WRITE, 0);
}
