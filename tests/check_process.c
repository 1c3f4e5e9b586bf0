/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of a process by its number and its start. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "suite.h"

/* In clock ticks since boot, as the kernel says. */
static uint64_t
start_of(pid_t pid)
{
	unsigned long long start = 0;
	char path[64], line[1024];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
	fclose(f);
	ck_assert_int_eq(sscanf(strrchr(line, ')') + 2,
			     "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
			     "%*d %*d %*d %*d %*d %llu",
			     &start),
	    1);
	return start;
}

/* Where the kernel has no pidfd_open(), as under valgrind, nothing is certain. */
static enum process_life
known(enum process_life life)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0U);

	if (pidfd < 0)
		return PROCESS_UNKNOWN;
	close(pidfd);
	return life;
}

START_TEST(a_process_is_the_same_by_its_number_and_its_start)
{
	uint64_t start = start_of(getpid());

	ck_assert_uint_gt(start, 0);
	ck_assert_int_eq(process_life(getpid(), start), known(PROCESS_SAME));
	ck_assert_int_eq(
	    process_life(getppid(), start_of(getppid())), known(PROCESS_SAME));
}
END_TEST

START_TEST(another_start_is_another_process)
{
	ck_assert_int_eq(
	    process_life(getpid(), start_of(getpid()) + 1), known(PROCESS_GONE));
}
END_TEST

START_TEST(the_dead_are_gone_buried_or_not)
{
	pid_t pid = fork();
	uint64_t start;
	siginfo_t info;

	if (pid == 0) {
		pause();
		_exit(0);
	}
	start = start_of(pid);
	ck_assert_int_eq(process_life(pid, start), known(PROCESS_SAME));
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(process_life(pid, start), known(PROCESS_GONE));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_int_eq(process_life(pid, start), known(PROCESS_GONE));
	ck_assert_int_eq(process_life(pid, 0), known(PROCESS_GONE));
}
END_TEST

START_TEST(nothing_is_said_of_what_was_not_seen)
{
	ck_assert_int_eq(process_life(0, 0), PROCESS_UNKNOWN);
	ck_assert_int_eq(process_life(-1, 5), PROCESS_UNKNOWN);
	/* It lives, and may have taken the number of another. */
	ck_assert_int_eq(process_life(getpid(), 0), PROCESS_UNKNOWN);
}
END_TEST

START_TEST(open_descriptors_are_counted_in_either_way)
{
	struct process_figures before, after;
	int more[3];

	process_figures(&before);
	for (int i = 0; i < 3; i++)
		ck_assert_int_ge(more[i] = dup(0), 0);
	process_figures(&after);
	ck_assert_double_eq(after.open_fds, before.open_fds + 3);
	ck_assert_double_eq(process_listed_fds(), after.open_fds);
	for (int i = 0; i < 3; i++)
		close(more[i]);
	ck_assert_double_eq(process_listed_fds(), before.open_fds);
}
END_TEST

START_TEST(a_boot_and_a_namespace_have_identities)
{
	uint8_t once[PROCESS_BOOT_BYTES], again[PROCESS_BOOT_BYTES];
	static const uint8_t zero[PROCESS_BOOT_BYTES];

	ck_assert(process_boot(once));
	ck_assert(process_boot(again));
	ck_assert_mem_eq(once, again, sizeof(once));
	ck_assert_mem_ne(once, zero, sizeof(once));
	ck_assert_uint_ne(process_namespace(), 0);
	ck_assert_uint_eq(process_namespace(), process_namespace());
}
END_TEST

/* Number 1 of a new namespace: to what is still the old one's /proc, that is another. */
static int
peer_with_another_proc(void)
{
	struct process_peer peer;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 ||
	    process_peer_of(pair[0], &peer) != 0)
		return 2;
	process_peer_close(&peer);
	return getpid() == 1 && peer.pid == 1 && peer.start == 0 &&
		       process_life(1, start_of(1)) == PROCESS_UNKNOWN
		   ? 0
		   : 1;
}

#define NO_RIGHT 77

/* What is tested in a child of a child: the first one's namespace stays as it is. */
static int
in_a_new_namespace(int (*test)(void))
{
	int status = -1;
	pid_t pid;

	if (unshare(CLONE_NEWPID) != 0)
		return NO_RIGHT;
	pid = fork();
	if (pid == 0)
		_exit(test());
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
								    : 3;
}

START_TEST(who_has_the_number_in_another_namespace_is_a_stranger)
{
	int status = -1;
	pid_t pid;

	if (suite_is_under_valgrind())
		return;
	pid = fork();
	if (pid == 0)
		_exit(in_a_new_namespace(peer_with_another_proc));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) != NO_RIGHT)
		ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

/* Of those from 0 to 2 that are closed, by their bits. */
static int
streams_without(int closed)
{
	for (int fd = 0; fd < 3; fd++)
		if (closed & 1 << fd)
			close(fd);
	process_open_standard();
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			return 1;
	return closed ? dup(0) < 3 : 0;
}

START_TEST(what_is_opened_later_is_no_standard_stream)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(streams_without(_i));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("process");
	TCase *c = tcase_create("all");

	tcase_add_test(c, a_process_is_the_same_by_its_number_and_its_start);
	tcase_add_test(c, another_start_is_another_process);
	tcase_add_test(c, the_dead_are_gone_buried_or_not);
	tcase_add_test(c, nothing_is_said_of_what_was_not_seen);
	tcase_add_test(c, open_descriptors_are_counted_in_either_way);
	tcase_add_test(c, a_boot_and_a_namespace_have_identities);
	tcase_add_test(c, who_has_the_number_in_another_namespace_is_a_stranger);
	tcase_add_loop_test(c, what_is_opened_later_is_no_standard_stream, 0, 8);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
