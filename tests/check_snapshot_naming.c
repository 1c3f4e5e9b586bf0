/* SPDX-License-Identifier: Apache-2.0 */
/* A state that is read under another configuration than it was written under. */
#include <stdio.h>
#include <stdlib.h>

#include "json_talk.h"
#include "life.h"
#include "suite.h"

static struct naming seed, component = { .component = true };

/* A daemon of that naming. */
static struct talk *
talk_of(const struct naming *naming)
{
	struct talk *t = talk_new(NULL, NULL);

	ck_assert(registry_set_naming(t->registry, naming));
	return t;
}

/* What t knows, in another daemon of that naming; how much was left out. */
static struct talk *
move_to(struct talk *t, const struct naming *naming, uint64_t *ret_dropped,
    char why[SNAPSHOT_TEXT])
{
	struct talk *other = talk_of(naming);
	struct strbuf file = STRBUF_EMPTY;
	struct journal_head head;

	life_save(t, &file);
	ck_assert_int_eq(
	    snapshot_read(other->apply, file.at, file.bytes, &head, ret_dropped, why),
	    SNAPSHOT_OK);
	strbuf_free(&file);
	return other;
}

static void
must_become(struct talk *t, const struct naming *naming, uint64_t dropped,
    const char *why_has, const char *page)
{
	char why[SNAPSHOT_TEXT];
	uint64_t n;
	struct talk *other = move_to(t, naming, &n, why);

	ck_assert_str_eq(talk_page(other, ""), page);
	ck_assert_uint_eq(n, dropped);
	if (why_has == NULL)
		ck_assert_str_eq(why, "");
	else
		ck_assert_msg(strstr(why, why_has) != NULL, "%s", why);
	talk_free(other);
	talk_free(t);
}

static struct talk_worker *
worker(struct talk *t, pid_t pid)
{
	struct talk_worker *w = talk_worker(t, pid);

	ck_assert_int_eq(talk_hello(w, NULL), MESSAGE_NEW);
	return w;
}

/* ---- Names ---------------------------------------------------------------------- */

#define COUNTER(name, more) \
	"{\"name\":\"" name "\",\"type\":\"counter\",\"inc\":1" more "}"

START_TEST(names_are_made_to_fit_the_new_naming)
{
	struct talk *t = talk_of(&seed);

	must_be_done(
	    t, "{\"namespace\":\"my ns\",\"component\":\"___x\",\"metrics\":[" COUNTER(
		   ":c", "") "]}");
	must_become(t, &component, 0, NULL,
	    "# TYPE dynamo_component__:c counter\n"
	    "dynamo_component__:c{dynamo_component=\"__x\",dynamo_namespace=\"my_ns\"} "
	    "1\n");
}
END_TEST

START_TEST(names_that_fit_stay_as_they_are)
{
	struct talk *t = talk_of(&component), *other;
	char why[SNAPSHOT_TEXT];
	uint64_t dropped;

	must_be_done(t, "{\"namespace\":\"___x\",\"metrics\":[" COUNTER("c", "") "]}");
	other = move_to(t, &component, &dropped, why);
	ck_assert_str_eq(talk_page(t, ""), talk_page(other, ""));
	ck_assert(page_has(other, "dynamo_namespace=\"__x\""));
	talk_free(other);
	must_become(t, &seed, 0, NULL,
	    "# TYPE dynamo_c counter\ndynamo_c{namespace=\"__x\"} 1\n");
}
END_TEST

START_TEST(what_no_name_can_be_made_of_is_left_out)
{
	struct talk *t = talk_of(&seed);

	must_be_done(t, METRICS(COUNTER("_", "") "," COUNTER("c", "")));
	must_be_done(t, "{\"namespace\":\"--\",\"metrics\":[" COUNTER("d", "") "]}");
	must_become(t, &component, 2, "neither letter nor digit",
	    "# TYPE dynamo_component_c counter\ndynamo_component_c 1\n");
}
END_TEST

START_TEST(a_name_of_the_daemon_s_own_is_left_out)
{
	struct talk *t = talk_of(&component);

	must_be_done(t, METRICS(COUNTER("system_uptime_seconds", "")));
	must_become(t, &seed, 1, "the daemon's own metrics", "");
}
END_TEST

START_TEST(places_that_become_one_have_what_both_counted)
{
	struct talk *t = talk_of(&seed);

	must_be_done(t, "{\"namespace\":\"my-ns\",\"metrics\":[" COUNTER("c",
			    "") ",{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1],"
				"\"observe\":[0.5,2]}]}");
	must_be_done(t, "{\"namespace\":\"my_ns\",\"metrics\":[" COUNTER("c",
			    "") ",{\"name\":\"h\",\"type\":\"histogram\",\"buckets\":[1],"
				"\"observe\":[0.25]}]}");
	must_become(t, &component, 0, NULL,
	    "# TYPE dynamo_component_c counter\n"
	    "dynamo_component_c{dynamo_namespace=\"my_ns\"} 2\n"
	    "# TYPE dynamo_component_h histogram\n"
	    "dynamo_component_h_bucket{dynamo_namespace=\"my_ns\",le=\"1\"} 2\n"
	    "dynamo_component_h_bucket{dynamo_namespace=\"my_ns\",le=\"+Inf\"} 3\n"
	    "dynamo_component_h_sum{dynamo_namespace=\"my_ns\"} 2.75\n"
	    "dynamo_component_h_count{dynamo_namespace=\"my_ns\"} 3\n");
}
END_TEST

