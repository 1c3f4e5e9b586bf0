/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the worker's side of a session, as a state machine.
 *
 * Pure: no socket, no clock, no lock, no allocation. Events go in, the bytes of the next
 * request come out, and what it needs to know of metrics it asks its source. One thread.
 *
 *	OFF	no connection, or one that has not said HELLO
 *	HELLO	waits for the answer to it
 *	READY	may send
 *	WAIT	waits for the answer to a request
 *
 * Per wire cell it keeps: acked, the report that the daemon has acknowledged; base, what
 * of the value was counted in earlier sessions; and flags. report = value - base; base is
 * 0 for gauges. A request with a number is in flight until it is resolved, and is sent
 * again with identical bytes: the daemon may have applied it while its reply was lost.
 *
 * The struct and its arrays lie in one mapping that fork() wipes, so that no child can go
 * on with its parent's session.
 */
#ifndef SESSION_H
#define SESSION_H

#include "message.h"

#define SESSION_MESSAGE_BYTES \
	(1U << 18) /* the longest UPDATE; less if the daemon says so */
#define SESSION_DEFINE_BYTES  (1U << 18)
#define SESSION_DEFINE_ITEMS  4096  /* bounds the reply too */
#define SESSION_REQUEST_BYTES 1024  /* of a request without a number */
#define SESSION_LEASE_MS      15000 /* until the daemon has said its own */

enum session_state { SESSION_OFF = 0, SESSION_HELLO, SESSION_READY, SESSION_WAIT };

/* What a reply means for the connection. */
enum session_verdict {
	SESSION_OK,    /* go on */
	SESSION_CLOSE, /* close; connect again after a pause */
	SESSION_AGAIN  /* close; connect again at once, in a new session */
};

struct session;

/* What the session needs to know; implemented by collect.c, and by tests. */
struct session_source {
	void *arg;
	/* Put definitions that the daemon does not have, at most max items; how many.
	 * Must call session_defines() for each child. 0: there are none now. */
	uint32_t (*define)(void *arg, struct wire_writer *w, uint32_t max);
	/* The answer: for each item in order whether it was taken. items NULL: all again,
	 * because the answer is lost. */
	void (*defined)(void *arg, const struct message *ack);
	/* Offer changed children to session_put() until it returns false or none is left.
	 */
	void (*update)(void *arg, struct session *s);
	/* Put the first cells of removed children that session_is_clean(); how many. */
	uint32_t (*remove)(void *arg, struct wire_writer *w, uint32_t max);
	/* They are gone. Must call session_forgets() for each. */
	void (*removed)(void *arg);
	/* A new session begins: cells may be numbered anew, by session_renumber(). */
	void (*renumber)(void *arg, struct session *s);
	/* The daemon may have lost all definitions and values: all of it again.
	 * in_flight: but for those in the request in flight, which stays. */
	void (*restart)(void *arg, bool in_flight);
	/* An UPDATE was refused. Define its children (session_is_suspect()) again; alone:
	 * it held but one, which is refused for good if it was suspect before. */
	void (*suspect)(void *arg, bool alone, const struct refusal *why);
};

/* What is to be sent, if anything can be. */
struct session_wish {
	bool update;
	uint64_t dropped; /* updates that the worker has dropped; goes with UPDATE */
	bool ping;
	bool bye;
	const struct message_level *expose;
};

struct session {
	enum session_state state;
	enum message_type asked; /* what WAIT waits for */
	uint8_t sid[MESSAGE_SID_BYTES];
	bool has_sid, has_ticket, has_store;
	struct message_ticket ticket;
	uint64_t base_store; /* the store that base belongs to */
	uint64_t n_acked;
	uint64_t n_reused; /* of the last DEFINE that gave a cell to another child */
	bool reuses;	   /* the DEFINE in flight does */

	enum message_type flight; /* DEFINE, UPDATE, REMOVE; 0: nothing in flight */
	uint64_t flight_n;
	size_t flight_bytes;
	uint32_t update_max; /* children in an UPDATE: fewer after a refusal */
	uint32_t define_max; /* items in a DEFINE */
	bool defined_last;   /* so that DEFINE and UPDATE take turns */

	/* while an UPDATE is built */
	struct wire_writer w;
	uint32_t put_children, put_records;

	/* from the daemon */
	uint32_t lease_ms;
	uint32_t message_bytes;
	char worker[64];
	uint64_t lost; /* requests whose counts may be lost, as the daemon forgot us */

	/* after a reply */
	struct refusal trouble; /* for people; reason 0: none */
	struct wire_text text;	/* of TEXT; borrows from the payload */

	/* MESSAGE_CELL_DROPPED: a counter like the cells' below */
	struct {
		double acked, base;
		bool again;
	} dropped;

	uint32_t cells_end; /* behind the last cell that was ever defined */
	uint64_t *acked;    /* doubles' bits; of gauges encoded, 0 is unset */
	double *base;
	uint8_t *flags;
	uint8_t *bytes;	    /* of the request in flight */
	const uint8_t *out; /* the request to send: session_next() */
	size_t out_bytes;
	uint8_t request[SESSION_REQUEST_BYTES];
};

/* The size of the mapping for so many cells; a new or wiped one is made ready by init. */
size_t session_map_bytes(uint32_t cells);
struct session *session_init(void *map, uint32_t cells);

/* Connected: say HELLO. random is used if a new session id is needed. */
void session_hello(struct session *s, const uint8_t random[MESSAGE_SID_BYTES],
    const char *worker, const char *version);
/* The connection is gone. */
void session_lost(struct session *s);
/* READY: build the next request, if any, into out and out_bytes; false: none. */
bool session_next(struct session *s, const struct session_wish *wish,
    const struct session_source *source);
/* A reply has come. */
enum session_verdict session_reply(struct session *s, const void *payload, size_t bytes,
    const struct session_source *source);

/* ---- For the source ---------------------------------------------------- */

/* A child of n cells is defined from this cell on. */
void session_defines(
    struct session *s, uint32_t cell, uint32_t n, enum message_kind kind);
/*
 * In renumber: keep these cells, each run once; then close the gaps, after which the run
 * that began at a cell begins at session_renumbered(); then end it. Returns the end of
 * all.
 */
void session_keeps(struct session *s, uint32_t cell, uint32_t n);
uint32_t session_renumber(struct session *s, uint32_t end);
uint32_t session_renumbered(const struct session *s, uint32_t cell);
void session_renumber_end(struct session *s, uint32_t end);
void session_forgets(struct session *s, uint32_t cell, uint32_t n);
/*
 * Put a child's n values into the UPDATE if they differ from what was acknowledged.
 * False: no room, offer it again for the next one.
 */
bool session_put(struct session *s, uint32_t cell, enum message_kind kind, uint32_t n,
    const uint64_t *value);
/* The same for n counters, at most SESSION_RUN_MAX, whose cells follow one another;
 * false: offer them one by one. */
#define SESSION_RUN_MAX 32
bool session_put_run(struct session *s, uint32_t cell, uint32_t n, const uint64_t *value);
bool session_is_clean(const struct session *s, uint32_t cell, enum message_kind kind,
    uint32_t n, const uint64_t *value);
bool session_is_suspect(const struct session *s, uint32_t cell);

#endif /* SESSION_H */
