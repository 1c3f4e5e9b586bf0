/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and creating: scopes, families, children; their rules and limits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime.h"
#include "suite.h"

#define MAX_SERIES 5000

static dynm_runtime *rt;
static dynm_scope at;
static char lines[65536];

static void
log_line(void *arg, const char *text)
{
	size_t n = strlen(lines);

	(void)arg;
	snprintf(lines + n, sizeof(lines) - n, "%s\n", text);
}

static size_t
count_lines(void)
{
	size_t n = 0;

	for (const char *at_line = lines; (at_line = strchr(at_line, '\n')); at_line++)
		n++;
	return n;
}

static void
set_up(void)
{
	dynm_options o = { .address = "ipc:///nonexistent/socket",
		.flush_ms = 10,
		.max_series = MAX_SERIES };

	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	at = dynm_runtime_scope(rt);
	lines[0] = '\0';
}

static void
tear_down(void)
{
	dynm_close(rt);
}

/* The error that is waiting must have a code and say this. */
static void
expect(dynm_err code, const char *part)
{
	dynm_error err;

	ck_assert_int_eq(dynm_runtime_error(rt, &err), code);
	ck_assert_int_eq(err.code, code);
	ck_assert_msg(
	    strstr(err.text, part) != NULL, "'%s' does not say '%s'", err.text, part);
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_OK);
}

/* ---- Scopes ------------------------------------------------------------ */

START_TEST(the_same_name_gives_the_same_place)
{
	dynm_namespace a = dynm_runtime_namespace(rt, "a");
	dynm_component b = dynm_namespace_component(a, "b");
	dynm_endpoint c = dynm_component_endpoint(b, "c");
	dynm_scope l = dynm_scope_label(c.scope, "k", "v");

	ck_assert_ptr_eq(dynm_runtime_namespace(rt, "a").scope.node_, a.scope.node_);
	ck_assert_ptr_eq(dynm_namespace_component(a, "b").scope.node_, b.scope.node_);
	ck_assert_ptr_eq(dynm_component_endpoint(b, "c").scope.node_, c.scope.node_);
	ck_assert_ptr_eq(dynm_scope_label(c.scope, "k", "v").node_, l.node_);
	ck_assert_ptr_ne(dynm_scope_label(c.scope, "k", "w").node_, l.node_);
	ck_assert_ptr_ne(dynm_runtime_namespace(rt, "b").scope.node_, a.scope.node_);
	expect(DYNM_OK, "");
}
END_TEST

START_TEST(levels_and_labels_go_into_the_definition)
{
	dynm_component b = dynm_namespace_component(dynm_runtime_namespace(rt, "a"), "b");
	dynm_scope l = dynm_scope_label(dynm_scope_label(b.scope, "k", "v"), "k2", "v2");
	dynm_gauge_vec g =
	    dynm_gauge_vec_create_merge(l, "g", "H", DYNM_LABELS("x", "y"), DYNM_EACH);
	struct message_metric m;
	struct message_child c;

	family_message(g.family_, &m);
	ck_assert_uint_eq(m.level.depth, 2);
	ck_assert(wire_text_is(m.level.name[0], "a"));
	ck_assert(wire_text_is(m.level.name[1], "b"));
	ck_assert_uint_eq(m.n_constant, 2);
	ck_assert(wire_text_is(m.constant_name[0], "k"));
	ck_assert(wire_text_is(m.constant_value[0], "v"));
	ck_assert(wire_text_is(m.constant_name[1], "k2"));
	ck_assert_int_eq(m.kind, MESSAGE_GAUGE);
	ck_assert_int_eq(m.merge, MESSAGE_EACH);
	ck_assert(wire_text_is(m.help, "H"));
	ck_assert_uint_eq(m.n_variable, 2);
	ck_assert(wire_text_is(m.variable_name[1], "y"));
	series_message(dynm_with(g, "", "two").series_, &c);
	ck_assert_uint_eq(c.n_values, 2);
	ck_assert(wire_text_is(c.value[0], ""));
	ck_assert(wire_text_is(c.value[1], "two"));
}
END_TEST

