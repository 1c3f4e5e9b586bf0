/* SPDX-License-Identifier: Apache-2.0 */
/* fork() at moments when the library is at work, or in its hands. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "after_fork.h"
#include "client_rig.h"
#include "suite.h"

static void *
wait_for_ever(void *arg)
{
	thread_must(dynm_flush(rt, PATIENT_MS) == DYNM_OK);
	return arg;
}

START_TEST(a_child_of_a_parent_that_waits_can_wait_too)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	pthread_t t[3];
	pid_t pid;

	responder_leave(&d);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, wait_for_ever, NULL);
	poll(NULL, 0, 50);
	pid = fork_safely();
	if (pid == 0) {
		dynm_counter_inc(c);
		_exit((int)dynm_flush(rt, PATIENT_MS));
	}
	responder_listen(&d);
	wait_child(pid);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	responder_wait_value(&d, "c_total", 0, 1);
}
END_TEST

static void *
close_it(void *arg)
{
	dynm_close(arg);
	return NULL;
}

START_TEST(what_another_thread_was_closing_is_not_begun_in_a_child)
{
	dynm_options o = { .address = d.address, .flush_ms = 30000 };
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_runtime *second;
	uint64_t began = 0;
	bool closing = false;
	pthread_t t;
	pid_t pid;

	flush();
	ck_assert_int_eq(dynm_open(&second, &o, NULL), DYNM_OK);
	(void)dynm_counter_create(dynm_runtime_scope(second), "second_total", "");
	ck_assert_int_eq(dynm_flush(second, PATIENT_MS), DYNM_OK);
	responder_be(&d, RESPONDER_SILENT); /* so it takes its time */
	ck_assert_int_eq(pthread_create(&t, NULL, close_it, second), 0);
	while (!closing && responder_again(&began, "order to close")) {
		pthread_mutex_lock(&second->flush.lock);
		closing = second->flush.closing;
		pthread_mutex_unlock(&second->flush.lock);
	}
	tell_begin();
	pid = fork_safely();
	if (pid == 0) {
		dynm_counter_inc(c);
		tell(threads());
		_exit((int)dynm_flush(rt, PATIENT_MS));
	}
	ck_assert_uint_eq(hear(), 2);
	responder_be(&d, RESPONDER_WELL);
	responder_leave(&d); /* ends what waits for an answer */
	responder_listen(&d);
	wait_child(pid);
	pthread_join(t, NULL);
	ck_assert_uint_eq(responder_holders(&d, "second_total"), 0);
}
END_TEST

enum child { STAYS, RETURNS, COUNTS_AND_RETURNS };

static struct {
	dynm_counter c;
	enum child child;
	pid_t pid;
} in_callback;

static void
fork_in_callback(void *arg)
{
	pid_t pid;

	(void)arg;
	if (__atomic_load_n(&in_callback.pid, __ATOMIC_RELAXED) != 0)
		return;
	pid = fork();
	if (pid == 0) {
		atexit(end_well);
		dynm_on_flush(rt, NULL, NULL);
		if (in_callback.child != RETURNS)
			dynm_counter_inc(in_callback.c);
		if (in_callback.child == STAYS) {
			/* Check's lock may have been another thread's. */
			thread_must(dynm_flush(rt, PATIENT_MS) == DYNM_OK);
			end_well();
		}
		return;
	}
	__atomic_store_n(&in_callback.pid, pid, __ATOMIC_RELAXED);
}

static pid_t
forked_in_callback(enum child child)
{
	uint64_t began = 0;
	pid_t pid = 0;

	in_callback.child = child;
	in_callback.pid = 0;
	in_callback.c = dynm_counter_create(at, "c_total", "");
	dynm_on_flush(rt, fork_in_callback, NULL);
	while (pid == 0 && responder_again(&began, "fork"))
		pid = __atomic_load_n(&in_callback.pid, __ATOMIC_RELAXED);
	return pid;
}

START_TEST(the_callback_may_fork_a_worker)
{
	wait_child(forked_in_callback(STAYS));
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
	ck_assert_uint_eq(d.sessions, 2);
}
END_TEST

