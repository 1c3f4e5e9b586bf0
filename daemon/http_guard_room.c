/* SPDX-License-Identifier: Apache-2.0 */
/* Who is accepted, and who has to go: late ones, and those that make room. */
#include "http_guard_parts.h"

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>

#define TICK_MS	      200
#define TICK_FULL_MS  5	      /* clients wait for a connection */
#define TICK_NONE_MS  3600000 /* there is nothing to look at */
#define RESERVE_BYTES 32768   /* what evhttp allocates for a connection, and more */
#define PAUSE_MS      200     /* no accepting while descriptors are out */

/* Who may have to make room: without a whole request for so long, or, when others have
 * waited for a while, for any time; and whose answer lies untaken for so long. */
#define IDLE_MS	    5
#define WAITED_MS   100
#define PATIENCE_MS 250

/* evhttp ends those that take nothing for request_ms; for those that take a little, it
 * begins anew. */
#define SLOW_TIMES 3

#define ACCEPTS 64 /* in one turn */

/* Causes of limited log lines; 54 to 57 are this module's. */
enum { CAUSE_GUARD_FULL = 54, CAUSE_GUARD_DESCRIPTORS, CAUSE_GUARD_MEMORY };

/* ---- Who is late ---------------------------------------------------------- */

/* End those that have been in a state for too long. */
static void
end_late(struct http_guard *g, enum guarded_state state, uint64_t most_ms,
    enum self_closed cause)
{
	uint64_t now_ms = turn_ms(g->turn);
	struct guarded *c;

	while ((c = TAILQ_FIRST(&g->list[state])) != NULL &&
	       now_ms - c->since_ms > most_ms) {
		guarded_end(c, cause);
		if (c == TAILQ_FIRST(&g->list[state]))
			return;
	}
}

/* End those that send too much at once. */
static void
end_full(struct http_guard *g)
{
	struct guarded *c;

	while ((c = TAILQ_FIRST(&g->overfull)) != NULL)
		guarded_end(c, SELF_CLOSED_PROTOCOL);
}

/* ---- Room -------------------------------------------------------------- */

/* The one that has been in a state for longest, if it was for so long. */
static struct guarded *
longest(const struct http_guard *g, enum guarded_state state, uint32_t ms)
{
	struct guarded *c = TAILQ_FIRST(&g->list[state]);

	return c && turn_ms(g->turn) - c->since_ms >= ms ? c : NULL;
}

/* Who has to go for a new one. NULL: nobody yet. */
static struct guarded *
dispensable(const struct http_guard *g)
{
	bool waited = g->full && turn_ms(g->turn) - g->full_ms >= WAITED_MS;
	struct guarded *quiet = longest(g, GUARDED_QUIET, waited ? 0 : IDLE_MS);
	struct guarded *arriving = longest(g, GUARDED_ARRIVING, waited ? 0 : IDLE_MS);

	if (quiet && (arriving == NULL || quiet->since_ms <= arriving->since_ms))
		return quiet;
	return arriving ? arriving : longest(g, GUARDED_SENT, PATIENCE_MS);
}

static bool
has_room(struct http_guard *g)
{
	uint64_t now_ms = turn_ms(g->turn);

	if (g->count >= g->options.connections && g->looked_ms != now_ms) {
		g->looked_ms = now_ms;
		http_guard_look(g);
	}
	return g->count < g->options.connections || dispensable(g) != NULL;
}

static void
make_room(struct http_guard *g, enum self_closed cause)
{
	struct guarded *c = dispensable(g);

	if (c == NULL)
		return;
	log_limited(g->log, LOG_LEVEL_WARNING, CAUSE_GUARD_FULL, turn_ms(g->turn),
	    "http: all connections are taken (http.connections is %u): one that %s makes "
	    "room for another",
	    g->options.connections,
	    c->state == GUARDED_SENT ? "leaves its answer untaken" : "asks nothing");
	guarded_end(c, c->state == GUARDED_SENT ? SELF_CLOSED_SLOW : cause);
}

static void
set_tick(struct http_guard *g, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	event_add(g->tick, &tv);
}

static void
set_listener(struct http_guard *g)
{
	bool full = !has_room(g);

	if (full && !g->full)
		g->full_ms = turn_ms(g->turn);
	g->full = full;
	if (g->stopped || g->full || g->accepts >= ACCEPTS || g->rests_until_ms)
		evconnlistener_disable(g->listener);
	else
		evconnlistener_enable(g->listener);
}

static void
on_tick(int fd, short what, void *arg)
{
	struct http_guard *g = arg;

	(void)fd;
	(void)what;
	if (g->reserve == NULL)
		g->reserve = malloc(RESERVE_BYTES);
	if (g->rests_until_ms <= turn_ms(g->turn) && g->reserve)
		g->rests_until_ms = 0;
	end_full(g);
	end_late(g, GUARDED_ARRIVING, g->options.request_ms, SELF_CLOSED_LATE);
	end_late(g, GUARDED_SENT, SLOW_TIMES * (uint64_t)g->options.request_ms,
	    SELF_CLOSED_SLOW);
	http_guard_look(g);
	set_listener(g);
	if (g->full || g->rests_until_ms)
		set_tick(g, TICK_FULL_MS);
	else
		set_tick(g, g->count > 0 ? TICK_MS : TICK_NONE_MS);
}