START_TEST(bad_places_are_null_and_say_why)
{
	char name[130];

	memset(name, 'x', 129);
	name[129] = '\0';
	ck_assert_ptr_null(dynm_runtime_namespace(rt, "").scope.node_);
	expect(DYNM_EINVAL, "empty");
	ck_assert_ptr_null(dynm_runtime_namespace(rt, NULL).scope.node_);
	expect(DYNM_EINVAL, "NULL");
	ck_assert_ptr_null(dynm_runtime_namespace(rt, name).scope.node_);
	expect(DYNM_ELIMIT, "128");
	ck_assert_ptr_null(dynm_runtime_namespace(rt, "\xff").scope.node_);
	expect(DYNM_EINVAL, "UTF-8");
	ck_assert_ptr_null(dynm_scope_label(at, "namespace", "x").node_);
	expect(DYNM_EINVAL, "'namespace'");
	ck_assert_ptr_null(dynm_scope_label(at, "0", "x").node_);
	expect(DYNM_EINVAL, "'0'");
	ck_assert_ptr_null(dynm_scope_label(at, "a", NULL).node_);
	expect(DYNM_EINVAL, "no value");
	ck_assert_ptr_null(
	    dynm_scope_label(dynm_scope_label(at, "a", "1"), "a", "2").node_);
	expect(DYNM_EINVAL, "Duplicate");
}
END_TEST

START_TEST(nothing_under_a_null_scope_is_another_error)
{
	dynm_namespace ns = { { NULL } };
	dynm_component c = dynm_namespace_component(ns, "x");
	dynm_endpoint e = dynm_component_endpoint(c, "x");
	dynm_counter_vec v;

	dynm_counter_inc(dynm_counter_create(e.scope, "x", ""));
	v = dynm_counter_vec_create(
	    dynm_scope_label(e.scope, "a", "b"), "y", "", DYNM_LABELS("l"));
	dynm_counter_inc(dynm_with(v, "1"));
	dynm_remove(v, "1");
	expect(DYNM_OK, "");
}
END_TEST

/* ---- Families ---------------------------------------------------------- */

START_TEST(an_equal_create_finds_the_metric)
{
	dynm_counter c = dynm_counter_create(at, "c_total", "one");
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 2));
	dynm_scope ns = dynm_runtime_namespace(rt, "n").scope;

	ck_assert_ptr_eq(dynm_counter_create(at, "c_total", "two").series_, c.series_);
	ck_assert_ptr_eq(dynm_counter_create(at, "c_total", NULL).series_, c.series_);
	ck_assert_str_eq(c.series_->family->help, "one");
	ck_assert_ptr_eq(
	    dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 2)).series_, h.series_);
	/* the seed's guide has one name at two levels, and plain beside a vector */
	ck_assert_ptr_ne(dynm_counter_create(ns, "c_total", "").series_, c.series_);
	ck_assert_ptr_nonnull(
	    dynm_counter_vec_create(at, "c_total", "", DYNM_LABELS("l")).family_);
	expect(DYNM_OK, "");
}
END_TEST

START_TEST(the_default_buckets_are_those_of_the_prometheus_libraries)
{
	static const double bounds[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5,
		10 };
	dynm_histogram h = dynm_histogram_create(at, "h", "", DYNM_BUCKETS_DEFAULT);

	ck_assert_uint_eq(h.series_->family->n_bounds, 11);
	ck_assert_mem_eq(h.series_->family->bounds, bounds, sizeof(bounds));
}
END_TEST

