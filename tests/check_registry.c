/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "talk.h"
#include "suite.h"

static struct talk *t;
static struct talk_worker *a, *b;

static void
setup(void)
{
	t = talk_new(NULL, NULL);
	a = talk_worker(t, 100);
	b = talk_worker(t, 200);
	talk_hello(a, "a");
	talk_hello(b, "b");
}

static void
teardown(void)
{
	talk_free(t);
}

#define PAGE(text) ck_assert_str_eq(talk_page(t, ""), text)

static const struct talk_metric counter = { .kind = MESSAGE_COUNTER,
	.level = "dynamo/backend/generate",
	.name = "my_counter",
	.help = "My custom counter" };

static struct talk_metric
gauge(enum message_merge merge)
{
	return (struct talk_metric){
		.kind = MESSAGE_GAUGE, .merge = merge, .level = "ns", .name = "g"
	};
}

START_TEST(the_sample_of_the_guide_comes_out_byte_for_byte)
{
	talk_define(a, &counter, "", 0);
	ck_assert_int_eq(talk_set(a, 0, 42), MESSAGE_ACK);
	PAGE("# HELP dynamo_my_counter My custom counter\n"
	     "# TYPE dynamo_my_counter counter\n"
	     "dynamo_my_counter{namespace=\"dynamo\",component=\"backend\",endpoint="
	     "\"generate\"}"
	     " 42\n");
}
END_TEST

START_TEST(a_counter_is_on_the_page_as_soon_as_it_exists)
{
	struct talk_metric m = { .kind = MESSAGE_COUNTER, .name = "c", .level = "" };

	talk_define(a, &m, "", 0);
	PAGE("# TYPE dynamo_c counter\ndynamo_c 0\n");
}
END_TEST

START_TEST(counters_of_workers_add_up_and_stay_when_they_die)
{
	talk_define(a, &counter, "", 0);
	talk_define(b, &counter, "", 5);
	talk_set(a, 0, 3);
	talk_set(b, 5, 4);
	talk_disconnect(a, true);
	ck_assert_ptr_nonnull(strstr(talk_page(t, ""), "} 7\n"));
	talk_disconnect(b, true);
	ck_assert_ptr_nonnull(strstr(talk_page(t, ""), "} 7\n"));
}
END_TEST

START_TEST(what_workers_count_never_becomes_infinite)
{
	static const double bound = 1;
	static const struct talk_metric h = { .id = 1,
		.kind = MESSAGE_HISTOGRAM,
		.level = "",
		.name = "h",
		.n_bounds = 1,
		.bounds = &bound };
	static const struct talk_metric c = {
		.kind = MESSAGE_COUNTER, .level = "", .name = "c"
	};
	const double most[] = { MESSAGE_VALUE_MAX, MESSAGE_VALUE_MAX, MESSAGE_VALUE_MAX,
		-MESSAGE_VALUE_MAX };

	talk_json(t, "{\"metrics\":[{\"name\":\"c\",\"type\":\"counter\",\"inc\":"
		     "1.7976931348623157e308}]}");
	for (int i = 0; i < 100; i++) {
		struct talk_worker *w = talk_worker(t, 1000 + i);

		talk_hello(w, "");
		talk_define(w, &c, "", 0);
		talk_define(w, &h, "", 1);
		ck_assert_int_eq(talk_update(w, 0, 4, most), MESSAGE_ACK);
		ck_assert_int_eq(
		    talk_set(w, 0, 1.01 * MESSAGE_VALUE_MAX), MESSAGE_REFUSED);
		ck_assert_int_eq(
		    talk_set(w, 2, 1.01 * MESSAGE_VALUE_MAX), MESSAGE_REFUSED);
		ck_assert_int_eq(
		    talk_set(w, 3, -1.01 * MESSAGE_VALUE_MAX), MESSAGE_REFUSED);
	}
	ck_assert_ptr_nonnull(
	    strstr(talk_page(t, ""), "dynamo_c 1.7976931348623157e+308\n"));
	ck_assert_ptr_null(strstr(t->page.at, "Inf\n"));
	ck_assert_ptr_null(strstr(t->page.at, " +Inf"));
	ck_assert_ptr_null(strstr(t->page.at, "NaN"));
}
END_TEST

