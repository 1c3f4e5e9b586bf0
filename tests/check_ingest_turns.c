/* SPDX-License-Identifier: Apache-2.0 */
/* The workers' socket, turn by turn: whose requests are read when, and when replies go.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "ingest_rig.h"
#include "suite.h"

#define ADD_ONE	    "{\"metrics\":[{\"name\":\"n\",\"type\":\"counter\",\"inc\":1}]}"
#define FRAME_BYTES (SP_FRAME_BYTES + 4 + sizeof(ADD_ONE) - 1)

#define LOOK_NS 1000

static struct ingest_rig r;

/* In place of the C library's: a clock that moves with each look at it, so that a slow
 * machine takes the same turns as a fast one. */
int looked_at_clock(clockid_t which, struct timespec *ret) __asm__("clock_gettime");

int
looked_at_clock(clockid_t which, struct timespec *ret)
{
	static uint64_t now_ns = 1000000000;

	(void)which;
	now_ns += LOOK_NS;
	ret->tv_sec = (time_t)(now_ns / 1000000000);
	ret->tv_nsec = (long)(now_ns % 1000000000);
	return 0;
}

static void
set_up(void)
{
	struct ingest_options options = ingest_rig_options();

	ingest_rig_start(&r, &options);
}

static void
tear_down(void)
{
	ingest_rig_stop(&r);
}

/* What comes is read; replies wait. */
static void
read_what_comes(void)
{
	ingest_rig_pass(&r);
	ingest_turn(r.in);
}

static void
turn(void)
{
	ingest_rig_turn(&r);
}

/* A peer with its handshake done, and new no more. */
static int
join(void)
{
	int fd = ingest_rig_join(&r, SP_REQ);

	TAILQ_LAST(&r.in->open, connections)->used_ns = 0;
	return fd;
}

/* A number that was there before would make it a repetition. */
static void
put_request(uint8_t frame[FRAME_BYTES], uint32_t number)
{
	sp_put_frame(frame, FRAME_BYTES - SP_FRAME_BYTES);
	sp_put_request_id(frame + SP_FRAME_BYTES, number);
	memcpy(frame + SP_FRAME_BYTES + 4, ADD_ONE, sizeof(ADD_ONE) - 1);
}

static bool
ask(int fd)
{
	uint8_t frame[FRAME_BYTES];

	put_request(frame, 1);
	return send(fd, frame, sizeof(frame), MSG_NOSIGNAL) == (ssize_t)sizeof(frame);
}

static bool
has_reply(int fd)
{
	char bytes[256];

	return read(fd, bytes, sizeof(bytes)) > 0;
}

START_TEST(a_reply_goes_at_the_end_of_the_turn_and_not_before)
{
	int fd = join();

	ck_assert(ask(fd));
	read_what_comes();
	ck_assert(!has_reply(fd));
	ingest_release(r.in);
	ck_assert(has_reply(fd));
	close(fd);
}
END_TEST

START_TEST(what_is_sent_while_nothing_is_read_is_answered_afterwards)
{
	int before = join(), after;

	ingest_hold(r.in, true);
	ck_assert(ask(before));
	for (int i = 0; i < 3; i++)
		turn();
	ck_assert(!has_reply(before));
	/* The loop has nothing to do: it would wait. */
	ck_assert_uint_eq(r.now.began_ns, 0);
	read_what_comes();
	ck_assert_uint_eq(r.now.began_ns, 0);
	ingest_hold(r.in, false);
	turn();
	ck_assert(has_reply(before));
	after = join();
	ck_assert(ask(after));
	turn();
	ck_assert(has_reply(after));
	close(before);
	close(after);
}
END_TEST

