/* SPDX-License-Identifier: Apache-2.0 */
#include "http_guard.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "http_bytes.h"

#define TICK_MS	      200
#define TICK_FULL_MS  10      /* clients wait for a connection */
#define TICK_NONE_MS  3600000 /* there is nothing to look at */
#define RESERVE_BYTES 32768   /* what evhttp allocates for a connection, and more */
#define PAUSE_MS      200     /* no accepting while descriptors are out */

/* Who may have to make room: without a whole request for so long, or, when others have
 * waited for a while, for any time; and whose answer lies untaken for so long. */
#define IDLE_MS	    10
#define WAITED_MS   100
#define PATIENCE_MS 250

/* evhttp ends those that take nothing for request_ms; for those that take a little, it
 * begins anew. */
#define SLOW_TIMES 3

#define ACCEPTS 64   /* in one turn */
#define LOOKS	8192 /* at connections that evhttp may have freed, at once */
#define BUCKETS 4096

/* Causes of limited log lines; 54 to 57 are this module's. */
enum { CAUSE_GUARD_FULL = 54, CAUSE_GUARD_DESCRIPTORS, CAUSE_GUARD_MEMORY };

/* What a connection is waiting for. */
enum guarded_state {
	GUARDED_QUIET,	  /* the first byte of a request */
	GUARDED_ARRIVING, /* the rest of it */
	GUARDED_OWED,	  /* us */
	GUARDED_SENT,	  /* the client to take what was sent */
	GUARDED_STATES
};

TAILQ_HEAD(guarded_list, guarded);

struct guarded {
	struct http_guard *guard;
	struct bufferevent *stream;
	struct guarded *next; /* of its bucket */
	TAILQ_ENTRY(guarded) all;
	TAILQ_ENTRY(guarded) place; /* in the list of its state */
	enum guarded_state state;
	uint64_t since_ms; /* in that state */
	bool asked;	   /* a request has come whole */
	bool full;	   /* what it sends is too long */
	TAILQ_ENTRY(guarded) full_place;
	struct http_bytes bytes;
};

struct http_guard {
	struct http_guard_options options;
	struct evconnlistener *listener;
	struct event *tick;
	struct turn *turn;
	struct self_metrics *self;
	struct log *log;
	struct guarded_list all;		  /* the next to look at first */
	struct guarded_list list[GUARDED_STATES]; /* the longest in that state first */
	struct guarded_list overfull;
	struct guarded *bucket[BUCKETS];
	uint32_t count;
	uint32_t accepts;	 /* in this turn */
	uint64_t looked_ms;	 /* at all, to make room */
	uint64_t rests_until_ms; /* descriptors or memory are out */
	void *reserve;		 /* given up for a last connection when memory is out */
	uint64_t full_ms;	 /* since when there is no room; 0: there is */
	bool full;		 /* the listener rests until there is room */
	bool stopped;
};

/* ---- Connections ------------------------------------------------------- */

static struct guarded **
bucket_of(struct http_guard *g, const struct bufferevent *stream)
{
	uint64_t h = (uint64_t)(uintptr_t)stream * 0x9e3779b97f4a7c15U;

	return &g->bucket[h >> 52 & (BUCKETS - 1)];
}

static void
enter(struct guarded *c, enum guarded_state state)
{
	struct http_guard *g = c->guard;

	TAILQ_REMOVE(&g->list[c->state], c, place);
	c->state = state;
	c->since_ms = turn_ms(g->turn);
	TAILQ_INSERT_TAIL(&g->list[state], c, place);
}

/*
 * More came, though evhttp has left too much of what was there: it is waiting for the end
 * of something without one. (A watermark would not do: with one, libevent calls evhttp
 * again and again without a pause as long as it takes nothing, and no turn ends.)
 */
static void
watch_full(struct guarded *c)
{
	if (c->full)
		return;
	c->full = true;
	TAILQ_INSERT_TAIL(&c->guard->overfull, c, full_place);
	event_active(c->guard->tick, EV_TIMEOUT, 0);
}

static void
unwatch_full(struct guarded *c)
{
	if (c->full)
		TAILQ_REMOVE(&c->guard->overfull, c, full_place);
	c->full = false;
}

/* Bytes came, or were taken. */
static void
on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct guarded *c = arg;

	if (info->n_added == 0)
		return;
	http_bytes_read(&c->bytes, input, info->n_added);
	if (c->state == GUARDED_QUIET)
		enter(c, GUARDED_ARRIVING);
	else if (c->state == GUARDED_ARRIVING &&
		 info->orig_size >= c->guard->options.read_bytes)
		watch_full(c);
}

/* evhttp itself refuses a request that it cannot read. */
static void
on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct guarded *c = arg;
	char head[10]; /* "HTTP/1.1 4": no 100 Continue */

	if (info->n_added == 0 || c->state == GUARDED_OWED || c->state == GUARDED_SENT ||
	    evbuffer_copyout(output, head, sizeof(head)) != sizeof(head) ||
	    head[9] == '1')
		return;
	self_closed(c->guard->self, SELF_SOCKET_HTTP, SELF_CLOSED_PROTOCOL);
	enter(c, GUARDED_SENT);
}

static bool
is_free(const struct guarded *c)
{
	bufferevent_event_cb event = NULL;

	bufferevent_getcb(c->stream, NULL, NULL, &event, NULL);
	return event == NULL;
}

