/* SPDX-License-Identifier: Apache-2.0 */
#include "stage.h"

#include <check.h>
#include <stdlib.h>

#include "cells.h"

#define CELLS	100
#define REMOVED 7 /* the cell of a child that is removed */

/* ---- The source: two counters and a gauge -------------------------------- */

static uint32_t
define(void *arg, struct wire_writer *w, uint32_t max)
{
	struct message_child c = { .cell = STAGE_FIRST };
	struct stage *g = arg;

	(void)max;
	if (!g->src.undefined)
		return 0;
	g->src.undefined = false;
	message_put_child(w, &c);
	session_defines(g->session, STAGE_FIRST, 1, MESSAGE_COUNTER);
	session_defines(g->session, STAGE_GAUGE, 1, MESSAGE_GAUGE);
	session_defines(g->session, STAGE_SECOND, 1, MESSAGE_COUNTER);
	return 1;
}

static void
defined(void *arg, const struct message *ack)
{
	struct stage *g = arg;

	g->src.known = ack != NULL;
	g->src.defined += ack != NULL;
	g->src.answers_lost += ack == NULL;
}

static void
update(void *arg, struct session *session)
{
	struct stage *g = arg;
	uint64_t first = wire_bits(g->src.first), second = wire_bits(g->src.second);
	uint64_t level = gauge_encode(g->src.level);

	if (!g->src.known)
		return;
	(void)(session_put(session, STAGE_FIRST, MESSAGE_COUNTER, 1, &first) &&
	       session_put(session, STAGE_SECOND, MESSAGE_COUNTER, 1, &second) &&
	       session_put(session, STAGE_GAUGE, MESSAGE_GAUGE, 1, &level));
}

static uint32_t
put_removed(void *arg, struct wire_writer *w, uint32_t max)
{
	struct stage *g = arg;

	(void)max;
	if (!g->src.removing)
		return 0;
	g->src.removing = false;
	message_put_cell(w, REMOVED);
	return 1;
}

static void
removed(void *arg)
{
	struct stage *g = arg;

	g->src.removed++;
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
	struct stage *g = arg;

	g->src.undefined = true;
	g->src.known = false;
	g->src.restarts++;
	g->src.kept += in_flight;
}

static void
suspect(void *arg, bool alone, const struct refusal *why)
{
	struct stage *g = arg;

	(void)alone;
	(void)why;
	g->src.undefined = true;
	g->src.suspects++;
}

/* ---- Replies --------------------------------------------------------------- */

static void
put_welcome(struct wire_writer *w, enum message_type type, uint64_t store,
    uint64_t serial, uint64_t last)
{
	struct message m = { .type = type,
		.ticket = { store, serial },
		.last = last,
		.worker = wire_text("w"),
		.version = wire_text("d"),
		.lease_ms = 3000,
		.message_bytes = 1U << 20 };

	message_put_welcome(w, &m);
}

/* k: the number that the reply has, the serial or the reason. */
static void
put_reply(struct wire_writer *w, int type, uint64_t store, uint64_t k)
{
	struct refusal r = { type == MESSAGE_ERROR ? (enum reason)k : REASON_CELL, "no" };

	if (type == MESSAGE_NEW)
		put_welcome(w, MESSAGE_NEW, store, k, 0);
	else if (type == MESSAGE_LIVE || type == STAGE_LIVE_OF_OTHERS)
		put_welcome(w, MESSAGE_LIVE, store, type == MESSAGE_LIVE ? 8 : 77, k);
	else if (type == MESSAGE_FOLDED)
		message_put_folded(w, store, k);
	else if (type == MESSAGE_EXPIRED)
		message_put_expired(w, store);
	else if (type == MESSAGE_STALE)
		message_put_stale(w, store);
	else if (type == MESSAGE_UNBOUND)
		message_put_unbound(w);
	else if (type == MESSAGE_ACK)
		message_end(w, message_begin_ack(w, k), 0);
	else if (type == MESSAGE_REFUSED)
		message_put_refused(w, k, &r);
	else if (type == MESSAGE_OK)
		message_put_ok(w);
	else if (type == MESSAGE_TEXT)
		message_put_text(w, wire_text("page"));
	else if (type == MESSAGE_ERROR)
		message_put_error(w, &r);
	else if (type == MESSAGE_PING)
		message_put_ping(w, (struct message_ticket){ store, 8 });
	else
		wire_put_bytes(w, "HTTP/1.1 200 OK", 15);
}

enum session_verdict
stage_hear(struct stage *g, int type, uint64_t store, uint64_t k)
{
	struct wire_writer w;

	if (type == STAGE_TIME_OUT) {
		session_lost(g->session);
		return SESSION_CLOSE;
	}
	wire_writer_init(&w, g->bytes, sizeof(g->bytes));
	put_reply(&w, type, store, k);
	ck_assert(!w.failed);
	return session_reply(g->session, w.start, w.bytes, &g->source);
}

/* ---- States ---------------------------------------------------------------- */

void
stage_hello(struct stage *g, uint8_t random)
{
	uint8_t sid[MESSAGE_SID_BYTES];

	memset(sid, random, sizeof(sid));
	session_hello(g->session, sid, "w", "1");
}

