/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP door, with a real daemon behind it: routes, methods, health. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "suite.h"

#define PAGE_TYPE "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"

static bool
has(const char *answer, const char *part)
{
	return strstr(answer, part) != NULL;
}

static const char *
body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	ck_assert_msg(end != NULL, "no end of headers: %s", answer);
	return end + 4;
}

#define check_has(answer, part) \
	ck_assert_msg(has(answer, part), "no %s in: %s", part, answer)

/* ---- Routes ------------------------------------------------------------ */

START_TEST(the_page_has_the_type_that_prometheus_wants)
{
	struct rig r;
	char *answer;

	rig_start(&r, NULL);
	answer = rig_get(&r, "/metrics");
	check_has(answer, "HTTP/1.1 200 OK\r\n");
	check_has(answer, PAGE_TYPE);
	check_has(answer, "\n# TYPE dynamo_system_uptime_seconds counter\n");
	check_has(answer, "\ndynamo_system_uptime_seconds{namespace=\"dynamo\"} ");
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(the_figures_of_the_process_are_true)
{
	struct rig r;
	double resident, files;

	rig_start(&r, NULL);
	ck_assert_double_gt(rig_sample(&r, "process_start_time_seconds"), 1e9);
	ck_assert_double_gt(rig_sample(&r, "process_virtual_memory_bytes"), 1e6);
	resident = (double)rig_resident_bytes(&r);
	if (resident > 0) {
		double shown = rig_sample(&r, "process_resident_memory_bytes");

		ck_assert_double_gt(shown, 0.3 * resident);
		ck_assert_double_lt(shown, 3 * resident);
	}
	/* Connections of the scrapes themselves come and go. */
	files = rig_sample(&r, "process_open_fds");
	ck_assert_double_ge(files, 6);
	ck_assert_double_lt(files, (double)rig_open_files(&r) + 16);
	ck_assert_double_ge(rig_sample(&r, "process_max_fds"), 64);
	ck_assert_double_ge(rig_sample(&r, "process_cpu_seconds_total"), 0);
	rig_stop(&r);
}
END_TEST

static const struct {
	const char *request;
	const char *status;
	const char *part;
} requests[] = {
	{ "GET / HTTP/1.0\r\n\r\n", "200 OK", "/metrics" },
	{ "GET /metrics HTTP/1.0\r\n\r\n", "200 OK", PAGE_TYPE },
	{ "GET /metrics?x=1&y HTTP/1.0\r\n\r\n", "200 OK", PAGE_TYPE },
	{ "GET /%6detrics HTTP/1.0\r\n\r\n", "200 OK", PAGE_TYPE },
	{ "GET http://h/metrics HTTP/1.0\r\n\r\n", "200 OK", PAGE_TYPE },
	{ "GET /metrics?component=a HTTP/1.0\r\n\r\n", "400 Bad Request",
	    "component= needs namespace=" },
	{ "GET /live HTTP/1.0\r\n\r\n", "200 OK", "Content-Type: application/json\r\n" },
	{ "GET /health HTTP/1.0\r\n\r\n", "200 OK",
	    "Content-Type: application/json\r\n" },
	{ "GET /nothing HTTP/1.0\r\n\r\n", "404 Not Found", "\r\n\r\nRoute not found" },
	{ "GET /metrics/ HTTP/1.0\r\n\r\n", "404 Not Found", "Route not found" },
	{ "GET //metrics HTTP/1.0\r\n\r\n", "404 Not Found", "Route not found" },
	{ "GET /metrics%00 HTTP/1.0\r\n\r\n", "404 Not Found", "Route not found" },
	{ "GET * HTTP/1.0\r\n\r\n", "404 Not Found", "Route not found" },
	{ "POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
	    "405 Method Not Allowed", "Allow: GET, HEAD\r\n" },
	{ "PUT /live HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed",
	    "Allow: GET, HEAD\r\n" },
	{ "DELETE /nothing HTTP/1.0\r\n\r\n", "405 Method Not Allowed",
	    "Allow: GET, HEAD\r\n" },
	{ "OPTIONS / HTTP/1.0\r\n\r\n", "405 Method Not Allowed",
	    "Allow: GET, HEAD\r\n" },
	{ "PATCH / HTTP/1.0\r\n\r\n", "405 Method Not Allowed", "Allow: GET, HEAD\r\n" },
	{ "TRACE / HTTP/1.0\r\n\r\n", "405 Method Not Allowed", "Allow: GET, HEAD\r\n" },
	{ "BREW / HTTP/1.0\r\n\r\n", "501 Not Implemented", "" },
	{ "GET /\r\n\r\n", "400 Bad Request", "" },
	{ "GET / HTTP/9.9\r\n\r\n", "400 Bad Request", "" },
	{ "\x16\x03\x01\x02\r\n\r\n", "400 Bad Request", "" },
};

START_TEST(each_request_has_its_answer)
{
	struct rig r;

	rig_start(&r, NULL);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		char *answer = rig_request(&r, requests[i].request);
		size_t n = strlen(requests[i].status);

		ck_assert_msg(strncmp(answer, "HTTP/1.", 7) == 0 &&
				  strncmp(answer + 9, requests[i].status, n) == 0,
		    "%s: %s", requests[i].request, answer);
		check_has(answer, requests[i].part);
		free(answer);
	}
	rig_stop(&r);
}
END_TEST

