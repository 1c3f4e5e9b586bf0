/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shortest ways in which earlier forms of the protocol lost a count or counted it
 * twice, C1 to C18, each played event by event over the world of the simulation, whose
 * rules are checked after each of them. Those of the disk are in check_cases_disk.c.
 */
#include "sim_script.h"
#include "suite.h"

static void
setup(void)
{
	script_begin(1); /* one folded session is remembered */
}

/* ---- Sessions that were forgotten ----------------------------------------- */

START_TEST(c1_what_was_in_flight_is_not_sent_again_to_a_daemon_that_forgot_the_session)
{
	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	script_read(w);
	script_turn();
	sim_give_up(w); /* the reply is lost */
	script_fold_and_forget();
	script_hello(w);
	ck_assert_uint_eq(w->session->lost, 1);
	script_settled(SIM_LINE_WHOLE, 1);
}
END_TEST

START_TEST(c1_at_most_the_one_update_in_flight_is_missing_then)
{
	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	sim_cut(s, w->conn); /* nobody reads it */
	sim_give_up(w);
	script_fold_and_forget();
	script_hello(w);
	ck_assert(s->line[SIM_LINE_WHOLE].maybe == 1);
	sim_count(w, SIM_WHOLE, 5);
	script_settled(SIM_LINE_WHOLE, 5);
}
END_TEST

START_TEST(c2_a_session_that_was_forgotten_is_not_begun_again_from_nothing)
{
	script_ready(w);
	script_count(w, SIM_WHOLE, 3);
	sim_give_up(w);
	script_fold_and_forget();
	script_hello_gets(w, MESSAGE_EXPIRED);
	script_settled(SIM_LINE_WHOLE, 3);
}
END_TEST

START_TEST(c2_a_state_that_was_lost_is_told_by_its_identity_and_gets_everything)
{
	script_ready(w);
	script_count(w, SIM_WHOLE, 3);
	sim_give_up(w);
	ck_assert(sim_daemon_lose(s->daemon));
	script_hello_gets(w, MESSAGE_NEW);
	script_settled(SIM_LINE_WHOLE, 3);
}
END_TEST

START_TEST(c2_what_a_lost_state_had_of_earlier_sessions_is_sent_again_too)
{
	script_ready(w);
	script_count(w, SIM_WHOLE, 3);
	script_pass(SIM_LEASE_MS);
	script_count(w, SIM_WHOLE, 1); /* in its second session */
	ck_assert(w->session->base[w->child[SIM_WHOLE][0].cell] == 3);
	sim_give_up(w);
	ck_assert(sim_daemon_lose(s->daemon));
	script_settled(SIM_LINE_WHOLE, 4);
}
END_TEST

START_TEST(c3_a_late_hello_makes_no_session_that_takes_old_updates)
{
	struct sim_conn *late;

	sim_hello(w);
	late = w->conn; /* unread */
	sim_give_up(w);
	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	script_read(w);
	script_turn();
	sim_give_up(w);
	script_fold_and_forget();
	script_all_again(w, late); /* behind the HELLO */
	while (sim_serve(s->daemon, late))
		;
	script_turn();
	script_total(SIM_LINE_WHOLE, 1);
	script_settled(SIM_LINE_WHOLE, 1);
}
END_TEST

START_TEST(c3_a_late_hello_does_not_open_a_folded_session_again)
{
	struct sim_conn *late;

	sim_hello(w);
	late = w->conn;
	sim_give_up(w);
	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	script_read(w);
	script_turn();
	sim_give_up(w);
	script_pass(SIM_LEASE_MS);
	ck_assert(sim_serve(s->daemon, late));
	script_again(w, late);
	ck_assert(sim_serve(s->daemon, late));
	ck_assert_uint_eq(sim_sessions(s->daemon->apply).live, 0);
	script_settled(SIM_LINE_WHOLE, 1);
}
END_TEST

/* ---- The same request once more -------------------------------------------- */

START_TEST(c7_a_request_is_sent_again_with_the_bytes_that_it_had)
{
	struct sim_packet *first;

	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	first = sim_take(&w->conn->requests); /* lost */
	sim_give_up(w);
	sim_count(w, SIM_WHOLE, 1);
	script_hello_gets(w, MESSAGE_LIVE);
	script_send(w);
	ck_assert_uint_eq(w->conn->requests.first->bytes, first->bytes);
	ck_assert_mem_eq(w->conn->requests.first->data, first->data, first->bytes);
	free(first);
	script_settled(SIM_LINE_WHOLE, 2);
}
END_TEST

