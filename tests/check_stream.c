/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a connection, on real sockets. */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failing.h"
#include "stream.h"
#include "suite.h"

#define ROOM 64

static struct event_base *base;
static struct stream s;
static int peer;
static uint8_t memory[ROOM];
static const struct stream_room room = { memory, sizeof(memory) };
static unsigned readable, writable;

static void
on_readable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	readable++;
}

static void
on_writable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	writable++;
}

static void
set_up(void)
{
	int ends[2];

	readable = writable = 0;
	base = event_base_new();
	ck_assert_int_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	peer = ends[1];
	ck_assert_int_eq(
	    stream_open(&s, base, ends[0], on_readable, on_writable, NULL), 0);
}

static void
tear_down(void)
{
	stream_close(&s);
	if (peer >= 0)
		close(peer);
	event_base_free(base);
}

static void
send_text(const char *text)
{
	ck_assert_int_eq(write(peer, text, strlen(text)), (int)strlen(text));
}

/* Read once; what there is then. */
static const char *
read_text(struct stream_view *ret)
{
	static char text[4 * ROOM];

	ck_assert_int_gt(stream_read(&s, &room, ret), 0);
	ck_assert_uint_lt(ret->bytes, sizeof(text));
	memcpy(text, ret->at, ret->bytes);
	text[ret->bytes] = '\0';
	return text;
}

static void
put_text(const char *text)
{
	const struct stream_view part = { (const uint8_t *)text, strlen(text) };

	ck_assert(stream_put(&s, &part, 1));
}

