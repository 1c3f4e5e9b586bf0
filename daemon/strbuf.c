/* SPDX-License-Identifier: Apache-2.0 */
#include "strbuf.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LONGEST (SIZE_MAX / 4) /* so that sizes never overflow */

void
strbuf_free(struct strbuf *s)
{
	free(s->at);
	*s = STRBUF_EMPTY;
}

void
strbuf_reset(struct strbuf *s)
{
	s->bytes = 0;
	s->failed = false;
}

bool
strbuf_reserve(struct strbuf *s, size_t n)
{
	size_t room = s->room ? s->room : n < 256 ? 256 : n + 1;
	char *at;

	if (s->failed || n > LONGEST) {
		s->failed = true;
		return false;
	}
	if (n < s->room && s->bytes < s->room - n)
		return true;
	while (room <= s->bytes + n)
		room *= 2;
	at = realloc(s->at, room);
	if (at == NULL) {
		s->failed = true;
		return false;
	}
	s->at = at;
	s->room = room;
	return true;
}

void
strbuf_add(struct strbuf *s, const void *bytes, size_t n)
{
	if (!strbuf_reserve(s, n))
		return;
	if (n)
		memcpy(s->at + s->bytes, bytes, n);
	s->bytes += n;
	s->at[s->bytes] = '\0';
}

void
strbuf_adds(struct strbuf *s, const char *text)
{
	strbuf_add(s, text, strlen(text));
}

void
strbuf_addc(struct strbuf *s, char c)
{
	strbuf_add(s, &c, 1);
}

void
strbuf_addf(struct strbuf *s, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	if (n < 0 || !strbuf_reserve(s, (size_t)n))
		return;
	va_start(arguments, format);
	vsnprintf(s->at + s->bytes, (size_t)n + 1, format, arguments);
	va_end(arguments);
	s->bytes += (size_t)n;
}

void
strbuf_add_json(struct strbuf *s, struct wire_text text)
{
	strbuf_addc(s, '"');
	for (size_t i = 0; i < text.bytes; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == '"' || c == '\\')
			strbuf_addc(s, '\\');
		if (c < 0x20)
			strbuf_addf(s, "\\u%04x", (unsigned)c);
		else
			strbuf_addc(s, (char)c);
	}
	strbuf_addc(s, '"');
}

/* ---- Values ------------------------------------------------------------ */