START_TEST(a_peer_is_not_late_with_what_nobody_reads)
{
	struct ingest_options options = r.in->options;
	int fd = ingest_rig_connect(&r);
	uint8_t header[SP_HEADER_BYTES];
	uint64_t began_ns = turn_clock_ns();

	options.handshake_ms = options.frame_ms = 1;
	ingest_set_options(r.in, &options);
	ingest_hold(r.in, true);
	sp_put_header(header, SP_REQ);
	ck_assert_int_eq(write(fd, header, sizeof(header)), sizeof(header));
	turn();
	ck_assert_uint_eq(r.in->connections, 1);
	/* Many times as long as it has. */
	while (turn_clock_ns() - began_ns < 50000000U)
		turn();
	ingest_hold(r.in, false);
	turn();
	ck_assert_int_eq(read(fd, header, sizeof(header)), sizeof(header));
	close(fd);
}
END_TEST

START_TEST(a_flood_of_one_keeps_no_other_waiting)
{
	enum { MOST = 4000 };
	static uint8_t requests[MOST][FRAME_BYTES];
	int flood = join(), other = join();
	unsigned turns = 0;

	for (int i = 0; i < MOST; i++)
		put_request(requests[i], (uint32_t)i);
	/* More than is read at once. */
	ck_assert_int_gt(
	    send(flood, requests, sizeof(requests), MSG_NOSIGNAL), 2 * 65536);
	ck_assert(ask(other));
	while (!has_reply(other)) {
		ck_assert_uint_lt(turns, 2);
		turn();
		turns++;
	}
	/* It was not the flood's end that was waited for. */
	ck_assert_int_lt(atoi(strstr(talk_page(r.t, ""), "\ndynamo_n ") + 10), MOST / 2);
	close(flood);
	close(other);
}
END_TEST

START_TEST(what_takes_long_is_left_for_later_turns)
{
	enum { MOST = 500 };
	static uint8_t requests[MOST][FRAME_BYTES];
	int fd = join();
	struct connection *c = TAILQ_FIRST(&r.in->open);
	unsigned visits = 0;

	for (int i = 0; i < MOST; i++)
		put_request(requests[i], (uint32_t)i);
	/* It is read at once, but not all of it is taken in the time of a visit. */
	ck_assert_int_eq(send(fd, requests, sizeof(requests), MSG_NOSIGNAL),
	    (ssize_t)sizeof(requests));
	ingest_rig_pass(&r);
	ck_assert(c->unseen);
	ck_assert(c->is_waiting);
	ck_assert(!c->deadline_is_set);
	while (c->unseen) {
		turn();
		visits++;
	}
	ck_assert_uint_gt(visits, 0);
	turn();
	ck_assert_int_eq(atoi(strstr(talk_page(r.t, ""), "\ndynamo_n ") + 10), (int)MOST);
	close(fd);
}
END_TEST

/* As at the end, when turns are taken for as long as somebody is behind. */
START_TEST(what_came_while_it_waited_is_read_too)
{
	enum { MOST = 500 };
	static uint8_t requests[MOST + 1][FRAME_BYTES];
	int fd = join();

	for (int i = 0; i <= MOST; i++)
		put_request(requests[i], (uint32_t)i);
	ck_assert_int_eq(send(fd, requests, MOST * FRAME_BYTES, MSG_NOSIGNAL),
	    (ssize_t)MOST * FRAME_BYTES);
	ingest_rig_pass(&r);
	ck_assert(ingest_is_behind(r.in));
	ck_assert_int_eq(
	    send(fd, requests[MOST], FRAME_BYTES, MSG_NOSIGNAL), (ssize_t)FRAME_BYTES);
	while (ingest_is_behind(r.in))
		turn();
	ck_assert_int_eq(
	    atoi(strstr(talk_page(r.t, ""), "\ndynamo_n ") + 10), (int)MOST + 1);
	close(fd);
}
END_TEST

/* A turn in which nobody who waits is visited. */
static void
pass_and_reply(void)
{
	ingest_rig_pass(&r);
	ingest_release(r.in);
	turn_end(&r.now);
}

