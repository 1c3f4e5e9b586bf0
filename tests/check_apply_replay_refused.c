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

START_TEST(a_time_that_no_clock_says_is_refused)
{
	const uint64_t most = JOURNAL_MS_MOST, past = most + 1;
	const struct {
		uint64_t now, unix_ms, offset;
		enum reason reason;
	} times[] = { { most, most, most, REASON_NONE }, { 0, 0, -most, REASON_NONE },
		{ past, 0, 0, REASON_MESSAGE }, { 0, past, 0, REASON_MESSAGE },
		{ 0, 0, past, REASON_MESSAGE }, { 0, 0, -past, REASON_MESSAGE },
		{ UINT64_MAX, 0, 0, REASON_MESSAGE } };

	fresh = twin_empty(x);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		uint8_t body[24];

		wire_store_u64(body, times[i].now);
		wire_store_u64(body + 8, times[i].unix_ms);
		wire_store_u64(body + 16, times[i].offset);
		ck_assert_int_eq(
		    replay_one(JOURNAL_TIME, body, sizeof(body)), times[i].reason);
	}
}
END_TEST

/* What REG says of a session is what a snapshot will say of it. */
static enum reason
replay_session(const char *name, uint64_t serial, pid_t pid)
{
	struct journal *j = journal_new();
	struct effects effects = { .journal = j };
	static const uint8_t sid[MESSAGE_SID_BYTES] = { 1 };
	struct journal_reader r = { 0 };
	struct journal_record record;
	enum reason reason;

	effect_session(&effects, &(struct session_saved){ .sid = sid,
				     .serial = serial,
				     .pid = pid,
				     .name = wire_text(name),
				     .wish = wire_text(""),
				     .library = wire_text("") });
	r.bytes = journal_bytes(j, &r.n);
	while (journal_next(&r, &record) && record.type != JOURNAL_REG)
		;
	fresh = twin_empty(x);
	reason = replay_one(record.type, record.body, record.bytes);
	talk_free(fresh);
	fresh = NULL;
	journal_free(j);
	return reason;
}

START_TEST(a_session_that_no_snapshot_would_be_read_with_is_refused)
{
	char longest[NAMES_WORKER_BYTES + 2];

	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_int_eq(replay_session("a", 1, 7), REASON_NONE);
	ck_assert_int_eq(replay_session("\xb2", 1, 7), REASON_MESSAGE);
	ck_assert_int_eq(replay_session(longest, 1, 7), REASON_MESSAGE);
	ck_assert_int_eq(replay_session(longest + 1, 1, 7), REASON_NONE);
	ck_assert_int_eq(replay_session("a", 0, 7), REASON_MESSAGE);
	ck_assert_int_eq(replay_session("a", UINT64_MAX, 7), REASON_MESSAGE);
	ck_assert_int_eq(replay_session("a", 1, -7), REASON_MESSAGE);
}
END_TEST

/* Else the daemon would not start until somebody took the file away. */
START_TEST(a_command_that_is_no_JSON_is_no_want_of_memory)
{
	static const char *const none[] = { "{", "{\"command\":\"a\x01\"}",
		"{\"command\"\"remove\"}" };

	fresh = twin_empty(x);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		uint8_t bytes[100];
		struct wire_writer w;

		wire_writer_init(&w, bytes, sizeof(bytes));
		message_put_admin(&w, wire_text(none[i]));
		ck_assert_int_eq(replay_one(JOURNAL_ADMIN, bytes, w.bytes), REASON_JSON);
	}
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
	ADD(a_time_that_no_clock_says_is_refused);
	ADD(a_session_that_no_snapshot_would_be_read_with_is_refused);
	ADD(a_command_that_is_no_JSON_is_no_want_of_memory);
	ADD(a_head_sets_the_clock_and_must_be_of_the_state);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
