/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest_rig.h - the workers' socket without the rest of the daemon: a test takes its
 * turns one by one, and is all of its peers.
 *
 * Everything aborts the test when it does not work.
 */
#ifndef INGEST_RIG_H
#define INGEST_RIG_H

#include <sys/socket.h>
#include <sys/un.h>

#include "ingest_parts.h"
#include "sp.h"
#include "talk.h"

struct ingest_rig {
	struct talk *t;
	struct event_base *base;
	struct turn now;
	struct ingest *in;
	struct sockaddr_un address; /* that the kernel chose: no file */
	socklen_t address_bytes;
};

/* As the daemon has them, but for ten connections and times of ten seconds. */
struct ingest_options ingest_rig_options(void);
void ingest_rig_start(struct ingest_rig *r, const struct ingest_options *options);
void ingest_rig_stop(struct ingest_rig *r);

/* One pass over what comes, and no waiting. Replies, and who waits, are left. */
void ingest_rig_pass(struct ingest_rig *r);
/* A whole turn: replies go. */
void ingest_rig_turn(struct ingest_rig *r);

/* A peer that has said nothing; -1: it could not connect. */
int ingest_rig_connect(const struct ingest_rig *r);
/* A peer with its handshake done. */
int ingest_rig_join(struct ingest_rig *r, enum sp_protocol protocol);
/* A frame with a request id. False when it was not sent whole. */
bool ingest_rig_ask(int fd, const void *payload, size_t bytes);
/* Bytes that are there to be read, which are gone then; -1: it was closed. */
long ingest_rig_take(int fd);
/* True if a request is answered; false if it was closed, or 20 s have passed. */
bool ingest_rig_is_served(struct ingest_rig *r, int fd);
/* Turns until one has nothing to do. */
void ingest_rig_settle(struct ingest_rig *r);
/* True if it was closed, after that. */
bool ingest_rig_is_closed(struct ingest_rig *r, int fd);

/* How often a connection was closed for a cause; bytes that are held. */
double ingest_rig_closed(const struct ingest_rig *r, enum self_closed cause);
double ingest_rig_buffered(const struct ingest_rig *r);

#endif /* INGEST_RIG_H */
