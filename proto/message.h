/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - what a worker and the daemon say to each other: structs <-> bytes.
 *
 * PROTOCOL.md describes every byte. A message is decoded whole or not at all: when
 * message_decode() succeeds, every item in it is well-formed, and message_next_item()
 * cannot fail. Whether its names and values are acceptable is for names.h and the
 * registry to say.
 *
 * Decoded texts and records borrow from the payload. Nothing here allocates, does I/O or
 * keeps state; any thread may call anything.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#include "wire.h"

#define MESSAGE_MAGIC	     "DYNM"
#define MESSAGE_VERSION	     1
#define MESSAGE_HEADER_BYTES 8
#define MESSAGE_RECORD_BYTES 12 /* cell u32, value u64 */
#define MESSAGE_SID_BYTES    16

/*
 * A cell that every session has without defining it: how many updates the worker dropped
 * itself (not finite, negative, no memory), as an f64 that counts up.
 */
#define MESSAGE_CELL_DROPPED UINT32_MAX

/*
 * The largest counter, bucket and sum (either way) that an UPDATE may have: so small that
 * no number of them adds up to more than a double holds. (To the largest double it adds
 * nothing.)
 */
#define MESSAGE_VALUE_MAX 0x1p968

/* What the format can carry; the daemon's configuration may allow less. */
#define MESSAGE_LEVELS_MAX 3
#define MESSAGE_LABELS_MAX 64
#define MESSAGE_BOUNDS_MAX 4096

enum message_type {
	/* requests */
	MESSAGE_HELLO = 0x01,
	MESSAGE_DEFINE = 0x02,
	MESSAGE_UPDATE = 0x03,
	MESSAGE_REMOVE = 0x04,
	MESSAGE_PING = 0x05,
	MESSAGE_EXPOSE = 0x06,
	MESSAGE_STATUS = 0x07,
	MESSAGE_BYE = 0x08,
	MESSAGE_ADMIN = 0x09,
	/* replies */
	MESSAGE_NEW = 0x81,
	MESSAGE_LIVE = 0x82,
	MESSAGE_FOLDED = 0x83,
	MESSAGE_EXPIRED = 0x84,
	MESSAGE_STALE = 0x85,
	MESSAGE_UNBOUND = 0x86,
	MESSAGE_ACK = 0x87,
	MESSAGE_REFUSED = 0x88,
	MESSAGE_OK = 0x89,
	MESSAGE_TEXT = 0x8a,
	MESSAGE_ERROR = 0x8b
};

/* Why something was refused: a closed list, in replies, in metrics and in the docs. */
#define MESSAGE_REASONS(X) \
	X(VERSION, "version") \
	X(MESSAGE, "message") \
	X(JSON, "json") \
	X(FIELD, "field") \
	X(NAME, "name") \
	X(LABEL, "label") \
	X(RESERVED, "reserved") \
	X(DUPLICATE, "duplicate") \
	X(TYPE, "type") \
	X(BOUNDS, "bounds") \
	X(MERGE, "merge") \
	X(COLLISION, "collision") \
	X(UTF8, "utf8") \
	X(LENGTH, "length") \
	X(LIMIT, "limit") \
	X(VALUE, "value") \
	X(CELL, "cell") \
	X(SESSION, "session") \
	X(OWNER, "owner") \
	X(LEVEL, "level") \
	X(MEMORY, "memory")

enum reason {
	REASON_NONE = 0,
#define X(symbol, word) REASON_##symbol,
	MESSAGE_REASONS(X)
#undef X
	    REASON_END
};

/* The name of a type as PROTOCOL.md has it; "?" for a number that is none. */
const char *message_type_word(enum message_type type);

/* The word for a reason; "unknown" for a number that is none. */
const char *message_reason_word(enum reason reason);

/* A reason with a sentence about it. The first one set stays. */
struct refusal {
	enum reason reason;
	char text[240];
};

/* Always returns reason, so that a check can end in `return refuse(...)`. r may be NULL.
 */
