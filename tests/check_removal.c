/* SPDX-License-Identifier: Apache-2.0 */
/* What an administrator takes off the page. */
#include <stdio.h>
#include <stdlib.h>

#include "failing.h"
#include "json_talk.h"
#include "suite.h"

static struct talk *t;
static struct talk_worker *a, *b;
static struct strbuf lines;
static struct registry_removed removed;

static void
setup(void)
{
	t = talk_new(NULL, NULL);
	a = talk_worker(t, 100);
	b = talk_worker(t, 200);
	lines = STRBUF_EMPTY;
}

static void
teardown(void)
{
	strbuf_free(&lines);
	talk_free(t);
}

/* ---- By an administrator ---------------------------------------------- */

/* Remove; what was removed and reset is in removed, and what was shown in lines. label
 * NULL: any. */
static void
take_away(const char *name, const char *level, const char *label, const char *value,
    bool dry_run)
{
	struct wire_text label_name = wire_text(label ? label : ""),
			 label_value = wire_text(value ? value : "");
	struct registry_removal what = { .name = wire_text(name),
		.level = talk_level(level),
		.n = label ? 1 : 0,
		.label_name = &label_name,
		.label_value = &label_value,
		.dry_run = dry_run };

	strbuf_reset(&lines);
	strbuf_add(&lines, "", 0);
	registry_remove_matching(t->registry, &what, &lines, &removed);
}

static void
check_removed(uint32_t left, uint32_t reset, const char *shown)
{
	ck_assert_uint_eq(removed.removed, left);
	ck_assert_uint_eq(removed.reset, reset);
	ck_assert_str_eq(lines.at, shown);
}

START_TEST(kept_series_leave_with_all_that_was_counted)
{
	count_at(t, "", "c", "1", 5);
	count_at(t, "", "c", "2", 6);
	count_at(t, "", "other", "1", 7);
	take_away("dynamo_c", "", NULL, NULL, false);
	check_removed(2, 0, "dynamo_c{k=\"1\"}\ndynamo_c{k=\"2\"}\n");
	ck_assert_str_eq(
	    talk_page(t, ""), "# TYPE dynamo_other counter\ndynamo_other{k=\"1\"} 7\n");
	ck_assert_double_eq(left_by(t, REGISTRY_ADMIN), 2);
	count_at(t, "", "c", "1", 1);
	ck_assert(page_has(t, "dynamo_c{k=\"1\"} 1\n"));
}
END_TEST

START_TEST(a_dry_run_tells_and_changes_nothing)
{
	char *before;

	count_at(t, "", "c", "1", 5);
	talk_hello(a, NULL);
	talk_define(a,
	    &(struct talk_metric){
		.kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "k" },
	    "2", 0);
	talk_set(a, 0, 3);
	talk_define(a,
	    &(struct talk_metric){
		.id = 1, .kind = MESSAGE_GAUGE, .level = "", .name = "g" },
	    "", 1);
	talk_set(a, 1, 4);
	before = strdup(talk_page(t, ""));
	take_away("c", "", NULL, NULL, true);
	check_removed(1, 1, "dynamo_c{k=\"1\"}\ndynamo_c{k=\"2\"}\n");
	take_away("g", "", NULL, NULL, true);
	check_removed(0, 1, "dynamo_g\n");
	ck_assert_str_eq(talk_page(t, ""), before);
	ck_assert_double_eq(left_by(t, REGISTRY_ADMIN), 0);
	free(before);
}
END_TEST

START_TEST(a_level_is_the_place_and_all_below_it)
{
	count_at(t, "", "c", "0", 1);
	count_at(t, "\"namespace\":\"n\",", "c", "1", 1);
	count_at(t, "\"namespace\":\"n\",\"component\":\"x\",", "c", "2", 1);
	count_at(t, "\"namespace\":\"m\",\"component\":\"x\",", "c", "3", 1);
	take_away("c", "n/y", NULL, NULL, false);
	check_removed(0, 0, "");
	take_away("c", "n", NULL, NULL, false);
	check_removed(2, 0,
	    "dynamo_c{namespace=\"n\",k=\"1\"}\n"
	    "dynamo_c{namespace=\"n\",component=\"x\",k=\"2\"}\n");
	take_away("c", "", NULL, NULL, false);
	ck_assert_uint_eq(removed.removed, 2);
}
END_TEST

