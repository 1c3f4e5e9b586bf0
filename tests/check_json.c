/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in JSON, field by field: what is read, and what is refused with which words.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "failing.h"
#include "json.h"
#include "suite.h"

static struct json_batch *batch;
static struct json_metric metric;
static struct refusal refusal;

static void
setup(void)
{
	batch = NULL;
	refusal = (struct refusal){ 0 };
}

static void
teardown(void)
{
	json_batch_free(batch);
}

/* Read a message; the reason of it, or of its first metric that is refused. */
static enum reason
read_message(const char *text, size_t bytes)
{
	enum reason reason;

	json_batch_free(batch);
	batch = NULL;
	refusal = (struct refusal){ 0 };
	reason = json_batch_new(&batch, text, bytes, &refusal);
	for (size_t i = 0; reason == REASON_NONE && i < json_batch_count(batch); i++)
		reason = json_batch_metric(batch, i, &metric, &refusal);
	return reason;
}

static void
must_read(const char *text)
{
	enum reason reason = read_message(text, strlen(text));

	ck_assert_msg(reason == REASON_NONE, "%s: %s", text, refusal.text);
}

/* A message with one metric of these fields. */
static const char *
with(const char *fields)
{
	static char text[4096];

	snprintf(text, sizeof(text), "{\"metrics\":[{\"name\":\"m\",%s}]}", fields);
	return text;
}

/* ---- What is read ----------------------------------------------------- */

START_TEST(a_message_has_a_level_an_id_and_a_time)
{
	double seconds;

	must_read(" {\"namespace\":\"n\",\"component\":\"c\",\"endpoint\":\"e\","
		  "\"id\":\"x-1\",\"time\":1700000000.5,\"metrics\":[{\"name\":\"m\","
		  "\"type\":\"counter\"}]}\n");
	ck_assert_uint_eq(metric.metric.level.depth, 3);
	ck_assert(wire_text_is(metric.metric.level.name[2], "e"));
	ck_assert(wire_text_is(json_batch_id(batch), "x-1"));
	ck_assert(json_batch_time(batch, &seconds) && seconds == 1700000000.5);
	must_read("{\"metrics\":[]}");
	ck_assert_uint_eq(json_batch_count(batch), 0);
	ck_assert_uint_eq(json_batch_id(batch).bytes, 0);
	ck_assert(!json_batch_time(batch, &seconds));
}
END_TEST

START_TEST(a_metric_has_its_shape_and_labels)
{
	must_read(with("\"type\":\"gauge\",\"help\":\"H\",\"merge\":\"last\","
		       "\"labels\":{\"a\":\"1\",\"b\":\"\\u00e9\"}"));
	ck_assert_int_eq(metric.metric.kind, MESSAGE_GAUGE);
	ck_assert_int_eq(metric.metric.merge, MESSAGE_LAST);
	ck_assert(wire_text_is(metric.metric.help, "H"));
	ck_assert_uint_eq(metric.metric.n_constant, 2);
	ck_assert(wire_text_is(metric.metric.constant_name[1], "b"));
	ck_assert(wire_text_is(metric.metric.constant_value[1], "\xc3\xa9"));
	ck_assert(metric.has_type && metric.has_merge && !metric.has_buckets);
	ck_assert_int_eq(metric.operation, JSON_DEFINE);
}
END_TEST

START_TEST(buckets_are_those_given_or_the_usual_ladder)
{
	must_read(with("\"type\":\"histogram\",\"buckets\":[-1,0.5,1e3]"));
	ck_assert_uint_eq(metric.metric.n_bounds, 3);
	ck_assert_double_eq(message_bound(&metric.metric, 2), 1000);
	must_read(with("\"type\":\"histogram\""));
	ck_assert_uint_eq(metric.metric.n_bounds, 11);
	ck_assert_double_eq(message_bound(&metric.metric, 0), 0.005);
	ck_assert(!metric.has_buckets);
	must_read(with("\"type\":\"histogram\",\"buckets\":[]"));
	ck_assert_uint_eq(metric.metric.n_bounds, 0);
}
END_TEST

