/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot_items.h"

#include <errno.h>

/* A block is ended behind the item that makes it longer: the longest item has 64 KiB. */
#define BLOCK_BYTES (32 * 1024)

/* ---- Writing ------------------------------------------------------------- */

int
items_open(struct items_out *out, const struct snapshot_sink *sink)
{
	*out = (struct items_out){ .sink = sink };
	out->block = journal_new();
	out->error = out->block ? 0 : ENOMEM;
	return out->error;
}

void
items_close(struct items_out *out)
{
	journal_free(out->block);
	out->block = NULL;
}

/* Hand on what was ended. */
static void
hand_on(struct items_out *out)
{
	size_t n;
	const void *bytes = journal_bytes(out->block, &n);

	if (journal_failed(out->block))
		out->error = ENOMEM;
	if (out->error == 0)
		out->error = out->sink->put(out->sink->arg, bytes, n);
	journal_clear(out->block);
}

static void
end_block(struct items_out *out)
{
	if (out->bytes == 0 || out->error)
		return;
	journal_end(out->block);
	hand_on(out);
	out->bytes = 0;
}

void
items_begin(struct items_out *out, enum item item)
{
	if (out->bytes >= BLOCK_BYTES)
		end_block(out);
	if (out->error)
		return;
	if (out->bytes == 0)
		journal_begin(out->block, SNAPSHOT_BLOCK);
	items_u8(out, (uint8_t)item);
	out->count[item]++;
}

void
items_u8(struct items_out *out, uint8_t v)
{
	items_bytes(out, &v, sizeof(v));
}

void
items_u32(struct items_out *out, uint32_t v)
{
	uint8_t bytes[4];

	wire_store_u32(bytes, v);
	items_bytes(out, bytes, sizeof(bytes));
}

void
items_u64(struct items_out *out, uint64_t v)
{
	uint8_t bytes[8];

	wire_store_u64(bytes, v);
	items_bytes(out, bytes, sizeof(bytes));
}

void
items_bytes(struct items_out *out, const void *bytes, size_t n)
{
	if (out->error)
		return;
	journal_put_bytes(out->block, bytes, n);
	out->bytes += n;
}

void
items_text(struct items_out *out, struct wire_text t)
{
	items_u32(out, (uint32_t)t.bytes);
	items_bytes(out, t.at, t.bytes);
}

int
items_finish(struct items_out *out)
{
	end_block(out);
	if (out->error)
		return out->error;
	journal_begin(out->block, SNAPSHOT_END);
	for (int i = 1; i < ITEM_END; i++)
		journal_put_u32(out->block, out->count[i]);
	journal_end(out->block);
	hand_on(out);
	return out->error;
}

/* ---- Reading ------------------------------------------------------------- */

static void
get_counts(const struct journal_record *record, uint32_t ret_count[ITEM_END])
{
	ret_count[0] = 0;
	for (size_t i = 1; i < ITEM_END; i++)
		ret_count[i] = wire_load_u32(record->body + 4 * (i - 1));
}

/* What each kind of item has at least: its byte, its numbers, the lengths of texts. */
static const uint8_t least_bytes[ITEM_END] = {
	[ITEM_REGISTRY] = 10,
	[ITEM_SESSIONS] = 9,
	[ITEM_SESSION] = 105,
	[ITEM_COLUMN] = 18,
	[ITEM_STRING] = 5,
	[ITEM_LEVEL] = 9,
	[ITEM_SCHEMA] = 9,
	[ITEM_FAMILY] = 24,
	[ITEM_HOLES] = 9,
	[ITEM_SERIES] = 13,
	[ITEM_PART] = 17,
	[ITEM_METRIC] = 25,
	[ITEM_CHILD] = 21,
	[ITEM_FOLDED] = 37,
	[ITEM_REPEAT] = 34,
};

/* Memory is taken for as many as there are said to be: so many must be there. */
static bool
have_room(const uint32_t count[ITEM_END], size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 1; i < ITEM_END; i++)
		bytes += (uint64_t)count[i] * least_bytes[i];
	return bytes <= n;
}

bool
items_check(const void *bytes, size_t n, uint32_t ret_count[ITEM_END])
{
	struct journal_reader r = { .bytes = bytes, .n = n };
	struct journal_record record = { 0 };

	while (journal_next(&r, &record) && record.type == SNAPSHOT_BLOCK)
		;
	if (record.type != SNAPSHOT_END || r.good != n ||
	    record.bytes != 4 * (ITEM_END - 1))
		return false;
	get_counts(&record, ret_count);
	return have_room(ret_count, n);
}

void
items_rewind(struct items_in *in, const void *bytes, size_t n)
{
	*in = (struct items_in){ .records = { .bytes = bytes, .n = n } };
	wire_reader_init(&in->block, NULL, 0);
}

uint8_t
items_next(struct items_in *in)
{
	struct journal_record record;

	while (wire_left(&in->block) == 0) {
		if (!journal_next(&in->records, &record) || record.type == SNAPSHOT_END)
			return 0;
		wire_reader_init(&in->block, record.body, record.bytes);
	}
	return wire_get_u8(&in->block);
}
