/* SPDX-License-Identifier: Apache-2.0 */
/* Packed pages, with a real daemon behind them: who gets them, and what they cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "rig.h"
#include "suite.h"

#define SERIES	       2000
#define SERIES_AT_ONCE 50
#define PAD_BYTES      1000
#define ROOM	       (8 << 20)
#define PAGE	       "/metrics?name[]=dynamo_big"

struct answer {
	char *head;  /* what precedes the body, NUL-terminated */
	char *body;  /* unpacked and without chunks, NUL-terminated */
	size_t sent; /* bytes of the body as it was sent, without chunks */
};

static uint64_t
random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* The counter big{i="0".."1999"}, with a long label each that cannot be packed well. */
static void
fill(const struct rig *r)
{
	char *json = malloc(1 << 17);
	int fd = rig_open(r, SP_REQ);
	uint64_t seed = 9;

	for (int i = 0; i < SERIES; i += SERIES_AT_ONCE) {
		size_t n = 0;

		n += (size_t)sprintf(json, "{\"metrics\":[");
		for (int k = i; k < i + SERIES_AT_ONCE; k++) {
			n += (size_t)sprintf(json + n,
			    "%s{\"name\":\"big\",\"type\":\"counter\",\"inc\":1,"
			    "\"labels\":{\"i\":\"%d\",\"pad\":\"",
			    k > i ? "," : "", k);
			for (int b = 0; b < PAD_BYTES; b++)
				json[n++] = (char)('A' + random_next(&seed) % 26);
			n += (size_t)sprintf(json + n, "\"}}");
		}
		sprintf(json + n, "],\"namespace\":\"big\"}");
		rig_send_text(fd, 1, json);
		rig_receive_ok(fd, 1);
	}
	close(fd);
	free(json);
}

/* One member, and nothing behind it. */
static char *
unpack(char *body, size_t n)
{
	z_stream z = { .next_in = (uint8_t *)body, .avail_in = (unsigned)n };
	char *text = malloc(ROOM);

	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_out = (uint8_t *)text;
	z.avail_out = ROOM - 1;
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_uint_eq(z.avail_in, 0);
	text[z.total_out] = '\0';
	inflateEnd(&z);
	return text;
}

/* METHOD PATH with these headers, each with its end; the connection is closed then. */
static struct answer
ask(const struct rig *r, const char *method, const char *path, const char *headers)
{
	char *all = malloc(ROOM), *body;
	char request[1000];
	struct answer a;
	int fd = rig_http(r);
	size_t n;

	snprintf(request, sizeof(request),
	    "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s\r\n", method, path,
	    headers);
	rig_write(fd, request, strlen(request));
	n = rig_read_all(fd, all, ROOM);
	close(fd);
	body = memmem(all, n, "\r\n\r\n", 4);
	ck_assert_msg(body != NULL, "no end of headers: %.*s", (int)n, all);
	body[2] = '\0';
	body += 4;
	a.head = strdup(all);
	a.sent = strstr(a.head, "\r\nTransfer-Encoding: chunked\r\n")
		     ? rig_join_chunks(body)
		     : n - (size_t)(body - all);
	body[a.sent] = '\0';
	a.body = a.sent > 0 && strstr(a.head, "\r\nContent-Encoding: gzip\r\n")
		     ? unpack(body, a.sent)
		     : strdup(body);
	free(all);
	return a;
}

static void
forget(struct answer *a)
{
	free(a->head);
	free(a->body);
}

static void
check_head(const struct answer *a, const char *part, bool there)
{
	ck_assert_msg((strstr(a->head, part) != NULL) == there, "%s %s in: %s",
	    there ? "no" : "a", part, a->head);
}

#define GZIP   "Accept-Encoding: gzip\r\n"
#define PACKED "\r\nContent-Encoding: gzip\r\n"
#define VARIES "\r\nVary: Accept-Encoding\r\n"

/* ---- Who gets it ------------------------------------------------------- */