/* label, value, and how many of five series have it */
static const struct {
	const char *label;
	const char *value;
	uint32_t n;
} labels[] = {
	{ "k", "a", 1 },
	{ "k", "b", 1 },
	{ "k", "c", 0 },
	{ "k", "b2", 0 },
	{ "bk", "b2", 1 },
	{ "k", "say \"hi\",k=\"b\"\\\n", 1 },
	{ "hi\\\",k", "b", 0 },
	{ "k", "", 2 },
	{ "j", "", 4 },
	{ "j", "a", 1 },
	{ "ab", "", 5 },
	{ "namespace", "n", 1 },
	{ "namespace", "", 4 },
	{ "component", "n", 0 },
};

START_TEST(labels_match_as_they_are_and_nothing_else_does)
{
	count_at(t, "", "c", "a", 1);
	count_at(t, "", "c", "b", 1);
	count_at(t, "", "c", "say \\\"hi\\\",k=\\\"b\\\"\\\\\\n", 1);
	send_json(t,
	    "{\"name\":\"c\",\"type\":\"counter\",\"labels\":{\"bk\":\"b2\",\"j\":"
	    "\"a\"}}");
	count_at(t, "\"namespace\":\"n\",", "c", "", 1);
	take_away("c", "", labels[_i].label, labels[_i].value, true);
	ck_assert_msg(removed.removed == labels[_i].n, "%s=%s: %u: %s", labels[_i].label,
	    labels[_i].value, removed.removed, lines.at);
}
END_TEST

START_TEST(a_value_that_ends_like_the_beginning_of_a_label_is_none)
{
	send_json(t,
	    "{\"name\":\"c\",\"type\":\"counter\",\"labels\":{\"k\":\",j=\",\"m\":"
	    "\"1\"}}");
	take_away("c", "", "j", ",m=", true);
	check_removed(0, 0, "");
	take_away("c", "", "j", "", true);
	check_removed(1, 0, "dynamo_c{k=\",j=\",m=\"1\"}\n");
}
END_TEST

START_TEST(all_given_labels_have_to_match)
{
	struct wire_text names[] = { wire_text("j"), wire_text("k") },
			 values[] = { wire_text("1"), wire_text("2") };
	struct registry_removal what = {
		.name = wire_text("c"), .n = 2, .label_name = names, .label_value = values
	};

	send_json(t,
	    "{\"name\":\"c\",\"type\":\"counter\",\"labels\":{\"j\":\"1\",\"k\":"
	    "\"2\"}},{\"name\":\"c\",\"type\":\"counter\",\"labels\":{\"j\":\"1\","
	    "\"k\":\"3\"}},{\"name\":\"c\",\"type\":\"counter\",\"labels\":{\"k\":"
	    "\"2\"}}");
	registry_remove_matching(t->registry, &what, NULL, &removed);
	ck_assert_uint_eq(removed.removed, 1);
	ck_assert(!page_has(t, "dynamo_c{j=\"1\",k=\"2\"}"));
}
END_TEST

START_TEST(a_name_that_nobody_has_removes_nothing)
{
	count_at(t, "", "c", "1", 1);
	take_away("d", "", NULL, NULL, false);
	check_removed(0, 0, "");
	take_away("dynamo_", "", NULL, NULL, false);
	check_removed(0, 0, "");
	take_away("", "", NULL, NULL, false);
	check_removed(0, 0, "");
	take_away("dynamo_metricsd_workers", "", NULL, NULL, false);
	check_removed(0, 0, "");
}
END_TEST

START_TEST(a_name_may_begin_as_the_prefix_does)
{
	count_at(t, "", "dynamo_c", "1", 1);
	take_away("dynamo_c", "", NULL, NULL, true);
	check_removed(1, 0, "dynamo_dynamo_c{k=\"1\"}\n");
	count_at(t, "", "c", "1", 1);
	take_away("dynamo_c", "", NULL, NULL, true);
	check_removed(1, 0, "dynamo_c{k=\"1\"}\n");
	take_away("dynamo_dynamo_c", "", NULL, NULL, true);
	check_removed(1, 0, "dynamo_dynamo_c{k=\"1\"}\n");
}
END_TEST

static const double bounds[] = { 1 };

