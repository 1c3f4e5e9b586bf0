/* SPDX-License-Identifier: Apache-2.0 */
/* The library and daemons that go, come back, misbehave or refuse. */
#include <stdio.h>
#include <stdlib.h>

#include "client_rig.h"
#include "suite.h"

/* ---- Daemons that come and go ------------------------------------------ */

START_TEST(a_daemon_that_comes_late_gets_everything)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_status st;

	responder_leave(&d);
	dynm_counter_add(c, 10);
	ck_assert_int_eq(dynm_flush(rt, 30), DYNM_EAGAIN);
	dynm_runtime_status(rt, &st);
	ck_assert_int_eq(st.connected, 0);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
	responder_listen(&d);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 10);
	dynm_runtime_status(rt, &st);
	ck_assert_int_eq(st.connected, 1);
	ck_assert_str_eq(st.worker, "w");
	ck_assert_uint_lt(st.acked_ms_ago, PATIENT_MS);
}
END_TEST

START_TEST(a_daemon_that_restarts_finds_the_session_again)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	for (int i = 1; i <= 5; i++) {
		dynm_counter_inc(c);
		flush();
		responder_leave(&d);
		dynm_counter_inc(c);
		responder_listen(&d);
		flush();
		ck_assert_double_eq(responder_value(&d, "c_total", 0), 2 * i);
	}
	ck_assert_uint_eq(d.sessions, 1);
}
END_TEST

/* Nothing changes, and the next PING is far away: the closed connection alone tells it.
 */
START_TEST(an_idle_library_comes_back_by_itself)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	pthread_mutex_lock(&d.lock);
	d.lease_ms = 3 * 1000 * 2 * RESPONDER_SECONDS;
	pthread_mutex_unlock(&d.lock);
	dynm_counter_inc(c);
	flush();
	responder_leave(&d);
	responder_listen(&d);
	responder_wait_seen(&d, MESSAGE_HELLO, 2);
}
END_TEST

START_TEST(a_daemon_that_has_lost_its_state_is_refilled)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");

	dynm_counter_add(c, 3);
	dynm_gauge_set(g, 4);
	flush();
	responder_leave(&d);
	responder_lose(&d);
	responder_listen(&d);
	dynm_counter_inc(c);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 4);
	ck_assert_double_eq(responder_value(&d, "g", 0), 4);
}
END_TEST

START_TEST(a_worker_taken_for_dead_goes_on_from_what_was_counted)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1));
	dynm_gauge g = dynm_gauge_create(at, "g", "");

	for (int i = 1; i <= 5; i++) {
		dynm_counter_add(c, 0.25);
		dynm_histogram_observe(h, 0.5);
		dynm_gauge_set(g, i);
		flush();
		responder_fold(&d);
		dynm_counter_add(c, 0.25);
		flush();
		ck_assert_double_eq(responder_value(&d, "c_total", 0), 0.5 * i);
		ck_assert_double_eq(responder_value(&d, "h", 0), i);
		ck_assert_double_eq(responder_value(&d, "h", 2), 0.5 * i);
		ck_assert_double_eq(responder_value(&d, "g", 0), i);
	}
	ck_assert_uint_eq(d.sessions, 6);
}
END_TEST

START_TEST(a_forgotten_worker_doubles_nothing)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	dynm_counter_add(c, 5);
	flush();
	responder_fold(&d);
	responder_expire(&d);
	dynm_counter_add(c, 2);
	flush();
	ck_assert_double_eq(
	    responder_value(&d, "c_total", 0), 5); /* the batch in flight */
	dynm_counter_add(c, 1);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 6);
	client_wait_line("forgotten this worker's session");
}
END_TEST

START_TEST(a_request_whose_reply_is_lost_is_sent_again_as_it_was)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	flush();
	for (int i = 1; i <= 10; i++) {
		pthread_mutex_lock(&d.lock);
		d.drop_replies = 1;
		pthread_mutex_unlock(&d.lock);
		dynm_counter_inc(c);
		flush();
		ck_assert_double_eq(responder_value(&d, "c_total", 0), i);
	}
	ck_assert_uint_eq(d.changed, 0);
	ck_assert_uint_eq(d.sessions, 1);
}
END_TEST

/* ---- Daemons that misbehave -------------------------------------------- */

static void
in_mood(enum responder_mood mood)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	double began;

	dynm_counter_inc(c);
	responder_be(&d, mood);
	began = dynm_now();
	ck_assert_int_eq(dynm_flush(rt, 150), DYNM_EAGAIN);
	ck_assert_double_ge(dynm_now() - began, 0.15);
	if (mood != RESPONDER_SILENT && mood != RESPONDER_FOREIGN)
		responder_wait_connections(&d, 2); /* it does not wait for an answer */
	dynm_counter_inc(c);
	responder_be(&d, RESPONDER_WELL);
	if (mood == RESPONDER_SILENT) { /* else it takes the lease */
		responder_leave(&d);
		responder_listen(&d);
	}
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 2);
}

