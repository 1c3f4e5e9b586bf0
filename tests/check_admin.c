/* SPDX-License-Identifier: Apache-2.0 */
/* What an administrator can ask for, and what nobody can. */
#include <stdio.h>

#include <jansson.h>

#include "admin.h"
#include "failing.h"
#include "suite.h"

static struct admin_command
must_read(const char *json)
{
	struct admin_command c;
	struct refusal r = { 0 };

	ck_assert_msg(
	    admin_read(&c, wire_text(json), &r) == REASON_NONE, "%s: %s", json, r.text);
	return c;
}

START_TEST(remove_says_what_and_where)
{
	struct admin_command c =
	    must_read("{\"command\":\"remove\",\"name\":\"dynamo_x\",\"namespace\":\"n\","
		      "\"component\":\"c/"
		      "d\",\"labels\":{\"a\":\"1\",\"b\":\"\"},\"dry_run\":true}");

	ck_assert_uint_eq(c.verb, ADMIN_REMOVE);
	ck_assert(wire_text_is(c.name, "dynamo_x"));
	ck_assert_uint_eq(c.level.depth, 2);
	ck_assert(wire_text_is(c.level.name[0], "n"));
	ck_assert(wire_text_is(c.level.name[1], "c/d"));
	ck_assert_uint_eq(c.n_labels, 2);
	ck_assert(wire_text_is(c.label_name[0], "a"));
	ck_assert(wire_text_is(c.label_value[0], "1"));
	ck_assert(wire_text_is(c.label_name[1], "b"));
	ck_assert(wire_text_is(c.label_value[1], ""));
	ck_assert(c.dry_run);
	admin_free(&c);
}
END_TEST

START_TEST(remove_needs_a_name_alone)
{
	struct admin_command c = must_read("{\"command\":\"remove\",\"name\":\"x\"}");

	ck_assert_uint_eq(c.level.depth, 0);
	ck_assert_uint_eq(c.n_labels, 0);
	ck_assert(!c.dry_run);
	admin_free(&c);
}
END_TEST

START_TEST(a_log_level_is_one_of_four)
{
	static const char *const words[] = { "error", "warning", "info", "debug" };
	char json[80];

	for (int i = 0; i < 4; i++) {
		struct admin_command c;

		snprintf(json, sizeof(json),
		    "{\"level\":\"%s\",\"command\":\"log_level\"}", words[i]);
		c = must_read(json);
		ck_assert_uint_eq(c.verb, ADMIN_LOG_LEVEL);
		ck_assert_int_eq((int)c.log_level, i);
		admin_free(&c);
	}
}
END_TEST

START_TEST(tail_goes_on_after_a_number)
{
	struct admin_command c = must_read("{\"command\":\"tail\"}");

	ck_assert_uint_eq(c.verb, ADMIN_TAIL);
	ck_assert(!c.has_after);
	admin_free(&c);
	c = must_read("{\"command\":\"tail\",\"after\":0}");
	ck_assert(c.has_after);
	ck_assert_uint_eq(c.after, 0);
	admin_free(&c);
	c = must_read("{\"command\":\"tail\",\"after\":9223372036854775807}");
	ck_assert_uint_eq(c.after, INT64_MAX);
	admin_free(&c);
}
END_TEST

