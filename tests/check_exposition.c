/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "talk.h"
#include "suite.h"

static struct talk *t;
static struct talk_worker *w;
static struct strbuf out;

static void
setup(void)
{
	t = talk_new(NULL, NULL);
	w = talk_worker(t, 100);
	talk_hello(w, NULL);
	out = STRBUF_EMPTY;
	strbuf_adds(&out, "");
}

static void
teardown(void)
{
	strbuf_free(&out);
	talk_free(t);
}

static struct talk_metric
counter(uint32_t id, const char *name, const char *level)
{
	return (struct talk_metric){ .id = id,
		.kind = MESSAGE_COUNTER,
		.level = level,
		.name = name,
		.variable = "k" };
}

static void
render(const struct exposition_filter *filter)
{
	struct exposition *e = exposition_new(t->registry, t->self, filter);

	ck_assert_ptr_nonnull(e);
	while (exposition_slice(e, &out, 1000))
		;
	exposition_free(e);
	ck_assert(!out.failed);
}

static int
count(const char *text)
{
	int n = 0;

	for (const char *at = out.at; (at = strstr(at, text)) != NULL; at++)
		n++;
	return n;
}

START_TEST(families_and_self_metrics_come_in_one_order_by_name)
{
	static const char *const names[] = { "zz", "aa", "metricsd", "system", "n" };
	char last[300] = "";

	for (uint32_t i = 0; i < 5; i++) {
		struct talk_metric m = counter(i, names[i], "");

		talk_define(w, &m, "v", i);
	}
	render(NULL);
	for (const char *at = out.at; (at = strstr(at, "# TYPE ")) != NULL; at++) {
		char name[300];

		sscanf(at, "# TYPE %299s", name);
		ck_assert_msg(strcmp(last, name) < 0, "%s before %s", last, name);
		strcpy(last, name);
	}
	ck_assert_int_eq(count("# TYPE "), count("# HELP ") + 5);
}
END_TEST

START_TEST(self_metrics_have_their_names_types_and_labels)
{
	self_refused(t->self, REASON_VALUE);
	self_add(t->self, SELF_HTTP_REQUESTS, SELF_PATH_METRICS, self_http_code(200), 3);
	self_set(t->self, SELF_UPTIME, 0, 0, 42);
	self_observe(t->self, SELF_LOOP_TURN, 0, 0, 0.05);
	render(NULL);
	ck_assert_int_eq(count("# HELP dynamo_system_uptime_seconds System uptime\n"
			       "# TYPE dynamo_system_uptime_seconds counter\n"
			       "dynamo_system_uptime_seconds{namespace=\"dynamo\"} 42\n"),
	    1);
	ck_assert_int_eq(
	    count("\ndynamo_metricsd_refused_total{reason=\"value\"} 1\n"), 1);
	ck_assert_int_eq(count("\ndynamo_system_http_requests_total{code=\"200\",path=\"/"
			       "metrics\"} 3\n"),
	    1);
	ck_assert_int_eq(count("dynamo_system_http_requests_total{"), 1);
	ck_assert_int_eq(
	    count("\ndynamo_metricsd_loop_turn_seconds_bucket{le=\"0.1\"} 1\n"), 1);
	ck_assert_int_eq(
	    count("\ndynamo_metricsd_loop_turn_seconds_bucket{le=\"0.01\"} 0\n"), 1);
	ck_assert_int_eq(count("\ndynamo_metricsd_loop_turn_seconds_count 1\n"), 1);
	ck_assert_int_eq(count("\ndynamo_metricsd_build_info{version=\""), 1);
}
END_TEST

START_TEST(self_metrics_are_declared_in_the_order_of_their_names)
{
	for (size_t m = 1; m < SELF_END; m++)
		ck_assert_msg(strcmp(self_table[m - 1].name, self_table[m].name) < 0,
		    "%s", self_table[m].name);
}
END_TEST

START_TEST(a_level_shows_what_is_there_and_below_and_no_self_metrics)
{
	struct exposition_filter filter = { .level = talk_level("n/c") };
	struct talk_metric a = counter(0, "at", "n/c"), b = counter(1, "below", "n/c/e"),
			   c = counter(2, "above", "n"), d = counter(3, "beside", "n/d");

	talk_define(w, &a, "v", 0);
	talk_define(w, &b, "v", 1);
	talk_define(w, &c, "v", 2);
	talk_define(w, &d, "v", 3);
	render(&filter);
	ck_assert_int_eq(count("dynamo_at{"), 1);
	ck_assert_int_eq(count("dynamo_below{"), 1);
	ck_assert_int_eq(count("above"), 0);
	ck_assert_int_eq(count("beside"), 0);
	ck_assert_int_eq(count("system"), 0);
}
END_TEST

START_TEST(names_pick_families_and_self_metrics)
{
	struct wire_text names[] = { wire_text("dynamo_a"),
		wire_text("dynamo_metricsd_workers"), wire_text("process_max_fds") };
	struct exposition_filter filter = { .n_names = 3, .names = names };
	struct talk_metric a = counter(0, "a", ""), b = counter(1, "b", "");

	talk_define(w, &a, "v", 0);
	talk_define(w, &b, "v", 1);
	render(&filter);
	ck_assert_int_eq(count("# TYPE "), 3);
	ck_assert_int_eq(count("dynamo_a{"), 1);
}
END_TEST

