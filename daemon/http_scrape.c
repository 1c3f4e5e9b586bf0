/* SPDX-License-Identifier: Apache-2.0 */
#include "http_parts.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

/* evhttp's connections write 16 KiB at a time, and wait for the socket after each. */
#define WRITE_BYTES (1 << 20)

/* What the kernel may hold of a page that it cannot send yet, when the client is slow or
 * stalled: by itself it would take megabytes for each. */
#define UNSENT_BYTES (128 << 10)

/* Causes of limited log lines; 50 to 59 are this module's. */
enum { CAUSE_SCRAPE_MEMORY = 50, CAUSE_SCRAPE_LEFT };

struct scrape {
	struct http *http;
	struct scrape *next, *previous;
	struct exchange x;
	struct http_page *page;
	bool started; /* the headers are sent */
	bool waiting; /* for the client to take the last slice */
	bool ended;   /* evhttp has all of the answer, and owns the request */
};

/* It is over, one way or another: count it, and forget it. */
static void
scrape_free(struct scrape *s)
{
	struct http *h = s->http;

	http_count(h, &s->x);
	http_page_free(s->page);
	if (s->previous)
		s->previous->next = s->next;
	else
		h->first = s->next;
	if (s->next)
		s->next->previous = s->previous;
	h->scrapes--;
	free(s);
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
	s->next = h->first;
	if (s->next)
		s->next->previous = s;
	h->first = s;
	h->scrapes++;
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
	s->waiting = false;
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
	if (evbuffer_get_length(slice) > 0) {
		s->waiting = true;
		evhttp_send_reply_chunk_with_cb(r, slice, on_taken, s);
	}
	http_stop_reading(r);
}

static void
next_slice(struct scrape *s)
{
	struct evbuffer *slice;
	bool more;

	slice = render(s, &more);
	if (slice == NULL) {
		log_limited(s->http->log, LOG_LEVEL_ERROR, CAUSE_SCRAPE_MEMORY,
		    turn_ms(s->http->turn), "http: scrape cut: memory is out");
		cut(s);
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

void
scrape_turn(struct http *h)
{
	for (struct scrape *s = h->first, *next; s; s = next) {
		next = s->next;
		if (!s->waiting && !s->ended)
			next_slice(s);
	}
}

void
scrape_end_all(struct http *h)
{
	while (h->first)
		cut(h->first);
}