START_TEST(what_live_workers_define_starts_again_and_counts_on)
{
	struct talk_metric c = { .kind = MESSAGE_COUNTER, .level = "", .name = "c" };
	struct talk_metric h = { .id = 1,
		.kind = MESSAGE_HISTOGRAM,
		.level = "",
		.name = "h",
		.n_bounds = 1,
		.bounds = bounds };
	double histogram[] = { 3, 4, 5.5 };

	talk_hello(a, NULL);
	talk_hello(b, NULL);
	talk_define(a, &c, "", 0);
	talk_define(b, &c, "", 0);
	talk_define(a, &h, "", 1);
	talk_set(a, 0, 100);
	talk_set(b, 0, 50);
	talk_update(a, 1, 3, histogram);
	take_away("c", "", NULL, NULL, false);
	check_removed(0, 1, "dynamo_c\n");
	take_away("dynamo_h", "", NULL, NULL, false);
	check_removed(0, 1, "dynamo_h\n");
	ck_assert(page_has(t, "dynamo_c 0\n"));
	ck_assert(page_has(t, "dynamo_h_count 0\n"));
	ck_assert(page_has(t, "dynamo_h_sum 0\n"));
	ck_assert_double_eq(left_by(t, REGISTRY_ADMIN), 0);
	ck_assert_int_eq(talk_set(a, 0, 101), MESSAGE_ACK);
	ck_assert_int_eq(talk_set(b, 0, 52), MESSAGE_ACK);
	histogram[1] = 5;
	histogram[2] = 7.5;
	ck_assert_int_eq(talk_update(a, 1, 3, histogram), MESSAGE_ACK);
	ck_assert(page_has(t, "dynamo_c 3\n"));
	ck_assert(page_has(t, "dynamo_h_bucket{le=\"1\"} 0\n"));
	ck_assert(page_has(t, "dynamo_h_bucket{le=\"+Inf\"} 1\n"));
	ck_assert(page_has(t, "dynamo_h_sum 2\n"));
}
END_TEST

START_TEST(a_gauge_of_live_workers_is_as_if_nobody_had_set_it)
{
	struct talk_metric g = { .kind = MESSAGE_GAUGE, .level = "", .name = "g" };

	talk_hello(a, NULL);
	talk_hello(b, NULL);
	talk_define(a, &g, "", 0);
	talk_define(b, &g, "", 0);
	take_away("g", "", NULL, NULL, false);
	check_removed(0, 0, "");
	talk_set(a, 0, 1);
	talk_set(b, 0, 2);
	send_json(t, "{\"name\":\"g\",\"type\":\"gauge\",\"set\":4}");
	ck_assert(page_has(t, "dynamo_g 7\n"));
	take_away("g", "", NULL, NULL, false);
	check_removed(0, 1, "dynamo_g\n");
	ck_assert(!page_has(t, "dynamo_g"));
	ck_assert_int_eq(talk_set(b, 0, 2), MESSAGE_ACK);
	ck_assert(page_has(t, "dynamo_g 2\n"));
	talk_bye(a);
	talk_bye(b);
	ck_assert_uint_eq(registry_count(t->registry, MESSAGE_GAUGE), 0);
}
END_TEST

START_TEST(one_workers_line_of_an_each_gauge_can_be_named)
{
	struct talk_metric g = {
		.kind = MESSAGE_GAUGE, .merge = MESSAGE_EACH, .level = "", .name = "g"
	};

	talk_hello(a, "x");
	talk_hello(b, "y");
	talk_define(a, &g, "", 0);
	talk_define(b, &g, "", 0);
	talk_set(a, 0, 1);
	talk_set(b, 0, 2);
	take_away("g", "", "worker_id", "y", false);
	check_removed(0, 1, "dynamo_g{worker_id=\"y\"}\n");
	ck_assert_str_eq(
	    talk_page(t, ""), "# TYPE dynamo_g gauge\ndynamo_g{worker_id=\"x\"} 1\n");
}
END_TEST

START_TEST(a_thousand_lines_are_told_and_all_are_removed)
{
	char k[16];
	size_t n = 0;

	for (int i = 0; i < 1500; i++) {
		snprintf(k, sizeof(k), "%d", i);
		count_at(t, "", "c", k, 1);
	}
	take_away("c", "", NULL, NULL, false);
	ck_assert_uint_eq(removed.removed, 1500);
	for (const char *at = lines.at; (at = strchr(at, '\n')) != NULL; at++)
		n++;
	ck_assert_uint_eq(n, REGISTRY_LINES_MAX);
	ck_assert_str_eq(talk_page(t, ""), "");
	ck_assert_uint_eq(registry_families(t->registry), 0);
}
END_TEST

