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

START_TEST(more_connections_than_allowed_wait_their_turn)
{
	const struct rig_setting setting = { .file = "{\"http\": {\"connections\": 3, "
						     "\"request_ms\": 1000}}" };
	uint64_t began_ms;
	struct rig r;
	char *answer;
	int fds[3];

	rig_start(&r, &setting);
	began_ms = rig_now_ms();
	for (int i = 0; i < 3; i++)
		fds[i] = rig_http(&r);
	/* Accepted when the idle ones are closed. */
	answer = rig_get(&r, "/live");
	rig_check_says(answer, "200 OK");
	ck_assert_uint_ge(rig_now_ms() - began_ms, 990);
	free(answer);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	for (int i = 0; i < 30; i++) {
		answer = rig_get(&r, "/live");
		rig_check_says(answer, "200 OK");
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
	tcase_add_test(t, more_connections_than_allowed_wait_their_turn);
	tcase_add_test(t, without_descriptors_it_waits_and_does_not_spin);
	tcase_add_test(t, descriptors_are_back_after_many_clients);
	suite_add_tcase(s, t);
	return suite_run(s);
}
