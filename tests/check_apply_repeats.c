/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in JSON that come again, or with memory that runs out: none counts twice. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "failing.h"
#include "json_talk.h"
#include "suite.h"

static struct talk *t;

static void
setup(void)
{
	t = talk_new(NULL, NULL);
}

static void
teardown(void)
{
	talk_free(t);
}

static double
resent(void)
{
	return self_cells(t->self, SELF_RESENT, 0)[0];
}

/* ---- Delivered again -------------------------------------------------- */

static const struct apply_peer request_1 = { .connection = 1,
	.pid = 7,
	.uid = 1000,
	.process_start = 50,
	.has_request = true,
	.request = 0x80000001 };

START_TEST(a_request_that_comes_again_is_answered_and_not_counted)
{
	struct apply_peer again = request_1;

	must_be_done_for(t, &request_1, METRICS(INC));
	again.connection = 2; /* nanomsg has connected anew */
	must_be_done_for(t, &again, METRICS(INC));
	ck_assert(page_has(t, "dynamo_c 1\n"));
	ck_assert_double_eq(resent(), 1);
}
END_TEST

START_TEST(any_other_request_is_counted)
{
	struct apply_peer number = request_1, pid = request_1, start = request_1,
			  push = request_1;

	must_be_done_for(t, &request_1, METRICS(INC));
	number.request++;
	must_be_done_for(t, &number, METRICS(INC));
	pid.pid++;
	must_be_done_for(t, &pid, METRICS(INC));
	start.process_start++;
	must_be_done_for(t, &start, METRICS(INC));
	must_be_done_for(t, &request_1, METRICS(INC " ")); /* other bytes */
	push.has_request = false;
	must_be_done_for(t, &push, METRICS(INC));
	must_be_done_for(t, &push, METRICS(INC));
	ck_assert(page_has(t, "dynamo_c 7\n"));
	ck_assert_double_eq(resent(), 0);
}
END_TEST

START_TEST(a_process_that_is_not_visible_is_known_by_its_connection)
{
	struct apply_peer hidden = request_1;

	hidden.pid = 0;
	hidden.process_start = 0;
	must_be_done_for(t, &hidden, METRICS(INC));
	must_be_done_for(t, &hidden, METRICS(INC));
	ck_assert(page_has(t, "dynamo_c 1\n"));
	hidden.connection++;
	must_be_done_for(t, &hidden, METRICS(INC));
	ck_assert(page_has(t, "dynamo_c 2\n"));
}
END_TEST

#define WITH_ID(id, more) "{\"id\":\"" id "\"," more "\"metrics\":[" INC "]}"

START_TEST(an_id_is_counted_once_whoever_brings_it)
{
	struct apply_peer other = { .connection = 9, .pid = 8, .uid = 1000 };

	must_be_done_for(t, &request_1, WITH_ID("a", ""));
	must_be_done_for(t, &other, WITH_ID("a", ""));
	ck_assert(page_has(t, "dynamo_c 1\n"));
	must_be_done_for(t, &other, WITH_ID("b", ""));
	other.uid = 1001;
	must_be_done_for(t, &other, WITH_ID("a", ""));
	ck_assert(page_has(t, "dynamo_c 3\n"));
	ck_assert_double_eq(resent(), 1);
}
END_TEST

START_TEST(an_id_with_another_content_is_refused)
{
	must_be_done(t, WITH_ID("a", ""));
	must_be_refused(t, WITH_ID("a", " "),
	    "\"reason\":\"duplicate\",\"text\":\"the id 'a' was "
	    "that of another message\"");
	ck_assert(page_has(t, "dynamo_c 1\n"));
	ck_assert_double_eq(resent(), 0);
}
END_TEST

START_TEST(the_answer_of_the_first_time_is_repeated)
{
	const char *message =
	    "{\"id\":\"a\",\"metrics\":[" INC ",{\"name\":\"1\",\"type\":\"gauge\"}]}";
	char *first = strdup(talk_json(t, message));

	ck_assert_ptr_nonnull(strstr(first, "\"index\":1,\"metric\":\"1\""));
	ck_assert_str_eq(talk_json(t, message), first);
	ck_assert(page_has(t, "dynamo_c 1\n"));
	ck_assert_double_eq(self_cells(t->self, SELF_REFUSED, REASON_NAME - 1)[0], 1);
	free(first);
}
END_TEST

START_TEST(an_answer_too_long_to_keep_is_repeated_in_short)
{
	struct strbuf message = STRBUF_EMPTY;

	strbuf_adds(&message, "{\"id\":\"a\",\"metrics\":[" INC);
	for (int i = 0; i < 100; i++)
		strbuf_adds(&message, ",{\"name\":\"1\",\"type\":\"gauge\"}");
	strbuf_adds(&message, "]}");
	must_be_refused(t, message.at, "\"index\":100");
	must_be_refused(t, message.at, "too long to be kept");
	ck_assert(page_has(t, "dynamo_c 1\n"));
	strbuf_free(&message);
}
END_TEST

