/* SPDX-License-Identifier: Apache-2.0 */
/* Scrapes of pages longer than a slice, by clients that are quick, slow or gone. */
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

/* How many lines begin like this. Not by strstr(): where a sanitizer checks it, each call
 * reads the whole page.
 */
static size_t
count_lines(const char *page, const char *start)
{
	size_t n = 0, size = strlen(start);

	for (const char *line = page; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		n += strncmp(line, start, size) == 0;
	}
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

START_TEST(a_long_page_comes_whole_in_chunks_and_without)
{
	const char *kept =
	    "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	char *chunked, *plain;
	struct rig r;

	rig_start(&r, NULL);
	fill(&r);
	chunked = rig_request(&r, kept);
	rig_check_says(chunked, "Transfer-Encoding: chunked\r\n");
	rig_check_says(
	    chunked, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	rig_join_chunks(strstr(chunked, "\r\n\r\n") + 4);
	ck_assert_uint_eq(count_lines(chunked, "dynamo_big{"), SERIES);
	plain = rig_request(&r, "GET /metrics HTTP/1.0\r\n\r\n");
	ck_assert(strstr(plain, "chunked") == NULL);
	ck_assert_uint_eq(count_lines(plain, "dynamo_big{"), SERIES);
	rig_check_says(chunked, "\nprocess_virtual_memory_bytes ");
	rig_check_says(plain, "\nprocess_virtual_memory_bytes ");
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
	rig_check_says(answer, "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n");
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
	rig_check_says(answer + n - 5, "0\r\n\r\n");
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

START_TEST(scrapers_that_stall_keep_nobody_waiting)
{
	enum { STALLED = 20 };
	const struct rig_setting two = { .file = "{\"http\": {\"scrapes\": 2, "
						 "\"request_ms\": 3600000}}" };
	struct rig r;
	char *answer;
	int fds[STALLED];

	rig_start(&r, &two);
	fill(&r);
	for (int i = 0; i < STALLED; i++)
		fds[i] = stall(&r);
	answer = rig_request(
	    &r, "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
	rig_join_chunks(strstr(answer, "\r\n\r\n") + 4);
	ck_assert_uint_eq(count_lines(answer, "dynamo_big{"), SERIES);
	free(answer);
	for (int i = 0; i < STALLED; i++)
		close(fds[i]);
	rig_stop(&r);
}
END_TEST

START_TEST(many_scrapes_at_once_all_get_their_pages)
{
	enum { MANY = 30 };
	/* The last one takes nothing until all others have their pages. */
	const struct rig_setting two = { .file = "{\"http\": {\"scrapes\": 2, "
						 "\"request_ms\": 3600000}}" };
	char *answer = malloc(ROOM);
	struct rig r;
	int fds[MANY];

	rig_start(&r, &two);
	fill(&r);
	for (int i = 0; i < MANY; i++) {
		const char *request = "GET /metrics HTTP/1.0\r\n\r\n";

		fds[i] = rig_http(&r);
		rig_write(fds[i], request, strlen(request));
	}
	for (int i = 0; i < MANY; i++) {
		rig_read_all(fds[i], answer, ROOM);
		rig_check_says(answer, "200 OK");
		ck_assert_uint_eq(count_lines(answer, "dynamo_big{"), SERIES);
		close(fds[i]);
	}
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(when_pages_hold_too_much_a_client_that_stalls_is_cut_off)
{
	enum { STALLED = 60 };
	const struct rig_setting little = {
		.file = "{\"http\": {\"buffered_bytes\": 4194304, "
			"\"request_ms\": 3600000}}"
	};
	struct rig r;
	char *answer;
	int fds[STALLED];

	rig_start(&r, &little);
	fill(&r);
	for (int i = 0; i < STALLED; i++)
		fds[i] = stall(&r);
	rig_wait_logged(&r, "http.buffered_bytes is 4194304");
	wait_scrapes(&r);
	answer = rig_get(&r, "/metrics?name[]=dynamo_metricsd_connections_closed_total");
	rig_check_says(answer, "{cause=\"buffered\",socket=\"http\"}");
	free(answer);
	for (int i = 0; i < STALLED; i++)
		close(fds[i]);
	rig_stop(&r);
}
END_TEST

START_TEST(a_scraper_that_stalls_is_cut_and_a_slow_one_is_not)
{
	const struct rig_setting patient = { .file =
						 "{\"http\": {\"request_ms\": 1500}}" };
	char *answer = malloc(ROOM);
	struct rig r;
	uint64_t began_ms = 0;
	size_t before, n = 0;
	int stalled, slow;

	rig_start(&r, &patient);
	fill(&r);
	before = rig_open_files(&r);
	stalled = stall(&r);
	slow = scrape(&r, 128 << 10);
	/* Longer than request_ms in all, with progress all the time. */
	while (n < (2 << 20)) {
		ssize_t got = read(slow, answer + n, 65536);

		ck_assert_int_gt(got, 0);
		n += (size_t)got;
		rig_pause_ms(60);
	}
	n += rig_read_all(slow, answer + n, 3 << 20);
	answer[n] = '\0';
	rig_check_says(answer + n - 5, "0\r\n\r\n");
	rig_wait_logged(&r, "took nothing for 1500 ms");
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
	rig_check_says(answer + n - 5, "0\r\n\r\n");
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

int
main(void)
{
	Suite *s = suite_create("http_scrapes");
	TCase *c = tcase_create("http_scrapes");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_long_page_comes_whole_in_chunks_and_without);
	tcase_add_test(c, a_connection_stays_in_step_after_a_long_page);
	tcase_add_test(c, a_long_page_is_whole_for_a_client_that_has_closed_its_side);
	tcase_add_test(c, a_page_that_was_cut_off_is_no_loss);
	tcase_add_test(c, scrapers_that_stall_keep_nobody_waiting);
	tcase_add_test(c, many_scrapes_at_once_all_get_their_pages);
	tcase_add_test(c, when_pages_hold_too_much_a_client_that_stalls_is_cut_off);
	tcase_add_test(c, a_scraper_that_stalls_is_cut_and_a_slow_one_is_not);
	tcase_add_test(c, a_page_that_is_being_taken_when_it_ends_is_whole);
	tcase_add_test(c, stalled_scrapes_cost_a_slice_of_memory_each);
	suite_add_tcase(s, c);
	return suite_run(s);
}
