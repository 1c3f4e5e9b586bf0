/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest_parts.h"

#include <errno.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE_MS   200	   /* no accepting while descriptors are out */
#define READ_BYTES 65536   /* at once from one connection, so that others get turns */
#define LONG_NS	   2000000 /* a turn: what else came is for the next one */

/* ---- Accepting --------------------------------------------------------- */

/* Log why a connection was not taken. */
static void
refuse_connection(struct ingest *in, enum reason reason, unsigned cause,
    const struct ucred *who, const char *why)
{
	self_refused(in->self, reason);
	log_limited(in->log, LOG_LEVEL_WARNING, cause, turn_ms(in->turn),
	    "ingest: connection of pid %d (uid %u) refused: %s", (int)who->pid,
	    (unsigned)who->uid, why);
}

static void
on_accept(struct evconnlistener *listener, int fd, struct sockaddr *address, int bytes,
    void *arg)
{
	struct ingest *in = arg;
	struct ucred who = { .uid = (uid_t)-1 };
	socklen_t n = sizeof(who);
	char why[64];

	(void)listener;
	(void)address;
	(void)bytes;
	turn_ms(in->turn);
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
	if (in->connections >= in->options.connections) {
		snprintf(why, sizeof(why), "there are %u already (ingest.connections)",
		    in->connections);
		refuse_connection(in, REASON_LIMIT, CAUSE_FULL, &who, why);
		close(fd);
		return;
	}
	if (connection_new(in, fd) == NULL)
		refuse_connection(in, REASON_MEMORY, CAUSE_MEMORY, &who, strerror(errno));
}

/* Out of descriptors, most likely. The listener stays readable: it must rest, or the loop
 * would spin. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct ingest *in = arg;
	struct timeval tv = milliseconds(PAUSE_MS);
	const char *why = strerror(errno);

	log_limited(in->log, LOG_LEVEL_ERROR, CAUSE_ACCEPT, turn_ms(in->turn),
	    "ingest: connections wait: %s", why);
	evconnlistener_disable(listener);
	event_add(in->pause, &tv);
}

static void
on_pause_over(int fd, short what, void *arg)
{
	struct ingest *in = arg;

	(void)fd;
	(void)what;
	if (!in->shut)
		evconnlistener_enable(in->listener);
}

/* ---- The whole --------------------------------------------------------- */

struct ingest *
ingest_new(const struct ingest_options *options, struct event_base *base,
    struct turn *turn, struct apply *apply, struct self_metrics *self, struct log *log)
{
	struct ingest *in = calloc(1, sizeof(*in));

	if (in == NULL) {
		close(options->listen);
		return NULL;
	}
	in->options = *options;
	in->base = base;
	in->turn = turn;
	in->apply = apply;
	in->self = self;
	in->log = log;
	in->pause = evtimer_new(base, on_pause_over, in);
	in->listener = evconnlistener_new(base, on_accept, in,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, options->listen);
	if (in->listener == NULL)
		close(options->listen);
	in->room = (struct stream_room){ malloc(READ_BYTES), READ_BYTES };
	if (in->listener == NULL || in->pause == NULL || in->room.at == NULL) {
		ingest_free(in);
		return NULL;
	}
	evconnlistener_set_error_cb(in->listener, on_accept_error);
	return in;
}

void
ingest_free(struct ingest *in)
{
	if (in == NULL)
		return;
	in->stopped = true;
	while (in->first) {
		apply_disconnect(in->apply, &in->first->peer, false, turn_ms(in->turn));
		connection_free(in->first);
	}
	if (in->listener)
		evconnlistener_free(in->listener);
	if (in->pause)
		event_free(in->pause);
	strbuf_free(&in->reply);
	free(in->room.at);
	free(in);
}

void
ingest_release(struct ingest *in)
{
	struct connection *c;

	while ((c = in->first_held) != NULL) {
		in->first_held = c->next_held;
		c->is_held = false;
		connection_send_held(c);
	}
}

void
ingest_hold(struct ingest *in, bool hold)
{
	bool goes_on = in->held && !hold && !in->stopped;

	if (hold && !in->held)
		log_limited(in->log, LOG_LEVEL_WARNING, CAUSE_HOLD, turn_ms(in->turn),
		    "ingest: requests wait: a snapshot takes long, and journals are "
		    "half of what they may be (state.journal_bytes)");
	in->held = hold;
	for (struct connection *c = in->first; c && goes_on; c = c->next)
		if (c->stream.fd >= 0 && !c->stream.paused)
			stream_resume(&c->stream);
}

void
ingest_count(struct ingest *in, int change)
{
	in->connections += (uint32_t)change;
	self_set(in->self, SELF_CONNECTIONS, 0, 0, in->connections);
}

void
ingest_took(struct ingest *in)
{
	if (turn_busy_ns(in->turn) > LONG_NS)
		event_base_loopbreak(in->base);
}

void
ingest_set_options(struct ingest *in, const struct ingest_options *options)
{
	in->options.connections = options->connections;
	in->options.handshake_ms = options->handshake_ms;
	in->options.frame_ms = options->frame_ms;
}

void
ingest_accept_no_more(struct ingest *in)
{
	in->shut = true;
	evconnlistener_disable(in->listener);
}

void
ingest_stop(struct ingest *in)
{
	in->stopped = true;
	ingest_accept_no_more(in);
	for (struct connection *c = in->first; c; c = c->next)
		if (c->stream.fd >= 0)
			stream_pause(&c->stream);
}

bool
ingest_has_replies(const struct ingest *in)
{
	for (const struct connection *c = in->first; c; c = c->next)
		if (stream_queued(&c->stream) > 0)
			return true;
	return false;
}
