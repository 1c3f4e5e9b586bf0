/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "strbuf.h"
#include "suite.h"

struct value_case {
	double value;
	const char *text;
};

/* Texts as Go's strconv.FormatFloat(v, 'g', -1, 64) has them, integers below 1e21 in
 * full. */
static const struct value_case values[] = {
	{ 0, "0" },
	{ -0.0, "-0" },
	{ 1, "1" },
	{ 42, "42" },
	{ -17, "-17" },
	{ 0.1, "0.1" },
	{ 0.25, "0.25" },
	{ -0.5, "-0.5" },
	{ 0.30000000000000004, "0.30000000000000004" },
	{ 1.0 / 3, "0.3333333333333333" },
	{ 0.0001, "0.0001" },
	{ 0.000123, "0.000123" },
	{ 0.00001, "1e-05" },
	{ 1.5e-7, "1.5e-07" },
	{ 123456.789, "123456.789" },
	{ 123456789.123456, "123456789.123456" },
	{ 1099511627776.125, "1099511627776.125" },
	{ 9007199254740991, "9007199254740991" },
	{ 9007199254740993.0, "9007199254740992" },
	{ 1e15, "1000000000000000" },
	{ 1e20, "100000000000000000000" },
	{ 123456789012345680000.0, "123456789012345680000" },
	{ 1e21, "1e+21" },
	{ 1.7976931348623157e308, "1.7976931348623157e+308" },
	{ 2.2250738585072014e-308, "2.2250738585072014e-308" },
	{ 5e-324, "5e-324" },
	{ 1e-323, "1e-323" },
	{ 5.684341886080802e-14, "5.684341886080802e-14" },
	{ 9.5e-307, "9.5e-307" },
	{ INFINITY, "+Inf" },
	{ -INFINITY, "-Inf" },
	{ NAN, "NaN" },
};

START_TEST(values_are_printed_as_prometheus_prints_them)
{
	char text[STRBUF_VALUE_BYTES];
	size_t n = strbuf_format_value(text, values[_i].value);

	ck_assert_str_eq(text, values[_i].text);
	ck_assert_uint_eq(n, strlen(text));
}
END_TEST

static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static size_t
count_digits(const char *text)
{
	size_t n = 0, zeros = 0;

	for (; *text && *text != 'e'; text++) {
		if (*text < '0' || *text > '9')
			continue;
		zeros = *text == '0' ? zeros + 1 : 0;
		if (n > 0 || *text != '0')
			n++;
	}
	return n - zeros;
}

/* No text of fewer digits reads back equal: the nearest one, and the ones beside it. */
static bool
is_shortest(double v, size_t digits)
{
	char text[64];
	double nearest;

	if (digits == 1)
		return true;
	snprintf(text, sizeof(text), "%.*e", (int)digits - 2, v);
	nearest = strtod(text, NULL);
	return nearest != v;
}

START_TEST(random_doubles_read_back_equal_and_are_as_short_as_can_be)
{
	uint64_t state = 88172645463325252U;
	char text[STRBUF_VALUE_BYTES];

	for (int i = 0; i < 200000; i++) {
		double v = wire_double(next_random(&state));

		if (!isfinite(v))
			continue;
		ck_assert_uint_lt(strbuf_format_value(text, v), STRBUF_VALUE_BYTES);
		ck_assert_msg(strtod(text, NULL) == v, "%a became %s", v, text);
		ck_assert_msg(
		    is_shortest(v, count_digits(text)), "%a became %s", v, text);
	}
}
END_TEST

START_TEST(decimals_with_few_places_come_back_as_they_were)
{
	uint64_t state = 1;
	char text[STRBUF_VALUE_BYTES], expected[64];

	for (int i = 0; i < 200000; i++) {
		unsigned whole = (unsigned)(next_random(&state) % 1000000);
		unsigned places = (unsigned)(next_random(&state) % 1000000);
		char *end;

		snprintf(expected, sizeof(expected), "%u.%06u", whole, places);
		strbuf_format_value(text, strtod(expected, &end));
		for (end = expected + strlen(expected); end[-1] == '0';)
			*--end = '\0';
		if (end[-1] == '.')
			end[-1] = '\0';
		if (whole > 0 || places > 100)
			ck_assert_str_eq(text, expected);
	}
}
END_TEST

START_TEST(powers_of_two_are_as_short_as_can_be)
{
	char text[STRBUF_VALUE_BYTES];

	for (int e = -1074; e < 1024; e++) {
		double v = ldexp(1, e);

		strbuf_format_value(text, v);
		ck_assert_msg(strtod(text, NULL) == v, "2^%d became %s", e, text);
		ck_assert_msg(
		    is_shortest(v, count_digits(text)), "2^%d became %s", e, text);
	}
}
END_TEST

START_TEST(text_grows_and_stays_whole)
{
	struct strbuf s = STRBUF_EMPTY;

	for (int i = 0; i < 10000; i++)
		strbuf_addf(&s, "%d,", i);
	strbuf_adds(&s, "end");
	ck_assert(!s.failed);
	ck_assert_uint_eq(strlen(s.at), s.bytes);
	ck_assert_ptr_nonnull(strstr(s.at, "9998,9999,end"));
	strbuf_reset(&s);
	strbuf_addc(&s, 'x');
	ck_assert_str_eq(s.at, "x");
	strbuf_free(&s);
	ck_assert_ptr_null(s.at);
}
END_TEST

START_TEST(an_impossible_length_fails_and_stays_failed)
{
	struct strbuf s = STRBUF_EMPTY;

	strbuf_adds(&s, "kept");
	ck_assert(!strbuf_reserve(&s, SIZE_MAX / 2));
	strbuf_adds(&s, "lost");
	ck_assert(s.failed);
	ck_assert_str_eq(s.at, "kept");
	strbuf_free(&s);
}
END_TEST

START_TEST(json_strings_are_escaped)
{
	struct strbuf s = STRBUF_EMPTY;

	strbuf_add_json(&s, wire_text("a\"b\\c\n\x01\xc3\xa9"));
	ck_assert_str_eq(s.at, "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\"");
	strbuf_free(&s);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("strbuf");
	TCase *c = tcase_create("strbuf");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, values_are_printed_as_prometheus_prints_them, 0,
	    (int)(sizeof(values) / sizeof(values[0])));
	tcase_add_test(c, random_doubles_read_back_equal_and_are_as_short_as_can_be);
	tcase_add_test(c, decimals_with_few_places_come_back_as_they_were);
	tcase_add_test(c, powers_of_two_are_as_short_as_can_be);
	tcase_add_test(c, text_grows_and_stays_whole);
	tcase_add_test(c, an_impossible_length_fails_and_stays_failed);
	tcase_add_test(c, json_strings_are_escaped);
	return suite_run(s);
}
