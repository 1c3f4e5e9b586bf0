/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_items.h - what a snapshot is made of: items, one behind the other in blocks.
 *
 * A block is a record of type SNAPSHOT_BLOCK; an item does not go over its end. The last
 * record is a SNAPSHOT_END with how many items of each kind there are. An item is a byte
 * that says its kind, and what is listed here: u8 u32 u64 little-endian, f64 its bits,
 * text a u32 length and bytes. Items are numbered by kind in the order in which they
 * come, and refer to each other by these numbers, always back.
 *
 *	REGISTRY  u8 naming (1: component), f64 updates that workers dropped
 *	SESSIONS  u64 next serial
 *	SESSION   sid, u64 serial, u64 last, u32 uid, u32 pid, u64 start, text name, text
 *		  wish, text library, u32 lease_ms, u64 born, touched, updated, unbound
 *		  (ms), u64 refused; in the order in which they came
 *	COLUMN    of the session before it: text worker, u8 hidden, u32 most cells,
 *		  f64 dropped. Numbered from 1.
 *	STRING    text. Numbered from 2: 0 is none, 1 is the worker's name.
 *	LEVEL     u32 parent (0: the runtime), u32 string. Numbered from 1.
 *	SCHEMA    u32 level, u32 n, n u32 names. Numbered from 1.
 *	FAMILY    text name, text help, u8 kind, u8 merge, u8 another help was seen,
 *		  u32 n, n f64 bounds, u32 positions, u32 series. Numbered from 1.
 *	HOLES     of the family before it: u32 n, n u32 positions without series, in the
 *		  order in which they are to be used
 *	SERIES    of the family before it, in the order of positions: u32 schema, a u32
 *		  for each of its names, u32 uid, u32 kept_s; then the totals (f64) of a
 *		  counter or histogram. Numbered from 1.
 *	PART      of the gauge before it, in their order: u32 column, u32 cell, u64 bits,
 *		  and of `last` u64 time. The daemon's own column is 0, and has in the
 *		  place of the cell when the part ends (deadlines.h), or 0.
 *	METRIC    u32 column, u32 id, u32 family, u32 level, u32 variable ones, u32 n,
 *		  n times: u32 name, u32 constant, u32 variable
 *	CHILD     of a counter or histogram: u32 column, u32 cell, u32 series, u64 last
 *		  value of each cell
 *	FOLDED    sid, u64 serial, u64 last, u32 uid; the oldest first
 *	REPEAT    u32 end (deadlines.h), key, content, u8 answer, text
 */
#ifndef SNAPSHOT_ITEMS_H
#define SNAPSHOT_ITEMS_H

#include "journal.h"

#define SNAPSHOT_BLOCK (JOURNAL_TYPE + 1)
#define SNAPSHOT_END   (JOURNAL_TYPE + 2)

enum item {
	ITEM_REGISTRY = 1,
	ITEM_SESSIONS,
	ITEM_SESSION,
	ITEM_COLUMN,
	ITEM_STRING,
	ITEM_LEVEL,
	ITEM_SCHEMA,
	ITEM_FAMILY,
	ITEM_HOLES,
	ITEM_SERIES,
	ITEM_PART,
	ITEM_METRIC,
	ITEM_CHILD,
	ITEM_FOLDED,
	ITEM_REPEAT,
	ITEM_END
};

/* ---- Writing ------------------------------------------------------------- */

/* Takes what is written, in pieces of about 64 KiB: 0, or an errno value, which ends it.
 */
struct snapshot_sink {
	int (*put)(void *arg, const void *bytes, size_t n);
	void *arg;
};

struct items_out {
	const struct snapshot_sink *sink;
	struct journal *block;
	size_t bytes; /* in the block; 0: none is begun */
	uint32_t count[ITEM_END];
	int error; /* sticky: nothing more is written */
};

/* 0 or ENOMEM. To be given to items_close() in any case. */
int items_open(struct items_out *out, const struct snapshot_sink *sink);
void items_begin(struct items_out *out, enum item item);
void items_u8(struct items_out *out, uint8_t v);
void items_u32(struct items_out *out, uint32_t v);
void items_u64(struct items_out *out, uint64_t v);
void items_bytes(struct items_out *out, const void *bytes, size_t n);
void items_text(struct items_out *out, struct wire_text t);
/* The last block, and the end. 0, or what went wrong. */
int items_finish(struct items_out *out);
void items_close(struct items_out *out);

/* ---- Reading ------------------------------------------------------------- */

struct items_in {
	struct journal_reader records;
	struct wire_reader block;
};

/* True if bytes are whole records: blocks, and at their end how many items they have. */
bool items_check(const void *bytes, size_t n, uint32_t ret_count[ITEM_END]);
/* From the start of what items_check() said is well. */
void items_rewind(struct items_in *in, const void *bytes, size_t n);
/* The kind of the next item, which is to be read from in->block; 0 at the end. */
uint8_t items_next(struct items_in *in);

#endif /* SNAPSHOT_ITEMS_H */
