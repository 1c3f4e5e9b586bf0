/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the page with time, and while it is being rendered. */
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

/* ---- Gauges with an end ----------------------------------------------- */

START_TEST(a_gauge_leaves_when_its_time_is_over)
{
	must_be_done(t, METRICS(SET("1,\"ttl_s\":5")));
	ck_assert_uint_le(apply_due_ms(t->apply, t->now_ms), 5000 + 100);
	pass_ms(t, 4999);
	ck_assert(page_has(t, "dynamo_g 1\n"));
	pass_ms(t, 101);
	ck_assert_str_eq(talk_page(t, ""), "");
	ck_assert_uint_eq(registry_families(t->registry), 0);
	ck_assert_double_eq(left_by(t, REGISTRY_TTL), 1);
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), UINT64_MAX);
}
END_TEST

START_TEST(setting_a_gauge_again_moves_its_end_or_takes_it_away)
{
	must_be_done(t, METRICS(SET("1,\"ttl_s\":5")));
	pass_ms(t, 3000);
	must_be_done(t, METRICS(SET("2,\"ttl_s\":5")));
	pass_ms(t, 4000);
	ck_assert(page_has(t, "dynamo_g 2\n"));
	must_be_done(t, METRICS(SET("3,\"ttl_s\":0.1")));
	pass_ms(t, 300);
	ck_assert(!page_has(t, "dynamo_g"));
	must_be_done(t, METRICS(SET("4,\"ttl_s\":5")));
	must_be_done(t, METRICS(SET("5")));
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), UINT64_MAX);
	pass_ms(t, 10000);
	ck_assert(page_has(t, "dynamo_g 5\n"));
}
END_TEST

START_TEST(adding_to_a_gauge_leaves_its_end_as_it_is)
{
	must_be_done(t, METRICS(SET("1,\"ttl_s\":5")));
	pass_ms(t, 3000);
	must_be_done(t, METRICS("{\"name\":\"g\",\"type\":\"gauge\",\"add\":1}"));
	ck_assert(page_has(t, "dynamo_g 2\n"));
	pass_ms(t, 2100);
	ck_assert(!page_has(t, "dynamo_g"));
}
END_TEST

START_TEST(the_end_of_a_gauge_leaves_the_parts_of_workers)
{
	talk_hello(a, NULL);
	talk_define(a, &json_gauge, "", 0);
	talk_set(a, 0, 5);
	must_be_done(t, METRICS(SET("1,\"ttl_s\":1")));
	ck_assert(page_has(t, "dynamo_g 6\n"));
	pass_ms(t, 1100);
	ck_assert(page_has(t, "dynamo_g 5\n"));
	ck_assert_double_eq(left_by(t, REGISTRY_TTL), 0);
}
END_TEST

START_TEST(a_removed_gauge_takes_its_end_along)
{
	must_be_done(t, METRICS(SET("1,\"ttl_s\":5")));
	must_be_done(t, METRICS("{\"name\":\"g\",\"remove\":true}"));
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), UINT64_MAX);
	must_be_done(t, METRICS(SET("2")));
	pass_ms(t, 6000);
	ck_assert(page_has(t, "dynamo_g 2\n"));
}
END_TEST

START_TEST(a_replaced_gauge_takes_its_end_along)
{
	must_be_done(t, METRICS(SET("1,\"ttl_s\":5")));
	must_be_done(t, METRICS("{\"name\":\"g\",\"type\":\"counter\",\"inc\":2}"));
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), UINT64_MAX);
	pass_ms(t, 6000);
	ck_assert_str_eq(talk_page(t, ""), "# TYPE dynamo_g counter\ndynamo_g 2\n");
	/* its cell is free for another */
	must_be_done(t, METRICS("{\"name\":\"f\",\"type\":\"gauge\",\"set\":3}"));
	ck_assert(page_has(t, "dynamo_f 3\n"));
}
END_TEST

static void
set_many(uint32_t first, uint32_t n, const char *merge, const char *more)
{
	char message[256];

	for (uint32_t i = first; i < first + n; i++) {
		snprintf(message, sizeof(message),
		    METRICS("{\"name\":\"%s\",\"type\":\"gauge\",\"merge\":\"%s\","
			    "\"labels\":{\"i\":\"%u\"},\"set\":%u%s}"),
		    merge, merge, i, i, more);
		must_be_done(t, message);
	}
}