START_TEST(a_packed_page_is_the_same_page)
{
	struct answer plain, packed;
	struct rig r;

	rig_start(&r, NULL);
	fill(&r);
	plain = ask(&r, "GET", PAGE, "");
	packed = ask(&r, "GET", PAGE, GZIP);
	ck_assert_uint_gt(plain.sent, SERIES * PAD_BYTES);
	ck_assert_uint_lt(packed.sent, plain.sent * 3 / 4);
	ck_assert_str_eq(packed.body, plain.body);
	check_head(&packed, PACKED, true);
	check_head(&packed, VARIES, true);
	check_head(&packed,
	    "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n", true);
	check_head(&plain, PACKED, false);
	check_head(&plain, VARIES, true);
	forget(&plain);
	forget(&packed);
	rig_stop(&r);
}
END_TEST

START_TEST(a_short_page_is_packed_too_and_has_a_length)
{
	struct answer packed, empty;
	struct rig r;

	rig_start(&r, NULL);
	packed = ask(&r, "GET", "/metrics?name[]=dynamo_system_uptime_seconds", GZIP);
	check_head(&packed, PACKED, true);
	check_head(&packed, "\r\nContent-Length: ", true);
	ck_assert_ptr_nonnull(strstr(packed.body, "\ndynamo_system_uptime_seconds{"));
	empty = ask(&r, "GET", "/metrics?name[]=nothing", GZIP);
	check_head(&empty, PACKED, true);
	ck_assert_uint_gt(empty.sent, 0);
	ck_assert_str_eq(empty.body, "");
	forget(&packed);
	forget(&empty);
	rig_stop(&r);
}
END_TEST

static const struct {
	const char *headers;
	bool packed;
} requests[] = {
	{ "", false },
	{ "Accept-Encoding: identity\r\n", false },
	{ "Accept-Encoding: gzip;q=0\r\n", false },
	{ "Accept-Encoding: br\r\n", false },
	{ "Accept-Encoding: identity;q=0\r\n", false },
	{ "Accept-Encoding: gzip;q=bad\r\n", false },
	{ "Accept-Encoding:\r\n", false },
	{ "accept-encoding: X-GZip;Q=0.1\r\n", true },
	{ "Accept-Encoding: deflate\r\nAccept-Encoding: gzip\r\n", true },
	{ "Accept-Encoding: gzip\r\nAccept-Encoding: gzip;q=0\r\n", false },
	{ "Accept-Encoding: *\r\n", true },
};

START_TEST(the_client_says_what_it_takes)
{
	struct rig r;

	rig_start(&r, NULL);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct answer a = ask(&r, "GET", "/metrics", requests[i].headers);

		check_head(&a, "HTTP/1.1 200 OK\r\n", true);
		check_head(&a, PACKED, requests[i].packed);
		ck_assert_ptr_nonnull(
		    strstr(a.body, "\n# TYPE dynamo_system_uptime_seconds counter\n"));
		forget(&a);
	}
	rig_stop(&r);
}
END_TEST

START_TEST(head_has_the_headers_of_the_page)
{
	struct answer plain, packed;
	struct rig r;

	rig_start(&r, NULL);
	plain = ask(&r, "HEAD", "/metrics", "");
	packed = ask(&r, "HEAD", "/metrics", GZIP);
	check_head(&plain, PACKED, false);
	check_head(&plain, VARIES, true);
	check_head(&packed, PACKED, true);
	check_head(&packed, VARIES, true);
	ck_assert_uint_eq(plain.sent, 0);
	ck_assert_uint_eq(packed.sent, 0);
	forget(&plain);
	forget(&packed);
	rig_stop(&r);
}
END_TEST

START_TEST(other_answers_are_never_packed)
{
	static const char *const paths[] = { "/", "/health", "/live", "/nothing",
		"/metrics?component=a" };
	struct rig r;

	rig_start(&r, NULL);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct answer a = ask(&r, "GET", paths[i], GZIP);

		check_head(&a, PACKED, false);
		check_head(&a, VARIES, false);
		forget(&a);
	}
	rig_stop(&r);
}
END_TEST

