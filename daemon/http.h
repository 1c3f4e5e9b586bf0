/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - the door that Prometheus and people use: /metrics, health, liveness.
 *
 * A page is rendered in slices at the end of turns, the next one when the last has left,
 * so a slow client costs one slice of memory, and the others nothing. However many ask,
 * a turn renders for a few milliseconds only, and all have their share of it. Guarded
 * against what evhttp takes without bounds: headers, bodies, connections, requests that
 * never end or can be read in two ways, clients that do not read. One thread, that of the
 * event_base.
 */
#ifndef HTTP_H
#define HTTP_H

#include <event2/event.h>

#include "apply.h"
#include "health.h"
#include "turn.h"

struct http;

struct http_options {
	int listen; /* a listening socket; becomes http's */
	uint32_t connections;
	uint32_t scrapes; /* of which a piece is rendered in a turn */
	uint32_t request_ms;
	uint32_t header_bytes;
	uint32_t body_bytes;
	uint64_t buffered_bytes; /* of pages that are being sent */
	bool gzip;		 /* for those who take it */
	const char *health_path; /* the texts outlive http */
	const char *live_path;
	struct health health;
};

/* Everything handed in outlives it. NULL when memory is out, and the socket is closed. */
struct http *http_new(const struct http_options *options, struct event_base *base,
    struct turn *turn, const struct registry *registry, struct apply *apply,
    struct self_metrics *self, struct log *log);
/* Cuts what is still being answered. */
void http_free(struct http *h);

/* The end of a turn: send the next slices. Nothing that was applied may be unwritten. */
void http_turn(struct http *h);

/* Take the numbers and gzip anew; what is under way goes on as it was. */
void http_set_options(struct http *h, const struct http_options *options);

/* Accept no more. Scrapes go on; what is asked on connections that are there is answered,
 * and the last that they get. */
void http_stop(struct http *h);
/* True while answers are being sent. */
bool http_is_answering(const struct http *h);
/* Grows whenever a client has taken a part of a page. */
uint64_t http_taken(const struct http *h);
/* True while a request is arriving, or one that was accepted has not asked yet. */
bool http_is_expecting(const struct http *h);

#endif /* HTTP_H */