START_TEST(nonsense_from_a_daemon_is_survived)
{
	in_mood((enum responder_mood)_i);
}
END_TEST

START_TEST(a_daemon_that_closes_is_not_stormed)
{
	double began = dynm_now();

	responder_be(&d, RESPONDER_CLOSES);
	(void)dynm_counter_create(at, "c_total", "");
	responder_wait_connections(&d, 8);
	/* The pauses between them: at least half of 10, 20, 40, ... ms. */
	ck_assert_double_ge(dynm_now() - began, 0.3);
}
END_TEST

START_TEST(another_version_is_told_in_the_daemons_words_once)
{
	dynm_error err;

	responder_be(&d, RESPONDER_FOREIGN);
	(void)dynm_counter_create(at, "c_total", "");
	client_wait_line("version 9");
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_ESYS);
	ck_assert_ptr_nonnull(strstr(err.text, "this daemon speaks version 9"));
	responder_wait_seen(&d, MESSAGE_HELLO, 2);
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_OK);
	responder_be(&d, RESPONDER_WELL);
	flush();
}
END_TEST

START_TEST(a_silent_daemon_is_left_after_the_lease)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	pthread_mutex_lock(&d.lock);
	d.lease_ms = 200;
	pthread_mutex_unlock(&d.lock);
	flush();
	responder_be(&d, RESPONDER_SILENT);
	dynm_counter_inc(c);
	responder_wait_seen(&d, MESSAGE_HELLO, 2);
	responder_be(&d, RESPONDER_WELL);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
}
END_TEST

/* ---- Refusals ---------------------------------------------------------- */

START_TEST(a_refused_metric_is_told_once_and_takes_nobody_with_it)
{
	dynm_counter_vec bad;
	dynm_counter good;
	dynm_status st;
	dynm_error err;

	pthread_mutex_lock(&d.lock);
	d.refuse_name = "bad_total";
	pthread_mutex_unlock(&d.lock);
	bad = dynm_counter_vec_create(at, "bad_total", "", DYNM_LABELS("l"));
	good = dynm_counter_create(at, "good_total", "");
	dynm_counter_inc(good);
	for (int i = 0; i < 3; i++) {
		dynm_counter_inc(dynm_with(bad, "1"));
		dynm_counter_inc(dynm_with(bad, "2"));
		flush();
	}
	ck_assert_double_eq(responder_value(&d, "good_total", 0), 1);
	ck_assert_double_eq(responder_value(&d, "bad_total{1}", 0), -1);
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_EEXIST);
	ck_assert_ptr_nonnull(strstr(err.text, "'bad_total': it is taken"));
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_OK);
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.refused, 2);
	ck_assert_uint_eq(st.series, 3);
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_REFUSED), 0);
}
END_TEST

START_TEST(one_bad_child_in_an_update_is_found_and_left_out)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_status st;
	char name[32];

	pthread_mutex_lock(&d.lock);
	d.refuse_child = "v_total{37}";
	pthread_mutex_unlock(&d.lock);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		dynm_counter_inc(dynm_with(vec, name));
	}
	flush();
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "v_total{%d}", i);
		ck_assert_double_eq(responder_value(&d, name, 0), i != 37);
	}
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.refused, 1);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_EINVAL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_daemons");
	TCase *t = tcase_create("daemons");

	tcase_add_checked_fixture(t, client_set_up, client_tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_daemon_that_comes_late_gets_everything);
	tcase_add_test(t, a_daemon_that_restarts_finds_the_session_again);
	tcase_add_test(t, an_idle_library_comes_back_by_itself);
	tcase_add_test(t, a_daemon_that_has_lost_its_state_is_refilled);
	tcase_add_test(t, a_worker_taken_for_dead_goes_on_from_what_was_counted);
	tcase_add_test(t, a_forgotten_worker_doubles_nothing);
	tcase_add_test(t, a_request_whose_reply_is_lost_is_sent_again_as_it_was);
	tcase_add_loop_test(
	    t, nonsense_from_a_daemon_is_survived, RESPONDER_SILENT, RESPONDER_LONG + 1);
	tcase_add_test(t, a_daemon_that_closes_is_not_stormed);
	tcase_add_test(t, another_version_is_told_in_the_daemons_words_once);
	tcase_add_test(t, a_silent_daemon_is_left_after_the_lease);
	tcase_add_test(t, a_refused_metric_is_told_once_and_takes_nobody_with_it);
	tcase_add_test(t, one_bad_child_in_an_update_is_found_and_left_out);
	suite_add_tcase(s, t);
	return suite_run(s);
}
