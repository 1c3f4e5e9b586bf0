/* SPDX-License-Identifier: Apache-2.0 */
/* A socket's path belongs to one holder at a time, however holders come and go. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "socket_file.h"
#include "suite.h"

enum { RIVALS = 4, ROUNDS = 1500 };

struct shared {
	atomic_int holders;
	atomic_int most; /* holders at once */
	atomic_int taken;
};

static void
compete(const char *path, struct shared *shared)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct socket_file s;
		char error[256];
		int now;

		if (socket_file_open(&s, path, "VARIABLE", error, sizeof(error)) != 0)
			continue;
		now = atomic_fetch_add(&shared->holders, 1) + 1;
		if (now > shared->most)
			shared->most = now;
		shared->taken++;
		atomic_fetch_sub(&shared->holders, 1);
		socket_file_close(&s);
	}
	_exit(0);
}

START_TEST(rivals_never_hold_it_together)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[64];
	int status;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	for (int i = 0; i < RIVALS; i++)
		if (fork() == 0)
			compete(path, shared);
	for (int i = 0; i < RIVALS; i++) {
		ck_assert_int_gt(wait(&status), 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(shared->most, 1);
	ck_assert_int_gt(shared->taken, RIVALS);
	/* The last one has removed the socket and the lock. */
	ck_assert_int_eq(rmdir(folder), 0);
	munmap(shared, sizeof(*shared));
}
END_TEST

START_TEST(the_lock_of_a_dead_holder_is_free)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	struct socket_file s;
	char error[256], path[64];
	int status;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	if (fork() == 0)
		_exit(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)) != 0);
	wait(&status);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	socket_file_close(&s);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_lock_that_is_let_go_soon_is_waited_for)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	char error[256], path[64];
	struct socket_file s;
	int taken[2];
	char byte;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	socket_file_wait(path, 60000); /* nobody has it: at once */
	ck_assert_int_eq(pipe(taken), 0);
	if (fork() == 0) {
		if (socket_file_open(&s, path, "VARIABLE", error, sizeof(error)) != 0 ||
		    write(taken[1], "", 1) != 1)
			_exit(1);
		usleep(100000);
		_exit(0);
	}
	ck_assert_int_eq(read(taken[0], &byte, 1), 1);
	ck_assert_int_ne(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	socket_file_wait(path, 60000);
	ck_assert_int_eq(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	/* Held, and not let go: not for ever. */
	socket_file_wait(path, 20);
	socket_file_close(&s);
	close(taken[0]);
	close(taken[1]);
	wait(NULL);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

static mode_t
mode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(lstat(path, &st), 0);
	return st.st_mode & 0777;
}

/* Whoever can open a file can lock it. */
START_TEST(its_lock_is_for_its_owner_alone_and_those_who_may_connect_cannot_open_it)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	char error[256], path[64], lock[80];
	struct socket_file s;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	umask(0);
	ck_assert_int_eq(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	ck_assert_uint_eq(mode_of(path), 0660);
	ck_assert_uint_eq(mode_of(lock), 0600);
	socket_file_close(&s);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_lock_of_somebody_else_is_said_to_be_theirs)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	char error[256], path[64], lock[80];
	struct socket_file s;

	if (geteuid() != 0)
		return; /* only root can be two others */
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chmod(folder, 0777), 0);
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	close(open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0666));
	ck_assert_int_eq(chmod(lock, 0666), 0);
	ck_assert_int_eq(chown(lock, 12345, 12345), 0);
	ck_assert_int_eq(seteuid(23456), 0);
	ck_assert_int_ne(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	ck_assert_ptr_nonnull(strstr(error, "it is another user's"));
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(unlink(lock), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(a_fifo_in_place_of_its_lock_is_not_waited_for)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	char error[256], path[64], lock[80];
	struct socket_file s;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	ck_assert_int_eq(mkfifo(lock, 0600), 0);
	socket_file_wait(path, 60000);
	ck_assert_int_ne(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	ck_assert_ptr_nonnull(strstr(error, "it is no file"));
	ck_assert_int_eq(unlink(lock), 0);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* Root would change the mode of a file that somebody else chose. */
START_TEST(a_file_with_another_name_is_not_its_lock)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	char error[256], path[64], lock[80], other[80];
	struct socket_file s;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	snprintf(other, sizeof(other), "%s/other", folder);
	close(open(other, O_CREAT | O_RDWR | O_CLOEXEC, 0640));
	ck_assert_int_eq(chmod(other, 0640), 0);
	ck_assert_int_eq(link(other, lock), 0);
	ck_assert_int_ne(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	ck_assert_ptr_nonnull(strstr(error, "has other names"));
	ck_assert_uint_eq(mode_of(other), 0640);
	ck_assert_int_eq(unlink(other), 0);
	ck_assert_int_eq(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	socket_file_close(&s);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(what_was_removed_is_made_again_and_nobody_else_has_it_meanwhile)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	char error[256], path[64], lock[80];
	struct socket_file s, other;
	int first, second;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	ck_assert_int_eq(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	first = socket_file_take(&s);
	ck_assert(socket_file_is_there(&s));
	for (int round = 0; round < 3; round++) {
		ck_assert_int_eq(unlink(path), 0);
		if (round == 1)
			ck_assert_int_eq(unlink(lock), 0);
		ck_assert(!socket_file_is_there(&s));
		ck_assert_int_eq(
		    socket_file_renew(&s, "VARIABLE", error, sizeof(error)), 0);
		ck_assert(socket_file_is_there(&s));
		ck_assert_uint_eq(mode_of(path), 0660);
		ck_assert_int_ne(
		    socket_file_open(&other, path, "VARIABLE", error, sizeof(error)), 0);
		second = socket_file_take(&s);
		close(first);
		first = second;
	}
	close(first);
	socket_file_close(&s);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(what_somebody_else_has_by_now_is_not_taken_back)
{
	char folder[] = "/tmp/metricsd-socket-XXXXXX";
	char error[256], path[64], lock[80];
	struct socket_file s, other;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	ck_assert_int_eq(socket_file_open(&s, path, "VARIABLE", error, sizeof(error)), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_ne(socket_file_renew(&s, "VARIABLE", error, sizeof(error)), 0);
	ck_assert_ptr_nonnull(strstr(error, "is not a socket: it is left alone"));
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(unlink(lock), 0);
	ck_assert_int_eq(
	    socket_file_open(&other, path, "VARIABLE", error, sizeof(error)), 0);
	ck_assert_int_ne(socket_file_renew(&s, "VARIABLE", error, sizeof(error)), 0);
	ck_assert_ptr_nonnull(strstr(error, "another dynamo-metricsd has"));
	socket_file_close(&s);
	ck_assert(socket_file_is_there(&other));
	socket_file_close(&other);
	ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(closing_nothing_is_fine)
{
	struct socket_file s = SOCKET_FILE_NONE;

	socket_file_close(&s);
	ck_assert_int_eq(s.listen, -1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("socket_file");
	TCase *t = tcase_create("socket_file");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, rivals_never_hold_it_together);
	tcase_add_test(t, the_lock_of_a_dead_holder_is_free);
	tcase_add_test(t, a_lock_that_is_let_go_soon_is_waited_for);
	tcase_add_test(
	    t, its_lock_is_for_its_owner_alone_and_those_who_may_connect_cannot_open_it);
	tcase_add_test(t, a_lock_of_somebody_else_is_said_to_be_theirs);
	tcase_add_test(t, a_fifo_in_place_of_its_lock_is_not_waited_for);
	tcase_add_test(t, a_file_with_another_name_is_not_its_lock);
	tcase_add_test(
	    t, what_was_removed_is_made_again_and_nobody_else_has_it_meanwhile);
	tcase_add_test(t, what_somebody_else_has_by_now_is_not_taken_back);
	tcase_add_test(t, closing_nothing_is_fine);
	suite_add_tcase(s, t);
	return suite_run(s);
}
