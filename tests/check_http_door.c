/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP on a Unix socket, and who is still answered when it ends. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "rig.h"
#include "suite.h"

#define ASK_LIVE "GET /live HTTP/1.1\r\nHost: test\r\n\r\n"

/* ---- HTTP on a Unix socket ---------------------------------------------- */

static int
connect_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = RIG_SECONDS };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void
ask_unix(const char *path, const char *what, const char *answer_has)
{
	static char answer[1 << 18];
	char request[256];
	int fd = connect_unix(path);

	snprintf(request, sizeof(request),
	    "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", what);
	rig_write(fd, request, strlen(request));
	rig_read_all(fd, answer, sizeof(answer));
	rig_check_says(answer, answer_has);
	close(fd);
}

START_TEST(http_listens_on_a_unix_socket)
{
	char path[256], variable[300], text[300];
	const char *environment[] = { variable, NULL };
	struct rig_setting setting = { .environment = environment };
	struct rig r;

	rig_make(&r);
	rig_path(&r, "h.sock", path, sizeof(path));
	snprintf(variable, sizeof(variable), "DYN_SYSTEM_HOST=unix:%s", path);
	rig_serve(&r, &setting);
	ck_assert_uint_eq(rig_mode(path), 0660);
	ask_unix(path, "/live", "HTTP/1.1 200 OK");
	ask_unix(path, "/health", "\"problems\":[]");
	ask_unix(path, "/metrics",
	    "dynamo_system_http_requests_total{code=\"200\",path=\"/live\"} 1");
	snprintf(text, sizeof(text), "HTTP at unix:%s\n", path);
	ck_assert(rig_has_logged(&r, text));
	rig_path(&r, "http.port", text, sizeof(text));
	ck_assert(!rig_exists(text));
	/* It leaves neither a socket nor a lock. */
	rig_stop(&r);
}
END_TEST

START_TEST(a_stale_socket_of_http_is_taken_over_and_another_file_is_not)
{
	char path[256], variable[300];
	const char *environment[] = { variable, NULL };
	struct rig_setting setting = { .environment = environment };
	struct rig r;

	rig_make(&r);
	rig_path(&r, "h.sock", path, sizeof(path));
	snprintf(variable, sizeof(variable), "DYN_SYSTEM_HOST=unix:%s", path);
	rig_write_file(path, "mine");
	rig_check_says(rig_fail(&r, &setting), "another address (DYN_SYSTEM_HOST)");
	unlink(path);
	close(rig_bind_unix(path, SOCK_STREAM));
	rig_serve(&r, &setting);
	ask_unix(path, "/live", "200 OK");
	rig_stop(&r);
}
END_TEST

/* ---- The end of HTTP ---------------------------------------------------- */

/* Wait until the daemon has so many descriptors more. */
static void
wait_accepted(const struct rig *r, size_t before)
{
	uint64_t began_ms = 0;

	while (rig_open_files(r) <= before && rig_again(&began_ms, "it is accepted"))
		;
}

START_TEST(who_was_accepted_and_asks_at_the_end_is_answered)
{
	char answer[4096];
	size_t before;
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	before = rig_open_files(&r);
	fd = rig_http(&r);
	wait_accepted(&r, before);
	kill(r.pid, SIGTERM);
	rig_wait_logged(&r, "stopping: SIGTERM");
	rig_write(fd, ASK_LIVE, strlen(ASK_LIVE));
	rig_read_all(fd, answer, sizeof(answer));
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 200", 12), 0);
	rig_check_says(answer, "\r\nConnection: close\r\n");
	close(fd);
	rig_wait_ended(&r);
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(who_waits_to_be_accepted_is_answered_before_the_end)
{
	char answer[4096];
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	kill(r.pid, SIGSTOP);
	/* Connected, as far as the client can see. */
	fd = rig_http(&r);
	kill(r.pid, SIGTERM);
	kill(r.pid, SIGCONT);
	rig_write(fd, ASK_LIVE, strlen(ASK_LIVE));
	rig_read_all(fd, answer, sizeof(answer));
	ck_assert_int_eq(strncmp(answer, "HTTP/1.1 200", 12), 0);
	close(fd);
	rig_wait_ended(&r);
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(who_was_accepted_and_asks_nothing_does_not_keep_it_from_ending)
{
	size_t before;
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	before = rig_open_files(&r);
	fd = rig_http(&r);
	wait_accepted(&r, before);
	kill(r.pid, SIGTERM);
	rig_wait_ended(&r);
	close(fd);
	rig_remove(&r, NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http_door");
	TCase *t = tcase_create("http_door");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, http_listens_on_a_unix_socket);
	tcase_add_test(t, a_stale_socket_of_http_is_taken_over_and_another_file_is_not);
	tcase_add_test(t, who_was_accepted_and_asks_at_the_end_is_answered);
	tcase_add_test(t, who_waits_to_be_accepted_is_answered_before_the_end);
	tcase_add_test(t, who_was_accepted_and_asks_nothing_does_not_keep_it_from_ending);
	suite_add_tcase(s, t);
	return suite_run(s);
}