/* Its only thread has nothing left to do. */
START_TEST(a_child_that_returns_from_the_callback_ends)
{
	wait_child(forked_in_callback(RETURNS));
	dynm_counter_inc(in_callback.c);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
	ck_assert_uint_eq(d.sessions, 1);
}
END_TEST

/* Only the library's new thread is left then, which sends what was counted and ends too.
 */
START_TEST(a_child_that_returns_from_the_callback_may_have_counted)
{
	wait_child(forked_in_callback(COUNTS_AND_RETURNS));
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
	ck_assert_uint_eq(d.sessions, 2);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__ /* a fork waits until all others sleep */
#define PAUSE_US 10000
#define FORKS	 10
#else
#define PAUSE_US 100
#define FORKS	 100
#endif

/* valgrind takes a second for each. */
static int
forks(void)
{
	return suite_is_under_valgrind() ? 10 : FORKS;
}

static bool busy_over;

/* A runtime that comes and goes, with a metric that is new each time. */
static void *
come_and_go(void *arg)
{
	dynm_options o = { .address = d.address, .flush_ms = 1 };

	while (!__atomic_load_n(&busy_over, __ATOMIC_RELAXED)) {
		dynm_runtime *own;

		thread_must(dynm_open(&own, &o, NULL) == DYNM_OK);
		dynm_counter_inc(
		    dynm_counter_create(dynm_runtime_scope(own), "own_total", ""));
		(void)dynm_flush(own, 1);
		dynm_close(own);
		usleep(2 * PAUSE_US);
	}
	return arg;
}

/* Metrics and threads that come and go in the runtime that is forked. */
static void *
make_and_count(void *arg)
{
	dynm_counter_vec vec = *(dynm_counter_vec *)arg;

	for (uint32_t i = 0; i < 20; i++) {
		dynm_counter_inc(numbered(vec, i % 50));
		(void)dynm_flush(rt, 1);
		usleep(PAUSE_US);
	}
	return NULL;
}

static void *
threads_come_and_go(void *arg)
{
	uintptr_t n = 0;
	pthread_t t;

	for (; !__atomic_load_n(&busy_over, __ATOMIC_RELAXED); n += 20) {
		thread_must(pthread_create(&t, NULL, make_and_count, arg) == 0);
		pthread_join(t, NULL);
	}
	return (void *)n;
}

START_TEST(fork_may_come_while_others_open_close_create_count_and_flush)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "v_total", "", DYNM_LABELS("i"));
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	int n = forks();
	double total = 0;
	pthread_t t[2];
	void *counted;

	pthread_create(&t[0], NULL, come_and_go, NULL);
	pthread_create(&t[1], NULL, threads_come_and_go, &vec);
	for (int i = 0; i < n; i++) {
		pid_t pid = fork_safely();

		if (pid == 0) {
			for (int k = 0; k < 10; k++)
				dynm_counter_inc(c);
			dynm_counter_inc(numbered(vec, (uint32_t)i % 70));
			flush();
			end_well();
		}
		dynm_counter_inc(c);
		wait_child(pid);
	}
	__atomic_store_n(&busy_over, true, __ATOMIC_RELAXED);
	pthread_join(t[0], NULL);
	pthread_join(t[1], &counted);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 11 * n);
	for (uint32_t i = 0; i < 70; i++) {
		char name[32];
		double value;

		snprintf(name, sizeof(name), "v_total{%u}", i);
		value = responder_value(&d, name, 0);
		total += value > 0 ? value : 0;
	}
	ck_assert_double_eq(total, n + (double)(uintptr_t)counted);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_moments");
	TCase *t = tcase_create("client_moments");

	tcase_add_checked_fixture(t, client_set_up, client_tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_child_of_a_parent_that_waits_can_wait_too);
	tcase_add_test(t, what_another_thread_was_closing_is_not_begun_in_a_child);
	tcase_add_test(t, the_callback_may_fork_a_worker);
	tcase_add_test(t, a_child_that_returns_from_the_callback_ends);
	tcase_add_test(t, a_child_that_returns_from_the_callback_may_have_counted);
	tcase_add_test(t, fork_may_come_while_others_open_close_create_count_and_flush);
	suite_add_tcase(s, t);
	return suite_run(s);
}
