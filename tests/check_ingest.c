/* SPDX-License-Identifier: Apache-2.0 */
/* The workers' socket, with a real daemon behind it: frames, patterns, hostile bytes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "message.h"
#include "rig.h"
#include "suite.h"

#define ADD_ONE "{\"metrics\":[{\"name\":\"n\",\"type\":\"counter\",\"inc\":1}]}"

/* ---- What is served ---------------------------------------------------- */

START_TEST(a_request_is_answered_with_its_backtrace)
{
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_REQ);
	for (size_t words = 1; words <= SP_BACKTRACE_WORDS; words++) {
		rig_send_text(fd, words, ADD_ONE);
		rig_receive_ok(fd, words);
	}
	rig_wait_sample(&r, "dynamo_n", SP_BACKTRACE_WORDS);
	close(fd);
	rig_stop(&r);
}
END_TEST

START_TEST(a_request_without_an_id_is_dropped_and_the_next_is_served)
{
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_REQ);
	rig_send(fd, 0, "", 0);
	rig_send(fd, 0, "abc", 3);
	rig_send_text(fd, 0, ADD_ONE);
	rig_send_text(fd, 9, ADD_ONE);
	rig_send_text(fd, 16, ADD_ONE);
	rig_send_text(fd, 1, ADD_ONE);
	rig_receive_ok(fd, 1);
	ck_assert_double_eq(rig_sample(&r, "dynamo_n"), 1);
	ck_assert_double_eq(
	    rig_sample(&r, "dynamo_metricsd_refused_total{reason=\"message\"}"), 5);
	rig_wait_logged(&r, "request dropped");
	close(fd);
	rig_stop(&r);
}
END_TEST

START_TEST(what_is_pushed_is_taken_and_not_answered)
{
	struct rig r;
	char byte;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_PUSH);
	for (int i = 0; i < 100; i++)
		rig_send_text(fd, 0, ADD_ONE);
	rig_send_text(fd, 0, "{\"broken");
	rig_send_text(fd, 0, ADD_ONE);
	rig_wait_sample(&r, "dynamo_n", 101);
	ck_assert_int_eq(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	ck_assert_double_eq(
	    rig_sample(&r, "dynamo_metricsd_refused_total{reason=\"json\"}"), 1);
	close(fd);
	rig_stop(&r);
}
END_TEST

START_TEST(what_was_pushed_before_leaving_is_taken)
{
	struct rig r;

	rig_start(&r, NULL);
	for (int i = 0; i < 50; i++) {
		int fd = rig_open(&r, SP_PUSH);

		rig_send_text(fd, 0, ADD_ONE);
		rig_send_text(fd, 0, ADD_ONE);
		close(fd);
	}
	rig_wait_sample(&r, "dynamo_n", 100);
	rig_stop(&r);
}
END_TEST

START_TEST(bytes_that_come_one_by_one_are_put_together)
{
	const char *json = ADD_ONE;
	uint8_t frame[256];
	size_t n = 4 + strlen(json);
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_connect(&r);
	sp_put_header(frame, SP_REQ);
	for (size_t i = 0; i < SP_HEADER_BYTES; i++)
		rig_write(fd, frame + i, 1);
	ck_assert_int_eq(recv(fd, frame, SP_HEADER_BYTES, MSG_WAITALL), SP_HEADER_BYTES);
	sp_put_frame(frame, n);
	sp_put_request_id(frame + SP_FRAME_BYTES, rig_request_id(fd));
	rig_note_sent(fd);
	memcpy(frame + SP_FRAME_BYTES + 4, json, strlen(json));
	for (size_t i = 0; i < SP_FRAME_BYTES + n; i++) {
		rig_write(fd, frame + i, 1);
		if (i % 16 == 0)
			rig_pause_ms(1);
	}
	rig_receive_ok(fd, 1);
	close(fd);
	rig_stop(&r);
}
END_TEST

START_TEST(many_requests_at_once_are_all_answered)
{
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_REQ);
	for (int i = 0; i < 500; i++)
		rig_send_text(fd, (size_t)(1 + i % SP_BACKTRACE_WORDS), ADD_ONE);
	for (int i = 0; i < 500; i++)
		rig_receive_ok(fd, (size_t)(1 + i % SP_BACKTRACE_WORDS));
	rig_wait_sample(&r, "dynamo_n", 500);
	close(fd);
	rig_stop(&r);
}
END_TEST

