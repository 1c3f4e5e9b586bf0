/* SPDX-License-Identifier: Apache-2.0 */
/* The library against a small daemon: what arrives, and when. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "client_rig.h"
#include "flush_parts.h"
#include "suite.h"

/* ---- What arrives ------------------------------------------------------ */

START_TEST(a_lease_is_as_long_as_the_daemon_says)
{
	static struct session s;
	struct flush f = { .session = &s };

	for (uint32_t ms = 100; ms <= 3600000; ms = ms * 3 / 2) {
		s.lease_ms = ms;
		ck_assert_uint_eq(flush_lease_ns(&f), (uint64_t)ms * 1000 * 1000);
	}
}
END_TEST

START_TEST(what_was_counted_before_a_flush_has_arrived_after_it)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	dynm_gauge zero = dynm_gauge_create(at, "zero", "");
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 2));
	uint32_t updates;

	for (int i = 1; i <= 50; i++) {
		dynm_counter_add(c, 1.5);
		dynm_gauge_set(g, -i);
		dynm_histogram_observe(h, 1.5);
		flush();
		ck_assert_double_eq(responder_value(&d, "c_total", 0), 1.5 * i);
		ck_assert_double_eq(responder_value(&d, "g", 0), -i);
		ck_assert_double_eq(responder_value(&d, "h", 0), 0);
		ck_assert_double_eq(responder_value(&d, "h", 1), i);
		ck_assert_double_eq(responder_value(&d, "h", 3), 1.5 * i);
	}
	updates = responder_seen(&d, MESSAGE_UPDATE);
	flush();
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_UPDATE), updates);
	dynm_gauge_set(zero, 0);
	flush();
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_UPDATE), updates + 1);
}
END_TEST

START_TEST(changes_arrive_without_being_asked_for)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	for (int i = 1; i <= 5; i++) {
		dynm_counter_inc(c);
		responder_wait_value(&d, "c_total", 0, i);
	}
}
END_TEST

START_TEST(a_runtime_without_metrics_says_nothing)
{
	ck_assert_int_eq(dynm_flush(rt, -1), DYNM_OK);
	poll(NULL, 0, 5 * FLUSH_MS);
	ck_assert_uint_eq(responder_connections(&d), 0);
	(void)dynm_counter_create(at, "c_total", "");
	flush();
	ck_assert_uint_eq(responder_connections(&d), 1);
}
END_TEST

START_TEST(an_idle_worker_only_pings)
{
	uint32_t updates;
	uint64_t began = 0;

	pthread_mutex_lock(&d.lock);
	d.lease_ms = 300;
	pthread_mutex_unlock(&d.lock);
	dynm_counter_inc(dynm_counter_create(at, "c_total", ""));
	flush();
	updates = responder_seen(&d, MESSAGE_UPDATE);
	while (responder_again(&began, "ping") && responder_seen(&d, MESSAGE_PING) < 5)
		;
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_UPDATE), updates);
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_DEFINE), 1);
}
END_TEST

START_TEST(many_children_arrive_in_parts)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_counter first = dynm_counter_create(at, "first_total", "");
	char name[16], child[32];
	const uint32_t n = 60000;

	for (uint32_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%u", i);
		dynm_counter_add(dynm_with(vec, name), i);
		if (i % 1000 == 0)
			dynm_counter_inc(first);
	}
	flush();
	for (uint32_t i = 1; i < n; i += 7777) {
		snprintf(child, sizeof(child), "v_total{%u}", i);
		ck_assert_double_eq(responder_value(&d, child, 0), i);
	}
	ck_assert_double_eq(responder_value(&d, "first_total", 0), n / 1000);
	ck_assert_uint_ge(responder_seen(&d, MESSAGE_DEFINE), n / SESSION_DEFINE_ITEMS);
	ck_assert_uint_le(d.longest, 1U << 20);
}
END_TEST

START_TEST(messages_stay_below_the_daemons_limit)
{
	dynm_histogram_vec vec;
	char name[16];

	pthread_mutex_lock(&d.lock);
	d.message_bytes = 5000;
	pthread_mutex_unlock(&d.lock);
	vec = dynm_histogram_vec_create(
	    at, "h", "", DYNM_LABELS("i"), DYNM_BUCKETS_DEFAULT);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%d", i);
		dynm_histogram_observe(dynm_with(vec, name), 1);
	}
	flush();
	ck_assert_uint_le(d.longest, 5000);
	ck_assert_double_eq(responder_value(&d, "h{499}", 12), 1);
}
END_TEST

