/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_define SOCKET FIRST PEERS BATCH - processes that define series which never were
 * before, count on each, and take them away again; and so on. A series of each process
 * stays, and counts its rounds.
 */
#include <err.h>
#include <stdlib.h>

#include "crowd.h"
#include "raw.h"
#include "sp.h"

enum { ROUNDS, SERIES }; /* the metrics */

static const char *path;
static uint32_t batch;
static struct raw raw;

static void
put_metric(struct wire_writer *w, uint32_t id, const char *name, const char *label)
{
	struct message_metric m = { .id = id,
		.kind = MESSAGE_COUNTER,
		.level = { 1, { wire_text("overload") } },
		.name = wire_text(name),
		.help = wire_text(""),
		.n_variable = 1,
		.variable_name = { wire_text(label) } };

	message_put_metric(w, &m);
}

static void
put_child(struct wire_writer *w, uint32_t metric, uint32_t cell, const char *value)
{
	struct message_child c = { .metric = metric,
		.cell = cell,
		.n_values = 1,
		.value = { wire_text(value) } };

	message_put_child(w, &c);
}

static void
begin(struct member *self)
{
	struct wire_writer w;
	size_t begun;
	char number[16];

	raw_connect(&raw, path, SP_REQ, 256 + 64 * (size_t)batch);
	raw_hello(&raw);
	w = raw_writer(&raw);
	begun = message_begin_define(&w, raw.ticket, ++raw.n);
	snprintf(number, sizeof(number), "%d", self->number);
	put_metric(&w, ROUNDS, "define_rounds_total", "peer");
	put_metric(&w, SERIES, "define_series_total", "series");
	put_child(&w, ROUNDS, 0, number);
	message_end(&w, begun, 3);
	raw_send(&raw, &w);
	raw_ack(&raw, true);
}

static void
define(const struct member *self)
{
	struct wire_writer w = raw_writer(&raw);
	size_t begun = message_begin_define(&w, raw.ticket, ++raw.n);

	for (uint32_t i = 0; i < batch; i++) {
		char name[48];

		snprintf(name, sizeof(name), "%d/%ju/%u", self->number,
		    (uintmax_t)self->done, i);
		put_child(&w, SERIES, 1 + i, name);
	}
	message_end(&w, begun, batch);
	raw_send(&raw, &w);
	raw_ack(&raw, true);
}

static void
update(const struct member *self)
{
	struct wire_writer w = raw_writer(&raw);
	size_t begun = message_begin_update(&w, raw.ticket, ++raw.n);

	message_put_record(&w, 0, wire_bits((double)(self->done + 1)));
	for (uint32_t i = 0; i < batch; i++)
		message_put_record(&w, 1 + i, wire_bits(1));
	message_end(&w, begun, 1 + batch);
	raw_send(&raw, &w);
	raw_ack(&raw, true);
}

static void
take_away(void)
{
	struct wire_writer w = raw_writer(&raw);
	size_t begun = message_begin_remove(&w, raw.ticket, ++raw.n);

	for (uint32_t i = 0; i < batch; i++)
		message_put_cell(&w, 1 + i);
	message_end(&w, begun, batch);
	raw_send(&raw, &w);
	raw_ack(&raw, true);
}

static void
turn(struct member *self)
{
	define(self);
	update(self);
	take_away();
}

static void
idle(struct member *self)
{
	(void)self;
	raw_ping(&raw);
	raw_ack(&raw, true);
}

int
main(int argc, char **argv)
{
	struct crowd crowd = { .begin = begin, .turn = turn, .idle = idle };

	if (argc != 5)
		errx(2, "wire_define SOCKET FIRST PEERS BATCH");
	path = argv[1];
	crowd.first = atoi(argv[2]);
	crowd.members = atoi(argv[3]);
	batch = (uint32_t)atoi(argv[4]);
	return crowd_run(&crowd);
}
