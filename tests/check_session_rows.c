/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every reply in every state of a worker's session: one table, and what each letter in it
 * means for all that the session keeps. What the table of the exchange does not list is
 * here too: it closes the connection and changes nothing.
 */
#include <stdio.h>

#include "session_parts.h"
#include "stage.h"
#include "suite.h"

static struct stage *g;

/* ---- The table -------------------------------------------------------------- */

/*
 *	x	closed; everything is kept as it is
 *	n	NEW: a ticket, nothing acknowledged, all to be defined; of its own store
 *		the base is kept
 *	c	committed: what was in flight is acknowledged
 *	r	ready; nothing has changed
 *	a	ready; all is to be sent again, what is in flight first, as it was
 *	f	folded: the base takes what was acknowledged; another session
 *	F	folded: the base takes what is in flight where something is
 *	E	as F, and an UPDATE in flight counts as a loss
 *	0	the end in another store: no base; another session
 *	u	refused: the number is used up, nothing of it is acknowledged
 *	t	the page has come; nothing has changed
 *
 * The columns are the states in the order of stage.h.
 */
static const struct row {
	const char *what;
	int type;
	uint64_t store, k;
	const char *outcome;
} rows[] = {
	{ "NEW", MESSAGE_NEW, STAGE_STORE, 9, "xx nnnnnn xx xxx xxx" },
	{ "NEW, other store", MESSAGE_NEW, STAGE_OTHER, 9, "xx nnnnnn xx xxx xxx" },
	{ "LIVE, in flight", MESSAGE_LIVE, STAGE_STORE, 3, "xx xxxccc xx xxx xxx" },
	{ "LIVE, acknowledged", MESSAGE_LIVE, STAGE_STORE, 2, "xx xxrrrr xx xxx xxx" },
	{ "LIVE, below", MESSAGE_LIVE, STAGE_STORE, 1, "xx xxaaaa xx xxx xxx" },
	{ "LIVE, nothing", MESSAGE_LIVE, STAGE_STORE, 0, "xx xxaaaa xx xxx xxx" },
	{ "LIVE, above", MESSAGE_LIVE, STAGE_STORE, 4, "xx xxxxxx xx xxx xxx" },
	{ "LIVE, other store", MESSAGE_LIVE, STAGE_OTHER, 2, "xx xxxxxx xx xxx xxx" },
	{ "LIVE, other ticket", STAGE_LIVE_OF_OTHERS, STAGE_STORE, 2,
	    "xx xxxxxx xx xxx xxx" },
	{ "FOLDED, in flight", MESSAGE_FOLDED, STAGE_STORE, 3, "xx fffFFF xx FFF fff" },
	{ "FOLDED, acknowledged", MESSAGE_FOLDED, STAGE_STORE, 2,
	    "xx ffffff xx fff fff" },
	{ "FOLDED, below", MESSAGE_FOLDED, STAGE_STORE, 1, "xx ffffff xx fff fff" },
	{ "FOLDED, other store", MESSAGE_FOLDED, STAGE_OTHER, 3, "xx f00000 xx 000 000" },
	{ "EXPIRED", MESSAGE_EXPIRED, STAGE_STORE, 0, "xx EEEEEE xx EEE EEE" },
	{ "EXPIRED, other store", MESSAGE_EXPIRED, STAGE_OTHER, 0,
	    "xx E00000 xx 000 000" },
	{ "STALE", MESSAGE_STALE, STAGE_STORE, 0, "xx EEEEEE xx EEE EEE" },
	{ "STALE, other store", MESSAGE_STALE, STAGE_OTHER, 0, "xx E00000 xx 000 000" },
	{ "UNBOUND", MESSAGE_UNBOUND, 0, 0, "xx xxxxxx xx xxx xxx" },
	{ "ACK, in flight", MESSAGE_ACK, 0, 3, "xx xxxxxx xx ccc rxx" },
	{ "ACK, another", MESSAGE_ACK, 0, 2, "xx xxxxxx xx xxx rxx" },
	{ "REFUSED, in flight", MESSAGE_REFUSED, 0, 3, "xx xxxxxx xx uuu xxx" },
	{ "REFUSED, another", MESSAGE_REFUSED, 0, 2, "xx xxxxxx xx xxx xxx" },
	{ "OK", MESSAGE_OK, 0, 0, "xx xxxxxx xx xxx xxx" },
	{ "TEXT", MESSAGE_TEXT, 0, 0, "xx xxxxxx xx xxx xxt" },
	{ "ERROR", MESSAGE_ERROR, 0, REASON_LIMIT, "xx xxxxxx xx xxx xxr" },
	{ "ERROR, version", MESSAGE_ERROR, 0, REASON_VERSION, "xx xxxxxx xx xxx xxr" },
	{ "a request", MESSAGE_PING, STAGE_STORE, 0, "xx xxxxxx xx xxx xxx" },
	{ "garbage", STAGE_GARBAGE, 0, 0, "xx xxxxxx xx xxx xxx" },
	{ "time-out, end", STAGE_TIME_OUT, 0, 0, "xx xxxxxx xx xxx xxx" },
};