START_TEST(the_longest_message_is_answered_and_a_longer_one_closes)
{
	const struct rig_setting setting = { .file = "{\"ingest\": "
						     "{\"message_bytes\": 65536}}" };
	char *payload = malloc(70000);
	char reply[512];
	struct rig r;
	int fd;

	rig_start(&r, &setting);
	memset(payload, ' ', 70000);
	fd = rig_open(&r, SP_REQ);
	rig_send(fd, SP_BACKTRACE_WORDS, payload, 65536);
	ck_assert_uint_gt(rig_receive(fd, SP_BACKTRACE_WORDS, reply, sizeof(reply)), 0);
	rig_send(fd, SP_BACKTRACE_WORDS, payload, 65537);
	rig_receive_end(fd);
	close(fd);
	ck_assert_double_eq(
	    rig_sample(&r, "dynamo_metricsd_refused_total{reason=\"length\"}"), 1);
	rig_wait_logged(&r, "longer than ingest.message_bytes, 65536");
	rig_stop(&r);
	free(payload);
}
END_TEST

/* ---- What is not ------------------------------------------------------- */

static const uint8_t headers[][SP_HEADER_BYTES] = {
	{ 0, 'S', 'P', 0, 0, 0x31, 0, 0 },    /* REP */
	{ 0, 'S', 'P', 0, 0, 0x51, 0, 0 },    /* PULL */
	{ 0, 'S', 'P', 0, 0, 0x10, 0, 0 },    /* PAIR */
	{ 0, 'S', 'P', 0, 0, 0x70, 0, 0 },    /* BUS */
	{ 0, 'S', 'P', 0, 0x30, 0x30, 0, 0 }, /* another number that ends in REQ's */
	{ 0, 'S', 'P', 0, 0, 0x30, 0, 1 },
	{ 0, 'S', 'P', 0, 0, 0x30, 1, 0 },
	{ 0, 'S', 'P', 1, 0, 0x30, 0, 0 }, /* another version */
	{ 1, 'S', 'P', 0, 0, 0x30, 0, 0 },
	{ 'G', 'E', 'T', ' ', '/', ' ', 'H', 'T' },
	{ 0 },
	{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
};

START_TEST(who_speaks_anything_else_is_closed)
{
	struct rig r;

	rig_start(&r, NULL);
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		int fd = rig_connect(&r);

		rig_write(fd, headers[i], SP_HEADER_BYTES);
		rig_receive_end(fd);
		close(fd);
	}
	rig_count(&r, "n", 1);
	rig_stop(&r);
}
END_TEST

/* What comes after the handshake. */
static const struct {
	const char *name;
	uint8_t bytes[17];
	size_t n;
} frames[] = {
	{ "another type", { 2, 0, 0, 0, 0, 0, 0, 0, 4, 0x80, 0, 0, 0 }, 13 },
	{ "type 0", { 0, 0, 0, 0, 0, 0, 0, 0, 0 }, 9 },
	{ "2^60 bytes", { 1, 0x10, 0, 0, 0, 0, 0, 0, 0 }, 9 },
	{ "2^64-1 bytes", { 1, 255, 255, 255, 255, 255, 255, 255, 255 }, 9 },
	{ "2^32+5 bytes", { 1, 0, 0, 0, 1, 0, 0, 0, 5 }, 9 },
	{ "2^31 bytes", { 1, 0, 0, 0, 0, 0x80, 0, 0, 0 }, 9 },
	{ "2 MiB", { 1, 0, 0, 0, 0, 0, 0x20, 0, 0 }, 9 },
	{ "text", "GET / HTTP/1.0\r\n", 16 },
};

START_TEST(a_frame_that_is_none_closes_the_connection)
{
	enum sp_protocol protocols[] = { SP_REQ, SP_PUSH };
	struct rig r;

	rig_start(&r, NULL);
	for (size_t i = 0; i < 2 * sizeof(frames) / sizeof(frames[0]); i++) {
		int fd = rig_open(&r, protocols[i % 2]);

		rig_write(fd, frames[i / 2].bytes, frames[i / 2].n);
		rig_receive_end(fd);
		close(fd);
	}
	rig_count(&r, "n", 1);
	rig_stop(&r);
}
END_TEST

START_TEST(frames_before_a_bad_one_are_taken)
{
	struct rig r;
	int fd;

	rig_start(&r, NULL);
	fd = rig_open(&r, SP_PUSH);
	rig_send_text(fd, 0, ADD_ONE);
	rig_write(fd, frames[0].bytes, frames[0].n);
	rig_receive_end(fd);
	close(fd);
	rig_wait_sample(&r, "dynamo_n", 1);
	rig_stop(&r);
}
END_TEST