/* A sender mends it, and may use its id then. */
START_TEST(what_was_refused_altogether_is_not_remembered)
{
	must_be_refused(t,
	    "{\"id\":\"a\",\"metrics\":[{\"name\":\"1\",\"type\":\"gauge\"}]}",
	    "\"reason\":\"name\"");
	must_be_done(t, WITH_ID("a", ""));
	ck_assert(page_has(t, "dynamo_c 1\n"));
}
END_TEST

START_TEST(a_message_is_known_for_the_window_and_not_for_ever)
{
	must_be_done(t, WITH_ID("a", ""));
	pass_ms(t, 599900);
	must_be_done(t, WITH_ID("a", ""));
	ck_assert(page_has(t, "dynamo_c 1\n"));
	pass_ms(t, 200);
	must_be_done(t, WITH_ID("a", ""));
	ck_assert(page_has(t, "dynamo_c 2\n"));
}
END_TEST

static const char *
at_time(int64_t ahead_ms, const char *id)
{
	static char message[256];
	double seconds = (double)(int64_t)(TALK_UNIX_MS + t->now_ms) / 1000;

	snprintf(message, sizeof(message),
	    "{\"id\":\"%s\",\"time\":%.3f,\"metrics\":[" INC "]}", id,
	    seconds + (double)ahead_ms / 1000);
	return message;
}

START_TEST(a_time_outside_the_window_is_refused)
{
	must_be_done(t, at_time(-599000, "a"));
	must_be_done(t, at_time(599000, "b"));
	must_be_refused(t, at_time(-601000, "c"),
	    "\"reason\":\"value\",\"text\":\"'time' is 601 s behind the daemon's clock; "
	    "it may be 600 s (ingest.dedupe_ms)\"");
	must_be_refused(
	    t, at_time(601000, "d"), "'time' is 601 s ahead of the daemon's clock");
	must_be_refused(
	    t, "{\"time\":-1e300,\"metrics\":[]}", "'time' is 1e+300 s behind");
	must_be_refused(t, "{\"time\":0,\"metrics\":[]}", "behind the daemon's clock");
	ck_assert(page_has(t, "dynamo_c 2\n"));
}
END_TEST

START_TEST(a_repeat_is_answered_when_its_time_is_over)
{
	char *message = strdup(at_time(-500000, "a"));

	must_be_done(t, message);
	pass_ms(t, 200000);
	must_be_done(t, message);
	ck_assert(page_has(t, "dynamo_c 1\n"));
	pass_ms(t, 400000);
	must_be_refused(t, message, "behind the daemon's clock");
	ck_assert(page_has(t, "dynamo_c 1\n"));
	free(message);
}
END_TEST

/* As long as its time is within the window, so long must it be known. */
START_TEST(a_message_from_the_future_is_known_for_longer)
{
	char *message = strdup(at_time(500000, "a"));

	must_be_done(t, message);
	pass_ms(t, 1099000);
	must_be_done(t, message);
	ck_assert(page_has(t, "dynamo_c 1\n"));
	pass_ms(t, 2000);
	must_be_refused(t, message, "behind the daemon's clock");
	ck_assert(page_has(t, "dynamo_c 1\n"));
	free(message);
}
END_TEST

static void
remember_at_most(uint32_t keys, uint32_t ms)
{
	struct apply_options o = { .lease_ms = 15000,
		.grace_ms = 2000,
		.json_bytes = 65536,
		.dedupe_ms = ms,
		.dedupe_keys = keys };

	apply_set_options(t->apply, &o);
}

START_TEST(no_message_is_forgotten_early_for_want_of_room)
{
	remember_at_most(2, 10000);
	must_be_done(t, WITH_ID("a", ""));
	pass_ms(t, 5000);
	must_be_done(t, WITH_ID("b", ""));
	must_be_refused(t, WITH_ID("c", ""),
	    "\"reason\":\"limit\",\"text\":\"2 messages are "
	    "remembered already, so that none is counted twice "
	    "(ingest.dedupe_keys): send it again later\"");
	must_be_done(t, WITH_ID("a", ""));
	must_be_done(t, METRICS(INC)); /* nothing to remember */
	ck_assert(page_has(t, "dynamo_c 3\n"));
	pass_ms(t, 5100);
	must_be_done(t, WITH_ID("c", ""));
	must_be_done(t, WITH_ID("b", ""));
	ck_assert(page_has(t, "dynamo_c 4\n"));
}
END_TEST

START_TEST(without_a_window_nothing_is_remembered)
{
	remember_at_most(2, 0);
	for (int i = 0; i < 5; i++)
		must_be_done_for(t, &request_1, WITH_ID("a", "\"time\":5,"));
	ck_assert(page_has(t, "dynamo_c 5\n"));
}
END_TEST

/* ---- Without memory --------------------------------------------------- */

