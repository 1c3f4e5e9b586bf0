/* SPDX-License-Identifier: Apache-2.0 */
/* The session as a state machine: events in, request bytes out; each row of its table. */
#include <stdio.h>
#include <stdlib.h>

#include "cells.h"
#include "session.h"
#include "suite.h"

#define CELLS	100
#define COUNTER 0 /* cells */
#define GAUGE	1
#define OLD	7 /* of a child that is removed */
#define STORE	0x1111U
#define OTHER	0x2222U

static void *map;
static struct session *s;
static uint8_t random_bytes[MESSAGE_SID_BYTES];

/* What the source has and was told. */
static struct {
	bool undefined, removing, reusing, is_set;
	double value;
	double level;
	unsigned defines, defined, answers_lost, removed, restarts, kept, suspects, alone;
} src;

static uint32_t
define(void *arg, struct wire_writer *w, uint32_t max)
{
	struct message_metric m = {
		.kind = MESSAGE_COUNTER, .name = wire_text("c"), .help = wire_text("")
	};
	struct message_child c = { .cell = COUNTER };

	(void)arg;
	if (!src.undefined || max < 4)
		return 0;
	src.undefined = false;
	src.defines++;
	message_put_metric(w, &m);
	message_put_child(w, &c);
	m.id = c.metric = 1;
	m.kind = MESSAGE_GAUGE;
	c.cell = GAUGE;
	message_put_metric(w, &m);
	message_put_child(w, &c);
	session_defines(s, COUNTER, 1, MESSAGE_COUNTER);
	session_defines(s, GAUGE, 1, MESSAGE_GAUGE);
	if (src.reusing)
		session_defines(s, OLD, 1, MESSAGE_COUNTER);
	return 4;
}

static void
defined(void *arg, const struct message *ack)
{
	(void)arg;
	src.defined += ack != NULL;
	src.answers_lost += ack == NULL;
	if (!ack)
		src.undefined = true;
}

static void
update(void *arg, struct session *session)
{
	uint64_t v = wire_bits(src.value), g = gauge_encode(src.level);

	(void)arg;
	if (session_put(session, COUNTER, MESSAGE_COUNTER, 1, &v) && src.is_set)
		(void)session_put(session, GAUGE, MESSAGE_GAUGE, 1, &g);
}

static uint32_t
put_removed(void *arg, struct wire_writer *w, uint32_t max)
{
	(void)arg;
	(void)max;
	if (!src.removing)
		return 0;
	src.removing = false;
	message_put_cell(w, OLD);
	return 1;
}

static void
removed(void *arg)
{
	(void)arg;
	src.removed++;
	session_forgets(s, OLD, 1);
}

static void
renumber(void *arg, struct session *session)
{
	(void)arg;
	(void)session;
}

static void
restart(void *arg, bool in_flight)
{
	(void)arg;
	src.undefined = true;
	src.restarts++;
	src.kept += in_flight;
}

static void
suspect(void *arg, bool alone, const struct refusal *why)
{
	(void)arg;
	ck_assert_str_eq(why->text, "no");
	src.suspects++;
	src.alone += alone;
	src.undefined = true;
}

static const struct session_source source = { NULL, define, defined, update, put_removed,
	removed, renumber, restart, suspect };

static void
set_up(void)
{
	map = calloc(1, session_map_bytes(CELLS));
	s = session_init(map, CELLS);
	memset(&src, 0, sizeof(src));
	memset(random_bytes, 1, sizeof(random_bytes));
	src.undefined = true;
}

static void
tear_down(void)
{
	free(map);
}

/* ---- Events ------------------------------------------------------------ */

static uint8_t reply_bytes[4096];
static struct wire_writer w;

static struct wire_writer *
fresh(void)
{
	wire_writer_init(&w, reply_bytes, sizeof(reply_bytes));
	return &w;
}

static enum session_verdict
reply(void)
{
	ck_assert(!w.failed);
	return session_reply(s, w.start, w.bytes, &source);
}

static enum session_verdict
welcome(enum message_type type, uint64_t store, uint64_t serial, uint64_t last)
{
	struct message m = { .type = type,
		.ticket = { store, serial },
		.last = last,
		.worker = wire_text("w-2"),
		.version = wire_text("d"),
		.lease_ms = 3000,
		.message_bytes = 1U << 20 };

	message_put_welcome(fresh(), &m);
	return reply();
}

