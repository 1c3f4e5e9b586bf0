/* SPDX-License-Identifier: Apache-2.0 */
/*
 * responder.h - a small daemon for tests of the library: a thread that keeps sessions as
 * PROTOCOL.md says, remembers what it was told, and misbehaves on demand.
 *
 * Everything fails the test when it does not work within RESPONDER_SECONDS.
 */
#ifndef RESPONDER_H
#define RESPONDER_H

#include <stdlib.h>
#include <pthread.h>

#include "message.h"

/* As ck_assert(), for threads beside the test's own: that one has a lock, which a child
 * that is forked meanwhile would wait for for ever. */
static inline void
thread_must(bool holds)
{
	if (!holds)
		abort();
}

#define RESPONDER_SECONDS 20
#define RESPONDER_PEERS	  32

enum responder_mood {
	RESPONDER_WELL,
	RESPONDER_SILENT,   /* takes requests, never answers */
	RESPONDER_GARBAGE,  /* answers with what is no message */
	RESPONDER_CLOSES,   /* closes when a request comes */
	RESPONDER_STRANGER, /* answers what was not asked */
	RESPONDER_FOREIGN,  /* speaks another version */
	RESPONDER_LONG	    /* announces a reply of 2^60 bytes */
};

struct responder_child {
	char *name; /* name, or name{value,value} */
	enum message_kind kind;
	uint32_t metric, cell, n;
	bool there;
};

struct responder_session {
	uint8_t sid[MESSAGE_SID_BYTES];
	uint64_t serial, last;
	bool live;
	struct responder_child *child;
	size_t children;
	struct message_metric *metric; /* n_bounds, kind and merge of each id are kept */
	char **metric_name;
	size_t metrics;
	uint64_t *cell;
	size_t cells;
	double dropped; /* updates, as it says */
};

struct responder {
	char folder[64];
	char address[96];
	const char *path; /* in address */
	pthread_t thread;
	bool running;
	int listener, stop[2];
	struct {
		int fd;
		struct responder_session *session;
	} peer[RESPONDER_PEERS];
	uint8_t *request,
	    *reply; /* of the thread; here, so that a forked child sees whose */

	pthread_mutex_t lock; /* of what follows, which tests may change */
	enum responder_mood mood;
	uint32_t lease_ms, message_bytes;
	const char *refuse_name;  /* metrics of this name are refused in a DEFINE */
	const char *refuse_child; /* UPDATEs with this child are refused whole */
	size_t most_children;  /* of a session; more are refused (limit); 0: any number */
	unsigned drop_replies; /* so many next requests are applied, not answered */
	/* Called in the responder's thread for each request, before it is applied. It may
	 * look at all of this: the lock is held. */
	void (*listens)(void *arg, const struct message *m, size_t bytes);
	void *listens_arg;
	uint64_t store, serial;
	struct responder_session *session;
	size_t sessions;
	uint32_t seen[256]; /* requests by type */
	uint32_t connections;
	size_t longest;	 /* request */
	uint32_t resent; /* requests with a number that was applied before */
	uint32_t moved; /* children defined while they had other cells in their session */
	uint32_t changed; /* of these, with other bytes than the first time */
	uint8_t *last_bytes;
	size_t last_n;
};

/* A folder and an address; nobody listens yet. */
void responder_make(struct responder *r);
void responder_listen(struct responder *r);
/* Both. */
void responder_start(struct responder *r);
void responder_be(struct responder *r, enum responder_mood mood);
/* Nobody listens any more; sessions are kept. */
void responder_leave(struct responder *r);
/* End every connection; it still listens. */
void responder_cut(struct responder *r);
/* A daemon that has lost its state. */
void responder_lose(struct responder *r);
/* Take all workers for dead. */
void responder_fold(struct responder *r);
/* Forget those that were folded. */
void responder_expire(struct responder *r);
/* End, and remove the folder. */
void responder_stop(struct responder *r);

/* The value of cell i of a child, summed over live and folded sessions; -1 if none has
 * it. */
double responder_value(struct responder *r, const char *child, uint32_t i);
/* In how many live sessions a child is defined. */
size_t responder_holders(struct responder *r, const char *child);
/* Wait until it is so. */
void responder_wait_value(
    struct responder *r, const char *child, uint32_t i, double value);
void responder_wait_seen(struct responder *r, enum message_type type, uint32_t n);
void responder_wait_connections(struct responder *r, uint32_t n);
uint32_t responder_connections(struct responder *r);
uint32_t responder_seen(struct responder *r, enum message_type type);
/* True once in a while, until the time is up: then the test fails. Start with 0. */
bool responder_again(uint64_t *began_ns, const char *what);

#endif /* RESPONDER_H */
