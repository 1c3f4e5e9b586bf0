/* SPDX-License-Identifier: Apache-2.0 */
/* A socket's path belongs to one holder at a time, however holders come and go. */
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
	tcase_add_test(t, closing_nothing_is_fine);
	suite_add_tcase(s, t);
	return suite_run(s);
}
