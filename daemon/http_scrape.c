/* SPDX-License-Identifier: Apache-2.0 */
#include "http_parts.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* evhttp's connections write 16 KiB at a time, and wait for the socket after each. */
#define WRITE_BYTES (1 << 20)

/* What the kernel may hold of a page that it cannot send yet, when the client is slow or
 * stalled: by itself it would take megabytes for each. */
#define UNSENT_BYTES (128 << 10)

/* What a turn renders ends after so long: workers wait for it. */
#define TURN_NS 3000000

/* When all pages together hold too much, whoever has left a piece untaken for so long has
 * to go; if nobody has, it is tried again. */
#define PATIENCE_MS 50
#define AGAIN_MS    10

#define MANY 8 /* pages at once: what is free then goes back to the system */

/* Causes of limited log lines; 50 to 53 are this module's. */
enum { CAUSE_SCRAPE_MEMORY = 50, CAUSE_SCRAPE_LEFT, CAUSE_SCRAPE_BUFFERED };

enum scrape_state {
	SCRAPE_FRESH, /* nothing is rendered yet */
	SCRAPE_READY, /* for its next slice */
	SCRAPE_SENT,  /* its client is to take the last slice */
	SCRAPE_STATES
};

TAILQ_HEAD(scrape_list, scrape);

struct scrape {
	struct http *http;
	TAILQ_ENTRY(scrape) place; /* in the list of its state */
	enum scrape_state state;
	uint64_t since_ms; /* in that state */
	struct exchange x;
	struct http_page *page; /* NULL: all of it is rendered */
	bool started;		/* the headers are sent */
	bool ended;		/* evhttp has all of the answer, and owns the request */
};

struct scrapes {
	struct scrape_list list[SCRAPE_STATES]; /* the longest in that state first */
	uint32_t begun;				/* and not ended: they hold memory */
	uint32_t most;				/* begun, since memory was given back */
	struct event *again;
};

static void
enter(struct scrape *s, enum scrape_state state)
{
	struct scrapes *all = s->http->scrapes;

	TAILQ_REMOVE(&all->list[s->state], s, place);
	all->begun += s->state == SCRAPE_FRESH && state != SCRAPE_FRESH;
	if (all->begun > all->most)
		all->most = all->begun;
	s->state = state;
	s->since_ms = turn_ms(s->http->turn);
	TAILQ_INSERT_TAIL(&all->list[state], s, place);
}

static void
forget(struct scrape *s)
{
	struct scrapes *all = s->http->scrapes;

	http_page_free(s->page);
	TAILQ_REMOVE(&all->list[s->state], s, place);
	all->begun -= s->state != SCRAPE_FRESH;
	free(s);
}

/* It is over, one way or another. */
static void
scrape_free(struct scrape *s)
{
	http_count(s->http, &s->x);
	forget(s);
}

/* What is not rendered yet needs no memory. */
static bool
has_room(const struct http *h)
{
	return h->scrapes->begun == 0 ||
	       http_page_room_bytes(h->room) + HTTP_PAGE_BYTES <=
		   h->options.buffered_bytes;
}

static void
on_sent(struct evhttp_request *r, void *arg)
{
	struct scrape *s = arg;

	evhttp_connection_set_closecb(evhttp_request_get_connection(r), NULL, NULL);
	http_guard_answered(s->x.guarded);
	s->http->taken++;
	scrape_free(s);
}

/* What is not sent is not needed; the guard has the connection's buffers for a while yet.
 */
static void
drop_output(struct evhttp_connection *connection)
{
	struct bufferevent *stream = evhttp_connection_get_bufferevent(connection);
	struct evbuffer *output = bufferevent_get_output(stream);

	bufferevent_disable(stream, EV_WRITE);
	evbuffer_unfreeze(output, 1);
	evbuffer_drain(output, evbuffer_get_length(output));
}

/*
 * The connection goes down. evhttp frees a request that is still on it; one that it has
 * taken off (a write failed, before the answer was whole) is ours.
 */
static void
on_close(struct evhttp_connection *connection, void *arg)
{
	struct scrape *s = arg;
	struct http *h = s->http;

	drop_output(connection);
	log_limited(h->log, LOG_LEVEL_INFO, CAUSE_SCRAPE_LEFT, turn_ms(h->turn),
	    "http: scrape unfinished: the client left, or took nothing for %u ms",
	    h->options.request_ms);
	if (!s->ended && evhttp_request_get_connection(s->x.request) == NULL)
		evhttp_request_free(s->x.request);
	scrape_free(s);
}