START_TEST(a_counter_never_goes_down)
{
	talk_define(a, &counter, "", 0);
	talk_set(a, 0, 3);
	ck_assert_int_eq(talk_set(a, 0, 2), MESSAGE_REFUSED);
	ck_assert_int_eq(t->m.reason, REASON_VALUE);
	ck_assert_int_eq(talk_set(a, 0, NAN), MESSAGE_REFUSED);
	ck_assert_int_eq(talk_set(a, 0, INFINITY), MESSAGE_REFUSED);
	ck_assert_ptr_nonnull(strstr(talk_page(t, ""), "} 3\n"));
}
END_TEST

START_TEST(a_refused_update_changes_nothing_at_all)
{
	talk_define(a, &counter, "", 0);
	talk_set(a, 0, 3);
	ck_assert_int_eq(talk_update(a, 0, 2, (double[]){ 9, 9 }), MESSAGE_REFUSED);
	ck_assert_int_eq(t->m.reason, REASON_CELL);
	ck_assert_ptr_nonnull(strstr(talk_page(t, ""), "} 3\n"));
}
END_TEST

START_TEST(a_histogram_prints_cumulative_buckets_and_derives_its_count)
{
	struct talk_metric m = { .kind = MESSAGE_HISTOGRAM,
		.level = "ns",
		.name = "h",
		.help = "H",
		.n_bounds = 2,
		.bounds = (double[]){ 0.1, 1 } };

	talk_define(a, &m, "", 0);
	talk_update(a, 0, 4, (double[]){ 1, 2, 3, 4.5 });
	PAGE("# HELP dynamo_h H\n# TYPE dynamo_h histogram\n"
	     "dynamo_h_bucket{namespace=\"ns\",le=\"0.1\"} 1\n"
	     "dynamo_h_bucket{namespace=\"ns\",le=\"1\"} 3\n"
	     "dynamo_h_bucket{namespace=\"ns\",le=\"+Inf\"} 6\n"
	     "dynamo_h_sum{namespace=\"ns\"} 4.5\n"
	     "dynamo_h_count{namespace=\"ns\"} 6\n");
}
END_TEST

START_TEST(a_histogram_without_labels_has_le_alone)
{
	struct talk_metric m = { .kind = MESSAGE_HISTOGRAM, .level = "", .name = "h" };

	talk_define(a, &m, "", 0);
	PAGE("# TYPE dynamo_h histogram\ndynamo_h_bucket{le=\"+Inf\"} 0\n"
	     "dynamo_h_sum 0\ndynamo_h_count 0\n");
}
END_TEST

START_TEST(a_gauge_that_nobody_set_is_not_on_the_page)
{
	struct talk_metric m = gauge(MESSAGE_SUM);

	talk_define(a, &m, "", 0);
	PAGE("");
	talk_set(a, 0, 0);
	PAGE("# TYPE dynamo_g gauge\ndynamo_g{namespace=\"ns\"} 0\n");
}
END_TEST

struct merge_case {
	enum message_merge merge;
	const char *page;
};

static const struct merge_case merges[] = {
	{ MESSAGE_SUM, "dynamo_g{namespace=\"ns\"} 1\n" },
	{ MESSAGE_MIN, "dynamo_g{namespace=\"ns\"} -2\n" },
	{ MESSAGE_MAX, "dynamo_g{namespace=\"ns\"} 3\n" },
};

START_TEST(gauges_are_merged_over_the_workers_that_set_them)
{
	struct talk_metric m = gauge(merges[_i].merge);
	struct talk_worker *c = talk_worker(t, 300);

	talk_hello(c, "c");
	talk_define(a, &m, "", 0);
	talk_define(b, &m, "", 0);
	talk_define(c, &m, "", 0);
	talk_set(a, 0, 3);
	talk_set(b, 0, -2);
	ck_assert_ptr_nonnull(strstr(talk_page(t, ""), merges[_i].page));
}
END_TEST