START_TEST(each_operation_has_its_value)
{
	must_read(with("\"type\":\"counter\",\"inc\":0"));
	ck_assert_int_eq(metric.operation, JSON_INC);
	must_read(with("\"type\":\"counter\",\"inc\":18446744073709551616"));
	ck_assert_double_eq(metric.value, 18446744073709551616.0);
	must_read(with("\"type\":\"gauge\",\"set\":-1e308"));
	ck_assert_int_eq(metric.operation, JSON_SET);
	ck_assert_double_eq(metric.value, -1e308);
	ck_assert_double_eq(metric.ttl_s, 0);
	must_read(with("\"type\":\"gauge\",\"set\":1,\"ttl_s\":0.5"));
	ck_assert_double_eq(metric.ttl_s, 0.5);
	must_read(with("\"type\":\"gauge\",\"add\":-2"));
	ck_assert_int_eq(metric.operation, JSON_ADD);
	must_read(with("\"type\":\"histogram\",\"observe\":[1,2.5]"));
	ck_assert_int_eq(metric.operation, JSON_OBSERVE);
	ck_assert_uint_eq(metric.n_observed, 2);
	ck_assert_double_eq(metric.observed[1], 2.5);
	must_read(with("\"type\":\"histogram\",\"observe\":3"));
	ck_assert_uint_eq(metric.n_observed, 1);
	must_read(with("\"type\":\"histogram\",\"observe\":[]"));
	ck_assert_uint_eq(metric.n_observed, 0);
}
END_TEST

START_TEST(what_is_removed_needs_no_type)
{
	must_read(with("\"remove\":true"));
	ck_assert_int_eq(metric.operation, JSON_REMOVE);
	ck_assert(!metric.has_type);
	must_read(with("\"remove\":true,\"type\":\"gauge\",\"merge\":\"max\""));
	ck_assert(metric.has_type && metric.has_merge);
	must_read(with("\"remove\":true,\"help\":\"H\",\"labels\":{\"a\":\"1\"}"));
	ck_assert_uint_eq(metric.metric.n_constant, 1);
}
END_TEST

START_TEST(texts_may_be_as_long_as_they_like_here)
{
	static char text[70000];
	int n = snprintf(
	    text, sizeof(text), "{\"metrics\":[{\"type\":\"counter\",\"name\":\"");

	memset(text + n, 'x', 60000);
	strcpy(text + n + 60000, "\"}]}");
	must_read(text);
	ck_assert_uint_eq(metric.metric.name.bytes, 60000);
}
END_TEST

/* ---- What is refused -------------------------------------------------- */

struct refused {
	const char *text;
	enum reason reason;
	const char *words;
};

