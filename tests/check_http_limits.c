/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP clients that are slow, greedy, or too many. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "suite.h"

static const struct rig_setting quick = { .file = "{\"http\": {\"request_ms\": 400, "
						  "\"scrapes\": 2}}" };

/* ---- Requests ---------------------------------------------------------- */

START_TEST(headers_and_bodies_are_bounded)
{
	char *request = malloc(200000);
	char *answer;
	struct rig r;

	rig_start(&r, NULL);
	sprintf(request, "GET /live HTTP/1.1\r\nX: %0100000d\r\n\r\n", 0);
	answer = rig_request(&r, request);
	ck_assert(answer[0] == '\0' || strstr(answer, "400 Bad Request") != NULL);
	free(answer);
	sprintf(
	    request, "POST /live HTTP/1.1\r\nContent-Length: 100000\r\n\r\n%0100000d", 0);
	answer = rig_request(&r, request);
	ck_assert(answer[0] == '\0' || strstr(answer, "413 ") != NULL);
	free(answer);
	answer =
	    rig_request(&r, "POST /live HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
			    "ffffffffffffffff\r\nx");
	rig_check_says(answer, "HTTP/1.1 4");
	free(answer);
	answer = rig_get(&r, "/live");
	rig_check_says(answer, "200 OK");
	free(answer);
	free(request);
	rig_stop(&r);
}
END_TEST

/* evhttp's own time-out starts again with each byte. */
static void
send_slowly_until_cut(int fd)
{
	const char *request =
	    "GET /live HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	uint64_t began_ms = rig_now_ms();
	char byte;
	size_t i = 0;

	while (request[i] && send(fd, request + i, 1, MSG_NOSIGNAL) == 1 &&
	       recv(fd, &byte, 1, MSG_DONTWAIT) != 0) {
		rig_pause_ms(50);
		i++;
	}
	ck_assert_msg(request[i] != '\0', "%zu bytes were taken", i);
	ck_assert_uint_ge(rig_now_ms() - began_ms, 390);
}

START_TEST(a_request_must_come_within_its_time_byte_by_byte_or_not)
{
	char answer[4096];
	struct rig r;
	int fd;

	rig_start(&r, &quick);
	fd = rig_http(&r);
	send_slowly_until_cut(fd);
	close(fd);
	/* So must the second of a connection. */
	fd = rig_http(&r);
	rig_write(fd, "GET /live HTTP/1.1\r\nHost: h\r\n\r\n", 31);
	ck_assert_int_gt(recv(fd, answer, sizeof(answer), 0), 0);
	send_slowly_until_cut(fd);
	close(fd);
	rig_stop(&r);
}
END_TEST

START_TEST(an_idle_connection_is_closed_after_a_while)
{
	uint64_t began_ms;
	struct rig r;
	char answer[4096];
	int fd;

	rig_start(&r, &quick);
	fd = rig_http(&r);
	rig_write(fd, "GET /live HTTP/1.1\r\nHost: h\r\n\r\n", 31);
	began_ms = rig_now_ms();
	rig_read_all(fd, answer, sizeof(answer));
	rig_check_says(answer, "200 OK");
	ck_assert_uint_ge(rig_now_ms() - began_ms, 390);
	close(fd);
	rig_stop(&r);
}
END_TEST

/* Each request is in time, though all of them together take longer than one may. */
START_TEST(a_busy_connection_is_not_closed)
{
	struct rig r;
	char byte[4096];
	int fd;

	rig_start(&r, &quick);
	fd = rig_http(&r);
	for (int i = 0; i < 20; i++) {
		rig_write(fd, "GET /live HTTP/1.1\r\nHos", 23);
		rig_pause_ms(50);
		rig_write(fd, "t: h\r\n\r\n", 8);
		ck_assert_int_gt(recv(fd, byte, sizeof(byte), 0), 0);
	}
	close(fd);
	rig_stop(&r);
}
END_TEST

