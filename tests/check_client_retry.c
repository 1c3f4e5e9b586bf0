/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon refuses for what others have: it is asked again, and nothing is lost.
 */
#include <stdio.h>
#include <stdlib.h>

#include "client_rig.h"
#include "suite.h"

#define LEASE_MS 2000 /* asked again each third of it */

static void
set_up(void)
{
	responder_start(&d);
	d.lease_ms = LEASE_MS;
	client_open(5, 0);
}

static uint32_t
refused(void)
{
	dynm_status st;

	dynm_runtime_status(rt, &st);
	return st.refused;
}

static void
set_refusals(const char *name, size_t most)
{
	pthread_mutex_lock(&d.lock);
	d.refuse_name = name;
	d.most_children = most;
	pthread_mutex_unlock(&d.lock);
}

static void
check_lines(uint32_t of_refusals, uint32_t of_takings)
{
	ck_assert_uint_eq(client_lines("refuses the metric"), of_refusals);
	ck_assert_uint_eq(client_lines("takes the metric"), of_takings);
}

static void
wait_defines(uint32_t more)
{
	responder_wait_seen(
	    &d, MESSAGE_DEFINE, responder_seen(&d, MESSAGE_DEFINE) + more);
}

START_TEST(a_refused_metric_is_asked_again_and_told_once)
{
	dynm_counter c;

	set_refusals("x_total", 0);
	c = dynm_counter_create(at, "x_total", "");
	dynm_counter_add(c, 2);
	flush();
	wait_defines(3);
	ck_assert_uint_eq(refused(), 1);
	check_lines(1, 0);
	dynm_counter_add(c, 3);
	set_refusals(NULL, 0);
	responder_wait_value(&d, "x_total", 0, 5);
	flush();
	ck_assert_uint_eq(refused(), 0);
	check_lines(1, 1);
}
END_TEST

START_TEST(all_children_of_a_metric_come_with_it)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));

	uint32_t defines;

	set_refusals("v_total", 0);
	for (uint32_t i = 0; i < 1500; i++)
		dynm_counter_add(numbered(vec, i), i);
	flush();
	ck_assert_uint_eq(refused(), 1500);
	defines = responder_seen(&d, MESSAGE_DEFINE);
	set_refusals(NULL, 0);
	responder_wait_value(&d, "v_total{1499}", 0, 1499);
	flush();
	/* One is refused before that, one asks for the metric, one has the rest. */
	ck_assert_uint_le(responder_seen(&d, MESSAGE_DEFINE) - defines, 3);
	for (uint32_t i = 0; i < 1500; i += 37) {
		char name[32];

		snprintf(name, sizeof(name), "v_total{%u}", i);
		ck_assert_double_eq(responder_value(&d, name, 0), i);
	}
	ck_assert_uint_eq(refused(), 0);
	check_lines(1, 1);
}
END_TEST

START_TEST(what_waits_behind_others_has_its_turn)
{
	dynm_counter late;

	/* More metrics than are asked for at once, and all are refused again. */
	set_refusals("full_total", 1);
	for (uint32_t i = 0; i < 500; i++) {
		char value[16];

		snprintf(value, sizeof(value), "%u", i);
		dynm_counter_inc(dynm_counter_create(
		    dynm_scope_label(at, "i", value), "full_total", ""));
	}
	dynm_counter_inc(dynm_counter_create(at, "first_total", ""));
	late = dynm_counter_create(at, "late_total", "");
	dynm_counter_inc(late);
	flush();
	ck_assert_uint_eq(refused(), 501);
	set_refusals("full_total", 2);
	responder_wait_value(&d, "late_total", 0, 1);
	flush();
	ck_assert_uint_eq(refused(), 500);
}
END_TEST

START_TEST(many_over_a_limit_come_soon_when_there_is_room)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));

	set_refusals(NULL, 1);
	for (uint32_t i = 0; i < 1500; i++)
		dynm_counter_inc(numbered(vec, i));
	flush();
	ck_assert_uint_eq(refused(), 1499);
	set_refusals(NULL, 0);
	for (uint64_t began = 0; refused() > 0;)
		responder_again(&began, "the children");
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{1499}", 0), 1);
}
END_TEST

START_TEST(a_new_session_asks_for_all_again)
{
	dynm_counter c;

	pthread_mutex_lock(&d.lock);
	d.lease_ms = 600000;
	pthread_mutex_unlock(&d.lock);
	set_refusals("x_total", 0);
	c = dynm_counter_create(at, "x_total", "");
	dynm_counter_add(c, 2);
	flush();
	ck_assert_uint_eq(refused(), 1);
	set_refusals(NULL, 0);
	responder_leave(&d);
	responder_lose(&d);
	responder_listen(&d);
	responder_wait_value(&d, "x_total", 0, 2);
	flush();
	ck_assert_uint_eq(refused(), 0);
}
END_TEST

START_TEST(what_is_removed_while_it_waits_is_not_asked_again)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));

	set_refusals("v_total", 0);
	dynm_counter_inc(numbered(vec, 1));
	flush();
	dynm_remove(vec, "1");
	flush();
	ck_assert_uint_eq(refused(), 0);
	set_refusals(NULL, 0);
	dynm_counter_add(numbered(vec, 2), 7);
	responder_wait_value(&d, "v_total{2}", 0, 7);
	ck_assert_double_eq(responder_value(&d, "v_total{1}", 0), -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_retry");
	TCase *retry = tcase_create("retry");

	tcase_add_checked_fixture(retry, set_up, client_tear_down);
	tcase_set_timeout(retry, 60);
	tcase_add_test(retry, a_refused_metric_is_asked_again_and_told_once);
	tcase_add_test(retry, all_children_of_a_metric_come_with_it);
	tcase_add_test(retry, what_waits_behind_others_has_its_turn);
	tcase_add_test(retry, many_over_a_limit_come_soon_when_there_is_room);
	tcase_add_test(retry, a_new_session_asks_for_all_again);
	tcase_add_test(retry, what_is_removed_while_it_waits_is_not_asked_again);
	suite_add_tcase(s, retry);
	return suite_run(s);
}