START_TEST(nan_says_nothing_about_the_smallest_or_largest)
{
	struct talk_metric m = gauge(MESSAGE_MAX);

	talk_define(a, &m, "", 0);
	talk_define(b, &m, "", 0);
	talk_set(a, 0, NAN);
	PAGE("# TYPE dynamo_g gauge\ndynamo_g{namespace=\"ns\"} NaN\n");
	talk_set(b, 0, 1);
	PAGE("# TYPE dynamo_g gauge\ndynamo_g{namespace=\"ns\"} 1\n");
}
END_TEST

static void
set_at(struct talk_worker *w, double value, uint64_t ns)
{
	talk_update(w, 0, 2, (double[]){ value, wire_double(ns) });
}

START_TEST(last_shows_what_was_set_last_and_the_next_latest_when_that_worker_dies)
{
	struct talk_metric m = gauge(MESSAGE_LAST);

	talk_define(a, &m, "", 0);
	talk_define(b, &m, "", 0);
	set_at(a, 1, 1000);
	set_at(b, 2, 2000);
	PAGE("# TYPE dynamo_g gauge\ndynamo_g{namespace=\"ns\"} 2\n");
	set_at(a, 1, 3000);
	PAGE("# TYPE dynamo_g gauge\ndynamo_g{namespace=\"ns\"} 1\n");
	talk_disconnect(a, true);
	PAGE("# TYPE dynamo_g gauge\ndynamo_g{namespace=\"ns\"} 2\n");
}
END_TEST

START_TEST(each_shows_one_series_per_worker_in_its_place_among_the_labels)
{
	struct talk_metric m = gauge(MESSAGE_EACH);

	m.variable = "zone,area";
	talk_define(a, &m, "1,2", 0);
	talk_define(b, &m, "1,2", 0);
	talk_set(a, 0, 5);
	talk_set(b, 0, 6);
	PAGE("# TYPE dynamo_g gauge\n"
	     "dynamo_g{namespace=\"ns\",area=\"2\",worker_id=\"a\",zone=\"1\"} 5\n"
	     "dynamo_g{namespace=\"ns\",area=\"2\",worker_id=\"b\",zone=\"1\"} 6\n");
	talk_disconnect(a, true);
	PAGE("# TYPE dynamo_g gauge\n"
	     "dynamo_g{namespace=\"ns\",area=\"2\",worker_id=\"b\",zone=\"1\"} 6\n");
}
END_TEST

START_TEST(the_same_series_twice_in_one_worker_is_refused_for_each)
{
	struct talk_metric m = gauge(MESSAGE_EACH);

	talk_define(a, &m, "", 0);
	talk_child(a, 0, "", 1);
	ck_assert_int_eq(talk_refused(t), REASON_DUPLICATE);
}
END_TEST

START_TEST(the_same_series_is_a_workers_64_times_and_no_more)
{
	struct talk_metric m = gauge(MESSAGE_SUM);

	for (uint32_t cell = 0; cell < 64; cell++) {
		talk_define(a, &m, "", cell);
		ck_assert_int_eq(talk_refused(t), REASON_NONE);
		talk_set(a, cell, 1);
	}
	talk_define(b, &m, "", 0);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
	talk_child(a, 0, "", 64);
	ck_assert_int_eq(talk_refused(t), REASON_DUPLICATE);
	PAGE("# TYPE dynamo_g gauge\ndynamo_g{namespace=\"ns\"} 64\n");
	talk_remove(a, 9);
	talk_child(a, 0, "", 64);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
}
END_TEST

START_TEST(a_gauge_leaves_with_its_last_setter)
{
	struct talk_metric m = gauge(MESSAGE_SUM);

	talk_define(a, &m, "", 0);
	talk_set(a, 0, 5);
	talk_disconnect(a, true);
	PAGE("");
	ck_assert_uint_eq(registry_families(t->registry), 0);
}
END_TEST

START_TEST(labels_are_sorted_and_escaped_and_empty_ones_left_out)
{
	struct talk_metric m = { .kind = MESSAGE_COUNTER,
		.level = "a\"b\\c",
		.name = "c",
		.help = "back\\slash \"quote\" new\nline",
		.constant = "zz=1,empty=",
		.variable = "mm,aa" };

	talk_define(a, &m, "x\ny,\\\"", 0);
	PAGE("# HELP dynamo_c back\\\\slash \"quote\" new\\nline\n# TYPE dynamo_c "
	     "counter\n"
	     "dynamo_c{namespace=\"a\\\"b\\\\c\",aa=\"\\\\\\\"\",mm=\"x\\ny\",zz=\"1\"} "
	     "0\n");
}
END_TEST