START_TEST(paths_of_health_can_be_moved)
{
	const char *const environment[] = { "DYN_SYSTEM_HEALTH_PATH=/ready",
		"DYN_SYSTEM_LIVE_PATH=/alive/now", NULL };
	const struct rig_setting setting = { .environment = environment };
	struct rig r;
	char *answer;

	rig_start(&r, &setting);
	answer = rig_get(&r, "/ready");
	check_has(answer, "200 OK");
	free(answer);
	answer = rig_get(&r, "/alive/now");
	check_has(answer, "200 OK");
	free(answer);
	answer = rig_get(&r, "/health");
	check_has(answer, "404 Not Found");
	free(answer);
	answer = rig_get(&r, "/");
	check_has(answer, "\n/ready ");
	check_has(answer, "\n/alive/now ");
	free(answer);
	rig_stop(&r);
}
END_TEST

/* ---- Health ------------------------------------------------------------ */

START_TEST(health_is_json_with_status_uptime_and_endpoints)
{
	struct rig r;
	char *answer;
	unsigned long seconds, nanoseconds;

	rig_start(&r, NULL);
	answer = rig_get(&r, "/health");
	ck_assert_int_eq(sscanf(body_of(answer),
			     "{\"status\":\"ready\",\"uptime\":{\"secs\":%lu,"
			     "\"nanos\":%lu},\"endpoints\":{}}",
			     &seconds, &nanoseconds),
	    2);
	ck_assert_uint_lt(seconds, 60);
	ck_assert_uint_lt(nanoseconds, 1000000000);
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(the_starting_status_is_told_until_a_worker_is_there)
{
	const char *const environment[] = { "DYN_SYSTEM_STARTING_HEALTH_STATUS=notready",
		NULL };
	const struct rig_setting setting = { .environment = environment };
	struct rig r;
	char *answer;

	rig_start(&r, &setting);
	answer = rig_get(&r, "/health");
	check_has(answer, "HTTP/1.1 503 Service Unavailable\r\n");
	check_has(answer, "{\"status\":\"notready\",");
	free(answer);
	answer = rig_get(&r, "/live");
	check_has(answer, "HTTP/1.1 200 OK\r\n");
	check_has(answer, "{\"status\":\"ready\",");
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(health_waits_for_the_endpoints_that_are_asked_for)
{
	const char *const environment[] = {
		"DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[\"generate\",\"a\\\"b\"]", NULL
	};
	const struct rig_setting setting = { .environment = environment };
	struct rig r;
	char *answer;

	rig_start(&r, &setting);
	answer = rig_get(&r, "/health");
	check_has(answer, "503 Service Unavailable");
	check_has(
	    answer, "\"endpoints\":{\"generate\":\"notready\",\"a\\\"b\":\"notready\"}");
	check_has(answer, ",\"problems\":[]}");
	free(answer);
	answer = rig_get(&r, "/live");
	check_has(answer, "200 OK");
	free(answer);
	rig_stop(&r);
}
END_TEST

/* ---- Connections ------------------------------------------------------- */

/* Read one answer with a length from a connection that stays open. */
static void
read_answer(int fd, bool has_body, char *out, size_t room)
{
	size_t n = 0, body;
	const char *length;

	out[0] = '\0';
	while (!has(out, "\r\n\r\n")) {
		ck_assert_int_eq(read(fd, out + n, 1), 1);
		out[++n] = '\0';
	}
	length = strstr(out, "Content-Length: ");
	body = has_body && length ? strtoul(length + 16, NULL, 10) : 0;
	ck_assert_uint_lt(n + body, room);
	while (body > 0) {
		ssize_t got = read(fd, out + n, body);

		ck_assert_int_gt(got, 0);
		n += (size_t)got;
		body -= (size_t)got;
	}
	out[n] = '\0';
}

START_TEST(head_has_no_body_and_the_connection_stays_in_step)
{
	static const char *const paths[] = { "/live", "/metrics", "/", "/nothing" };
	char *answer = malloc(1 << 20);
	char request[128];
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_http(&r);
	for (size_t i = 0; i < 4; i++) {
		snprintf(request, sizeof(request), "HEAD %s HTTP/1.1\r\nHost: h\r\n\r\n",
		    paths[i]);
		rig_write(fd, request, strlen(request));
		read_answer(fd, false, answer, 1 << 20);
		check_has(answer, i == 3 ? "404 Not Found" : "200 OK");
		check_has(answer, "Content-Type: ");
		snprintf(
		    request, sizeof(request), "GET /live HTTP/1.1\r\nHost: h\r\n\r\n");
		rig_write(fd, request, strlen(request));
		read_answer(fd, true, answer, 1 << 20);
		ck_assert_int_eq(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17), 0);
		ck_assert_int_eq(strncmp(body_of(answer), "{\"status\":", 10), 0);
	}
	close(fd);
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(requests_in_one_write_are_answered_in_order)
{
	const char *five = "GET /live HTTP/1.1\r\nHost: h\r\n\r\n"
			   "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
			   "HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
			   "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
			   "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	static const char *const parts[] = { "{\"status\"", "# TYPE", "",
		"Route not found" };
	char *answer = malloc(1 << 20);
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_http(&r);
	rig_write(fd, five, strlen(five));
	for (size_t i = 0; i < 4; i++) {
		read_answer(fd, i != 2, answer, 1 << 20);
		check_has(body_of(answer), parts[i]);
	}
	rig_read_all(fd, answer, 1 << 20);
	check_has(answer, "dynamo-metricsd\n");
	close(fd);
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(a_client_that_has_closed_its_side_gets_its_answer)
{
	static const char *const wanted[] = { "/metrics", "/live" };
	char *answer = malloc(1 << 20);
	struct rig r;

	rig_start(&r, NULL);
	for (size_t i = 0; i < 100; i++) {
		char request[64];
		int fd = rig_http(&r);

		snprintf(
		    request, sizeof(request), "GET %s HTTP/1.0\r\n\r\n", wanted[i % 2]);
		rig_write(fd, request, strlen(request));
		ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
		rig_read_all(fd, answer, 1 << 20);
		check_has(answer, "200 OK");
		close(fd);
	}
	free(answer);
	rig_stop(&r);
}
END_TEST

START_TEST(requests_are_counted_by_path_and_code)
{
	struct rig r;

	rig_start(&r, NULL);
	for (int i = 0; i < 3; i++)
		free(rig_get(&r, "/nothing"));
	free(rig_get(&r, "/live"));
	free(rig_request(&r, "POST /live HTTP/1.0\r\nContent-Length: 0\r\n\r\n"));
	free(rig_get(&r, "/metrics"));
	rig_wait_sample(
	    &r, "dynamo_system_http_requests_total{code=\"404\",path=\"other\"}", 3);
	rig_wait_sample(
	    &r, "dynamo_system_http_requests_total{code=\"200\",path=\"/live\"}", 1);
	rig_wait_sample(
	    &r, "dynamo_system_http_requests_total{code=\"405\",path=\"/live\"}", 1);
	ck_assert_double_ge(
	    rig_sample(
		&r, "dynamo_system_http_requests_total{code=\"200\",path=\"/metrics\"}"),
	    4);
	ck_assert_double_eq(
	    rig_sample(&r, "dynamo_system_http_response_size_bytes_sum{path=\"other\"}"),
	    3 * (double)strlen("Route not found"));
	ck_assert_double_eq(
	    rig_sample(
		&r, "dynamo_system_http_request_duration_seconds_count{path=\"other\"}"),
	    3);
	rig_stop(&r);
}
END_TEST

START_TEST(a_part_of_the_page_can_be_picked)
{
	const char *json = "{\"namespace\":\"a b\",\"component\":\"c\",\"metrics\":["
			   "{\"name\":\"x\",\"type\":\"counter\",\"inc\":1},"
			   "{\"name\":\"y\",\"type\":\"counter\",\"inc\":2}]}";
	static const struct {
		const char *path;
		const char *body;
	} picks[] = {
		{ "/metrics?name[]=dynamo_x",
		    "# TYPE dynamo_x counter\n"
		    "dynamo_x{namespace=\"a b\",component=\"c\"} 1\n" },
		{ "/metrics?namespace=a+b&name%5b%5d=dynamo_y",
		    "# TYPE dynamo_y counter\n"
		    "dynamo_y{namespace=\"a b\",component=\"c\"} 2\n" },
		{ "/metrics?namespace=a%20b&component=d", "" },
		{ "/metrics?name[]=nothing", "" },
		{ "/metrics?namespace=a%20b&component=c&unknown=1",
		    "# TYPE dynamo_x counter\n"
		    "dynamo_x{namespace=\"a b\",component=\"c\"} 1\n"
		    "# TYPE dynamo_y counter\n"
		    "dynamo_y{namespace=\"a b\",component=\"c\"} 2\n" },
	};
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_REQ);
	rig_send_text(fd, 1, json);
	rig_receive_ok(fd, 1);
	close(fd);
	for (size_t i = 0; i < sizeof(picks) / sizeof(picks[0]); i++) {
		char *answer = rig_get(&r, picks[i].path);

		check_has(answer, "200 OK");
		ck_assert_str_eq(body_of(answer), picks[i].body);
		free(answer);
	}
	rig_stop(&r);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("http");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_page_has_the_type_that_prometheus_wants);
	tcase_add_test(t, the_figures_of_the_process_are_true);
	tcase_add_test(t, each_request_has_its_answer);
	tcase_add_test(t, paths_of_health_can_be_moved);
	tcase_add_test(t, health_is_json_with_status_uptime_and_endpoints);
	tcase_add_test(t, the_starting_status_is_told_until_a_worker_is_there);
	tcase_add_test(t, health_waits_for_the_endpoints_that_are_asked_for);
	tcase_add_test(t, head_has_no_body_and_the_connection_stays_in_step);
	tcase_add_test(t, requests_in_one_write_are_answered_in_order);
	tcase_add_test(t, a_client_that_has_closed_its_side_gets_its_answer);
	tcase_add_test(t, requests_are_counted_by_path_and_code);
	tcase_add_test(t, a_part_of_the_page_can_be_picked);
	suite_add_tcase(s, t);
	return suite_run(s);
}
