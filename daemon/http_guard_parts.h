/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_guard_parts.h - what http_guard.c (connections, and what they wait for) and
 * http_guard_room.c (accepting, and who makes room) share. Nobody else includes it.
 */
#ifndef HTTP_GUARD_PARTS_H
#define HTTP_GUARD_PARTS_H

#include <sys/queue.h>

#include "http_bytes.h"
#include "http_guard.h"

#define HTTP_GUARD_BUCKETS 4096

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
	bool ended;	   /* by the guard, and counted */
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
	struct guarded *bucket[HTTP_GUARD_BUCKETS];
	uint32_t count;
	uint32_t accepts;	 /* in this turn */
	uint64_t looked_ms;	 /* at all, to make room */
	uint64_t rests_until_ms; /* descriptors or memory are out */
	void *reserve;		 /* given up for a last connection when memory is out */
	uint64_t full_ms;	 /* since when there is no room; 0: there is */
	bool full;		 /* the listener rests until there is room */
	bool stopped;
};

/* A connection without evhttp's callbacks, as one that evhttp has freed: it is to be
 * linked when it is about to have them, and nobody looks before. NULL when memory is out.
 */
struct guarded *guarded_new(struct http_guard *g, struct event_base *base);
void guarded_link(struct guarded *c);
/* Let go of it. */
void guarded_release(struct guarded *c);
/* End it, and count why. It may be there yet: evhttp frees it later. */
void guarded_end(struct guarded *c, enum self_closed cause);
/* Let go of those that evhttp has freed. It takes a part of them at once, and the others
 * the next time. */
void http_guard_look(struct http_guard *g);

#endif /* HTTP_GUARD_PARTS_H */