START_TEST(it_can_be_off_and_a_reload_turns_it_on)
{
	const struct rig_setting off = { .file = "{\"http\": {\"gzip\": false}}" };
	uint64_t began_ms = 0;
	struct answer a;
	bool packed = false;
	struct rig r;

	rig_start(&r, &off);
	a = ask(&r, "GET", "/metrics", GZIP);
	check_head(&a, PACKED, false);
	check_head(&a, VARIES, false);
	forget(&a);
	rig_reload(&r, "{\"http\": {\"gzip\": true}}");
	while (!packed && rig_again(&began_ms, "pages are packed")) {
		a = ask(&r, "GET", "/metrics", GZIP);
		packed = strstr(a.head, PACKED) != NULL;
		forget(&a);
	}
	rig_stop(&r);
}
END_TEST

/* ---- What it costs ----------------------------------------------------- */

START_TEST(the_size_that_is_counted_is_what_was_sent)
{
	static const char sum[] = "dynamo_system_http_response_size_bytes_sum"
				  "{path=\"/metrics\"}";
	struct answer a;
	struct rig r;

	rig_start(&r, NULL);
	fill(&r);
	a = ask(&r, "GET", PAGE, GZIP);
	/* It is counted before the connection is closed. */
	ck_assert_double_eq(rig_sample(&r, sum), (double)a.sent);
	forget(&a);
	rig_stop(&r);
}
END_TEST

/* A scrape whose answer is not read, with a small window. */
static int
stall(const struct rig *r)
{
	static const char request[] =
	    "GET /metrics HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n";
	int bytes = 4096;
	int fd = rig_http(r);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	rig_write(fd, request, strlen(request));
	return fd;
}

START_TEST(stalled_packed_scrapes_cost_less_than_a_megabyte_each)
{
	const struct rig_setting ten = { .file = "{\"http\": {\"scrapes\": 10}}" };
	struct rig r;
	size_t before;
	int fds[10];

	rig_start(&r, &ten);
	fill(&r);
	before = rig_resident_bytes(&r);
	for (int i = 0; i < 10; i++) {
		char first;

		fds[i] = stall(&r);
		ck_assert_int_eq(read(fds[i], &first, 1), 1);
	}
	rig_pause_ms(300);
	ck_assert_uint_lt(rig_resident_bytes(&r), before + 10 * 1000000);
	for (int i = 0; i < 10; i++)
		close(fds[i]);
	rig_stop(&r);
}
END_TEST

START_TEST(a_packed_page_that_was_cut_off_is_no_loss)
{
	const struct rig_setting two = { .file = "{\"http\": {\"scrapes\": 2}}" };
	struct rig r;
	uint64_t began_ms = 0;
	size_t before;

	rig_start(&r, &two);
	fill(&r);
	before = rig_open_files(&r);
	for (int i = 0; i < 50; i++) {
		char first;
		int fd = stall(&r);

		if (i % 2)
			ck_assert_int_eq(read(fd, &first, 1), 1);
		close(fd);
	}
	/* Both slots are free again. */
	for (bool free_slot = false;
	     !free_slot && rig_again(&began_ms, "scrapes are answered");) {
		struct answer a = ask(&r, "GET", "/metrics?name[]=nothing", GZIP);

		free_slot = strstr(a.head, " 200 OK\r\n") != NULL;
		forget(&a);
	}
	while (rig_open_files(&r) > before && rig_again(&began_ms, "all are closed"))
		;
	rig_stop(&r);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_gzip");
	TCase *t = tcase_create("http_gzip");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_packed_page_is_the_same_page);
	tcase_add_test(t, a_short_page_is_packed_too_and_has_a_length);
	tcase_add_test(t, the_client_says_what_it_takes);
	tcase_add_test(t, head_has_the_headers_of_the_page);
	tcase_add_test(t, other_answers_are_never_packed);
	tcase_add_test(t, it_can_be_off_and_a_reload_turns_it_on);
	tcase_add_test(t, the_size_that_is_counted_is_what_was_sent);
	tcase_add_test(t, stalled_packed_scrapes_cost_less_than_a_megabyte_each);
	tcase_add_test(t, a_packed_page_that_was_cut_off_is_no_loss);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
