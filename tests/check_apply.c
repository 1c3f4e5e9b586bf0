/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session protocol, as the daemon keeps it: a line of its table, a test.
 */
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
}

static void
teardown(void)
{
	talk_free(t);
}

static const struct talk_metric counter = {
	.kind = MESSAGE_COUNTER, .level = "", .name = "c"
};
static const struct talk_metric each = {
	.id = 1, .kind = MESSAGE_GAUGE, .merge = MESSAGE_EACH, .level = "", .name = "g"
};

static void
start(struct talk_worker *w)
{
	ck_assert_int_eq(talk_hello(w, NULL), MESSAGE_NEW);
	talk_define(w, &counter, "", 0);
}

static bool
page_has(const char *text)
{
	return strstr(talk_page(t, ""), text) != NULL;
}

/* w's session spoken for by another connection, as after a reconnect. */
static struct talk_worker *
reconnected(const struct talk_worker *w, pid_t pid)
{
	struct talk_worker *other = talk_worker(t, pid);

	memcpy(other->sid, w->sid, sizeof(w->sid));
	other->has_ticket = w->has_ticket;
	other->ticket = w->ticket;
	other->n = w->n;
	return other;
}

static void
pass(uint64_t ms)
{
	t->now_ms += ms;
	apply_tick(t->apply, t->now_ms);
}

/* ---- HELLO ------------------------------------------------------------ */

START_TEST(hello_gets_a_ticket_a_name_and_the_limits)
{
	ck_assert_int_eq(talk_hello(a, NULL), MESSAGE_NEW);
	ck_assert_uint_eq(t->m.ticket.store, TALK_STORE);
	ck_assert_uint_eq(t->m.ticket.serial, 1);
	ck_assert(wire_text_is(t->m.worker, "0"));
	ck_assert_uint_eq(t->m.lease_ms, 15000);
	ck_assert_uint_eq(t->m.message_bytes, 1 << 20);
	ck_assert_uint_eq(t->m.max_series, 500000);
	ck_assert_uint_eq(t->m.epoch, 7);
}
END_TEST

START_TEST(hello_again_before_anything_was_applied_gets_the_same_ticket)
{
	talk_hello(a, NULL);
	b = reconnected(a, 100);
	b->has_ticket = false;
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_NEW);
	ck_assert_uint_eq(t->m.ticket.serial, 1);
}
END_TEST

START_TEST(a_late_hello_without_a_ticket_is_stale)
{
	start(a);
	b = reconnected(a, 100);
	b->has_ticket = false;
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_STALE);
	ck_assert_uint_eq(t->m.store, TALK_STORE);
	b->has_ticket = true;
	ck_assert_int_eq(talk_set(b, 0, 1), MESSAGE_UNBOUND);
}
END_TEST

START_TEST(hello_with_a_ticket_finds_its_session_alive)
{
	start(a);
	talk_set(a, 0, 5);
	b = reconnected(a, 100);
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_LIVE);
	ck_assert_uint_eq(t->m.last, 2);
	ck_assert_int_eq(talk_set(b, 0, 6), MESSAGE_ACK);
	ck_assert(page_has("dynamo_c 6\n"));
}
END_TEST

START_TEST(hello_for_a_folded_session_is_told_how_far_it_came)
{
	start(a);
	talk_set(a, 0, 5);
	pass(15000);
	b = reconnected(a, 100);
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_FOLDED);
	ck_assert_uint_eq(t->m.last, 2);
	ck_assert_uint_eq(t->m.store, TALK_STORE);
	b->has_ticket = false;
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_FOLDED);
}
END_TEST

START_TEST(hello_for_a_forgotten_session_is_expired)
{
	start(a);
	b = reconnected(a, 100);
	talk_bye(a);
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_EXPIRED);
	ck_assert_uint_eq(t->m.store, TALK_STORE);
}
END_TEST