/* More labels than there is room for in one step. */
START_TEST(series_of_very_many_labels_are_all_there)
{
	struct message_metric m = { .kind = MESSAGE_COUNTER, .name = wire_text("many") };
	char name[MESSAGE_LABELS_MAX][8], value[32];
	uint32_t series;

	for (m.n_constant = 0; m.n_constant < 30; m.n_constant++) {
		sprintf(name[m.n_constant], "l%zu", m.n_constant);
		m.constant_name[m.n_constant] = wire_text(name[m.n_constant]);
		m.constant_value[m.n_constant] = wire_text("v");
	}
	for (int i = 0; i < 100; i++) {
		sprintf(value, "%d", i);
		m.constant_value[7] = wire_text(value);
		ck_assert_int_eq(registry_retain(t->registry, 0, &m, &series, NULL, NULL),
		    REASON_NONE);
	}
	render(NULL);
	ck_assert_int_eq(count("\ndynamo_many{"), 100);
	for (int i = 0; i < 100; i++) {
		sprintf(value, "l7=\"%d\"", i);
		ck_assert_int_eq(count(value), 1);
	}
}
END_TEST

/* One line of family `c` per k. */
static int
count_k(int k)
{
	char line[40];

	snprintf(line, sizeof(line), "\ndynamo_c{k=\"%d\"} ", k);
	return count(line);
}

/*
 * While a page is rendered in slices as small as can be, series and whole families come
 * and go. What was there all the time is there exactly once; nothing is there twice.
 */
START_TEST(each_series_comes_once_whatever_comes_and_goes_meanwhile)
{
	struct talk_metric c = counter(0, "c", "");
	struct exposition *e;
	char value[16];
	uint32_t churn = 0;

	talk_define(w, &c, NULL, 0);
	for (uint32_t i = 0; i < 200; i++) {
		snprintf(value, sizeof(value), "%u", i);
		talk_child(w, 0, value, i);
	}
	e = exposition_new(t->registry, t->self, NULL);
	while (churn < 1000 && exposition_slice(e, &out, 1)) {
		struct talk_metric other = counter(1000 + churn, "", "");
		char name[16];

		/* odd series leave and come back elsewhere; families appear everywhere */
		talk_remove(w, churn % 100 * 2 + 1);
		snprintf(value, sizeof(value), "%u", 1000 + churn);
		talk_child(w, 0, value, churn % 100 * 2 + 1);
		snprintf(name, sizeof(name), "%c%u", "abdz"[churn % 4], churn);
		other.name = name;
		talk_define(w, &other, "v", 1000 + churn);
		churn++;
	}
	while (exposition_slice(e, &out, 100000))
		;
	exposition_free(e);
	for (int i = 0; i < 200; i += 2)
		ck_assert_msg(count_k(i) == 1, "series %d came %d times", i, count_k(i));
	for (int i = 1; i < 200; i += 2)
		ck_assert_int_le(count_k(i), 1);
	for (int i = 1000; i < 1000 + (int)churn; i++)
		ck_assert_int_le(count_k(i), 1);
	ck_assert_int_eq(count("# TYPE dynamo_c counter\n"), 1);
}
END_TEST

START_TEST(a_family_that_leaves_or_is_replaced_under_way_is_not_begun_again)
{
	struct talk_metric c = counter(0, "c", ""), z = counter(1, "z", "");
	struct exposition *e;
	char value[16];

	talk_define(w, &c, NULL, 0);
	for (uint32_t i = 0; i < 10; i++) {
		snprintf(value, sizeof(value), "%u", i);
		talk_child(w, 0, value, i);
	}
	talk_define(w, &z, "v", 20);
	e = exposition_new(t->registry, NULL, NULL);
	exposition_slice(e, &out, 1);
	ck_assert_int_eq(count("# TYPE dynamo_c counter\n"), 1);
	talk_disconnect(w, true);
	w = talk_worker(t, 101);
	talk_hello(w, NULL);
	c.kind = MESSAGE_GAUGE;
	talk_define(w, &c, "v", 0);
	ck_assert_int_eq(talk_refused(t), REASON_NONE);
	talk_set(w, 0, 1);
	while (exposition_slice(e, &out, 1))
		;
	exposition_free(e);
	ck_assert_int_eq(count("# TYPE dynamo_c"), 1);
	ck_assert_int_eq(count("# TYPE dynamo_z counter\n"), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("exposition");
	TCase *c = tcase_create("exposition");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, families_and_self_metrics_come_in_one_order_by_name);
	tcase_add_test(c, self_metrics_have_their_names_types_and_labels);
	tcase_add_test(c, self_metrics_are_declared_in_the_order_of_their_names);
	tcase_add_test(c, a_level_shows_what_is_there_and_below_and_no_self_metrics);
	tcase_add_test(c, names_pick_families_and_self_metrics);
	tcase_add_test(c, series_of_very_many_labels_are_all_there);
	tcase_add_test(c, each_series_comes_once_whatever_comes_and_goes_meanwhile);
	tcase_add_test(
	    c, a_family_that_leaves_or_is_replaced_under_way_is_not_begun_again);
	return suite_run(s);
}