static uint32_t
lines_of(const char *start)
{
	const char *page = talk_page(t, "");
	uint32_t n = 0;

	for (const char *at = page; (at = strstr(at, start)) != NULL; at++)
		n += at == page || at[-1] == '\n';
	return n;
}

/* Cells of one and of two are given out, given back, and given out again. */
START_TEST(thousands_of_gauges_come_and_go_each_at_its_time)
{
	set_many(0, 1000, "sum", ",\"ttl_s\":1");
	set_many(0, 1000, "last", ",\"ttl_s\":2");
	set_many(1000, 500, "last", "");
	pass_ms(t, 1100);
	ck_assert_uint_eq(lines_of("dynamo_sum{"), 0);
	ck_assert_uint_eq(lines_of("dynamo_last{"), 1500);
	set_many(0, 1200, "max", ",\"ttl_s\":5");
	pass_ms(t, 1000);
	ck_assert_uint_eq(lines_of("dynamo_last{"), 500);
	ck_assert_uint_eq(lines_of("dynamo_max{"), 1200);
	set_many(0, 1000, "last", "");
	ck_assert_uint_eq(lines_of("dynamo_last{"), 1500);
	ck_assert(page_has(t, "dynamo_last{i=\"999\"} 999\n"));
	ck_assert(page_has(t, "dynamo_last{i=\"1499\"} 1499\n"));
	ck_assert(page_has(t, "dynamo_max{i=\"1199\"} 1199\n"));
}
END_TEST

/* ---- Kept series ------------------------------------------------------ */

static void
retain_s(uint64_t seconds)
{
	struct apply_options o = { .lease_ms = 1000000000,
		.grace_ms = 2000,
		.json_bytes = 65536,
		.retain_s = seconds };

	apply_set_options(t->apply, &o);
	apply_tick(t->apply, t->now_ms);
}

static void
tick_until_s(uint64_t end_s)
{
	uint64_t now_ms = t->now_ms;

	while (t->now_ms < now_ms + end_s * 1000) {
		uint64_t due_ms = apply_due_ms(t->apply, t->now_ms);

		if (due_ms > now_ms + end_s * 1000 - t->now_ms)
			due_ms = now_ms + end_s * 1000 - t->now_ms;
		t->now_ms += due_ms > 0 ? due_ms : 1;
		apply_tick(t->apply, t->now_ms);
	}
}

START_TEST(kept_series_leave_when_nothing_was_heard_of_them)
{
	struct talk_metric c = { .kind = MESSAGE_COUNTER, .level = "", .name = "worker" };

	retain_s(100);
	talk_hello(a, NULL);
	talk_define(a, &c, "", 0);
	count_at(t, "", "json", "1", 1);
	send_json(t, "{\"name\":\"gauge\",\"type\":\"gauge\",\"set\":4}");
	tick_until_s(50);
	count_at(t, "", "json", "2", 1);
	tick_until_s(10);
	talk_bye(a); /* 60 s: nobody defines it from here on */
	tick_until_s(39);
	ck_assert(page_has(t, "dynamo_json{k=\"1\"} 1\n"));
	ck_assert(page_has(t, "dynamo_gauge 4\n"));
	tick_until_s(8);
	ck_assert(!page_has(t, "dynamo_json{k=\"1\"}"));
	ck_assert(!page_has(t, "dynamo_gauge"));
	ck_assert(page_has(t, "dynamo_json{k=\"2\"} 1\n"));
	ck_assert(page_has(t, "dynamo_worker 0\n"));
	tick_until_s(50);
	ck_assert(!page_has(t, "dynamo_json"));
	ck_assert(page_has(t, "dynamo_worker 0\n"));
	tick_until_s(10);
	ck_assert_str_eq(talk_page(t, ""), "");
	ck_assert_double_eq(left_by(t, REGISTRY_RETAIN), 4);
	ck_assert_ptr_nonnull(
	    strstr(t->logged.at, "registry: 2 series were dropped: no live worker "
				 "defines them, and nothing was "
				 "heard of them for 100 s (state.retain_s)\n"));
}
END_TEST

