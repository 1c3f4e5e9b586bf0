/* SPDX-License-Identifier: Apache-2.0 */
/* ADMIN at the daemon: who may, what changes, and what tail tells of the others. */
#include <jansson.h>
#include <stdio.h>

#include "failing.h"
#include "suite.h"
#include "talk.h"

static struct talk *t;
static struct talk_worker *root, *worker;

static const struct talk_metric counter = {
	.kind = MESSAGE_COUNTER, .level = "n/c", .name = "c", .variable = "l"
};

static void
setup(void)
{
	t = talk_new(NULL, NULL);
	root = talk_worker(t, 1);
	root->peer.uid = 0;
	root->peer.direct = true;
	worker = talk_worker(t, 100);
	worker->peer.direct = true;
}

static void
teardown(void)
{
	talk_free(t);
}

/* Ask as w; the answer's text, or the refusal's. */
static const char *
ask(struct talk_worker *w, const char *json, enum message_type expected)
{
	static char text[8192];
	uint8_t bytes[1024];
	struct wire_writer out;

	wire_writer_init(&out, bytes, sizeof(bytes));
	message_put_admin(&out, wire_text(json));
	ck_assert(!out.failed);
	ck_assert_int_eq(talk_send(w, bytes, out.bytes), expected);
	ck_assert_uint_lt(t->m.text.bytes, sizeof(text));
	memcpy(text, t->m.text.at, t->m.text.bytes);
	text[t->m.text.bytes] = '\0';
	return text;
}

#define check_says(text, part) \
	ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in: %s", part, text)
#define check_says_not(text, part) \
	ck_assert_msg(strstr(text, part) == NULL, "\"%s\" in: %s", part, text)

/* ---- Who may ----------------------------------------------------------------- */

START_TEST(only_root_and_the_daemons_user_may)
{
	static const char tail[] = "{\"command\":\"tail\"}";

	ask(root, tail, MESSAGE_TEXT);
	check_says(ask(worker, tail, MESSAGE_ERROR), "not uid 1000");
	ck_assert_uint_eq(t->m.reason, REASON_OWNER);
	check_says(t->logged.at, "refused (owner) from pid 100, uid 1000");
	ck_assert_double_eq(*self_cells(t->self, SELF_REFUSED, REASON_OWNER - 1), 1);
}
END_TEST

START_TEST(the_daemons_own_user_may)
{
	struct apply_options o = {
		.message_bytes = 1 << 20, .admin_uid = 1000, .version = "0.1.0"
	};

	talk_free(t);
	t = talk_new(NULL, &o);
	worker = talk_worker(t, 100);
	worker->peer.direct = true;
	ask(worker, "{\"command\":\"tail\"}", MESSAGE_TEXT);
	worker->peer.uid = 1001;
	ask(worker, "{\"command\":\"tail\"}", MESSAGE_ERROR);
}
END_TEST

START_TEST(nobody_may_through_a_device_or_a_push)
{
	root->peer.direct = false;
	check_says(
	    ask(root, "{\"command\":\"log_level\",\"level\":\"error\"}", MESSAGE_ERROR),
	    "bridge");
	ck_assert_uint_eq(t->m.reason, REASON_OWNER);
	ck_assert(log_wants(t->log, LOG_LEVEL_DEBUG));
}
END_TEST

START_TEST(a_command_that_cannot_be_is_refused)
{
	check_says(ask(root, "{\"command\":\"stop\"}", MESSAGE_ERROR), "'stop'");
	ck_assert_uint_eq(t->m.reason, REASON_FIELD);
	ask(root, "stop", MESSAGE_ERROR);
	ck_assert_uint_eq(t->m.reason, REASON_JSON);
}
END_TEST

/* ---- log_level ---------------------------------------------------------------- */

START_TEST(the_log_level_changes_at_once_and_is_told)
{
	ck_assert_str_eq(
	    ask(root, "{\"command\":\"log_level\",\"level\":\"error\"}", MESSAGE_TEXT),
	    "{\"level\":\"error\",\"was\":\"debug\"}");
	ck_assert(!log_wants(t->log, LOG_LEVEL_WARNING));
	check_says(
	    t->logged.at, "apply: log level: error instead of debug, by pid 1, uid 0");
	strbuf_reset(&t->logged);
	ck_assert_str_eq(
	    ask(root, "{\"command\":\"log_level\",\"level\":\"info\"}", MESSAGE_TEXT),
	    "{\"level\":\"info\",\"was\":\"error\"}");
	check_says(t->logged.at, "log level: info instead of error");
	ck_assert(!log_wants(t->log, LOG_LEVEL_DEBUG));
}
END_TEST

/* ---- tail --------------------------------------------------------------------- */

