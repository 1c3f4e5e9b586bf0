/* SPDX-License-Identifier: Apache-2.0 */
#include "cells.h"
#include "collect.h"
#include "counts.h"
#include "scope.h"
#include "store.h"
#include "sums.h"

#define COUNTERS 1000

static struct report report;
static struct store store;
static struct collect collect;
static struct session *session;
static struct dynm_counter counter[COUNTERS];

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* There is no daemon: its answers are made here. */
static void
hear(const uint8_t *bytes, size_t n)
{
	must(session_reply(session, bytes, n, &collect.source) == SESSION_OK);
}

static void
hear_welcome(void)
{
	struct message m = { .type = MESSAGE_NEW,
		.ticket = { 1, 1 },
		.worker = wire_text("counts"),
		.version = wire_text("counts"),
		.lease_ms = 15000,
		.message_bytes = 1U << 20 };
	uint8_t random[MESSAGE_SID_BYTES] = { 1 }, bytes[1024];
	struct wire_writer w;

	session_hello(session, random, "", "counts");
	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_welcome(&w, &m);
	hear(bytes, w.bytes);
}

/* All that has changed is found, sent and acknowledged. */
static void
pass(void)
{
	struct session_wish wish = { .update = true };
	struct wire_writer w;
	uint8_t bytes[64];

	collect_pass(&collect);
	while (session_next(session, &wish, &collect.source)) {
		wire_writer_init(&w, bytes, sizeof(bytes));
		message_end(&w, message_begin_ack(&w, session->flight_n), 0);
		hear(bytes, w.bytes);
	}
}

/* Every counter changes, by one call, between one pass and the next. */
static void
collected(long times)
{
	for (long at = 0; at < times; at += COUNTERS) {
		for (int i = 0; i < COUNTERS; i++)
			dynm_counter_inc(counter[i]);
		pass();
	}
}

static bool
ready(void)
{
	return true;
}

static void
make(void)
{
	static const struct blocks_hooks hooks = { ready, sums_fold };
	const dynm_options options = { .address = "" };
	dynm_counter_vec vec;
	char text[32];

	report_init(&report, &options);
	must(blocks_init(&hooks) == 0);
	must(store_init(&store, &report, 1, COUNTERS) == 0);
	store.root = scope_root(&store);
	vec = dynm_counter_vec_create(
	    (dynm_scope){ store.root }, "counts_total", "", DYNM_LABELS("i"));
	for (int i = 0; i < COUNTERS; i++) {
		snprintf(text, sizeof(text), "%d", i);
		counter[i] = dynm_with(vec, text);
		dynm_counter_inc(counter[i]);
	}
	session = session_init(
	    blocks_map_wiped(session_map_bytes(SERIES_WIRE_MAX)), SERIES_WIRE_MAX);
	collect_begin(&collect, &store, session, false);
	hear_welcome();
	pass();
}

int
main(int argc, char **argv)
{
	static const struct count all[] = { { "collected", collected } };

	make();
	return counts_run(all, sizeof(all) / sizeof(all[0]), argc, argv);
}