static enum session_verdict
ack(uint64_t n)
{
	size_t begun = message_begin_ack(fresh(), n);

	message_end(&w, begun, 0);
	return reply();
}

static enum session_verdict
folded(uint64_t store, uint64_t last)
{
	message_put_folded(fresh(), store, last);
	return reply();
}

static enum session_verdict
expired(uint64_t store)
{
	message_put_expired(fresh(), store);
	return reply();
}

static enum session_verdict
refused(uint64_t n)
{
	struct refusal r = { REASON_CELL, "no" };

	message_put_refused(fresh(), n, &r);
	return reply();
}

static struct message
hello(uint8_t random)
{
	struct message m;

	memset(random_bytes, random, sizeof(random_bytes));
	session_hello(s, random_bytes, "w", "1");
	ck_assert_int_eq(message_decode(&m, s->out, s->out_bytes, NULL), REASON_NONE);
	ck_assert_int_eq(m.type, MESSAGE_HELLO);
	ck_assert_int_eq(s->state, SESSION_HELLO);
	return m;
}

/* The next request, which is to be of a type. */
static struct message
next_wish(enum message_type type, const struct session_wish *wish)
{
	struct message m;

	ck_assert(session_next(s, wish, &source));
	ck_assert_int_eq(message_decode(&m, s->out, s->out_bytes, NULL), REASON_NONE);
	ck_assert_int_eq(m.type, type);
	ck_assert_int_eq(s->state, SESSION_WAIT);
	return m;
}

static struct message
next(enum message_type type)
{
	return next_wish(type, &(struct session_wish){ .update = true });
}

static void
nothing_next(void)
{
	ck_assert(!session_next(s, &(struct session_wish){ .update = true }, &source));
	ck_assert_int_eq(s->state, SESSION_READY);
}

/* The report of a cell in an UPDATE; -1: it is not in it. */
static double
record_of(const struct message *m, uint32_t cell)
{
	for (uint32_t i = 0; i < m->count; i++)
		if (wire_load_u32(m->records + 12 * i) == cell)
			return wire_double(wire_load_u64(m->records + 12 * i + 4));
	return -1;
}

/* In a session whose children are defined, with n_acked 1. */
static void
get_ready(void)
{
	(void)hello(1);
	ck_assert_int_eq(welcome(MESSAGE_NEW, STORE, 7, 0), SESSION_OK);
	ck_assert_uint_eq(next(MESSAGE_DEFINE).n, 1);
	ck_assert_int_eq(ack(1), SESSION_OK);
	nothing_next();
}

/* And with an UPDATE in flight that reports a value: n is 2. */
static void
get_flying(double value)
{
	struct message m;

	get_ready();
	src.value = value;
	m = next(MESSAGE_UPDATE);
	ck_assert_uint_eq(m.n, 2);
	ck_assert_double_eq(record_of(&m, COUNTER), value);
}

/* ---- HELLO ------------------------------------------------------------- */

START_TEST(new_gives_a_ticket_and_has_all_defined)
{
	struct message m = hello(9);

	ck_assert_uint_eq(m.sid[0], 9);
	ck_assert(!m.has_ticket);
	ck_assert(wire_text_is(m.worker, "w"));
	ck_assert_int_eq(welcome(MESSAGE_NEW, STORE, 7, 0), SESSION_OK);
	ck_assert_int_eq(s->state, SESSION_READY);
	ck_assert_str_eq(s->worker, "w-2");
	ck_assert_uint_eq(s->lease_ms, 3000);
	m = next(MESSAGE_DEFINE);
	ck_assert_uint_eq(m.ticket.store, STORE);
	ck_assert_uint_eq(m.ticket.serial, 7);
	ck_assert_uint_eq(m.count, 4);
}
END_TEST

START_TEST(live_at_the_number_in_flight_commits_it)
{
	get_flying(5);
	session_lost(s);
	ck_assert(hello(2).has_ticket);
	ck_assert_int_eq(welcome(MESSAGE_LIVE, STORE, 7, 2), SESSION_OK);
	nothing_next();
	src.value = 6;
	ck_assert_uint_eq(next(MESSAGE_UPDATE).n, 3);
}
END_TEST