START_TEST(a_plain_series_and_a_vector_share_a_family)
{
	struct talk_metric plain = {
		.kind = MESSAGE_COUNTER, .level = "n/c", .name = "x"
	};
	struct talk_metric vec = { .id = 1,
		.kind = MESSAGE_COUNTER,
		.level = "n",
		.name = "x",
		.variable = "k" };

	talk_define(a, &plain, "", 0);
	talk_define(a, &vec, "v", 1);
	PAGE("# TYPE dynamo_x counter\ndynamo_x{namespace=\"n\",component=\"c\"} 0\n"
	     "dynamo_x{namespace=\"n\",k=\"v\"} 0\n");
	ck_assert_str_eq(talk_page(t, "n/c"),
	    "# TYPE dynamo_x counter\ndynamo_x{namespace=\"n\",component=\"c\"} 0\n");
	ck_assert_str_eq(talk_page(t, "other"), "");
}
END_TEST

START_TEST(another_shape_is_refused_while_a_live_worker_has_the_name)
{
	struct talk_metric m = counter;
	const double bounds[] = { 1, 2 };

	talk_define(a, &m, "", 0);
	m.kind = MESSAGE_GAUGE;
	talk_define(b, &m, "", 0);
	ck_assert_int_eq(talk_refused(t), REASON_TYPE);
	m = (struct talk_metric){ .id = 1,
		.kind = MESSAGE_HISTOGRAM,
		.level = "",
		.name = "h",
		.n_bounds = 2,
		.bounds = bounds };
	talk_define(a, &m, "", 1);
	m.n_bounds = 1;
	talk_define(b, &m, "", 1);
	ck_assert_int_eq(talk_refused(t), REASON_BOUNDS);
	m = gauge(MESSAGE_SUM);
	m.id = 2;
	talk_define(a, &m, "", 9);
	m.merge = MESSAGE_MAX;
	talk_define(b, &m, "", 9);
	ck_assert_int_eq(talk_refused(t), REASON_MERGE);
}
END_TEST

START_TEST(another_shape_replaces_what_is_only_kept_of_the_dead)
{
	struct talk_metric m = counter;

	talk_define(a, &m, "", 0);
	talk_set(a, 0, 5);
	talk_disconnect(a, true);
	m.kind = MESSAGE_GAUGE;
	talk_define(b, &m, "", 0);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
	talk_set(b, 0, 1);
	ck_assert_ptr_nonnull(
	    strstr(talk_page(t, ""), "# TYPE dynamo_my_counter gauge\n"));
	ck_assert_uint_eq(registry_replaced(t->registry), 1);
	ck_assert_ptr_nonnull(strstr(t->logged.at, "was dropped"));
}
END_TEST

static const char *const colliding[] = { "h_sum", "h_count", "h_bucket" };

START_TEST(names_of_a_histograms_samples_cannot_be_taken_either_way)
{
	struct talk_metric h = { .kind = MESSAGE_HISTOGRAM, .level = "", .name = "h" };
	struct talk_metric c = {
		.id = 1, .kind = MESSAGE_COUNTER, .level = "", .name = colliding[_i]
	};

	talk_define(a, &h, "", 0);
	talk_define(a, &c, "", 2);
	ck_assert_int_eq(talk_refused(t), REASON_COLLISION);
	talk_bye(a);
	talk_free(t);
	setup();
	talk_define(a, &c, "", 2);
	talk_define(a, &h, "", 0);
	ck_assert_int_eq(talk_refused(t), REASON_COLLISION);
}
END_TEST

static const char *const owned[] = { "system_uptime_seconds", "metricsd_workers",
	"metricsd_loop_turn_seconds_sum", "metricsd_refused_total" };