START_TEST(removal_knows_the_second_naming_and_constant_labels)
{
	char *constant[] = { "cluster", "east", NULL };
	struct naming naming = { .component = true, .labels = constant };

	talk_free(t);
	t = talk_new(NULL, NULL);
	a = b = NULL;
	ck_assert(registry_set_naming(t->registry, &naming));
	count_at(t, "\"namespace\":\"my-app\",", "c", "1", 5);
	count_at(t, "\"namespace\":\"other\",", "c", "1", 5);
	take_away("dynamo_c", "", NULL, NULL, true);
	ck_assert_uint_eq(removed.removed, 0);
	take_away("c", "", "cluster", "west", true);
	ck_assert_uint_eq(removed.removed, 0);
	take_away("c", "", "cluster", "east", true);
	ck_assert_uint_eq(removed.removed, 2);
	take_away("c", "", "dynamo_namespace", "my_app", true);
	ck_assert_uint_eq(removed.removed, 1);
	take_away("dynamo_component_c", "my-app", NULL, NULL, false);
	check_removed(1, 0,
	    "dynamo_component_c{cluster=\"east\",dynamo_namespace=\"my_app\",k=\"1\"}\n");
}
END_TEST

START_TEST(removal_without_memory_is_removal_without_lines)
{
	for (size_t n = 0; failing_more(n); n++) {
		count_at(t, "", "c", "1", 5);
		failing_after(n);
		take_away("c", "", NULL, NULL, false);
		if (failing_end())
			strbuf_free(&lines);
		ck_assert_uint_le(removed.removed, 1);
		take_away("c", "", NULL, NULL, false);
		ck_assert_str_eq(talk_page(t, ""), "");
	}
}
END_TEST

START_TEST(it_is_told_when_there_was_no_memory_to_compare_a_series)
{
	char longer[301] = { 0 };

	memset(longer, 'x', 300);
	for (size_t n = 0; failing_more(n); n++) {
		count_at(t, "", "c", longer, 5);
		count_at(t, "", "c", "1", 5);
		failing_after(n);
		take_away("c", "", "k", "1", false);
		if (removed.removed == 0)
			ck_assert(lines.failed);
		if (failing_end())
			strbuf_free(&lines);
		take_away("c", "", NULL, NULL, false);
	}
	for (size_t n = 0; failing_more(n); n++) {
		count_at(t, "", "c", longer, 5);
		count_at(t, "", "c", "1", 5);
		failing_after(n);
		take_away("c", "", NULL, NULL, false);
		if (removed.removed < 2)
			ck_assert(lines.failed);
		if (failing_end())
			strbuf_free(&lines);
		take_away("c", "", NULL, NULL, false);
	}
}
END_TEST

/* ---- By their worker -------------------------------------------------- */

START_TEST(what_a_worker_removes_is_counted_when_nobody_else_has_it)
{
	struct talk_metric c = { .kind = MESSAGE_COUNTER, .level = "", .name = "c" };

	talk_hello(a, NULL);
	talk_hello(b, NULL);
	talk_define(a, &c, "", 0);
	talk_define(b, &c, "", 0);
	talk_set(a, 0, 5);
	talk_remove(a, 0);
	ck_assert_double_eq(left_by(t, REGISTRY_REQUEST), 0);
	ck_assert(page_has(t, "dynamo_c 5\n"));
	talk_remove(b, 0);
	talk_remove(b, 0);
	ck_assert_double_eq(left_by(t, REGISTRY_REQUEST), 1);
	ck_assert_str_eq(talk_page(t, ""), "");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("removal");
	TCase *c = tcase_create("removal");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, kept_series_leave_with_all_that_was_counted);
	tcase_add_test(c, a_dry_run_tells_and_changes_nothing);
	tcase_add_test(c, a_level_is_the_place_and_all_below_it);
	tcase_add_loop_test(c, labels_match_as_they_are_and_nothing_else_does, 0,
	    (int)(sizeof(labels) / sizeof(labels[0])));
	tcase_add_test(c, a_value_that_ends_like_the_beginning_of_a_label_is_none);
	tcase_add_test(c, all_given_labels_have_to_match);
	tcase_add_test(c, a_name_that_nobody_has_removes_nothing);
	tcase_add_test(c, a_name_may_begin_as_the_prefix_does);
	tcase_add_test(c, what_live_workers_define_starts_again_and_counts_on);
	tcase_add_test(c, a_gauge_of_live_workers_is_as_if_nobody_had_set_it);
	tcase_add_test(c, one_workers_line_of_an_each_gauge_can_be_named);
	tcase_add_test(c, a_thousand_lines_are_told_and_all_are_removed);
	tcase_add_test(c, removal_knows_the_second_naming_and_constant_labels);
	tcase_add_test(c, what_a_worker_removes_is_counted_when_nobody_else_has_it);
	tcase_add_test(c, removal_without_memory_is_removal_without_lines);
	tcase_add_test(c, it_is_told_when_there_was_no_memory_to_compare_a_series);
	return suite_run(s);
}
