/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections there may be, and who goes when somebody else comes. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "ingest_rig.h"
#include "suite.h"

#define IDLE_MS 20

static struct ingest_rig r;
static struct ingest_options options;

static void
set_up(void)
{
	options = ingest_rig_options();
	options.idle_ms = IDLE_MS;
	ingest_rig_start(&r, &options);
}

static void
tear_down(void)
{
	ingest_rig_stop(&r);
}

static void
take_options(void)
{
	ingest_set_options(r.in, &options);
}

static void
pass_ms(uint64_t ms)
{
	uint64_t began_ns = turn_clock_ns();

	while (turn_clock_ns() - began_ns < ms * 1000000U)
		ingest_rig_turn(&r);
}

/* True if somebody who comes now is taken; it stays. */
static bool
is_taken(int *ret_fd)
{
	uint8_t header[SP_HEADER_BYTES];

	*ret_fd = ingest_rig_connect(&r);
	sp_put_header(header, SP_REQ);
	if (send(*ret_fd, header, sizeof(header), MSG_NOSIGNAL) < 0)
		return false;
	ingest_rig_settle(&r);
	return ingest_rig_take(*ret_fd) == (long)sizeof(header);
}

/* HELLO, and BYE, of a session of that number. */
static struct message_ticket
say_hello(int fd, uint8_t number)
{
	struct message hello = { .type = MESSAGE_HELLO, .version = wire_text("0") };
	struct refusal why = { 0 };
	uint8_t bytes[256];
	struct wire_writer w;
	struct message m;
	ssize_t n;

	hello.sid[0] = number;
	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_hello(&w, &hello);
	ck_assert(ingest_rig_ask(fd, bytes, w.bytes));
	ingest_rig_settle(&r);
	n = read(fd, bytes, sizeof(bytes));
	ck_assert_int_gt(n, SP_FRAME_BYTES + 4);
	ck_assert_int_eq(message_decode(&m, bytes + SP_FRAME_BYTES + 4,
			     (size_t)n - SP_FRAME_BYTES - 4, &why),
	    REASON_NONE);
	ck_assert_int_eq(m.type, MESSAGE_NEW);
	return m.ticket;
}

static void
say_bye(int fd, struct message_ticket ticket)
{
	uint8_t bytes[256];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_bye(&w, ticket);
	ck_assert(ingest_rig_ask(fd, bytes, w.bytes));
	ingest_rig_settle(&r);
	ck_assert_int_gt(ingest_rig_take(fd), 0);
}

START_TEST(nobody_makes_room_who_was_silent_for_a_short_time)
{
	int a, b, c;

	options.connections = 2;
	options.idle_ms = 10000;
	take_options();
	a = ingest_rig_join(&r, SP_REQ);
	b = ingest_rig_join(&r, SP_PUSH);
	ck_assert(!is_taken(&c));
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_FULL), 1);
	ck_assert(!ingest_rig_is_closed(&r, a));
	ck_assert(!ingest_rig_is_closed(&r, b));
	close(a);
	close(b);
	close(c);
}
END_TEST

START_TEST(the_one_that_was_silent_for_longest_makes_room)
{
	int a, b, c, d;

	options.connections = 3;
	take_options();
	a = ingest_rig_join(&r, SP_REQ);
	b = ingest_rig_join(&r, SP_REQ);
	c = ingest_rig_join(&r, SP_REQ);
	pass_ms(2 * IDLE_MS);
	/* The first of them is the one that spoke last. */
	ck_assert(ingest_rig_is_served(&r, a));
	ck_assert(is_taken(&d));
	ck_assert(ingest_rig_is_closed(&r, b));
	ck_assert(!ingest_rig_is_closed(&r, c));
	ck_assert(ingest_rig_is_served(&r, a));
	ck_assert(ingest_rig_is_served(&r, d));
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_IDLE), 1);
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_FULL), 0);
	close(a);
	close(b);
	close(c);
	close(d);
}
END_TEST

START_TEST(nobody_is_silent_while_nothing_is_read)
{
	int a, b;

	options.connections = 1;
	take_options();
	a = ingest_rig_join(&r, SP_REQ);
	ingest_hold(r.in, true);
	pass_ms(2 * IDLE_MS);
	ck_assert(!is_taken(&b));
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_FULL), 1);
	ingest_hold(r.in, false);
	ck_assert(ingest_rig_is_served(&r, a));
	close(a);
	close(b);
}
END_TEST

START_TEST(one_byte_at_a_time_is_silence)
{
	uint8_t frame[SP_FRAME_BYTES];
	int a, b;

	options.connections = 1;
	take_options();
	a = ingest_rig_join(&r, SP_REQ);
	sp_put_frame(frame, 1000);
	for (size_t i = 0; i < sizeof(frame); i++) {
		ck_assert_int_eq(write(a, frame + i, 1), 1);
		pass_ms(IDLE_MS / 4);
	}
	ck_assert(is_taken(&b));
	ck_assert(ingest_rig_is_closed(&r, a));
	close(a);
	close(b);
}
END_TEST

