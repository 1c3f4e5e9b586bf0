/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_guard.h - bounds on HTTP connections that evhttp does not have: how many there are
 * at once, and how long a request may take to arrive, byte by byte or not.
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

#include "turn.h"

struct bufferevent;
struct evconnlistener;
struct evhttp;

struct http_guard;
struct guarded; /* a connection */

/*
 * Guard the connections that http takes from a listener of its own. Everything handed in
 * outlives the guard, but http, which is freed before it. NULL when memory is out.
 */
struct http_guard *http_guard_new(struct evhttp *http, struct evconnlistener *listener,
    uint32_t connections, uint32_t request_ms, struct turn *turn);
void http_guard_free(struct http_guard *g);

/* Other bounds: connections that are there stay. */
void http_guard_set(struct http_guard *g, uint32_t connections, uint32_t request_ms);

/* A request has arrived whole, and is answered from now on. NULL if it is not guarded. */
struct guarded *http_guard_request(struct http_guard *g, struct bufferevent *stream);
/* Its answer is sent. c may be NULL. */
void http_guard_answered(struct guarded *c);

/* True while answers are being sent. */
bool http_guard_is_answering(const struct http_guard *g);
/* True while a request is arriving, or the first one of a connection is to come. */
bool http_guard_is_expecting(const struct http_guard *g);

/* Accept no more. */
void http_guard_stop(struct http_guard *g);

#endif /* HTTP_GUARD_H */
