/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest_parts.h - what ingest.c (accepting, the connections together), ingest_room.c
 * (what all of them may have), connection.c (one of them) and connection_take.c (what it
 * sends) share. Nobody else includes it.
 *
 * A connection is read when its socket is readable: once, and a bounded time long. What
 * is whole and was not taken in that time is for what is left of a turn, when those that
 * wait are visited one after the other. So is all of a peer that takes much of the time.
 */
#ifndef INGEST_PARTS_H
#define INGEST_PARTS_H

#include <sys/queue.h>

#include "ingest.h"
#include "owners.h"
#include "process.h"
#include "stream.h"

/* Causes of limited log lines; 64 to 79 are this module's. */
enum {
	CAUSE_CLOSED = 64, /* and an enum self_closed */
	CAUSE_BACKTRACE = CAUSE_CLOSED + SELF_CLOSED_END,
	CAUSE_ACCEPT,
	CAUSE_SLOW,
	CAUSE_HOLD
};

TAILQ_HEAD(connections, connection);

struct ingest {
	struct ingest_options options;
	struct event_base *base;
	struct turn *turn;
	struct apply *apply;
	struct self_metrics *self;
	struct log *log;
	int listen;
	struct event *connecting; /* somebody does */
	struct event *pause;	  /* until it fires, nothing is accepted; always set */
	struct event *again;	  /* the loop is not to wait: connections do */
	struct connections open;  /* the one that has been silent for longest first */
	struct connections lingering; /* the one that closed first is first */
	struct connections held;      /* those with replies of this turn */
	struct connections waiting;   /* for what is left of a turn, in their order */
	struct connections bulky;     /* hold much; the longest without progress first */
	struct owners users;	      /* how many connections each has */
	struct strbuf reply;	      /* scratch */
	struct stream_room room;      /* the same, for what is read */
	uint32_t connections;
	uint64_t buffered; /* bytes, of all connections */
	uint64_t last_number;
	bool stopped;
	bool shut;   /* nothing is accepted any more */
	bool hold;   /* nothing is read for now */
	bool took;   /* somebody who does not wait was read in this turn */
	bool passed; /* those who wait were not visited in the last one */
};

enum state {
	STATE_HANDSHAKE,
	STATE_REQ,
	STATE_PUSH,
	STATE_LINGER /* closed, and its process is about to be dead */
};

struct connection {
	struct ingest *in;
	TAILQ_ENTRY(connection) among_all; /* open or lingering */
	TAILQ_ENTRY(connection) among_held, among_waiting, among_bulky;
	bool is_held, is_waiting, is_bulky;
	enum state state;
	bool ending;   /* nobody is answered any more; what is left of it is taken */
	bool unseen;   /* whole messages may be among what is kept */
	bool more;     /* its socket was readable, and was not read since */
	bool progress; /* a message was whole since the deadline was set */
	bool doomed;   /* memory is out: it is closed in the next turn */
	bool deadline_is_set;
	uint32_t user;		/* of ingest's users */
	size_t left;		/* bytes of one that is ending which are still read */
	uint64_t touched_ms;	/* when it came, and when a message was whole */
	uint64_t buffered;	/* bytes, as counted in ingest's */
	uint64_t used_ns;	/* of our time, lately: who uses much waits */
	uint64_t used_at_ns;	/* ... as of then */
	struct stream stream;	/* paused: its replies are not taken */
	struct event *deadline; /* of the handshake, of a frame, of lingering */
	struct event *death;	/* of the process */
	struct process_peer process;
	struct apply_peer peer;
};

static inline struct timeval
milliseconds(uint32_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
}

/* ---- connection.c ------------------------------------------------------- */

/*
 * A connection for an accepted socket, linked into in and counted. NULL with errno when
 * memory or descriptors are out, with the socket closed.
 */
struct connection *connection_new(struct ingest *in, int socket);
void connection_free(struct connection *c);
/* It has been closed, or is to be: its sessions are told of it, and it is freed, or
 * lingers. */
void connection_close(struct connection *c);
/* The same, and it does not linger. */
void connection_end(struct connection *c);
/* Let its held replies go. */
void connection_send_held(struct connection *c);
/* It waits, and it is its turn: some of what it has is taken. It may be gone then. */
void connection_visit(struct connection *c);
/* Read it again, after all were not read. */
void connection_read_on(struct connection *c);

/* ---- connection_take.c -------------------------------------------------- */

enum verdict {
	VERDICT_MORE,  /* wait for more bytes: all was taken */
	VERDICT_NEXT,  /* one is done: look at the next */
	VERDICT_LATER, /* its time is over: what is left is looked at later */
	VERDICT_FULL,  /* the peer must take its replies first */
	VERDICT_BAD    /* the connection is to be closed */
};

/* Take what is whole, until until_ns; the rest is kept. Never NEXT. */
enum verdict connection_take(
    struct connection *c, struct stream_view view, uint64_t until_ns);

/* Count and log why a connection is about to be closed. */
void connection_refuse(struct connection *c, enum reason reason, enum self_closed cause,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- ingest_room.c ------------------------------------------------------ */

/* It is one more of its uid. False when memory is out. */
bool ingest_count_user(struct connection *c);
/* A connection more, or less. */
void ingest_count(struct ingest *in, int change);
/* Count what it holds now. progress: a message was whole, or replies were taken. */
void ingest_account(struct connection *c, bool progress);
/* Its last message came now: all others have been silent for longer. */
void ingest_touch(struct connection *c);

/* True if one more of a user is taken, perhaps instead of another connection. If not, why
 * not, as a sentence and as a cause. */
bool ingest_make_room(
    struct ingest *in, uid_t uid, char *why, size_t room, enum self_closed *ret_cause);
/* Close who holds too much of what all may hold together. */
void ingest_relieve(struct ingest *in);

/* ---- ingest.c ----------------------------------------------------------- */

/* Visit it in what is left of this turn, or in a later one. */
void ingest_wait(struct connection *c);
/* Something was read and taken: the turn ends here if it is long already. */
void ingest_took(struct ingest *in);

#endif /* INGEST_PARTS_H */
