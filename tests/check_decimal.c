/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_decimal [SEED NUMBER] - with arguments: so many random doubles, no suite.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "decimal.h"
#include "suite.h"
#include "wire.h"

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
	{ 1e15, "1000000000000000" },
	{ 1e20, "100000000000000000000" },
	{ 123456789012345680000.0, "123456789012345680000" },
	{ 1e21, "1e+21" },
	{ 1.7976931348623157e308, "1.7976931348623157e+308" },
	{ 2.2250738585072014e-308, "2.2250738585072014e-308" },
	{ 5e-324, "5e-324" },
	{ 1e-323, "1e-323" },
	{ 9.5e-307, "9.5e-307" },
	{ 9007199254740993.0, "9007199254740992" },
	{ 9007199254740994.0, "9007199254740994" },
	{ 18014398509481985.0, "18014398509481984" },
	{ 1e22, "1e+22" },
	{ 1e23, "1e+23" },
	{ 999999999999999900000.0, "999999999999999900000" },
	{ -1234567890123456.7, "-1234567890123456.8" },
	{ -0.00012345678901234567, "-0.00012345678901234567" },
	{ 1125899906842624.25, "1125899906842624.2" }, /* half way: the even digit */
	{ 1125899906842624.75, "1125899906842624.8" },
	{ 0x1p-1022, "2.2250738585072014e-308" },
	{ 0x0.fffffffffffffp-1022, "2.225073858507201e-308" },
	{ 0x1p-44, "5.684341886080802e-14" }, /* the nearest of so few is too low */
	{ 999999999999.999, "999999999999.999" },
	{ 1000000000000.001, "1000000000000.001" },
	{ 0.001, "0.001" },
	{ 4.35, "4.35" },
	{ 9.999999999999999e22, "1e+23" },
	{ -1.2345678901234567e-300, "-1.2345678901234568e-300" },
	{ INFINITY, "+Inf" },
	{ -NAN, "NaN" },
	{ -INFINITY, "-Inf" },
	{ NAN, "NaN" },
};

START_TEST(values_are_printed_as_prometheus_prints_them)
{
	char text[DECIMAL_BYTES];
	size_t n = decimal_format(text, values[_i].value);

	ck_assert_str_eq(text, values[_i].text);
	ck_assert_uint_eq(n, strlen(text));
}
END_TEST

/* ---- The judge --------------------------------------------------------- */

/* 0.DIGITS x 10^point, without zeros at either end; "" is 0. */
struct decimal {
	char digits[40];
	size_t n;
	int point;
};

/* Read what printf("%e"), or decimal_format(), made of a positive number. */
static struct decimal
read_decimal(const char *text)
{
	struct decimal d = { .point = 0 };
	bool is_behind_point = false;

	for (; *text && *text != 'e'; text++) {
		if (*text == '.') {
			is_behind_point = true;
			continue;
		}
		if (d.n > 0 || *text != '0')
			d.digits[d.n++] = *text;
		if (!is_behind_point && d.n > 0)
			d.point++;
		if (is_behind_point && d.n == 0)
			d.point--;
	}
	if (*text)
		d.point += (int)strtol(text + 1, NULL, 10);
	while (d.n > 0 && d.digits[d.n - 1] == '0')
		d.n--;
	d.digits[d.n] = '\0';
	return d;
}

static bool
is_same(const struct decimal *a, const struct decimal *b)
{
	return a->point == b->point && strcmp(a->digits, b->digits) == 0;
}

/* The decimal of so many digits to take for v: the nearest, or, where doubles below lie
 * nearer than those above, the next one, should the nearest not read back. False if
 * neither does. */
static bool
of_so_many(double v, size_t n, struct decimal *ret)
{
	char text[48];

	snprintf(text, sizeof(text), "%.*e", (int)n - 1, v);
	*ret = read_decimal(text);
	if (strtod(text, NULL) == v)
		return true;
	if (wire_bits(v) << 12 != 0)
		return false;
	for (size_t at = strcspn(text, "e"); at-- > 0;) {
		if (text[at] == '.')
			continue;
		if (text[at] != '9') {
			text[at]++;
			break;
		}
		text[at] = '0';
	}
	*ret = read_decimal(text);
	return strtod(text, NULL) == v;
}

