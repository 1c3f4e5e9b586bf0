/* SPDX-License-Identifier: Apache-2.0 */
#include "http_guard.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>

#define TICK_MS	       200
#define TICK_FULL_MS   10    /* clients wait for a connection */
#define PAUSE_MS       200   /* no accepting while descriptors are out */
#define READ_AHEAD_MAX 65536 /* of requests that come before their turn */

struct guarded {
	struct http_guard *guard;
	struct guarded *next;
	struct bufferevent *stream;
	uint64_t since_ms; /* when the request that is arriving began; 0: none is */
	bool asked;	   /* a request has come whole */
	bool answering;
};

struct http_guard {
	struct evconnlistener *listener;
	struct event *tick;
	struct turn *turn;
	struct guarded *first;
	uint32_t count;
	uint32_t most;
	uint32_t request_ms;
	bool full; /* the listener rests */
	bool stopped;
};

static const struct timeval pause_time = { .tv_usec = PAUSE_MS * 1000 };

static void
set_tick(struct http_guard *g)
{
	struct timeval tv = { .tv_usec = (g->full ? TICK_FULL_MS : TICK_MS) * 1000 };

	event_add(g->tick, &tv);
}

/* Bytes came, or were taken. */
static void
on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct guarded *c = arg;

	(void)input;
	if (info->n_added > 0 && c->since_ms == 0 && !c->answering)
		c->since_ms = turn_ms(c->guard->turn);
}

/* evhttp calls this for each connection that it accepts. */
static struct bufferevent *
on_accept(struct event_base *base, void *arg)
{
	struct http_guard *g = arg;
	struct guarded *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	/* The guard closes it: then no event of it is left when its number is used again.
	 */
	c->stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (c->stream == NULL ||
	    !evbuffer_add_cb(bufferevent_get_input(c->stream), on_input, c)) {
		if (c->stream)
			bufferevent_free(c->stream);
		free(c);
		return NULL;
	}
	bufferevent_setwatermark(c->stream, EV_READ, 0, READ_AHEAD_MAX);
	bufferevent_incref(c->stream);
	c->guard = g;
	c->next = g->first;
	g->first = c;
	g->count++;
	if (g->count >= g->most) {
		g->full = true;
		evconnlistener_disable(g->listener);
	}
	if (g->full || !event_pending(g->tick, EV_TIMEOUT, NULL))
		set_tick(g);
	return c->stream;
}

static bool
is_free(const struct guarded *c)
{
	bufferevent_event_cb event = NULL;

	bufferevent_getcb(c->stream, NULL, NULL, &event, NULL);
	return event == NULL;
}

static void
release(struct http_guard *g, struct guarded **at)
{
	struct guarded *c = *at;

	*at = c->next;
	g->count--;
	evbuffer_remove_cb(bufferevent_get_input(c->stream), on_input, c);
	bufferevent_decref(c->stream);
	free(c);
}

static void
on_tick(int fd, short what, void *arg)
{
	struct http_guard *g = arg;
	uint64_t now_ms = turn_ms(g->turn);

	(void)fd;
	(void)what;
	for (struct guarded **at = &g->first; *at;) {
		struct guarded *c = *at;

		/* evhttp takes this for its own time-out, and frees the connection. */
		if (!is_free(c) && !c->answering && c->since_ms != 0 &&
		    now_ms - c->since_ms > g->request_ms)
			bufferevent_trigger_event(
			    c->stream, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
		if (is_free(c))
			release(g, at);
		else
			at = &c->next;
	}
	if (g->full && g->count < g->most && !g->stopped) {
		g->full = false;
		evconnlistener_enable(g->listener);
	}
	if (g->first)
		set_tick(g);
}

static void
on_pause_over(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	evconnlistener_enable(arg);
}

/*
 * Out of descriptors, most likely. The listener stays readable: it must rest, or the loop
 * would spin. arg is evhttp's.
 */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	(void)arg;
	evconnlistener_disable(listener);
	event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_pause_over,
	    listener, &pause_time);
}

struct http_guard *
http_guard_new(struct evhttp *http, struct evconnlistener *listener, uint32_t connections,
    uint32_t request_ms, struct turn *turn)
{
	struct http_guard *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->listener = listener;
	g->most = connections;
	g->request_ms = request_ms;
	g->turn = turn;
	g->tick = evtimer_new(evconnlistener_get_base(listener), on_tick, g);
	if (g->tick == NULL) {
		free(g);
		return NULL;
	}
	evconnlistener_set_error_cb(listener, on_accept_error);
	evhttp_set_bevcb(http, on_accept, g);
	return g;
}

void
http_guard_free(struct http_guard *g)
{
	if (g == NULL)
		return;
	while (g->first)
		release(g, &g->first);
	event_free(g->tick);
	free(g);
}

void
http_guard_set(struct http_guard *g, uint32_t connections, uint32_t request_ms)
{
	g->most = connections;
	g->request_ms = request_ms;
	if (g->stopped)
		return;
	g->full = g->count >= g->most;
	if (g->full) {
		evconnlistener_disable(g->listener);
		set_tick(g);
	} else {
		evconnlistener_enable(g->listener);
	}
}

struct guarded *
http_guard_request(struct http_guard *g, struct bufferevent *stream)
{
	struct guarded *c = g->first;

	while (c && c->stream != stream)
		c = c->next;
	if (c) {
		c->asked = true;
		c->answering = true;
		c->since_ms = 0;
	}
	return c;
}

void
http_guard_answered(struct guarded *c)
{
	if (c == NULL)
		return;
	c->answering = false;
	if (evbuffer_get_length(bufferevent_get_input(c->stream)) > 0)
		c->since_ms = turn_ms(c->guard->turn);
}

bool
http_guard_is_answering(const struct http_guard *g)
{
	for (const struct guarded *c = g->first; c; c = c->next)
		if (c->answering && !is_free(c))
			return true;
	return false;
}

bool
http_guard_is_expecting(const struct http_guard *g)
{
	for (const struct guarded *c = g->first; c; c = c->next)
		if ((!c->asked || c->since_ms != 0) && !is_free(c))
			return true;
	return false;
}

void
http_guard_stop(struct http_guard *g)
{
	g->stopped = true;
	evconnlistener_disable(g->listener);
}
