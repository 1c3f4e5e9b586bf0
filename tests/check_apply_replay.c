/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon records is what it was: of each kind of effect, a life that is replayed
 * into an empty daemon, and goes on as if nothing had been.
 */
#include <stdio.h>

#include "replay_talk.h"
#include "suite.h"

/* ---- Lives ---------------------------------------------------------------- */

static void
defines_and_is_refused(struct twin *x, void *arg)
{
	struct talk_metric other = counter;

	other.kind = MESSAGE_GAUGE;
	other.id = 9;
	defines(x, arg);
	talk_define(x->w[0], &other, "x", 20); /* both items */
	ck_assert_int_eq(talk_refused(x->talk), REASON_TYPE);
	talk_child(x->w[0], 0, "more,values", 21);
}

static void
counts_down(struct twin *x, void *arg)
{
	counts(x, arg);
	ck_assert_int_eq(talk_set(x->w[0], 0, 0), MESSAGE_REFUSED);
	ck_assert_int_eq(talk_set(x->w[0], 99, 0), MESSAGE_REFUSED);
}

static void
removes(struct twin *x, void *arg)
{
	counts(x, arg);
	talk_remove(x->w[0], 0);
	talk_remove(x->w[0], 77);
	talk_remove(x->w[0], 4);
}

static void
uses_a_cell_again(struct twin *x, void *arg)
{
	counts(x, arg);
	talk_child(x->w[0], 0, "other", 5); /* in the midst of the histogram */
	talk_set(x->w[0], 5, 7);
}

static void
ends(struct twin *x, void *arg)
{
	counts(x, arg);
	talk_bye(x->w[0]);
}

static void
dies(struct twin *x, void *arg)
{
	counts(x, arg);
	talk_disconnect(x->w[0], true);
}

static void
is_silent(struct twin *x, void *arg)
{
	counts(x, arg);
	pass(x, 15000);
}

static void
is_hidden(struct twin *x, void *arg)
{
	counts(x, arg);
	talk_disconnect(x->w[0], false);
	pass(x, 2000);
}

static void
has_a_namesake(struct twin *x, void *arg)
{
	counts(x, arg);
	talk_hello(x->w[1], "a");
	talk_hello(x->w[2], NULL);
	talk_hello(x->w[3], "2");
}

static void
has_a_successor(struct twin *x, void *arg)
{
	counts(x, arg);
	talk_disconnect(x->w[0], false);
	talk_hello(x->w[1], "a");
	talk_define(x->w[1], &each, "", 1);
	talk_set(x->w[1], 1, 8);
}

static void
is_back_after_its_successor(struct twin *x, void *arg)
{
	has_a_successor(x, arg);
	talk_hello(x->w[0], "a");
}

/* And one that got its name for want of another wishes for the other still. */
static void
has_lost_its_number(struct twin *x, void *arg)
{
	counts(x, arg);
	talk_hello(x->w[1], "a");
	talk_disconnect(x->w[1], false);
	talk_hello(x->w[2], "a-2");
}

/* Kept counters make way for another shape. */
static void
is_replaced(struct twin *x, void *arg)
{
	struct talk_metric other = counter;

	ends(x, arg);
	other.kind = MESSAGE_GAUGE;
	talk_hello(x->w[1], "b");
	talk_define(x->w[1], &other, "x", 0);
	talk_set(x->w[1], 0, 2);
}

static void
is_sent_in_part(struct twin *x, void *arg)
{
	(void)arg;
	send(
	    x, METRICS(
		   "{\"name\":\"c\",\"type\":\"gauge\",\"set\":\"x\"}")); /* not at all */
	send(x, "{\"id\":\"a\",\"metrics\":[" INC ",{\"name\":\"c\",\"type\":\"gauge\"},"
		"{\"name\":\"1\",\"type\":\"gauge\"}," INC "]}");
}

static void
is_set_for_a_time(struct twin *x, void *arg)
{
	(void)arg;
	send(x, METRICS(SET("1,\"ttl_s\":5")));
	send(x, METRICS("{\"name\":\"g2\",\"type\":\"gauge\",\"set\":1,\"ttl_s\":9}"));
	pass(x, 4000);
}

static void
is_over(struct twin *x, void *arg)
{
	is_set_for_a_time(x, arg);
	pass(x, 1200);
}