START_TEST(a_ticket_of_another_store_or_from_the_future_counts_for_nothing)
{
	a->has_ticket = true;
	a->ticket = (struct message_ticket){ 99, 1 };
	ck_assert_int_eq(talk_hello(a, NULL), MESSAGE_NEW);
	b->has_ticket = true;
	b->ticket = (struct message_ticket){ TALK_STORE, 1000 };
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_NEW);
	ck_assert_uint_eq(t->m.ticket.serial, 2);
}
END_TEST

START_TEST(a_session_belongs_to_its_uid)
{
	start(a);
	b = reconnected(a, 100);
	b->peer.uid = 1001;
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_ERROR);
	ck_assert_int_eq(t->m.reason, REASON_OWNER);
}
END_TEST

START_TEST(another_version_is_told_so_in_words)
{
	uint8_t hello[] = { 'D', 'Y', 'N', 'M', 2, MESSAGE_HELLO, 0, 0 };

	ck_assert_int_eq(talk_send(a, hello, sizeof(hello)), MESSAGE_ERROR);
	ck_assert_int_eq(t->m.reason, REASON_VERSION);
	ck_assert_ptr_nonnull(memmem(t->m.text.at, t->m.text.bytes, "version 1", 9));
	ck_assert_ptr_nonnull(memmem(t->m.text.at, t->m.text.bytes, "version 2", 9));
}
END_TEST

START_TEST(garbage_and_replies_are_refused_as_messages)
{
	uint8_t reply[] = { 'D', 'Y', 'N', 'M', 1, MESSAGE_OK, 0, 0 };

	ck_assert_int_eq(talk_send(a, "hello?", 6), MESSAGE_ERROR);
	ck_assert_int_eq(t->m.reason, REASON_MESSAGE);
	ck_assert_int_eq(talk_send(a, reply, sizeof(reply)), MESSAGE_ERROR);
	ck_assert_int_eq(t->m.reason, REASON_MESSAGE);
}
END_TEST

/* ---- Requests of a session -------------------------------------------- */

START_TEST(nothing_is_taken_on_a_connection_that_did_not_say_hello)
{
	start(a);
	b->ticket = a->ticket;
	ck_assert_int_eq(talk_define(b, &counter, "", 0), MESSAGE_UNBOUND);
	ck_assert_int_eq(talk_set(b, 0, 1), MESSAGE_UNBOUND);
	ck_assert_int_eq(talk_remove(b, 0), MESSAGE_UNBOUND);
	ck_assert_int_eq(talk_ping(b), MESSAGE_UNBOUND);
	ck_assert(page_has("dynamo_c 0\n"));
}
END_TEST

START_TEST(a_repeated_request_is_acknowledged_and_not_applied)
{
	start(a);
	talk_set(a, 0, 5);
	talk_disconnect(a, false);
	b = reconnected(a, 100);
	talk_hello(b, NULL);
	b->n = 1;
	ck_assert_int_eq(talk_set(b, 0, 9), MESSAGE_ACK);
	ck_assert_uint_eq(t->m.n, 2);
	ck_assert(page_has("dynamo_c 5\n"));
	ck_assert_double_eq(self_cells(t->self, SELF_RESENT, 0)[0], 1);
}
END_TEST

START_TEST(numbers_may_have_gaps)
{
	start(a);
	a->n = 100;
	ck_assert_int_eq(talk_set(a, 0, 5), MESSAGE_ACK);
	ck_assert_uint_eq(t->m.n, 101);
	a->n = 50;
	talk_set(a, 0, 6);
	ck_assert(page_has("dynamo_c 5\n"));
}
END_TEST

START_TEST(a_refused_update_does_not_use_up_its_number)
{
	start(a);
	ck_assert_int_eq(talk_set(a, 7, 5), MESSAGE_REFUSED);
	ck_assert_uint_eq(t->m.n, 2);
	ck_assert_int_eq(t->m.reason, REASON_CELL);
	talk_ping(a);
	ck_assert_uint_eq(t->m.n, 1);
}
END_TEST

