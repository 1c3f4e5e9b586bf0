/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for names, labels and bounds, as tables of what must pass and what must not.
 */
#include <math.h>
#include <stdio.h>

#include "names.h"
#include "suite.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct names_limits limits = {
	.name_bytes = 20, .help_bytes = 10, .labels = 3, .label_bytes = 12, .buckets = 4
};

/* ---- Characters -------------------------------------------------------- */

START_TEST(metric_names_have_letters_digits_underscores_and_colons)
{
	static const char *const good[] = { "a", "A", "_", ":", "a1", "my_counter", "a:b",
		":rule", "Z9_:" };
	static const char *const bad[] = { "", "1a", "a-b", "a b", "a.b", "a\n", "é",
		"a{", "\"", "a\x7f", "0" };

	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert_msg(names_is_metric(wire_text(good[i])), "%s", good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert_msg(!names_is_metric(wire_text(bad[i])), "%s", bad[i]);
	ck_assert(!names_is_metric((struct wire_text){ "a\0b", 3 }));
}
END_TEST

START_TEST(label_names_have_no_colons)
{
	static const char *const good[] = { "a", "_", "__x", "le", "gpu_id", "A9" };
	static const char *const bad[] = { "", "a:b", ":", "9", "a-b", "a.b", " a",
		"a=", "ü" };

	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert_msg(names_is_label(wire_text(good[i])), "%s", good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert_msg(!names_is_label(wire_text(bad[i])), "%s", bad[i]);
}
END_TEST

START_TEST(utf8_is_what_rfc_3629_says)
{
	static const char *const good[] = { "", "abc", "\n\t\x7f", "\xc2\x80", "\xdf\xbf",
		"\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
		"\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xa9z" };
	static const char *const bad[] = { "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2",
		"\xc2\x41", "\xe0\x9f\xbf", "\xe1\x80", "\xe1\x80\x41", "\xed\xa0\x80",
		"\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff", "ab\xc3" };

	for (size_t i = 0; i < COUNT(good); i++)
		ck_assert_msg(names_utf8(wire_text(good[i])), "row %zu", i);
	for (size_t i = 0; i < COUNT(bad); i++)
		ck_assert_msg(!names_utf8(wire_text(bad[i])), "row %zu", i);
	ck_assert(!names_utf8((struct wire_text){ "a\0b", 3 }));
	ck_assert(names_utf8((struct wire_text){ NULL, 0 }));
}
END_TEST

/* UTF-8 told in another way: put the code point together, and look at its range. */
static bool
is_one_sequence(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t c = p[0] & (0x7fU >> n);

	if ((unsigned)p[0] >> (7 - n) != (1U << (n + 1)) - 2)
		return false;
	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return false;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

/* The last byte of each sequence is a good one or a bad one: the others are all there. */
START_TEST(every_sequence_that_starts_with_a_lead_byte_is_judged_right)
{
	static const uint8_t last[] = { 0x7f, 0x80, 0xbf, 0xc0 };

	for (unsigned i = 0xc00000; i < 0x1000000; i++) {
		size_t n = i < 0xe00000 ? 2 : i < 0xf00000 ? 3 : 4;
		uint8_t p[] = { (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i,
			last[i % 4] };

		if (is_one_sequence(p, n) !=
		    names_utf8((struct wire_text){ (char *)p, n }))
			ck_abort_msg("%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
	}
}
END_TEST

START_TEST(a_name_in_a_sentence_is_short_and_printable)
{
	char buf[64], longer[100];

	ck_assert_str_eq(names_show(wire_text("my_counter"), buf), "my_counter");
	ck_assert_str_eq(names_show(wire_text("a\n\x1b[1m\xff\x7f~"), buf), "a??[1m??~");
	ck_assert_str_eq(names_show((struct wire_text){ "a\0b", 3 }, buf), "a?b");
	ck_assert_str_eq(names_show((struct wire_text){ NULL, 0 }, buf), "");
	memset(longer, 'x', sizeof(longer));
	names_show((struct wire_text){ longer, 60 }, buf);
	ck_assert_uint_eq(strlen(buf), 60);
	names_show((struct wire_text){ longer, 61 }, buf);
	ck_assert_uint_eq(strlen(buf), 63);
	ck_assert_str_eq(buf + 60, "...");
}
END_TEST

/* ---- Levels and workers -------------------------------------------------- */

START_TEST(a_level_has_names_that_are_not_empty)
{
	struct message_level level = { .depth = 0 };
	struct refusal r = { 0 };

	ck_assert_uint_eq(names_check_level(&level, &r), REASON_NONE);
	level =
	    (struct message_level){ 2, { wire_text("my model"), wire_text("Größe\n") } };
	ck_assert_uint_eq(names_check_level(&level, &r), REASON_NONE);
	level.name[1] = wire_text("");
	ck_assert_uint_eq(names_check_level(&level, &r), REASON_LEVEL);
	ck_assert_str_eq(r.text, "the component has an empty name");
}
END_TEST

START_TEST(a_level_name_has_at_most_128_bytes_of_utf8)
{
	char name[130];
	struct message_level level = { 1, { { name, 128 } } };
	struct refusal r = { 0 };

	memset(name, 'n', sizeof(name));
	ck_assert_uint_eq(names_check_level(&level, NULL), REASON_NONE);
	level.name[0].bytes = 129;
	ck_assert_uint_eq(names_check_level(&level, &r), REASON_LENGTH);
	ck_assert_ptr_nonnull(strstr(r.text, "129 bytes; the limit is 128"));
	level.name[0] = wire_text("\xff");
	ck_assert_uint_eq(names_check_level(&level, NULL), REASON_UTF8);
}
END_TEST

START_TEST(a_worker_name_may_be_empty_and_has_at_most_63_bytes)
{
	char name[64];

	memset(name, 'w', sizeof(name));
	ck_assert_uint_eq(names_check_worker(wire_text(""), NULL), REASON_NONE);
	ck_assert_uint_eq(
	    names_check_worker((struct wire_text){ name, 63 }, NULL), REASON_NONE);
	ck_assert_uint_eq(
	    names_check_worker((struct wire_text){ name, 64 }, NULL), REASON_LENGTH);
	ck_assert_uint_eq(
	    names_check_worker((struct wire_text){ "a\0b", 3 }, NULL), REASON_UTF8);
}
END_TEST

/* ---- Metrics ------------------------------------------------------------ */

#define LONG	 "abcdefghijklmnopqrstu" /* 21 bytes */
#define NAMED(n) .name = { n, sizeof(n) - 1 }
#define CONSTANT(name, value) \
	.n_constant = 1, .constant_name = { { name, sizeof(name) - 1 } }, \
	.constant_value = { { value, sizeof(value) - 1 } }
#define VARIABLE(name) .n_variable = 1, .variable_name = { { name, sizeof(name) - 1 } }

static const struct {
	enum reason reason;
	const char *what;
	struct message_metric metric;
} metrics[] = {
	{ REASON_NONE, "a counter", { .kind = MESSAGE_COUNTER, NAMED("my_counter") } },
	{ REASON_NONE, "a name at its limit",
	    { .kind = MESSAGE_COUNTER, NAMED("abcdefghijklmnopqrst") } },
	{ REASON_NONE, "a gauge of any merge",
	    { .kind = MESSAGE_GAUGE, .merge = MESSAGE_LAST, NAMED("g") } },
	{ REASON_NONE, "help with anything in it",
	    { .kind = MESSAGE_GAUGE, NAMED("g"), .help = { "\"\\\n é", 6 } } },
	{ REASON_NONE, "le on a counter",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), CONSTANT("le", "1") } },
	{ REASON_NONE, "worker_id on a gauge that is summed",
	    { .kind = MESSAGE_GAUGE, NAMED("g"), VARIABLE("worker_id") } },
	{ REASON_NONE, "a label value with anything in it",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), CONSTANT("a", "\"\\\n é") } },
	{ REASON_NONE, "an empty label value",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), CONSTANT("a", "") } },
	{ REASON_NONE, "a single underscore",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), VARIABLE("_x") } },
	{ REASON_NONE, "a histogram without bounds",
	    { .kind = MESSAGE_HISTOGRAM, NAMED("h") } },
	{ REASON_NAME, "no name", { .kind = MESSAGE_COUNTER } },
	{ REASON_NAME, "a dash", { .kind = MESSAGE_COUNTER, NAMED("my-counter") } },
	{ REASON_NAME, "a digit first", { .kind = MESSAGE_COUNTER, NAMED("9x") } },
	{ REASON_NAME, "a line feed", { .kind = MESSAGE_COUNTER, NAMED("x\ny 1") } },
	{ REASON_LENGTH, "a long name", { .kind = MESSAGE_COUNTER, NAMED(LONG) } },
	{ REASON_UTF8, "a name that is no text",
	    { .kind = MESSAGE_COUNTER, NAMED("a\xff") } },
	{ REASON_LENGTH, "long help",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), .help = { LONG, 11 } } },
	{ REASON_UTF8, "help with a NUL",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), .help = { "a\0b", 3 } } },
	{ REASON_MERGE, "a counter with a merge",
	    { .kind = MESSAGE_COUNTER, .merge = MESSAGE_MAX, NAMED("c") } },
	{ REASON_MERGE, "a histogram with a merge",
	    { .kind = MESSAGE_HISTOGRAM, .merge = MESSAGE_EACH, NAMED("h") } },
	{ REASON_LEVEL, "an empty namespace",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), .level = { .depth = 1 } } },
	{ REASON_LABEL, "a label with a colon",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), CONSTANT("a:b", "") } },
	{ REASON_LABEL, "a label without a name",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), VARIABLE("") } },
	{ REASON_LENGTH, "a long label name",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), VARIABLE(LONG) } },
	{ REASON_LENGTH, "a long label value",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), CONSTANT("a", LONG) } },
	{ REASON_UTF8, "a label value that is no text",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), CONSTANT("a", "\xc3") } },
	{ REASON_RESERVED, "__x",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), VARIABLE("__x") } },
	{ REASON_RESERVED, "__",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), CONSTANT("__", "") } },
	{ REASON_RESERVED, "le on a histogram",
	    { .kind = MESSAGE_HISTOGRAM, NAMED("h"), VARIABLE("le") } },
	{ REASON_RESERVED, "worker_id where each worker has its own",
	    { .kind = MESSAGE_GAUGE,
		.merge = MESSAGE_EACH,
		NAMED("g"),
		CONSTANT("worker_id", "") } },
	{ REASON_BOUNDS, "a counter with bounds",
	    { .kind = MESSAGE_COUNTER, NAMED("c"), .n_bounds = 1 } },
	{ REASON_BOUNDS, "a gauge with bounds",
	    { .kind = MESSAGE_GAUGE, NAMED("g"), .n_bounds = 1 } },
	{ REASON_LIMIT, "too many bounds",
	    { .kind = MESSAGE_HISTOGRAM, NAMED("h"), .n_bounds = 5 } },
};