static void
is_removed_in_json(struct twin *x, void *arg)
{
	is_sent_in_json(x, arg);
	send(x,
	    METRICS("{\"name\":\"g\",\"remove\":true},{\"name\":\"c\",\"remove\":true}"));
}

static void
is_kept_for_a_time(struct twin *x, void *arg)
{
	x->options.retain_s = 30;
	apply_set_options(x->talk->apply, &x->options);
	is_sent_in_json(x, arg);
	counts(x, arg);
	talk_bye(x->w[0]);
	pass(x, 29000);
	send(x, METRICS(INC));
	pass(x, 5000);
}

static void
is_removed_by_root(struct twin *x, void *arg)
{
	counts(x, arg);
	is_sent_in_json(x, arg);
	talk_hello(x->w[1], "b");
	talk_define(x->w[1], &each, "", 0);
	talk_set(x->w[1], 0, 1);
	twin_admin(x, "{\"command\":\"remove\",\"name\":\"dynamo_h\",\"dry_run\":true}");
	twin_admin(x, "{\"command\":\"remove\",\"name\":\"d\"}");
	twin_admin(x,
	    "{\"command\":\"remove\",\"name\":\"g\",\"labels\":{\"worker_id\":\"a\"}}");
}

static const struct life {
	const char *name;
	enum journal_type type; /* of a record that it must make */
	void (*live)(struct twin *x, void *arg);
} lives[] = {
	{ "comes", JOURNAL_REG, comes },
	{ "defines", JOURNAL_DEFINE, defines },
	{ "defines and is refused", JOURNAL_DEFINE, defines_and_is_refused },
	{ "counts", JOURNAL_UPDATE, counts },
	{ "counts down", JOURNAL_UPDATE, counts_down },
	{ "removes", JOURNAL_REMOVE, removes },
	{ "uses a cell again", JOURNAL_DEFINE, uses_a_cell_again },
	{ "ends", JOURNAL_FOLD, ends },
	{ "dies", JOURNAL_FOLD, dies },
	{ "is silent", JOURNAL_FOLD, is_silent },
	{ "is hidden", JOURNAL_UPDATE, is_hidden },
	{ "has a namesake", JOURNAL_REG, has_a_namesake },
	{ "has a successor", JOURNAL_NAME, has_a_successor },
	{ "is back after its successor", JOURNAL_NAME, is_back_after_its_successor },
	{ "has lost its number", JOURNAL_NAME, has_lost_its_number },
	{ "is replaced", JOURNAL_DEFINE, is_replaced },
	{ "is sent in JSON", JOURNAL_JSON, is_sent_in_json },
	{ "is sent in part", JOURNAL_JSON, is_sent_in_part },
	{ "is set for a time", JOURNAL_JSON, is_set_for_a_time },
	{ "is over", JOURNAL_GONE, is_over },
	{ "is removed in JSON", JOURNAL_JSON, is_removed_in_json },
	{ "is kept for a time", JOURNAL_GONE, is_kept_for_a_time },
	{ "is removed by root", JOURNAL_ADMIN, is_removed_by_root },
};

static uint32_t
recorded(const struct twin *x, enum journal_type type)
{
	struct journal_reader r = { (const uint8_t *)x->file.at, x->file.bytes, 0 };
	struct journal_record record;
	uint32_t n = 0;

	while (journal_next(&r, &record))
		n += record.type == type;
	return n;
}

/* ---- What may follow ------------------------------------------------------------ */

static int who;

static void
says_hello(struct twin *x, void *arg)
{
	(void)arg;
	talk_hello(x->w[who], "a");
}

static void
says_it_again(struct twin *x, void *arg)
{
	(void)arg;
	if (x->w[who]->sent_bytes)
		talk_again(x->w[who]);
}

static void
counts_on(struct twin *x, void *arg)
{
	(void)arg;
	talk_set(x->w[who], 0, 100);
}

static void
defines_more(struct twin *x, void *arg)
{
	(void)arg;
	talk_define(x->w[who], &counter, "new", 60);
}

static void
sends_it_again(struct twin *x, void *arg)
{
	is_sent_in_part(x, arg);
}

static void
time_passes(struct twin *x, void *arg)
{
	(void)arg;
	pass(x, 6000);
}

