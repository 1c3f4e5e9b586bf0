/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every request in every state of its session, and every way in which a session ends: two
 * tables, and what each letter in them means for all that the daemon keeps. What the
 * table of the exchange does not list is here too.
 */
#include <stdio.h>

#include "row_talk.h"

#define OTHERS 5 /* the serial of somebody's session on the same connection */

/* ---- States ----------------------------------------------------------------- */

enum { NONE, FRESH, USED, FOLDED, FORGOTTEN };

static const struct {
	int session;
	bool bound; /* the second's connection said HELLO for it */
} states[] = {
	{ NONE, false },
	{ FRESH, false },
	{ FRESH, true },
	{ USED, false },
	{ USED, true },
	{ FOLDED, false },
	{ FOLDED, true },
	{ FORGOTTEN, false },
	{ FORGOTTEN, true },
};
#define STATES (sizeof(states) / sizeof(states[0]))

/* The second speaks for the first one's session. */
static void
impersonate(void)
{
	memcpy(second->sid, first->sid, sizeof(second->sid));
	second->has_ticket = first->has_ticket;
	second->ticket = first->ticket;
}

/* Another session of the second's connection, as behind a device: it gets serial 5. */
static void
open_anothers(void)
{
	uint8_t sid[MESSAGE_SID_BYTES];

	memcpy(sid, second->sid, sizeof(sid));
	for (uint8_t i = 0; t->apply->sessions.next_serial <= OTHERS; i++) {
		second->has_ticket = false;
		memset(second->sid, 0xa0 + i, sizeof(second->sid));
		ck_assert_int_eq(talk_hello(second, NULL), MESSAGE_NEW);
	}
	memcpy(second->sid, sid, sizeof(sid));
}

static void
enter(size_t i)
{
	int session = states[i].session;

	open_anothers();
	if (session == NONE) {
		second->has_ticket = true;
		second->ticket = (struct message_ticket){ TALK_STORE, 1000 };
		return;
	}
	ck_assert_int_eq(talk_hello(first, NULL), MESSAGE_NEW);
	impersonate();
	if (states[i].bound)
		ck_assert_int_eq(talk_hello(second, NULL), MESSAGE_LIVE);
	if (session != FRESH) {
		ck_assert_int_eq(talk_define(first, &counter, "", 0), MESSAGE_ACK);
		ck_assert_int_eq(talk_define(first, &gauge, "", 1), MESSAGE_ACK);
		ck_assert_int_eq(talk_set(first, 0, 5), MESSAGE_ACK);
	}
	if (session == FOLDED)
		pass(LEASE_MS);
	if (session == FORGOTTEN)
		ck_assert_int_eq(talk_bye(first), MESSAGE_OK);
}

/* ---- Requests ----------------------------------------------------------------- */

/* What is odd about a request. */
enum {
	NO_TICKET = 1,
	OTHER_STORE = 2,
	TO_COME = 4, /* a serial that was not given out yet */
	OTHER_SID = 8,
	OTHER_UID = 16,
	EMPTY = 32,
	UNDEFINED = 64,
	BELOW = 128
};

struct row {
	const char *what;
	enum message_type type;
	unsigned odd;
	uint64_t n;
	const char *outcome;
};

static void
send_update(const struct row *row)
{
	double value = row->odd & BELOW ? 4 : 8;

	talk_update(second, row->odd & UNDEFINED ? 9 : 0, !(row->odd & EMPTY), &value);
}

static void
send_row(const struct row *row)
{
	second->n = row->n - 1;
	second->has_ticket = !(row->odd & NO_TICKET);
	if (row->odd & OTHER_STORE)
		second->ticket.store++;
	if (row->odd & TO_COME)
		second->ticket.serial = 1000;
	if (row->odd & OTHER_SID)
		memset(second->sid, 0x77, sizeof(second->sid));
	if (row->odd & OTHER_UID)
		second->peer.uid = 4711;
	if (row->type == MESSAGE_HELLO)
		talk_hello(second, NULL);
	else if (row->type == MESSAGE_DEFINE)
		talk_define(second, &counter, "", 0);
	else if (row->type == MESSAGE_UPDATE)
		send_update(row);
	else if (row->type == MESSAGE_REMOVE)
		talk_remove(second, 0);
	else if (row->type == MESSAGE_PING)
		talk_ping(second);
	else
		talk_bye(second);
}