START_TEST(a_metric_is_judged_by_the_rules)
{
	struct refusal r = { 0 };
	enum reason reason = names_check_metric(&metrics[_i].metric, &limits, &r);

	ck_assert_msg(reason == metrics[_i].reason, "%s: %s: %s", metrics[_i].what,
	    message_reason_word(reason), r.text);
	ck_assert_uint_eq(r.reason, reason);
	ck_assert_int_eq(r.text[0] != '\0', reason != REASON_NONE);
	ck_assert_uint_eq(names_check_metric(&metrics[_i].metric, &limits, NULL), reason);
}
END_TEST

static struct message_metric
labelled(size_t constant, size_t variable)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct message_metric m = { .kind = MESSAGE_COUNTER, .name = wire_text("c") };

	for (; m.n_constant < constant; m.n_constant++)
		m.constant_name[m.n_constant] = wire_text(names[m.n_constant]);
	for (; m.n_variable < variable; m.n_variable++)
		m.variable_name[m.n_variable] = wire_text(names[constant + m.n_variable]);
	return m;
}

START_TEST(constant_and_variable_labels_count_together)
{
	struct message_metric m = labelled(1, 2);

	ck_assert_uint_eq(names_check_metric(&m, &limits, NULL), REASON_NONE);
	m = labelled(2, 2);
	ck_assert_uint_eq(names_check_metric(&m, &limits, NULL), REASON_LIMIT);
	m = labelled(0, 4);
	ck_assert_uint_eq(names_check_metric(&m, &limits, NULL), REASON_LIMIT);
}
END_TEST