START_TEST(live_at_the_last_acknowledged_has_the_same_bytes_sent_again)
{
	uint8_t before[200];
	size_t n;

	get_flying(5);
	n = s->out_bytes;
	memcpy(before, s->out, n);
	src.value = 6; /* is for the next */
	session_lost(s);
	ck_assert_uint_eq(hello(2).sid[0], 1);
	ck_assert_int_eq(welcome(MESSAGE_LIVE, STORE, 7, 1), SESSION_OK);
	ck_assert_uint_eq(next(MESSAGE_UPDATE).n, 2);
	ck_assert_uint_eq(s->out_bytes, n);
	ck_assert_mem_eq(s->out, before, n);
	ck_assert_int_eq(ack(2), SESSION_OK);
	ck_assert_uint_eq(next(MESSAGE_UPDATE).n, 3);
}
END_TEST

START_TEST(live_below_the_acknowledged_has_everything_sent_again)
{
	struct message m;

	get_flying(5);
	src.is_set = true;
	src.level = 0;
	ck_assert_int_eq(ack(2), SESSION_OK);
	ck_assert_uint_eq(next(MESSAGE_UPDATE).n, 3);
	ck_assert_int_eq(ack(3), SESSION_OK);
	nothing_next();
	session_lost(s);
	(void)hello(2);
	ck_assert_int_eq(welcome(MESSAGE_LIVE, STORE, 7, 0), SESSION_OK);
	ck_assert_uint_eq(next(MESSAGE_DEFINE).n, 4);
	ck_assert_int_eq(ack(4), SESSION_OK);
	m = next(MESSAGE_UPDATE);
	ck_assert_uint_eq(m.n, 5);
	ck_assert_double_eq(record_of(&m, COUNTER), 5);
	ck_assert_double_eq(record_of(&m, GAUGE), 0);
	ck_assert_int_eq(ack(5), SESSION_OK);
	nothing_next();
}
END_TEST

START_TEST(live_below_the_acknowledged_sends_what_is_in_flight_first)
{
	get_flying(5);
	ck_assert_int_eq(ack(2), SESSION_OK);
	src.value = 8;
	ck_assert_uint_eq(next(MESSAGE_UPDATE).n, 3);
	session_lost(s);
	(void)hello(2);
	ck_assert_int_eq(welcome(MESSAGE_LIVE, STORE, 7, 0), SESSION_OK);
	ck_assert_uint_eq(src.kept, 1);
	ck_assert_uint_eq(next(MESSAGE_UPDATE).n, 3);
	ck_assert_int_eq(ack(3), SESSION_OK);
	ck_assert_uint_eq(next(MESSAGE_DEFINE).n, 4);
}
END_TEST

/* Refused once, or not. */
START_TEST(live_of_before_a_cell_went_to_another_child_ends_the_session)
{
	get_ready();
	src.removing = true;
	ck_assert_uint_eq(next(MESSAGE_REMOVE).n, 2);
	ck_assert_int_eq(ack(2), SESSION_OK);
	src.undefined = src.reusing = true;
	ck_assert_uint_eq(next(MESSAGE_DEFINE).n, 3);
	if (_i) {
		ck_assert_int_eq(refused(3), SESSION_OK);
		ck_assert_uint_eq(next(MESSAGE_DEFINE).n, 4);
		ck_assert_int_eq(ack(4), SESSION_OK);
	} else {
		ck_assert_int_eq(ack(3), SESSION_OK);
	}
	session_lost(s);
	(void)hello(2);
	ck_assert_int_eq(welcome(MESSAGE_LIVE, STORE, 7, 1), SESSION_AGAIN);
	ck_assert(!s->has_sid && !s->has_ticket);
}
END_TEST

START_TEST(live_above_what_was_sent_makes_no_sense)
{
	get_flying(5);
	session_lost(s);
	(void)hello(2);
	ck_assert_int_eq(welcome(MESSAGE_LIVE, STORE, 7, 3), SESSION_CLOSE);
	ck_assert_int_eq(s->state, SESSION_OFF);
}
END_TEST

START_TEST(new_from_another_store_starts_from_nothing)
{
	struct message m;

	get_flying(5);
	ck_assert_int_eq(folded(STORE, 2), SESSION_AGAIN); /* base 5 */
	ck_assert(!hello(2).has_ticket);
	ck_assert_int_eq(welcome(MESSAGE_NEW, OTHER, 1, 0), SESSION_OK);
	(void)next(MESSAGE_DEFINE);
	ck_assert_int_eq(ack(1), SESSION_OK);
	m = next(MESSAGE_UPDATE);
	ck_assert_double_eq(record_of(&m, COUNTER), 5);
}
END_TEST