/*
 *	N	NEW: another session; the old one, if any, is as it was
 *	n	NEW with the ticket that it has; bound
 *	l	LIVE at last; bound
 *	f	FOLDED at last		e	EXPIRED		s	STALE
 *	u	UNBOUND			w	ERROR owner
 *	a	ACK of the number: applied before, only the silence ends
 *	A	ACK of the number: applied
 *	r	REFUSED: the number is not used up, counted
 *	p	ACK of last: only the silence ends
 *	o	OK: nothing was there	O	OK: folded and forgotten
 *
 * The columns are the states in their order: no such session; last is 0; last is 3;
 * folded; forgotten; each but the first twice, without and with a bound connection.
 */
static const struct row rows[] = {
	{ "HELLO", MESSAGE_HELLO, 0, 0, "N ll ll ff ee" },
	{ "HELLO, no ticket", MESSAGE_HELLO, NO_TICKET, 0, "N nn ss ff NN" },
	{ "HELLO, other store", MESSAGE_HELLO, OTHER_STORE, 0, "N nn ss ff NN" },
	{ "HELLO, serial to come", MESSAGE_HELLO, TO_COME, 0, "N nn ss ff NN" },
	{ "HELLO, other sid", MESSAGE_HELLO, OTHER_SID, 0, "N NN NN NN ee" },
	{ "HELLO, other uid", MESSAGE_HELLO, OTHER_UID, 0, "N ww ww ww ee" },
	{ "HELLO, other uid, no ticket", MESSAGE_HELLO, OTHER_UID | NO_TICKET, 0,
	    "N ww ww ww NN" },
	{ "DEFINE 1", MESSAGE_DEFINE, 0, 1, "u uA ua uf ue" },
	{ "DEFINE 3", MESSAGE_DEFINE, 0, 3, "u uA ua uf ue" },
	{ "DEFINE 4", MESSAGE_DEFINE, 0, 4, "u uA uA uf ue" },
	{ "UPDATE 3", MESSAGE_UPDATE, 0, 3, "u ur ua uf ue" },
	{ "UPDATE 4", MESSAGE_UPDATE, 0, 4, "u ur uA uf ue" },
	{ "UPDATE 40", MESSAGE_UPDATE, 0, 40, "u ur uA uf ue" },
	{ "UPDATE 4 of nothing", MESSAGE_UPDATE, EMPTY, 4, "u uA uA uf ue" },
	{ "UPDATE 3, undefined", MESSAGE_UPDATE, UNDEFINED, 3, "u ur ua uf ue" },
	{ "UPDATE 4, undefined", MESSAGE_UPDATE, UNDEFINED, 4, "u ur ur uf ue" },
	{ "UPDATE 4, below", MESSAGE_UPDATE, BELOW, 4, "u ur ur uf ue" },
	{ "REMOVE 2", MESSAGE_REMOVE, 0, 2, "u uA ua uf ue" },
	{ "REMOVE 4", MESSAGE_REMOVE, 0, 4, "u uA uA uf ue" },
	{ "PING", MESSAGE_PING, 0, 0, "u up up uf ue" },
	{ "BYE", MESSAGE_BYE, 0, 0, "u uO uO uo uo" },
	{ "UPDATE, other store", MESSAGE_UPDATE, OTHER_STORE, 4, "u uu uu uu uu" },
	{ "PING, other store", MESSAGE_PING, OTHER_STORE, 0, "u uu uu uu uu" },
	{ "BYE, other store", MESSAGE_BYE, OTHER_STORE, 0, "u uu uu uu uu" },
};

/* All that a request may change. */
struct view {
	bool known, live;
	uint64_t last, touched_ms;
	uint32_t bound;
	uint64_t next_serial, resent, folds, refused;
	uint32_t n_live, n_folded;
	char page[200];
};

static double
self_sum(enum self_metric m)
{
	double sum = 0;

	for (size_t i = 0; i < self_series(m); i++)
		sum += self_cells(t->self, m, i) ? *self_cells(t->self, m, i) : 0;
	return sum;
}