START_TEST(a_new_connection_takes_the_place_of_the_one_that_is_idle_for_longest)
{
	const struct rig_setting setting = { .file = "{\"http\": {\"connections\": 3, "
						     "\"request_ms\": 3600000}}" };
	struct rig r;
	char *answer;
	char byte;
	int fds[3];

	rig_start(&r, &setting);
	for (int i = 0; i < 3; i++) {
		fds[i] = rig_http(&r);
		rig_pause_ms(20);
	}
	answer = rig_get(&r, "/live");
	rig_check_says(answer, "200 OK");
	free(answer);
	ck_assert_int_eq(recv(fds[0], &byte, 1, 0), 0);
	ck_assert_int_eq(recv(fds[2], &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, EAGAIN);
	for (int i = 0; i < 30; i++) {
		answer = rig_get(&r, "/live");
		rig_check_says(answer, "200 OK");
		free(answer);
	}
	answer = rig_get(&r, "/metrics?name[]=dynamo_metricsd_connections_closed_total");
	rig_check_says(answer, "{cause=\"idle\",socket=\"http\"} ");
	free(answer);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	rig_stop(&r);
}
END_TEST

START_TEST(after_a_reload_with_less_connections_two_go_for_each_that_comes)
{
	enum { OLD = 8, NEW = 6 };
	const struct rig_setting setting = { .file = "{\"http\": {\"connections\": 9, "
						     "\"request_ms\": 3600000}}" };
	char answer[4096];
	struct rig r;
	int fds[OLD + NEW], left = 0;

	rig_start(&r, &setting);
	for (int i = 0; i < OLD + NEW; i++) {
		if (i == OLD)
			rig_reload(&r, "{\"http\": {\"connections\": 2, "
				       "\"request_ms\": 3600000}}");
		/* Those before it have been silent for long enough then. */
		rig_pause_ms(20);
		fds[i] = rig_http(&r);
		rig_write(fds[i], "GET /live HTTP/1.1\r\nHost: h\r\n\r\n", 31);
		ck_assert_int_gt(recv(fds[i], answer, sizeof(answer), 0), 0);
	}
	for (int i = 0; i < OLD + NEW; i++) {
		left += recv(fds[i], answer, sizeof(answer), MSG_DONTWAIT) < 0;
		close(fds[i]);
	}
	ck_assert_int_eq(left, 2);
	rig_stop(&r);
}
END_TEST

START_TEST(half_a_request_keeps_nobody_out)
{
	const struct rig_setting setting = { .file = "{\"http\": {\"connections\": 3, "
						     "\"request_ms\": 3600000}}" };
	struct rig r;
	char *answer;
	int fds[9];

	rig_start(&r, &setting);
	for (int i = 0; i < 9; i++) {
		fds[i] = rig_http(&r);
		send(fds[i], "GET /live HTTP/1.1\r\nX: ", 23, MSG_NOSIGNAL);
	}
	answer = rig_get(&r, "/live");
	rig_check_says(answer, "200 OK");
	free(answer);
	for (int i = 0; i < 9; i++)
		close(fds[i]);
	rig_stop(&r);
}
END_TEST

/* libevent would ask evhttp for ever whether it takes some of it, and end no turn. */
START_TEST(what_has_no_end_is_cut_and_stops_nobody)
{
	const struct rig_setting patient = { .file = "{\"http\": {\"request_ms\": "
						     "3600000}}" };
	const char *head = "POST /live HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;";
	char pad[1000], byte;
	struct rig r;
	int fd, worker;

	memset(pad, 'a', sizeof(pad));
	rig_start(&r, &patient);
	worker = rig_open(&r, SP_REQ);
	fd = rig_http(&r);
	rig_write(fd, head, strlen(head));
	for (int i = 0; i < 100; i++)
		send(fd, pad, sizeof(pad), MSG_NOSIGNAL);
	rig_send_text(worker, 1,
	    "{\"metrics\":[{\"name\":\"a_total\",\"type\":\"counter\",\"inc\":1}]}");
	rig_receive_ok(worker, 1);
	if (recv(fd, &byte, 1, 0) != 0)
		ck_assert_int_eq(errno, ECONNRESET);
	close(worker);
	close(fd);
	rig_stop(&r);
}
END_TEST

/* What others may read as two requests, or as another one. */
START_TEST(after_a_request_that_can_be_read_otherwise_the_connection_ends)
{
	static const char *const odd[] = {
		"Content-Length: 0\r\n",
		"Content-Length: 0\r\nContent-Length: 31\r\n",
		"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding : chunked\r\n",
		"X: y\r\n Content-Length: 31\r\n",
		"X: y\nContent-Length: 31\r\n",
		"X: y\rz\r\n",
		"X: \x01\r\n",
		"Upgrade: h2c\r\n",
		"Expect: something\r\n",
		"Host: other\r\n",
	};
	char request[500];
	struct rig r;
	char *answer;

	rig_start(&r, NULL);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		snprintf(request, sizeof(request),
		    "GET /live HTTP/1.1\r\nHost: h\r\n%s\r\n"
		    "GET /live HTTP/1.1\r\nHost: h\r\n\r\n",
		    odd[i]);
		answer = rig_request(&r, request);
		ck_assert_msg(strstr(answer, "\r\nConnection: close\r\n") != NULL,
		    "after %s comes %s", odd[i], answer);
		ck_assert_msg(
		    strstr(answer + 1, "HTTP/1.1 ") == NULL, "%s: %s", odd[i], answer);
		free(answer);
	}
	rig_stop(&r);
}
END_TEST

