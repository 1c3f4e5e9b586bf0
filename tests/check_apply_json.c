/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in JSON: what they do to the page. */
#include <stdio.h>
#include <stdlib.h>

#include "json_talk.h"
#include "suite.h"

static struct talk *t;
static struct talk_worker *a;

static void
setup(void)
{
	t = talk_new(NULL, NULL);
	a = talk_worker(t, 100);
}

static void
teardown(void)
{
	talk_free(t);
}

/* ---- What messages do ------------------------------------------------- */

#define LEVEL "\"namespace\":\"n\",\"component\":\"c\",\"endpoint\":\"e\""

START_TEST(json_counts_sets_and_observes_at_any_level)
{
	must_be_done(t, "{" LEVEL ",\"metrics\":[" INC "," INC "]}");
	must_be_done(
	    t, METRICS("{\"name\":\"g\",\"type\":\"gauge\",\"help\":\"G\",\"set\":-1.5},"
		       "{\"name\":\"g\",\"type\":\"gauge\",\"add\":0.5},"
		       "{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1],"
		       "\"observe\":[0.5,1,2]}"));
	must_be_done(t, "{" LEVEL ",\"metrics\":[" INC "]}");
	ck_assert_str_eq(talk_page(t, ""),
	    "# TYPE dynamo_c counter\n"
	    "dynamo_c{namespace=\"n\",component=\"c\",endpoint=\"e\"} 3\n"
	    "# HELP dynamo_g G\n# TYPE dynamo_g gauge\ndynamo_g -1\n"
	    "# TYPE dynamo_h histogram\ndynamo_h_bucket{le=\"1\"} 2\n"
	    "dynamo_h_bucket{le=\"+Inf\"} 3\ndynamo_h_sum 3.5\ndynamo_h_count 3\n");
}
END_TEST

START_TEST(define_only_shows_a_counter_as_0_and_no_gauge)
{
	must_be_done(t, METRICS("{\"name\":\"c\",\"type\":\"counter\",\"help\":\"C\"},"
				"{\"name\":\"g\",\"type\":\"gauge\"}"));
	ck_assert_str_eq(
	    talk_page(t, ""), "# HELP dynamo_c C\n# TYPE dynamo_c counter\ndynamo_c 0\n");
}
END_TEST

START_TEST(registrations_show_in_the_debug_log_once)
{
	const char *line = "registered counter 'c' at n/k by a message in JSON (pid ";
	char *found;

	for (int i = 0; i < 2; i++)
		must_be_done(
		    t, "{\"namespace\":\"n\",\"component\":\"k\",\"metrics\":[" INC "]}");
	found = strstr(t->logged.at, line);
	ck_assert_ptr_nonnull(found);
	ck_assert_ptr_null(strstr(found + 1, line));
}
END_TEST

START_TEST(json_and_workers_share_a_series)
{
	talk_hello(a, NULL);
	talk_define(a, &json_counter, "", 0);
	talk_set(a, 0, 5);
	must_be_done(t, METRICS(INC));
	ck_assert(page_has(t, "dynamo_c 6\n"));
	talk_set(a, 0, 6);
	ck_assert(page_has(t, "dynamo_c 7\n"));
}
END_TEST

START_TEST(a_gauge_of_json_stays_when_workers_die)
{
	talk_hello(a, NULL);
	talk_define(a, &json_gauge, "", 0);
	talk_set(a, 0, 5);
	must_be_done(t, METRICS(SET("2")));
	ck_assert(page_has(t, "dynamo_g 7\n"));
	talk_disconnect(a, true);
	ck_assert(page_has(t, "dynamo_g 2\n"));
}
END_TEST

START_TEST(a_refused_metric_does_not_take_its_neighbours_along)
{
	must_be_refused(t,
	    METRICS("{\"name\":\"a\",\"type\":\"counter\",\"inc\":1},"
		    "{\"name\":\"\",\"type\":\"counter\"},"
		    "{\"name\":\"b\",\"type\":\"counter\",\"inc\":1}"),
	    "[{\"index\":1,\"metric\":\"\",\"reason\":\"name\",");
	ck_assert(page_has(t, "dynamo_a 1\n"));
	ck_assert(page_has(t, "dynamo_b 1\n"));
}
END_TEST

