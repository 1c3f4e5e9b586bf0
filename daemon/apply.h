/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.h - the daemon's half of the session protocol: a request comes in, the registry
 * changes, a reply goes out.
 *
 * Pure: it knows no socket, file or clock. The caller hands in bytes, peers and the time
 * of a monotonic clock in milliseconds, so the whole protocol can be tested by calls.
 * One thread. proto/PROTOCOL.md describes the exchange.
 */
#ifndef APPLY_H
#define APPLY_H

#include <sys/types.h>

#include "journal.h"
#include "log.h"
#include "registry.h"
#include "repeats.h"
#include "self_metrics.h"
#include "strbuf.h"

struct apply;

struct apply_options {
	uint64_t store; /* identity of the state: random, kept with it */
	uint64_t epoch; /* random, of this run */
	uint32_t lease_ms;
	uint32_t grace_ms;
	uint32_t message_bytes; /* the longest request and reply */
	uint32_t json_bytes;	/* the longest JSON message */
	uint32_t folded_memory; /* folded sessions remembered; 0: default */
	uint32_t dedupe_ms;	/* how long a message in JSON is known again; 0: never */
	uint32_t dedupe_keys;	/* how many of them are known at once */
	uint64_t retain_s;	/* see registry_tidy() */
	uint32_t workers;	/* the most live ones; 0: any number */
	uint8_t dedupe_secret[REPEATS_SECRET_BYTES]; /* random, kept with the state */
	uint64_t started_ms;
	uid_t admin_uid; /* who may send ADMIN, besides root */
	const char *version;
	/* Sets the self-metrics that only the caller knows (the process, the time);
	 * called before a page is made. May be NULL. */
	void (*refresh)(void *arg);
	/* Milliseconds since 1970. NULL: the `time` of messages in JSON is not looked at.
	 */
	uint64_t (*unix_ms)(void *arg);
	/* Puts the `state` of STATUS, a JSON object. NULL: it is left out. */
	void (*state_status)(void *arg, struct strbuf *out);
	void *refresh_arg; /* of all of these */
	/* Each effect is recorded here, where it happens; it outlives the apply. NULL:
	 * nothing is recorded. */
	struct journal *journal;
};

/* Who is at the other end of a connection, as the kernel says. */
struct apply_peer {
	uint64_t connection; /* a number of the caller's, for logs */
	pid_t pid;	     /* 0: not visible from here */
	uid_t uid;
	uint64_t
	    process_start; /* of the process, in clock ticks since boot; 0: unknown */
	bool direct;	  /* the request came on its own connection, not through a device,
			   * and gets a reply */
	bool unheard;	  /* nobody gets the reply to the request under way */
	bool has_request; /* the request under way has an SP request id */
	uint32_t request;
	struct apply_binding *bindings; /* apply's own: NULL at first */
};

/* registry, self and log outlive it. NULL when memory is out. */
struct apply *apply_new(const struct apply_options *options, struct registry *registry,
    struct self_metrics *self, struct log *log);
void apply_free(struct apply *a);

/* Take lease_ms, grace_ms, json_bytes, folded_memory, dedupe_ms, dedupe_keys, retain_s
 * and workers anew. A session keeps the lease that it was told until its worker says
 * HELLO again. */
void apply_set_options(struct apply *a, const struct apply_options *options);

/*
 * One request, without its backtrace, binary or JSON. The reply is appended to reply
 * (empty only when memory is out, or when nobody gets it); it must not leave before the
 * turn's journal write.
 * Refusals are counted and logged here.
 */
void apply_request(struct apply *a, struct apply_peer *peer, const void *payload,
    size_t bytes, uint64_t now_ms, struct strbuf *reply);

/*
 * The connection is gone and was read to its end. process_gone: its process is certainly
 * dead, so nobody can come back for its sessions, but for those behind a device.
 */
void apply_disconnect(
    struct apply *a, struct apply_peer *peer, bool process_gone, uint64_t now_ms);

/* True if a live worker has said HELLO on the peer's connection. */
bool apply_has_worker(const struct apply *a, const struct apply_peer *peer);

/* A connection is about to be closed over what it sent, for the administrator who looks
 * on; counting and logging it is the caller's. */
void apply_closed(struct apply *a, const struct apply_peer *peer, enum reason reason,
    const char *why, uint64_t now_ms);

/* Leases and graces that have run out by now. Call at least every apply_due_ms(): who
 * asked for that and is late by more than a second was away, and nobody is folded for it
 * before what was sent meanwhile could be heard. */
void apply_tick(struct apply *a, uint64_t now_ms);
/* Milliseconds until apply_tick() has something to do; UINT64_MAX: nothing is pending. */
uint64_t apply_due_ms(struct apply *a, uint64_t now_ms);

/* Refresh the self-metrics that are states, the caller's too. Before each scrape. */
void apply_refresh(struct apply *a);

/* True if a live worker has a metric at an endpoint of that name, anywhere. */
bool apply_endpoint_live(const struct apply *a, const char *endpoint);
/* True once a worker has said HELLO, or one that said so before the start may be alive.
 */
bool apply_had_worker(const struct apply *a);

/* Live sessions, and series of all kinds. */
uint32_t apply_workers(const struct apply *a);
uint64_t apply_series(const struct apply *a);

/* The state of the daemon as JSON, what STATUS answers; cut where it is longer than a
 * message. */
void apply_status(struct apply *a, uint64_t now_ms, struct strbuf *out);

/* ---- The state over a restart ----------------------------------------------- */

/* Whose state it is, before anything is applied or replayed. */
void apply_set_identity(
    struct apply *a, uint64_t store, const uint8_t secret[REPEATS_SECRET_BYTES]);
/* Every now_ms is CLOCK_MONOTONIC and so much more, from now on. */
void apply_set_clock(struct apply *a, int64_t offset_ms);
/* When the last effect happened, replayed ones too: now_ms, and milliseconds since 1970.
 * 0: none did. */
void apply_last_time(
    const struct apply *a, uint64_t *ret_clock_ms, uint64_t *ret_unix_ms);

/*
 * Effects again, from the records of a journal and in their order: what was accepted is
 * accepted whatever the limits are now, and what was refused is left out. Nothing is
 * recorded, logged, or counted in the self-metrics. Between begin and end nothing else is
 * asked of apply or the registry but to read.
 */
void apply_replay_begin(struct apply *a);
/*
 * 0, or why nothing that follows may be used: REASON_MEMORY, else the record does not fit
 * the state. JOURNAL_HEAD sets the clock; JOURNAL_SEAL does nothing.
 */
enum reason apply_replay(
    struct apply *a, const struct journal_record *record, struct refusal *why);
/* How many series were left out since begin, as names and labels of now do not allow
 * them. */
uint64_t apply_replay_dropped(const struct apply *a);
void apply_replay_end(struct apply *a);

/* What is known of a process of an earlier run. */
enum apply_life { APPLY_LIFE_UNKNOWN, APPLY_LIFE_SAME, APPLY_LIFE_GONE };

/*
 * After the state was loaded: no session has a connection. Those whose process is gone,
 * or was another boot's, are folded (recorded); gauges of a process that is the same show
 * at once, others when their worker is back. Grace and lease begin now. life NULL: their
 * numbers say nothing here, and are forgotten.
 */
void apply_recovered(struct apply *a, bool other_boot,
    enum apply_life (*life)(void *arg, pid_t pid, uint64_t start), void *arg,
    uint64_t now_ms);

#endif /* APPLY_H */
