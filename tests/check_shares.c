/* SPDX-License-Identifier: Apache-2.0 */
/* What one uid may take of what all have together. */
#include <stdio.h>

#include "apply_parts.h"
#include "failing.h"
#include "json_talk.h"
#include "life.h"
#include "registry_parts.h"
#include "snapshot.h"
#include "suite.h"

#define OTHER 2000

static struct talk *t;

/* A daemon with ten of everything, of which a uid may have so many percent. */
static struct talk *
talk_of_ten(uint32_t percent)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;
	struct apply_options options = { .store = TALK_STORE,
		.lease_ms = 15000,
		.grace_ms = 2000,
		.message_bytes = 1 << 20,
		.json_bytes = 65536,
		.dedupe_ms = 600000,
		.dedupe_keys = 10,
		.workers = 10,
		.folded_memory = 10,
		.version = "0" };

	limits.families = limits.series = 10;
	limits.uid_percent = percent;
	return talk_new(&limits, &options);
}

static void
setup(void)
{
	t = talk_of_ten(50);
}

static void
teardown(void)
{
	talk_free(t);
	t = NULL;
}

static struct talk_worker *
worker_of(uid_t uid)
{
	struct talk_worker *w = talk_worker(t, 100);

	w->peer.uid = uid;
	return w;
}

static struct talk_worker *
greeted(uid_t uid)
{
	struct talk_worker *w = worker_of(uid);

	ck_assert_int_eq(talk_hello(w, ""), MESSAGE_NEW);
	return w;
}

/* The last refusal is of the key's limit. */
static void
is_the_share(void)
{
	ck_assert_msg(
	    strstr(t->logged.at, "(limits.uid_percent)") != NULL, "%s", t->logged.at);
	strbuf_free(&t->logged);
}

static enum reason
one_name_more(struct talk_worker *w, uint32_t number)
{
	char name[16];
	struct talk_metric m = {
		.id = number, .kind = MESSAGE_GAUGE, .level = "", .name = name
	};

	snprintf(name, sizeof(name), "g%u", number);
	talk_define(w, &m, NULL, 0);
	return talk_refused(t);
}

static const struct talk_metric vec = {
	.id = 1000, .kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "k"
};

static enum reason
one_series_more(struct talk_worker *w, uint32_t number)
{
	char value[16];

	snprintf(value, sizeof(value), "%u", number);
	talk_child(w, 1000, value, number);
	return talk_refused(t);
}

START_TEST(a_uid_takes_its_share_of_the_workers_and_leaves_the_rest_to_others)
{
	struct talk_worker *last = NULL;

	for (int i = 0; i < 5; i++)
		last = greeted(1000);
	ck_assert_int_eq(talk_hello(worker_of(1000), ""), MESSAGE_ERROR);
	ck_assert_uint_eq(t->m.reason, REASON_LIMIT);
	is_the_share();
	for (int i = 0; i < 5; i++)
		greeted(OTHER);
	ck_assert_int_eq(talk_hello(worker_of(3000), ""), MESSAGE_ERROR);
	ck_assert_ptr_nonnull(memmem(
	    t->reply.at, t->reply.bytes, "(limits.workers)", strlen("(limits.workers)")));
	talk_bye(last);
	greeted(1000);
}
END_TEST

START_TEST(who_begins_and_leaves_keeps_nobody_out)
{
	struct talk_worker *w[10];

	for (int i = 0; i < 10; i++) {
		w[i] = greeted(i < 5 ? 1000 : OTHER);
		t->now_ms++;
	}
	talk_disconnect(w[1], false);
	t->now_ms++;
	talk_disconnect(w[0], false);
	ck_assert_int_eq(talk_hello(worker_of(OTHER), ""), MESSAGE_ERROR);
	greeted(3000);
	/* The one that was gone for longest made room, and is remembered. */
	ck_assert_int_eq(talk_hello(w[0], ""), MESSAGE_LIVE);
	ck_assert_int_eq(talk_hello(w[1], ""), MESSAGE_FOLDED);
}
END_TEST