static const char *
tail_after(int after)
{
	char json[64];

	snprintf(json, sizeof(json), "{\"command\":\"tail\",\"after\":%d}", after);
	return ask(root, json, MESSAGE_TEXT);
}

START_TEST(tail_tells_of_each_message_and_its_answer)
{
	const char *told;

	/* The question is a message itself, the first; it is not told. */
	ck_assert_str_eq(ask(root, "{\"command\":\"tail\"}", MESSAGE_TEXT),
	    "{\"next\":0,\"missed\":0,\"now_ms\":1000000,\"more\":false,\"messages\":[]"
	    "}");
	talk_hello(worker, "decode-0");
	talk_define(worker, &counter, "1", 0);
	t->now_ms += 5;
	talk_set(worker, 0, 1);
	talk_bye(worker);
	told = tail_after(0);
	check_says(told, "{\"at_ms\":1000000,\"pid\":100,\"uid\":1000,\"bytes\":");
	check_says(
	    told, "\"type\":\"HELLO\",\"answer\":\"NEW\",\"worker\":\"decode-0\"}");
	check_says(told, "\"type\":\"DEFINE\",\"n\":1,\"count\":2,\"answer\":\"ACK\","
			 "\"worker\":\"decode-0\"}");
	check_says(told,
	    "{\"at_ms\":1000005,\"pid\":100,\"uid\":1000,\"bytes\":48,\"type\":"
	    "\"UPDATE\",\"n\":2,\"count\":1,\"answer\":\"ACK\",\"worker\":\"decode-0\"}");
	check_says(told, "\"type\":\"BYE\",\"answer\":\"OK\",\"worker\":\"decode-0\"}]}");
	check_says(told, "{\"next\":4,\"missed\":0,");
	check_says_not(told, "ADMIN");
	check_says(tail_after(4), "\"next\":4,\"missed\":0,");
}
END_TEST

START_TEST(tail_tells_what_was_refused_and_why)
{
	const char *told;

	ask(root, "{\"command\":\"tail\"}", MESSAGE_TEXT);
	talk_hello(worker, NULL);
	talk_define(worker, &counter, "1", 0);
	talk_set(worker, 0, 5);
	talk_set(worker, 0, 4);
	talk_json(t, "{\"metrics\":[{\"name\":\"g\",\"type\":\"gauge\",\"inc\":1},"
		     "{\"name\":\"a b\",\"type\":\"gauge\"}]}");
	talk_send(worker, "DYNM\x01\x03\0\0", 8);
	ask(worker, "{\"command\":\"tail\"}", MESSAGE_ERROR);
	told = tail_after(0);
	check_says(told, "\"type\":\"UPDATE\",\"n\":3,\"count\":1,\"answer\":\"REFUSED\","
			 "\"worker\":\"0\",\"refused\":1,\"reason\":\"value\",\"text\":");
	check_says(told, "\"type\":\"JSON\",\"json\":\"{\\\"metrics\\\":[{\\\"name\\\"");
	check_says(told, "\"refused\":2,\"reason\":\"field\",\"text\":");
	check_says(told, "\"bytes\":8,\"type\":\"?\",\"answer\":\"ERROR\",\"refused\":1,"
			 "\"reason\":\"message\"");
	check_says(told,
	    "\"type\":\"ADMIN\",\"answer\":\"ERROR\",\"refused\":1,\"reason\":"
	    "\"owner\"");
}
END_TEST

START_TEST(tail_shows_the_beginning_of_json_whatever_its_bytes_are)
{
	char json[400] = "{\"x\":\"\xc3\xa9\",\"";
	const char *told;

	ask(root, "{\"command\":\"tail\"}", MESSAGE_TEXT);
	/* A character is not cut in two: byte 239 is the first of one. */
	memset(json + 11, 'y', 228);
	memcpy(json + 239, "\xc3\xa9zzz", 6);
	talk_json(t, json);
	told = tail_after(0);
	check_says(told, "{\\\"x\\\":\\\"\xc3\xa9\\\",");
	check_says(told, "yyy...\"");
	talk_json(t, "{\"\xff\n");
	told = tail_after(1);
	check_says(told, "\"json\":\"{\\\"?\\u000a\"");
}
END_TEST

START_TEST(tail_ends_by_itself_and_tells_what_it_missed)
{
	ask(root, "{\"command\":\"tail\"}", MESSAGE_TEXT);
	talk_hello(worker, NULL);
	t->now_ms += 5001;
	talk_ping(worker);
	talk_ping(worker);
	check_says(tail_after(1), "{\"next\":3,\"missed\":2,");
	talk_ping(worker);
	check_says(tail_after(3), "{\"next\":4,\"missed\":0,");
	check_says(t->reply.at + 12, "PING");
}
END_TEST