START_TEST(ping_tells_the_last_number)
{
	start(a);
	talk_set(a, 0, 5);
	ck_assert_int_eq(talk_ping(a), MESSAGE_ACK);
	ck_assert_uint_eq(t->m.n, 2);
}
END_TEST

START_TEST(bye_folds_at_once_and_forgets)
{
	start(a);
	talk_set(a, 0, 5);
	ck_assert_int_eq(talk_bye(a), MESSAGE_OK);
	ck_assert(page_has("dynamo_c 5\n"));
	ck_assert_int_eq(talk_again(a), MESSAGE_OK);
	ck_assert_int_eq(talk_ping(a), MESSAGE_EXPIRED);
	ck_assert_double_eq(self_cells(t->self, SELF_SESSIONS_FOLDED, 0)[0], 1);
}
END_TEST

START_TEST(a_folded_session_on_an_open_connection_is_told_so)
{
	start(a);
	talk_set(a, 0, 5);
	pass(15000);
	ck_assert_int_eq(talk_set(a, 0, 6), MESSAGE_FOLDED);
	ck_assert_uint_eq(t->m.last, 2);
	ck_assert_int_eq(talk_ping(a), MESSAGE_FOLDED);
	ck_assert(page_has("dynamo_c 5\n"));
}
END_TEST

START_TEST(refused_items_do_not_take_their_neighbours_along)
{
	struct talk_metric bad = {
		.id = 1, .kind = MESSAGE_COUNTER, .level = "", .name = "1bad"
	};

	start(a);
	ck_assert_int_eq(talk_define(a, &bad, "", 1), MESSAGE_ACK);
	ck_assert_uint_eq(t->m.count, 2);
	ck_assert_int_eq(talk_refused(t), REASON_NAME);
	ck_assert_int_eq(talk_set(a, 0, 1), MESSAGE_ACK);
}
END_TEST

START_TEST(sentences_in_an_ack_are_bounded)
{
	static uint8_t bytes[1 << 20];
	struct wire_writer w;
	size_t begun;
	uint32_t count = 50000;

	talk_hello(a, NULL);
	wire_writer_init(&w, bytes, sizeof(bytes));
	begun = message_begin_define(&w, a->ticket, 1);
	for (uint32_t i = 0; i < count; i++)
		message_put_child(&w, &(struct message_child){ .metric = 77, .cell = i });
	message_end(&w, begun, count);
	ck_assert(!w.failed);
	ck_assert_int_eq(talk_send(a, bytes, w.bytes), MESSAGE_ACK);
	ck_assert_uint_eq(t->m.count, count);
	ck_assert_uint_lt(t->reply.bytes, 65536 + 7 * count + 1024);
}
END_TEST

/* ---- Death ------------------------------------------------------------ */

START_TEST(a_session_with_another_connection_outlives_one)
{
	start(a);
	b = reconnected(a, 100);
	talk_hello(b, NULL);
	talk_disconnect(a, true);
	ck_assert_int_eq(talk_set(b, 0, 1), MESSAGE_ACK);
}
END_TEST

START_TEST(gauges_hide_after_the_grace_and_show_again)
{
	start(a);
	talk_define(a, &each, "", 1);
	talk_set(a, 1, 3);
	talk_disconnect(a, false);
	pass(1999);
	ck_assert(page_has("dynamo_g{worker_id=\"0\"} 3\n"));
	pass(1);
	ck_assert(!page_has("dynamo_g"));
	b = reconnected(a, 100);
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_LIVE);
	ck_assert(page_has("dynamo_g{worker_id=\"0\"} 3\n"));
}
END_TEST