START_TEST(without_descriptors_it_waits_and_does_not_spin)
{
	enum { CLIENTS = 100 };
	const struct rig_setting setting = { .open_files = 40 };
	double cpu_seconds;
	struct rig r;
	char *answer;
	int fds[CLIENTS];

	rig_start(&r, &setting);
	for (int i = 0; i < CLIENTS; i++)
		fds[i] = rig_http(&r);
	rig_pause_ms(100);
	cpu_seconds = rig_cpu_seconds(&r);
	rig_pause_ms(1000);
	ck_assert_double_lt(rig_cpu_seconds(&r) - cpu_seconds, 0.25);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
	answer = rig_get(&r, "/live");
	rig_check_says(answer, "200 OK");
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(descriptors_are_back_after_many_clients)
{
	uint64_t began_ms = 0;
	struct rig r;
	size_t before;

	rig_start(&r, &quick);
	before = rig_open_files(&r);
	for (int i = 0; i < 300; i++) {
		int fd = rig_http(&r);

		if (i % 4 == 1)
			rig_write(fd, "GET /live HT", 12);
		if (i % 4 == 2)
			rig_write(fd, "GET /live HTTP/1.1\r\nHost: h\r\n\r\n", 31);
		if (i % 4 == 3)
			rig_write(fd, "garbage\r\n\r\n", 11);
		close(fd);
	}
	while (rig_open_files(&r) > before && rig_again(&began_ms, "all are closed"))
		;
	rig_stop(&r);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http_limits");
	TCase *t = tcase_create("http_limits");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, headers_and_bodies_are_bounded);
	tcase_add_test(t, a_request_must_come_within_its_time_byte_by_byte_or_not);
	tcase_add_test(t, an_idle_connection_is_closed_after_a_while);
	tcase_add_test(t, a_busy_connection_is_not_closed);
	tcase_add_test(
	    t, a_new_connection_takes_the_place_of_the_one_that_is_idle_for_longest);
	tcase_add_test(
	    t, after_a_reload_with_less_connections_two_go_for_each_that_comes);
	tcase_add_test(t, half_a_request_keeps_nobody_out);
	tcase_add_test(t, what_has_no_end_is_cut_and_stops_nobody);
	tcase_add_test(t, after_a_request_that_can_be_read_otherwise_the_connection_ends);
	tcase_add_test(t, without_descriptors_it_waits_and_does_not_spin);
	tcase_add_test(t, descriptors_are_back_after_many_clients);
	suite_add_tcase(s, t);
	return suite_run(s);
}