START_TEST(half_of_anything_leaves_nothing_behind)
{
	const uint8_t whole[] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
		9, 0x80, 0, 0, 1, '{', '}', ' ', ' ', ' ' };
	uint64_t began_ms = 0;
	struct rig r;
	size_t before;
	int fd;

	rig_start(&r, NULL);
	before = rig_open_files(&r);
	for (size_t i = 0; i < 300; i++) {
		fd = rig_connect(&r);
		rig_write(fd, whole, i % sizeof(whole));
		if (i % 3 == 0)
			shutdown(fd, SHUT_WR);
		if (i % 3 == 1)
			shutdown(fd, SHUT_RDWR);
		close(fd);
	}
	/* Connections are accepted in their order: all of those were when this one is. */
	fd = rig_open(&r, SP_PUSH);
	rig_send_text(fd, 0, ADD_ONE);
	rig_wait_sample(&r, "dynamo_n", 1);
	close(fd);
	rig_wait_sample(&r, "dynamo_metricsd_connections", 0);
	while (rig_open_files(&r) > before && rig_again(&began_ms, "all are closed"))
		;
	rig_stop(&r);
}
END_TEST

START_TEST(who_says_nothing_is_closed_after_the_handshake_time)
{
	const struct rig_setting setting = { .file = "{\"ingest\": "
						     "{\"handshake_ms\": 100}}" };
	uint64_t began_ms;
	struct rig r;
	int silent, half, polite;

	rig_start(&r, &setting);
	polite = rig_open(&r, SP_REQ);
	began_ms = rig_now_ms();
	silent = rig_connect(&r);
	half = rig_connect(&r);
	rig_write(half, "\0SP", 3);
	rig_receive_end(silent);
	rig_receive_end(half);
	ck_assert_uint_ge(
	    rig_now_ms() - began_ms, 50); /* the loop's clock is a coarse one */
	rig_send_text(polite, 1, ADD_ONE);
	rig_receive_ok(polite, 1);
	close(silent);
	close(half);
	close(polite);
	rig_wait_logged(&r, "no handshake within 100 ms");
	rig_stop(&r);
}
END_TEST

START_TEST(a_message_must_come_whole_within_its_time)
{
	const struct rig_setting setting = { .file =
						 "{\"ingest\": {\"frame_ms\": 300}}" };
	const uint8_t head[] = { 1, 0, 0, 0, 0, 0, 0, 1, 0, 'x' };
	uint64_t began_ms = 0;
	struct rig r;
	int slow, quick;

	rig_start(&r, &setting);
	slow = rig_open(&r, SP_REQ);
	quick = rig_open(&r, SP_REQ);
	rig_write(slow, head, sizeof(head));
	/* One that is never without a part of a frame, but gets on, is not slow. */
	rig_write(quick, head, 1);
	while (!rig_has_logged(&r, "not whole within 300 ms") &&
	       rig_again(&began_ms, "the slow one is closed")) {
		uint8_t rest[SP_FRAME_BYTES + 64];
		char reply[256];

		sp_put_frame(rest, 4);
		sp_put_request_id(rest + SP_FRAME_BYTES, rig_request_id(quick));
		rig_note_sent(quick);
		rest[SP_FRAME_BYTES + 4] = SP_FRAME_MESSAGE;
		rig_write(quick, rest + 1, SP_FRAME_BYTES + 4);
		rig_receive(quick, 1, reply, sizeof(reply));
	}
	rig_receive_end(slow);
	close(slow);
	close(quick);
	rig_stop(&r);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ingest");
	TCase *t = tcase_create("ingest");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_request_is_answered_with_its_backtrace);
	tcase_add_test(t, a_request_without_an_id_is_dropped_and_the_next_is_served);
	tcase_add_test(t, what_is_pushed_is_taken_and_not_answered);
	tcase_add_test(t, what_was_pushed_before_leaving_is_taken);
	tcase_add_test(t, bytes_that_come_one_by_one_are_put_together);
	tcase_add_test(t, many_requests_at_once_are_all_answered);
	tcase_add_test(t, the_longest_message_is_answered_and_a_longer_one_closes);
	tcase_add_test(t, who_speaks_anything_else_is_closed);
	tcase_add_test(t, a_frame_that_is_none_closes_the_connection);
	tcase_add_test(t, frames_before_a_bad_one_are_taken);
	tcase_add_test(t, half_of_anything_leaves_nothing_behind);
	tcase_add_test(t, who_says_nothing_is_closed_after_the_handshake_time);
	tcase_add_test(t, a_message_must_come_whole_within_its_time);
	suite_add_tcase(s, t);
	return suite_run(s);
}