START_TEST(no_more_labels_than_the_format_has_whatever_is_configured)
{
	struct names_limits generous = NAMES_DEFAULT_LIMITS;
	struct message_metric m = { .kind = MESSAGE_COUNTER,
		.name = wire_text("c"),
		.n_constant = 33,
		.n_variable = 32 };

	generous.labels = 1000;
	ck_assert_uint_eq(names_check_metric(&m, &generous, NULL), REASON_LIMIT);
}
END_TEST

/* Dynamo's users know these two sentences. */
START_TEST(a_label_twice_is_refused_in_dynamos_words)
{
	struct message_metric m;
	struct refusal r;

	for (size_t constant = 0; constant <= 2; constant++) {
		m = labelled(constant, 2 - constant);
		*(constant == 2 ? &m.constant_name[1] : &m.variable_name[1 - constant]) =
		    wire_text("a");
		r = (struct refusal){ 0 };
		ck_assert_uint_eq(names_check_metric(&m, &limits, &r), REASON_DUPLICATE);
		ck_assert_str_eq(r.text, "Duplicate label key 'a' found in labels");
	}
}
END_TEST

START_TEST(a_reserved_label_is_refused_in_dynamos_words)
{
	static const char *const words[] = { "namespace", "component", "endpoint",
		"dynamo_namespace", "dynamo_component", "dynamo_endpoint" };
	struct names_limits most = NAMES_DEFAULT_LIMITS;
	char expected[128];

	for (size_t i = 0; i < 2 * COUNT(words); i++) {
		const char *word = words[i / 2];
		struct message_metric m = labelled(i % 2, 1 - i % 2);
		struct refusal r = { 0 };

		*(i % 2 ? &m.constant_name[0] : &m.variable_name[0]) = wire_text(word);
		ck_assert_uint_eq(names_check_metric(&m, &most, &r), REASON_RESERVED);
		snprintf(expected, sizeof(expected),
		    "Label '%s' is automatically added by auto_label feature and cannot "
		    "be "
		    "manually set",
		    word);
		ck_assert_str_eq(r.text, expected);
	}
}
END_TEST