START_TEST(c7_what_was_counted_after_an_update_is_not_acknowledged_with_it)
{
	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	script_send(w);
	script_read(w);
	script_turn();
	sim_give_up(w);
	sim_count(w, SIM_WHOLE, 1);
	script_hello_gets(w, MESSAGE_LIVE);
	ck_assert(!sim_is_quiet(w));
	script_settled(SIM_LINE_WHOLE, 2);
}
END_TEST

START_TEST(c14_a_late_definition_does_not_take_a_cell_from_the_child_that_has_it_now)
{
	struct sim_conn *late;

	script_ready(w);
	sim_define(w, SIM_OWN_A);
	sim_count(w, SIM_OWN_A, 1);
	script_send(w);
	late = w->conn; /* the DEFINE, unread */
	sim_give_up(w);
	script_quiet(w);
	sim_remove(w, SIM_OWN_A);
	script_quiet(w);
	script_total(SIM_LINE_OWN + 2 * (int)w->process, NAN);
	sim_define(w, SIM_OWN_B);
	script_quiet(w);
	while (sim_serve(s->daemon, late))
		;
	script_turn();
	script_count(w, SIM_OWN_B, 7);
	script_total(SIM_LINE_OWN + 2 * (int)w->process, NAN);
	script_settled(SIM_LINE_OWN + 2 * (int)w->process + 1, 7);
}
END_TEST

START_TEST(c14_what_a_removed_child_counted_last_arrives_before_it_goes)
{
	script_ready(w);
	script_ready(v);
	sim_define(w, SIM_SHARED);
	sim_define(v, SIM_SHARED);
	script_quiet(w);
	script_quiet(v);
	sim_count(w, SIM_SHARED, 1000);
	sim_remove(w, SIM_SHARED);
	script_quiet(w);
	script_total(SIM_LINE_SHARED, 1000);
}
END_TEST

START_TEST(c17_a_later_part_of_a_flush_is_not_taken_as_counted_with_an_earlier_one)
{
	script_ready(w);
	sim_count(w, SIM_WHOLE, 1);
	sim_count(w, SIM_FRACTION, 0.5);
	w->offer_most = 1;
	script_send(w); /* n: the one */
	script_read(w);
	script_turn();
	script_hear(w);
	script_send(w); /* n + 1: the other */
	free(sim_take(&w->conn->requests));
	sim_give_up(w);
	script_pass(SIM_LEASE_MS);
	script_hello_gets(w, MESSAGE_FOLDED);
	script_settled(SIM_LINE_WHOLE, 1);
	script_total(SIM_LINE_FRACTION, 0.5);
}
END_TEST

/* ---- fork() ----------------------------------------------------------------- */

START_TEST(c15_a_forked_child_has_nothing_of_its_parents_session)
{
	struct sim_worker *child = &s->worker[2];

	script_ready(w);
	script_count(w, SIM_WHOLE, 5);
	script_pass(SIM_LEASE_MS);
	sim_give_up(w);
	script_hello_gets(w, MESSAGE_FOLDED); /* its base is 5 now */
	sim_fork(w, child);
	script_count(child, SIM_WHOLE, 1);
	script_settled(SIM_LINE_WHOLE, 6);
	ck_assert(memcmp(w->session->sid, child->session->sid, MESSAGE_SID_BYTES) != 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cases");
	TCase *c = tcase_create("cases");

	tcase_add_checked_fixture(c, setup, script_end);
	tcase_add_test(c,
	    c1_what_was_in_flight_is_not_sent_again_to_a_daemon_that_forgot_the_session);
	tcase_add_test(c, c1_at_most_the_one_update_in_flight_is_missing_then);
	tcase_add_test(
	    c, c2_a_session_that_was_forgotten_is_not_begun_again_from_nothing);
	tcase_add_test(
	    c, c2_a_state_that_was_lost_is_told_by_its_identity_and_gets_everything);
	tcase_add_test(c, c2_what_a_lost_state_had_of_earlier_sessions_is_sent_again_too);
	tcase_add_test(c, c3_a_late_hello_makes_no_session_that_takes_old_updates);
	tcase_add_test(c, c3_a_late_hello_does_not_open_a_folded_session_again);
	tcase_add_test(c, c7_a_request_is_sent_again_with_the_bytes_that_it_had);
	tcase_add_test(
	    c, c7_what_was_counted_after_an_update_is_not_acknowledged_with_it);
	tcase_add_test(
	    c, c14_a_late_definition_does_not_take_a_cell_from_the_child_that_has_it_now);
	tcase_add_test(c, c14_what_a_removed_child_counted_last_arrives_before_it_goes);
	tcase_add_test(
	    c, c17_a_later_part_of_a_flush_is_not_taken_as_counted_with_an_earlier_one);
	tcase_add_test(c, c15_a_forked_child_has_nothing_of_its_parents_session);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