static void
cut(struct scrape *s)
{
	evhttp_connection_free(evhttp_request_get_connection(s->x.request));
}

/* A large page goes out in large pieces, and no sooner than it is taken. */
static void
prepare_stream(struct bufferevent *stream)
{
	int unsent_bytes = UNSENT_BYTES;

	bufferevent_set_max_single_write(stream, WRITE_BYTES);
	/* Without it (not TCP, an old kernel) a stalled client costs more. */
	setsockopt(bufferevent_getfd(stream), IPPROTO_TCP, TCP_NOTSENT_LOWAT,
	    &unsent_bytes, sizeof(unsent_bytes));
}

void
scrape_begin(struct http *h, const struct exchange *x, const struct query *query)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(x->request);
	struct scrape *s = calloc(1, sizeof(*s));
	struct exchange copy = *x;

	if (s)
		s->page =
		    http_page_new(h->room, h->registry, h->self, &query->filter, x->gzip);
	if (s == NULL || s->page == NULL) {
		free(s);
		http_answer(h, &copy, 503, "Service Unavailable", "text/plain",
		    "memory is out\n", "Retry-After", "1");
		return;
	}
	s->http = h;
	s->x = copy;
	s->x.code = 200;
	TAILQ_INSERT_TAIL(&h->scrapes->list[SCRAPE_FRESH], s, place);
	evhttp_connection_set_closecb(connection, on_close, s);
	prepare_stream(evhttp_connection_get_bufferevent(connection));
	evhttp_request_set_on_complete_cb(x->request, on_sent, s);
}

static void
on_taken(struct evhttp_connection *connection, void *arg)
{
	struct scrape *s = arg;

	(void)connection;
	turn_ms(s->http->turn);
	s->http->taken++;
	http_guard_taken(s->x.guarded);
	enter(s, SCRAPE_READY);
}

/* The next slice, NULL when memory is out. *ret_more: there are others. */
static struct evbuffer *
render(struct scrape *s, bool *ret_more)
{
	struct evbuffer *buffer = evbuffer_new();

	if (buffer == NULL)
		return NULL;
	if (!http_page_slice(s->page, buffer, ret_more)) {
		evbuffer_free(buffer);
		return NULL;
	}
	s->x.bytes += evbuffer_get_length(buffer);
	return buffer;
}

/* The last slice. s may be gone when it returns. */
static void
send_end(struct scrape *s, struct evbuffer *slice)
{
	struct evhttp_request *r = s->x.request;

	s->ended = true;
	http_page_free(s->page);
	s->page = NULL;
	enter(s, SCRAPE_SENT);
	http_guard_sent(s->x.guarded);
	if (!s->started) {
		/* A page that fits into one slice has a length. */
		evhttp_send_reply(r, 200, "OK", slice);
	} else if (evbuffer_get_length(slice) > 0) {
		evhttp_send_reply_chunk_with_cb(r, slice, NULL, NULL);
		evhttp_send_reply_end(r);
	} else {
		/* With nothing left to write, evhttp may be done with r at once. */
		evhttp_send_reply_end(r);
		return;
	}
	http_stop_reading(r);
}

static void
send_slice(struct scrape *s, struct evbuffer *slice)
{
	struct evhttp_request *r = s->x.request;

	if (!s->started)
		evhttp_send_reply_start(r, 200, "OK");
	s->started = true;
	enter(s, SCRAPE_READY);
	if (evbuffer_get_length(slice) > 0) {
		enter(s, SCRAPE_SENT);
		http_guard_sent(s->x.guarded);
		evhttp_send_reply_chunk_with_cb(r, slice, on_taken, s);
	}
	http_stop_reading(r);
}

/* Memory is out: what has begun is cut, and a client that has nothing yet is told. */
static void
give_up(struct scrape *s)
{
	struct exchange x = s->x;
	struct http *h = s->http;

	log_limited(h->log, LOG_LEVEL_ERROR, CAUSE_SCRAPE_MEMORY, turn_ms(h->turn),
	    "http: scrape cut: memory is out");
	if (s->started) {
		self_closed(h->self, SELF_SOCKET_HTTP, SELF_CLOSED_MEMORY);
		cut(s);
		return;
	}
	evhttp_connection_set_closecb(
	    evhttp_request_get_connection(x.request), NULL, NULL);
	forget(s);
	http_answer(h, &x, 503, "Service Unavailable", "text/plain", "memory is out\n",
	    "Retry-After", "1");
}