/* What the registry says no to: the reason and the sentence reach the sender. */
static const struct {
	const char *metric;
	const char *words;
} refused[] = {
	{ "{\"name\":\"1x\",\"type\":\"counter\"}",
	    "{\"index\":0,\"metric\":\"1x\",\"reason\":\"name\"" },
	{ "{\"name\":\"x y\",\"type\":\"counter\"}", "\"reason\":\"name\"" },
	{ "{\"name\":\"x\",\"type\":\"gauge\",\"labels\":{\"endpoint\":\"1\"}}",
	    "Label 'endpoint' is automatically added by auto_label feature" },
	{ "{\"name\":\"x\",\"type\":\"gauge\",\"labels\":{\"a-b\":\"1\"}}",
	    "\"reason\":\"label\"" },
	{ "{\"name\":\"x\",\"type\":\"histogram\",\"labels\":{\"le\":\"1\"}}",
	    "\"reason\":\"reserved\"" },
	{ "{\"name\":\"x\",\"type\":\"gauge\",\"labels\":{\"__a\":\"1\"}}",
	    "\"reason\":\"reserved\"" },
	{ "{\"name\":\"x\",\"type\":\"histogram\",\"buckets\":[2,1]}",
	    "\"reason\":\"bounds\"" },
	{ "{\"name\":\"x\",\"type\":\"histogram\",\"buckets\":[1,1]}",
	    "\"reason\":\"bounds\"" },
	{ "{\"name\":\"x\",\"type\":\"counter\",\"buckets\":[1]}",
	    "\"reason\":\"bounds\"" },
	{ "{\"name\":\"x\",\"type\":\"counter\",\"merge\":\"max\"}",
	    "\"reason\":\"merge\"" },
	{ "{\"name\":\"metricsd_workers\",\"type\":\"gauge\"}",
	    "\"reason\":\"collision\"" },
	{ "{\"name\":\"1x\",\"remove\":true}", "\"reason\":\"name\"" },
	{ "{\"name\":\"x\",\"remove\":true,\"labels\":{\"a-b\":\"\"}}",
	    "\"reason\":\"label\"" },
};

START_TEST(what_the_registry_refuses_is_told_and_changes_nothing)
{
	char message[512];

	snprintf(message, sizeof(message), METRICS("%s"), refused[_i].metric);
	must_be_refused(t, message, refused[_i].words);
	ck_assert_str_eq(talk_page(t, ""), "");
	ck_assert_uint_eq(registry_families(t->registry), 0);
}
END_TEST

/* A message around a text, and how long that may be. */
static const struct {
	const char *before;
	const char *after;
	size_t bytes;
} lengths[] = {
	{ "{\"metrics\":[{\"type\":\"counter\",\"name\":\"", "\"}]}", 200 },
	{ "{\"metrics\":[{\"name\":\"x\",\"type\":\"counter\",\"help\":\"", "\"}]}",
	    1024 },
	{ "{\"metrics\":[{\"name\":\"x\",\"type\":\"counter\",\"labels\":{\"a\":\"",
	    "\"}}]}", 1024 },
	{ "{\"metrics\":[{\"name\":\"x\",\"type\":\"counter\",\"labels\":{\"",
	    "\":\"\"}}]}", 1024 },
	{ "{\"metrics\":[{\"name\":\"x\",\"type\":\"counter\"}],\"namespace\":\"", "\"}",
	    128 },
	{ "{\"metrics\":[{\"name\":\"x\",\"type\":\"counter\"}],\"id\":\"", "\"}", 128 },
};

START_TEST(a_text_may_be_as_long_as_its_limit)
{
	char text[2048], message[4096];

	memset(text, 'x', sizeof(text));
	text[lengths[_i].bytes + 1] = '\0';
	snprintf(message, sizeof(message), "%s%s%s", lengths[_i].before, text,
	    lengths[_i].after);
	must_be_refused(t, message, "\"reason\":\"length\"");
	ck_assert_str_eq(talk_page(t, ""), "");
	text[lengths[_i].bytes] = '\0';
	snprintf(message, sizeof(message), "%s%s%s", lengths[_i].before, text,
	    lengths[_i].after);
	must_be_done(t, message);
	ck_assert_uint_eq(registry_count(t->registry, MESSAGE_COUNTER), 1);
}
END_TEST

START_TEST(the_log_names_the_metric_that_was_refused)
{
	must_be_refused(t,
	    METRICS(
		"{\"name\":\"x\",\"type\":\"gauge\",\"labels\":{\"endpoint\":\"1\"}}"),
	    "\"metric\":\"x\"");
	ck_assert_ptr_nonnull(strstr(t->logged.at,
	    "apply: refused (reserved) from pid 1, uid 1000: 'x': Label 'endpoint' is "
	    "automatically added"));
	t->now_ms += 2000;
	must_be_refused(t, METRICS("{\"name\":\"y\",\"type\":\"counter\",\"inc\":-1}"),
	    "\"metric\":\"y\"");
	ck_assert_ptr_nonnull(strstr(
	    t->logged.at, "uid 1000: the counter 'y' cannot go down: 'inc' is -1\n"));
}
END_TEST