/* What Go's 'g' with shortest digits looks like, an exponent from 1e21 instead of 1e17.
 */
static bool
is_well_formed(const char *text, const struct decimal *d)
{
	char expected[80];

	if (d->point < -3 || d->point > 21)
		snprintf(expected, sizeof(expected), "%.1s%s%se%c%02d", d->digits,
		    d->n > 1 ? "." : "", d->digits + 1, d->point > 0 ? '+' : '-',
		    abs(d->point - 1));
	else if (d->point <= 0)
		snprintf(
		    expected, sizeof(expected), "0.%.*s%s", -d->point, "000", d->digits);
	else if ((size_t)d->point < d->n)
		snprintf(expected, sizeof(expected), "%.*s.%s", d->point, d->digits,
		    d->digits + d->point);
	else
		snprintf(expected, sizeof(expected), "%s%.*s", d->digits,
		    d->point - (int)d->n, "000000000000000000000");
	return strcmp(text, expected) == 0;
}

/* NULL, or what is wrong with the text of v, which is positive and finite. */
static const char *
judge(double v, char text[DECIMAL_BYTES + 4])
{
	struct decimal d, other;

	memset(text, '#', DECIMAL_BYTES + 4);
	if (decimal_format(text, v) != strlen(text))
		return "has another length";
	if (memcmp(text + DECIMAL_BYTES, "####", 4) != 0)
		return "is too long";
	if (strtod(text, NULL) != v)
		return "reads back as another double";
	d = read_decimal(text);
	if (!is_well_formed(text, &d))
		return "looks wrong";
	if (d.n > 1 && of_so_many(v, d.n - 1, &other))
		return "could be shorter";
	if (!of_so_many(v, d.n, &other) || !is_same(&d, &other))
		return "could be nearer";
	return NULL;
}

/* v and doubles beside it, which lie at the other side of a power of two or ten. */
static void
must_be_well(double v)
{
	char text[DECIMAL_BYTES + 4];

	for (int64_t beside = -3; beside <= 3; beside++) {
		double w = wire_double(wire_bits(v) + (uint64_t)beside);
		const char *wrong = w > 0 && isfinite(w) ? judge(w, text) : NULL;

		ck_assert_msg(wrong == NULL, "%a became %s: it %s", w, text, wrong);
	}
}

/* ---- Numbers that are hard --------------------------------------------- */

START_TEST(powers_of_two_and_their_neighbours_are_as_short_as_can_be)
{
	for (int e = -1074; e < 1024; e++)
		must_be_well(ldexp(1, e));
}
END_TEST

START_TEST(powers_of_ten_and_their_neighbours_are_as_short_as_can_be)
{
	char text[32];

	for (int e = -323; e <= 308; e++) {
		for (int digit = 1; digit < 10; digit++) {
			snprintf(text, sizeof(text), "%de%d", digit, e);
			must_be_well(strtod(text, NULL));
		}
	}
}
END_TEST

START_TEST(the_smallest_doubles_are_as_short_as_can_be)
{
	for (uint64_t bits = 4; bits < 5000; bits += 7)
		must_be_well(wire_double(bits));
	must_be_well(wire_double(UINT64_C(1) << 52));
	for (int bit = 2; bit < 52; bit++)
		must_be_well(wire_double((UINT64_C(1) << bit) * 3 / 2));
}
END_TEST

START_TEST(whole_numbers_are_as_short_as_can_be)
{
	for (uint64_t ten = 1; ten < UINT64_C(1000000000000000000); ten *= 10)
		for (uint64_t v = 1; v < 100; v++)
			must_be_well((double)(ten * v));
	must_be_well(9007199254740992.0);
	must_be_well(9999999999999999.0);
	must_be_well(1e21);
	must_be_well(1.7976931348623157e308);
}
END_TEST