/* ---- Accepting --------------------------------------------------------- */

/*
 * Whether evhttp will get what it allocates for a connection. When that fails half-way,
 * libevent follows a null pointer, and nothing that we return keeps it from beginning.
 */
static bool
has_memory(struct http_guard *g)
{
	void *probe = malloc(RESERVE_BYTES);

	free(probe);
	if (probe)
		return true;
	free(g->reserve);
	g->reserve = NULL;
	return false;
}

static void
rest(struct http_guard *g)
{
	g->rests_until_ms = turn_ms(g->turn) + PAUSE_MS;
	evconnlistener_disable(g->listener);
	set_tick(g, PAUSE_MS);
}

/* evhttp calls this for each connection that it accepts. */
static struct bufferevent *
on_accept(struct event_base *base, void *arg)
{
	struct http_guard *g = arg;
	struct guarded *c;

	/* More of them after a reload with less go as new ones come. */
	for (int i = 0; i < 2 && g->count >= g->options.connections; i++)
		make_room(g, SELF_CLOSED_IDLE);
	if (!has_memory(g))
		rest(g);
	c = guarded_new(g, base);
	if (c == NULL) {
		/* evhttp makes one of its own, or closes: it is not to get more now. */
		self_closed(g->self, SELF_SOCKET_HTTP, SELF_CLOSED_MEMORY);
		log_limited(g->log, LOG_LEVEL_ERROR, CAUSE_GUARD_MEMORY, turn_ms(g->turn),
		    "http: no connection: memory is out");
		rest(g);
		return NULL;
	}
	g->count++;
	g->accepts++;
	if (g->count == 1)
		set_tick(g, TICK_MS);
	set_listener(g);
	if (g->full)
		set_tick(g, TICK_FULL_MS);
	/* Now only, for evhttp has yet to give it its callbacks. */
	guarded_link(c);
	return c->stream;
}

struct search {
	const struct evconnlistener *listener;
	struct http_guard *found;
};

static int
is_guard(const struct event_base *base, const struct event *e, void *arg)
{
	struct search *search = arg;
	struct http_guard *g = event_get_callback_arg(e);

	(void)base;
	if (event_get_callback(e) != on_tick || g->listener != search->listener)
		return 0;
	search->found = g;
	return 1;
}

/*
 * Out of descriptors, most likely. The listener stays readable: it must rest, or the loop
 * would spin. What libevent hands in is evhttp's, and the guard is known by its timer,
 * which is always set.
 */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct search search = { listener, NULL };
	struct http_guard *g;

	(void)arg;
	event_base_foreach_event(evconnlistener_get_base(listener), is_guard, &search);
	g = search.found;
	if (g == NULL)
		return;
	log_limited(g->log, LOG_LEVEL_WARNING, CAUSE_GUARD_DESCRIPTORS, turn_ms(g->turn),
	    "http: no connection: descriptors are out: raise LimitNOFILE, or ulimit -n");
	rest(g);
	make_room(g, SELF_CLOSED_DESCRIPTORS);
}

/* ---- The whole --------------------------------------------------------- */

struct http_guard *
http_guard_new(struct evhttp *http, struct evconnlistener *listener,
    const struct http_guard_options *options, struct turn *turn,
    struct self_metrics *self, struct log *log)
{
	struct http_guard *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->listener = listener;
	g->options = *options;
	g->turn = turn;
	g->self = self;
	g->log = log;
	TAILQ_INIT(&g->all);
	TAILQ_INIT(&g->overfull);
	for (size_t i = 0; i < GUARDED_STATES; i++)
		TAILQ_INIT(&g->list[i]);
	g->tick = evtimer_new(evconnlistener_get_base(listener), on_tick, g);
	g->reserve = malloc(RESERVE_BYTES);
	if (g->tick == NULL || g->reserve == NULL) {
		if (g->tick)
			event_free(g->tick);
		free(g->reserve);
		free(g);
		return NULL;
	}
	set_tick(g, TICK_NONE_MS);
	evconnlistener_set_error_cb(listener, on_accept_error);
	evhttp_set_bevcb(http, on_accept, g);
	return g;
}

void
http_guard_free(struct http_guard *g)
{
	if (g == NULL)
		return;
	while (g->count > 0)
		guarded_release(TAILQ_FIRST(&g->all));
	event_free(g->tick);
	free(g->reserve);
	free(g);
}

void
http_guard_set(struct http_guard *g, const struct http_guard_options *options)
{
	g->options = *options;
	set_listener(g);
	if (g->full)
		set_tick(g, TICK_FULL_MS);
}

void
http_guard_turn(struct http_guard *g)
{
	if (g->accepts == 0)
		return;
	g->accepts = 0;
	set_listener(g);
}

void
http_guard_stop(struct http_guard *g)
{
	g->stopped = true;
	evconnlistener_disable(g->listener);
}