START_TEST(the_lease_folds_the_unbound_and_the_silent)
{
	start(a);
	start(b);
	talk_disconnect(a, false);
	pass(14999);
	talk_ping(b);
	pass(1);
	ck_assert_double_eq(self_cells(t->self, SELF_SESSIONS_FOLDED, 0)[0], 1);
	pass(14999);
	ck_assert_double_eq(self_cells(t->self, SELF_SESSIONS_FOLDED, 0)[0], 2);
}
END_TEST

START_TEST(a_session_keeps_the_lease_that_it_was_told)
{
	struct apply_options o = {
		.lease_ms = 1000, .grace_ms = 500, .json_bytes = 65536
	};

	start(a);
	apply_set_options(t->apply, &o);
	start(b);
	ck_assert_int_eq(talk_hello(b, NULL), MESSAGE_LIVE);
	ck_assert_uint_eq(t->m.lease_ms, 1000);
	pass(999);
	ck_assert_double_eq(self_cells(t->self, SELF_SESSIONS_FOLDED, 0)[0], 0);
	pass(1);
	ck_assert_double_eq(self_cells(t->self, SELF_SESSIONS_FOLDED, 0)[0], 1);
	ck_assert_int_eq(talk_ping(b), MESSAGE_FOLDED);
	ck_assert_int_eq(talk_ping(a), MESSAGE_ACK);
	ck_assert_int_eq(talk_hello(a, NULL), MESSAGE_LIVE);
	ck_assert_uint_eq(t->m.lease_ms, 1000);
	pass(1000);
	ck_assert_int_eq(talk_ping(a), MESSAGE_FOLDED);
}
END_TEST

START_TEST(another_grace_counts_for_those_that_are_gone_already)
{
	struct apply_options o = { .lease_ms = 60000, .grace_ms = 50000 };

	/* A grace that is longer than its lease keeps nobody. */
	start(b);
	talk_disconnect(b, false);
	apply_set_options(t->apply, &o);
	apply_tick(t->apply, t->now_ms);
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), 15000);
	pass(15000);
	ck_assert_double_eq(self_cells(t->self, SELF_SESSIONS_FOLDED, 0)[0], 1);
	start(a);
	o.grace_ms = 100;
	talk_define(a, &each, "", 1);
	talk_set(a, 1, 3);
	talk_disconnect(a, false);
	apply_set_options(t->apply, &o);
	apply_tick(t->apply, t->now_ms);
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), 100);
	pass(99);
	ck_assert(page_has("dynamo_g{worker_id=\"0\"} 3\n"));
	pass(1);
	ck_assert(!page_has("dynamo_g"));
}
END_TEST

START_TEST(the_next_deadline_is_known)
{
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), UINT64_MAX);
	start(a);
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), 2000);
	pass(2000);
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), 13000);
	pass(13000);
	ck_assert_uint_eq(apply_due_ms(t->apply, t->now_ms), UINT64_MAX);
}
END_TEST

START_TEST(the_memory_of_the_folded_is_bounded)
{
	struct apply_options o = { .store = TALK_STORE,
		.lease_ms = 10,
		.grace_ms = 5,
		.message_bytes = 1 << 20,
		.json_bytes = 65536,
		.folded_memory = 2,
		.version = "0" };
	struct talk_worker *w[3];

	talk_free(t);
	t = talk_new(NULL, &o);
	for (int i = 0; i < 3; i++) {
		w[i] = talk_worker(t, 1);
		start(w[i]);
		pass(10);
	}
	ck_assert_int_eq(talk_ping(w[0]), MESSAGE_EXPIRED);
	ck_assert_int_eq(talk_ping(w[1]), MESSAGE_FOLDED);
	ck_assert_int_eq(talk_ping(w[2]), MESSAGE_FOLDED);
}
END_TEST

START_TEST(what_a_folded_worker_counted_is_neither_lost_nor_doubled)
{
	start(a);
	talk_set(a, 0, 5);
	pass(15000);
	ck_assert_int_eq(talk_set(a, 0, 7), MESSAGE_FOLDED);
	/* it goes on as a new session, from what was counted */
	start(b);
	talk_set(b, 0, 7 - 5);
	ck_assert(page_has("dynamo_c 7\n"));
}
END_TEST

