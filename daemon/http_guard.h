/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_guard.h - bounds on HTTP connections that evhttp does not have: how many there are
 * at once, how long a request may take to arrive, byte by byte or not, and how long a
 * client may leave a piece of its answer untaken.
 *
 * When all connections are taken, a new one gets the place of the one that has been
 * without a whole request for longest; if all are being answered, of the one that has
 * left its answer untaken for longest. So nobody keeps the others out.
 *
 * evhttp says when it makes a connection, and never when it frees one. So the guard keeps
 * a reference to each connection's bufferevent, and looks at them a few times a second:
 * evhttp has let go of those without callbacks. The descriptor is closed then; the client
 * has seen the end at once. One thread, that of the event_base.
 */
#ifndef HTTP_GUARD_H
#define HTTP_GUARD_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "self_metrics.h"
#include "turn.h"

struct bufferevent;
struct evconnlistener;
struct evhttp;

struct http_guard;
struct guarded; /* a connection */

struct http_guard_options {
	uint32_t connections;
	uint32_t request_ms;
	uint32_t read_bytes; /* more than a request has that evhttp has not read yet */
};

/*
 * Guard the connections that http takes from a listener of its own. Everything handed in
 * outlives the guard, but http, which is freed before it. NULL when memory is out.
 */
struct http_guard *http_guard_new(struct evhttp *http, struct evconnlistener *listener,
    const struct http_guard_options *options, struct turn *turn,
    struct self_metrics *self, struct log *log);
void http_guard_free(struct http_guard *g);

/* Other bounds: connections that are there stay. */
void http_guard_set(struct http_guard *g, const struct http_guard_options *options);

/* A request has arrived whole, and is answered from now on. NULL if it is not guarded:
 * memory was out. In what follows, it may be NULL. */
struct guarded *http_guard_request(struct http_guard *g, struct bufferevent *stream);
/* Its client is to take what is sent to it from now on. */
void http_guard_sent(struct guarded *c);
/* It has taken it; there is more. */
void http_guard_taken(struct guarded *c);
/* Its answer is sent. */
void http_guard_answered(struct guarded *c);
/* True if bytes came that others read otherwise: nothing after them is to be served. */
bool http_guard_is_odd(const struct guarded *c);

/* The end of a turn. */
void http_guard_turn(struct http_guard *g);

/* True while answers are being sent. */
bool http_guard_is_answering(const struct http_guard *g);
/* True while a request is arriving, or the first one of a connection is to come. */
bool http_guard_is_expecting(const struct http_guard *g);

/* Accept no more. */
void http_guard_stop(struct http_guard *g);

#endif /* HTTP_GUARD_H */