static const struct {
	const char *before; /* may be NULL */
	const char *message;
	const char *page;
} scenes[] = {
	{ NULL, METRICS(INC), "# TYPE dynamo_c counter\ndynamo_c 1\n" },
	{ METRICS(INC), METRICS(INC), "# TYPE dynamo_c counter\ndynamo_c 2\n" },
	{ NULL, METRICS(SET("4,\"ttl_s\":9")), "# TYPE dynamo_g gauge\ndynamo_g 4\n" },
	{ METRICS(SET("1")), METRICS(SET("2,\"ttl_s\":9")),
	    "# TYPE dynamo_g gauge\ndynamo_g 2\n" },
	{ METRICS("{\"name\":\"g\",\"type\":\"counter\",\"inc\":9}"),
	    METRICS("{\"name\":\"g\",\"type\":\"gauge\",\"labels\":{\"a\":\"1\"},\"add\":"
		    "4}"),
	    "# TYPE dynamo_g gauge\ndynamo_g{a=\"1\"} 4\n" },
	{ NULL,
	    METRICS("{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1],\"observe\":"
		    "[1,2]}"),
	    "# TYPE dynamo_h histogram\ndynamo_h_bucket{le=\"1\"} 1\n"
	    "dynamo_h_bucket{le=\"+Inf\"} 2\ndynamo_h_sum 3\ndynamo_h_count 2\n" },
	{ METRICS("{\"name\":\"c\",\"type\":\"counter\",\"inc\":9,\"labels\":{\"a\":"
		  "\"1\"}}"),
	    METRICS("{\"name\":\"c\",\"labels\":{\"a\":\"1\"},\"remove\":true}"), "" },
	{ NULL,
	    "{\"id\":\"i\",\"namespace\":\"n\",\"metrics\":[" INC
	    ",{\"name\":\"1\",\"type\":\"gauge\"}]}",
	    "# TYPE dynamo_c counter\ndynamo_c{namespace=\"n\"} 1\n" },
};

/* One message without the n-th allocation: it is refused for want of memory with nothing
 * changed, or applied; and when it comes again, it is counted once. */
static bool
one_failure(size_t n, const char *before, const char *message, const char *page)
{
	bool was_refused;
	char *page_before;

	if (before)
		must_be_done(t, before);
	page_before = strdup(talk_page(t, ""));
	failing_after(n);
	strbuf_reset(&t->reply);
	apply_request(t->apply, &(struct apply_peer){ .pid = 1, .uid = 1000 }, message,
	    strlen(message), t->now_ms, &t->reply);
	was_refused = failing_end();
	if (t->reply.failed)
		strbuf_free(&t->reply);
	else if (strstr(t->reply.at, "out of memory"))
		ck_assert_str_eq(talk_page(t, ""), page_before);
	else
		ck_assert_str_eq(talk_page(t, ""), page);
	free(page_before);
	return was_refused;
}

START_TEST(every_allocation_refused_leaves_no_half_of_a_metric)
{
	json_set_alloc_funcs(failing_malloc, failing_free);
	for (size_t n = 0; failing_more(n); n++) {
		teardown();
		setup();
		one_failure(n, scenes[_i].before, scenes[_i].message, scenes[_i].page);
	}
	json_set_alloc_funcs(malloc, free);
}
END_TEST

START_TEST(a_message_that_memory_cut_off_is_counted_once_when_it_is_sent_again)
{
	json_set_alloc_funcs(failing_malloc, failing_free);
	for (size_t n = 0; failing_more(n); n++) {
		teardown();
		setup();
		failing_after(n);
		strbuf_reset(&t->reply);
		apply_request(t->apply, &(struct apply_peer){ .pid = 1, .uid = 1000 },
		    WITH_ID("a", ""), strlen(WITH_ID("a", "")), t->now_ms, &t->reply);
		failing_end();
		if (t->reply.failed)
			strbuf_free(&t->reply);
		must_be_done(t, WITH_ID("a", ""));
		ck_assert_str_eq(
		    talk_page(t, ""), "# TYPE dynamo_c counter\ndynamo_c 1\n");
	}
	json_set_alloc_funcs(malloc, free);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("apply_repeats");
	TCase *c = tcase_create("apply_repeats");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	ADD(a_request_that_comes_again_is_answered_and_not_counted);
	ADD(any_other_request_is_counted);
	ADD(a_process_that_is_not_visible_is_known_by_its_connection);
	ADD(an_id_is_counted_once_whoever_brings_it);
	ADD(an_id_with_another_content_is_refused);
	ADD(the_answer_of_the_first_time_is_repeated);
	ADD(an_answer_too_long_to_keep_is_repeated_in_short);
	ADD(what_was_refused_altogether_is_not_remembered);
	ADD(a_message_is_known_for_the_window_and_not_for_ever);
	ADD(a_time_outside_the_window_is_refused);
	ADD(a_repeat_is_answered_when_its_time_is_over);
	ADD(a_message_from_the_future_is_known_for_longer);
	ADD(no_message_is_forgotten_early_for_want_of_room);
	ADD(without_a_window_nothing_is_remembered);
	ADD_ROWS(every_allocation_refused_leaves_no_half_of_a_metric, scenes);
	ADD(a_message_that_memory_cut_off_is_counted_once_when_it_is_sent_again);
	return suite_run(s);
}