/* All that a reply may change. */
struct view {
	enum session_state state;
	uint8_t sid;
	bool has_sid, has_ticket, has_store;
	uint64_t store, serial, base_store, n, lost;
	enum message_type flight;
	uint64_t flight_n, bytes;
	double acked[3], base[3];
	bool again[3];
	unsigned defined, answers_lost, removed, restarts, kept, suspects;
};

/* Of what is not there, nothing. */
static struct view
look(void)
{
	struct view v;

	memset(&v, 0, sizeof(v)); /* the padding too: views are compared as bytes */
	v.state = g->session->state;
	v.has_sid = g->session->has_sid;
	v.sid = g->session->has_sid ? g->session->sid[0] : 0;
	v.has_ticket = g->session->has_ticket;
	v.store = g->session->has_ticket ? g->session->ticket.store : 0;
	v.serial = g->session->has_ticket ? g->session->ticket.serial : 0;
	v.has_store = g->session->has_store;
	v.base_store = g->session->has_store ? g->session->base_store : 0;
	v.n = g->session->n_acked;
	v.lost = g->session->lost;
	v.flight = g->session->flight;
	v.flight_n = g->session->flight ? g->session->flight_n : 0;
	for (size_t i = 0; g->session->flight && i < g->session->flight_bytes; i++)
		v.bytes = v.bytes * 31 + g->session->bytes[i];
	for (size_t i = 0; i < 3; i++) {
		v.acked[i] = wire_double(g->session->acked[i]);
		v.base[i] = g->session->base[i];
		v.again[i] = g->session->flags[i] & AGAIN;
	}
	v.defined = g->src.defined;
	v.answers_lost = g->src.answers_lost;
	v.removed = g->src.removed;
	v.restarts = g->src.restarts;
	v.kept = g->src.kept;
	v.suspects = g->src.suspects;
	return v;
}

static void
land(struct view *v)
{
	v->flight = 0;
	v->flight_n = v->bytes = 0;
}

/* A session begins: nothing is acknowledged, and all is defined anew. */
static void
begin(struct view *v)
{
	land(v);
	v->n = 0;
	memset(v->acked, 0, sizeof(v->acked));
	memset(v->again, 0, sizeof(v->again));
	v->restarts++;
}

static void
lose_sid(struct view *v)
{
	v->sid = 0;
	v->has_sid = v->has_ticket = false;
	v->store = v->serial = 0;
}

static void
after_new(struct view *v, uint64_t store)
{
	begin(v);
	if (v->has_store && v->base_store != store)
		memset(v->base, 0, sizeof(v->base));
	v->has_ticket = v->has_store = true;
	v->store = v->base_store = store;
	v->serial = 9;
	v->state = SESSION_READY;
}