START_TEST(a_worker_with_gauges_on_the_page_does_not_make_room)
{
	struct talk_worker *w = greeted(1000);

	one_name_more(w, 0);
	ck_assert_int_eq(talk_child(w, 0, "", 0), MESSAGE_ACK);
	talk_disconnect(w, false);
	for (int i = 0; i < 4; i++)
		greeted(1000);
	ck_assert_int_eq(talk_hello(worker_of(1000), ""), MESSAGE_ERROR);
	pass_ms(t, 2000);
	greeted(1000);
	ck_assert_int_eq(talk_hello(w, ""), MESSAGE_FOLDED);
}
END_TEST

START_TEST(a_connection_keeps_nothing_of_sessions_that_have_ended)
{
	struct talk_worker *w = greeted(1000);
	uint32_t bindings = 0;

	for (int i = 0; i < 100; i++) {
		w->sid[15]++;
		w->has_ticket = false;
		ck_assert_int_eq(talk_hello(w, ""), MESSAGE_NEW);
		ck_assert_int_eq(talk_bye(w), MESSAGE_OK);
	}
	for (const struct apply_binding *b = w->peer.bindings; b; b = b->next)
		bindings++;
	ck_assert_uint_le(bindings, 2);
}
END_TEST

START_TEST(a_uid_takes_its_share_of_the_names_and_gives_it_back)
{
	struct talk_worker *a = greeted(1000), *b = greeted(1000), *c = greeted(OTHER);

	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(one_name_more(i % 2 ? a : b, i), REASON_NONE);
	ck_assert_uint_eq(one_name_more(a, 5), REASON_LIMIT);
	is_the_share();
	/* What is there already can be had by all, and costs nobody anything. */
	for (uint32_t i = 0; i < 10; i++)
		ck_assert_uint_eq(one_name_more(c, i), REASON_NONE);
	talk_bye(b);
	ck_assert_uint_eq(one_name_more(a, 6), REASON_NONE);
	talk_bye(c);
	ck_assert_uint_eq(registry_families(t->registry), 3);
	for (uint32_t i = 7; i < 9; i++)
		ck_assert_uint_eq(one_name_more(a, i), REASON_NONE);
}
END_TEST

START_TEST(a_name_that_makes_way_for_another_shape_is_its_new_makers)
{
	char json[100];

	for (int i = 0; i < 5; i++) {
		snprintf(json, sizeof(json),
		    METRICS("{\"name\":\"n%d\",\"type\":\"counter\",\"inc\":1}"), i);
		must_be_done_for(t, &(struct apply_peer){ .uid = OTHER }, json);
	}
	for (int i = 0; i < 5; i++) {
		snprintf(json, sizeof(json),
		    METRICS("{\"name\":\"n%d\",\"type\":\"gauge\",\"set\":1}"), i);
		must_be_done(t, json);
	}
	must_be_refused(
	    t, METRICS("{\"name\":\"n5\",\"type\":\"gauge\",\"set\":1}"), "uid_percent");
	must_be_done_for(t, &(struct apply_peer){ .uid = OTHER },
	    METRICS("{\"name\":\"n5\",\"type\":\"counter\",\"inc\":1}"));
}
END_TEST

START_TEST(a_uid_takes_its_share_of_the_series)
{
	struct talk_worker *a = greeted(1000), *b = greeted(OTHER);

	talk_define(a, &vec, NULL, 0);
	talk_define(b, &vec, NULL, 0);
	for (uint32_t i = 0; i < 5; i++)
		ck_assert_uint_eq(one_series_more(a, i), REASON_NONE);
	ck_assert_uint_eq(one_series_more(a, 5), REASON_LIMIT);
	is_the_share();
	for (uint32_t i = 0; i < 10; i++)
		ck_assert_uint_eq(one_series_more(b, i), REASON_NONE);
	talk_remove(a, 0);
	talk_remove(b, 0);
	ck_assert_uint_eq(one_series_more(a, 5), REASON_NONE);
}
END_TEST

static void
send_with_id(uid_t uid, int id, bool done)
{
	struct apply_peer peer = { .pid = 1, .uid = uid };
	char json[100];
	const char *reply;

	snprintf(json, sizeof(json), "{\"id\":\"%d\",\"metrics\":[" INC "]}", id);
	reply = talk_json_of(t, &peer, json);
	if (done)
		ck_assert_str_eq(reply, JSON_OK);
	else
		ck_assert_ptr_nonnull(strstr(reply, "(limits.uid_percent)"));
}