enum reason refuse(struct refusal *r, enum reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

enum message_kind { MESSAGE_COUNTER = 1, MESSAGE_GAUGE = 2, MESSAGE_HISTOGRAM = 3 };

enum message_merge {
	MESSAGE_SUM = 0,
	MESSAGE_MIN = 1,
	MESSAGE_MAX = 2,
	MESSAGE_LAST = 3,
	MESSAGE_EACH = 4
};

const char *message_kind_word(enum message_kind kind);
const char *message_merge_word(enum message_merge merge);

/* A place in the hierarchy: namespace, component, endpoint, as far as depth goes. */
struct message_level {
	uint8_t depth; /* 0: the runtime */
	struct wire_text name[MESSAGE_LEVELS_MAX];
};

/* A family as one worker defines it: shape, place, constant labels, label names. */
struct message_metric {
	uint32_t id; /* chosen by the worker, unique in its session */
	enum message_kind kind;
	enum message_merge merge; /* MESSAGE_SUM unless a gauge */
	struct message_level level;
	struct wire_text name;
	struct wire_text help;
	size_t n_constant;
	struct wire_text constant_name[MESSAGE_LABELS_MAX];
	struct wire_text constant_value[MESSAGE_LABELS_MAX];
	size_t n_variable;
	struct wire_text variable_name[MESSAGE_LABELS_MAX];
	size_t n_bounds;
	const uint8_t
	    *bounds; /* f64, little-endian: message_bound(); +Inf is not in it */
};

/* A series of one worker: a metric, the values of its label names, its first cell. */
struct message_child {
	uint32_t metric;
	uint32_t cell;
	size_t n_values;
	struct wire_text value[MESSAGE_LABELS_MAX];
};

enum message_item_type { MESSAGE_ITEM_METRIC = 1, MESSAGE_ITEM_CHILD = 2 };

struct message_item {
	enum message_item_type type;
	struct message_metric metric; /* the one that type names is filled */
	struct message_child child;
};

struct message_ticket {
	uint64_t store;
	uint64_t serial;
};

/* A decoded message: the fields that its type has; the others are zero. */
struct message {
	enum message_type type;
	uint8_t sid[MESSAGE_SID_BYTES]; /* HELLO */
	bool has_ticket;		/* HELLO: ticket is given */
	struct message_ticket ticket; /* HELLO DEFINE UPDATE REMOVE PING BYE; NEW LIVE */
	struct wire_text worker;      /* HELLO: wished, may be empty; NEW LIVE: given */
	struct wire_text version;     /* HELLO: of the library; NEW LIVE: of the daemon */
	uint64_t n;		      /* DEFINE UPDATE REMOVE; ACK REFUSED */
	uint32_t count;		      /* items, records, cells or refused items */
	struct wire_reader items;     /* DEFINE: message_next_item() */
	const uint8_t *records;	    /* UPDATE: count records; REMOVE: count cells, u32 */
	struct message_level level; /* EXPOSE */
	uint64_t store;		    /* FOLDED EXPIRED STALE */
	uint64_t last;		    /* LIVE FOLDED */
	uint64_t epoch;		    /* NEW LIVE: one run of the daemon, for people */
	uint32_t lease_ms;	    /* NEW LIVE */
	uint32_t message_bytes;	    /* NEW LIVE: the longest message taken */
	uint32_t max_series;	    /* NEW LIVE: of one worker */
	struct wire_reader refused; /* ACK: message_next_refused() */
	enum reason reason;	    /* REFUSED ERROR */
	struct wire_text text;	    /* ADMIN; REFUSED ERROR TEXT */
};

/* An item of a DEFINE that was refused, in an ACK. */
struct message_refused {
	uint32_t index; /* of the item, from 0 */
	enum reason reason;
	struct wire_text text;
};

/* True when a payload is a binary message of any version (else it may be JSON). */
bool message_is_binary(const void *payload, size_t bytes);

/*
 * Decode a payload whole. 0, or the reason, with *ret unspecified and r filled:
 * REASON_VERSION for a peer of another version, REASON_MESSAGE for anything malformed.
 */
enum reason message_decode(
    struct message *ret, const void *payload, size_t bytes, struct refusal *r);

/* The next of count items of a decoded DEFINE. */
void message_next_item(struct wire_reader *items, struct message_item *ret);
void message_next_refused(struct wire_reader *refused, struct message_refused *ret);

static inline double
message_bound(const struct message_metric *m, size_t i)
{
	return wire_double(wire_load_u64(m->bounds + 8 * i));
}

/* How many cells a child of such a metric has; a histogram's are buckets, +Inf, sum. */
static inline uint32_t
message_cells(enum message_kind kind, enum message_merge merge, size_t n_bounds)
{
	if (kind == MESSAGE_HISTOGRAM)
		return (uint32_t)n_bounds + 2;
	return kind == MESSAGE_GAUGE && merge == MESSAGE_LAST ? 2 : 1;
}

/*
 * Writing: each puts a whole message, but DEFINE, UPDATE, REMOVE and ACK, which are
 * begun, given items, and ended with what begin returned. Ask w->failed at the end.
 */
void message_put_hello(struct wire_writer *w, const struct message *m);
size_t message_begin_define(
    struct wire_writer *w, struct message_ticket ticket, uint64_t n);
void message_put_metric(struct wire_writer *w, const struct message_metric *metric);
void message_put_child(struct wire_writer *w, const struct message_child *child);
size_t message_begin_update(
    struct wire_writer *w, struct message_ticket ticket, uint64_t n);
static inline void message_put_record(
    struct wire_writer *w, uint32_t cell, uint64_t value);
size_t message_begin_remove(
    struct wire_writer *w, struct message_ticket ticket, uint64_t n);
void message_put_cell(struct wire_writer *w, uint32_t first_cell);
/* Write the count of items, records, cells or refused items into a begun message. */
void message_end(struct wire_writer *w, size_t begun, uint32_t count);
void message_put_ping(struct wire_writer *w, struct message_ticket ticket);
void message_put_bye(struct wire_writer *w, struct message_ticket ticket);
void message_put_expose(struct wire_writer *w, const struct message_level *level);
void message_put_status(struct wire_writer *w);
/* command: a JSON object. */
void message_put_admin(struct wire_writer *w, struct wire_text command);

/* NEW or LIVE, as m->type says. */
void message_put_welcome(struct wire_writer *w, const struct message *m);
void message_put_folded(struct wire_writer *w, uint64_t store, uint64_t last);
void message_put_expired(struct wire_writer *w, uint64_t store);
void message_put_stale(struct wire_writer *w, uint64_t store);
void message_put_unbound(struct wire_writer *w);
size_t message_begin_ack(struct wire_writer *w, uint64_t n);
void message_put_refused_item(
    struct wire_writer *w, uint32_t index, const struct refusal *r);
void message_put_refused(struct wire_writer *w, uint64_t n, const struct refusal *r);
void message_put_ok(struct wire_writer *w);
void message_put_text(struct wire_writer *w, struct wire_text text);
void message_put_error(struct wire_writer *w, const struct refusal *r);

static inline void
message_put_record(struct wire_writer *w, uint32_t cell, uint64_t value)
{
	uint8_t *p = w->start + w->bytes;

	if (w->failed || w->room - w->bytes < MESSAGE_RECORD_BYTES) {
		w->failed = true;
		return;
	}
	wire_store_u32(p, cell);
	wire_store_u64(p + 4, value);
	w->bytes += MESSAGE_RECORD_BYTES;
}

#endif /* MESSAGE_H */