static void
after_commit(struct view *v, bool answered)
{
	v->defined += answered && v->flight == MESSAGE_DEFINE;
	v->answers_lost += !answered && v->flight == MESSAGE_DEFINE;
	v->removed += v->flight == MESSAGE_REMOVE;
	if (v->flight == MESSAGE_UPDATE)
		v->acked[STAGE_FIRST] = 15;
	v->n = 3;
	v->state = SESSION_READY;
	land(v);
}

static void
after_again(struct view *v)
{
	memset(v->again, 1, sizeof(v->again));
	v->restarts++;
	v->kept += v->flight != 0;
	v->state = SESSION_READY;
}

static void
after_refused(struct view *v)
{
	v->suspects += v->flight == MESSAGE_UPDATE;
	v->restarts += v->flight == MESSAGE_DEFINE;
	v->removed += v->flight == MESSAGE_REMOVE;
	v->n = 3;
	v->state = SESSION_READY;
	land(v);
}

static void
after_end(struct view *v, uint64_t store, bool flight_counts, bool loss)
{
	v->lost += loss && v->flight == MESSAGE_UPDATE;
	if (flight_counts && v->flight == MESSAGE_UPDATE)
		v->acked[STAGE_FIRST] = 15;
	v->base[STAGE_FIRST] += v->acked[STAGE_FIRST];
	v->base[STAGE_SECOND] += v->acked[STAGE_SECOND];
	v->has_store = true;
	v->base_store = store;
	lose_sid(v);
	begin(v);
}

static void
after_other_store(struct view *v)
{
	memset(v->base, 0, sizeof(v->base));
	v->has_store = false;
	v->base_store = 0;
	lose_sid(v);
	begin(v);
}

static enum session_verdict
foretell(struct view *v, char outcome, uint64_t store)
{
	bool answered = v->state == SESSION_WAIT;

	v->state = SESSION_OFF;
	switch (outcome) {
	case 'x':
		return SESSION_CLOSE;
	case 'f':
	case 'F':
	case 'E':
		after_end(v, store, outcome != 'f', outcome == 'E');
		return SESSION_AGAIN;
	case '0':
		after_other_store(v);
		return SESSION_AGAIN;
	case 'n':
		after_new(v, store);
		return SESSION_OK;
	case 'c':
		after_commit(v, answered);
		return SESSION_OK;
	case 'a':
		after_again(v);
		return SESSION_OK;
	case 'u':
		after_refused(v);
		return SESSION_OK;
	default:
		v->state = SESSION_READY;
		return SESSION_OK;
	}
}

static void
set_up(void)
{
	g = stage_new();
}

static void
tear_down(void)
{
	stage_free(g);
}

static void
show(char out[400], const struct view *v)
{
	snprintf(out, 400,
	    "state %d sid %d ticket %llx/%llu base store %llx n %llu lost %llu flight "
	    "%d acked %g %g %g base %g %g %g again %d%d%d defined %u/%u removed %u "
	    "restarts %u/%u suspects %u",
	    v->state, v->sid, (unsigned long long)v->store, (unsigned long long)v->serial,
	    (unsigned long long)v->base_store, (unsigned long long)v->n,
	    (unsigned long long)v->lost, v->flight, v->acked[0], v->acked[1], v->acked[2],
	    v->base[0], v->base[1], v->base[2], v->again[0], v->again[1], v->again[2],
	    v->defined, v->answers_lost, v->removed, v->restarts, v->kept, v->suspects);
}

