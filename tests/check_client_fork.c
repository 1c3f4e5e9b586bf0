/* SPDX-License-Identifier: Apache-2.0 */
/* A child of fork() is a worker of its own, and has nothing of its parent. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "after_fork.h"
#include "client_rig.h"
#include "suite.h"

START_TEST(a_child_is_a_worker_of_its_own)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");

	dynm_counter_add(c, 100);
	flush();
	for (int i = 0; i < 8; i++) {
		pid_t pid = fork_safely();

		if (pid == 0) {
			dynm_gauge_set(g, 1);
			for (int k = 0; k < 1000; k++)
				dynm_counter_inc(c);
			_exit((int)dynm_flush(rt, PATIENT_MS));
		}
		dynm_counter_inc(c);
		wait_child(pid);
	}
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 108 + 8000);
	ck_assert_uint_eq(d.sessions, 9);
}
END_TEST

START_TEST(a_child_does_not_define_what_was_removed_before_the_fork)
{
	dynm_counter_vec vec;
	pid_t pid;

	dynm_close(rt);
	client_open(60000, 0);
	vec = dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	(void)dynm_with(vec, "a");
	(void)dynm_with(vec, "b");
	flush();
	dynm_remove(vec, "a");
	pid = fork_safely();
	if (pid == 0) {
		dynm_counter_inc(dynm_with(vec, "b"));
		_exit((int)dynm_flush(rt, PATIENT_MS));
	}
	wait_child(pid);
	ck_assert_uint_eq(responder_holders(&d, "v_total{b}"), 2);
	ck_assert_uint_eq(responder_holders(&d, "v_total{a}"), 1);
}
END_TEST

START_TEST(a_child_knows_nothing_of_its_parents_daemon)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_status st;
	pid_t pid;

	dynm_counter_add(c, -1);
	dynm_counter_inc(c);
	flush();
	dynm_runtime_status(rt, &st);
	ck_assert_str_eq(st.worker, "w");
	ck_assert_uint_eq(st.dropped, 1);
	responder_be(&d, RESPONDER_SILENT); /* nobody tells the child */
	pid = fork_safely();
	if (pid == 0) {
		dynm_runtime_status(rt, &st);
		_exit(st.connected != 0 || st.worker[0] != '\0' || st.dropped != 0 ||
		      st.acked_ms_ago != UINT64_MAX || st.series != 1);
	}
	wait_child(pid);
	responder_be(&d, RESPONDER_WELL);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
}
END_TEST

START_TEST(what_was_refused_to_the_parent_is_not_refused_to_the_child)
{
	dynm_status st;
	pid_t pid;

	pthread_mutex_lock(&d.lock);
	d.refuse_name = "bad_total";
	pthread_mutex_unlock(&d.lock);
	(void)dynm_counter_create(at, "bad_total", "");
	flush();
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.refused, 1);
	responder_be(&d, RESPONDER_SILENT);
	pid = fork_safely();
	if (pid == 0) {
		dynm_runtime_status(rt, &st);
		_exit((int)st.refused);
	}
	wait_child(pid);
	responder_be(&d, RESPONDER_WELL);
}
END_TEST

/* A chain of processes, each the child of the one before. */
static int
chain(dynm_counter c, int deep)
{
	int status = 0;
	pid_t pid;

	dynm_counter_add(c, deep);
	if (deep %
	    2) /* from a parent that has said something, and from one that has not */
		flush();
	pid = deep > 1 ? fork_safely() : -1;
	if (pid == 0)
		_exit(chain(c, deep - 1));
	dynm_counter_add(c, 0.5);
	if (dynm_flush(rt, PATIENT_MS) != DYNM_OK)
		return 1;
	if (pid > 0 && (waitpid(pid, &status, 0) != pid || status != 0))
		return 2;
	return 0;
}

START_TEST(children_have_children)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	ck_assert_int_eq(chain(c, 6), 0);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 6 + 5 + 4 + 3 + 2 + 1 + 3);
	ck_assert_uint_eq(d.sessions, 6);
}
END_TEST

