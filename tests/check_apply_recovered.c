/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first moments of a daemon that has a state: who is still there, and what the clock
 * is; and a daemon that was away without having died.
 */
#include <stdio.h>

#include "effect.h"
#include "one_twin.h"
#include "suite.h"

static const struct talk_metric last = {
	.id = 2, .kind = MESSAGE_GAUGE, .merge = MESSAGE_LAST, .level = "", .name = "last"
};

static void
start(struct talk_worker *w, const char *wish)
{
	talk_hello(w, wish);
	talk_define(w, &gauge, "", 0);
	talk_define(w, &counter, "", 1);
	talk_update(w, 0, 2, (double[]){ 5, 3 });
}

/* An empty daemon takes what x wrote. */
static void
replay(void)
{
	struct refusal why = { 0 };

	twin_write(x);
	fresh = twin_empty(x);
	ck_assert_int_eq(twin_replay(x, fresh, &why), REASON_NONE);
}

static void
pass(uint64_t ms)
{
	fresh->now_ms += ms;
	apply_tick(fresh->apply, fresh->now_ms);
}

/* w's session on a connection to the fresh daemon. */
static struct talk_worker *
back(const struct talk_worker *w)
{
	struct talk_worker *again = talk_worker(fresh, w->peer.pid);

	memcpy(again->sid, w->sid, sizeof(w->sid));
	again->has_ticket = w->has_ticket;
	again->ticket = w->ticket;
	again->n = w->n;
	return again;
}

/* ---- Who is still there -------------------------------------------------- */

/* By process: of w[0] it is known that it is gone, of w[1] that it is there. */
static enum apply_life
life(void *arg, pid_t pid, uint64_t process_start)
{
	uint32_t *asked = arg;

	(*asked)++;
	ck_assert_uint_eq(process_start, 7000 + (uint64_t)pid - 100);
	return pid == 100   ? APPLY_LIFE_GONE
	       : pid == 101 ? APPLY_LIFE_SAME
			    : APPLY_LIFE_UNKNOWN;
}

START_TEST(the_gone_are_folded_the_same_show_and_the_others_wait_for_their_word)
{
	uint32_t asked = 0;

	start(x->w[0], "gone");
	start(x->w[1], "same");
	start(x->w[2], "unknown");
	replay();
	ck_assert(!apply_had_worker(fresh->apply));
	apply_recovered(fresh->apply, false, life, &asked, fresh->now_ms);
	ck_assert_uint_eq(asked, 3);
	ck_assert(apply_had_worker(fresh->apply));
	ck_assert_str_eq(talk_page(fresh, ""), "# TYPE dynamo_c counter\n"
					       "dynamo_c 9\n"
					       "# TYPE dynamo_g gauge\n"
					       "dynamo_g{worker_id=\"same\"} 5\n");
	ck_assert_double_eq(self_cells(fresh->self, SELF_SESSIONS_FOLDED, 0)[0], 1);
	/* The dead cannot come back, and are not remembered. */
	ck_assert_int_eq(talk_hello(back(x->w[0]), NULL), MESSAGE_EXPIRED);
	ck_assert_int_eq(talk_hello(back(x->w[2]), NULL), MESSAGE_LIVE);
	ck_assert(page_has(fresh, "dynamo_g{worker_id=\"unknown\"} 5\n"));
}
END_TEST

START_TEST(after_another_boot_nobody_is_there)
{
	start(x->w[0], "a");
	start(x->w[1], "b");
	replay();
	apply_recovered(fresh->apply, true, NULL, NULL, fresh->now_ms);
	ck_assert_str_eq(talk_page(fresh, ""), "# TYPE dynamo_c counter\ndynamo_c 6\n");
	ck_assert(!apply_had_worker(fresh->apply));
	ck_assert_uint_eq(apply_due_ms(fresh->apply, fresh->now_ms), UINT64_MAX);
}
END_TEST

START_TEST(grace_and_lease_begin_with_the_daemon)
{
	uint32_t asked = 0;

	start(x->w[1], "same");
	start(x->w[2], "unknown");
	x->talk->now_ms += 14999; /* nearly folded, when the daemon died */
	replay();
	apply_recovered(fresh->apply, false, life, &asked, fresh->now_ms);
	pass(1999);
	ck_assert(page_has(fresh, "dynamo_g{worker_id=\"same\"} 5\n"));
	pass(1);
	ck_assert(!page_has(fresh, "dynamo_g"));
	pass(12999);
	ck_assert_double_eq(self_cells(fresh->self, SELF_SESSIONS_FOLDED, 0)[0], 0);
	pass(1);
	ck_assert_double_eq(self_cells(fresh->self, SELF_SESSIONS_FOLDED, 0)[0], 2);
	ck_assert_int_eq(talk_hello(back(x->w[2]), NULL), MESSAGE_FOLDED);
}
END_TEST