static struct view
look(uint64_t serial)
{
	const struct sessions *s = &t->apply->sessions;
	uint32_t number = serial ? sessions_find_serial(s, serial) : 0;
	const struct record *record = number ? sessions_record(s, number) : NULL;
	struct view v;

	memset(&v, 0, sizeof(v)); /* the padding too: views are compared as bytes */
	v.known = record != NULL;
	v.last = record ? record->last : 0;
	v.live = record && record->live;
	v.touched_ms = v.live ? record->live->touched_ms : 0;
	v.bound = v.live ? record->live->bound : 0;
	v.next_serial = s->next_serial;
	v.n_live = s->n_live;
	v.n_folded = s->n_folded;
	v.resent = (uint64_t)self_sum(SELF_RESENT);
	v.folds = (uint64_t)self_sum(SELF_SESSIONS_FOLDED);
	v.refused = (uint64_t)self_sum(SELF_REFUSED);
	snprintf(v.page, sizeof(v.page), "%s", talk_page(t, ""));
	return v;
}

static void
show(char out[400], const struct view *v)
{
	snprintf(out, 400,
	    "known %d live %d last %llu touched %llu bound %u next %llu resent %llu "
	    "folds "
	    "%llu refused %llu live %u folded %u %s",
	    v->known, v->live, (unsigned long long)v->last,
	    (unsigned long long)v->touched_ms, v->bound,
	    (unsigned long long)v->next_serial, (unsigned long long)v->resent,
	    (unsigned long long)v->folds, (unsigned long long)v->refused, v->n_live,
	    v->n_folded, v->page);
}

struct effect {
	char outcome;
	enum message_type reply;
	bool touches, binds;
};

static const struct effect effects[] = {
	{ 'N', MESSAGE_NEW, false, false },
	{ 'n', MESSAGE_NEW, true, true },
	{ 'l', MESSAGE_LIVE, true, true },
	{ 'f', MESSAGE_FOLDED, false, false },
	{ 'e', MESSAGE_EXPIRED, false, false },
	{ 's', MESSAGE_STALE, false, false },
	{ 'u', MESSAGE_UNBOUND, false, false },
	{ 'w', MESSAGE_ERROR, false, false },
	{ 'a', MESSAGE_ACK, true, false },
	{ 'A', MESSAGE_ACK, true, false },
	{ 'r', MESSAGE_REFUSED, true, false },
	{ 'p', MESSAGE_ACK, true, false },
	{ 'o', MESSAGE_OK, false, false },
	{ 'O', MESSAGE_OK, false, false },
};

static const struct effect *
effect_of(char outcome)
{
	const struct effect *e = effects;

	while (e->outcome != outcome)
		e++;
	return e;
}

static void
forget(struct view *v)
{
	v->known = v->live = false;
	v->last = v->touched_ms = v->bound = 0;
	v->n_live--;
	v->folds++;
}

static void
foretell(struct view *v, const struct row *row, const struct effect *e, bool bound)
{
	if (e->touches)
		v->touched_ms = t->now_ms;
	v->bound += e->binds && !bound;
	v->resent += e->outcome == 'a';
	v->refused += e->outcome == 'r' || e->outcome == 'w';
	if (e->outcome == 'A')
		v->last = row->n;
	if (e->outcome == 'N') {
		v->n_live++;
		v->next_serial++;
	}
	if (e->outcome == 'O')
		forget(v);
}

static const char *
page_after(const struct row *row, char outcome, const char *before)
{
	if (outcome == 'A' && row->type == MESSAGE_UPDATE && !(row->odd & EMPTY))
		return "# TYPE dynamo_c counter\ndynamo_c 8\n";
	if (outcome == 'A' && row->type == MESSAGE_DEFINE && before[0] == '\0')
		return "# TYPE dynamo_c counter\ndynamo_c 0\n";
	if (outcome == 'A' && row->type == MESSAGE_REMOVE)
		return "";
	return before;
}