/* What the peer has got by now. */
static const char *
got_text(void)
{
	static char text[256];
	ssize_t n = read(peer, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* ---- In ---------------------------------------------------------------- */

START_TEST(what_is_taken_at_once_is_never_kept)
{
	struct stream_view view;

	send_text("all");
	ck_assert_str_eq(read_text(&view), "all");
	ck_assert_ptr_eq(view.at, memory);
	ck_assert(stream_keep(&s, view, 3));
	ck_assert_uint_eq(stream_kept(&s).bytes, 0);
	ck_assert_ptr_null(s.in.at);
	ck_assert_int_eq(stream_read(&s, &room, &view), 0);
	ck_assert_uint_eq(view.bytes, 0);
}
END_TEST

START_TEST(what_is_left_comes_again_with_what_follows)
{
	struct stream_view view;

	send_text("onetw");
	ck_assert_str_eq(read_text(&view), "onetw");
	ck_assert(stream_keep(&s, view, 3));
	/* Another stream has the memory meanwhile. */
	memset(memory, 'x', sizeof(memory));
	ck_assert_uint_eq(stream_kept(&s).bytes, 2);
	send_text("othree");
	ck_assert_str_eq(read_text(&view), "twothree");
	ck_assert(stream_keep(&s, view, 3));
	send_text("four");
	ck_assert_str_eq(read_text(&view), "threefour");
	ck_assert(stream_keep(&s, view, 9));
	ck_assert_uint_eq(stream_kept(&s).bytes, 0);
}
END_TEST

START_TEST(no_more_is_read_at_once_than_there_is_room)
{
	struct stream_view view;
	char text[2 * ROOM + 1] = "";

	memset(text, 'a', 2 * ROOM);
	send_text(text);
	ck_assert_uint_eq(strlen(read_text(&view)), ROOM);
	ck_assert(stream_keep(&s, view, 0));
	ck_assert_str_eq(read_text(&view), text);
}
END_TEST

START_TEST(an_end_is_told_and_what_was_kept_is_still_there)
{
	struct stream_view view;

	send_text("half");
	read_text(&view);
	ck_assert(stream_keep(&s, view, 1));
	close(peer);
	peer = -1;
	ck_assert_int_eq(stream_read(&s, &room, &view), -1);
	ck_assert_uint_eq(view.bytes, 3);
	ck_assert_mem_eq(view.at, "alf", 3);
}
END_TEST

START_TEST(a_paused_stream_is_not_read_until_it_goes_on)
{
	send_text("now");
	turn();
	ck_assert_uint_eq(readable, 1);
	stream_pause(&s);
	turn();
	ck_assert_uint_eq(readable, 1);
	ck_assert(s.paused);
	stream_resume(&s);
	turn();
	ck_assert_uint_eq(readable, 2);
	ck_assert(!s.paused);
}
END_TEST

/* ---- Out --------------------------------------------------------------- */

START_TEST(nothing_goes_before_it_is_released)
{
	put_text("one");
	ck_assert_int_eq(stream_send(&s), 0);
	turn();
	ck_assert_str_eq(got_text(), "");
	ck_assert_uint_eq(stream_queued(&s), 3);
	ck_assert_int_eq(stream_release(&s), 0);
	ck_assert_str_eq(got_text(), "one");
	put_text("two");
	ck_assert_int_eq(stream_send(&s), 0);
	ck_assert_str_eq(got_text(), "");
	ck_assert_int_eq(stream_release(&s), 0);
	ck_assert_str_eq(got_text(), "two");
	ck_assert_uint_eq(stream_queued(&s), 0);
}
END_TEST

/* Fill the socket; how many bytes were put. */
static size_t
fill(void)
{
	static const uint8_t bytes[8192] = { 0 };
	const struct stream_view part = { bytes, sizeof(bytes) };
	size_t put = 0;

	do {
		ck_assert(stream_put(&s, &part, 1));
		put += sizeof(bytes);
		ck_assert_int_eq(stream_release(&s), 0);
	} while (stream_queued(&s) == 0);
	return put;
}

START_TEST(what_the_socket_does_not_take_goes_when_it_is_writable)
{
	size_t put = fill(), got = 0;
	char bytes[65536];

	turn();
	ck_assert_uint_eq(writable, 0);
	/* What is put now, and not released, stays though the socket takes more. */
	put_text("later");
	while (got < put) {
		ssize_t n = read(peer, bytes, sizeof(bytes));

		if (n > 0) {
			got += (size_t)n;
			continue;
		}
		ck_assert_uint_gt(stream_queued(&s), 5);
		turn();
		ck_assert_uint_gt(writable, 0);
		ck_assert_int_eq(stream_send(&s), 0);
	}
	ck_assert_uint_eq(got, put);
	ck_assert_uint_eq(stream_queued(&s), 5);
	ck_assert_str_eq(got_text(), "");
	ck_assert_int_eq(stream_release(&s), 0);
	ck_assert_str_eq(got_text(), "later");
}
END_TEST

START_TEST(many_parts_in_a_row_keep_their_order)
{
	size_t put = fill(), got = 0;
	uint8_t bytes[1000], expected = 0;

	for (int i = 0; i < 200; i++) {
		uint8_t text[1000];
		const struct stream_view parts[2] = { { text, 400 },
			{ text + 400, 600 } };

		memset(text, i, sizeof(text));
		ck_assert(stream_put(&s, parts, 2));
		ck_assert_int_eq(stream_release(&s), 0);
		for (size_t left = sizeof(bytes); i % 2 && left > 0;) {
			ssize_t n = read(peer, bytes, left);

			ck_assert_int_gt(n, 0);
			left -= (size_t)n;
			got += (size_t)n;
		}
		ck_assert_int_eq(stream_send(&s), 0);
	}
	while (got < put + 200000) {
		ssize_t n =
		    read(peer, bytes, got < put && put - got < 1000 ? put - got : 1000);

		if (n < 0) {
			ck_assert_int_eq(stream_send(&s), 0);
			continue;
		}
		for (ssize_t i = 0; got >= put && i < n; i++) {
			expected = (uint8_t)((got + (size_t)i - put) / 1000);
			ck_assert_uint_eq(bytes[i], expected);
		}
		got += (size_t)n;
	}
	ck_assert_uint_eq(expected, 199);
	ck_assert_uint_eq(stream_queued(&s), 0);
}
END_TEST

START_TEST(a_peer_that_has_gone_is_told_and_raises_no_signal)
{
	close(peer);
	peer = -1;
	put_text("nobody");
	ck_assert_int_eq(stream_release(&s), -1);
	ck_assert_int_eq(stream_send(&s), -1);
}
END_TEST

/* ---- Memory ------------------------------------------------------------ */

START_TEST(without_memory_it_is_said_and_nothing_is_made_up)
{
	const struct stream_view part = { (const uint8_t *)"text", 4 };
	struct stream_view view;

	send_text("half");
	read_text(&view);
	failing_arm(0, FAILING_REST);
	ck_assert(!stream_keep(&s, view, 1));
	ck_assert(!stream_put(&s, &part, 1));
	failing_end();
	ck_assert_uint_eq(stream_kept(&s).bytes, 0);
	ck_assert_uint_eq(stream_queued(&s), 0);
}
END_TEST

START_TEST(memory_is_given_back_when_there_is_nothing_in_it)
{
	size_t put = fill(), got = 0;
	char bytes[65536];

	while (got < put) {
		ssize_t n = read(peer, bytes, sizeof(bytes));

		got += n > 0 ? (size_t)n : 0;
		ck_assert_int_eq(stream_send(&s), 0);
	}
	ck_assert_uint_eq(s.out.room, 0);
}
END_TEST

START_TEST(what_it_holds_beyond_a_little_is_told)
{
	static uint8_t much[100000];
	uint8_t head[13] = { 0 };
	const struct stream_view parts[] = { { head, sizeof(head) },
		{ much, sizeof(much) } };
	size_t all = sizeof(head) + sizeof(much);

	put_text("little");
	ck_assert_uint_eq(stream_held(&s), 0);
	ck_assert_int_eq(stream_release(&s), 0);
	ck_assert_str_eq(got_text(), "little");
	strbuf_free(&s.out);
	/* Parts of a whole take no more than it needs. */
	ck_assert(stream_put(&s, parts, 2));
	ck_assert_uint_ge(stream_held(&s), all);
	ck_assert_uint_le(stream_held(&s), all + 1);
	while (stream_queued(&s) > 0) {
		ck_assert_int_eq(stream_release(&s), 0);
		while (read(peer, much, sizeof(much)) > 0)
			ck_assert_int_eq(stream_send(&s), 0);
	}
	ck_assert_uint_eq(stream_held(&s), 0);
}
END_TEST

START_TEST(the_rest_of_much_is_kept_in_little_memory)
{
	static uint8_t much[100000];
	struct stream_view view = { much, sizeof(much) };

	ck_assert(stream_keep(&s, view, 0));
	ck_assert_uint_ge(stream_held(&s), sizeof(much));
	much[0] = 7;
	memcpy(s.in.at + sizeof(much) - 3, "end", 3);
	ck_assert(stream_keep(&s, stream_kept(&s), sizeof(much) - 3));
	ck_assert_uint_eq(stream_held(&s), 0);
	ck_assert_uint_eq(stream_kept(&s).bytes, 3);
	ck_assert_mem_eq(stream_kept(&s).at, "end", 3);
}
END_TEST

START_TEST(the_rest_of_much_stays_where_it_is_without_memory)
{
	static uint8_t much[100000];
	struct stream_view view = { much, sizeof(much) };

	ck_assert(stream_keep(&s, view, 0));
	memcpy(s.in.at + sizeof(much) - 3, "end", 3);
	failing_after(0);
	ck_assert(stream_keep(&s, stream_kept(&s), sizeof(much) - 3));
	ck_assert(failing_end());
	ck_assert_uint_eq(stream_kept(&s).bytes, 3);
	ck_assert_mem_eq(stream_kept(&s).at, "end", 3);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stream");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, what_is_taken_at_once_is_never_kept);
	tcase_add_test(c, what_is_left_comes_again_with_what_follows);
	tcase_add_test(c, no_more_is_read_at_once_than_there_is_room);
	tcase_add_test(c, an_end_is_told_and_what_was_kept_is_still_there);
	tcase_add_test(c, a_paused_stream_is_not_read_until_it_goes_on);
	tcase_add_test(c, nothing_goes_before_it_is_released);
	tcase_add_test(c, what_the_socket_does_not_take_goes_when_it_is_writable);
	tcase_add_test(c, many_parts_in_a_row_keep_their_order);
	tcase_add_test(c, a_peer_that_has_gone_is_told_and_raises_no_signal);
	tcase_add_test(c, without_memory_it_is_said_and_nothing_is_made_up);
	tcase_add_test(c, memory_is_given_back_when_there_is_nothing_in_it);
	tcase_add_test(c, what_it_holds_beyond_a_little_is_told);
	tcase_add_test(c, the_rest_of_much_is_kept_in_little_memory);
	tcase_add_test(c, the_rest_of_much_stays_where_it_is_without_memory);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