START_TEST(a_name_that_a_successor_has_stays_its_own)
{
	uint32_t asked = 0;

	start(x->w[1], "a");
	talk_disconnect(x->w[1], false);
	start(x->w[2], "a");
	replay();
	apply_recovered(fresh->apply, false, life, &asked, fresh->now_ms);
	/* Its process is there, but it has no name to show its gauges under. */
	ck_assert(!page_has(fresh, "dynamo_g"));
	ck_assert_int_eq(talk_hello(back(x->w[2]), "a"), MESSAGE_LIVE);
	ck_assert(wire_text_is(fresh->m.worker, "a"));
	ck_assert_int_eq(talk_hello(back(x->w[1]), "a"), MESSAGE_LIVE);
	ck_assert(wire_text_is(fresh->m.worker, "a-2"));
}
END_TEST

/* The gone of the first start stay gone at the second. */
START_TEST(what_a_start_finds_out_is_recorded)
{
	uint32_t asked = 0;

	start(x->w[0], "gone");
	start(x->w[1], "same");
	apply_recovered(x->talk->apply, false, life, &asked, x->talk->now_ms);
	replay();
	ck_assert_int_eq(talk_hello(back(x->w[0]), NULL), MESSAGE_EXPIRED);
	ck_assert_int_eq(talk_hello(back(x->w[1]), NULL), MESSAGE_LIVE);
}
END_TEST

/* ---- The clock ------------------------------------------------------------ */

static void
put_stamped(struct talk_worker *w, double value, uint64_t stamp_ns)
{
	struct wire_writer out;
	size_t begun;

	wire_writer_init(&out, w->sent, sizeof(w->sent));
	begun = message_begin_update(&out, w->ticket, ++w->n);
	message_put_record(&out, 4, wire_bits(value));
	message_put_record(&out, 5, stamp_ns);
	message_end(&out, begun, 2);
	ck_assert_int_eq(talk_send(w, w->sent, out.bytes), MESSAGE_ACK);
}

#define SET_LAST \
	METRICS("{\"name\":\"last\",\"type\":\"gauge\",\"merge\":\"last\",\"set\":1}")

START_TEST(what_is_set_in_json_has_the_stamp_of_the_machine_s_clock)
{
	apply_set_clock(x->talk->apply, (int64_t)x->talk->now_ms - 5000);
	talk_hello(x->w[1], NULL);
	talk_define(x->w[1], &last, "", 4);
	must_be_done(x->talk, SET_LAST);
	put_stamped(x->w[1], 2, 4999 * UINT64_C(1000000));
	ck_assert(page_has(x->talk, "dynamo_last 1\n"));
	put_stamped(x->w[1], 3, 5001 * UINT64_C(1000000));
	ck_assert(page_has(x->talk, "dynamo_last 3\n"));
}
END_TEST

START_TEST(a_clock_behind_the_machine_s_is_fine)
{
	apply_set_clock(x->talk->apply, -7000);
	talk_hello(x->w[1], NULL);
	talk_define(x->w[1], &last, "", 4);
	must_be_done(x->talk, SET_LAST);
	put_stamped(x->w[1], 2, (x->talk->now_ms + 6999) * UINT64_C(1000000));
	ck_assert(page_has(x->talk, "dynamo_last 1\n"));
}
END_TEST

START_TEST(stamps_of_another_boot_are_older_than_any)
{
	uint32_t asked = 0;

	must_be_done(x->talk, SET_LAST);
	apply_recovered(x->talk->apply, true, NULL, NULL, x->talk->now_ms);
	replay(); /* the daemon is killed once more in the new boot */
	apply_recovered(fresh->apply, false, life, &asked, fresh->now_ms);
	ck_assert(page_has(fresh, "dynamo_last 1\n"));
	x->w[1] = talk_worker(fresh, 101);
	talk_hello(x->w[1], NULL);
	talk_define(x->w[1], &last, "", 4);
	put_stamped(x->w[1], 2, 1);
	ck_assert(page_has(fresh, "dynamo_last 2\n"));
}
END_TEST

START_TEST(the_last_time_is_that_of_the_last_effect)
{
	uint64_t clock_ms = 1, unix_ms = 1;

	replay();
	apply_last_time(fresh->apply, &clock_ms, &unix_ms);
	ck_assert_uint_eq(clock_ms, 0);
	talk_free(fresh);
	start(x->w[0], "a");
	twin_write(x);
	x->talk->now_ms += 1234;
	talk_set(x->w[0], 1, 9);
	x->talk->now_ms += 5;
	talk_json(x->talk, METRICS("{\"name\":\"1\"}")); /* of no effect */
	talk_set(x->w[0], 1, 10);
	x->talk->now_ms += 99;
	talk_ping(x->w[0]);
	replay();
	apply_last_time(fresh->apply, &clock_ms, &unix_ms);
	ck_assert_uint_eq(clock_ms, x->talk->now_ms - 99);
	ck_assert_uint_eq(unix_ms, TALK_UNIX_MS + x->talk->now_ms - 99);
}
END_TEST