START_TEST(a_child_has_one_thread_for_each_runtime_and_none_before_it_needs_them)
{
	dynm_options o = { .address = d.address, .flush_ms = FLUSH_MS };
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_runtime *second;
	pid_t pid;

	ck_assert_int_eq(dynm_open(&second, &o, NULL), DYNM_OK);
	(void)dynm_counter_create(dynm_runtime_scope(second), "d_total", "");
	flush();
	tell_begin();
	pid = fork_safely();
	if (pid == 0) {
		tell(threads());
		dynm_counter_inc(c);
		flush();
		tell(threads());
		_exit(0);
	}
	ck_assert_uint_eq(hear(), 1);
	ck_assert_uint_eq(hear(), 3);
	wait_child(pid);
	dynm_close(second);
}
END_TEST

START_TEST(children_do_not_come_back_to_a_daemon_in_step)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	uint64_t jitter[3] = { 0 };

	flush();
	tell_begin();
	for (int i = 0; i < 2; i++) {
		pid_t pid = fork_safely();

		if (pid == 0) {
			dynm_counter_inc(c);
			flush();
			tell(rt->flush.random);
			_exit(0);
		}
		jitter[i] = hear();
		wait_child(pid);
	}
	ck_assert_uint_ne(jitter[0], jitter[1]);
	ck_assert_uint_ne(jitter[0], rt->flush.random);
}
END_TEST

START_TEST(a_child_may_close)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	uint32_t byes;
	pid_t pid;

	flush();
	byes = responder_seen(&d, MESSAGE_BYE);
	pid = fork_safely();
	if (pid == 0) { /* nothing was used */
		dynm_close(rt);
		_exit(0);
	}
	wait_child(pid);
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_BYE), byes);
	ck_assert_uint_eq(responder_connections(&d), 1);
#ifdef __SANITIZE_THREAD__ /* takes a child's thread for its parent's when it is joined \
			    */
	return;
#endif
	pid = fork_safely();
	if (pid == 0) {
		dynm_counter_inc(c);
		flush(); /* the interval of close() may be over before it is heard */
		dynm_close(rt);
		_exit(0);
	}
	wait_child(pid);
	ck_assert_uint_eq(responder_seen(&d, MESSAGE_BYE), byes + 1);
	dynm_counter_inc(c);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 2);
}
END_TEST

START_TEST(a_parent_may_close_before_its_child_has_used_anything)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	pid_t pid;

	dynm_counter_inc(c);
	flush();
	tell_begin();
	pid = fork_safely();
	if (pid == 0) {
		(void)hear();
		dynm_counter_inc(c);
		_exit((int)dynm_flush(rt, PATIENT_MS));
	}
	dynm_close(rt);
	tell(1);
	wait_child(pid);
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 2);
	client_open(FLUSH_MS, 0);
}
END_TEST

START_TEST(a_child_that_only_updates_reports_by_itself)
{
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	pid_t pid;

	flush();
	pid = fork_safely();
	if (pid == 0) {
		dynm_gauge_set(g, 5);
		for (;;)
			poll(NULL, 0, 1000);
	}
	responder_wait_value(&d, "g", 0, 5);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(a_child_that_uses_nothing_is_never_seen)
{
	(void)dynm_counter_create(at, "c_total", "");
	flush();
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork_safely();

		if (pid == 0) {
			poll(NULL, 0, 3 * FLUSH_MS);
			_exit(0);
		}
		wait_child(pid);
	}
	ck_assert_uint_eq(responder_connections(&d), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_fork");
	TCase *t = tcase_create("client_fork");

	tcase_add_checked_fixture(t, client_set_up, client_tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_child_is_a_worker_of_its_own);
	tcase_add_test(t, a_child_does_not_define_what_was_removed_before_the_fork);
	tcase_add_test(t, a_child_knows_nothing_of_its_parents_daemon);
	tcase_add_test(t, what_was_refused_to_the_parent_is_not_refused_to_the_child);
	tcase_add_test(t, children_have_children);
	tcase_add_test(
	    t, a_child_has_one_thread_for_each_runtime_and_none_before_it_needs_them);
	tcase_add_test(t, children_do_not_come_back_to_a_daemon_in_step);
	tcase_add_test(t, a_child_may_close);
	tcase_add_test(t, a_parent_may_close_before_its_child_has_used_anything);
	tcase_add_test(t, a_child_that_only_updates_reports_by_itself);
	tcase_add_test(t, a_child_that_uses_nothing_is_never_seen);
	suite_add_tcase(s, t);
	return suite_run(s);
}
