/* SPDX-License-Identifier: Apache-2.0 */
#include "http_parts.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>

#define SLICE_BYTES (128 << 10)
#define SLICE_ROOM  (SLICE_BYTES + (16 << 10)) /* with the series that ends a slice */

/* Causes of limited log lines; 50 to 59 are this module's. */
enum { CAUSE_SCRAPE_MEMORY = 50, CAUSE_SCRAPE_LEFT };

struct scrape {
	struct http *http;
	struct scrape *next, *previous;
	struct exchange x;
	struct exposition *page;
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
	exposition_free(s->page);
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
	scrape_free(s);
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

	(void)connection;
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

void
scrape_begin(struct http *h, const struct exchange *x, const struct query *query)
{
	struct scrape *s = calloc(1, sizeof(*s));
	struct exchange copy = *x;

	if (s)
		s->page = exposition_new(h->registry, h->self, &query->filter);
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
	evhttp_connection_set_closecb(
	    evhttp_request_get_connection(x->request), on_close, s);
	evhttp_request_set_on_complete_cb(x->request, on_sent, s);
}

static void
on_taken(struct evhttp_connection *connection, void *arg)
{
	struct scrape *s = arg;

	(void)connection;
	turn_ms(s->http->turn);
	s->waiting = false;
}

static void
free_slice(const void *bytes, size_t n, void *arg)
{
	(void)bytes;
	(void)n;
	free(arg);
}

/* The next slice, NULL when memory is out. *ret_more: there are others. */
static struct evbuffer *
render(struct scrape *s, bool *ret_more)
{
	struct evbuffer *buffer = evbuffer_new();
	struct strbuf slice = STRBUF_EMPTY;

	strbuf_reserve(&slice, SLICE_ROOM);
	*ret_more = exposition_slice(s->page, &slice, SLICE_BYTES);
	if (buffer == NULL || slice.failed)
		goto fail;
	if (slice.bytes > 0 && evbuffer_add_reference(buffer, slice.at, slice.bytes,
				   free_slice, slice.at) != 0)
		goto fail;
	if (slice.bytes == 0)
		strbuf_free(&slice);
	s->x.bytes += evbuffer_get_length(buffer);
	return buffer;
fail:
	strbuf_free(&slice);
	if (buffer)
		evbuffer_free(buffer);
	return NULL;
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
		http_header(s->x.request, "Content-Type", EXPOSITION_CONTENT_TYPE);
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