static void
check_cell(const struct row *row, size_t state, char outcome)
{
	struct view wanted, got;
	enum session_verdict verdict, said;
	char got_text[400], wanted_text[400];

	tear_down();
	set_up();
	stage_enter(g, state);
	wanted = look();
	verdict = foretell(&wanted, outcome, row->store);
	said = stage_hear(g, row->type, row->store, row->k);
	got = look();
	ck_assert_msg(said == verdict, "%s in state %zu: verdict %d, not %d", row->what,
	    state, said, verdict);
	show(got_text, &got);
	show(wanted_text, &wanted);
	ck_assert_msg(memcmp(&got, &wanted, sizeof(got)) == 0,
	    "%s in state %zu, outcome %c:\n%s\nand not\n%s", row->what, state, outcome,
	    got_text, wanted_text);
	ck_assert_msg((g->session->text.at != NULL) == (outcome == 't'),
	    "%s in state %zu: text", row->what, state);
}

START_TEST(every_reply_in_every_state_does_what_its_row_says)
{
	const struct row *row = &rows[_i];
	size_t state = 0;

	for (const char *at = row->outcome; *at; at++)
		if (*at != ' ')
			check_cell(row, state++, *at);
	ck_assert_uint_eq(state, STAGE_STATES);
}
END_TEST

/* ---- What is sent ------------------------------------------------------------ */

START_TEST(nothing_is_sent_but_when_ready)
{
	static const struct message_level level;
	struct session_wish all = {
		.update = true, .ping = true, .bye = true, .expose = &level
	};

	for (size_t i = 0; i < STAGE_STATES; i++) {
		struct view before, after;

		tear_down();
		set_up();
		stage_enter(g, i);
		if (g->session->state == SESSION_READY)
			continue;
		g->src.undefined = g->src.removing = true;
		g->src.first = 99;
		before = look();
		ck_assert(!session_next(g->session, &all, &g->source));
		after = look();
		ck_assert_mem_eq(&before, &after, sizeof(before));
	}
}
END_TEST

/* What is there to do, and what is done first. */
static const struct {
	bool in_flight, undefined, dirty, removing, update, ping, bye;
	enum message_type sent; /* 0: nothing */
} firsts[] = {
	{ 1, 1, 1, 1, 1, 1, 1, MESSAGE_UPDATE }, /* the one in flight, as it was */
	{ 0, 1, 1, 1, 1, 1, 1, MESSAGE_DEFINE },
	{ 0, 1, 0, 0, 0, 0, 0, MESSAGE_DEFINE },
	{ 0, 0, 1, 1, 1, 1, 1, MESSAGE_UPDATE },
	{ 0, 0, 1, 1, 0, 1, 0, MESSAGE_PING }, /* not before the pass that is due */
	{ 0, 0, 0, 1, 1, 1, 1, MESSAGE_REMOVE },
	{ 0, 0, 0, 0, 1, 1, 1, MESSAGE_BYE },
	{ 0, 0, 0, 0, 1, 1, 0, MESSAGE_PING },
	{ 0, 0, 0, 0, 1, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0, 0 },
};

START_TEST(what_is_ready_is_sent_in_order)
{
	struct session_wish wish = { .update = firsts[_i].update,
		.ping = firsts[_i].ping,
		.bye = firsts[_i].bye };
	enum message_type sent = firsts[_i].sent;
	struct message m;

	stage_enter(g, firsts[_i].in_flight ? STAGE_READY_IN_FLIGHT : STAGE_READY);
	g->src.undefined = firsts[_i].undefined;
	g->src.removing = firsts[_i].removing;
	if (firsts[_i].dirty)
		g->src.first = 30;
	ck_assert_int_eq(session_next(g->session, &wish, &g->source), sent != 0);
	if (sent == 0)
		return;
	ck_assert_int_eq(message_decode(&m, g->session->out, g->session->out_bytes, NULL),
	    REASON_NONE);
	ck_assert_int_eq(m.type, sent);
	ck_assert_uint_eq(m.ticket.serial, 8);
	ck_assert_uint_eq(m.n, stage_is_numbered(sent) ? 3 : 0);
}
END_TEST

/* The UPDATE that is sent next, and what it reports of a cell. */
static struct message
next_update(uint64_t n)
{
	struct message m;

	stage_ask(g, MESSAGE_UPDATE, n);
	ck_assert_int_eq(message_decode(&m, g->session->out, g->session->out_bytes, NULL),
	    REASON_NONE);
	return m;
}