START_TEST(the_daemons_own_names_cannot_be_taken)
{
	struct talk_metric c = {
		.kind = MESSAGE_COUNTER, .level = "", .name = owned[_i]
	};

	talk_define(a, &c, "", 0);
	ck_assert_int_eq(talk_refused(t), REASON_COLLISION);
}
END_TEST

START_TEST(a_refused_child_leaves_no_series_behind)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;

	talk_free(t);
	limits.series_per_worker = 1;
	t = talk_new(&limits, NULL);
	a = talk_worker(t, 1);
	talk_hello(a, "a");
	talk_define(a, &counter, "", 0);
	{
		struct talk_metric m = {
			.id = 1, .kind = MESSAGE_COUNTER, .level = "", .name = "second"
		};

		talk_define(a, &m, "", 1);
	}
	ck_assert_int_eq(talk_refused(t), REASON_LIMIT);
	ck_assert_uint_eq(registry_count(t->registry, MESSAGE_COUNTER), 1);
	ck_assert_ptr_null(strstr(talk_page(t, ""), "second"));
}
END_TEST

START_TEST(limits_of_series_and_families_hold)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "", .name = "x", .variable = "k"
	};

	talk_free(t);
	limits.series = 3;
	limits.series_per_family = 2;
	limits.families = 2;
	t = talk_new(&limits, NULL);
	a = talk_worker(t, 1);
	talk_hello(a, "a");
	talk_define(a, &m, "1", 0);
	talk_child(a, 0, "2", 1);
	talk_child(a, 0, "3", 2);
	ck_assert_int_eq(talk_refused(t), REASON_LIMIT);
	m.id = 1;
	m.name = "y";
	talk_define(a, &m, "1", 2);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
	talk_child(a, 1, "2", 3);
	ck_assert_int_eq(talk_refused(t), REASON_LIMIT);
	m.id = 2;
	m.name = "z";
	talk_define(a, &m, NULL, 0);
	ck_assert_int_eq(talk_refused(t), REASON_LIMIT);
}
END_TEST

START_TEST(metrics_without_children_have_a_limit_too)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;
	struct talk_metric m = { .kind = MESSAGE_COUNTER, .level = "", .name = "x" };

	talk_free(t);
	limits.series_per_worker = 2;
	t = talk_new(&limits, NULL);
	a = talk_worker(t, 1);
	talk_hello(a, "a");
	for (m.id = 0; m.id < 2; m.id++) {
		talk_define(a, &m, NULL, 0);
		ck_assert_int_eq(talk_refused(t), REASON_NONE);
	}
	talk_define(a, &m, NULL, 0);
	ck_assert_int_eq(talk_refused(t), REASON_LIMIT);
	m.id = 0;
	talk_define(a, &m, NULL, 0);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
}
END_TEST

START_TEST(cells_are_numbered_densely)
{
	talk_define(a, &counter, "", 65536 + 5);
	ck_assert_int_eq(talk_refused(t), REASON_CELL);
	talk_child(a, 0, "", UINT32_MAX);
	ck_assert_int_eq(talk_refused(t), REASON_CELL);
	talk_child(a, 0, "", 65536);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
}
END_TEST

START_TEST(cells_stay_dense_by_what_was_once_in_use)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "k"
	};
	char value[16];

	talk_define(a, &m, NULL, 0);
	for (uint32_t i = 0; i < 100; i++) {
		snprintf(value, sizeof(value), "%u", i);
		talk_child(a, 0, value, i);
	}
	for (uint32_t i = 0; i < 100; i++)
		talk_remove(a, i);
	talk_child(a, 0, "far", 65536 + 400);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
	talk_child(a, 0, "farther", 65536 + 500);
	ck_assert_int_eq(talk_refused(t), REASON_CELL);
}
END_TEST

START_TEST(a_child_without_its_metric_or_with_other_labels_is_refused)
{
	struct talk_metric m = counter;

	talk_child(a, 9, "", 0);
	ck_assert_int_eq(talk_refused(t), REASON_MESSAGE);
	m.variable = "k";
	talk_define(a, &m, "1,2", 0);
	ck_assert_int_eq(talk_refused(t), REASON_LABEL);
}
END_TEST