/* Decimals between two others of one digit less: the even one is the nearest, as in
 * printf. */
START_TEST(half_way_between_two_decimals_the_even_one_is_taken)
{
	for (uint64_t fourth = 1; fourth < 4000; fourth += 2)
		must_be_well(1125899906842624.0 + (double)fourth / 4);
}
END_TEST

static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15U;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return z ^ z >> 31;
}

START_TEST(decimals_of_up_to_15_digits_come_back_as_they_were)
{
	static const unsigned places[] = { 1000, 1000000, 1000000000 };
	uint64_t state = 1, most = 1000000000000;
	char text[DECIMAL_BYTES], expected[64];

	for (int i = 0; i < 300000; i++) {
		uint64_t whole = next_random(&state) % (most / places[i % 3] * 1000);
		uint64_t fraction = next_random(&state) % places[i % 3];
		char *end = expected + snprintf(expected, sizeof(expected), "%llu.%0*llu",
					   (unsigned long long)(whole >> i % 40),
					   3 + i % 3 * 3, (unsigned long long)fraction);

		decimal_format(text, strtod(expected, NULL));
		while (end[-1] == '0')
			*--end = '\0';
		if (end[-1] == '.')
			end[-1] = '\0';
		if (strtod(expected, NULL) >= 1e-4 || strcmp(expected, "0") == 0)
			ck_assert_str_eq(text, expected);
	}
}
END_TEST

/* ---- Random numbers ---------------------------------------------------- */

/* Of all sorts in turns: any bits, floats, parts of a whole, few digits. */
static double
random_double(uint64_t *state, uint64_t i)
{
	uint64_t bits = next_random(state);
	uint32_t half = (uint32_t)bits;
	float narrow;
	double v;

	switch (i % 4) {
	case 0:
		v = wire_double(bits & INT64_MAX);
		break;
	case 1:
		memcpy(&narrow, &half, sizeof(narrow));
		v = fabs((double)narrow);
		break;
	case 2:
		v = (double)(bits >> 11) * ldexp(1, (int)(next_random(state) % 120) - 90);
		break;
	default:
		v = (double)(bits >> 16 >> bits % 40) / 1e9;
	}
	return isfinite(v) ? v : 1;
}

/* So many random doubles: false, and a line, at the first that is wrong. */
static bool
are_well(uint64_t seed, uint64_t number)
{
	char text[DECIMAL_BYTES + 4];

	for (uint64_t i = 0; i < number; i++) {
		double v = random_double(&seed, i);
		const char *wrong = v > 0 ? judge(v, text) : NULL;

		if (wrong) {
			printf("%a became %s: it %s\n", v, text, wrong);
			return false;
		}
	}
	printf(
	    "%" PRIu64 " doubles read back equal, as short and near as can be\n", number);
	return true;
}

START_TEST(random_doubles_read_back_equal_and_are_as_short_and_near_as_can_be)
{
	ck_assert(are_well(1, suite_is_under_valgrind() ? 20000 : 2000000));
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *s;
	TCase *c;

	if (argc == 3)
		return !are_well(
		    strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10));
	s = suite_create("decimal");
	c = tcase_create("decimal");
	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, values_are_printed_as_prometheus_prints_them, 0,
	    (int)(sizeof(values) / sizeof(values[0])));
	tcase_add_test(c, powers_of_two_and_their_neighbours_are_as_short_as_can_be);
	tcase_add_test(c, powers_of_ten_and_their_neighbours_are_as_short_as_can_be);
	tcase_add_test(c, the_smallest_doubles_are_as_short_as_can_be);
	tcase_add_test(c, whole_numbers_are_as_short_as_can_be);
	tcase_add_test(c, half_way_between_two_decimals_the_even_one_is_taken);
	tcase_add_test(c, decimals_of_up_to_15_digits_come_back_as_they_were);
	tcase_add_test(
	    c, random_doubles_read_back_equal_and_are_as_short_and_near_as_can_be);
	return suite_run(s);
}