START_TEST(gauges_of_places_that_become_one_are_merged_and_each_stays_one_line)
{
	struct talk *t = talk_of(&seed);
	struct talk_worker *w = worker(t, 1), *v = worker(t, 2);
	struct talk_metric sum = { .kind = MESSAGE_GAUGE, .level = "a-b", .name = "s" };
	struct talk_metric each = { .id = 1,
		.kind = MESSAGE_GAUGE,
		.merge = MESSAGE_EACH,
		.level = "a-b",
		.name = "e" };

	for (int i = 0; i < 2; i++) {
		talk_define(w, &sum, "", 10 + (uint32_t)i);
		talk_set(w, 10 + (uint32_t)i, 4);
		talk_define(w, &each, "", 20 + (uint32_t)i);
		talk_set(w, 20 + (uint32_t)i, 1 + i);
		sum.id = 2;
		each.id = 3;
		sum.level = each.level = "a_b";
	}
	talk_define(v, &each, "", 0);
	talk_set(v, 0, 8);
	must_become(t, &component, 1, "",
	    "# TYPE dynamo_component_e gauge\n"
	    "dynamo_component_e{dynamo_namespace=\"a_b\",worker_id=\"0\"} 1\n"
	    "dynamo_component_e{dynamo_namespace=\"a_b\",worker_id=\"1\"} 8\n"
	    "# TYPE dynamo_component_s gauge\n"
	    "dynamo_component_s{dynamo_namespace=\"a_b\"} 8\n");
}
END_TEST

/* ---- Constant labels --------------------------------------------------------------- */

static char *cluster[] = { (char *)"cluster", (char *)"eu", NULL };
static struct naming with_cluster = { .labels = cluster };

START_TEST(constant_labels_are_those_of_now)
{
	struct talk *t = talk_of(&with_cluster);

	must_be_done(t, METRICS(COUNTER("c", ",\"labels\":{\"a\":\"1\"}")));
	must_become(t, &seed, 0, NULL, "# TYPE dynamo_c counter\ndynamo_c{a=\"1\"} 1\n");
	t = talk_of(&seed);
	must_be_done(t, METRICS(COUNTER("c", ",\"labels\":{\"a\":\"1\"}")));
	must_become(t, &with_cluster, 0, NULL,
	    "# TYPE dynamo_c counter\ndynamo_c{a=\"1\",cluster=\"eu\"} 1\n");
}
END_TEST

START_TEST(a_series_with_a_label_that_is_constant_now_is_left_out)
{
	struct talk *t = talk_of(&seed), *other;
	struct talk_metric bad = { .kind = MESSAGE_COUNTER,
		.level = "",
		.name = "c",
		.constant = "cluster=us" };
	struct talk_metric well = { .id = 1,
		.kind = MESSAGE_COUNTER,
		.level = "",
		.name = "c",
		.variable = "a" };
	struct talk_worker *w = worker(t, 1), *again;
	char why[SNAPSHOT_TEXT];
	uint64_t dropped;

	talk_define(w, &bad, "", 0);
	talk_define(w, &well, "1", 1);
	talk_set(w, 0, 1);
	talk_set(w, 1, 2);
	other = move_to(t, &with_cluster, &dropped, why);
	ck_assert_uint_eq(dropped, 2); /* the series and the definition */
	ck_assert_ptr_nonnull(strstr(why, "labels.cluster"));
	again = talk_worker(other, 1);
	memcpy(again->sid, w->sid, sizeof(w->sid));
	again->has_ticket = true;
	again->ticket = w->ticket;
	again->n = w->n;
	ck_assert_int_eq(talk_hello(again, NULL), MESSAGE_LIVE);
	ck_assert_int_eq(talk_set(again, 1, 3), MESSAGE_ACK);
	ck_assert_int_eq(talk_set(again, 0, 3), MESSAGE_REFUSED);
	talk_define(again, &bad, "", 0);
	ck_assert_int_eq(talk_refused(other), REASON_RESERVED);
	ck_assert_str_eq(talk_page(other, ""),
	    "# TYPE dynamo_c counter\ndynamo_c{a=\"1\",cluster=\"eu\"} 3\n");
	talk_free(other);
	talk_free(t);
}
END_TEST

