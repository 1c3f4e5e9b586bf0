/* SPDX-License-Identifier: Apache-2.0 */
#include "repair.h"

#include "fuzz.h"
#include "message.h"
#include "snapshot_items.h"

#define KINDS 256 /* of what others refer to, so many are known */

/* What the length of an item depends on. */
struct walk {
	struct wire_reader from;
	uint32_t count[ITEM_END];
	uint32_t names[KINDS];	/* of a schema */
	uint32_t cells[KINDS];	/* of a series */
	uint32_t totals, parts; /* of the family: numbers of a series, of a part */
	uint32_t family_cells;
};

static void
skip_text(struct walk *w)
{
	wire_get_long_text(&w->from);
}

static void
walk_family(struct walk *w)
{
	uint8_t kind, merge;
	uint32_t bounds;

	skip_text(w);
	skip_text(w);
	kind = wire_get_u8(&w->from);
	merge = wire_get_u8(&w->from);
	wire_get_u8(&w->from);
	bounds = wire_get_u32(&w->from);
	wire_get_bytes(&w->from, 8 * (size_t)bounds + 8);
	w->totals = kind == MESSAGE_HISTOGRAM ? bounds + 2 : kind == MESSAGE_COUNTER;
	w->parts = merge == MESSAGE_LAST ? 2 : 1;
}

/* In place, so that a file of some bytes does not take a gigabyte. */
static void
walk_column(struct walk *w)
{
	const uint8_t *most;

	skip_text(w);
	wire_get_u8(&w->from);
	most = wire_get_bytes(&w->from, 4);
	if (most)
		((uint8_t *)(uintptr_t)most)[3] = ((uint8_t *)(uintptr_t)most)[2] = 0;
	wire_get_u64(&w->from);
}

static void
walk_session(struct walk *w)
{
	wire_get_bytes(&w->from, 16 + 8 + 8 + 4 + 4 + 8);
	for (int i = 0; i < 3; i++)
		skip_text(w);
	wire_get_bytes(&w->from, 4 + 4 * 8 + 8);
}

static void
walk_series(struct walk *w)
{
	uint32_t schema = wire_get_u32(&w->from);

	wire_get_bytes(&w->from, 4 * (size_t)w->names[schema % KINDS] + 8);
	wire_get_bytes(&w->from, 8 * (size_t)w->totals);
	w->cells[(w->count[ITEM_SERIES] + 1) % KINDS] = w->totals;
}

static void
walk_child(struct walk *w)
{
	uint32_t series;

	wire_get_u64(&w->from);
	series = wire_get_u32(&w->from);
	wire_get_bytes(&w->from, 8 * (size_t)w->cells[series % KINDS]);
}

static void
walk_metric(struct walk *w)
{
	wire_get_bytes(&w->from, 5 * 4);
	wire_get_bytes(&w->from, 12 * (size_t)wire_get_u32(&w->from));
}

static void
walk_schema(struct walk *w)
{
	uint32_t n;

	wire_get_u32(&w->from);
	n = wire_get_u32(&w->from);
	wire_get_bytes(&w->from, 4 * (size_t)n);
	w->names[(w->count[ITEM_SCHEMA] + 1) % KINDS] = n;
}

static void
walk_others(struct walk *w, uint8_t item)
{
	static const uint8_t bytes[ITEM_END] = { [ITEM_REGISTRY] = 9,
		[ITEM_SESSIONS] = 8,
		[ITEM_LEVEL] = 8,
		[ITEM_FOLDED] = 36,
		[ITEM_REPEAT] = 4 + 16 + 8 + 1 };

	wire_get_bytes(&w->from, item < ITEM_END ? bytes[item] : 0);
	if (item == ITEM_HOLES)
		wire_get_bytes(&w->from, 4 * (size_t)wire_get_u32(&w->from));
	if (item == ITEM_PART)
		wire_get_bytes(&w->from, 8 + 8 * (size_t)w->parts);
	if (item == ITEM_STRING || item == ITEM_REPEAT)
		skip_text(w);
}

static void
walk_block(struct walk *w, const uint8_t *bytes, size_t n)
{
	static void (*const of[ITEM_END])(struct walk *) = { [ITEM_FAMILY] = walk_family,
		[ITEM_COLUMN] = walk_column,
		[ITEM_SESSION] = walk_session,
		[ITEM_SERIES] = walk_series,
		[ITEM_CHILD] = walk_child,
		[ITEM_METRIC] = walk_metric,
		[ITEM_SCHEMA] = walk_schema };

	wire_reader_init(&w->from, bytes, n);
	while (wire_left(&w->from) > 0 && !w->from.failed) {
		uint8_t item = wire_get_u8(&w->from);

		if (item < ITEM_END && of[item])
			of[item](w);
		else
			walk_others(w, item);
		if (item < ITEM_END && !w->from.failed)
			w->count[item]++;
	}
}

void
repair(const void *bytes, size_t n, bool is_snapshot, struct strbuf *ret)
{
	struct journal *j = journal_new();
	struct walk w = { .totals = 0 };
	struct wire_reader r;
	const void *made;
	size_t n_made;

	fuzz_must(j != NULL, "memory is there");
	wire_reader_init(&r, bytes, n);
	while (wire_left(&r) >= JOURNAL_FRAME_BYTES) {
		uint32_t body = wire_get_u32(&r);
		uint8_t type;
		const uint8_t *at;

		wire_get_u32(&r);
		type = wire_get_u8(&r);
		if (body > wire_left(&r))
			body = (uint32_t)wire_left(&r);
		at = wire_get_bytes(&r, body);
		if (is_snapshot && type == SNAPSHOT_END)
			continue;
		if (is_snapshot && type == SNAPSHOT_BLOCK)
			walk_block(&w, at, body);
		journal_add(j, type, at, body);
	}
	if (is_snapshot) {
		journal_begin(j, SNAPSHOT_END);
		for (int i = 1; i < ITEM_END; i++)
			journal_put_u32(j, w.count[i]);
		journal_end(j);
	}
	made = journal_bytes(j, &n_made);
	if (n_made > 0)
		strbuf_add(ret, made, n_made);
	fuzz_must(!ret->failed && !journal_failed(j), "memory is there");
	journal_free(j);
}