START_TEST(who_is_new_waits_for_the_others)
{
	int light = join(), fresh = ingest_rig_join(&r, SP_REQ);

	ck_assert(ask(fresh));
	ck_assert(ask(light));
	/* The replies to those who are known do not wait for who is new, but once. */
	turn();
	ck_assert(has_reply(light));
	ck_assert(!has_reply(fresh));
	ck_assert(ask(light));
	turn();
	ck_assert(has_reply(light));
	ck_assert(has_reply(fresh));
	/* With nobody else, there is nothing to wait for. */
	ck_assert(ask(fresh));
	turn();
	ck_assert(has_reply(fresh));
	close(light);
	close(fresh);
}
END_TEST

START_TEST(who_had_much_of_the_time_waits_for_the_others)
{
	int heavy = join(), light = join();
	struct connection *c = TAILQ_FIRST(&r.in->open);

	c->used_ns = 1000000000;
	c->used_at_ns = turn_clock_ns();
	ck_assert(ask(heavy));
	ck_assert(ask(light));
	for (int i = 0; i < 4; i++)
		pass_and_reply();
	ck_assert(has_reply(light));
	ck_assert(!has_reply(heavy));
	/* Whoever was served just now has the reply first. */
	for (int i = 0; i < 2; i++) {
		ck_assert(!has_reply(heavy));
		ingest_turn(r.in);
		ingest_release(r.in);
	}
	ck_assert(has_reply(heavy));
	/* It is forgotten with time. */
	c->used_at_ns -= 60000000000U;
	ck_assert(ask(heavy));
	for (int i = 0; i < 4; i++)
		pass_and_reply();
	ck_assert(has_reply(heavy));
	close(heavy);
	close(light);
}
END_TEST

START_TEST(the_loop_does_not_wait_while_somebody_waits_for_its_turn)
{
	int heavy = join();
	struct connection *c = TAILQ_FIRST(&r.in->open);

	ck_assert(ask(heavy));
	turn();
	ck_assert(has_reply(heavy));
	c->unseen = true;
	ingest_wait(c);
	ingest_wait(c);
	ck_assert(ingest_is_behind(r.in));
	/* Held: nothing happens, and the loop has nothing to do. */
	ingest_hold(r.in, true);
	ingest_turn(r.in);
	turn_end(&r.now);
	ingest_rig_pass(&r);
	ck_assert_uint_eq(r.now.began_ns, 0);
	ck_assert(ingest_is_behind(r.in));
	ingest_hold(r.in, false);
	ingest_rig_pass(&r);
	ck_assert_uint_ne(r.now.began_ns, 0);
	turn();
	ck_assert(!ingest_is_behind(r.in));
	close(heavy);
}
END_TEST

START_TEST(more_than_is_read_at_once_waits_to_be_read)
{
	enum { SENT = 150000 };
	static uint8_t bytes[SENT];
	int fd = ingest_rig_join(&r, SP_PUSH);

	/* Nothing of it is whole: nobody has anything to do with what was read. */
	sp_put_frame(bytes, 2 * SENT);
	ck_assert_int_eq(write(fd, bytes, SENT), SENT);
	turn();
	ck_assert(ingest_is_behind(r.in));
	for (int i = 0; i < 4; i++)
		turn();
	ck_assert(!ingest_is_behind(r.in));
	ck_assert_uint_eq(stream_kept(&TAILQ_FIRST(&r.in->open)->stream).bytes, SENT);
	close(fd);
}
END_TEST

START_TEST(who_has_sent_something_is_not_silent_though_it_was_not_read)
{
	static const char json[] = ADD_ONE;
	struct ingest_options options = r.in->options;
	uint8_t bytes[SP_FRAME_BYTES + sizeof(json) - 1];
	int old, new;

	options.connections = 1;
	options.idle_ms = 0;
	ingest_set_options(r.in, &options);
	old = ingest_rig_join(&r, SP_PUSH);
	turn();
	/* In this order the daemon hears of them. */
	new = ingest_rig_connect(&r);
	sp_put_frame(bytes, sizeof(json) - 1);
	memcpy(bytes + SP_FRAME_BYTES, json, sizeof(json) - 1);
	ck_assert_int_eq(write(old, bytes, sizeof(bytes)), sizeof(bytes));
	turn();
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_IDLE), 0);
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_FULL), 1);
	ck_assert_ptr_nonnull(strstr(talk_page(r.t, ""), "\ndynamo_n 1\n"));
	close(old);
	close(new);
}
END_TEST