START_TEST(a_label_that_starts_with_two_underscores_is_refused_as_prometheus_own)
{
	struct message_metric m = labelled(0, 1);
	struct refusal r = { 0 };

	m.variable_name[0] = wire_text("__x");
	ck_assert_uint_eq(names_check_metric(&m, &limits, &r), REASON_RESERVED);
	ck_assert_str_eq(r.text,
	    "the label name '__x' starts with __: such names are Prometheus' own");
}
END_TEST

START_TEST(the_labels_of_a_metric_are_the_constant_ones_and_then_the_others)
{
	struct message_metric m = labelled(2, 2);

	for (size_t i = 0; i < 4; i++)
		ck_assert(names_label(&m, i).at[0] == "abcd"[i]);
}
END_TEST

START_TEST(names_are_compared_byte_by_byte_and_a_shorter_one_is_before)
{
	static const char *const sorted[] = { "", "A", "Z", "_", "a", "a0", "a_", "aa",
		"b", "\xc3\xa9" };

	for (size_t i = 0; i < COUNT(sorted); i++)
		for (size_t k = 0; k < COUNT(sorted); k++) {
			int order =
			    names_compare(wire_text(sorted[i]), wire_text(sorted[k]));

			ck_assert_int_eq((order > 0) - (order < 0), (i > k) - (i < k));
		}
	ck_assert_int_eq(names_compare((struct wire_text){ NULL, 0 }, wire_text("")), 0);
}
END_TEST