START_TEST(new_from_the_same_store_keeps_the_base)
{
	struct message m;

	get_flying(5);
	ck_assert_int_eq(folded(STORE, 2), SESSION_AGAIN);
	(void)hello(2);
	ck_assert_int_eq(welcome(MESSAGE_NEW, STORE, 8, 0), SESSION_OK);
	(void)next(MESSAGE_DEFINE);
	ck_assert_int_eq(ack(1), SESSION_OK);
	nothing_next();
	src.value = 7;
	m = next(MESSAGE_UPDATE);
	ck_assert_double_eq(record_of(&m, COUNTER), 2);
}
END_TEST

/* ---- Ends of a session ------------------------------------------------- */

/* What is reported in the session after an end, when the value is 9. */
static double
reported_next(uint64_t store)
{
	struct message m;

	src.value = 9;
	ck_assert_int_eq(s->state, SESSION_OFF);
	m = hello(3);
	ck_assert(!m.has_ticket);
	ck_assert_uint_eq(m.sid[0], 3);
	ck_assert_int_eq(welcome(MESSAGE_NEW, store, 9, 0), SESSION_OK);
	ck_assert_uint_eq(next(MESSAGE_DEFINE).n, 1);
	ck_assert_int_eq(ack(1), SESSION_OK);
	m = next(MESSAGE_UPDATE);
	return record_of(&m, COUNTER);
}

START_TEST(folded_at_the_number_in_flight_has_counted_it)
{
	get_flying(5);
	ck_assert_int_eq(folded(STORE, 2), SESSION_AGAIN);
	ck_assert_double_eq(reported_next(STORE), 4);
}
END_TEST

START_TEST(folded_before_the_number_in_flight_has_not)
{
	get_flying(5);
	ck_assert_int_eq(ack(2), SESSION_OK);
	src.value = 6;
	(void)next(MESSAGE_UPDATE);
	ck_assert_int_eq(folded(STORE, 2), SESSION_AGAIN);
	ck_assert_double_eq(reported_next(STORE), 4);
}
END_TEST

START_TEST(folded_is_heard_in_hello_and_by_a_ping_too)
{
	get_flying(5);
	session_lost(s);
	(void)hello(2);
	ck_assert_int_eq(folded(STORE, 1), SESSION_AGAIN);
	ck_assert_double_eq(reported_next(STORE), 9);
	ck_assert_int_eq(ack(2), SESSION_OK);
	(void)next_wish(MESSAGE_PING, &(struct session_wish){ .ping = true });
	ck_assert_int_eq(folded(STORE, 2), SESSION_AGAIN);
	ck_assert(!s->has_ticket);
}
END_TEST

/* The next UPDATE when so many updates were dropped. */
static double
dropped_next(uint64_t dropped)
{
	struct session_wish wish = { .update = true, .dropped = dropped };
	struct message m = next_wish(MESSAGE_UPDATE, &wish);

	return record_of(&m, MESSAGE_CELL_DROPPED);
}

START_TEST(dropped_updates_are_counted_once_whatever_happens_to_sessions)
{
	get_ready();
	ck_assert_double_eq(dropped_next(3), 3);
	ck_assert_int_eq(ack(2), SESSION_OK);
	nothing_next();
	ck_assert_double_eq(dropped_next(5), 5);
	ck_assert_int_eq(folded(STORE, 2), SESSION_AGAIN);
	/* 3 of them were counted; a new session starts from there */
	(void)hello(2);
	(void)welcome(MESSAGE_NEW, STORE, 8, 0);
	(void)next(MESSAGE_DEFINE);
	(void)ack(1);
	ck_assert_double_eq(dropped_next(5), 2);
	ck_assert_int_eq(ack(2), SESSION_OK);
	/* a daemon that has lost everything gets all of it */
	session_lost(s);
	(void)hello(3);
	(void)welcome(MESSAGE_NEW, STORE + 1, 1, 0);
	(void)next(MESSAGE_DEFINE);
	(void)ack(1);
	ck_assert_double_eq(dropped_next(5), 5);
	/* one that has lost a little is told again */
	ck_assert_int_eq(ack(2), SESSION_OK);
	session_lost(s);
	(void)hello(3);
	(void)welcome(MESSAGE_LIVE, STORE + 1, 1, 1);
	(void)next(MESSAGE_DEFINE);
	(void)ack(3);
	ck_assert_double_eq(dropped_next(5), 5);
}
END_TEST