static const struct refused messages[] = {
	{ "{", REASON_JSON, "line 1" },
	{ "{}}", REASON_JSON, "end of file expected" },
	{ "{\"metrics\":[", REASON_JSON, "it is no JSON: line 1, column 12" },
	{ "{\"metrics\":[NaN]}", REASON_JSON, "NaN" },
	{ "{\"metrics\":[Infinity]}", REASON_JSON, "Infinity" },
	{ "{'metrics':[]}", REASON_JSON, "string or '}' expected" },
	{ "{\"metrics\":[],}", REASON_JSON, "expected" },
	{ "{\"metrics\":[01]}", REASON_JSON, "invalid token" },
	{ "{\"metrics\":[\"a\nb\"]}", REASON_JSON, "unexpected newline near '\"a'" },
	{ "{\"metrics\":[\"a\001b\"]}", REASON_JSON, "control character 0x1" },
	{ "{\"metrics\":[1e999]}", REASON_VALUE, "real number overflow" },
	{ "{\"metrics\":[-1e999]}", REASON_VALUE, "real number overflow" },
	{ "{\"metrics\":[\"\xff\"]}", REASON_UTF8, "unable to decode byte 0xff" },
	{ "{\"metrics\":[\"\xc0\x80\"]}", REASON_UTF8, "unable to decode byte 0xc0" },
	{ "{\"metrics\":[\"\\ud800\"]}", REASON_JSON, "\\uD800" },
	{ "{\"metrics\":[\"\\u0000\"]}", REASON_UTF8, "\\u0000 is not allowed" },
	{ "{\"a\\u0000b\":1}", REASON_UTF8, "NUL byte in object key" },
	{ "{\"metrics\":[],\"metrics\":[]}", REASON_DUPLICATE, "duplicate object key" },
	{ "[]", REASON_JSON, "a message has to be an object" },
	{ "{}", REASON_FIELD, "'metrics' has to be an array: it is missing" },
	{ "{\"metrics\":{}}", REASON_FIELD,
	    "'metrics' has to be an array, not an object" },
	{ "{\"metrics\":null}", REASON_FIELD, "not null" },
	{ "{\"metric\":[]}", REASON_FIELD,
	    "the field 'metric' is not known; the nearest one is 'metrics'" },
	{ "{\"wholly_else\":[]}", REASON_FIELD, "the field 'wholly_else' is not known" },
	{ "{\"namespace\":1,\"metrics\":[]}", REASON_FIELD,
	    "'namespace' has to be a string, not a number" },
	{ "{\"component\":\"c\",\"metrics\":[]}", REASON_LEVEL,
	    "'component' needs a 'namespace' above it" },
	{ "{\"namespace\":\"n\",\"endpoint\":\"c\",\"metrics\":[]}", REASON_LEVEL,
	    "'endpoint' needs a 'component' above it" },
	{ "{\"namespace\":\"\",\"metrics\":[]}", REASON_LEVEL, "" },
	{ "{\"id\":1,\"metrics\":[]}", REASON_FIELD,
	    "'id' has to be a string of 1 to 128 bytes, not a number" },
	{ "{\"id\":\"\",\"metrics\":[]}", REASON_FIELD, "not an empty one" },
	{ "{\"id\":null,\"metrics\":[]}", REASON_FIELD, "not null" },
	{ "{\"id\":"
	  "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"metrics\":[]}",
	    REASON_LENGTH, "'id' has 129 bytes; the limit is 128" },
	{ "{\"time\":\"now\",\"metrics\":[]}", REASON_FIELD,
	    "'time' has to be a number of seconds since 1970, not a string" },
	{ "{\"metrics\":[1]}", REASON_FIELD,
	    "a metric has to be an object, not a number" },
	{ "{\"metrics\":[[]]}", REASON_FIELD, "not an array" },
	{ "{\"metrics\":[{\"type\":\"counter\"}]}", REASON_FIELD,
	    "a metric's 'name' has to be a string: it is missing" },
	{ "{\"metrics\":[{\"name\":null,\"type\":\"counter\"}]}", REASON_FIELD,
	    "a metric's 'name' has to be a string, not null" },
};

START_TEST(a_bad_message_is_refused)
{
	const struct refused *row = &messages[_i];
	enum reason reason = read_message(row->text, strlen(row->text));

	ck_assert_msg(reason == row->reason && refusal.reason == reason, "%s: %s: %s",
	    row->text, message_reason_word(reason), refusal.text);
	ck_assert_msg(
	    strstr(refusal.text, row->words), "%s: %s", row->text, refusal.text);
}
END_TEST

