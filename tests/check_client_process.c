/* SPDX-License-Identifier: Apache-2.0 */
/* What the library takes of its process: threads, descriptors, signals, errno. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "after_fork.h"
#include "client_rig.h"
#include "suite.h"

START_TEST(an_update_leaves_errno_alone)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "");
	dynm_gauge g = dynm_gauge_create(at, "g", "");
	struct rlimit none = { 0, 0 };
	pid_t pid;

	flush();
	pid = fork_safely();
	if (pid == 0) {
		errno = EXDEV;
		dynm_counter_inc(c);
		dynm_gauge_set(g, 1);
		_exit(errno != EXDEV);
	}
	wait_child(pid);
	pid = fork_safely();
	if (pid == 0) {
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(10);
		setrlimit(RLIMIT_NPROC, &none);
		errno = EXDEV;
		dynm_counter_inc(c); /* there is no thread to be had */
		dynm_gauge_set(g, 1);
		_exit(errno != EXDEV);
	}
	wait_child(pid);
	pid = fork_safely();
	if (pid == 0) {
		setrlimit(RLIMIT_AS, &none);
		errno = EXDEV;
		dynm_counter_inc(c); /* and no memory */
		dynm_gauge_set(g, 1);
		_exit(errno != EXDEV);
	}
	wait_child(pid);
}
END_TEST

/* The limit does not bind root, so this takes another user's place in a child. */
START_TEST(without_threads_it_starts_when_there_are_some)
{
	struct rlimit old, none;
	int status;
	pid_t pid = fork_safely();

	if (pid == 0) {
		dynm_options o = { .address = d.address, .flush_ms = FLUSH_MS };
		dynm_counter c;

		chmod(d.folder, 0777);
		chmod(d.path, 0777);
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(10);
		getrlimit(RLIMIT_NPROC, &old);
		none = old;
		none.rlim_cur = 0;
		setrlimit(RLIMIT_NPROC, &none);
		if (dynm_open(&rt, &o, NULL) != DYNM_OK)
			_exit(11);
		c = dynm_counter_create(dynm_runtime_scope(rt), "n_total", "");
		dynm_counter_inc(c);
		if (dynm_flush(rt, 1000) != DYNM_ESYS)
			_exit(12);
		setrlimit(RLIMIT_NPROC, &old);
		for (int i = 0; i < 5000; i++) /* only updates */
			dynm_counter_inc(c);
		for (;;)
			poll(NULL, 0, 1000);
	}
	responder_wait_value(&d, "n_total", 0, 5001);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}
END_TEST

static size_t
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

START_TEST(a_child_and_a_closed_runtime_hold_no_descriptor)
{
	size_t before;
	pid_t pid;

	dynm_close(rt);
	before = open_descriptors();
	client_open(FLUSH_MS, 0);
	(void)dynm_counter_create(at, "c_total", "");
	flush();
	pid = fork_safely();
	if (pid == 0)
		_exit(open_descriptors() == before + 1 ? 0 : 1); /* the responder's end */
	wait_child(pid);
	dynm_close(rt);
	client_open(FLUSH_MS, 0);
}
END_TEST

START_TEST(without_descriptors_it_waits_for_some)
{
	struct rlimit old, none;
	dynm_counter c = dynm_counter_create(at, "c_total", "");

	flush();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	responder_cut(&d); /* a new connection would need a descriptor */
	dynm_counter_inc(c);
	ck_assert_int_eq(dynm_flush(rt, 100), DYNM_EAGAIN);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	flush();
	ck_assert_double_eq(responder_value(&d, "c_total", 0), 1);
}
END_TEST

static void
on_signal(int number)
{
	(void)number;
	_exit(9);
}

START_TEST(the_flush_thread_takes_no_signal_and_masks_stay)
{
	sigset_t mine, after;

	sigemptyset(&mine);
	sigaddset(&mine, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &mine, NULL);
	dynm_close(rt);
	responder_leave(&d); /* its thread is to have it blocked too */
	responder_listen(&d);
	client_open(FLUSH_MS, 0);
	(void)dynm_counter_create(at, "c_total", "");
	flush();
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	ck_assert_int_eq(sigismember(&after, SIGUSR1), 1);
	ck_assert_int_eq(sigismember(&after, SIGUSR2), 0);
	signal(SIGUSR1, on_signal);
	kill(getpid(), SIGUSR1); /* only the flush thread could take it */
	flush();
	flush();
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&mine);
	pthread_sigmask(SIG_SETMASK, &mine, NULL);
}
END_TEST

static void *
hammer(void *arg)
{
	for (int i = 0; i < 20000; i++)
		dynm_counter_inc(*(dynm_counter *)arg);
	return NULL;
}

START_TEST(several_runtimes_share_a_process_and_its_threads)
{
	dynm_options o = { .address = d.address, .worker = "second", .flush_ms = 5 };
	dynm_counter one = dynm_counter_create(at, "one_total", ""), two;
	dynm_runtime *second;
	pthread_t t[4];

	ck_assert_int_eq(dynm_open(&second, &o, NULL), DYNM_OK);
	two = dynm_counter_create(dynm_runtime_scope(second), "two_total", "");
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, hammer, i % 2 ? &one : &two);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(dynm_flush(second, PATIENT_MS), DYNM_OK);
	flush();
	ck_assert_double_eq(responder_value(&d, "one_total", 0), 40000);
	ck_assert_double_eq(responder_value(&d, "two_total", 0), 40000);
	dynm_close(second);
	dynm_counter_inc(one);
	flush();
	ck_assert_double_eq(responder_value(&d, "one_total", 0), 40001);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_process");
	TCase *t = tcase_create("client_process");

	tcase_add_checked_fixture(t, client_set_up, client_tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, an_update_leaves_errno_alone);
	tcase_add_test(t, without_threads_it_starts_when_there_are_some);
	tcase_add_test(t, a_child_and_a_closed_runtime_hold_no_descriptor);
	tcase_add_test(t, without_descriptors_it_waits_for_some);
	tcase_add_test(t, the_flush_thread_takes_no_signal_and_masks_stay);
	tcase_add_test(t, several_runtimes_share_a_process_and_its_threads);
	suite_add_tcase(s, t);
	return suite_run(s);
}