START_TEST(dropped_updates_that_are_refused_are_not_sent_for_ever)
{
	struct session_wish wish = { .update = true, .dropped = 3 };

	get_ready();
	ck_assert_double_eq(dropped_next(3), 3);
	ck_assert_int_eq(refused(2), SESSION_OK);
	(void)next_wish(MESSAGE_DEFINE, &wish); /* what every refusal leads to */
	ck_assert_int_eq(ack(3), SESSION_OK);
	ck_assert(!session_next(s, &wish, &source));
	ck_assert_double_eq(dropped_next(4), 4);
}
END_TEST

START_TEST(expired_takes_what_is_in_flight_as_counted)
{
	get_flying(5);
	ck_assert_int_eq(expired(STORE), SESSION_AGAIN);
	ck_assert_uint_eq(s->lost, 1);
	ck_assert_int_eq(s->trouble.reason, REASON_SESSION);
	ck_assert_double_eq(reported_next(STORE), 4);
}
END_TEST

START_TEST(stale_is_as_expired)
{
	get_flying(5);
	ck_assert_int_eq(ack(2), SESSION_OK);
	session_lost(s);
	(void)hello(2);
	message_put_stale(fresh(), STORE);
	ck_assert_int_eq(reply(), SESSION_AGAIN);
	ck_assert_double_eq(reported_next(STORE), 4);
}
END_TEST

START_TEST(an_end_in_another_store_means_nothing_was_counted)
{
	get_flying(5);
	session_lost(s);
	(void)hello(2);
	ck_assert_int_eq(expired(OTHER), SESSION_AGAIN);
	ck_assert_double_eq(reported_next(OTHER), 9);
}
END_TEST

START_TEST(a_gauge_has_no_base)
{
	struct message m;

	src.is_set = true;
	src.level = 3;
	for (int i = 0; i < 3; i++) {
		(void)hello(1);
		ck_assert_int_eq(welcome(MESSAGE_NEW, STORE, 7, 0), SESSION_OK);
		(void)next(MESSAGE_DEFINE);
		ck_assert_int_eq(ack(1), SESSION_OK);
		m = next(MESSAGE_UPDATE);
		ck_assert_double_eq(record_of(&m, GAUGE), 3);
		ck_assert_int_eq(folded(STORE, 2), SESSION_AGAIN);
	}
}
END_TEST

/* ---- READY and WAIT ---------------------------------------------------- */

START_TEST(a_loss_of_the_connection_keeps_what_is_in_flight)
{
	get_flying(5);
	message_put_unbound(fresh());
	ck_assert_int_eq(reply(), SESSION_CLOSE);
	ck_assert_int_eq(s->state, SESSION_OFF);
	ck_assert_uint_eq(s->flight_n, 2);
	ck_assert(hello(2).has_ticket);
	session_lost(s);
	ck_assert_uint_eq(s->flight_n, 2);
}
END_TEST

START_TEST(an_acknowledged_value_is_not_sent_again)
{
	get_flying(5);
	ck_assert_int_eq(ack(2), SESSION_OK);
	nothing_next();
	ck_assert(!session_next(s, &(struct session_wish){ 0 }, &source));
	src.value = 6;
	ck_assert(!session_next(s, &(struct session_wish){ 0 }, &source));
	ck_assert_uint_eq(next(MESSAGE_UPDATE).n, 3);
}
END_TEST

START_TEST(a_report_never_goes_down)
{
	get_flying(5);
	ck_assert_int_eq(ack(2), SESSION_OK);
	src.value = 4.999999; /* as rounding may have it */
	nothing_next();
}
END_TEST

START_TEST(an_ack_of_another_number_makes_no_sense)
{
	get_flying(5);
	ck_assert_int_eq(ack(1), SESSION_CLOSE);
	ck_assert_uint_eq(s->flight_n, 2);
}
END_TEST

START_TEST(a_gauge_that_is_set_to_zero_is_sent)
{
	struct message m;

	get_ready();
	src.is_set = true;
	m = next(MESSAGE_UPDATE);
	ck_assert_double_eq(record_of(&m, GAUGE), 0);
	ck_assert_double_eq(record_of(&m, COUNTER), -1);
}
END_TEST