START_TEST(defining_again_changes_nothing_and_another_metric_of_that_number_is_refused)
{
	struct talk_metric m = counter;

	talk_define(a, &m, "", 0);
	talk_set(a, 0, 3);
	talk_define(a, &m, "", 0);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
	ck_assert_ptr_nonnull(strstr(talk_page(t, ""), "} 3\n"));
	talk_set(a, 0, 4);
	ck_assert_ptr_nonnull(strstr(talk_page(t, ""), "} 4\n"));
	m.name = "other";
	talk_define(a, &m, NULL, 0);
	ck_assert_int_eq(talk_refused(t), REASON_DUPLICATE);
	m = counter;
	m.level = "elsewhere";
	talk_define(a, &m, NULL, 0);
	ck_assert_int_eq(talk_refused(t), REASON_DUPLICATE);
}
END_TEST

START_TEST(a_cell_that_gets_another_child_starts_again_at_zero)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "k"
	};

	talk_define(a, &m, "x", 0);
	talk_define(b, &m, "x", 0);
	talk_set(a, 0, 3);
	talk_child(a, 0, "y", 0);
	talk_set(a, 0, 1);
	PAGE("# TYPE dynamo_c counter\ndynamo_c{k=\"x\"} 3\ndynamo_c{k=\"y\"} 1\n");
}
END_TEST

START_TEST(a_removed_series_leaves_when_no_live_worker_has_it)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "k"
	};

	talk_define(a, &m, "x", 0);
	talk_define(b, &m, "x", 0);
	talk_set(a, 0, 3);
	talk_remove(a, 0);
	PAGE("# TYPE dynamo_c counter\ndynamo_c{k=\"x\"} 3\n");
	talk_remove(b, 0);
	PAGE("");
	talk_child(b, 0, "x", 0);
	PAGE("# TYPE dynamo_c counter\ndynamo_c{k=\"x\"} 0\n");
}
END_TEST

START_TEST(removing_what_is_not_there_is_no_error)
{
	ck_assert_int_eq(talk_remove(a, 12345678), MESSAGE_ACK);
}
END_TEST

START_TEST(a_histogram_over_a_gauges_cells_takes_them_whole)
{
	struct talk_metric g = gauge(MESSAGE_LAST);
	struct talk_metric h = { .id = 1,
		.kind = MESSAGE_HISTOGRAM,
		.level = "",
		.name = "h",
		.n_bounds = 1,
		.bounds = (double[]){ 1 } };

	talk_define(a, &g, "", 0);
	set_at(a, 1, 1);
	talk_define(a, &h, "", 1);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
	ck_assert_int_eq(talk_set(a, 0, 1), MESSAGE_REFUSED);
	ck_assert_int_eq(talk_update(a, 1, 3, (double[]){ 1, 2, 3 }), MESSAGE_ACK);
	ck_assert_ptr_nonnull(strstr(talk_page(t, ""), "dynamo_h_count 3\n"));
	ck_assert_ptr_null(strstr(talk_page(t, ""), "dynamo_g"));
}
END_TEST

START_TEST(dropped_updates_are_a_cell_of_every_worker)
{
	talk_set(a, MESSAGE_CELL_DROPPED, 5);
	talk_set(b, MESSAGE_CELL_DROPPED, 1);
	talk_set(a, MESSAGE_CELL_DROPPED, 7);
	ck_assert_int_eq(talk_set(a, MESSAGE_CELL_DROPPED, 6), MESSAGE_REFUSED);
	ck_assert_double_eq(registry_client_dropped(t->registry), 8);
}
END_TEST

START_TEST(the_first_help_stays_and_another_is_logged_once)
{
	struct talk_metric m = counter;

	talk_define(a, &m, "", 0);
	m.help = "";
	talk_define(b, &m, "", 0);
	ck_assert_ptr_null(strstr(t->logged.at, "second help"));
	m.help = "Other";
	m.id = 2;
	talk_define(b, &m, "", 2);
	ck_assert_ptr_nonnull(strstr(t->logged.at, "second help"));
	t->logged.bytes = 0;
	m.id = 1;
	m.level = "x";
	talk_define(b, &m, "", 1);
	ck_assert_ptr_null(strstr(t->logged.at, "second help"));
	ck_assert_ptr_nonnull(
	    strstr(talk_page(t, ""), "# HELP dynamo_my_counter My custom"));
	ck_assert_ptr_null(strstr(talk_page(t, ""), "Other"));
}
END_TEST