/* Fields of a metric "m". */
static const struct refused metrics[] = {
	{ "\"help\":\"\"", REASON_FIELD,
	    "'m' has no 'type': \"counter\", \"gauge\" or \"histogram\"" },
	{ "\"type\":\"summary\"", REASON_FIELD,
	    "'type' of 'm' has to be \"counter\", \"gauge\" or \"histogram\", not "
	    "\"summary\"" },
	{ "\"type\":1", REASON_FIELD, "not a number" },
	{ "\"type\":\"Counter\"", REASON_FIELD, "not \"Counter\"" },
	{ "\"type\":\"counter\",\"incr\":1", REASON_FIELD,
	    "the field 'incr' of 'm' is not known; the nearest one is 'inc'" },
	{ "\"type\":\"counter\",\"value\":1", REASON_FIELD,
	    "the field 'value' of 'm' is not known" },
	{ "\"type\":\"counter\",\"type\":\"counter\"", REASON_DUPLICATE, "type" },
	{ "\"type\":\"counter\",\"help\":1", REASON_FIELD,
	    "'help' of 'm' has to be a string, not a number" },
	{ "\"type\":\"counter\",\"help\":null", REASON_FIELD, "not null" },
	{ "\"type\":\"gauge\",\"merge\":\"each\"", REASON_FIELD,
	    "'merge' of 'm' has to be \"sum\", \"min\", \"max\" or \"last\", not "
	    "\"each\"" },
	{ "\"type\":\"gauge\",\"merge\":true", REASON_FIELD, "not true" },
	{ "\"type\":\"gauge\",\"labels\":[]", REASON_FIELD,
	    "'labels' of 'm' has to be an object of strings, not an array" },
	{ "\"type\":\"gauge\",\"labels\":{\"a\":1}", REASON_FIELD,
	    "the label 'a' of 'm' has to be a string, not a number" },
	{ "\"type\":\"gauge\",\"labels\":{\"a\":{\"b\":\"c\"}}", REASON_FIELD,
	    "not an object" },
	{ "\"type\":\"gauge\",\"labels\":{\"a\":\"1\",\"a\":\"2\"}", REASON_DUPLICATE,
	    "duplicate object key" },
	{ "\"type\":\"histogram\",\"buckets\":1", REASON_FIELD,
	    "'buckets' of 'm' has to be an array of numbers, not a number" },
	{ "\"type\":\"histogram\",\"buckets\":[1,\"2\"]", REASON_FIELD,
	    "an array of numbers alone, not a string" },
	{ "\"type\":\"counter\",\"inc\":\"1\"", REASON_FIELD,
	    "'inc' of 'm' has to be a number, not a string" },
	{ "\"type\":\"counter\",\"inc\":null", REASON_FIELD, "not null" },
	{ "\"type\":\"counter\",\"inc\":-1", REASON_VALUE,
	    "the counter 'm' cannot go down: 'inc' is -1" },
	{ "\"type\":\"counter\",\"inc\":-1e-9", REASON_VALUE, "cannot go down" },
	{ "\"type\":\"counter\",\"inc\":1e309", REASON_VALUE, "overflow" },
	{ "\"type\":\"counter\",\"set\":1", REASON_FIELD,
	    "'set' is for a gauge, not for a counter like 'm'" },
	{ "\"type\":\"counter\",\"add\":1", REASON_FIELD, "'add' is for a gauge" },
	{ "\"type\":\"counter\",\"observe\":1", REASON_FIELD,
	    "'observe' is for a histogram" },
	{ "\"type\":\"gauge\",\"inc\":1", REASON_FIELD, "'inc' is for a counter" },
	{ "\"type\":\"gauge\",\"observe\":1", REASON_FIELD, "'observe' is for" },
	{ "\"type\":\"histogram\",\"inc\":1", REASON_FIELD, "'inc' is for a counter" },
	{ "\"type\":\"histogram\",\"set\":1", REASON_FIELD, "'set' is for a gauge" },
	{ "\"type\":\"gauge\",\"set\":\"NaN\"", REASON_FIELD, "not a string" },
	{ "\"type\":\"gauge\",\"set\":[1]", REASON_FIELD, "not an array" },
	{ "\"type\":\"gauge\",\"add\":false", REASON_FIELD,
	    "'add' of 'm' has to be a number, not false" },
	{ "\"type\":\"gauge\",\"set\":1,\"add\":1", REASON_FIELD,
	    "'m' has both 'set' and 'add': a metric has at most one of" },
	{ "\"type\":\"gauge\",\"set\":1,\"remove\":true", REASON_FIELD,
	    "'m' has both 'set' and 'remove'" },
	{ "\"type\":\"histogram\",\"observe\":\"1\"", REASON_FIELD,
	    "'observe' of 'm' has to be a number or an array of numbers, not a string" },
	{ "\"type\":\"histogram\",\"observe\":[1,[2]]", REASON_FIELD, "not an array" },
	{ "\"type\":\"histogram\",\"observe\":[1e308,1e308]", REASON_VALUE,
	    "the values that 'm' observes add up to more than a double holds" },
	{ "\"remove\":false", REASON_FIELD, "'remove' of 'm' has to be true, not false" },
	{ "\"remove\":1", REASON_FIELD, "has to be true, not a number" },
	{ "\"remove\":true,\"merge\":\"sum\"", REASON_FIELD,
	    "'merge' of 'm' needs a 'type'" },
	{ "\"remove\":true,\"buckets\":[1]", REASON_FIELD,
	    "'buckets' of 'm' needs a 'type'" },
	{ "\"remove\":true,\"ttl_s\":1", REASON_FIELD,
	    "'ttl_s' of 'm' can only stand beside 'set'" },
	{ "\"type\":\"gauge\",\"ttl_s\":1", REASON_FIELD, "beside 'set'" },
	{ "\"type\":\"gauge\",\"add\":1,\"ttl_s\":1", REASON_FIELD, "beside 'set'" },
	{ "\"type\":\"gauge\",\"set\":1,\"ttl_s\":\"1\"", REASON_FIELD,
	    "'ttl_s' of 'm' has to be a number of seconds, not a string" },
	{ "\"type\":\"gauge\",\"set\":1,\"ttl_s\":0", REASON_VALUE,
	    "'ttl_s' of 'm' has to be above 0 and at most 100000000 seconds, not 0" },
	{ "\"type\":\"gauge\",\"set\":1,\"ttl_s\":-1", REASON_VALUE, "not -1" },
	{ "\"type\":\"gauge\",\"set\":1,\"ttl_s\":1e9", REASON_VALUE, "not 1e+09" },
};

