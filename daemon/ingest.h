/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest.h - the socket that workers talk to: nanomsg's SP over a Unix socket.
 *
 * A peer says which pattern it speaks: a REQ gets answers, a PUSH gets none, others are
 * closed. Requests go to apply as they come; their replies are held until the end of the
 * turn, when ingest_release() lets them go. A connection that ends is read to its end
 * first, and then reported to apply, with whether its process is certainly dead: seen by
 * a pidfd, also while a clone of the process still holds the connection.
 *
 * No peer can make it wait or grow: frames are bounded and must come whole in a time,
 * nothing is allocated for a length that was only announced, a peer that does not take
 * its replies is not read, and what all of them hold is bounded as well. A peer that
 * takes much of the time gets what the others leave of a turn. When all connections are
 * taken, one that was silent for long makes room for a new one, unless a live worker is
 * behind it. One thread, that of the event_base.
 */
#ifndef INGEST_H
#define INGEST_H

#include <event2/event.h>

#include "apply.h"
#include "turn.h"

struct ingest;

struct ingest_options {
	int listen; /* a listening socket; becomes ingest's */
	uint32_t connections;
	uint32_t descriptors; /* connections that there are descriptors for */
	uint32_t uid_percent; /* of connections, for one uid; 0: all of them */
	uint32_t handshake_ms;
	uint32_t idle_ms;  /* silent for so long: it makes room when all are taken */
	uint32_t frame_ms; /* a frame must come whole within this time */
	uint32_t message_bytes;
	uint32_t queue_bytes;	 /* replies not taken: the peer is not read any more */
	uint64_t buffered_bytes; /* of all connections together */
};

/* Everything handed in outlives it. NULL when memory is out, and the socket is closed. */
struct ingest *ingest_new(const struct ingest_options *options, struct event_base *base,
    struct turn *turn, struct apply *apply, struct self_metrics *self, struct log *log);
void ingest_free(struct ingest *in);

/* At the end of each turn of the loop: read those that wait for what is left of it. */
void ingest_turn(struct ingest *in);
/* Let the replies of this turn go. */
void ingest_release(struct ingest *in);

/* Read nothing for now, or go on: what peers send waits in their sockets. */
void ingest_hold(struct ingest *in, bool hold);

/* Take all but listen and message_bytes anew; connections that are there stay. */
void ingest_set_options(struct ingest *in, const struct ingest_options *options);

/* Listen at another socket, which becomes ingest's, in place of the one that it has. */
void ingest_listen_at(struct ingest *in, int listen);
/* Accept no more: who connects waits for the next daemon. */
void ingest_accept_no_more(struct ingest *in);
/* True while requests that have come wait to be read. */
bool ingest_is_behind(const struct ingest *in);
/* Accept and read no more. Replies that were held or queued still go out. */
void ingest_stop(struct ingest *in);
/* True while there are replies that peers have yet to take. */
bool ingest_has_replies(const struct ingest *in);

#endif /* INGEST_H */