START_TEST(tail_after_another_daemons_number_begins_with_what_is_kept)
{
	ask(root, "{\"command\":\"tail\"}", MESSAGE_TEXT);
	talk_hello(worker, NULL);
	check_says(tail_after(99), "{\"next\":1,\"missed\":0,");
	check_says(t->reply.at + 12, "HELLO");
}
END_TEST

START_TEST(tail_says_when_there_is_more_than_a_message_holds)
{
	struct apply_options o = { .message_bytes = 4096, .version = "0.1.0" };
	int next = 0, rounds = 0, told = 0;

	talk_free(t);
	t = talk_new(NULL, &o);
	root = talk_worker(t, 1);
	root->peer.direct = true;
	root->peer.uid = 0;
	worker = talk_worker(t, 2);
	ask(root, "{\"command\":\"tail\"}", MESSAGE_TEXT);
	talk_hello(worker, NULL);
	for (int i = 1; i < 100; i++)
		talk_ping(worker);
	for (bool more = true; more; rounds++) {
		const char *text = tail_after(next);

		ck_assert_int_eq(sscanf(text, "{\"next\":%d,", &next), 1);
		more = strstr(text, "\"more\":true") != NULL;
		for (; (text = strstr(text, "at_ms")) != NULL; text++)
			told++;
	}
	ck_assert_int_gt(rounds, 2);
	ck_assert_int_eq(next, 100);
	ck_assert_int_eq(told, 100);
}
END_TEST

/* ---- remove -------------------------------------------------------------------- */

static const char remove_c[] = "{\"command\":\"remove\",\"name\":\"c\"}";

START_TEST(remove_tells_what_left_and_what_begins_again)
{
	talk_hello(worker, NULL);
	talk_define(worker, &counter, "1", 0);
	talk_set(worker, 0, 5);
	talk_json(t, "{\"metrics\":[{\"name\":\"c\",\"type\":\"counter\",\"inc\":1}]}");
	ck_assert_str_eq(
	    ask(root, "{\"command\":\"remove\",\"name\":\"c\",\"dry_run\":true}",
		MESSAGE_TEXT),
	    "{\"removed\":1,\"reset\":1,\"dry_run\":true,\"series\":["
	    "\"dynamo_c{namespace=\\\"n\\\",component=\\\"c\\\",l=\\\"1\\\"}\","
	    "\"dynamo_c\"]}");
	check_says(talk_page(t, ""), "dynamo_c 1\n");
	check_says_not(t->logged.at, "removed");
	check_says(ask(root, remove_c, MESSAGE_TEXT),
	    "{\"removed\":1,\"reset\":1,\"dry_run\":false,\"series\":[\"dynamo_c");
	check_says(t->logged.at,
	    "apply: removed: 1 series of 'c', and 1 begin again, by pid 1, uid 0");
	ck_assert_str_eq(talk_page(t, ""), "# TYPE dynamo_c counter\n"
					   "dynamo_c{namespace=\"n\",component=\"c\",l="
					   "\"1\"} 0\n");
}
END_TEST

START_TEST(remove_takes_a_name_as_the_naming_does)
{
	static const char remove_ab[] = "{\"command\":\"remove\",\"name\":\"a b\"}";
	struct naming naming = { .component = true };

	check_says(ask(root, remove_ab, MESSAGE_ERROR), "'a b' cannot be");
	ck_assert(registry_set_naming(t->registry, &naming));
	talk_json(t, "{\"metrics\":[{\"name\":\"a b\",\"type\":\"counter\"}]}");
	check_says(ask(root, remove_ab, MESSAGE_TEXT), "\"removed\":1");
}
END_TEST

START_TEST(remove_lists_no_more_than_a_message_holds)
{
	struct apply_options o = {
		.message_bytes = 4096, .json_bytes = 65536, .version = "0.1.0"
	};
	char json[256];
	const char *told;
	int series = 0;

	talk_free(t);
	t = talk_new(NULL, &o);
	root = talk_worker(t, 1);
	root->peer.direct = true;
	root->peer.uid = 0;
	for (int i = 0; i < 100; i++) {
		snprintf(json, sizeof(json),
		    "{\"metrics\":[{\"name\":\"c\",\"type\":\"counter\",\"labels\":{"
		    "\"l\":"
		    "\"%d\\txxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}]}",
		    i);
		ck_assert_str_eq(talk_json(t, json), "{\"ok\":true}");
	}
	told = ask(root, remove_c, MESSAGE_TEXT);
	check_says(told, "{\"removed\":100,\"reset\":0,");
	for (const char *at = told; (at = strstr(at, "dynamo_c{l=")) != NULL; at++)
		series++;
	ck_assert_int_gt(series, 3);
	ck_assert_int_lt(series, 100);
	check_says(told, "\"]}");
	ck_assert_str_eq(talk_page(t, ""), "");
}
END_TEST