START_TEST(a_bad_metric_is_refused_by_its_name)
{
	const struct refused *row = &metrics[_i];
	const char *text = with(row->text);
	enum reason reason = read_message(text, strlen(text));

	ck_assert_msg(reason == row->reason && refusal.reason == reason, "%s: %s: %s",
	    text, message_reason_word(reason), refusal.text);
	ck_assert_msg(strstr(refusal.text, row->words), "%s: %s", text, refusal.text);
	if (batch)
		ck_assert(wire_text_is(metric.metric.name, "m"));
}
END_TEST

START_TEST(more_labels_than_a_message_can_have_are_refused)
{
	char fields[2048] = "\"type\":\"gauge\",\"labels\":{";
	size_t n = strlen(fields);
	const char *text;

	for (int i = 0; i < 65; i++)
		n += (size_t)snprintf(
		    fields + n, sizeof(fields) - n, "%s\"l%d\":\"1\"", i ? "," : "", i);
	strcpy(fields + n, "}");
	text = with(fields);
	ck_assert_int_eq(read_message(text, strlen(text)), REASON_LIMIT);
	ck_assert_str_eq(refusal.text, "'m' has more than 64 labels");
}
END_TEST

START_TEST(nesting_does_not_go_deeper_than_the_stack)
{
	static char text[65536];

	memset(text, '[', sizeof(text));
	memcpy(text, "{\"metrics\":", 11);
	ck_assert_int_eq(read_message(text, sizeof(text)), REASON_JSON);
	ck_assert_ptr_nonnull(strstr(refusal.text, "depth"));
}
END_TEST

/* What is between the brackets, again and again: each is refused for the memory that it
 * would take. */
static const char *const bombs[] = { "{},", "[],", "[[]],", "{\"\":{}}," };

/* 64 KiB of a metric's or a message's parts, between head and tail. */
static enum reason
read_many(const char *head, const char *unit, const char *tail)
{
	static char text[65536];
	size_t n = (size_t)snprintf(text, sizeof(text), "%s", head);

	while (n + strlen(unit) + strlen(tail) < sizeof(text))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", unit);
	n--; /* the last comma */
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", tail);
	return read_message(text, n);
}

START_TEST(a_message_that_explodes_in_memory_is_refused)
{
	ck_assert_int_eq(read_many("{\"metrics\":[", bombs[_i], "]}"), REASON_LIMIT);
	ck_assert_ptr_nonnull(strstr(refusal.text, "more than 32 times its 655"));
}
END_TEST

START_TEST(real_messages_do_not_explode)
{
	ck_assert_int_eq(
	    read_many("{\"metrics\":[", "{\"name\":\"c\",\"type\":\"counter\"},", "]}"),
	    REASON_NONE);
	ck_assert_int_eq(
	    read_many("{\"metrics\":[",
		"{\"name\":\"c\",\"type\":\"gauge\",\"labels\":{\"a\":\"\"}},", "]}"),
	    REASON_NONE);
	ck_assert_int_eq(
	    read_many(
		"{\"metrics\":[{\"name\":\"h\",\"type\":\"histogram\",\"observe\":[",
		"1,", "]}]}"),
	    REASON_NONE);
}
END_TEST

