/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest_parts.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MS   200	   /* no accepting while descriptors are out */
#define HOUR_S	   3600	   /* until a timer fires that only has to be set */
#define READ_BYTES 65536   /* at once from one connection, so that others get turns */
#define WAITED_NS  1000000 /* a turn: who still waits then does so in the next one */
#define ACCEPTED   64	   /* at once; and no more of them are begun after ... */
#define ACCEPT_NS  500000

/* ---- Turns ------------------------------------------------------------- */

/* Only to wake the loop. */
static void
on_again(int fd, short what, void *arg)
{
	struct ingest *in = arg;

	(void)fd;
	(void)what;
	turn_ms(in->turn);
}

void
ingest_wait(struct connection *c)
{
	struct ingest *in = c->in;

	if (!c->is_waiting)
		TAILQ_INSERT_TAIL(&in->waiting, c, among_waiting);
	c->is_waiting = true;
}

/* Each once at most, and one at least. */
static void
visit_waiting(struct ingest *in)
{
	struct connection *last = TAILQ_LAST(&in->waiting, connections);
	bool all = last == NULL;

	while (!all) {
		struct connection *c = TAILQ_FIRST(&in->waiting);

		all = c == last;
		TAILQ_REMOVE(&in->waiting, c, among_waiting);
		c->is_waiting = false;
		connection_visit(c);
		all |= turn_busy_ns(in->turn) > WAITED_NS;
	}
}

/* Replies go at the end of a turn: a turn that has some goes to its end, but not two in a
 * row. */
void
ingest_turn(struct ingest *in)
{
	bool passes = in->took && !in->passed;

	in->took = false;
	in->passed = passes;
	if (!in->hold) {
		if (!passes)
			visit_waiting(in);
		if (!TAILQ_EMPTY(&in->waiting))
			event_active(in->again, EV_TIMEOUT, 0);
	}
	ingest_relieve(in);
}

bool
ingest_is_behind(const struct ingest *in)
{
	return !TAILQ_EMPTY(&in->waiting);
}

void
ingest_took(struct ingest *in)
{
	if (turn_busy_ns(in->turn) > TURN_LONG_NS)
		event_base_loopbreak(in->base);
}

/* ---- Accepting --------------------------------------------------------- */

/* Count and log why a connection was not taken. */
static void
refuse_one(struct ingest *in, const struct ucred *who, enum reason reason,
    enum self_closed cause, const char *why)
{
	self_refused(in->self, reason);
	self_closed(in->self, SELF_SOCKET_INGEST, cause);
	log_limited(in->log, LOG_LEVEL_WARNING, CAUSE_CLOSED + (unsigned)cause,
	    turn_ms(in->turn), "ingest: connection of pid %d (uid %u) refused: %s",
	    (int)who->pid, (unsigned)who->uid, why);
}

static bool
is_about_descriptors(int error)
{
	return error == EMFILE || error == ENFILE;
}

static void
take_connection(struct ingest *in, int fd)
{
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t n = sizeof(who);
	enum self_closed cause;
	char why[96];

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
	if (!ingest_make_room(in, who.uid, why, sizeof(why), &cause)) {
		refuse_one(in, &who, REASON_LIMIT, cause, why);
		close(fd);
		return;
	}
	if (connection_new(in, fd) != NULL)
		return;
	if (is_about_descriptors(errno))
		refuse_one(
		    in, &who, REASON_LIMIT, SELF_CLOSED_DESCRIPTORS, strerror(errno));
	else
		refuse_one(in, &who, REASON_MEMORY, SELF_CLOSED_MEMORY, strerror(errno));
}

/* It stays readable: it must rest, or the loop would spin. The timer is set already, so
 * that no memory is needed to set it anew. */
static void
rest(struct ingest *in, int error)
{
	struct timeval tv = milliseconds(PAUSE_MS);

	log_limited(in->log, LOG_LEVEL_ERROR, CAUSE_ACCEPT, turn_ms(in->turn),
	    "ingest: connections wait: %s", strerror(error));
	event_del(in->connecting);
	event_add(in->pause, &tv);
}

/* It left before it was accepted, or was not allowed to come. */
static bool
is_about_one(int error)
{
	return error == EINTR || error == ECONNABORTED || error == EPERM ||
	       error == EPROTO;
}

/* Some of those that connect: others have a turn as well. */
static void
on_connecting(int listen, short what, void *arg)
{
	struct ingest *in = arg;
	uint64_t began_ns = turn_clock_ns();

	(void)what;
	turn_ms(in->turn);
	for (int i = 0; i < ACCEPTED && turn_clock_ns() - began_ns < ACCEPT_NS; i++) {
		int fd = accept4(listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			take_connection(in, fd);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			break;
		} else if (!is_about_one(errno)) {
			rest(in, errno);
			break;
		}
	}
	ingest_took(in);
}

static void
on_pause_over(int fd, short what, void *arg)
{
	struct ingest *in = arg;
	struct timeval tv = { .tv_sec = HOUR_S };

	(void)fd;
	(void)what;
	/* There is room for it: it had some until now. */
	event_add(in->pause, &tv);
	if (!in->shut && event_add(in->connecting, NULL) != 0)
		rest(in, ENOMEM);
}