/* ---- Memory -------------------------------------------------------------------- */

/* As root: 0 if it was answered, and what is refused if not. */
static enum reason
ask_without_memory(const char *json, size_t n)
{
	uint8_t bytes[256];
	struct wire_writer out;
	struct message m = { 0 };
	enum reason reason;

	wire_writer_init(&out, bytes, sizeof(bytes));
	message_put_admin(&out, wire_text(json));
	strbuf_free(&t->reply);
	failing_after(n);
	apply_request(t->apply, &root->peer, bytes, out.bytes, t->now_ms, &t->reply);
	failing_end();
	if (t->reply.failed || t->reply.bytes == 0)
		return REASON_MEMORY;
	ck_assert_uint_eq(message_decode(&m, t->reply.at, t->reply.bytes, NULL), 0);
	reason = m.type == MESSAGE_ERROR ? m.reason : REASON_NONE;
	return reason;
}

START_TEST(a_removal_that_fails_for_want_of_memory_removes_nothing)
{
	json_set_alloc_funcs(failing_malloc, failing_free);
	for (size_t n = 0; failing_more(n); n++) {
		enum reason reason;

		teardown();
		setup();
		talk_json(
		    t, "{\"metrics\":[{\"name\":\"c\",\"type\":\"counter\",\"inc\":1}]}");
		reason = ask_without_memory(remove_c, n);
		strbuf_free(&t->reply);
		ck_assert_msg((strstr(talk_page(t, ""), "dynamo_c 1\n") != NULL) ==
				  (reason != REASON_NONE),
		    "allocation %zu: %s: %s", n, message_reason_word(reason),
		    talk_page(t, ""));
	}
	json_set_alloc_funcs(malloc, free);
}
END_TEST

START_TEST(tail_and_log_level_do_without_memory_or_say_so)
{
	static const char *const commands[] = { "{\"command\":\"tail\",\"after\":0}",
		"{\"command\":\"log_level\",\"level\":\"error\"}" };

	json_set_alloc_funcs(failing_malloc, failing_free);
	for (size_t i = 0; i < 2; i++)
		for (size_t n = 0; failing_more(n); n++) {
			enum reason reason;

			teardown();
			setup();
			ask(root, "{\"command\":\"tail\"}", MESSAGE_TEXT);
			talk_hello(worker, NULL);
			reason = ask_without_memory(commands[i], n);
			ck_assert(i == 0 || reason != REASON_NONE ||
				  !log_wants(t->log, LOG_LEVEL_INFO));
			strbuf_free(&t->reply);
		}
	json_set_alloc_funcs(malloc, free);
}
END_TEST

START_TEST(a_message_that_tail_has_no_memory_for_is_applied_and_missed)
{
	for (size_t n = 0; failing_more(n); n++) {
		const char *told;

		teardown();
		setup();
		talk_hello(worker, NULL);
		talk_define(worker, &counter, "1", 0);
		talk_set(worker, 0, 5); /* and there is room for the reply */
		ask(root, "{\"command\":\"tail\"}", MESSAGE_TEXT);
		failing_after(n);
		ck_assert_int_eq(talk_set(worker, 0, 6), MESSAGE_ACK);
		told = failing_end() ? "\"missed\":1," : "\"missed\":0,";
		check_says(talk_page(t, ""), "} 6\n");
		check_says(tail_after(3), told);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("apply_admin");
	TCase *c = tcase_create("admin");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, only_root_and_the_daemons_user_may);
	tcase_add_test(c, the_daemons_own_user_may);
	tcase_add_test(c, nobody_may_through_a_device_or_a_push);
	tcase_add_test(c, a_command_that_cannot_be_is_refused);
	tcase_add_test(c, the_log_level_changes_at_once_and_is_told);
	tcase_add_test(c, tail_tells_of_each_message_and_its_answer);
	tcase_add_test(c, tail_tells_what_was_refused_and_why);
	tcase_add_test(c, tail_shows_the_beginning_of_json_whatever_its_bytes_are);
	tcase_add_test(c, tail_ends_by_itself_and_tells_what_it_missed);
	tcase_add_test(c, tail_after_another_daemons_number_begins_with_what_is_kept);
	tcase_add_test(c, tail_says_when_there_is_more_than_a_message_holds);
	tcase_add_test(c, remove_tells_what_left_and_what_begins_again);
	tcase_add_test(c, remove_takes_a_name_as_the_naming_does);
	tcase_add_test(c, remove_lists_no_more_than_a_message_holds);
	tcase_add_test(c, a_removal_that_fails_for_want_of_memory_removes_nothing);
	tcase_add_test(c, tail_and_log_level_do_without_memory_or_say_so);
	tcase_add_test(c, a_message_that_tail_has_no_memory_for_is_applied_and_missed);
	suite_add_tcase(s, c);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