/* ---- Bounds ------------------------------------------------------------- */

static enum reason
bounds(const double *bound, size_t n)
{
	uint8_t bytes[8 * 8];
	struct message_metric m = { .kind = MESSAGE_HISTOGRAM,
		.name = wire_text("h"),
		.n_bounds = n,
		.bounds = bytes };

	for (size_t i = 0; i < n; i++)
		wire_store_u64(bytes + 8 * i, wire_bits(bound[i]));
	return names_check_metric(&m, &limits, NULL);
}

START_TEST(bounds_are_finite_and_ascend)
{
	static const struct {
		enum reason reason;
		double bound[4];
	} rows[] = {
		{ REASON_NONE, { 0.1, 1, 10, 100 } },
		{ REASON_NONE, { -1, 0, 1e-300, 1e300 } },
		{ REASON_BOUNDS, { 1, 1, 2, 3 } },
		{ REASON_BOUNDS, { 1, 2, 3, 2.5 } },
		{ REASON_BOUNDS, { -0.0, 0.0, 1, 2 } },
		{ REASON_BOUNDS, { 1, 2, 3, INFINITY } },
		{ REASON_BOUNDS, { -INFINITY, 1, 2, 3 } },
		{ REASON_BOUNDS, { NAN, 1, 2, 3 } },
		{ REASON_BOUNDS, { 1, 2, 3, NAN } },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		ck_assert_msg(bounds(rows[i].bound, 4) == rows[i].reason, "row %zu", i);
	ck_assert_uint_eq(bounds(NULL, 0), REASON_NONE);
	ck_assert_uint_eq(bounds(&(double){ 0 }, 1), REASON_NONE);
}
END_TEST

START_TEST(label_values_are_checked_by_themselves_too)
{
	struct wire_text value[] = { wire_text("ok"), wire_text("abcdefghijklm") };
	struct refusal r = { 0 };

	ck_assert_uint_eq(names_check_values(0, NULL, &limits, &r), REASON_NONE);
	ck_assert_uint_eq(names_check_values(1, value, &limits, &r), REASON_NONE);
	ck_assert_uint_eq(names_check_values(2, value, &limits, &r), REASON_LENGTH);
	ck_assert_ptr_nonnull(strstr(r.text, "13 bytes; the limit is 12"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("names");
	TCase *t = tcase_create("names");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, metric_names_have_letters_digits_underscores_and_colons);
	tcase_add_test(t, label_names_have_no_colons);
	tcase_add_test(t, utf8_is_what_rfc_3629_says);
	tcase_add_test(t, every_sequence_that_starts_with_a_lead_byte_is_judged_right);
	tcase_add_test(t, a_name_in_a_sentence_is_short_and_printable);
	tcase_add_test(t, a_level_has_names_that_are_not_empty);
	tcase_add_test(t, a_level_name_has_at_most_128_bytes_of_utf8);
	tcase_add_test(t, a_worker_name_may_be_empty_and_has_at_most_63_bytes);
	tcase_add_loop_test(t, a_metric_is_judged_by_the_rules, 0, (int)COUNT(metrics));
	tcase_add_test(t, constant_and_variable_labels_count_together);
	tcase_add_test(t, no_more_labels_than_the_format_has_whatever_is_configured);
	tcase_add_test(t, a_label_twice_is_refused_in_dynamos_words);
	tcase_add_test(t, a_reserved_label_is_refused_in_dynamos_words);
	tcase_add_test(
	    t, a_label_that_starts_with_two_underscores_is_refused_as_prometheus_own);
	tcase_add_test(
	    t, the_labels_of_a_metric_are_the_constant_ones_and_then_the_others);
	tcase_add_test(t, names_are_compared_byte_by_byte_and_a_shorter_one_is_before);
	tcase_add_test(t, bounds_are_finite_and_ascend);
	tcase_add_test(t, label_values_are_checked_by_themselves_too);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	return suite_run(suite());
}
