/* SPDX-License-Identifier: Apache-2.0 */
/* What all connections together may hold, and who goes when it is too much. */
#include <errno.h>
#include <unistd.h>

#include "ingest_rig.h"
#include "suite.h"

static struct ingest_rig r;
static struct ingest_options options;

static void
set_up(void)
{
	options = ingest_rig_options();
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

/* A part of a message of a MiB. */
static void
send_part(int fd, size_t bytes)
{
	static uint8_t part[1 << 20];
	size_t sent = 0;

	sp_put_frame(part, sizeof(part));
	while (sent < bytes) {
		ssize_t n =
		    send(fd, part + sent, bytes - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		ck_assert(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
		ingest_rig_turn(&r);
	}
	ingest_rig_settle(&r);
}

START_TEST(whose_part_of_a_message_has_waited_longest_goes_when_all_hold_too_much)
{
	int a, b, c, good;

	options.buffered_bytes = 2500000;
	take_options();
	a = ingest_rig_join(&r, SP_PUSH);
	b = ingest_rig_join(&r, SP_PUSH);
	c = ingest_rig_join(&r, SP_PUSH);
	good = ingest_rig_join(&r, SP_REQ);
	send_part(b, 600000);
	ck_assert_double_ge(ingest_rig_buffered(&r), 600000);
	send_part(a, 600000);
	ck_assert_double_ge(ingest_rig_buffered(&r), 1200000);
	ck_assert(ingest_rig_is_served(&r, good));
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_BUFFERED), 0);
	send_part(c, 600000);
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_BUFFERED), 1);
	ck_assert(ingest_rig_is_closed(&r, b));
	ck_assert(!ingest_rig_is_closed(&r, a));
	ck_assert(!ingest_rig_is_closed(&r, c));
	ck_assert(ingest_rig_is_served(&r, good));
	ck_assert_ptr_nonnull(strstr(r.t->logged.at, "(ingest.buffered_bytes)"));
	close(a);
	close(b);
	close(c);
	ck_assert(ingest_rig_is_served(&r, good));
	ck_assert(ingest_rig_is_served(&r, good));
	ck_assert_double_eq(ingest_rig_buffered(&r), 0);
	close(good);
}
END_TEST

START_TEST(a_small_part_of_a_message_is_nobodys_concern)
{
	int small, a;

	options.buffered_bytes = 100000;
	take_options();
	small = ingest_rig_join(&r, SP_PUSH);
	a = ingest_rig_join(&r, SP_PUSH);
	send_part(small, 1000);
	ck_assert_double_eq(ingest_rig_buffered(&r), 0);
	send_part(a, 150000);
	ck_assert(ingest_rig_is_closed(&r, a));
	ck_assert(!ingest_rig_is_closed(&r, small));
	close(small);
	close(a);
}
END_TEST

START_TEST(what_a_long_message_took_is_given_back)
{
	static char spaces[400000];
	uint8_t head[SP_FRAME_BYTES];
	size_t sent = 0;
	int fd = ingest_rig_join(&r, SP_PUSH);

	memset(spaces, ' ', sizeof(spaces));
	sp_put_frame(head, sizeof(spaces));
	ck_assert_int_eq(write(fd, head, sizeof(head)), sizeof(head));
	while (sent < sizeof(spaces)) {
		ssize_t n = send(fd, spaces + sent, sizeof(spaces) - sent, MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		ingest_rig_turn(&r);
		if (sent < sizeof(spaces))
			ck_assert_double_gt(ingest_rig_buffered(&r), 0);
	}
	/* The beginning of the next one holds little. */
	ck_assert_int_eq(write(fd, head, 3), 3);
	ingest_rig_settle(&r);
	ck_assert_double_eq(ingest_rig_buffered(&r), 0);
	ck_assert_uint_gt(stream_kept(&TAILQ_FIRST(&r.in->open)->stream).bytes, 0);
	close(fd);
}
END_TEST

/* Ask for pages until no more are read. */
static void
ask_until_full(int fd)
{
	struct connection *c = TAILQ_LAST(&r.in->open, connections);
	uint8_t bytes[64];
	struct wire_writer w;

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_expose(&w, &(struct message_level){ 0 });
	while (!c->stream.paused) {
		ck_assert(ingest_rig_ask(fd, bytes, w.bytes));
		ingest_rig_turn(&r);
	}
}

START_TEST(a_peer_is_not_read_with_so_much_of_its_replies_untaken)
{
	struct connection *c;
	int fd;

	options.queue_bytes = 100000;
	take_options();
	fd = ingest_rig_join(&r, SP_REQ);
	c = TAILQ_FIRST(&r.in->open);
	ask_until_full(fd);
	ck_assert_uint_gt(stream_queued(&c->stream), 100000 / 4);
	ck_assert_uint_lt(stream_queued(&c->stream), 200000);
	ck_assert_double_gt(ingest_rig_buffered(&r), 0);
	for (int i = 0; i < 20; i++) {
		ingest_rig_take(fd);
		ingest_rig_turn(&r);
	}
	ck_assert(!c->stream.paused);
	ck_assert_double_eq(ingest_rig_buffered(&r), 0);
	ck_assert(ingest_rig_is_served(&r, fd));
	close(fd);
}
END_TEST

START_TEST(who_has_not_taken_its_replies_for_longest_goes_when_all_hold_too_much)
{
	int a, b, good;

	options.queue_bytes = 300000;
	options.buffered_bytes = 500000;
	take_options();
	good = ingest_rig_join(&r, SP_REQ);
	a = ingest_rig_join(&r, SP_REQ);
	ask_until_full(a);
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_BUFFERED), 0);
	b = ingest_rig_join(&r, SP_REQ);
	ask_until_full(b);
	ingest_rig_turn(&r);
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_BUFFERED), 1);
	/* What had gone before can still be read. */
	ck_assert_int_gt(ingest_rig_take(a), 0);
	ck_assert(ingest_rig_is_closed(&r, a));
	ck_assert_int_gt(ingest_rig_take(b), 0);
	ck_assert(ingest_rig_is_served(&r, good));
	close(a);
	close(b);
	close(good);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ingest_bytes");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_test(
	    c, whose_part_of_a_message_has_waited_longest_goes_when_all_hold_too_much);
	tcase_add_test(c, a_small_part_of_a_message_is_nobodys_concern);
	tcase_add_test(c, what_a_long_message_took_is_given_back);
	tcase_add_test(c, a_peer_is_not_read_with_so_much_of_its_replies_untaken);
	tcase_add_test(
	    c, who_has_not_taken_its_replies_for_longest_goes_when_all_hold_too_much);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