START_TEST(a_uid_takes_its_share_of_the_messages_that_are_known_again)
{
	for (int i = 0; i < 5; i++)
		send_with_id(1000, i, true);
	send_with_id(1000, 5, false);
	for (int i = 0; i < 5; i++)
		send_with_id(OTHER, i, true);
	/* A repeat is answered, and is no new one. */
	send_with_id(1000, 4, true);
	pass_ms(t, 600001);
	for (int i = 5; i < 10; i++)
		send_with_id(1000, i, true);
	send_with_id(1000, 10, false);
}
END_TEST

START_TEST(a_hundred_percent_is_all)
{
	talk_free(t);
	t = talk_of_ten(100);
	for (int i = 0; i < 10; i++) {
		greeted(1000);
		send_with_id(1000, i, true);
	}
	for (uint32_t i = 1; i < 10; i++)
		ck_assert_uint_eq(one_name_more(t->workers, i), REASON_NONE);
	ck_assert_uint_eq(one_name_more(t->workers, 10), REASON_LIMIT);
	ck_assert_ptr_nonnull(strstr(t->logged.at, "(limits.families)"));
}
END_TEST

START_TEST(a_share_is_one_at_least)
{
	struct registry_limits limits = { .uid_percent = 1 };

	ck_assert_uint_eq(registry_share(&limits, 10), 1);
	ck_assert_uint_eq(registry_share(&limits, 0), 1);
	ck_assert_uint_eq(registry_share(&limits, 1000), 10);
	ck_assert_uint_eq(registry_share(&limits, UINT32_MAX), UINT32_MAX / 100);
	limits.uid_percent = 0;
	ck_assert_uint_eq(registry_share(&limits, 10), 10);
}
END_TEST

START_TEST(shares_are_as_they_were_after_a_restart)
{
	struct strbuf file = STRBUF_EMPTY;
	struct journal_head head;
	char why[SNAPSHOT_TEXT];
	struct talk_worker *a = greeted(1000);
	struct talk *before = t;

	talk_define(a, &vec, NULL, 0);
	for (uint32_t i = 0; i < 4; i++) {
		ck_assert_uint_eq(one_name_more(a, i), REASON_NONE);
		ck_assert_uint_eq(one_series_more(a, i), REASON_NONE);
	}
	life_save(t, &file);
	t = talk_of_ten(50);
	ck_assert_int_eq(
	    snapshot_read(t->apply, file.at, file.bytes, &head, NULL, why), SNAPSHOT_OK);
	apply_recovered(t->apply, false, NULL, NULL, t->now_ms);
	/* Another session id than those of before. */
	t->next_connection += 100;
	a = greeted(OTHER);
	talk_define(a, &vec, NULL, 0);
	must_be_refused(t, METRICS("{\"name\":\"x\",\"type\":\"counter\",\"inc\":1}"),
	    "(limits.uid_percent)");
	for (uint32_t i = 10; i < 15; i++)
		ck_assert_uint_eq(one_name_more(a, i), REASON_NONE);
	must_be_done(t, METRICS("{\"name\":\"c\",\"type\":\"counter\",\"inc\":1}"));
	must_be_refused(t,
	    METRICS("{\"name\":\"c\",\"type\":\"counter\",\"labels\":{\"k\":\"x\"},"
		    "\"inc\":1}"),
	    "share of 5 series (limits.uid_percent)");
	strbuf_free(&file);
	talk_free(before);
}
END_TEST

/* A worker comes, and a message; any of it may be refused for want of memory. */
static void
take_some_of_all(struct talk_worker *w)
{
	if (talk_hello(w, "w") == MESSAGE_NEW) {
		talk_define(w, &vec, "a", 0);
		one_series_more(w, 1);
		one_name_more(w, 0);
	}
	talk_json(t, "{\"id\":\"i\",\"metrics\":[{\"name\":\"n\",\"type\":\"counter\","
		     "\"inc\":1}]}");
}