void
stage_ask(struct stage *g, enum message_type type, uint64_t n)
{
	static const struct message_level level;
	struct session_wish wish = { .update = n > 0,
		.ping = type == MESSAGE_PING,
		.bye = type == MESSAGE_BYE,
		.expose = type == MESSAGE_EXPOSE ? &level : NULL };

	ck_assert(session_next(g->session, &wish, &g->source));
	ck_assert_int_eq(g->session->asked, type);
	ck_assert_int_eq(g->session->state, SESSION_WAIT);
	if (n > 0)
		ck_assert_uint_eq(g->session->flight_n, n);
}

/* DEFINE and UPDATE, acknowledged. */
static void
report(struct stage *g, double first, double second)
{
	stage_ask(g, MESSAGE_DEFINE, 1);
	ck_assert_int_eq(stage_hear(g, MESSAGE_ACK, 0, 1), SESSION_OK);
	g->src.first = first;
	g->src.second = second;
	g->src.level = 1;
	stage_ask(g, MESSAGE_UPDATE, 2);
	ck_assert_int_eq(stage_hear(g, MESSAGE_ACK, 0, 2), SESSION_OK);
}

/* A first session that was folded: the base is 5 and 3. */
static void
say_hello_with_a_base(struct stage *g)
{
	stage_hello(g, 1);
	ck_assert_int_eq(stage_hear(g, MESSAGE_NEW, STAGE_STORE, 7), SESSION_OK);
	report(g, 5, 3);
	stage_ask(g, MESSAGE_PING, 0);
	ck_assert_int_eq(stage_hear(g, MESSAGE_FOLDED, STAGE_STORE, 2), SESSION_AGAIN);
	stage_hello(g, 2);
}

/* A second one that has acknowledged 4 and 7: n is 2. */
static void
be_ready(struct stage *g)
{
	say_hello_with_a_base(g);
	ck_assert_int_eq(stage_hear(g, MESSAGE_NEW, STAGE_STORE, 8), SESSION_OK);
	report(g, 9, 10);
}

/* And something in flight, n is 3; an UPDATE reports 15. */
static void
put_in_flight(struct stage *g, enum message_type type)
{
	be_ready(g);
	g->src.undefined = type == MESSAGE_DEFINE;
	g->src.removing = type == MESSAGE_REMOVE;
	g->src.first = type == MESSAGE_UPDATE ? 20 : 9;
	stage_ask(g, type, 3);
}

static const struct {
	enum session_state state;
	enum { NEVER, FOLDED, ALIVE } session;
	enum message_type asked;
} states[] = {
	{ SESSION_OFF, NEVER, 0 },
	{ SESSION_OFF, ALIVE, MESSAGE_UPDATE },
	{ SESSION_HELLO, NEVER, 0 },
	{ SESSION_HELLO, FOLDED, 0 },
	{ SESSION_HELLO, ALIVE, 0 },
	{ SESSION_HELLO, ALIVE, MESSAGE_UPDATE },
	{ SESSION_HELLO, ALIVE, MESSAGE_DEFINE },
	{ SESSION_HELLO, ALIVE, MESSAGE_REMOVE },
	{ SESSION_READY, ALIVE, 0 },
	{ SESSION_READY, ALIVE, MESSAGE_UPDATE },
	{ SESSION_WAIT, ALIVE, MESSAGE_UPDATE },
	{ SESSION_WAIT, ALIVE, MESSAGE_DEFINE },
	{ SESSION_WAIT, ALIVE, MESSAGE_REMOVE },
	{ SESSION_WAIT, ALIVE, MESSAGE_PING },
	{ SESSION_WAIT, ALIVE, MESSAGE_BYE },
	{ SESSION_WAIT, ALIVE, MESSAGE_EXPOSE },
};
_Static_assert(sizeof(states) / sizeof(states[0]) == STAGE_STATES, "stage.h says them");

bool
stage_is_numbered(enum message_type type)
{
	return type == MESSAGE_DEFINE || type == MESSAGE_UPDATE || type == MESSAGE_REMOVE;
}

void
stage_enter(struct stage *g, size_t state)
{
	enum message_type asked = states[state].asked;

	if (states[state].session == NEVER && states[state].state == SESSION_HELLO)
		stage_hello(g, 1);
	else if (states[state].session == FOLDED)
		say_hello_with_a_base(g);
	else if (stage_is_numbered(asked))
		put_in_flight(g, asked);
	else if (states[state].session == ALIVE)
		be_ready(g);
	if (states[state].state == SESSION_WAIT && !stage_is_numbered(asked))
		stage_ask(g, asked, 0);
	if (states[state].session != ALIVE || states[state].state == SESSION_WAIT)
		return;
	session_lost(g->session);
	if (states[state].state != SESSION_OFF)
		stage_hello(g, 3);
	if (states[state].state == SESSION_READY)
		ck_assert_int_eq(stage_hear(g, MESSAGE_LIVE, STAGE_STORE, 2), SESSION_OK);
}

/* ---- The whole ------------------------------------------------------------- */

struct stage *
stage_new(void)
{
	struct stage *g = calloc(1, sizeof(*g));
	void *map = calloc(1, session_map_bytes(CELLS));

	ck_assert_ptr_nonnull(g);
	ck_assert_ptr_nonnull(map);
	g->session = session_init(map, CELLS);
	g->src.undefined = true;
	g->source = (struct session_source){ g, define, defined, update, put_removed,
		removed, renumber, restart, suspect };
	return g;
}

void
stage_free(struct stage *g)
{
	free(g->session);
	free(g);
}