START_TEST(refused_uses_up_the_number_and_defines_again)
{
	struct message m;

	get_flying(5);
	ck_assert_int_eq(refused(2), SESSION_OK);
	ck_assert_uint_eq(src.suspects, 1);
	ck_assert_uint_eq(src.alone, 1);
	ck_assert_uint_eq(next(MESSAGE_DEFINE).n, 3);
	ck_assert_int_eq(ack(3), SESSION_OK);
	m = next(MESSAGE_UPDATE);
	ck_assert_uint_eq(m.n, 4);
	ck_assert_double_eq(record_of(&m, COUNTER), 5);
}
END_TEST

START_TEST(refused_of_several_is_tried_in_parts)
{
	struct message m;

	get_ready();
	src.value = 5;
	src.is_set = true;
	m = next(MESSAGE_UPDATE);
	ck_assert_uint_eq(m.count, 2);
	ck_assert_int_eq(refused(2), SESSION_OK);
	ck_assert_uint_eq(src.alone, 0);
	(void)next(MESSAGE_DEFINE);
	ck_assert_int_eq(ack(3), SESSION_OK);
	m = next(MESSAGE_UPDATE);
	ck_assert_uint_eq(m.count, 1);
	ck_assert_int_eq(ack(4), SESSION_OK);
	m = next(MESSAGE_UPDATE);
	ck_assert_double_eq(record_of(&m, GAUGE), 0);
	ck_assert_int_eq(ack(5), SESSION_OK);
	nothing_next();
}
END_TEST

START_TEST(a_removed_child_is_told_after_all_else)
{
	get_ready();
	src.value = 1;
	src.removing = true;
	(void)next(MESSAGE_UPDATE);
	ck_assert_int_eq(ack(2), SESSION_OK);
	ck_assert_uint_eq(next(MESSAGE_REMOVE).n, 3);
	ck_assert_uint_eq(src.removed, 0);
	ck_assert_int_eq(ack(3), SESSION_OK);
	ck_assert_uint_eq(src.removed, 1);
}
END_TEST

START_TEST(answers_of_a_define_that_are_lost_are_asked_for_again)
{
	(void)hello(1);
	ck_assert_int_eq(welcome(MESSAGE_NEW, STORE, 7, 0), SESSION_OK);
	(void)next(MESSAGE_DEFINE);
	session_lost(s);
	(void)hello(1);
	ck_assert_int_eq(welcome(MESSAGE_LIVE, STORE, 7, 1), SESSION_OK);
	ck_assert_uint_eq(src.answers_lost, 1);
	ck_assert_uint_eq(next(MESSAGE_DEFINE).n, 2);
}
END_TEST

START_TEST(definitions_and_updates_take_turns)
{
	get_ready();
	src.value = 1;
	src.undefined = true;
	(void)next(MESSAGE_DEFINE);
	ck_assert_int_eq(ack(2), SESSION_OK);
	src.undefined = true;
	(void)next(MESSAGE_UPDATE);
	ck_assert_int_eq(ack(3), SESSION_OK);
	src.value = 2;
	(void)next(MESSAGE_DEFINE);
}
END_TEST

START_TEST(ping_expose_and_bye_have_no_number)
{
	struct message_level level = { 0 };

	get_ready();
	(void)next_wish(MESSAGE_PING, &(struct session_wish){ .ping = true });
	ck_assert_int_eq(ack(1), SESSION_OK);
	(void)next_wish(MESSAGE_EXPOSE, &(struct session_wish){ .expose = &level });
	message_put_text(fresh(), wire_text("page"));
	ck_assert_int_eq(reply(), SESSION_OK);
	ck_assert(wire_text_is(s->text, "page"));
	(void)next_wish(MESSAGE_EXPOSE, &(struct session_wish){ .expose = &level });
	message_put_error(fresh(), &(struct refusal){ REASON_LIMIT, "too long" });
	ck_assert_int_eq(reply(), SESSION_OK);
	ck_assert_ptr_null(s->text.at);
	ck_assert_str_eq(s->trouble.text, "too long");
	(void)next_wish(MESSAGE_BYE, &(struct session_wish){ .bye = true });
	message_put_ok(fresh());
	(void)reply();
	ck_assert_int_eq(s->state, SESSION_OFF);
	ck_assert_uint_eq(s->n_acked, 1);
}
END_TEST