START_TEST(no_part_of_a_message_is_a_message)
{
	static const char whole[] =
	    "{\"namespace\":\"n\",\"id\":\"i\",\"metrics\":[{\"name\":\"m\",\"type\":"
	    "\"histogram\",\"labels\":{\"a\":\"\\u00e9\"},\"observe\":[1,2e3]}]}";

	must_read(whole);
	for (size_t n = 0; n < sizeof(whole) - 1; n++)
		ck_assert_int_ne(read_message(whole, n), REASON_NONE);
}
END_TEST

START_TEST(sentences_show_no_byte_that_is_not_printable)
{
	static const char *const texts[] = {
		"{\"metrics\":[{\"name\":\"a\\nb\\u001bc\",\"type\":1}]}",
		"{\"\xc3\xa9\\n\":1}",
		"{\"metrics\":[\"\xc3\xa9\001\"]}",
		"{\"metrics\":[{\"name\":\"m\",\"type\":\"\\u001b[1m\"}]}",
		"{\"metrics\":[{\"name\":\"m\",\"t\xc3\xa9\":1}]}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		ck_assert_int_ne(read_message(texts[i], strlen(texts[i])), REASON_NONE);
		for (const char *p = refusal.text; *p; p++)
			ck_assert_msg(*p >= ' ' && *p < 127, "%s", refusal.text);
	}
}
END_TEST

/* ---- Without memory --------------------------------------------------- */

START_TEST(every_allocation_refused_is_memory_and_nothing_else)
{
	const char *text =
	    "{\"namespace\":\"n\",\"id\":\"i\",\"time\":1,\"metrics\":[{\"name\":\"m\","
	    "\"type\":\"histogram\",\"help\":\"\\u00e9\",\"labels\":{\"a\":\"1\"},"
	    "\"buckets\":[1,2],\"observe\":[1,2.5]}]}";

	json_set_alloc_funcs(failing_malloc, failing_free);
	for (size_t n = 0; failing_more(n); n++) {
		enum reason reason;
		bool refused;

		failing_after(n);
		reason = read_message(text, strlen(text));
		refused = failing_end();
		ck_assert_msg(reason == (refused ? REASON_MEMORY : REASON_NONE),
		    "allocation %zu: %s", n, refusal.text);
		must_read(text);
	}
	json_batch_free(batch);
	batch = NULL;
	json_set_alloc_funcs(malloc, free);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("json");
	TCase *c = tcase_create("json");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_message_has_a_level_an_id_and_a_time);
	tcase_add_test(c, a_metric_has_its_shape_and_labels);
	tcase_add_test(c, buckets_are_those_given_or_the_usual_ladder);
	tcase_add_test(c, each_operation_has_its_value);
	tcase_add_test(c, what_is_removed_needs_no_type);
	tcase_add_test(c, texts_may_be_as_long_as_they_like_here);
	tcase_add_loop_test(c, a_bad_message_is_refused, 0,
	    (int)(sizeof(messages) / sizeof(messages[0])));
	tcase_add_loop_test(c, a_bad_metric_is_refused_by_its_name, 0,
	    (int)(sizeof(metrics) / sizeof(metrics[0])));
	tcase_add_test(c, more_labels_than_a_message_can_have_are_refused);
	tcase_add_test(c, nesting_does_not_go_deeper_than_the_stack);
	tcase_add_loop_test(c, a_message_that_explodes_in_memory_is_refused, 0,
	    (int)(sizeof(bombs) / sizeof(bombs[0])));
	tcase_add_test(c, real_messages_do_not_explode);
	tcase_add_test(c, no_part_of_a_message_is_a_message);
	tcase_add_test(c, sentences_show_no_byte_that_is_not_printable);
	tcase_add_test(c, every_allocation_refused_is_memory_and_nothing_else);
	return suite_run(s);
}