START_TEST(memory_that_is_refused_costs_no_share)
{
	for (size_t n = 0; failing_more(n); n++) {
		struct talk_worker *w;

		talk_free(t);
		t = talk_of_ten(50);
		w = worker_of(1000);
		ck_assert(strbuf_reserve(&t->reply, 1 << 18));
		failing_after(n);
		take_some_of_all(w);
		failing_end();
		talk_bye(w);
		must_be_done(t, METRICS("{\"name\":\"n\",\"remove\":true}"));
		must_be_done(t, METRICS("{\"name\":\"c\",\"labels\":{\"k\":\"a\"},"
					"\"remove\":true},{\"name\":\"c\",\"labels\":{"
					"\"k\":\"1\"},\"remove\":true}"));
		pass_ms(t, 600001);
		ck_assert_uint_eq(registry_families(t->registry), 0);
		ck_assert_uint_eq(owners_count(&t->registry->owners, 1000), 0);
		ck_assert_uint_eq(owners_count(&t->registry->family_owners, 1000), 0);
		ck_assert_uint_eq(owners_count(&t->apply->sessions.owners, 1000), 0);
		ck_assert_uint_eq(repeats_count_of(t->apply->repeats, 1000), 0);
	}
}
END_TEST

/* ---- The memory of folded sessions ----------------------------------------------- */

/* Its lease runs out, and it is remembered. */
static struct talk_worker *
folded(uid_t uid)
{
	struct talk_worker *w = greeted(uid);

	pass_ms(t, 15000);
	return w;
}

START_TEST(nobody_has_the_sessions_of_others_forgotten)
{
	struct talk_worker *good = folded(OTHER), *first = folded(1000);

	for (int i = 0; i < 30; i++)
		folded(1000);
	ck_assert_int_eq(talk_hello(good, ""), MESSAGE_FOLDED);
	ck_assert_int_eq(talk_hello(first, ""), MESSAGE_EXPIRED);
}
END_TEST

START_TEST(of_sessions_of_one_uid_the_oldest_is_forgotten)
{
	struct talk_worker *w[12];

	for (int i = 0; i < 12; i++)
		w[i] = folded(1000);
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(
		    talk_hello(w[i], ""), i < 2 ? MESSAGE_EXPIRED : MESSAGE_FOLDED);
}
END_TEST

START_TEST(folded_sessions_of_all_uids_outlive_a_restart)
{
	struct strbuf file = STRBUF_EMPTY;
	struct journal_head head;
	char why[SNAPSHOT_TEXT];
	struct talk_worker *w[10];
	struct talk *before = t;

	for (uid_t i = 0; i < 10; i++)
		w[i] = folded(1000 + i % 3);
	life_save(t, &file);
	t = talk_of_ten(50);
	ck_assert_int_eq(
	    snapshot_read(t->apply, file.at, file.bytes, &head, NULL, why), SNAPSHOT_OK);
	for (int i = 0; i < 10; i++) {
		w[i]->talk = t;
		ck_assert_int_eq(talk_hello(w[i], ""), MESSAGE_FOLDED);
	}
	strbuf_free(&file);
	talk_free(before);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("shares");
	TCase *c = tcase_create("shares");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	ADD(a_uid_takes_its_share_of_the_workers_and_leaves_the_rest_to_others);
	ADD(who_begins_and_leaves_keeps_nobody_out);
	ADD(a_worker_with_gauges_on_the_page_does_not_make_room);
	ADD(a_connection_keeps_nothing_of_sessions_that_have_ended);
	ADD(a_uid_takes_its_share_of_the_names_and_gives_it_back);
	ADD(a_name_that_makes_way_for_another_shape_is_its_new_makers);
	ADD(a_uid_takes_its_share_of_the_series);
	ADD(a_uid_takes_its_share_of_the_messages_that_are_known_again);
	ADD(a_hundred_percent_is_all);
	ADD(a_share_is_one_at_least);
	ADD(shares_are_as_they_were_after_a_restart);
	ADD(memory_that_is_refused_costs_no_share);
	ADD(nobody_has_the_sessions_of_others_forgotten);
	ADD(of_sessions_of_one_uid_the_oldest_is_forgotten);
	ADD(folded_sessions_of_all_uids_outlive_a_restart);
	return suite_run(s);
}