START_TEST(another_shape_of_a_name_is_refused)
{
	dynm_scope ns = dynm_runtime_namespace(rt, "n").scope;

	(void)dynm_counter_create(at, "a", "");
	(void)dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 2));
	(void)dynm_gauge_create_merge(at, "g", "", DYNM_MAX);
	ck_assert_ptr_null(dynm_gauge_create(at, "a", "").series_);
	expect(DYNM_EEXIST, "'a' exists as a counter, not a gauge");
	ck_assert_ptr_null(dynm_gauge_create(ns, "a", "").series_);
	expect(DYNM_EEXIST, "'a'");
	ck_assert_ptr_null(
	    dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1, 3)).series_);
	expect(DYNM_EEXIST, "bound 2");
	ck_assert_ptr_null(dynm_histogram_create(at, "h", "", DYNM_BUCKETS(1)).series_);
	expect(DYNM_EEXIST, "2 bounds, not 1");
	ck_assert_ptr_null(dynm_gauge_create(at, "g", "").series_);
	expect(DYNM_EEXIST, "'max', not 'sum'");
}
END_TEST

START_TEST(what_breaks_the_rules_is_null_and_says_why)
{
	static const char *const many[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i",
		"j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x",
		"y", "z", "aa", "bb", "cc", "dd", "ee", "ff", "gg" };
	double bounds[130];

	for (int i = 0; i < 130; i++)
		bounds[i] = i;
	ck_assert_ptr_null(dynm_counter_create(at, "", "").series_);
	expect(DYNM_EINVAL, "metric name");
	ck_assert_ptr_null(dynm_counter_create(at, NULL, "").series_);
	expect(DYNM_EINVAL, "NULL");
	ck_assert_ptr_null(dynm_counter_create(at, "a-b", "").series_);
	expect(DYNM_EINVAL, "'a-b'");
	ck_assert_ptr_null(dynm_counter_create(at, "a", "\xc3").series_);
	expect(DYNM_EINVAL, "help");
	ck_assert_ptr_null(
	    dynm_counter_vec_create(at, "a", "", DYNM_LABELS("l", "l")).family_);
	expect(DYNM_EINVAL, "Duplicate");
	ck_assert_ptr_null(dynm_counter_vec_create(
	    dynm_scope_label(at, "l", "1"), "a", "", DYNM_LABELS("l"))
			       .family_);
	expect(DYNM_EINVAL, "Duplicate");
	ck_assert_ptr_null(dynm_histogram_vec_create(
	    at, "a", "", DYNM_LABELS("le"), DYNM_BUCKETS_DEFAULT)
			       .family_);
	expect(DYNM_EINVAL, "'le'");
	ck_assert_ptr_null(
	    dynm_counter_vec_create(at, "a", "", (dynm_strings){ 33, many }).family_);
	expect(DYNM_ELIMIT, "33 labels");
	ck_assert_ptr_null(
	    dynm_counter_vec_create(at, "a", "", (dynm_strings){ 2, NULL }).family_);
	expect(DYNM_EINVAL, "NULL");
	ck_assert_ptr_null(
	    dynm_histogram_create(at, "a", "", DYNM_BUCKETS(2, 1)).series_);
	expect(DYNM_EINVAL, "ascending");
	ck_assert_ptr_null(
	    dynm_histogram_create(at, "a", "", DYNM_BUCKETS(1, (double)NAN)).series_);
	expect(DYNM_EINVAL, "finite");
	ck_assert_ptr_null(
	    dynm_histogram_create(at, "a", "", (dynm_buckets){ 129, bounds }).series_);
	expect(DYNM_ELIMIT, "129 buckets");
	ck_assert_ptr_null(
	    dynm_histogram_create(at, "a", "", (dynm_buckets){ 3, NULL }).series_);
	expect(DYNM_EINVAL, "NULL");
	ck_assert_ptr_null(dynm_gauge_create_merge(at, "a", "", (dynm_merge)9).series_);
	expect(DYNM_EINVAL, "merge");
	ck_assert_ptr_nonnull(
	    dynm_gauge_create(at, "a", "").series_); /* the name is free */
	expect(DYNM_OK, "");
}
END_TEST

