/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest_parts.h - what ingest.c (accepting, the connections together) and connection.c
 * (one of them) share. Nobody else includes it.
 */
#ifndef INGEST_PARTS_H
#define INGEST_PARTS_H

#include "ingest.h"
#include "process.h"
#include "stream.h"

struct evconnlistener;

/* Causes of limited log lines; 40 to 49 are this module's. */
enum {
	CAUSE_HANDSHAKE = 40,
	CAUSE_FRAME,
	CAUSE_BACKTRACE,
	CAUSE_FULL,
	CAUSE_ACCEPT,
	CAUSE_MEMORY,
	CAUSE_SLOW,
	CAUSE_HOLD
};

struct ingest {
	struct ingest_options options;
	struct event_base *base;
	struct turn *turn;
	struct apply *apply;
	struct self_metrics *self;
	struct log *log;
	struct evconnlistener *listener;
	struct event *pause; /* until it fires, nothing is accepted */
	struct connection *first;
	struct connection *first_held; /* those with replies of this turn */
	struct strbuf reply;	       /* scratch */
	struct stream_room room;       /* the same, for what is read */
	uint32_t connections;
	uint64_t last_number;
	bool stopped;
	bool shut; /* nothing is accepted any more */
	bool held; /* nothing is read for now */
};

enum state {
	STATE_HANDSHAKE,
	STATE_REQ,
	STATE_PUSH,
	STATE_LINGER /* closed, and its process is about to be dead */
};

struct connection {
	struct ingest *in;
	struct connection *next, *previous;
	struct connection *next_held;
	bool is_held; /* among first_held */
	enum state state;
	bool draining;		/* it has ended, and what is left of it is taken */
	bool progress;		/* a frame was whole since the deadline was set */
	struct stream stream;	/* paused: its replies are not taken */
	struct event *deadline; /* of the handshake, of a frame, of lingering */
	bool deadline_is_set;
	struct event *death; /* of the process */
	struct process_peer process;
	struct apply_peer peer;
};

static inline struct timeval
milliseconds(uint32_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}

/*
 * A connection for an accepted socket, linked into in and counted. NULL when memory or
 * descriptors are out, with the socket closed.
 */
struct connection *connection_new(struct ingest *in, int socket);
void connection_free(struct connection *c);
/* Let its held replies go. */
void connection_send_held(struct connection *c);

/* A connection more, or less. */
void ingest_count(struct ingest *in, int change);
/* Something was read and taken: the turn ends here if it is long already. */
void ingest_took(struct ingest *in);

#endif /* INGEST_PARTS_H */