/* Bytes that are there to be read. */
static size_t
read_all(int fd)
{
	static char bytes[1 << 20];
	size_t all = 0;
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		all += (size_t)n;
	return all;
}

START_TEST(a_peer_whose_replies_the_socket_takes_all_at_once_is_read_on)
{
	enum { REQUESTS = 2000, MOST_TURNS = 2000, ONE = 64 };
	static uint8_t requests[REQUESTS * ONE];
	struct ingest_options options = r.in->options;
	int fd = join(), room = 16 << 20;
	size_t one, page, bytes = 0;
	struct wire_writer w;
	char json[1200];

	/* So much is for the administrator only, and not for one of a container. */
	if (setsockopt(TAILQ_FIRST(&r.in->open)->stream.fd, SOL_SOCKET, SO_SNDBUFFORCE,
		&room, sizeof(room)) != 0) {
		ck_assert_int_eq(errno, EPERM);
		close(fd);
		return;
	}
	/* So that one is full before its time is over. */
	options.queue_bytes = 4096;
	ingest_set_options(r.in, &options);
	snprintf(json, sizeof(json),
	    "{\"metrics\":[{\"name\":\"n\",\"type\":\"counter\",\"help\":\"%01000d\"}]}",
	    7);
	ck_assert_str_eq(talk_json(r.t, json), "{\"ok\":true}");
	page = strlen(talk_page(r.t, ""));
	wire_writer_init(&w, requests + SP_FRAME_BYTES + 4, ONE);
	message_put_expose(&w, &(struct message_level){ 0 });
	one = SP_FRAME_BYTES + 4 + w.bytes;
	for (uint32_t i = 0; i < REQUESTS; i++) {
		uint8_t *request = requests + i * one;

		memmove(request, requests, one);
		sp_put_frame(request, one - SP_FRAME_BYTES);
		sp_put_request_id(request + SP_FRAME_BYTES, i);
	}
	ck_assert_int_eq(
	    send(fd, requests, REQUESTS * one, MSG_NOSIGNAL), (ssize_t)(REQUESTS * one));
	for (int i = 0; i < MOST_TURNS; i++) {
		turn();
		bytes += read_all(fd);
	}
	/* More than what a peer may leave unread. */
	ck_assert_uint_gt(bytes, 2 << 20);
	ck_assert_uint_gt(bytes, REQUESTS * page);
	close(fd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ingest_turns");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_reply_goes_at_the_end_of_the_turn_and_not_before);
	tcase_add_test(c, what_is_sent_while_nothing_is_read_is_answered_afterwards);
	tcase_add_test(c, a_peer_is_not_late_with_what_nobody_reads);
	tcase_add_test(c, a_flood_of_one_keeps_no_other_waiting);
	tcase_add_test(c, what_takes_long_is_left_for_later_turns);
	tcase_add_test(c, what_came_while_it_waited_is_read_too);
	tcase_add_test(c, who_is_new_waits_for_the_others);
	tcase_add_test(c, who_had_much_of_the_time_waits_for_the_others);
	tcase_add_test(c, the_loop_does_not_wait_while_somebody_waits_for_its_turn);
	tcase_add_test(c, more_than_is_read_at_once_waits_to_be_read);
	tcase_add_test(c, who_has_sent_something_is_not_silent_though_it_was_not_read);
	tcase_add_test(c, a_peer_whose_replies_the_socket_takes_all_at_once_is_read_on);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