START_TEST(what_is_defined_or_touched_stays)
{
	struct talk_metric c = { .kind = MESSAGE_COUNTER, .level = "", .name = "worker" };

	retain_s(100);
	talk_hello(a, NULL);
	talk_define(a, &c, "", 0);
	for (int i = 0; i < 100; i++) {
		tick_until_s(10);
		count_at(t, "", "json", "1", 1);
	}
	ck_assert(page_has(t, "dynamo_worker 0\n"));
	ck_assert(page_has(t, "dynamo_json{k=\"1\"} 100\n"));
	ck_assert_double_eq(left_by(t, REGISTRY_RETAIN), 0);
}
END_TEST

START_TEST(without_a_time_nothing_leaves)
{
	count_at(t, "", "json", "1", 1);
	retain_s(0);
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), UINT64_MAX);
	pass_ms(t, 100000000000);
	ck_assert(page_has(t, "dynamo_json{k=\"1\"} 1\n"));
	/* a time that is set later counts from when they were kept */
	retain_s(1000);
	ck_assert_str_eq(talk_page(t, ""), "");
}
END_TEST

START_TEST(a_shorter_time_takes_effect_at_once)
{
	count_at(t, "", "json", "1", 1);
	retain_s(100000);
	pass_ms(t, 100000);
	retain_s(50);
	ck_assert_str_eq(talk_page(t, ""), "");
}
END_TEST

START_TEST(many_series_leave_in_slices)
{
	char k[16];
	uint32_t left, ticks = 0;

	for (int i = 0; i < 20000; i++) {
		snprintf(k, sizeof(k), "%d", i);
		count_at(t, "", "c", k, 1);
	}
	retain_s(0);
	t->now_ms += 101000;
	while ((left = registry_count(t->registry, MESSAGE_COUNTER)) > 0) {
		retain_s(100);
		ticks++;
		ck_assert_uint_lt(
		    left - registry_count(t->registry, MESSAGE_COUNTER), 10000);
		if (registry_count(t->registry, MESSAGE_COUNTER) > 0)
			ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), 0);
	}
	ck_assert_uint_gt(ticks, 1);
	ck_assert_double_eq(left_by(t, REGISTRY_RETAIN), 20000);
	/* and then there is rest */
	ck_assert_uint_ge(apply_due_ms(t->apply, t->now_ms), 90000);
}
END_TEST

START_TEST(rest_is_kept_however_series_come_and_go)
{
	char k[16];
	int searches = 0;

	retain_s(160);
	for (int i = 0; i < 1000; i++) {
		snprintf(k, sizeof(k), "%d", i);
		count_at(t, "", "c", k, 1);
		tick_until_s(1);
	}
	for (const char *at = t->logged.at; (at = strstr(at, "were dropped")); at++)
		searches++;
	ck_assert_int_ge(searches, 10);
	ck_assert_int_le(searches, 1000 / 10);
	ck_assert_uint_lt(registry_count(t->registry, MESSAGE_COUNTER), 160 + 12);
}
END_TEST

/* ---- While a page is rendered ----------------------------------------- */

static const char *
metric_of(const char *k, const char *more)
{
	static char text[128];

	snprintf(
	    text, sizeof(text), "{\"name\":\"c\",%s\"labels\":{\"k\":\"%s\"}}", more, k);
	return text;
}

static int
times_on_page(const char *line)
{
	int n = 0;

	for (const char *at = t->page.at; (at = strstr(at, line)) != NULL; at++)
		n++;
	return n;
}

/* Series come, go and come back between any two of its lines: a page has none of them
 * twice, and each that was there throughout once. */
START_TEST(a_page_in_slices_shows_no_series_twice)
{
	struct exposition *e = exposition_new(t->registry, NULL, NULL);
	uint32_t random = (uint32_t)_i + 1;
	char k[16], line[64];

	for (int i = 0; i < 20; i++) {
		snprintf(k, sizeof(k), "%d", i);
		send_json(t, metric_of(k, "\"type\":\"counter\","));
	}
	strbuf_reset(&t->page);
	strbuf_add(&t->page, "", 0);
	while (exposition_slice(e, &t->page, 1)) {
		for (int i = 0; i < 4; i++) {
			random = random * 1103515245 + 12345;
			/* 0 to 4 stay; 20 to 24 are new */
			snprintf(k, sizeof(k), "%u", 5 + (random >> 16) % 20);
			send_json(
			    t, metric_of(k, random >> 30 & 1 ? "\"remove\":true,"
							     : "\"type\":\"counter\","));
		}
	}
	exposition_free(e);
	for (int i = 0; i < 25; i++) {
		snprintf(line, sizeof(line), "dynamo_c{k=\"%d\"} 0\n", i);
		ck_assert_int_le(times_on_page(line), 1);
		if (i < 5)
			ck_assert_int_eq(times_on_page(line), 1);
	}
}
END_TEST