static uint8_t
record_after(const struct row *row, char outcome)
{
	if (outcome == 'N')
		return JOURNAL_REG;
	if (outcome == 'O')
		return JOURNAL_FOLD;
	if (outcome != 'A')
		return 0;
	return row->type == MESSAGE_DEFINE   ? JOURNAL_DEFINE
	       : row->type == MESSAGE_REMOVE ? JOURNAL_REMOVE
					     : JOURNAL_UPDATE;
}

/* The number in the reply: n of an ACK or REFUSED, last of LIVE and FOLDED. */
static uint64_t
number_after(const struct row *row, char outcome, uint64_t last)
{
	if (outcome == 'l' || outcome == 'f' || outcome == 'p')
		return last;
	return strchr("aAr", outcome) ? row->n : 0;
}

static void
check_reply(const struct row *row, size_t state, char outcome, const struct view *before)
{
	const struct message *m = &t->m;
	bool named = m->type == MESSAGE_FOLDED || m->type == MESSAGE_EXPIRED ||
		     m->type == MESSAGE_STALE;

	ck_assert_msg(m->type == effect_of(outcome)->reply,
	    "%s in state %zu: %s and not %s", row->what, state,
	    message_type_word(m->type), message_type_word(effect_of(outcome)->reply));
	ck_assert_uint_eq(m->n + m->last, number_after(row, outcome, before->last));
	if (named)
		ck_assert_uint_eq(m->store, TALK_STORE);
	if (outcome == 'N' || outcome == 'n' || outcome == 'l') {
		ck_assert_uint_eq(m->ticket.store, TALK_STORE);
		ck_assert_uint_eq(m->ticket.serial,
		    outcome == 'N' ? before->next_serial : first->ticket.serial);
	}
	if (outcome == 'w')
		ck_assert_int_eq(m->reason, REASON_OWNER);
}

static void
check_cell(const struct row *row, size_t state, char outcome)
{
	struct view before, wanted, got;
	char got_text[400], wanted_text[400];
	uint64_t serial;

	tear_down();
	set_up();
	enter(state);
	serial = first->has_ticket ? first->ticket.serial : 0;
	journal_clear(journal);
	pass(100);
	wanted = before = look(serial);
	foretell(&wanted, row, effect_of(outcome), states[state].bound);
	memset(wanted.page, 0, sizeof(wanted.page));
	snprintf(wanted.page, sizeof(wanted.page), "%s",
	    page_after(row, outcome, before.page));
	send_row(row);
	check_reply(row, state, outcome, &before);
	got = look(serial);
	show(got_text, &got);
	show(wanted_text, &wanted);
	ck_assert_msg(memcmp(&got, &wanted, sizeof(got)) == 0,
	    "%s in state %zu, outcome %c:\n%s\nand not\n%s", row->what, state, outcome,
	    got_text, wanted_text);
	ck_assert_msg(recorded() == record_after(row, outcome),
	    "%s in state %zu, outcome %c: record %u and not %u", row->what, state,
	    outcome, recorded(), record_after(row, outcome));
}

START_TEST(every_request_in_every_state_does_what_its_row_says)
{
	const struct row *row = &rows[_i];
	size_t state = 0;

	for (const char *at = row->outcome; *at; at++)
		if (*at != ' ')
			check_cell(row, state++, *at);
	ck_assert_uint_eq(state, STATES);
}
END_TEST

/* A connection that speaks for one session does not speak for another of its daemon. */
START_TEST(a_ticket_counts_only_where_its_hello_was_said)
{
	struct talk_worker *stranger = talk_worker(t, 300);

	enter(4);
	stranger->ticket = first->ticket;
	stranger->ticket.serial = OTHERS; /* the second's connection has it */
	ck_assert_int_eq(talk_ping(stranger), MESSAGE_UNBOUND);
	ck_assert_int_eq(talk_bye(stranger), MESSAGE_UNBOUND);
	second->ticket.serial = OTHERS;
	ck_assert_int_eq(talk_ping(second), MESSAGE_ACK);
	ck_assert_uint_eq(t->m.n, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("apply_rows");
	TCase *tc = tcase_create("rows");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, every_request_in_every_state_does_what_its_row_says, 0,
	    sizeof(rows) / sizeof(rows[0]));
	tcase_add_test(tc, a_ticket_counts_only_where_its_hello_was_said);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