START_TEST(thousands_of_series_come_and_go_without_a_trace)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "k"
	};
	char value[32];

	talk_define(a, &m, NULL, 0);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < 5000; i++) {
			snprintf(value, sizeof(value), "%d.%u", round, i);
			talk_child(a, 0, value, i);
		}
		ck_assert_uint_eq(registry_count(t->registry, MESSAGE_COUNTER), 5000);
		for (uint32_t i = 0; i < 5000; i++)
			talk_remove(a, (i * 7) % 5000);
		ck_assert_uint_eq(registry_count(t->registry, MESSAGE_COUNTER), 0);
	}
	PAGE("");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("registry");
	TCase *c = tcase_create("registry");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, the_sample_of_the_guide_comes_out_byte_for_byte);
	tcase_add_test(c, a_counter_is_on_the_page_as_soon_as_it_exists);
	tcase_add_test(c, counters_of_workers_add_up_and_stay_when_they_die);
	tcase_add_test(c, what_workers_count_never_becomes_infinite);
	tcase_add_test(c, a_counter_never_goes_down);
	tcase_add_test(c, a_refused_update_changes_nothing_at_all);
	tcase_add_test(c, a_histogram_prints_cumulative_buckets_and_derives_its_count);
	tcase_add_test(c, a_histogram_without_labels_has_le_alone);
	tcase_add_test(c, a_gauge_that_nobody_set_is_not_on_the_page);
	tcase_add_loop_test(c, gauges_are_merged_over_the_workers_that_set_them, 0, 3);
	tcase_add_test(c, nan_says_nothing_about_the_smallest_or_largest);
	tcase_add_test(
	    c, last_shows_what_was_set_last_and_the_next_latest_when_that_worker_dies);
	tcase_add_test(c, each_shows_one_series_per_worker_in_its_place_among_the_labels);
	tcase_add_test(c, the_same_series_twice_in_one_worker_is_refused_for_each);
	tcase_add_test(c, the_same_series_is_a_workers_64_times_and_no_more);
	tcase_add_test(c, a_gauge_leaves_with_its_last_setter);
	tcase_add_test(c, labels_are_sorted_and_escaped_and_empty_ones_left_out);
	tcase_add_test(c, a_plain_series_and_a_vector_share_a_family);
	tcase_add_test(c, another_shape_is_refused_while_a_live_worker_has_the_name);
	tcase_add_test(c, another_shape_replaces_what_is_only_kept_of_the_dead);
	tcase_add_loop_test(
	    c, names_of_a_histograms_samples_cannot_be_taken_either_way, 0, 3);
	tcase_add_loop_test(c, the_daemons_own_names_cannot_be_taken, 0, 4);
	tcase_add_test(c, a_refused_child_leaves_no_series_behind);
	tcase_add_test(c, limits_of_series_and_families_hold);
	tcase_add_test(c, metrics_without_children_have_a_limit_too);
	tcase_add_test(c, cells_are_numbered_densely);
	tcase_add_test(c, cells_stay_dense_by_what_was_once_in_use);
	tcase_add_test(c, a_child_without_its_metric_or_with_other_labels_is_refused);
	tcase_add_test(c,
	    defining_again_changes_nothing_and_another_metric_of_that_number_is_refused);
	tcase_add_test(c, a_cell_that_gets_another_child_starts_again_at_zero);
	tcase_add_test(c, a_removed_series_leaves_when_no_live_worker_has_it);
	tcase_add_test(c, removing_what_is_not_there_is_no_error);
	tcase_add_test(c, a_histogram_over_a_gauges_cells_takes_them_whole);
	tcase_add_test(c, dropped_updates_are_a_cell_of_every_worker);
	tcase_add_test(c, the_first_help_stays_and_another_is_logged_once);
	tcase_add_test(c, thousands_of_series_come_and_go_without_a_trace);
	return suite_run(s);
}
