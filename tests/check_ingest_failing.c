/* SPDX-License-Identifier: Apache-2.0 */
/* The workers' socket when memory is out: every allocation is refused in turn, libevent's
 * and jansson's too. A request or a connection fails, and nothing else does. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "failing.h"
#include "ingest_rig.h"
#include "suite.h"

#define ADD_ONE "{\"metrics\":[{\"name\":\"n\",\"type\":\"counter\",\"inc\":1}]}"

static struct ingest_rig r;
static struct ingest_options options;

static void
set_up(void)
{
	json_set_alloc_funcs(failing_malloc, failing_free);
	event_set_mem_functions(failing_malloc, failing_realloc, failing_free);
	options = ingest_rig_options();
	ingest_rig_start(&r, &options);
}

static void
tear_down(void)
{
	ingest_rig_stop(&r);
}

static int
count(void)
{
	const char *at = strstr(talk_page(r.t, ""), "\ndynamo_n ");

	return at ? atoi(at + 10) : 0;
}

/* All that was there is gone, and it goes on as before. */
static void
check_whole(void)
{
	int before = count(), fd;

	ingest_rig_settle(&r);
	ck_assert_uint_eq(r.in->connections, 0);
	ck_assert_uint_eq(owners_count(&r.in->users, geteuid()), 0);
	ck_assert_double_eq(ingest_rig_buffered(&r), 0);
	ck_assert(TAILQ_EMPTY(&r.in->held));
	ck_assert(TAILQ_EMPTY(&r.in->waiting));
	ck_assert(TAILQ_EMPTY(&r.in->bulky));
	fd = ingest_rig_join(&r, SP_REQ);
	ck_assert(ingest_rig_ask(fd, ADD_ONE, sizeof(ADD_ONE) - 1));
	ingest_rig_settle(&r);
	ck_assert_int_gt(ingest_rig_take(fd), 0);
	ck_assert_int_eq(count(), before + 1);
	close(fd);
	ingest_rig_settle(&r);
}

/* ---- What a peer does ------------------------------------------------------ */

static void
put_header(int fd)
{
	uint8_t header[SP_HEADER_BYTES];

	sp_put_header(header, SP_REQ);
	send(fd, header, sizeof(header), MSG_NOSIGNAL);
	ingest_rig_settle(&r);
}

static void
come_and_go(int fd)
{
	put_header(fd);
}

static void
say_a_part(int fd)
{
	static uint8_t part[100000];
	size_t sent = 0;

	put_header(fd);
	sp_put_frame(part, 2 * sizeof(part));
	for (int i = 0; i < 10 && sent < sizeof(part); i++) {
		ssize_t n = send(
		    fd, part + sent, sizeof(part) - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		sent += n > 0 ? (size_t)n : 0;
		ingest_rig_settle(&r);
	}
}

static void
ask_for_much(int fd)
{
	uint8_t bytes[64];
	struct wire_writer w;

	put_header(fd);
	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_expose(&w, &(struct message_level){ 0 });
	/* More than the socket takes. */
	for (int i = 0; i < 40; i++) {
		ingest_rig_ask(fd, bytes, w.bytes);
		ingest_rig_settle(&r);
	}
	for (int i = 0; i < 40; i++) {
		ingest_rig_take(fd);
		ingest_rig_settle(&r);
	}
}

static void
come_back_after_a_hold(int fd)
{
	put_header(fd);
	ingest_hold(r.in, true);
	ingest_rig_ask(fd, ADD_ONE, sizeof(ADD_ONE) - 1);
	ingest_rig_settle(&r);
	ingest_hold(r.in, false);
	ingest_rig_settle(&r);
}

static void (*const acts[])(
    int fd) = { come_and_go, say_a_part, ask_for_much, come_back_after_a_hold };

START_TEST(a_connection_fails_and_nothing_else)
{
	size_t refused = 0;

	options.queue_bytes = 20000;
	ingest_set_options(r.in, &options);
	ck_assert_str_eq(talk_json(r.t, ADD_ONE), "{\"ok\":true}");
	for (size_t n = 0; failing_more(n); n++) {
		int fd;

		failing_after(n);
		fd = ingest_rig_connect(&r);
		acts[_i](fd);
		close(fd);
		ingest_rig_settle(&r);
		refused += failing_end();
		check_whole();
	}
	ck_assert_uint_gt(refused, 5);
}
END_TEST

START_TEST(a_request_is_counted_if_it_was_acknowledged)
{
	for (size_t n = 0; failing_more(n); n++) {
		int fd = ingest_rig_join(&r, SP_REQ), before = count();
		long answer;

		failing_after(n);
		ck_assert(ingest_rig_ask(fd, ADD_ONE, sizeof(ADD_ONE) - 1));
		ingest_rig_settle(&r);
		answer = ingest_rig_take(fd);
		failing_end();
		ck_assert_int_le(count(), before + 1);
		/* A refusal is longer. */
		if (answer == SP_FRAME_BYTES + 4 + sizeof("{\"ok\":true}") - 1)
			ck_assert_int_eq(count(), before + 1);
		close(fd);
		ingest_rig_settle(&r);
		check_whole();
	}
}
END_TEST

START_TEST(without_any_memory_those_that_come_are_closed)
{
	int fds[5];

	failing_arm(0, FAILING_REST);
	for (int i = 0; i < 5; i++)
		fds[i] = ingest_rig_connect(&r);
	ingest_rig_settle(&r);
	failing_end();
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_MEMORY), 5);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_lt(ingest_rig_take(fds[i]), 0);
		close(fds[i]);
	}
	check_whole();
}
END_TEST