START_TEST(another_shape_than_live_workers_have_is_refused)
{
	talk_hello(a, NULL);
	talk_define(a, &json_counter, "", 0);
	must_be_refused(t, METRICS("{\"name\":\"c\",\"type\":\"gauge\",\"set\":1}"),
	    "\"reason\":\"type\"");
	must_be_refused(t, METRICS("{\"name\":\"c\",\"type\":\"gauge\",\"remove\":true}"),
	    "\"reason\":\"type\"");
	ck_assert(page_has(t, "dynamo_c 0\n"));
}
END_TEST

START_TEST(a_total_that_no_double_holds_is_refused)
{
	must_be_done(t,
	    METRICS("{\"name\":\"c\",\"type\":\"counter\",\"inc\":1e308},"
		    "{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1],\"observe\":"
		    "1e308}"));
	must_be_refused(t, METRICS("{\"name\":\"c\",\"type\":\"counter\",\"inc\":1e308}"),
	    "\"reason\":\"value\"");
	must_be_refused(t,
	    METRICS("{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1],"
		    "\"observe\":[0.5,1e308]}"),
	    "\"reason\":\"value\"");
	ck_assert(page_has(t, "dynamo_c 1e+308\n"));
	ck_assert(page_has(t, "dynamo_h_count 1\n"));
}
END_TEST

/* An answer must fit into a message, or its receiver breaks off and asks again. */
START_TEST(an_answer_lists_no_more_errors_than_fit)
{
	static char big[65536];
	size_t n = (size_t)sprintf(big, "{\"metrics\":[1");
	const char *reply;

	while (n < sizeof(big) - 3)
		n += (size_t)sprintf(big + n, ",1");
	strcpy(big + n, "]}");
	reply = talk_json(t, big);
	ck_assert_uint_lt(strlen(reply), 70000);
	ck_assert_ptr_nonnull(strstr(reply, "{\"index\":0,"));
	ck_assert_ptr_nonnull(strstr(reply, " more metrics were refused\"}]}"));
	ck_assert_double_ge(
	    self_cells(t->self, SELF_REFUSED, REASON_FIELD - 1)[0], 32000);
}
END_TEST

START_TEST(a_message_over_the_limit_is_refused_unread)
{
	static char big[65537 + 64];

	memset(big, ' ', sizeof(big));
	memcpy(big, METRICS(INC), strlen(METRICS(INC)));
	big[65536] = '\0';
	must_be_done(t, big);
	big[65536] = ' ';
	big[65537] = '\0';
	must_be_refused(t, big,
	    "the JSON message has 65537 bytes; the limit is 65536 "
	    "(ingest.json_bytes)");
	ck_assert(page_has(t, "dynamo_c 1\n"));
}
END_TEST

/* ---- Removal ---------------------------------------------------------- */

START_TEST(a_removed_counter_starts_again_at_0)
{
	must_be_done(
	    t, METRICS("{\"name\":\"c\",\"type\":\"counter\",\"inc\":5,\"labels\":{"
		       "\"k\":\"1\"}},{\"name\":\"c\",\"type\":\"counter\",\"inc\":7}"));
	must_be_done(
	    t, METRICS("{\"name\":\"c\",\"labels\":{\"k\":\"1\"},\"remove\":true}"));
	ck_assert_str_eq(talk_page(t, ""), "# TYPE dynamo_c counter\ndynamo_c 7\n");
	ck_assert_double_eq(left_by(t, REGISTRY_REQUEST), 1);
	must_be_done(
	    t, METRICS("{\"name\":\"c\",\"labels\":{\"k\":\"1\"},\"type\":\"counter\"}"));
	ck_assert(page_has(t, "dynamo_c{k=\"1\"} 0\n"));
}
END_TEST

START_TEST(removing_what_is_not_there_is_ok)
{
	must_be_done(t, METRICS("{\"name\":\"c\",\"remove\":true}"));
	must_be_done(t, METRICS(INC));
	must_be_done(
	    t, "{\"namespace\":\"n\",\"metrics\":[{\"name\":\"c\",\"remove\":true}]}");
	must_be_done(
	    t, METRICS("{\"name\":\"c\",\"labels\":{\"a\":\"1\"},\"remove\":true}"));
	ck_assert(page_has(t, "dynamo_c 1\n"));
	ck_assert_double_eq(left_by(t, REGISTRY_REQUEST), 0);
	must_be_done(t, METRICS("{\"name\":\"c\",\"remove\":true}"));
	must_be_done(t, METRICS("{\"name\":\"c\",\"remove\":true}"));
	ck_assert_str_eq(talk_page(t, ""), "");
	ck_assert_uint_eq(registry_families(t->registry), 0);
}
END_TEST