static double
report_of(const struct message *m, uint32_t i)
{
	return wire_double(wire_load_u64(m->records + MESSAGE_RECORD_BYTES * i + 4));
}

START_TEST(all_again_is_in_flight_then_definitions_then_values)
{
	struct message m;

	stage_enter(g, STAGE_HELLO_IN_FLIGHT);
	ck_assert_int_eq(stage_hear(g, MESSAGE_LIVE, STAGE_STORE, 1), SESSION_OK);
	g->src.first = 21;
	g->src.level = 0;
	m = next_update(3);
	ck_assert_double_eq(report_of(&m, 0), 15);
	ck_assert_int_eq(stage_hear(g, MESSAGE_ACK, 0, 3), SESSION_OK);
	stage_ask(g, MESSAGE_DEFINE, 4);
	ck_assert_int_eq(stage_hear(g, MESSAGE_ACK, 0, 4), SESSION_OK);
	m = next_update(5);
	ck_assert_uint_eq(m.count, 3);
	ck_assert_double_eq(report_of(&m, 0), 16);
	ck_assert_double_eq(report_of(&m, 1), 7);
	ck_assert_double_eq(report_of(&m, 2), 0);
	ck_assert_int_eq(stage_hear(g, MESSAGE_ACK, 0, 5), SESSION_OK);
	ck_assert(!session_next(
	    g->session, &(struct session_wish){ .update = true }, &g->source));
}
END_TEST

static const struct {
	int type;
	uint64_t store, k;
	double counted; /* of the 20 in flight: what the totals of that store have */
} ends[] = {
	{ MESSAGE_FOLDED, STAGE_STORE, 3, 20 },
	{ MESSAGE_FOLDED, STAGE_STORE, 2, 9 },
	{ MESSAGE_EXPIRED, STAGE_STORE, 0, 20 },
	{ MESSAGE_STALE, STAGE_STORE, 0, 20 },
	{ MESSAGE_FOLDED, STAGE_OTHER, 3, 0 },
	{ MESSAGE_EXPIRED, STAGE_OTHER, 0, 0 },
	{ MESSAGE_STALE, STAGE_OTHER, 0, 0 },
};

START_TEST(after_every_end_the_report_is_what_the_totals_do_not_have)
{
	for (int waiting = 0; waiting < 2; waiting++) {
		struct message m;

		tear_down();
		set_up();
		stage_enter(g, waiting ? STAGE_WAIT_IN_FLIGHT : STAGE_HELLO_IN_FLIGHT);
		ck_assert_int_eq(stage_hear(g, ends[_i].type, ends[_i].store, ends[_i].k),
		    SESSION_AGAIN);
		g->src.first = 22;
		stage_hello(g, 9);
		ck_assert_uint_eq(g->session->sid[0], 9);
		ck_assert_int_eq(
		    stage_hear(g, MESSAGE_NEW, ends[_i].store, 9), SESSION_OK);
		stage_ask(g, MESSAGE_DEFINE, 1);
		ck_assert_int_eq(stage_hear(g, MESSAGE_ACK, 0, 1), SESSION_OK);
		m = next_update(2);
		ck_assert_double_eq(report_of(&m, 0), 22 - ends[_i].counted);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("session_rows");
	TCase *t = tcase_create("rows");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, every_reply_in_every_state_does_what_its_row_says, 0,
	    sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(t, nothing_is_sent_but_when_ready);
	tcase_add_loop_test(
	    t, what_is_ready_is_sent_in_order, 0, sizeof(firsts) / sizeof(firsts[0]));
	tcase_add_test(t, all_again_is_in_flight_then_definitions_then_values);
	tcase_add_loop_test(t, after_every_end_the_report_is_what_the_totals_do_not_have,
	    0, sizeof(ends) / sizeof(ends[0]));
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