START_TEST(an_identity_is_taken_on)
{
	struct apply_options o = x->options;

	o.store = 1;
	memset(o.dedupe_secret, 9, sizeof(o.dedupe_secret));
	o.journal = NULL;
	start(x->w[1], "same");
	must_be_done(x->talk, "{\"id\":\"a\",\"metrics\":[" INC "]}");
	twin_write(x);
	fresh = talk_new(NULL, &o);
	fresh->now_ms = x->talk->now_ms;
	apply_set_identity(fresh->apply, x->options.store, x->options.dedupe_secret);
	ck_assert_int_eq(twin_replay(x, fresh, &(struct refusal){ 0 }), REASON_NONE);
	must_be_done(fresh, "{\"id\":\"a\",\"metrics\":[" INC "]}");
	ck_assert(page_has(fresh, "dynamo_c 4\n"));
	ck_assert_int_eq(talk_hello(back(x->w[1]), NULL), MESSAGE_LIVE);
	ck_assert_uint_eq(fresh->m.ticket.store, x->options.store);
}
END_TEST

/* ---- A daemon that was away ----------------------------------------------------- */

/* As the server does it: it asks when it is due, and comes then, or later. */
static void
wake_late(uint64_t late_ms)
{
	x->talk->now_ms += apply_due_ms(x->talk->apply, x->talk->now_ms) + late_ms;
	apply_tick(x->talk->apply, x->talk->now_ms);
}

static double
folded(void)
{
	return self_cells(x->talk->self, SELF_SESSIONS_FOLDED, 0)[0];
}

START_TEST(a_daemon_that_was_away_hears_before_it_folds)
{
	start(x->w[0], "a");
	wake_late(0); /* the grace: it is bound */
	wake_late(60000);
	ck_assert_double_eq(folded(), 0);
	/* Its ping had waited in the socket. */
	ck_assert_int_eq(talk_ping(x->w[0]), MESSAGE_ACK);
	wake_late(0);
	ck_assert_double_eq(folded(), 0);
	ck_assert(page_has(x->talk, "dynamo_g{worker_id=\"a\"} 5\n"));
}
END_TEST

START_TEST(a_daemon_that_was_away_folds_who_was_silent_after_one_grace)
{
	start(x->w[0], "a");
	wake_late(0);
	wake_late(60000);
	ck_assert_uint_eq(apply_due_ms(x->talk->apply, x->talk->now_ms), 2000);
	wake_late(0);
	ck_assert_double_eq(folded(), 1);
}
END_TEST

START_TEST(a_daemon_that_is_always_late_folds_all_the_same)
{
	start(x->w[0], "a");
	wake_late(0);
	wake_late(60000);
	wake_late(60000);
	ck_assert_double_eq(folded(), 1);
}
END_TEST

START_TEST(a_daemon_that_was_away_hides_nobody_before_it_heard)
{
	start(x->w[0], "a");
	talk_disconnect(x->w[0], false);
	wake_late(1001);
	ck_assert(page_has(x->talk, "dynamo_g{worker_id=\"a\"} 5\n"));
	wake_late(0);
	ck_assert(!page_has(x->talk, "dynamo_g"));
}
END_TEST

START_TEST(a_tick_that_is_a_second_late_is_on_time)
{
	start(x->w[0], "a");
	wake_late(0);
	wake_late(1000);
	ck_assert_double_eq(folded(), 1);
}
END_TEST

/* ---- The test program -------------------------------------------------------------- */

int
main(void)
{
	Suite *suite = suite_create("apply_recovered");
	TCase *c = tcase_create("who is there");

	tcase_add_checked_fixture(c, setup, teardown);
	ADD(the_gone_are_folded_the_same_show_and_the_others_wait_for_their_word);
	ADD(after_another_boot_nobody_is_there);
	ADD(grace_and_lease_begin_with_the_daemon);
	ADD(a_name_that_a_successor_has_stays_its_own);
	ADD(what_a_start_finds_out_is_recorded);
	suite_add_tcase(suite, c);

	c = tcase_create("clock");
	tcase_add_checked_fixture(c, setup, teardown);
	ADD(what_is_set_in_json_has_the_stamp_of_the_machine_s_clock);
	ADD(a_clock_behind_the_machine_s_is_fine);
	ADD(stamps_of_another_boot_are_older_than_any);
	ADD(the_last_time_is_that_of_the_last_effect);
	ADD(an_identity_is_taken_on);
	suite_add_tcase(suite, c);

	c = tcase_create("away");
	tcase_add_checked_fixture(c, setup, teardown);
	ADD(a_daemon_that_was_away_hears_before_it_folds);
	ADD(a_daemon_that_was_away_folds_who_was_silent_after_one_grace);
	ADD(a_daemon_that_is_always_late_folds_all_the_same);
	ADD(a_daemon_that_was_away_hides_nobody_before_it_heard);
	ADD(a_tick_that_is_a_second_late_is_on_time);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