START_TEST(a_removed_gauge_leaves_the_parts_of_workers)
{
	talk_hello(a, NULL);
	talk_define(a, &json_gauge, "", 0);
	talk_set(a, 0, 5);
	must_be_done(t, METRICS(SET("2")));
	must_be_done(t, METRICS("{\"name\":\"g\",\"remove\":true}"));
	ck_assert(page_has(t, "dynamo_g 5\n"));
	must_be_done(t, METRICS(SET("3")));
	talk_bye(a);
	ck_assert(page_has(t, "dynamo_g 3\n"));
	must_be_done(t, METRICS("{\"name\":\"g\",\"type\":\"gauge\",\"remove\":true}"));
	ck_assert_str_eq(talk_page(t, ""), "");
}
END_TEST

START_TEST(a_counter_that_live_workers_define_stays)
{
	talk_hello(a, NULL);
	talk_define(a, &json_counter, "", 0);
	talk_set(a, 0, 5);
	must_be_done(t, METRICS(INC));
	must_be_done(t, METRICS("{\"name\":\"c\",\"remove\":true}"));
	ck_assert(page_has(t, "dynamo_c 6\n"));
	talk_bye(a);
	must_be_done(t, METRICS("{\"name\":\"c\",\"remove\":true}"));
	ck_assert_str_eq(talk_page(t, ""), "");
}
END_TEST

START_TEST(only_the_shape_that_is_given_has_to_fit)
{
	must_be_done(t,
	    METRICS("{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1,2],"
		    "\"observe\":1},"
		    "{\"name\":\"g\",\"type\":\"gauge\",\"merge\":\"max\",\"set\":1}"));
	must_be_refused(t,
	    METRICS("{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1,3],"
		    "\"remove\":true}"),
	    "\"reason\":\"bounds\"");
	must_be_refused(t,
	    METRICS("{\"name\":\"h\",\"type\":\"counter\",\"remove\":true}"),
	    "\"reason\":\"type\"");
	must_be_refused(t,
	    METRICS("{\"name\":\"g\",\"type\":\"gauge\",\"merge\":\"sum\","
		    "\"remove\":true}"),
	    "\"reason\":\"merge\"");
	ck_assert(page_has(t, "dynamo_g 1\n"));
	must_be_done(t, METRICS("{\"name\":\"h\",\"type\":\"histogram\",\"remove\":true},"
				"{\"name\":\"g\",\"type\":\"gauge\",\"remove\":true}"));
	ck_assert_str_eq(talk_page(t, ""), "");
}
END_TEST

START_TEST(buckets_that_were_not_given_are_no_reason_to_keep_a_histogram)
{
	struct registry_limits few = REGISTRY_DEFAULT_LIMITS;

	must_be_done(t, METRICS("{\"name\":\"h\",\"type\":\"histogram\",\"observe\":1}"));
	few.names.buckets = 5;
	registry_set_limits(t->registry, &few);
	must_be_done(
	    t, METRICS("{\"name\":\"h\",\"type\":\"histogram\",\"remove\":true}"));
	ck_assert_str_eq(talk_page(t, ""), "");
}
END_TEST

START_TEST(a_constant_label_is_refused_beside_remove_too)
{
	char *constant[] = { "cluster", "east", NULL };
	struct naming naming = { .labels = constant };

	ck_assert(registry_set_naming(t->registry, &naming));
	must_be_done(t, METRICS(INC));
	must_be_refused(t,
	    METRICS("{\"name\":\"c\",\"labels\":{\"cluster\":\"east\"},\"remove\":true}"),
	    "\"reason\":\"reserved\"");
	ck_assert(page_has(t, "dynamo_c{cluster=\"east\"} 1\n"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("apply_json");
	TCase *c = tcase_create("apply_json");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	ADD(json_counts_sets_and_observes_at_any_level);
	ADD(define_only_shows_a_counter_as_0_and_no_gauge);
	ADD(registrations_show_in_the_debug_log_once);
	ADD(json_and_workers_share_a_series);
	ADD(a_gauge_of_json_stays_when_workers_die);
	ADD(a_refused_metric_does_not_take_its_neighbours_along);
	ADD_ROWS(what_the_registry_refuses_is_told_and_changes_nothing, refused);
	ADD_ROWS(a_text_may_be_as_long_as_its_limit, lengths);
	ADD(the_log_names_the_metric_that_was_refused);
	ADD(another_shape_than_live_workers_have_is_refused);
	ADD(a_total_that_no_double_holds_is_refused);
	ADD(an_answer_lists_no_more_errors_than_fit);
	ADD(a_message_over_the_limit_is_refused_unread);
	ADD(a_removed_counter_starts_again_at_0);
	ADD(removing_what_is_not_there_is_ok);
	ADD(a_removed_gauge_leaves_the_parts_of_workers);
	ADD(a_counter_that_live_workers_define_stays);
	ADD(only_the_shape_that_is_given_has_to_fit);
	ADD(buckets_that_were_not_given_are_no_reason_to_keep_a_histogram);
	ADD(a_constant_label_is_refused_beside_remove_too);
	return suite_run(s);
}