START_TEST(what_makes_no_sense_closes_and_changes_nothing)
{
	static const enum message_type types[] = { MESSAGE_NEW, MESSAGE_LIVE, MESSAGE_OK,
		MESSAGE_TEXT, MESSAGE_ERROR };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		tear_down();
		set_up();
		get_flying(5);
		fresh();
		if (types[i] == MESSAGE_NEW || types[i] == MESSAGE_LIVE)
			ck_assert_int_eq(welcome(types[i], STORE, 7, 0), SESSION_CLOSE);
		else if (types[i] == MESSAGE_OK)
			message_put_ok(&w);
		else if (types[i] == MESSAGE_TEXT)
			message_put_text(&w, wire_text("x"));
		else
			message_put_error(&w, &(struct refusal){ REASON_MEMORY, "no" });
		ck_assert_int_eq(reply(), SESSION_CLOSE);
		ck_assert_int_eq(s->state, SESSION_OFF);
		ck_assert_uint_eq(s->flight_n, 2);
		ck_assert(s->has_ticket);
	}
	tear_down();
	set_up();
	get_flying(5);
	ck_assert_int_eq(session_reply(s, "HTTP/1.1", 8, &source), SESSION_CLOSE);
	ck_assert_int_eq(session_reply(s, "", 0, &source), SESSION_CLOSE);
	ck_assert_uint_eq(s->flight_n, 2);
}
END_TEST

START_TEST(a_wiped_session_is_a_new_one)
{
	get_flying(5);
	memset(map, 0, session_map_bytes(CELLS));
	s = session_init(map, CELLS);
	ck_assert_int_eq(s->state, SESSION_OFF);
	ck_assert(!hello(4).has_ticket);
	ck_assert_uint_eq(s->sid[0], 4);
	ck_assert_uint_eq(s->flight_n, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("client_session");
	TCase *t = tcase_create("rows");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, new_gives_a_ticket_and_has_all_defined);
	tcase_add_test(t, live_at_the_number_in_flight_commits_it);
	tcase_add_test(t, live_at_the_last_acknowledged_has_the_same_bytes_sent_again);
	tcase_add_test(t, live_below_the_acknowledged_has_everything_sent_again);
	tcase_add_test(t, live_below_the_acknowledged_sends_what_is_in_flight_first);
	tcase_add_loop_test(
	    t, live_of_before_a_cell_went_to_another_child_ends_the_session, 0, 2);
	tcase_add_test(t, live_above_what_was_sent_makes_no_sense);
	tcase_add_test(t, new_from_another_store_starts_from_nothing);
	tcase_add_test(t, new_from_the_same_store_keeps_the_base);
	tcase_add_test(t, folded_at_the_number_in_flight_has_counted_it);
	tcase_add_test(t, folded_before_the_number_in_flight_has_not);
	tcase_add_test(t, folded_is_heard_in_hello_and_by_a_ping_too);
	tcase_add_test(t, dropped_updates_are_counted_once_whatever_happens_to_sessions);
	tcase_add_test(t, dropped_updates_that_are_refused_are_not_sent_for_ever);
	tcase_add_test(t, expired_takes_what_is_in_flight_as_counted);
	tcase_add_test(t, stale_is_as_expired);
	tcase_add_test(t, an_end_in_another_store_means_nothing_was_counted);
	tcase_add_test(t, a_gauge_has_no_base);
	tcase_add_test(t, a_loss_of_the_connection_keeps_what_is_in_flight);
	tcase_add_test(t, an_acknowledged_value_is_not_sent_again);
	tcase_add_test(t, a_report_never_goes_down);
	tcase_add_test(t, an_ack_of_another_number_makes_no_sense);
	tcase_add_test(t, a_gauge_that_is_set_to_zero_is_sent);
	tcase_add_test(t, refused_uses_up_the_number_and_defines_again);
	tcase_add_test(t, refused_of_several_is_tried_in_parts);
	tcase_add_test(t, a_removed_child_is_told_after_all_else);
	tcase_add_test(t, answers_of_a_define_that_are_lost_are_asked_for_again);
	tcase_add_test(t, definitions_and_updates_take_turns);
	tcase_add_test(t, ping_expose_and_bye_have_no_number);
	tcase_add_test(t, what_makes_no_sense_closes_and_changes_nothing);
	tcase_add_test(t, a_wiped_session_is_a_new_one);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
