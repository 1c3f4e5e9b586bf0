/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP clients that are slow, greedy or gone, and pages longer than a slice. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "suite.h"

#define SERIES	       4000
#define SERIES_AT_ONCE 50
#define PAD_BYTES      1000
#define ROOM	       (8 << 20)

static const struct rig_setting quick = { .file = "{\"http\": {\"request_ms\": 400, "
						  "\"scrapes\": 2}}" };

static bool
has(const char *answer, const char *part)
{
	return strstr(answer, part) != NULL;
}

#define check_has(answer, part) \
	ck_assert_msg(has(answer, part), "no %s in: %.400s", part, answer)

/* About 4 MB of page: the counter big{i="0".."3999"}, with a long label each. */
static void
fill(const struct rig *r)
{
	char *json = malloc(1 << 17);
	int fd = rig_open(r, SP_REQ);

	for (int i = 0; i < SERIES; i += SERIES_AT_ONCE) {
		size_t n = 0;

		n += (size_t)sprintf(json, "{\"metrics\":[");
		for (int k = i; k < i + SERIES_AT_ONCE; k++)
			n += (size_t)sprintf(json + n,
			    "%s{\"name\":\"big\",\"type\":\"counter\",\"inc\":1,"
			    "\"labels\":{\"i\":\"%d\",\"pad\":\"%0*d\"}}",
			    k > i ? "," : "", k, PAD_BYTES, 0);
		sprintf(json + n, "],\"namespace\":\"big\"}");
		rig_send_text(fd, 1, json);
		rig_receive_ok(fd, 1);
	}
	close(fd);
	free(json);
}

/* Wait until scrapes are answered: one of a level that has nothing. */
static void
wait_scrapes(const struct rig *r)
{
	uint64_t began_ms = 0;
	bool answered = false;

	while (!answered && rig_again(&began_ms, "a scrape is answered")) {
		char *answer = rig_get(r, "/metrics?namespace=nothing");

		answered = strstr(answer, "200 OK") != NULL;
		free(answer);
	}
}

static size_t
count_lines(const char *page, const char *start)
{
	size_t n = 0;

	for (const char *at = page; (at = strstr(at, start)) != NULL; at++)
		n++;
	return n;
}

/* A scrape whose answer is not read, with a small window. */
static int
scrape(const struct rig *r, int window_bytes)
{
	const char *request = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n";
	int bytes = window_bytes;
	int fd = rig_http(r);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	rig_write(fd, request, strlen(request));
	return fd;
}

/* One that stalls soon. */
static int
stall(const struct rig *r)
{
	return scrape(r, 4096);
}

/* ---- Long pages -------------------------------------------------------- */