/* A label without a value is none: its series fits where its definition does not. */
START_TEST(a_worker_has_no_series_of_a_definition_that_was_left_out)
{
	struct talk *t = talk_of(&seed), *other;
	struct talk_metric bare = {
		.kind = MESSAGE_COUNTER, .level = "", .name = "c", .constant = "cluster="
	};
	struct talk_metric gauge = {
		.id = 1, .kind = MESSAGE_GAUGE, .level = "", .name = "c", .variable = "a"
	};
	struct talk_worker *w = worker(t, 1), *v;
	char why[SNAPSHOT_TEXT];
	uint64_t dropped;

	talk_define(w, &bare, "", 0);
	talk_set(w, 0, 5);
	other = move_to(t, &with_cluster, &dropped, why);
	ck_assert_uint_eq(dropped, 1);
	ck_assert(page_has(other, "dynamo_c{cluster=\"eu\"} 5\n"));
	/* It is of the dead now: a new shape may take its place. */
	v = talk_worker(other, 2);
	v->sid[8] = 1;
	ck_assert_int_eq(talk_hello(v, NULL), MESSAGE_NEW);
	talk_define(v, &gauge, "1", 0);
	ck_assert_int_eq(talk_refused(other), REASON_NONE);
	talk_set(v, 0, 1);
	ck_assert_str_eq(talk_page(other, ""),
	    "# TYPE dynamo_c gauge\ndynamo_c{a=\"1\",cluster=\"eu\"} 1\n");
	pass_ms(other, 60000);
	talk_free(other);
	talk_free(t);
}
END_TEST

/* ---- Limits --------------------------------------------------------------------------
 */

START_TEST(limits_of_now_do_not_take_away_what_is_there)
{
	struct registry_limits limits = { .names = { 1, 0, 0, 1, 1 }, .families = 1 };
	struct talk *t = talk_of(&seed), *other;
	struct life life = life_new(t, 4);
	struct strbuf file = STRBUF_EMPTY;
	struct journal_head head;
	char why[SNAPSHOT_TEXT];
	uint64_t dropped = 9;

	life_steps(&life, 2000);
	life_save(t, &file);
	other = talk_new(&limits, NULL);
	ck_assert_int_eq(
	    snapshot_read(other->apply, file.at, file.bytes, &head, &dropped, why),
	    SNAPSHOT_OK);
	ck_assert_uint_eq(dropped, 0);
	other->now_ms = t->now_ms;
	life_same(t, other, "with small limits");
	must_be_refused(other, METRICS(COUNTER("x", "")), "limits.");
	strbuf_free(&file);
	talk_free(other);
	talk_free(t);
}
END_TEST

START_TEST(series_are_counted_for_the_user_that_made_them)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;
	struct apply_peer user = { .pid = 3, .uid = 1007 };
	struct talk *t = talk_of(&seed), *other;
	struct strbuf file = STRBUF_EMPTY;
	struct journal_head head;
	char why[SNAPSHOT_TEXT];

	must_be_done_for(t, &user, METRICS(COUNTER("c", "") "," COUNTER("d", "")));
	life_save(t, &file);
	limits.series_per_uid = 3;
	other = talk_new(&limits, NULL);
	ck_assert_int_eq(
	    snapshot_read(other->apply, file.at, file.bytes, &head, NULL, why),
	    SNAPSHOT_OK);
	must_be_done_for(other, &user, METRICS(COUNTER("e", "")));
	ck_assert_ptr_nonnull(
	    strstr(talk_json_of(other, &user, METRICS(COUNTER("f", ""))), "1007"));
	must_be_done(other, METRICS(COUNTER("f", "")));
	strbuf_free(&file);
	talk_free(other);
	talk_free(t);
}
END_TEST

/* Any life, read under any naming, is a sound state that can be saved again. */
START_TEST(a_life_can_be_read_under_another_naming_and_goes_on)
{
	static const struct naming *const namings[] = { &component, &with_cluster };

	for (uint64_t i = 0; i < 100; i++) {
		struct talk *t = talk_of(&seed), *other;
		struct life life = life_new(t, i), again;
		char why[SNAPSHOT_TEXT];
		uint64_t dropped;

		life_steps(&life, 500);
		other = move_to(t, namings[i % 2], &dropped, why);
		again = life_in(&life, other);
		life_connect(&again);
		life_steps(&again, 200);
		talk_free(t);
		t = move_to(other, namings[i % 2], &dropped, why);
		ck_assert_uint_eq(dropped, 0);
		t->now_ms = other->now_ms;
		life_same(other, t, "under another naming");
		talk_free(other);
		talk_free(t);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("snapshot_naming");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 60);
	tcase_add_test(all, names_are_made_to_fit_the_new_naming);
	tcase_add_test(all, names_that_fit_stay_as_they_are);
	tcase_add_test(all, what_no_name_can_be_made_of_is_left_out);
	tcase_add_test(all, a_name_of_the_daemon_s_own_is_left_out);
	tcase_add_test(all, places_that_become_one_have_what_both_counted);
	tcase_add_test(
	    all, gauges_of_places_that_become_one_are_merged_and_each_stays_one_line);
	tcase_add_test(all, constant_labels_are_those_of_now);
	tcase_add_test(all, a_series_with_a_label_that_is_constant_now_is_left_out);
	tcase_add_test(all, a_worker_has_no_series_of_a_definition_that_was_left_out);
	tcase_add_test(all, limits_of_now_do_not_take_away_what_is_there);
	tcase_add_test(all, series_are_counted_for_the_user_that_made_them);
	tcase_add_test(all, a_life_can_be_read_under_another_naming_and_goes_on);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
