/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon that is replayed under another configuration than it recorded under. */
#include "replay_talk.h"
#include "suite.h"

START_TEST(what_was_accepted_is_accepted_whatever_the_limits_are_now)
{
	twins_open(&t);
	twins_do(&t, "counts", counts, NULL);
	twins_do(&t, "JSON", is_sent_in_json, NULL);
	t.dies.limits = (struct registry_limits){ 0 };
	t.dies.options.json_bytes = 1;
	t.dies.options.workers = 1;
	t.dies.options.dedupe_keys = 0;
	t.dies.options.dedupe_ms = 0;
	twins_restart(&t);
	/* And now they hold. */
	ck_assert_uint_eq(registry_limits(t.dies.talk->registry)->series, 0);
	talk_hello(t.dies.w[0], "a");
	talk_child(t.dies.w[0], 0, "more", 50);
	ck_assert_int_ne(talk_refused(t.dies.talk), REASON_NONE);
}
END_TEST

START_TEST(what_was_refused_is_left_out_whatever_the_limits_are_now)
{
	t.lives.limits.series = t.dies.limits.series = 2;
	t.lives.limits.families = t.dies.limits.families = 2;
	twins_open(&t);
	twins_do(&t, "defines", defines, NULL);
	twins_do(&t, "JSON", is_sent_in_json, NULL);
	ck_assert_double_gt(
	    self_cells(t.lives.talk->self, SELF_REFUSED, REASON_LIMIT - 1)[0], 0);
	t.dies.limits = REGISTRY_DEFAULT_LIMITS;
	twins_restart(&t);
}
END_TEST

START_TEST(series_that_names_of_now_do_not_allow_are_left_out_and_counted)
{
	char *labels[] = { (char *)"l", (char *)"constant", NULL };
	struct naming naming = { .labels = labels };
	struct refusal why = { 0 };
	struct talk *fresh;

	twins_open(&t);
	is_sent_in_json(&t.dies, NULL);
	counts(&t.dies, NULL);
	talk_bye(t.dies.w[0]);
	twin_write(&t.dies);
	fresh = twin_empty(&t.dies);
	ck_assert(registry_set_naming(fresh->registry, &naming));
	ck_assert_int_eq(twin_replay(&t.dies, fresh, &why), REASON_NONE);
	/* The metric c of the worker with its child, and the gauge in JSON. */
	ck_assert_uint_eq(apply_replay_dropped(fresh->apply), 3);
	ck_assert(page_has(fresh, "dynamo_c{l=\"constant\"} 1\n"));
	ck_assert(
	    page_has(fresh, "dynamo_h_count{namespace=\"n\",component=\"c\",endpoint="
			    "\"e\",l=\"constant\",z=\"\\\"\\n\"} 6\n"));
	talk_free(fresh);
}
END_TEST

START_TEST(another_naming_shows_the_same_values_under_its_names)
{
	struct refusal why = { 0 };
	struct talk *fresh;

	twins_open(&t);
	counts(&t.dies, NULL);
	twin_write(&t.dies);
	t.dies.component = true;
	fresh = twin_empty(&t.dies);
	ck_assert_int_eq(twin_replay(&t.dies, fresh, &why), REASON_NONE);
	ck_assert_uint_eq(apply_replay_dropped(fresh->apply), 0);
	ck_assert(page_has(
	    fresh, "dynamo_component_c{l=\"\\\\q\\\"\\n\"} 0.30000000000000004\n"));
	talk_free(fresh);
}
END_TEST

START_TEST(the_memory_of_the_folded_may_be_smaller_now)
{
	twins_open(&t);
	for (int i = 0; i < 3; i++)
		talk_hello(t.dies.w[i], NULL);
	pass(&t.dies, 15000);
	twin_write(&t.dies);
	t.dies.options.folded_memory = 2;
	for (int i = 0; i < 3; i++)
		talk_hello(t.lives.w[i], NULL);
	pass(&t.lives, 15000);
	t.lives.options.folded_memory = 2;
	apply_set_options(t.lives.talk->apply, &t.lives.options);
	talk_hello(t.lives.w[3], NULL);
	talk_hello(t.dies.w[3], NULL);
	pass(&t.lives, 15000);
	pass(&t.dies, 15000);
	twins_restart(&t);
	ck_assert_int_eq(talk_hello(t.dies.w[1], NULL), MESSAGE_EXPIRED);
	ck_assert_int_eq(talk_hello(t.dies.w[3], NULL), MESSAGE_FOLDED);
}
END_TEST

static void
begins_anew_when_it_is_forgotten(struct twin *x, void *arg)
{
	(void)arg;
	talk_hello(x->w[0], NULL);
	pass(x, 15000);
	talk_hello(x->w[1], NULL);
	pass(x, 15000);
	x->w[0]->has_ticket = false;
	ck_assert_int_eq(talk_hello(x->w[0], NULL), MESSAGE_NEW);
}

START_TEST(the_memory_of_the_folded_may_be_larger_now)
{
	t.lives.options.folded_memory = t.dies.options.folded_memory = 1;
	twins_open(&t);
	twins_do(&t, "begins anew", begins_anew_when_it_is_forgotten, NULL);
	t.dies.options.folded_memory = 100;
	twins_restart(&t);
	ck_assert_int_eq(talk_hello(t.dies.w[0], NULL), MESSAGE_LIVE);
	ck_assert_int_eq(talk_hello(t.dies.w[1], NULL), MESSAGE_FOLDED);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("apply_replay_config");
	TCase *c = tcase_create("configuration");

	tcase_add_checked_fixture(c, setup, teardown);
	ADD(what_was_accepted_is_accepted_whatever_the_limits_are_now);
	ADD(what_was_refused_is_left_out_whatever_the_limits_are_now);
	ADD(series_that_names_of_now_do_not_allow_are_left_out_and_counted);
	ADD(another_naming_shows_the_same_values_under_its_names);
	ADD(the_memory_of_the_folded_may_be_smaller_now);
	ADD(the_memory_of_the_folded_may_be_larger_now);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