/* ---- Names ------------------------------------------------------------ */

static const char *
name_of(struct talk_worker *w, const char *wish)
{
	static char name[80];

	talk_hello(w, wish);
	snprintf(name, sizeof(name), "%.*s", (int)t->m.worker.bytes, t->m.worker.at);
	return name;
}

START_TEST(names_are_slots_or_wishes_and_unique)
{
	struct talk_worker *c = talk_worker(t, 3), *d = talk_worker(t, 4);

	ck_assert_str_eq(name_of(a, NULL), "0");
	ck_assert_str_eq(name_of(b, "decode"), "decode");
	ck_assert_str_eq(name_of(c, "decode"), "decode-2");
	ck_assert_str_eq(name_of(d, NULL), "1");
	talk_bye(a);
	talk_bye(c);
	ck_assert_str_eq(name_of(talk_worker(t, 5), NULL), "0");
	ck_assert_str_eq(name_of(talk_worker(t, 6), "decode"), "decode-2");
	ck_assert_str_eq(name_of(talk_worker(t, 7), "decode"), "decode-3");
}
END_TEST

START_TEST(a_successor_takes_the_name_of_a_disconnected_worker)
{
	struct talk_worker *back;

	ck_assert_str_eq(name_of(a, "x"), "x");
	talk_define(a, &each, "", 0);
	talk_set(a, 0, 1);
	talk_disconnect(a, false);
	ck_assert_str_eq(name_of(b, "x"), "x");
	ck_assert(!page_has("dynamo_g"));
	back = reconnected(a, 100);
	ck_assert_str_eq(name_of(back, "x"), "x-2");
	ck_assert(page_has("dynamo_g{worker_id=\"x-2\"} 1\n"));
}
END_TEST

START_TEST(a_bad_wish_is_refused)
{
	talk_hello(a, "bad\xff");
	ck_assert_int_eq(t->m.reason, REASON_UTF8);
}
END_TEST

/* ---- What is told ------------------------------------------------------ */

START_TEST(refusals_are_counted_by_reason_and_logged_with_who)
{
	talk_json(t, "{");
	ck_assert_double_eq(self_cells(t->self, SELF_REFUSED, REASON_JSON - 1)[0], 1);
	ck_assert_ptr_nonnull(
	    strstr(t->logged.at, "refused (json) from pid 1, uid 1000"));
}
END_TEST

static size_t
count_logged(const char *part)
{
	size_t n = 0;

	for (const char *at = t->logged.at; (at = strstr(at, part)) != NULL; at++)
		n++;
	return n;
}

START_TEST(no_peer_can_fill_the_log)
{
	static const char *const flip[] = {
		"{\"metrics\":[{\"name\":\"x\",\"type\":\"counter\"}]}",
		"{\"metrics\":[{\"name\":\"x\",\"type\":\"gauge\",\"set\":1}]}"
	};

	for (int i = 0; i < 100; i++) {
		struct talk_worker *w = talk_worker(t, 1);

		talk_hello(w, NULL);
		talk_bye(w);
		ck_assert_str_eq(talk_json(t, flip[i % 2]), "{\"ok\":true}");
	}
	ck_assert_uint_eq(count_logged("connected"), LOG_OFTEN);
	ck_assert_uint_eq(count_logged("good-bye"), LOG_OFTEN);
	ck_assert_uint_eq(count_logged("was dropped"), LOG_OFTEN);
	pass(1000);
	log_catch_up(t->log, t->now_ms, false);
	ck_assert_uint_eq(count_logged("log: left out: 80 more like \"sessions: "), 2);
	ck_assert_uint_eq(count_logged("log: left out: 79 more like \"registry: "), 1);
}
END_TEST

