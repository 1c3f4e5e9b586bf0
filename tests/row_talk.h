/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row_talk.h - a daemon that records, and two who talk to it: for the suites that go
 * through the tables of the exchange row by row. Included by a test program once.
 */
#ifndef ROW_TALK_H
#define ROW_TALK_H

#include "apply_parts.h"
#include "suite.h"
#include "talk.h"

#define LEASE_MS 15000
#define GRACE_MS 2000

static struct talk *t;
static struct journal *journal;
static struct talk_worker *first, *second;

static const struct talk_metric counter = {
	.kind = MESSAGE_COUNTER, .level = "", .name = "c"
};
static const struct talk_metric gauge = {
	.id = 1, .kind = MESSAGE_GAUGE, .merge = MESSAGE_EACH, .level = "", .name = "g"
};

static void
set_up(void)
{
	struct apply_options o = { .store = TALK_STORE,
		.epoch = 7,
		.lease_ms = LEASE_MS,
		.grace_ms = GRACE_MS,
		.message_bytes = 1 << 20,
		.json_bytes = 65536,
		.version = "0" };

	journal = journal_new();
	ck_assert_ptr_nonnull(journal);
	o.journal = journal;
	t = talk_new(NULL, &o);
	first = talk_worker(t, 100);
	second = talk_worker(t, 200);
}

static void
tear_down(void)
{
	talk_free(t);
	journal_free(journal);
}

static void
pass(uint64_t ms)
{
	t->now_ms += ms;
	apply_tick(t->apply, t->now_ms);
}

/* What the record of the effect is; 0: none. A turn's time may stand before it. */
static uint8_t
recorded(void)
{
	struct journal_reader reader = { 0 };
	struct journal_record record;
	uint8_t type = 0;

	reader.bytes = journal_bytes(journal, &reader.n);
	while (journal_next(&reader, &record))
		if (record.type != JOURNAL_TIME) {
			ck_assert_uint_eq(type, 0);
			type = record.type;
		}
	return type;
}

#endif /* ROW_TALK_H */
