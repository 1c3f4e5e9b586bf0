/* SPDX-License-Identifier: Apache-2.0 */
/* What is no record of a state is refused, and told apart from memory that is out. */
#include "one_twin.h"
#include "suite.h"

static void
start(struct talk_worker *w, const char *wish)
{
	talk_hello(w, wish);
	talk_define(w, &gauge, "", 0);
	talk_define(w, &counter, "", 1);
	talk_update(w, 0, 2, (double[]){ 5, 3 });
}

/* An empty daemon takes what x wrote. */
static void
replay(void)
{
	struct refusal why = { 0 };

	twin_write(x);
	fresh = twin_empty(x);
	ck_assert_int_eq(twin_replay(x, fresh, &why), REASON_NONE);
}

static enum reason
replay_one(enum journal_type type, const void *body, size_t n)
{
	struct journal_record record = { (uint8_t)type, body, n };
	struct refusal why = { 0 };
	enum reason reason;

	apply_replay_begin(fresh->apply);
	reason = apply_replay(fresh->apply, &record, &why);
	apply_replay_end(fresh->apply);
	ck_assert_int_eq(why.reason, reason);
	ck_assert_int_eq(why.text[0] != '\0', reason != REASON_NONE);
	return reason;
}

START_TEST(a_record_that_comes_twice_is_refused)
{
	struct journal_reader r;
	struct journal_record record;
	uint32_t refused = 0;

	start(x->w[0], "a");
	must_be_done(x->talk, "{\"id\":\"a\",\"metrics\":[" INC "]}");
	talk_remove(x->w[0], 0);
	talk_bye(x->w[0]);
	twin_write(x);
	fresh = twin_empty(x);
	r = (struct journal_reader){ (const uint8_t *)x->file.at, x->file.bytes, 0 };
	while (journal_next(&r, &record)) {
		ck_assert_int_eq(
		    replay_one(record.type, record.body, record.bytes), REASON_NONE);
		if (record.type == JOURNAL_TIME)
			continue;
		ck_assert_int_eq(
		    replay_one(record.type, record.body, record.bytes), REASON_MESSAGE);
		refused++;
	}
	ck_assert_uint_eq(refused, 7);
}
END_TEST

START_TEST(a_record_without_its_session_is_refused)
{
	struct journal_reader r;
	struct journal_record record;
	uint32_t refused = 0;

	start(x->w[0], "a");
	talk_remove(x->w[0], 0);
	talk_bye(x->w[0]);
	twin_write(x);
	fresh = twin_empty(x);
	r = (struct journal_reader){ (const uint8_t *)x->file.at, x->file.bytes, 0 };
	while (journal_next(&r, &record)) {
		if (record.type == JOURNAL_TIME || record.type == JOURNAL_REG)
			continue;
		ck_assert_int_eq(
		    replay_one(record.type, record.body, record.bytes), REASON_MESSAGE);
		refused++;
	}
	ck_assert_uint_eq(refused, 5);
	ck_assert_str_eq(talk_page(fresh, ""), "");
}
END_TEST

START_TEST(a_request_of_another_state_is_refused)
{
	struct journal_reader r;
	struct journal_record record;

	start(x->w[0], "a");
	replay();
	apply_set_identity(fresh->apply, 1, x->options.dedupe_secret);
	talk_set(x->w[0], 1, 9);
	twin_write(x);
	r = (struct journal_reader){ (const uint8_t *)x->file.at, x->file.bytes, 0 };
	while (journal_next(&r, &record))
		;
	ck_assert_int_eq(
	    replay_one(record.type, record.body, record.bytes), REASON_MESSAGE);
}
END_TEST

/* Each body cut at each byte: a record that was written by another program. */
START_TEST(a_body_that_is_cut_is_refused)
{
	struct journal_reader r;
	struct journal_record record;

	start(x->w[0], "a");
	talk_json(x->talk, "{\"id\":\"a\",\"metrics\":[" INC
			   ",{\"name\":\"t\",\"type\":\"gauge\",\"set\":1,\"ttl_s\":1},{"
			   "\"name\":\"1\"}]}");
	x->talk->now_ms += 1200;
	apply_tick(x->talk->apply, x->talk->now_ms);
	talk_bye(x->w[0]);
	twin_write(x);
	r = (struct journal_reader){ (const uint8_t *)x->file.at, x->file.bytes, 0 };
	while (journal_next(&r, &record))
		for (size_t n = 0; n < record.bytes; n++) {
			fresh = twin_empty(x);
			ck_assert_msg(
			    replay_one(record.type, record.body, n) != REASON_NONE,
			    "type %u, %zu bytes", record.type, n);
			talk_free(fresh);
			fresh = NULL;
		}
}
END_TEST

START_TEST(an_unknown_type_is_refused)
{
	fresh = twin_empty(x);
	ck_assert_int_eq(replay_one(0, "", 0), REASON_MESSAGE);
	ck_assert_int_eq(replay_one(JOURNAL_TYPE, "", 0), REASON_MESSAGE);
	ck_assert_int_eq(replay_one(255, "", 0), REASON_MESSAGE);
	ck_assert_int_eq(replay_one(JOURNAL_SEAL, "", 0), REASON_NONE);
}
END_TEST

START_TEST(a_head_sets_the_clock_and_must_be_of_the_state)
{
	struct journal_head head = { .store = TALK_STORE,
		.generation = 3,
		.first = 1,
		.clock_ms = 555,
		.unix_ms = 777 };
	struct strbuf file = STRBUF_EMPTY;
	struct journal_reader r;
	struct journal_record record;
	uint64_t clock_ms, unix_ms;

	fresh = twin_empty(x);
	journal_put_head(&file, &head);
	head.store++;
	journal_put_head(&file, &head);
	r = (struct journal_reader){ (const uint8_t *)file.at, file.bytes, 0 };
	ck_assert(journal_next(&r, &record));
	ck_assert_int_eq(replay_one(record.type, record.body, record.bytes), REASON_NONE);
	apply_last_time(fresh->apply, &clock_ms, &unix_ms);
	ck_assert_uint_eq(clock_ms, 555);
	ck_assert_uint_eq(unix_ms, 777);
	ck_assert(journal_next(&r, &record));
	ck_assert_int_eq(
	    replay_one(record.type, record.body, record.bytes), REASON_MESSAGE);
	strbuf_free(&file);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("apply_replay_refused");
	TCase *c = tcase_create("no record");

	tcase_add_checked_fixture(c, setup, teardown);
	ADD(a_record_that_comes_twice_is_refused);
	ADD(a_record_without_its_session_is_refused);
	ADD(a_request_of_another_state_is_refused);
	ADD(a_body_that_is_cut_is_refused);
	ADD(an_unknown_type_is_refused);
	ADD(a_head_sets_the_clock_and_must_be_of_the_state);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