START_TEST(a_long_page_comes_whole_in_chunks_and_without)
{
	const char *kept =
	    "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	char *chunked, *plain;
	struct rig r;

	rig_start(&r, NULL);
	fill(&r);
	chunked = rig_request(&r, kept);
	check_has(chunked, "Transfer-Encoding: chunked\r\n");
	check_has(chunked, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	rig_join_chunks(strstr(chunked, "\r\n\r\n") + 4);
	ck_assert_uint_eq(count_lines(chunked, "\ndynamo_big{"), SERIES);
	plain = rig_request(&r, "GET /metrics HTTP/1.0\r\n\r\n");
	ck_assert(!has(plain, "chunked"));
	ck_assert_uint_eq(count_lines(plain, "\ndynamo_big{"), SERIES);
	check_has(chunked, "\nprocess_virtual_memory_bytes ");
	check_has(plain, "\nprocess_virtual_memory_bytes ");
	free(chunked);
	free(plain);
	rig_stop(&r);
}
END_TEST

START_TEST(a_connection_stays_in_step_after_a_long_page)
{
	const char *two = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
			  "GET /live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	char *answer = malloc(ROOM);
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fill(&r);
	fd = rig_http(&r);
	rig_write(fd, two, strlen(two));
	rig_read_all(fd, answer, ROOM);
	check_has(answer, "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n");
	close(fd);
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(a_long_page_is_whole_for_a_client_that_has_closed_its_side)
{
	char *answer = malloc(ROOM);
	struct rig r;
	size_t n;
	int fd;

	rig_start(&r, NULL);
	fill(&r);
	fd = scrape(&r, 128 << 10);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	rig_pause_ms(100);
	n = rig_read_all(fd, answer, ROOM);
	ck_assert_uint_gt(n, SERIES * PAD_BYTES);
	check_has(answer + n - 5, "0\r\n\r\n");
	close(fd);
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(a_page_that_was_cut_off_is_no_loss)
{
	struct rig r;
	uint64_t began_ms = 0;
	size_t before;

	rig_start(&r, &quick);
	fill(&r);
	before = rig_open_files(&r);
	for (int i = 0; i < 100; i++) {
		char part[1000];
		int fd = stall(&r);

		if (i % 2)
			ck_assert_int_gt(read(fd, part, sizeof(part)), 0);
		close(fd);
		/* Its slot is free at once: there are but two. */
		if (i % 10 == 9)
			wait_scrapes(&r);
	}
	while (rig_open_files(&r) > before && rig_again(&began_ms, "all are closed"))
		;
	rig_stop(&r);
}
END_TEST

START_TEST(more_scrapes_than_allowed_are_told_to_come_back)
{
	const struct rig_setting two = { .file = "{\"http\": {\"scrapes\": 2}}" };
	uint64_t began_ms = 0;
	struct rig r;
	char *answer;
	int first, second;

	rig_start(&r, &two);
	fill(&r);
	first = stall(&r);
	second = stall(&r);
	answer = rig_get(&r, "/metrics");
	while (!has(answer, "503 Service Unavailable") &&
	       rig_again(&began_ms, "both slots are taken")) {
		free(answer);
		answer = rig_get(&r, "/metrics");
	}
	check_has(answer, "Retry-After: 1\r\n");
	check_has(answer, "http.scrapes");
	free(answer);
	answer = rig_get(&r, "/live");
	check_has(answer, "200 OK");
	free(answer);
	close(first);
	close(second);
	wait_scrapes(&r);
	rig_stop(&r);
}
END_TEST

START_TEST(a_reload_changes_how_many_scrapes_are_answered)
{
	const struct rig_setting two = { .file = "{\"http\": {\"scrapes\": 2, "
						 "\"request_ms\": 3600000}}" };
	uint64_t began_ms = 0;
	struct rig r;
	int stalled[2];
	bool full = false;

	rig_start(&r, &two);
	fill(&r);
	for (size_t i = 0; i < 2; i++)
		stalled[i] = stall(&r);
	while (!full && rig_again(&began_ms, "both slots are taken")) {
		char *answer = rig_get(&r, "/metrics?namespace=nothing");

		full = has(answer, "503 Service Unavailable");
		free(answer);
	}
	rig_reload(&r, "{\"http\": {\"scrapes\": 3, \"request_ms\": 3600000}}");
	wait_scrapes(&r);
	for (size_t i = 0; i < 2; i++)
		close(stalled[i]);
	rig_stop(&r);
}
END_TEST

START_TEST(a_scraper_that_stalls_is_cut_and_a_slow_one_is_not)
{
	char *answer = malloc(ROOM);
	struct rig r;
	uint64_t began_ms = 0;
	size_t before, n = 0;
	int stalled, slow;

	rig_start(&r, &quick);
	fill(&r);
	before = rig_open_files(&r);
	stalled = stall(&r);
	slow = scrape(&r, 128 << 10);
	/* Longer than request_ms in all, with progress all the time. */
	while (n < (2 << 20)) {
		ssize_t got = read(slow, answer + n, 65536);

		ck_assert_int_gt(got, 0);
		n += (size_t)got;
		rig_pause_ms(30);
	}
	n += rig_read_all(slow, answer + n, 3 << 20);
	answer[n] = '\0';
	check_has(answer + n - 5, "0\r\n\r\n");
	rig_wait_logged(&r, "took nothing for 400 ms");
	while (rig_open_files(&r) > before && rig_again(&began_ms, "it is closed"))
		;
	close(stalled);
	close(slow);
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(a_page_that_is_being_taken_when_it_ends_is_whole)
{
	char *answer = malloc(ROOM);
	struct rig r;
	uint64_t ended_ms;
	size_t n = 0;
	int fd;

	rig_start(&r, NULL);
	fill(&r);
	fd = scrape(&r, 128 << 10);
	ck_assert_int_gt(read(fd, answer, 1), 0);
	n++;
	kill(r.pid, SIGTERM);
	ended_ms = rig_now_ms();
	/* Longer than who takes nothing has, */
	while (rig_now_ms() - ended_ms < 2500) {
		ssize_t got = read(fd, answer + n, 32768);

		ck_assert_int_gt(got, 0);
		n += (size_t)got;
		rig_pause_ms(50);
	}
	/* and then at once. */
	n += rig_read_all(fd, answer + n, ROOM - n);
	answer[n] = '\0';
	check_has(answer + n - 5, "0\r\n\r\n");
	close(fd);
	free(answer);
	rig_wait_ended(&r);
	rig_remove(&r, NULL);
}
END_TEST

START_TEST(stalled_scrapes_cost_a_slice_of_memory_each)
{
	const struct rig_setting ten = { .file = "{\"http\": {\"scrapes\": 10}}" };
	struct rig r;
	size_t before;
	int fds[10];

	rig_start(&r, &ten);
	fill(&r);
	free(rig_get(&r, "/metrics"));
	before = rig_resident_bytes(&r);
	for (int i = 0; i < 10; i++)
		fds[i] = stall(&r);
	rig_pause_ms(300);
	ck_assert_uint_lt(rig_resident_bytes(&r), before + 10 * (512 << 10));
	for (int i = 0; i < 10; i++)
		close(fds[i]);
	rig_stop(&r);
}
END_TEST

/* ---- Requests ---------------------------------------------------------- */

START_TEST(headers_and_bodies_are_bounded)
{
	char *request = malloc(200000);
	char *answer;
	struct rig r;

	rig_start(&r, NULL);
	sprintf(request, "GET /live HTTP/1.1\r\nX: %0100000d\r\n\r\n", 0);
	answer = rig_request(&r, request);
	ck_assert(answer[0] == '\0' || has(answer, "400 Bad Request"));
	free(answer);
	sprintf(
	    request, "POST /live HTTP/1.1\r\nContent-Length: 100000\r\n\r\n%0100000d", 0);
	answer = rig_request(&r, request);
	ck_assert(answer[0] == '\0' || has(answer, "413 "));
	free(answer);
	answer =
	    rig_request(&r, "POST /live HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
			    "ffffffffffffffff\r\nx");
	check_has(answer, "HTTP/1.1 4");
	free(answer);
	answer = rig_get(&r, "/live");
	check_has(answer, "200 OK");
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
	check_has(answer, "200 OK");
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
	check_has(answer, "200 OK");
	ck_assert_uint_ge(rig_now_ms() - began_ms, 990);
	free(answer);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	for (int i = 0; i < 30; i++) {
		answer = rig_get(&r, "/live");
		check_has(answer, "200 OK");
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
	check_has(answer, "200 OK");
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
	tcase_add_test(t, a_long_page_comes_whole_in_chunks_and_without);
	tcase_add_test(t, a_connection_stays_in_step_after_a_long_page);
	tcase_add_test(t, a_long_page_is_whole_for_a_client_that_has_closed_its_side);
	tcase_add_test(t, a_page_that_was_cut_off_is_no_loss);
	tcase_add_test(t, more_scrapes_than_allowed_are_told_to_come_back);
	tcase_add_test(t, a_reload_changes_how_many_scrapes_are_answered);
	tcase_add_test(t, a_scraper_that_stalls_is_cut_and_a_slow_one_is_not);
	tcase_add_test(t, a_page_that_is_being_taken_when_it_ends_is_whole);
	tcase_add_test(t, stalled_scrapes_cost_a_slice_of_memory_each);
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
