/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_parts.h - what http.c (routes, short answers) and http_scrape.c (streamed pages)
 * share. Nobody else includes it.
 */
#ifndef HTTP_PARTS_H
#define HTTP_PARTS_H

#include <event2/http.h>
#include <event2/http_struct.h>

#include "http.h"
#include "http_guard.h"
#include "http_page.h"
#include "query.h"

/* A request between its arrival and the end of its answer. */
struct exchange {
	struct evhttp_request *request;
	struct guarded *guarded;
	enum self_path path;
	bool gzip; /* a page is packed */
	bool last; /* of its connection */
	uint64_t began_ns;
	size_t bytes; /* of the answer, without headers */
	int code;
};

struct http {
	struct http_options options;
	struct turn *turn;
	const struct registry *registry;
	struct apply *apply;
	struct self_metrics *self;
	struct log *log;
	struct evhttp *server;
	struct http_guard *guard;
	struct http_page_room *room;
	struct scrapes *scrapes;
	uint64_t taken; /* slices of pages, by their clients */
	bool stopped;
	bool scrape_began; /* in this turn: the figures are to be fresh */
};

/* Answer at once. more_name and more_value: another header, or NULL. */
void http_answer(struct http *h, struct exchange *x, int code, const char *phrase,
    const char *type, const char *text, const char *more_name, const char *more_value);
void http_header(struct evhttp_request *r, const char *name, const char *value);
/* Those of a page. */
void http_page_headers(const struct http *h, const struct exchange *x);
/* See to it that the answer is sent even if the client has closed its side, and that
 * reading ends while it is sent. After each evhttp call that starts to write. */
void http_stop_reading(struct evhttp_request *r);
/* Count a request whose answer is done. */
void http_count(struct http *h, const struct exchange *x);

/* 0, or -1 when memory is out. */
int scrapes_new(struct http *h, struct event_base *base);
/* Cuts them all. */
void scrapes_free(struct http *h);
bool scrapes_are_there(const struct http *h);
/* Begin one; its answer starts in http_turn(). */
void scrape_begin(struct http *h, const struct exchange *x, const struct query *query);
/* Render the next slices of those whose clients have taken the last one, in turn, for a
 * while. */
void scrape_turn(struct http *h);

#endif /* HTTP_PARTS_H */