static void
release(struct guarded *c)
{
	struct http_guard *g = c->guard;
	struct guarded **at = bucket_of(g, c->stream);

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	unwatch_full(c);
	TAILQ_REMOVE(&g->all, c, all);
	TAILQ_REMOVE(&g->list[c->state], c, place);
	g->count--;
	evbuffer_remove_cb(bufferevent_get_input(c->stream), on_input, c);
	evbuffer_remove_cb(bufferevent_get_output(c->stream), on_output, c);
	bufferevent_decref(c->stream);
	free(c);
}

/* evhttp takes this for its own time-out, and frees the connection. */
static void
end(struct guarded *c, enum self_closed cause)
{
	if (!is_free(c)) {
		self_closed(c->guard->self, SELF_SOCKET_HTTP, cause);
		bufferevent_trigger_event(
		    c->stream, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
	}
	if (is_free(c))
		release(c);
}

/* Let go of those that evhttp has freed: of so many at most, the others come next. */
static void
look(struct http_guard *g, uint32_t most)
{
	struct guarded *c;
	uint32_t n = g->count < most ? g->count : most;

	for (; n > 0 && (c = TAILQ_FIRST(&g->all)) != NULL; n--) {
		if (is_free(c)) {
			release(c);
		} else {
			TAILQ_REMOVE(&g->all, c, all);
			TAILQ_INSERT_TAIL(&g->all, c, all);
		}
	}
}

/* End those that have been in a state for too long. */
static void
end_late(struct http_guard *g, enum guarded_state state, uint64_t most_ms,
    enum self_closed cause)
{
	uint64_t now_ms = turn_ms(g->turn);
	struct guarded *c;

	while ((c = TAILQ_FIRST(&g->list[state])) != NULL &&
	       now_ms - c->since_ms > most_ms) {
		end(c, cause);
		if (c == TAILQ_FIRST(&g->list[state]))
			return;
	}
}

/* End those that send too much at once. */
static void
end_full(struct http_guard *g)
{
	struct guarded *c;

	while ((c = TAILQ_FIRST(&g->overfull)) != NULL) {
		unwatch_full(c);
		end(c, SELF_CLOSED_PROTOCOL);
	}
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
		look(g, LOOKS);
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
	end(c, c->state == GUARDED_SENT ? SELF_CLOSED_SLOW : cause);
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
	look(g, LOOKS);
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

static struct guarded *
guarded_new(struct http_guard *g, struct event_base *base)
{
	struct guarded *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	/* The guard closes it: then no event of it is left when its number is used again.
	 */
	c->stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (c->stream == NULL ||
	    !evbuffer_add_cb(bufferevent_get_input(c->stream), on_input, c) ||
	    !evbuffer_add_cb(bufferevent_get_output(c->stream), on_output, c)) {
		if (c->stream)
			bufferevent_free(c->stream);
		free(c);
		return NULL;
	}
	bufferevent_incref(c->stream);
	c->guard = g;
	return c;
}

/* evhttp calls this for each connection that it accepts. */
static struct bufferevent *
on_accept(struct event_base *base, void *arg)
{
	struct http_guard *g = arg;
	struct guarded *c;
	struct guarded **bucket;

	if (g->count >= g->options.connections)
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
	bucket = bucket_of(g, c->stream);
	c->next = *bucket;
	*bucket = c;
	c->since_ms = turn_ms(g->turn);
	TAILQ_INSERT_TAIL(&g->all, c, all);
	TAILQ_INSERT_TAIL(&g->list[GUARDED_QUIET], c, place);
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
		release(TAILQ_FIRST(&g->all));
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

struct guarded *
http_guard_request(struct http_guard *g, struct bufferevent *stream)
{
	struct guarded *c = *bucket_of(g, stream);

	while (c && c->stream != stream)
		c = c->next;
	if (c) {
		c->asked = true;
		enter(c, GUARDED_OWED);
	}
	return c;
}

void
http_guard_sent(struct guarded *c)
{
	if (c)
		enter(c, GUARDED_SENT);
}

void
http_guard_taken(struct guarded *c)
{
	if (c)
		enter(c, GUARDED_OWED);
}

void
http_guard_answered(struct guarded *c)
{
	size_t more;

	if (c == NULL)
		return;
	more = evbuffer_get_length(bufferevent_get_input(c->stream));
	enter(c, more > 0 ? GUARDED_ARRIVING : GUARDED_QUIET);
}

bool
http_guard_is_odd(const struct guarded *c)
{
	return c == NULL || c->bytes.odd;
}

bool
http_guard_is_answering(const struct http_guard *g)
{
	const struct guarded *c;

	TAILQ_FOREACH(c, &g->all, all)
	if ((c->state == GUARDED_OWED || c->state == GUARDED_SENT) && !is_free(c))
		return true;
	return false;
}

bool
http_guard_is_expecting(const struct http_guard *g)
{
	const struct guarded *c;

	TAILQ_FOREACH(c, &g->all, all)
	if ((c->state == GUARDED_ARRIVING || (c->state == GUARDED_QUIET && !c->asked)) &&
	    !is_free(c))
		return true;
	return false;
}

void
http_guard_stop(struct http_guard *g)
{
	g->stopped = true;
	evconnlistener_disable(g->listener);
}