START_TEST(the_first_error_waits_and_later_ones_are_logged)
{
	dynm_options o = {
		.address = "ipc:///nonexistent/socket", .flush_ms = 10, .log = log_line
	};
	dynm_error err;

	dynm_close(rt);
	ck_assert_int_eq(dynm_open(&rt, &o, NULL), DYNM_OK);
	at = dynm_runtime_scope(rt);
	(void)dynm_counter_create(at, "first-bad", "");
	(void)dynm_counter_create(at, "second-bad", "");
	ck_assert_ptr_nonnull(strstr(lines, "first-bad"));
	ck_assert_ptr_nonnull(strstr(lines, "second-bad"));
	ck_assert_int_eq(dynm_runtime_error(rt, &err), DYNM_EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "first-bad"));
	for (int i = 0; i < 200; i++)
		(void)dynm_counter_create(at, "-", "");
	ck_assert_uint_eq(count_lines(), 101);
	pthread_mutex_lock(&rt->report.lock);
	rt->report.next_ns = 0; /* a minute has gone by */
	pthread_mutex_unlock(&rt->report.lock);
	(void)dynm_counter_create(at, "late-bad", "");
	ck_assert_uint_eq(count_lines(), 103);
	ck_assert_ptr_nonnull(strstr(lines, "\n101 errors were not logged\n"));
	ck_assert_ptr_nonnull(strstr(lines, "late-bad"));
	ck_assert_int_eq(dynm_runtime_error(rt, NULL), DYNM_EINVAL);
}
END_TEST

/* ---- Children ---------------------------------------------------------- */

START_TEST(children_are_told_apart_by_all_their_values)
{
	dynm_counter_vec v = dynm_counter_vec_create(at, "v", "", DYNM_LABELS("a", "b"));
	struct dynm_series *s = dynm_with(v, "x", "yz").series_;

	ck_assert_ptr_nonnull(s);
	ck_assert_ptr_eq(dynm_with(v, "x", "yz").series_, s);
	ck_assert_ptr_ne(dynm_with(v, "xy", "z").series_, s);
	ck_assert_ptr_ne(dynm_with(v, "x", "y").series_, s);
	ck_assert_ptr_ne(dynm_with(v, "", "xyz").series_, s);
	ck_assert_ptr_ne(dynm_with(v, "yz", "x").series_, s);
	expect(DYNM_OK, "");
}
END_TEST

START_TEST(wrong_values_are_null_and_say_why)
{
	dynm_counter_vec v = dynm_counter_vec_create(at, "v", "", DYNM_LABELS("a", "b"));
	char longest[1026];

	memset(longest, 'x', 1025);
	longest[1025] = '\0';
	ck_assert_ptr_null(dynm_with(v, "1").series_);
	expect(DYNM_EINVAL, "'v' has 2 labels, not 1");
	ck_assert_ptr_null(dynm_with(v, "1", "2", "3").series_);
	expect(DYNM_EINVAL, "not 3");
	ck_assert_ptr_null(dynm_with(v, "1", NULL).series_);
	expect(DYNM_EINVAL, "NULL");
	ck_assert_ptr_null(dynm_counter_vec_with(v, (dynm_strings){ 2, NULL }).series_);
	expect(DYNM_EINVAL, "NULL");
	ck_assert_ptr_null(dynm_with(v, "1", "\xed\xa0\x80").series_);
	expect(DYNM_EINVAL, "UTF-8");
	ck_assert_ptr_null(dynm_with(v, "1", longest).series_);
	expect(DYNM_ELIMIT, "1024");
	dynm_remove(v, "1");
	expect(DYNM_EINVAL, "not 1");
	longest[1024] = '\0';
	ck_assert_ptr_nonnull(dynm_with(v, "1", longest).series_);
}
END_TEST

START_TEST(thousands_of_children_are_found_again)
{
	dynm_gauge_vec v = dynm_gauge_vec_create(at, "v", "", DYNM_LABELS("a", "b"));
	static struct dynm_series *s[4000];
	char name[16];

	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 4000; i++) {
			struct dynm_series *found;

			snprintf(name, sizeof(name), "%d", i * 7919);
			found = dynm_with(v, name, "b").series_;
			ck_assert_ptr_nonnull(found);
			if (round == 0)
				s[i] = found;
			ck_assert_ptr_eq(found, s[i]);
		}
	for (int i = 1; i < 4000; i++)
		ck_assert_uint_ne(s[i]->wire, s[i - 1]->wire);
}
END_TEST