START_TEST(a_live_worker_makes_no_room_until_it_has_said_bye)
{
	struct message_ticket ticket;
	int a, b, c;

	options.connections = 1;
	take_options();
	a = ingest_rig_join(&r, SP_REQ);
	ticket = say_hello(a, 1);
	pass_ms(2 * IDLE_MS);
	ck_assert(!is_taken(&b));
	ck_assert(!ingest_rig_is_closed(&r, a));
	say_bye(a, ticket);
	pass_ms(2 * IDLE_MS);
	ck_assert(is_taken(&c));
	ck_assert(ingest_rig_is_closed(&r, a));
	close(a);
	close(b);
	close(c);
}
END_TEST

START_TEST(the_silent_one_is_found_behind_any_number_of_workers)
{
	enum { WORKERS = 100 };
	int workers[WORKERS], silent, other;
	unsigned tries = 0;

	options.connections = WORKERS + 1;
	take_options();
	for (int i = 0; i < WORKERS; i++) {
		workers[i] = ingest_rig_join(&r, SP_REQ);
		say_hello(workers[i], (uint8_t)(i + 1));
	}
	silent = ingest_rig_join(&r, SP_REQ);
	pass_ms(2 * IDLE_MS);
	/* Not all are looked at for one that comes. */
	while (!is_taken(&other)) {
		close(other);
		ck_assert_uint_lt(tries++, 5);
	}
	ck_assert_uint_gt(tries, 0);
	ck_assert(ingest_rig_is_closed(&r, silent));
	for (int i = 0; i < WORKERS; i++) {
		ck_assert(!ingest_rig_is_closed(&r, workers[i]));
		close(workers[i]);
	}
	close(silent);
	close(other);
}
END_TEST

START_TEST(one_that_has_closed_and_is_watched_makes_room_at_once)
{
	int a, b;

	options.connections = 1;
	options.idle_ms = 10000;
	take_options();
	a = ingest_rig_join(&r, SP_REQ);
	say_hello(a, 1);
	close(a);
	ingest_rig_settle(&r);
	ck_assert(!TAILQ_EMPTY(&r.in->lingering));
	ck_assert_uint_eq(r.in->connections, 1);
	ck_assert(is_taken(&b));
	ck_assert(TAILQ_EMPTY(&r.in->lingering));
	ck_assert_uint_eq(r.in->connections, 1);
	/* Nobody was closed that would have stayed, and the worker may come back. */
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_IDLE), 0);
	ck_assert_uint_eq(apply_workers(r.t->apply), 1);
	close(b);
}
END_TEST

START_TEST(a_user_gets_its_share_of_the_connections)
{
	int a, b, c;

	options.connections = 5;
	options.uid_percent = 50;
	take_options();
	a = ingest_rig_join(&r, SP_REQ);
	b = ingest_rig_join(&r, SP_REQ);
	ck_assert(!is_taken(&c));
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_SHARE), 1);
	ck_assert_ptr_nonnull(strstr(r.t->logged.at,
	    "its user has 2 already (limits.uid_percent of ingest.connections)"));
	close(c);
	close(b);
	ingest_rig_settle(&r);
	ck_assert(is_taken(&c));
	close(a);
	close(c);
}
END_TEST

START_TEST(a_share_is_one_connection_at_least)
{
	int a, b;

	options.connections = 5;
	options.uid_percent = 1;
	take_options();
	a = ingest_rig_join(&r, SP_REQ);
	ck_assert(!is_taken(&b));
	ck_assert(ingest_rig_is_served(&r, a));
	close(a);
	close(b);
}
END_TEST

START_TEST(who_connects_in_a_crowd_is_taken_in_several_turns)
{
	enum { CROWD = 300 };
	int fds[CROWD];
	unsigned turns = 0;

	options.connections = CROWD;
	take_options();
	for (int i = 0; i < CROWD; i++)
		fds[i] = ingest_rig_connect(&r);
	while (r.in->connections < CROWD) {
		uint32_t before = r.in->connections;

		ingest_rig_turn(&r);
		ck_assert_uint_le(r.in->connections - before, 64);
		ck_assert_uint_lt(turns++, 10000);
	}
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ingest_room");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, nobody_makes_room_who_was_silent_for_a_short_time);
	tcase_add_test(c, the_one_that_was_silent_for_longest_makes_room);
	tcase_add_test(c, nobody_is_silent_while_nothing_is_read);
	tcase_add_test(c, one_byte_at_a_time_is_silence);
	tcase_add_test(c, a_live_worker_makes_no_room_until_it_has_said_bye);
	tcase_add_test(c, the_silent_one_is_found_behind_any_number_of_workers);
	tcase_add_test(c, one_that_has_closed_and_is_watched_makes_room_at_once);
	tcase_add_test(c, a_user_gets_its_share_of_the_connections);
	tcase_add_test(c, a_share_is_one_connection_at_least);
	tcase_add_test(c, who_connects_in_a_crowd_is_taken_in_several_turns);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