static const struct {
	const char *json;
	enum reason reason;
	const char *says;
} refused[] = {
	{ "", REASON_JSON, "line 1" },
	{ "{", REASON_JSON, "line 1" },
	{ "{} {}", REASON_JSON, "line 1" },
	{ "[]", REASON_JSON, "object" },
	{ "{\"a\":\x01\xc3}", REASON_JSON, "near '?'" },
	{ "{\"command\":\"tail\",\"command\":\"tail\"}", REASON_JSON, "duplicate" },
	{ "{}", REASON_FIELD, "'command' has to be a string" },
	{ "{\"command\":1}", REASON_FIELD, "'command' has to be a string" },
	{ "{\"command\":\"restart\"}", REASON_FIELD, "no command 'restart'" },
	{ "{\"command\":\"tail\\u0001\"}", REASON_FIELD, "no command 'tail?'" },
	{ "{\"command\":\"tail\",\"x\":1}", REASON_FIELD, "'tail' has no 'x'" },
	{ "{\"command\":\"tail\",\"after\":-1}", REASON_FIELD, "whole number" },
	{ "{\"command\":\"tail\",\"after\":0.5}", REASON_FIELD, "whole number" },
	{ "{\"command\":\"tail\",\"after\":\"1\"}", REASON_FIELD, "whole number" },
	{ "{\"command\":\"tail\",\"after\":99999999999999999999}", REASON_JSON,
	    "integer" },
	{ "{\"command\":\"log_level\"}", REASON_FIELD, "\"debug\"" },
	{ "{\"command\":\"log_level\",\"level\":\"loud\"}", REASON_FIELD, "\"debug\"" },
	{ "{\"command\":\"log_level\",\"level\":3}", REASON_FIELD, "\"debug\"" },
	{ "{\"command\":\"log_level\",\"level\":\"info\",\"name\":\"x\"}", REASON_FIELD,
	    "'log_level' has no 'name'" },
	{ "{\"command\":\"remove\"}", REASON_FIELD, "'name' has to be a string" },
	{ "{\"command\":\"remove\",\"name\":1}", REASON_FIELD, "'name' has to be" },
	{ "{\"command\":\"remove\",\"name\":\"x\",\"dry_run\":1}", REASON_FIELD,
	    "'dry_run'" },
	{ "{\"command\":\"remove\",\"name\":\"x\",\"namespace\":1}", REASON_FIELD,
	    "'namespace' has to be a string" },
	{ "{\"command\":\"remove\",\"name\":\"x\",\"namespace\":\"\"}", REASON_LEVEL,
	    "" },
	{ "{\"command\":\"remove\",\"name\":\"x\",\"component\":\"c\"}", REASON_LEVEL,
	    "'component' needs a 'namespace'" },
	{ "{\"command\":\"remove\",\"name\":\"x\",\"namespace\":\"n\",\"endpoint\":"
	  "\"e\"}",
	    REASON_LEVEL, "'endpoint' needs a 'component'" },
	{ "{\"command\":\"remove\",\"name\":\"x\",\"labels\":[]}", REASON_FIELD,
	    "object of strings" },
	{ "{\"command\":\"remove\",\"name\":\"x\",\"labels\":{\"a\":1}}", REASON_FIELD,
	    "object of strings" },
	{ "{\"command\":\"remove\",\"name\":\"x\",\"labels\":{\"a b\":\"\"}}",
	    REASON_LABEL, "'a b'" },
};

START_TEST(what_no_command_can_be_is_refused)
{
	struct admin_command c;
	struct refusal r = { 0 };

	ck_assert_msg(
	    admin_read(&c, wire_text(refused[_i].json), &r) == refused[_i].reason,
	    "%s: %s: %s", refused[_i].json, message_reason_word(r.reason), r.text);
	ck_assert_msg(strstr(r.text, refused[_i].says) != NULL, "no \"%s\" in: %s",
	    refused[_i].says, r.text);
}
END_TEST

START_TEST(more_labels_than_a_series_has_are_refused)
{
	char json[2048];
	int n = snprintf(json, sizeof(json),
	    "{\"command\":\"remove\",\"name\":\"x\",\"labels\":{\"a\":\"\"");
	struct admin_command c;
	struct refusal r = { 0 };

	for (int i = 1; i <= MESSAGE_LABELS_MAX; i++)
		n += snprintf(json + n, sizeof(json) - (size_t)n, ",\"a%d\":\"\"", i);
	snprintf(json + n, sizeof(json) - (size_t)n, "}}");
	ck_assert_uint_eq(admin_read(&c, wire_text(json), &r), REASON_LIMIT);
}
END_TEST

START_TEST(a_command_need_not_end_with_a_nul)
{
	struct admin_command c;

	ck_assert_uint_eq(
	    admin_read(&c, (struct wire_text){ "{\"command\":\"tail\"}x", 18 }, NULL),
	    REASON_NONE);
	admin_free(&c);
}
END_TEST

START_TEST(any_allocation_refused_fails_the_command_alone)
{
	static const char json[] = "{\"command\":\"remove\",\"name\":\"x\",\"namespace\":"
				   "\"n\",\"labels\":{\"a\":\"1\",\"b\":\"2\"}}";

	json_set_alloc_funcs(failing_malloc, failing_free);
	for (size_t n = 0; failing_more(n); n++) {
		struct admin_command c;
		struct refusal r = { 0 };
		enum reason reason;
		bool was_refused;

		failing_after(n);
		reason = admin_read(&c, wire_text(json), &r);
		was_refused = failing_end();
		/* Jansson takes some of it for an error in the text. */
		ck_assert_msg((reason != REASON_NONE) == was_refused,
		    "allocation %zu: %s: %s", n, message_reason_word(reason), r.text);
		ck_assert(!was_refused || r.text[0] != '\0');
		if (reason == REASON_NONE)
			admin_free(&c);
	}
	json_set_alloc_funcs(malloc, free);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("admin");
	TCase *t = tcase_create("admin");

	tcase_add_test(t, remove_says_what_and_where);
	tcase_add_test(t, remove_needs_a_name_alone);
	tcase_add_test(t, a_log_level_is_one_of_four);
	tcase_add_test(t, tail_goes_on_after_a_number);
	tcase_add_loop_test(t, what_no_command_can_be_is_refused, 0,
	    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(t, more_labels_than_a_series_has_are_refused);
	tcase_add_test(t, a_command_need_not_end_with_a_nul);
	tcase_add_test(t, any_allocation_refused_fails_the_command_alone);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