/* ---- Removal ----------------------------------------------------------- */

START_TEST(a_removed_child_sends_its_last_count_and_leaves)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_counter old = dynm_with(vec, "a");

	dynm_counter_add(old, 3);
	flush();
	dynm_counter_add(old, 4);
	dynm_remove(vec, "a");
	dynm_remove(vec, "never there");
	dynm_counter_add(old, 100);
	responder_wait_seen(&d, MESSAGE_REMOVE, 1);
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{a}", 0), -1);
	dynm_counter_inc(dynm_with(vec, "a"));
	dynm_counter_add(old, 100);
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{a}", 0), 1);
	dynm_counter_inc(dynm_with(vec, "a"));
	dynm_remove(vec, "a");
	dynm_counter_inc(dynm_with(vec, "a")); /* waits until the old one is gone */
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{a}", 0), 1);
	ck_assert_uint_eq(d.moved, 0);
}
END_TEST

START_TEST(removing_and_making_again_keeps_cells_dense)
{
	dynm_gauge_vec vec = dynm_gauge_vec_create(at, "g", "", DYNM_LABELS("i"));
	char name[16];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "%d", i % 7);
		dynm_gauge_set(dynm_with(vec, name), i);
		if (i % 3 == 0)
			flush();
		dynm_remove(vec, name);
	}
	dynm_gauge_set(dynm_with(vec, "last"), 1);
	flush();
	flush();
	ck_assert_double_eq(responder_value(&d, "g{last}", 0), 1);
	ck_assert_double_eq(responder_value(&d, "g{1}", 0), -1);
	ck_assert_uint_lt(rt->store.wire_end, 40);
}
END_TEST

START_TEST(gaps_that_removals_leave_are_closed_in_the_next_session)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_histogram h;
	dynm_counter b;
	const struct responder_session *session;

	(void)dynm_with(vec, "a");
	b = dynm_with(vec, "b");
	h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 2));
	dynm_counter_add(b, 5);
	dynm_histogram_observe(h, 1.5);
	flush();
	dynm_remove(vec, "a");
	responder_wait_seen(&d, MESSAGE_REMOVE, 1);
	flush();
	responder_fold(&d);
	dynm_counter_add(b, 2);
	dynm_histogram_observe(h, 1.5);
	flush();
	/* all that was counted before is in the base, which has moved along */
	ck_assert_double_eq(responder_value(&d, "v_total{b}", 0), 7);
	ck_assert_double_eq(responder_value(&d, "h", 1), 2);
	ck_assert_double_eq(responder_value(&d, "h", 3), 3);
	session = &d.session[d.sessions - 1];
	for (size_t i = 0; i < session->children; i++)
		ck_assert_uint_le(session->child[i].cell + session->child[i].n, 5);
	/* and cells that are made now are not those of others */
	dynm_counter_add(dynm_with(vec, "c"), 1);
	flush();
	ck_assert_double_eq(responder_value(&d, "v_total{c}", 0), 1);
	ck_assert_double_eq(responder_value(&d, "v_total{b}", 0), 7);
	ck_assert_uint_eq(d.moved, 0);
}
END_TEST

/* ---- The runtime's other functions ------------------------------------- */

static dynm_gauge depth;
static unsigned calls;
static dynm_err inner;

static void
read_depth(void *arg)
{
	dynm_gauge_set(depth, __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED));
	__atomic_store_n(&inner, dynm_flush(arg, -1), __ATOMIC_RELAXED);
}

START_TEST(gauges_are_read_in_the_callback_before_each_flush)
{
	depth = dynm_gauge_create(at, "depth", "");
	calls = 0;
	dynm_on_flush(rt, read_depth, rt);
	flush();
	ck_assert_int_eq(__atomic_load_n(&inner, __ATOMIC_RELAXED), DYNM_EAGAIN);
	responder_wait_value(&d, "depth", 0, 3);
	dynm_on_flush(rt, NULL, NULL);
	calls = 1000;
	poll(NULL, 0, 3 * FLUSH_MS);
	ck_assert_uint_eq(calls, 1000);
}
END_TEST