/* It left, another one took its place, and it came back behind all that there were. */
START_TEST(a_series_that_comes_back_behind_the_others_waits_for_the_next_page)
{
	struct exposition *e = exposition_new(t->registry, NULL, NULL);

	for (int i = 1; i <= 9; i++) {
		char k[2] = { (char)('0' + i), '\0' };

		count_at(t, "", "c", k, 1);
	}
	strbuf_reset(&t->page);
	strbuf_add(&t->page, "", 0);
	while (times_on_page("dynamo_c{k=\"2\"}") == 0)
		ck_assert(exposition_slice(e, &t->page, 1));
	send_json(t, "{\"name\":\"c\",\"labels\":{\"k\":\"2\"},\"remove\":true}");
	count_at(t, "", "c", "x", 1);
	count_at(t, "", "c", "2", 1);
	while (exposition_slice(e, &t->page, 1))
		;
	exposition_free(e);
	ck_assert_int_eq(times_on_page("dynamo_c{k=\"2\"}"), 1);
	ck_assert_int_eq(times_on_page("dynamo_c{k=\"x\"}"), 0);
	ck_assert_int_eq(times_on_page("dynamo_c{k=\"9\"}"), 1);
}
END_TEST

START_TEST(a_family_that_goes_in_the_middle_of_a_page_is_not_begun_again)
{
	struct exposition *e = exposition_new(t->registry, NULL, NULL);

	count_at(t, "", "b", "1", 1);
	count_at(t, "", "c", "1", 1);
	count_at(t, "", "c", "2", 1);
	count_at(t, "", "d", "1", 1);
	strbuf_reset(&t->page);
	strbuf_add(&t->page, "", 0);
	while (times_on_page("dynamo_c{k=\"1\"}") == 0)
		ck_assert(exposition_slice(e, &t->page, 1));
	send_json(t, "{\"name\":\"c\",\"labels\":{\"k\":\"1\"},\"remove\":true},"
		     "{\"name\":\"c\",\"labels\":{\"k\":\"2\"},\"remove\":true}");
	count_at(t, "", "c", "3", 1);
	while (exposition_slice(e, &t->page, 1))
		;
	exposition_free(e);
	ck_assert_str_eq(t->page.at, "# TYPE dynamo_b counter\ndynamo_b{k=\"1\"} 1\n"
				     "# TYPE dynamo_c counter\ndynamo_c{k=\"1\"} 1\n"
				     "# TYPE dynamo_d counter\ndynamo_d{k=\"1\"} 1\n");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("retain");
	TCase *c = tcase_create("retain");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_gauge_leaves_when_its_time_is_over);
	tcase_add_test(c, setting_a_gauge_again_moves_its_end_or_takes_it_away);
	tcase_add_test(c, adding_to_a_gauge_leaves_its_end_as_it_is);
	tcase_add_test(c, the_end_of_a_gauge_leaves_the_parts_of_workers);
	tcase_add_test(c, a_removed_gauge_takes_its_end_along);
	tcase_add_test(c, a_replaced_gauge_takes_its_end_along);
	tcase_add_test(c, thousands_of_gauges_come_and_go_each_at_its_time);
	tcase_add_test(c, kept_series_leave_when_nothing_was_heard_of_them);
	tcase_add_test(c, what_is_defined_or_touched_stays);
	tcase_add_test(c, without_a_time_nothing_leaves);
	tcase_add_test(c, a_shorter_time_takes_effect_at_once);
	tcase_add_test(c, many_series_leave_in_slices);
	tcase_add_test(c, rest_is_kept_however_series_come_and_go);
	tcase_add_loop_test(c, a_page_in_slices_shows_no_series_twice, 0, 20);
	tcase_add_test(
	    c, a_series_that_comes_back_behind_the_others_waits_for_the_next_page);
	tcase_add_test(c, a_family_that_goes_in_the_middle_of_a_page_is_not_begun_again);
	return suite_run(s);
}
