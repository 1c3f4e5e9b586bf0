/* SPDX-License-Identifier: Apache-2.0 */
/* How the daemon starts, and how it ends. */
#include <arpa/inet.h>
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

#define ADD_ONE "{\"metrics\":[{\"name\":\"n\",\"type\":\"counter\",\"inc\":1}]}"

/* ---- Starting ---------------------------------------------------------- */

START_TEST(the_socket_is_for_its_owner_and_group_and_the_port_is_in_a_file)
{
	char path[256], text[64] = "";
	struct rig r;
	FILE *f;

	rig_start(&r, NULL);
	ck_assert_uint_eq(rig_mode(r.socket), 0660);
	rig_path(&r, "http.port", path, sizeof(path));
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
	fclose(f);
	ck_assert_uint_eq(strtoul(text, NULL, 10), r.port);
	ck_assert_uint_gt(r.port, 0);
	rig_stop(&r);
}
END_TEST

START_TEST(a_missing_folder_is_made)
{
	struct rig r;
	char folder[256];

	rig_make(&r);
	rig_path(&r, "run", folder, sizeof(folder));
	snprintf(r.socket, sizeof(r.socket), "%s/run/i.ipc", r.folder);
	rig_serve(&r, NULL);
	ck_assert_uint_eq(rig_mode(folder), 0750);
	rig_count(&r, "n", 1);
	kill(r.pid, SIGTERM);
	rig_wait_ended(&r);
	rig_remove(&r, "run");
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_said)
{
	struct rig r;
	const char *text;

	rig_make(&r);
	snprintf(r.socket, sizeof(r.socket), "%s/no/such/i.ipc", r.folder);
	text = rig_fail(&r, NULL);
	rig_check_says(text, "cannot be made: No such file or directory");
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(the_port_file_can_be_elsewhere)
{
	char setting_text[512], path[256];
	struct rig_setting setting = { .file = setting_text };
	struct rig r;

	rig_make(&r);
	rig_path(&r, "my port", path, sizeof(path));
	snprintf(setting_text, sizeof(setting_text),
	    "{\"http\": {\"port_file\": \"%s\"}}", path);
	rig_serve(&r, &setting);
	ck_assert(rig_exists(path));
	kill(r.pid, SIGTERM);
	rig_wait_ended(&r);
	ck_assert(!rig_exists(path));
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(the_port_file_is_in_the_runtime_folder)
{
	char variable[300], path[256];
	const char *environment[] = { variable, NULL };
	struct rig_setting setting = { .environment = environment };
	struct rig r;

	rig_make(&r);
	rig_path(&r, "runtime", path, sizeof(path));
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(variable, sizeof(variable), "RUNTIME_DIRECTORY=%s:/nonexistent", path);
	rig_serve(&r, &setting);
	rig_path(&r, "runtime/http.port", path, sizeof(path));
	ck_assert(rig_exists(path));
	kill(r.pid, SIGTERM);
	rig_wait_ended(&r);
	rig_remove(&r, "runtime");
}
END_TEST

START_TEST(http_can_be_off)
{
	static const char *const variables[] = { "DYN_SYSTEM_ENABLED=false",
		"DYN_SYSTEM_PORT=-1" };

	for (size_t i = 0; i < 2; i++) {
		const char *environment[] = { variables[i], NULL };
		struct rig_setting setting = { .environment = environment };
		char path[256];
		struct rig r;

		rig_start(&r, &setting);
		ck_assert_uint_eq(r.port, 0);
		rig_path(&r, "http.port", path, sizeof(path));
		ck_assert(!rig_exists(path));
		ck_assert(rig_has_logged(&r, "HTTP disabled"));
		rig_count(&r, "n", 1);
		rig_stop(&r);
	}
}
END_TEST

START_TEST(it_listens_at_an_ipv6_address)
{
	const char *environment[] = { "DYN_SYSTEM_HOST=[::1]", NULL };
	struct rig_setting setting = { .environment = environment };
	struct sockaddr_in6 a = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	char answer[65536];
	struct rig r;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		puts("skipped: this machine has no IPv6");
		return;
	}
	close(fd);
	rig_start(&r, &setting);
	ck_assert(rig_has_logged(&r, "http://[::1]:"));
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	a.sin6_port = htons(r.port);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	rig_write(fd, "GET /live HTTP/1.0\r\n\r\n", 22);
	rig_read_all(fd, answer, sizeof(answer));
	ck_assert_ptr_nonnull(strstr(answer, "200 OK"));
	close(fd);
	rig_stop(&r);
}
END_TEST

/* ---- Ending ------------------------------------------------------------ */

START_TEST(a_signal_ends_it_in_order_and_leaves_nothing)
{
	static const int numbers[] = { SIGTERM, SIGINT };

	for (size_t i = 0; i < 2; i++) {
		struct rig r;
		int worker;

		rig_start(&r, NULL);
		worker = rig_open(&r, SP_REQ);
		kill(r.pid, numbers[i]);
		rig_wait_ended(&r);
		rig_receive_end(worker);
		close(worker);
		ck_assert(rig_has_logged(&r, i ? "SIGINT" : "SIGTERM"));
		rig_remove(&r, NULL);
	}
}
END_TEST

START_TEST(what_was_sent_before_the_end_is_answered)
{
	for (int i = 0; i < 20; i++) {
		struct rig r;
		int fd;

		rig_start(&r, NULL);
		fd = rig_open(&r, SP_REQ);
		for (int k = 0; k < 10; k++)
			rig_send_text(fd, 1, ADD_ONE);
		kill(r.pid, SIGTERM);
		for (int k = 0; k < 10; k++)
			rig_receive_ok(fd, 1);
		rig_receive_end(fd);
		close(fd);
		rig_wait_ended(&r);
		rig_remove(&r, NULL);
	}
}
END_TEST

START_TEST(a_busy_worker_does_not_keep_it_from_ending)
{
	struct rig r;
	pid_t pid;

	rig_start(&r, NULL);
	pid = fork();
	if (pid == 0) {
		char reply[64];
		int fd = rig_open(&r, SP_REQ);

		for (int i = 0; i < 16; i++)
			rig_send_text(fd, 1, ADD_ONE);
		while (recv(fd, reply, sizeof(reply), 0) > 0 &&
		       send(fd, "", 0, MSG_NOSIGNAL) == 0)
			rig_send_text(fd, 1, ADD_ONE);
		_exit(0);
	}
	rig_wait_sample(&r, "dynamo_metricsd_connections", 1);
	kill(r.pid, SIGTERM);
	rig_wait_ended(&r);
	waitpid(pid, NULL, 0);
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(a_peer_that_takes_nothing_does_not_keep_it_from_ending)
{
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_REQ);
	/* More replies than the socket takes. */
	for (int i = 0; i < 20000; i++)
		rig_send_text(fd, 1, ADD_ONE);
	kill(r.pid, SIGTERM);
	rig_wait_ended(&r);
	close(fd);
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(a_second_signal_ends_it_at_once)
{
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_REQ);
	for (int i = 0; i < 20000; i++)
		rig_send_text(fd, 1, ADD_ONE);
	kill(r.pid, SIGTERM);
	kill(r.pid, SIGINT);
	rig_wait_ended(&r);
	/* Either may be handled first. */
	ck_assert(rig_has_logged(&r, "stopping at once: SIG"));
	close(fd);
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(hanging_up_does_not_end_it)
{
	struct rig r;

	rig_start(&r, NULL);
	kill(r.pid, SIGHUP);
	rig_wait_logged(&r, "SIGHUP");
	rig_count(&r, "n", 1);
	kill(r.pid, SIGPIPE);
	rig_count(&r, "n", 1);
	rig_stop(&r);
}
END_TEST

START_TEST(files_that_are_no_longer_ours_are_left)
{
	char port[256];
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	/* Another's, which somebody listens at, in one step: a file that is missing, or
	 * that nobody listens at, is made again. */
	rig_path(&r, "another.ipc", port, sizeof(port));
	fd = rig_bind_unix(port, SOCK_STREAM);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert_int_eq(rename(port, r.socket), 0);
	rig_path(&r, "http.port", port, sizeof(port));
	unlink(port);
	rig_write_file(port, "another's");
	kill(r.pid, SIGTERM);
	rig_wait_ended(&r);
	ck_assert(rig_exists(r.socket));
	ck_assert(rig_exists(port));
	close(fd);
	unlink(port);
	rig_remove(&r, "ingest.ipc");
}
END_TEST

START_TEST(turns_of_the_loop_are_timed)
{
	struct rig r;
	double busy;

	rig_start(&r, NULL);
	rig_count(&r, "n", 1);
	ck_assert_double_gt(rig_sample(&r, "dynamo_metricsd_loop_turn_seconds_count"), 0);
	busy = rig_sample(&r, "dynamo_metricsd_loop_turn_seconds_sum");
	/* Waiting is not in it. */
	rig_pause_ms(2000);
	ck_assert_double_lt(
	    rig_sample(&r, "dynamo_metricsd_loop_turn_seconds_sum"), busy + 2);
	rig_stop(&r);
}
END_TEST

START_TEST(an_idle_daemon_sleeps)
{
	struct rig r;
	double turns, cpu_seconds;

	rig_start(&r, NULL);
	rig_count(&r, "n", 1);
	turns = rig_sample(&r, "dynamo_metricsd_loop_turn_seconds_count");
	cpu_seconds = rig_cpu_seconds(&r);
	rig_pause_ms(1000);
	ck_assert_double_lt(rig_cpu_seconds(&r) - cpu_seconds, 0.5);
	ck_assert_double_lt(
	    rig_sample(&r, "dynamo_metricsd_loop_turn_seconds_count"), turns + 20);
	rig_stop(&r);
}
END_TEST

static void
add_tests(TCase *t)
{
	tcase_set_timeout(t, 60);
	tcase_add_test(
	    t, the_socket_is_for_its_owner_and_group_and_the_port_is_in_a_file);
	tcase_add_test(t, a_missing_folder_is_made);
	tcase_add_test(t, a_folder_that_cannot_be_made_is_said);
	tcase_add_test(t, the_port_file_can_be_elsewhere);
	tcase_add_test(t, the_port_file_is_in_the_runtime_folder);
	tcase_add_test(t, http_can_be_off);
	tcase_add_test(t, it_listens_at_an_ipv6_address);
	tcase_add_test(t, a_signal_ends_it_in_order_and_leaves_nothing);
	tcase_add_test(t, what_was_sent_before_the_end_is_answered);
	tcase_add_test(t, a_busy_worker_does_not_keep_it_from_ending);
	tcase_add_test(t, a_peer_that_takes_nothing_does_not_keep_it_from_ending);
	tcase_add_test(t, a_second_signal_ends_it_at_once);
	tcase_add_test(t, hanging_up_does_not_end_it);
	tcase_add_test(t, files_that_are_no_longer_ours_are_left);
	tcase_add_test(t, turns_of_the_loop_are_timed);
	tcase_add_test(t, an_idle_daemon_sleeps);
}

int
main(void)
{
	Suite *s = suite_create("server");
	TCase *t = tcase_create("server");

	add_tests(t);
	suite_add_tcase(s, t);
	return suite_run(s);
}