static void
close_inside(void *arg)
{
	dynm_close(arg);
}

START_TEST(closing_in_the_callback_is_an_error_not_a_deadlock)
{
	uint64_t began = 0;

	dynm_on_flush(rt, close_inside, rt);
	(void)dynm_counter_create(at, "c_total", "");
	while (responder_again(&began, "call") && dynm_runtime_error(rt, NULL) == DYNM_OK)
		;
	dynm_on_flush(rt, NULL, NULL);
}
END_TEST

START_TEST(a_page_is_exposed_after_a_flush)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	char *text;

	dynm_counter_inc(c);
	ck_assert_int_eq(dynm_expose(at, PATIENT_MS, &text), DYNM_OK);
	ck_assert_str_eq(text, "a page\n");
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
	free(text);
	responder_leave(&d);
	ck_assert_int_eq(dynm_expose(at, 50, &text), DYNM_EAGAIN);
	ck_assert_ptr_null(text);
	ck_assert_int_eq(dynm_expose((dynm_scope){ NULL }, 50, &text), DYNM_EINVAL);
}
END_TEST

START_TEST(closing_sends_what_is_left_and_says_good_bye)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	uint32_t byes;

	dynm_close(rt);
	byes = responder_seen(&d, MESSAGE_BYE);
	client_open(60000, 0);
	c = dynm_counter_create(at, "c_total", "");
	flush();
	dynm_counter_add(c, 12);
	dynm_close(rt);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 12);
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_BYE), byes + 1);
	client_open(FLUSH_MS, 0);
}
END_TEST

static void *
be_well_soon(void *arg)
{
	poll(NULL, 0, 150);
	responder_be(&d, RESPONDER_WELL);
	return arg;
}

START_TEST(closing_comes_back_to_a_daemon_that_went_away)
{
	dynm_counter c;
	pthread_t t;

	dynm_close(rt);
	client_open(60000, 0);
	c = dynm_counter_create(at, "c_total", "");
	flush();
	dynm_counter_add(c, 12);
	responder_be(&d, RESPONDER_CLOSES);
	pthread_create(&t, NULL, be_well_soon, NULL);
	dynm_close(rt);
	pthread_join(t, NULL);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 12);
	client_open(FLUSH_MS, 0);
}
END_TEST

START_TEST(closing_waits_an_interval_at_most)
{
	double began;

	(void)dynm_counter_create(at, "c_total", "");
	responder_be(&d, RESPONDER_SILENT);
	began = dynm_now();
	dynm_close(rt);
	/* not for the lease, 15 s */
	ck_assert_double_lt(dynm_now() - began, 10);
	responder_be(&d, RESPONDER_WELL);
	client_open(FLUSH_MS, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_flush");
	TCase *t = tcase_create("flush");

	tcase_add_checked_fixture(t, client_set_up, client_tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_lease_is_as_long_as_the_daemon_says);
	tcase_add_test(t, what_was_counted_before_a_flush_has_arrived_after_it);
	tcase_add_test(t, changes_arrive_without_being_asked_for);
	tcase_add_test(t, a_runtime_without_metrics_says_nothing);
	tcase_add_test(t, an_idle_worker_only_pings);
	tcase_add_test(t, many_children_arrive_in_parts);
	tcase_add_test(t, messages_stay_below_the_daemons_limit);
	tcase_add_test(t, a_removed_child_sends_its_last_count_and_leaves);
	tcase_add_test(t, removing_and_making_again_keeps_cells_dense);
	tcase_add_test(t, gaps_that_removals_leave_are_closed_in_the_next_session);
	tcase_add_test(t, gauges_are_read_in_the_callback_before_each_flush);
	tcase_add_test(t, closing_in_the_callback_is_an_error_not_a_deadlock);
	tcase_add_test(t, a_page_is_exposed_after_a_flush);
	tcase_add_test(t, closing_sends_what_is_left_and_says_good_bye);
	tcase_add_test(t, closing_comes_back_to_a_daemon_that_went_away);
	tcase_add_test(t, closing_waits_an_interval_at_most);
	suite_add_tcase(s, t);
	return suite_run(s);
}