START_TEST(over_max_series_there_are_null_handles_and_one_line)
{
	dynm_counter_vec v = dynm_counter_vec_create(at, "v", "", DYNM_LABELS("a"));
	dynm_status st;
	char name[16];

	for (int i = 0; i < MAX_SERIES + 10; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ck_assert_int_eq(dynm_with(v, name).series_ != NULL, i < MAX_SERIES);
	}
	expect(DYNM_ELIMIT, "5000 series");
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.series, MAX_SERIES);
	dynm_remove(v, "17");
	ck_assert_ptr_nonnull(dynm_with(v, "another").series_);
	ck_assert_ptr_null(dynm_with(v, "yet another").series_);
	expect(DYNM_ELIMIT, "5000 series");
}
END_TEST

START_TEST(a_removed_child_is_another_one_when_made_again)
{
	dynm_counter_vec v = dynm_counter_vec_create(at, "v", "", DYNM_LABELS("a"));
	dynm_counter old = dynm_with(v, "x"), again;
	char name[16];

	dynm_counter_add(old, 5);
	dynm_remove(v, "x");
	dynm_remove(v, "x");
	again = dynm_with(v, "x");
	ck_assert_ptr_ne(again.series_, old.series_);
	ck_assert_uint_eq(series_cell(old.series_), TRASH_CELL);
	ck_assert_ptr_eq(dynm_with(v, "x").series_, again.series_);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "%d", i);
		(void)dynm_with(v, name);
		dynm_remove(v, name);
	}
	ck_assert_ptr_eq(dynm_with(v, "x").series_, again.series_);
	expect(DYNM_OK, "");
}
END_TEST

static dynm_counter_vec shared;

static void *
create_all(void *arg)
{
	char name[16];

	for (int i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "%d", i);
		dynm_counter_inc(dynm_with(shared, name));
		(void)dynm_gauge_create(at, "same", "");
	}
	return arg;
}

START_TEST(threads_that_create_the_same_share_it)
{
	dynm_status st;
	pthread_t t[6];

	shared = dynm_counter_vec_create(at, "v", "", DYNM_LABELS("a"));
	for (int i = 0; i < 6; i++)
		pthread_create(&t[i], NULL, create_all, NULL);
	for (int i = 0; i < 6; i++)
		pthread_join(t[i], NULL);
	dynm_runtime_status(rt, &st);
	ck_assert_uint_eq(st.series, 1501);
	expect(DYNM_OK, "");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client_series");
	TCase *t = tcase_create("series");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_same_name_gives_the_same_place);
	tcase_add_test(t, levels_and_labels_go_into_the_definition);
	tcase_add_test(t, bad_places_are_null_and_say_why);
	tcase_add_test(t, nothing_under_a_null_scope_is_another_error);
	tcase_add_test(t, an_equal_create_finds_the_metric);
	tcase_add_test(t, the_default_buckets_are_those_of_the_prometheus_libraries);
	tcase_add_test(t, another_shape_of_a_name_is_refused);
	tcase_add_test(t, what_breaks_the_rules_is_null_and_says_why);
	tcase_add_test(t, the_first_error_waits_and_later_ones_are_logged);
	tcase_add_test(t, children_are_told_apart_by_all_their_values);
	tcase_add_test(t, wrong_values_are_null_and_say_why);
	tcase_add_test(t, thousands_of_children_are_found_again);
	tcase_add_test(t, over_max_series_there_are_null_handles_and_one_line);
	tcase_add_test(t, a_removed_child_is_another_one_when_made_again);
	tcase_add_test(t, threads_that_create_the_same_share_it);
	suite_add_tcase(s, t);
	return suite_run(s);
}