START_TEST(a_life_that_is_replayed_is_the_same_and_goes_on_the_same)
{
	static void (*const then[])(struct twin *, void *) = { says_it_again, says_hello,
		says_it_again, counts_on, defines_more, sends_it_again, time_passes };

	twins_open(&t);
	twins_do(&t, lives[_i].name, lives[_i].live, NULL);
	ck_assert_msg(recorded(&t.dies, lives[_i].type) > 0, "%s: nothing of type %d",
	    lives[_i].name, lives[_i].type);
	twins_restart(&t);
	for (who = 0; who < TWIN_WORKERS; who++)
		for (size_t k = 0; k < sizeof(then) / sizeof(then[0]); k++)
			twins_do(&t, lives[_i].name, then[k], NULL);
	twins_restart(&t);
}
END_TEST

/* ---- What is not recorded ------------------------------------------------------- */

START_TEST(what_changes_nothing_is_not_recorded)
{
	struct twin *x = &t.dies;
	size_t before;

	twins_open(&t);
	counts_down(x, NULL);
	twin_write(x);
	before = x->file.bytes;
	talk_again(x->w[0]);
	talk_ping(x->w[0]);
	talk_hello(x->w[0], "a"); /* known */
	talk_set(x->w[0], 99, 1);
	talk_again(x->w[0]);
	talk_set(x->w[3], 0, 1); /* not bound */
	twin_admin(x, "{\"command\":\"remove\",\"name\":\"c\",\"dry_run\":true}");
	twin_admin(x, "{\"command\":\"remove\",\"name\":\"nothing\"}");
	send(x, METRICS("{\"name\":\"c\",\"type\":\"gauge\"}"));
	talk_disconnect(x->w[0], false);
	pass(x, 2000); /* hidden */
	twin_write(x);
	ck_assert_uint_eq(x->file.bytes, before);
}
END_TEST

START_TEST(an_update_costs_twelve_bytes_a_cell_and_a_small_head)
{
	static const struct talk_metric wide = {
		.kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "l"
	};
	struct twin *x = &t.dies;
	double values[100];
	char label[8];
	size_t n;

	twins_open(&t);
	talk_hello(x->w[0], "a");
	talk_define(x->w[0], &wide, "0", 0);
	for (uint32_t i = 0; i < 100; i++) {
		snprintf(label, sizeof(label), "%u", i);
		talk_child(x->w[0], 0, label, i);
		values[i] = i;
	}
	twin_write(x);
	talk_update(x->w[0], 0, 100, values);
	journal_bytes(x->journal, &n);
	ck_assert_uint_le(n, 100 * MESSAGE_RECORD_BYTES + 100);
}
END_TEST

START_TEST(replaying_is_neither_logged_nor_counted)
{
	struct talk *fresh;
	struct refusal why = { 0 };

	twins_open(&t);
	is_kept_for_a_time(&t.dies, NULL);
	is_back_after_its_successor(&t.dies, NULL);
	is_replaced(&t.dies, NULL);
	twin_write(&t.dies);
	fresh = twin_empty(&t.dies);
	ck_assert_int_eq(twin_replay(&t.dies, fresh, &why), REASON_NONE);
	apply_refresh(fresh->apply);
	ck_assert_str_eq(fresh->logged.at, "");
	for (enum self_metric m = 0; m < SELF_END; m++)
		for (size_t i = 0; i < self_series(m); i++) {
			const double *cell = self_cells(fresh->self, m, i);

			ck_assert_msg(self_table[m].kind != MESSAGE_COUNTER ||
					  cell == NULL || *cell == 0,
			    "%s", self_table[m].name);
		}
	talk_free(fresh);
}
END_TEST

/* ---- The test program
 * ------------------------------------------------------------------ */

int
main(void)
{
	Suite *suite = suite_create("apply_replay");
	TCase *c = tcase_create("lives");

	tcase_add_checked_fixture(c, setup, teardown);
	ADD_ROWS(a_life_that_is_replayed_is_the_same_and_goes_on_the_same, lives);
	suite_add_tcase(suite, c);

	c = tcase_create("records");
	tcase_add_checked_fixture(c, setup, teardown);
	ADD(what_changes_nothing_is_not_recorded);
	ADD(an_update_costs_twelve_bytes_a_cell_and_a_small_head);
	ADD(replaying_is_neither_logged_nor_counted);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