/* ---- The whole --------------------------------------------------------- */

static void
set_options(struct ingest *in, const struct ingest_options *options)
{
	uint32_t message_bytes = in->options.message_bytes;

	in->options = *options;
	if (message_bytes)
		in->options.message_bytes = message_bytes;
	if (options->uid_percent == 0)
		in->options.uid_percent = 100;
	if (options->descriptors == 0)
		in->options.descriptors = UINT32_MAX;
}

/* 0, or -1 when memory is out. */
static int
make_events(struct ingest *in)
{
	struct timeval hour = { .tv_sec = HOUR_S };

	in->pause = evtimer_new(in->base, on_pause_over, in);
	in->again = evtimer_new(in->base, on_again, in);
	in->connecting =
	    event_new(in->base, in->listen, EV_READ | EV_PERSIST, on_connecting, in);
	if (in->pause == NULL || in->again == NULL || in->connecting == NULL ||
	    event_add(in->pause, &hour) != 0)
		return -1;
	return event_add(in->connecting, NULL);
}

struct ingest *
ingest_new(const struct ingest_options *options, struct event_base *base,
    struct turn *turn, struct apply *apply, struct self_metrics *self, struct log *log)
{
	struct ingest *in = calloc(1, sizeof(*in));

	if (in == NULL) {
		close(options->listen);
		return NULL;
	}
	set_options(in, options);
	in->listen = options->listen;
	in->base = base;
	in->turn = turn;
	in->apply = apply;
	in->self = self;
	in->log = log;
	TAILQ_INIT(&in->open);
	TAILQ_INIT(&in->lingering);
	TAILQ_INIT(&in->held);
	TAILQ_INIT(&in->waiting);
	TAILQ_INIT(&in->bulky);
	owners_init(&in->users);
	in->room = (struct stream_room){ malloc(READ_BYTES), READ_BYTES };
	if (in->room.at == NULL || make_events(in) != 0) {
		ingest_free(in);
		return NULL;
	}
	return in;
}

static void
free_all(struct ingest *in, struct connections *all)
{
	struct connection *c;

	while ((c = TAILQ_FIRST(all)) != NULL) {
		apply_disconnect(in->apply, &c->peer, false, turn_ms(in->turn));
		connection_free(c);
	}
}

void
ingest_free(struct ingest *in)
{
	if (in == NULL)
		return;
	in->stopped = true;
	free_all(in, &in->open);
	free_all(in, &in->lingering);
	if (in->connecting)
		event_free(in->connecting);
	if (in->pause)
		event_free(in->pause);
	if (in->again)
		event_free(in->again);
	close(in->listen);
	owners_free(&in->users);
	strbuf_free(&in->reply);
	free(in->room.at);
	free(in);
}

void
ingest_release(struct ingest *in)
{
	struct connection *c;

	while ((c = TAILQ_FIRST(&in->held)) != NULL) {
		TAILQ_REMOVE(&in->held, c, among_held);
		c->is_held = false;
		connection_send_held(c);
	}
}

void
ingest_hold(struct ingest *in, bool hold)
{
	bool goes_on = in->hold && !hold && !in->stopped;
	struct connection *c;

	if (hold && !in->hold)
		log_limited(in->log, LOG_LEVEL_WARNING, CAUSE_HOLD, turn_ms(in->turn),
		    "ingest: requests wait: a snapshot takes long, and journals are "
		    "half of what they may be (state.journal_bytes)");
	in->hold = hold;
	if (!goes_on)
		return;
	for (c = TAILQ_FIRST(&in->open); c; c = TAILQ_NEXT(c, among_all))
		if (!c->stream.paused)
			connection_read_on(c);
	if (!TAILQ_EMPTY(&in->waiting))
		event_active(in->again, EV_TIMEOUT, 0);
}

void
ingest_set_options(struct ingest *in, const struct ingest_options *options)
{
	set_options(in, options);
}

void
ingest_listen_at(struct ingest *in, int listen)
{
	event_del(in->connecting);
	dup3(listen, in->listen, O_CLOEXEC);
	close(listen);
	if (!in->shut && event_add(in->connecting, NULL) != 0)
		rest(in, ENOMEM);
}

void
ingest_accept_no_more(struct ingest *in)
{
	in->shut = true;
	event_del(in->connecting);
}

void
ingest_stop(struct ingest *in)
{
	struct connection *c;

	in->stopped = true;
	ingest_accept_no_more(in);
	for (c = TAILQ_FIRST(&in->open); c; c = TAILQ_NEXT(c, among_all))
		stream_pause(&c->stream);
	while ((c = TAILQ_FIRST(&in->waiting)) != NULL) {
		TAILQ_REMOVE(&in->waiting, c, among_waiting);
		c->is_waiting = false;
		if (c->ending)
			connection_close(c);
	}
}

bool
ingest_has_replies(const struct ingest *in)
{
	const struct connection *c;

	for (c = TAILQ_FIRST(&in->open); c; c = TAILQ_NEXT(c, among_all))
		if (stream_queued(&c->stream) > 0)
			return true;
	return false;
}