START_TEST(one_that_cannot_be_read_again_is_closed)
{
	int fd = ingest_rig_join(&r, SP_REQ);

	ingest_hold(r.in, true);
	ck_assert(ingest_rig_ask(fd, ADD_ONE, sizeof(ADD_ONE) - 1));
	ingest_rig_settle(&r);
	/* The loop refuses a descriptor that is none. */
	close(TAILQ_FIRST(&r.in->open)->stream.fd);
	ingest_hold(r.in, false);
	ck_assert_uint_eq(r.in->connections, 1);
	ingest_rig_settle(&r);
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_MEMORY), 1);
	ck_assert_int_lt(ingest_rig_take(fd), 0);
	close(fd);
	check_whole();
}
END_TEST

START_TEST(it_starts_whole_or_not_at_all)
{
	for (size_t n = 0; failing_more(n); n++) {
		struct ingest_options o = options;
		struct ingest *in;

		o.listen = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		ck_assert_int_eq(listen(o.listen, 1), -1);
		failing_after(n);
		in = ingest_new(&o, r.base, &r.now, r.t->apply, r.t->self, r.t->log);
		ck_assert(failing_end() == (in == NULL));
		ingest_free(in);
		/* It was closed, in any case. */
		ck_assert_int_eq(close(o.listen), -1);
		ck_assert_int_eq(errno, EBADF);
	}
}
END_TEST

/* ---- Descriptors ------------------------------------------------------------ */

/* As many as are open now, and so many more. */
static void
leave_descriptors(unsigned more, struct rlimit *ret_before)
{
	struct rlimit few;
	int next = dup(0);

	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, ret_before), 0);
	few = *ret_before;
	few.rlim_cur = (rlim_t)next + more;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
}

START_TEST(one_whose_death_could_not_be_seen_is_not_taken)
{
	struct rlimit before;
	int fd = ingest_rig_connect(&r);

	ck_assert_int_ge(fd, 0);
	leave_descriptors(1, &before);
	ingest_rig_settle(&r);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_lt(ingest_rig_take(fd), 0);
	ck_assert_double_eq(ingest_rig_closed(&r, SELF_CLOSED_DESCRIPTORS), 1);
	close(fd);
	check_whole();
}
END_TEST

START_TEST(without_descriptors_they_wait_and_the_loop_rests)
{
	struct rlimit before;
	int fd = ingest_rig_connect(&r);
	uint64_t began_ns = turn_clock_ns();

	leave_descriptors(0, &before);
	ingest_rig_settle(&r);
	turn_end(&r.now);
	ingest_rig_pass(&r);
	ck_assert_uint_eq(r.now.began_ns, 0); /* it would wait */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	ck_assert_int_eq(ingest_rig_take(fd), 0);
	while (r.in->connections == 0) {
		ck_assert_uint_lt(turn_clock_ns() - began_ns, 20 * 1000000000U);
		ingest_rig_settle(&r);
	}
	put_header(fd);
	ck_assert_int_eq(ingest_rig_take(fd), SP_HEADER_BYTES);
	close(fd);
	ingest_rig_settle(&r);
	check_whole();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ingest_failing");
	TCase *c = tcase_create("all");
	int n_acts = (int)(sizeof(acts) / sizeof(acts[0]));
	bool limits_hold = !suite_is_under_valgrind();

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, a_connection_fails_and_nothing_else, 0, n_acts);
	tcase_add_test(c, a_request_is_counted_if_it_was_acknowledged);
	tcase_add_test(c, without_any_memory_those_that_come_are_closed);
	tcase_add_test(c, one_that_cannot_be_read_again_is_closed);
	tcase_add_test(c, it_starts_whole_or_not_at_all);
	if (limits_hold) {
		tcase_add_test(c, one_whose_death_could_not_be_seen_is_not_taken);
		tcase_add_test(c, without_descriptors_they_wait_and_the_loop_rests);
	}
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
