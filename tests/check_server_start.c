/* SPDX-License-Identifier: Apache-2.0 */
/* What can be in the way of a daemon that starts: it says so, and harms nothing. */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"
#include "suite.h"

START_TEST(a_taken_port_is_said_with_what_to_do)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	char variable[64];
	const char *environment[] = { variable, NULL };
	struct rig_setting setting = { .environment = environment };
	const char *text;
	struct rig r;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, n), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	getsockname(fd, (struct sockaddr *)&a, &n);
	snprintf(variable, sizeof(variable), "DYN_SYSTEM_PORT=%u", ntohs(a.sin_port));
	rig_make(&r);
	text = rig_fail(&r, &setting);
	rig_check_says(text, "is taken, most likely by a Dynamo process");
	rig_check_says(text, "set DYN_SYSTEM_PORT to another port");
	close(fd);
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(a_host_that_is_not_ours_is_said)
{
	const char *environment[] = { "DYN_SYSTEM_HOST=192.0.2.1", NULL };
	struct rig_setting setting = { .environment = environment };
	struct rig r;

	rig_make(&r);
	rig_check_says(rig_fail(&r, &setting), "192.0.2.1 is no address of this machine");
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(a_second_daemon_is_refused_and_the_first_goes_on)
{
	struct rig first, second;
	const char *text;

	rig_start(&first, NULL);
	rig_make(&second);
	memcpy(second.socket, first.socket, sizeof(second.socket));
	text = rig_fail(&second, NULL);
	rig_check_says(text, "another dynamo-metricsd has ");
	rig_check_says(text, first.socket);
	rig_remove(&second, NULL);
	rig_count(&first, "n", 1);
	rig_stop(&first);
}
END_TEST

START_TEST(another_server_that_answers_is_left_alone)
{
	struct rig r;
	int fd;

	rig_make(&r);
	fd = rig_bind_unix(r.socket, SOCK_STREAM);
	ck_assert_int_eq(listen(fd, 1), 0);
	rig_check_says(rig_fail(&r, NULL), "another server answers at ");
	ck_assert(rig_exists(r.socket));
	close(fd);
	rig_remove(&r, "ingest.ipc");
}
END_TEST

START_TEST(another_kind_of_socket_is_left_alone)
{
	struct rig r;
	int fd;

	rig_make(&r);
	fd = rig_bind_unix(r.socket, SOCK_DGRAM);
	rig_check_says(rig_fail(&r, NULL), "is left alone");
	ck_assert(rig_exists(r.socket));
	close(fd);
	rig_remove(&r, "ingest.ipc");
}
END_TEST

START_TEST(a_stale_socket_is_taken_over)
{
	struct rig r;

	rig_start(&r, NULL);
	rig_count(&r, "n", 1);
	kill(r.pid, SIGKILL);
	waitpid(r.pid, NULL, 0);
	ck_assert(rig_exists(r.socket));
	rig_serve(&r, NULL);
	rig_count(&r, "n", 1);
	ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 2);
	rig_stop(&r);
}
END_TEST

START_TEST(a_file_at_the_path_is_left_alone)
{
	char target[256], text[64] = "";
	struct rig r;
	FILE *f;

	rig_make(&r);
	rig_write_file(r.socket, "precious");
	rig_check_says(rig_fail(&r, NULL), "is not a socket: it is left alone");
	f = fopen(r.socket, "r");
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
	fclose(f);
	ck_assert_str_eq(text, "precious");
	unlink(r.socket);
	ck_assert_int_eq(mkdir(r.socket, 0700), 0);
	rig_check_says(rig_fail(&r, NULL), "is not a socket: it is left alone");
	rmdir(r.socket);
	rig_path(&r, "target", target, sizeof(target));
	ck_assert_int_eq(symlink(target, r.socket), 0);
	rig_check_says(rig_fail(&r, NULL), "is not a socket: it is left alone");
	ck_assert(!rig_exists(target));
	rig_remove(&r, "ingest.ipc");
}
END_TEST

START_TEST(a_link_in_place_of_the_lock_is_not_followed)
{
	char lock[256], target[256];
	struct rig r;

	rig_make(&r);
	rig_path(&r, "ingest.ipc.lock", lock, sizeof(lock));
	rig_path(&r, "target", target, sizeof(target));
	ck_assert_int_eq(symlink(target, lock), 0);
	rig_check_says(rig_fail(&r, NULL), "cannot be opened");
	ck_assert(!rig_exists(target));
	rig_remove(&r, "ingest.ipc.lock");
}
END_TEST

START_TEST(of_many_that_start_at_once_one_serves)
{
	enum { STARTED = 8 };
	struct rig rigs[STARTED];
	struct rig r;

	rig_make(&r);
	for (int round = 0; round < 5; round++) {
		int serving = 0, refused = 0;
		uint64_t began_ms = 0;

		for (int i = 0; i < STARTED; i++) {
			rig_make(&rigs[i]);
			memcpy(rigs[i].socket, r.socket, sizeof(r.socket));
			rig_launch(&rigs[i], NULL);
		}
		while (serving + refused < STARTED &&
		       rig_again(&began_ms, "all have decided")) {
			serving = refused = 0;
			for (int i = 0; i < STARTED; i++) {
				serving += rig_has_logged(&rigs[i], "server: started");
				refused += rig_has_logged(&rigs[i], "another dynamo");
			}
		}
		ck_assert_int_eq(serving, 1);
		for (int i = 0; i < STARTED; i++) {
			if (rig_has_logged(&rigs[i], "server: started")) {
				rig_count(&rigs[i], "n", 1);
				kill(rigs[i].pid, SIGTERM);
				rig_wait_ended(&rigs[i]);
			} else {
				waitpid(rigs[i].pid, NULL, 0);
			}
			rig_remove(&rigs[i], NULL);
		}
	}
	rig_remove(&r, NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("server_start");
	TCase *t = tcase_create("server_start");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_taken_port_is_said_with_what_to_do);
	tcase_add_test(t, a_host_that_is_not_ours_is_said);
	tcase_add_test(t, a_second_daemon_is_refused_and_the_first_goes_on);
	tcase_add_test(t, another_server_that_answers_is_left_alone);
	tcase_add_test(t, another_kind_of_socket_is_left_alone);
	tcase_add_test(t, a_stale_socket_is_taken_over);
	tcase_add_test(t, a_file_at_the_path_is_left_alone);
	tcase_add_test(t, a_link_in_place_of_the_lock_is_not_followed);
	tcase_add_test(t, of_many_that_start_at_once_one_serves);
	suite_add_tcase(s, t);
	return suite_run(s);
}