static void
next_slice(struct scrape *s)
{
	struct evbuffer *slice;
	bool more;

	slice = render(s, &more);
	if (slice == NULL) {
		give_up(s);
		return;
	}
	if (!s->started)
		http_page_headers(s->http, &s->x);
	if (more)
		send_slice(s, slice);
	else
		send_end(s, slice);
	evbuffer_free(slice);
}

/* ---- Turns ------------------------------------------------------------- */

/* Pages hold too much for another one: the client that has kept us waiting for longest
 * goes. False if none has for long enough. */
static bool
make_room(struct http *h)
{
	struct scrape *s = TAILQ_FIRST(&h->scrapes->list[SCRAPE_SENT]);

	if (s == NULL || turn_ms(h->turn) - s->since_ms < PATIENCE_MS)
		return false;
	log_limited(h->log, LOG_LEVEL_WARNING, CAUSE_SCRAPE_BUFFERED, turn_ms(h->turn),
	    "http: pages hold all that they may (http.buffered_bytes is %llu): a client "
	    "that took nothing for %llu ms is cut off",
	    (unsigned long long)h->options.buffered_bytes,
	    (unsigned long long)(turn_ms(h->turn) - s->since_ms));
	self_closed(h->self, SELF_SOCKET_HTTP, SELF_CLOSED_BUFFERED);
	cut(s);
	return true;
}

/* Whose turn it is: those that are under way and new ones take turns. */
static struct scrape *
next_of(struct http *h, bool fresh)
{
	struct scrape *ready = TAILQ_FIRST(&h->scrapes->list[SCRAPE_READY]);
	struct scrape *first = TAILQ_FIRST(&h->scrapes->list[SCRAPE_FRESH]);

	if (first == NULL || (ready && !fresh))
		return ready;
	while (!has_room(h) && make_room(h))
		;
	return has_room(h) ? first : ready;
}

/* Many pages at once leave the allocator with much that nobody needs soon. */
static void
give_back(struct scrapes *all)
{
	if (all->begun > 0 || all->most <= MANY)
		return;
	all->most = 0;
	malloc_trim(0);
}

/* Those that wait for us have the next turn, at once or when there may be room. */
static void
go_on(struct http *h)
{
	struct scrapes *all = h->scrapes;
	struct timeval tv = { .tv_usec = AGAIN_MS * 1000 };

	if (!TAILQ_EMPTY(&all->list[SCRAPE_READY]) ||
	    (!TAILQ_EMPTY(&all->list[SCRAPE_FRESH]) && has_room(h)))
		event_active(all->again, EV_TIMEOUT, 0);
	else if (!TAILQ_EMPTY(&all->list[SCRAPE_FRESH]))
		event_add(all->again, &tv);
}

void
scrape_turn(struct http *h)
{
	uint64_t began_ns = turn_clock_ns();
	struct scrape *s;

	give_back(h->scrapes);
	for (uint32_t n = 0;
	     n < h->options.scrapes && turn_clock_ns() - began_ns < TURN_NS &&
	     (s = next_of(h, n % 2 == 0)) != NULL;
	     n++)
		next_slice(s);
	go_on(h);
}

static void
on_again(int fd, short what, void *arg)
{
	struct http *h = arg;

	(void)fd;
	(void)what;
	turn_ms(h->turn); /* what is due is done at the end of the turn */
}

int
scrapes_new(struct http *h, struct event_base *base)
{
	struct scrapes *all = calloc(1, sizeof(*all));

	if (all == NULL)
		return -1;
	h->scrapes = all;
	for (size_t i = 0; i < SCRAPE_STATES; i++)
		TAILQ_INIT(&all->list[i]);
	all->again = evtimer_new(base, on_again, h);
	return all->again ? 0 : -1;
}

void
scrapes_free(struct http *h)
{
	struct scrape *s;

	if (h->scrapes == NULL)
		return;
	for (size_t i = 0; i < SCRAPE_STATES; i++)
		while ((s = TAILQ_FIRST(&h->scrapes->list[i])) != NULL)
			cut(s);
	if (h->scrapes->again)
		event_free(h->scrapes->again);
	free(h->scrapes);
	h->scrapes = NULL;
}

bool
scrapes_are_there(const struct http *h)
{
	for (size_t i = 0; i < SCRAPE_STATES; i++)
		if (!TAILQ_EMPTY(&h->scrapes->list[i]))
			return true;
	return false;
}