START_TEST(registrations_show_in_the_debug_log)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "n/c/e", .name = "x", .variable = "k"
	};

	talk_hello(a, "w");
	talk_define(a, &m, "v", 0);
	ck_assert_ptr_nonnull(strstr(
	    t->logged.at, "registered counter 'x' at n/c/e by worker 'w' (pid 100)"));
	ck_assert_ptr_nonnull(strstr(t->logged.at, "registered series x(\"v\")"));
}
END_TEST

START_TEST(an_endpoint_is_live_while_a_worker_with_metrics_there_is)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "n/c/generate", .name = "x"
	};

	ck_assert(!apply_had_worker(t->apply));
	talk_hello(a, NULL);
	ck_assert(apply_had_worker(t->apply));
	ck_assert(!apply_endpoint_live(t->apply, "generate"));
	talk_define(a, &m, "", 0);
	ck_assert(apply_endpoint_live(t->apply, "generate"));
	ck_assert(!apply_endpoint_live(t->apply, "c"));
	talk_bye(a);
	ck_assert(!apply_endpoint_live(t->apply, "generate"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("apply");
	TCase *c = tcase_create("apply");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, hello_gets_a_ticket_a_name_and_the_limits);
	tcase_add_test(c, hello_again_before_anything_was_applied_gets_the_same_ticket);
	tcase_add_test(c, a_late_hello_without_a_ticket_is_stale);
	tcase_add_test(c, hello_with_a_ticket_finds_its_session_alive);
	tcase_add_test(c, hello_for_a_folded_session_is_told_how_far_it_came);
	tcase_add_test(c, hello_for_a_forgotten_session_is_expired);
	tcase_add_test(
	    c, a_ticket_of_another_store_or_from_the_future_counts_for_nothing);
	tcase_add_test(c, a_session_belongs_to_its_uid);
	tcase_add_test(c, another_version_is_told_so_in_words);
	tcase_add_test(c, garbage_and_replies_are_refused_as_messages);
	tcase_add_test(c, nothing_is_taken_on_a_connection_that_did_not_say_hello);
	tcase_add_test(c, a_repeated_request_is_acknowledged_and_not_applied);
	tcase_add_test(c, numbers_may_have_gaps);
	tcase_add_test(c, a_refused_update_does_not_use_up_its_number);
	tcase_add_test(c, ping_tells_the_last_number);
	tcase_add_test(c, bye_folds_at_once_and_forgets);
	tcase_add_test(c, a_folded_session_on_an_open_connection_is_told_so);
	tcase_add_test(c, refused_items_do_not_take_their_neighbours_along);
	tcase_add_test(c, sentences_in_an_ack_are_bounded);
	tcase_add_test(c, a_session_with_another_connection_outlives_one);
	tcase_add_test(c, gauges_hide_after_the_grace_and_show_again);
	tcase_add_test(c, the_lease_folds_the_unbound_and_the_silent);
	tcase_add_test(c, a_session_keeps_the_lease_that_it_was_told);
	tcase_add_test(c, another_grace_counts_for_those_that_are_gone_already);
	tcase_add_test(c, the_next_deadline_is_known);
	tcase_add_test(c, the_memory_of_the_folded_is_bounded);
	tcase_add_test(c, what_a_folded_worker_counted_is_neither_lost_nor_doubled);
	tcase_add_test(c, names_are_slots_or_wishes_and_unique);
	tcase_add_test(c, a_successor_takes_the_name_of_a_disconnected_worker);
	tcase_add_test(c, a_bad_wish_is_refused);
	tcase_add_test(c, refusals_are_counted_by_reason_and_logged_with_who);
	tcase_add_test(c, no_peer_can_fill_the_log);
	tcase_add_test(c, registrations_show_in_the_debug_log);
	tcase_add_test(c, an_endpoint_is_live_while_a_worker_with_metrics_there_is);
	return suite_run(s);
}
