/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library does not take from its process: the descriptors 0, 1 and 2, and its
 * end.
 */
#include "program.h"

#include <check.h>
#include <dynamo/metrics.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "after_fork.h"
#include "suite.h"

#define END_S 12 /* a child that takes longer does not end */

/* How a child ends that does this. */
static int
status_of(void (*run)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		run();
		_exit(9);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* A runtime without a daemon, and something to say to one. */
static dynm_runtime *
open_runtime(void)
{
	dynm_options options = { .address = "ipc:///nowhere/at/all.ipc", .flush_ms = 20 };
	dynm_runtime *rt;

	if (dynm_open(&rt, &options, NULL) != DYNM_OK)
		_exit(8);
	dynm_counter_inc(dynm_counter_create(dynm_runtime_scope(rt), "c_total", ""));
	return rt;
}

/* ---- Descriptors ------------------------------------------------------- */

static void
keep_off_all(void)
{
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	for (int i = 0; i < 10; i++) {
		int fd = program_keep_off(open("/dev/null", O_RDONLY | O_CLOEXEC));

		if (fd < 3 || !(fcntl(fd, F_GETFD) & FD_CLOEXEC))
			_exit(1);
	}
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			_exit(2);
	_exit(program_keep_off(-1) == -1 ? 0 : 3);
}

START_TEST(the_standard_descriptors_are_never_ours)
{
	ck_assert_int_eq(status_of(keep_off_all), 0);
}
END_TEST

/* ---- The end ----------------------------------------------------------- */

#ifndef __SANITIZE_THREAD__ /* it has a thread of its own, which stays */
static void
say_how(void)
{
	_exit(5);
}

static void
end_main(void)
{
	(void)open_runtime();
	(void)atexit(say_how);
	pthread_exit(NULL);
}

START_TEST(a_process_whose_threads_have_all_ended_ends_in_order)
{
	int status = status_of(end_main);

	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 5);
}
END_TEST

static dynm_runtime *both[2];

static void
flush_for_ever(void)
{
	for (int i = 0; i < 2; i++)
		if (dynm_flush(both[i], -1) != DYNM_EAGAIN)
			_exit(4);
}

static void
end_main_of_two(void)
{
	both[0] = open_runtime();
	both[1] = open_runtime();
	(void)atexit(say_how);
	(void)atexit(flush_for_ever);
	pthread_exit(NULL);
}

START_TEST(so_does_one_with_two_runtimes_that_are_flushed_at_exit)
{
	int status = status_of(end_main_of_two);

	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 5);
}
END_TEST

#endif

static void *
outlive_main(void *arg)
{
	usleep(20 * 20 * 1000); /* flush intervals */
	_exit(dynm_flush(arg, 0) == DYNM_EAGAIN ? 6 : 4);
}

static void
leave_a_thread(void)
{
	dynm_runtime *rt = open_runtime();
	pthread_t thread;

	if (pthread_create(&thread, NULL, outlive_main, rt) != 0)
		_exit(8);
	pthread_exit(NULL);
}

START_TEST(one_with_a_thread_left_goes_on_without_main)
{
	int status = status_of(leave_a_thread);

	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 6);
}
END_TEST

START_TEST(one_with_its_main_thread_has_not_ended)
{
	for (unsigned ours = 0; ours < 4; ours++)
		ck_assert(!program_has_ended(ours));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("client_program");
	TCase *tc = tcase_create("program");

	tcase_set_timeout(tc, END_S);
	tcase_add_test(tc, the_standard_descriptors_are_never_ours);
	/* valgrind takes for lost what the stack of a main that has ended holds. */
	if (!suite_is_under_valgrind())
		tcase_add_test(tc, one_with_a_thread_left_goes_on_without_main);
#ifndef __SANITIZE_THREAD__
	if (!suite_is_under_valgrind()) {
		tcase_add_test(tc, a_process_whose_threads_have_all_ended_ends_in_order);
		tcase_add_test(
		    tc, so_does_one_with_two_runtimes_that_are_flushed_at_exit);
	}
#endif
	tcase_add_test(tc, one_with_its_main_thread_has_not_ended);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