static size_t
format_integer(char *out, uint64_t v)
{
	char reversed[20];
	size_t n = 0;

	do {
		reversed[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	for (size_t i = 0; i < n; i++)
		out[i] = reversed[n - 1 - i];
	return n;
}

/*
 * The decimals of v, if it has at most 9 after the point and 15 in all: then r / 10^k
 * reads back as v exactly (a division of two exact doubles is correctly rounded), and no
 * shorter decimal does. 0 if it has more.
 */
static size_t
format_fixed(char *out, double v)
{
	static const double power[] = { 1e3, 1e6, 1e9 };
	static const int digits[] = { 3, 6, 9 };

	for (size_t i = 0; i < 3; i++) {
		double scaled = nearbyint(v * power[i]);
		uint64_t whole, fraction;
		size_t n;

		if (scaled >= 1e15)
			return 0;
		if (scaled / power[i] != v)
			continue;
		whole = (uint64_t)scaled / (uint64_t)power[i];
		fraction = (uint64_t)scaled % (uint64_t)power[i];
		n = format_integer(out, whole);
		out[n++] = '.';
		for (int k = digits[i]; k-- > 0; fraction /= 10)
			out[n + (size_t)k] = (char)('0' + fraction % 10);
		n += (size_t)digits[i];
		while (out[n - 1] == '0')
			n--;
		return n;
	}
	return 0;
}

/* True if 0.DIGITS x 10^point reads back as v. Without a decimal point strtod() does not
 * depend on the locale. */
static bool
reads_back(const char *digits, size_t n, int point, double v)
{
	char text[48];

	snprintf(text, sizeof(text), "%.*se%d", (int)n, digits, point - (int)n);
	return strtod(text, NULL) == v;
}

/* Add one to the last digit. False if all were nines. */
static bool
round_up(char *digits, size_t n)
{
	while (n > 0 && digits[n - 1] == '9')
		digits[--n] = '0';
	if (n == 0)
		return false;
	digits[n - 1]++;
	return true;
}

/* The digits of v rounded to that precision. */
static size_t
rounded_digits(char digits[24], double v, int precision, int *ret_point)
{
	char text[48], *e;
	size_t n = 0;

	snprintf(text, sizeof(text), "%.*e", precision - 1, v);
	e = strchr(text, 'e');
	for (const char *p = text; p < e; p++)
		if (*p >= '0' && *p <= '9') /* skips the point, whatever it is */
			digits[n++] = *p;
	*ret_point = (int)strtol(e + 1, NULL, 10) + 1;
	return n;
}

/*
 * The fewest digits that read back as v, which is positive; *ret_point is where the point
 * stands before them: v = 0.DIGITS x 10^point.
 *
 * The decimal nearest to v is the one to try, but for powers of two: below them doubles
 * lie twice as close as above, so the next decimal above may read back when the nearest
 * one, below, does not.
 */
static size_t
shortest_digits(char digits[24], double v, int *ret_point)
{
	size_t n;

	/* Below 2^-1022 a double has fewer than 53 bits: 15 digits may be too many. */
	for (int precision = v < 2.3e-308 ? 1 : 15;; precision++) {
		n = rounded_digits(digits, v, precision, ret_point);
		if (precision == 17 || reads_back(digits, n, *ret_point, v))
			break;
		if (round_up(digits, n) && reads_back(digits, n, *ret_point, v))
			break;
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	return n;
}

static size_t
put_zeros(char *out, size_t n)
{
	memset(out, '0', n);
	return n;
}

static size_t
format_shortest(char *out, double v)
{
	char digits[24];
	int point;
	size_t n = shortest_digits(digits, v, &point), at = 0;

	if (point - 1 < -4 || point - 1 >= 21) {
		out[at++] = digits[0];
		if (n > 1)
			out[at++] = '.';
		memcpy(out + at, digits + 1, n - 1);
		at += n - 1;
		return at + (size_t)sprintf(out + at, "e%c%02d", point > 0 ? '+' : '-',
				abs(point - 1));
	}
	if (point <= 0) {
		out[at++] = '0';
		out[at++] = '.';
		at += put_zeros(out + at, (size_t)-point);
		memcpy(out + at, digits, n);
		return at + n;
	}
	for (size_t i = 0; i < n || i < (size_t)point; i++) {
		if (i == (size_t)point)
			out[at++] = '.';
		out[at++] = i < n ? digits[i] : '0';
	}
	return at;
}

size_t
strbuf_format_value(char out[STRBUF_VALUE_BYTES], double v)
{
	size_t n = 0;

	if (isnan(v)) {
		strcpy(out, "NaN");
		return 3;
	}
	if (isinf(v)) {
		strcpy(out, v > 0 ? "+Inf" : "-Inf");
		return 4;
	}
	if (signbit(v)) {
		out[n++] = '-';
		v = -v;
	}
	if (v < 9007199254740992.0 && v == (double)(uint64_t)v)
		n += format_integer(out + n, (uint64_t)v);
	else {
		size_t fixed = v >= 1e-4 && v < 1e12 ? format_fixed(out + n, v) : 0;

		n += fixed ? fixed : format_shortest(out + n, v);
	}
	out[n] = '\0';
	return n;
}

void
strbuf_add_value(struct strbuf *s, double v)
{
	char text[STRBUF_VALUE_BYTES];

	strbuf_add(s, text, strbuf_format_value(text, v));
}
