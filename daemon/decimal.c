/* SPDX-License-Identifier: Apache-2.0 */
#include "decimal.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "decimal_powers.h"
#include "wire.h"

#define FRACTION_BITS 52
#define FIRST_BIT     (UINT64_C(1) << FRACTION_BITS) /* that is not stored */
#define LOWEST_Q      (-1074)
#define INTEGERS_TO \
	9007199254740992.0 /* 2^53: from there on not every integer is a double */

__extension__ typedef unsigned __int128 wide;

/* ---- Digits ------------------------------------------------------------ */

/* Eight characters, the first in the lowest byte. */
static inline void
put_8(char *out, uint64_t characters)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	characters = __builtin_bswap64(characters);
#endif
	memcpy(out, &characters, sizeof(characters));
}

/*
 * The eight digits of v < 10^8 as numbers, one in each byte, the first in the lowest. All
 * are made at once: halves of four digits, then of two, then of one, side by side. The
 * multiplications divide by 100 and by 10; they are exact for the numbers that occur.
 */
static inline uint64_t
eight_digits(uint32_t v)
{
	uint64_t fours = v / 10000 | (uint64_t)(v % 10000) << 32;
	uint64_t hundreds = (fours * 10486 >> 20) & 0x0000007f0000007f;
	uint64_t twos = hundreds | (fours - hundreds * 100) << 16;
	uint64_t tens = (twos * 103 >> 10) & 0x000f000f000f000f;

	return tens | (twos - tens * 10) << 8;
}

#define ZEROS UINT64_C(0x3030303030303030)

/* v < 10^8, without zeros in front; writes 8 characters. */
static inline size_t
put_short(char *out, uint32_t v)
{
	uint64_t digits = eight_digits(v);
	unsigned zeros = (unsigned)__builtin_ctzll(digits | UINT64_C(1) << 56) / 8;

	put_8(out, (digits | ZEROS) >> 8 * zeros);
	return 8 - zeros;
}

/* v < 10^16. */
static inline size_t
put_integer(char *out, uint64_t v)
{
	size_t n;

	if (v < 100000000)
		return put_short(out, (uint32_t)v);
	n = put_short(out, (uint32_t)(v / 100000000));
	put_8(out + n, eight_digits((uint32_t)(v % 100000000)) | ZEROS);
	return n + 8;
}

/* ---- Three decimals ---------------------------------------------------- */

/*
 * c x 2^-down, if it is a number of thousandths with 15 digits at most: no shorter
 * decimal reads back equal, as each of so few digits is a double of its own. 0 if it is
 * not.
 *
 * It is if the nearest number of thousandths is off by less than half a bit of c. That
 * is no whole number, for then c x 2^-down would be one. (Below a power of two doubles
 * lie nearer; but those with a fraction, and down to 2^-10, are exact or far off.)
 */
static inline size_t
put_thousandths(char *out, uint64_t c, int down)
{
	uint64_t value = c * 1000; /* x 2^-down: thousandths */
	uint64_t thousandths = (value + (UINT64_C(1) << (down - 1))) >> down;
	uint64_t off_and_499 = value - (thousandths << down) + 499;
	uint64_t decimals;
	size_t n;

	if (off_and_499 > 998 || thousandths >= UINT64_C(1000000000000000))
		return 0;
	n = put_integer(out, thousandths / 1000);
	decimals = eight_digits((uint32_t)(thousandths % 1000)) >> 40;
	put_8(out + n + 1, decimals | ZEROS);
	out[n] = '.';
	return n + 9 - (unsigned)__builtin_clzll(decimals) / 8;
}

/* ---- The shortest decimal ---------------------------------------------- */

/*
 * What reads back as c x 2^q is an interval around it: half way to the doubles beside it.
 * With the largest k for which 10^k is no longer than the interval, some multiple of 10^k
 * lies inside, and at most one of 10^(k+1): that one is shorter than any other, and if
 * there is none, the nearest multiple of 10^k is the answer. (R. Giulietti, "The
 * Schubfach way to render doubles".)
 *
 * What is compared are fourths of 10^k, whole numbers with a one below when there is a
 * fraction as well: enough to see on which side of a whole number it lies.
 *
 * Which of the candidates it is nobody can foresee: all are made, and one is taken
 * without a branch.
 */
struct shortest {
	uint64_t digits;
	int exponent; /* the double is digits x 10^exponent */
};

/* floor(e x log2(10)), floor(e x log10(2)) and floor(e x log10(2) + log10(3/4)), with 32
 * bits after the point: exact for every exponent of a double. */
static inline int
log2_of_power(int e)
{
	return (int)((e * INT64_C(14267572527)) >> 32);
}

static inline int
log10_of_power(int e, bool three_fourths)
{
	return (int)((e * INT64_C(1292913986) - (three_fourths ? 536607788 : 0)) >> 32);
}

/* j times the power, without its last 128 bits; the lowest bit says also whether there
 * was anything in them, but for the last 60: see tests/decimal_powers. */
static inline uint64_t
scaled(const uint64_t power[2], uint64_t j)
{
	wide low = (wide)power[1] * j;
	wide high = (wide)power[0] * j + (uint64_t)(low >> 64);

	return (uint64_t)(high >> 64) | (((uint64_t)high | (uint64_t)low >> 60) != 0);
}

static inline struct shortest
find_shortest(uint64_t c, int q)
{
	bool lower_is_nearer = c == FIRST_BIT && q > LOWEST_Q;
	bool is_odd = c & 1;
	int k = log10_of_power(q, lower_is_nearer);
	const uint64_t *power = decimal_powers[-k - DECIMAL_POWER_FIRST];
	int shift = q + log2_of_power(-k) + 1;
	uint64_t value = scaled(power, 4 * c << shift);
	/* What lies half way reads back as the even one of the two. */
	uint64_t low = scaled(power, (4 * c - 2 + lower_is_nearer) << shift) + is_odd;
	uint64_t high = scaled(power, (4 * c + 2) << shift) - is_odd;
	uint64_t below = value / 4, ten_below = below / 10 * 10;
	bool ten_below_is_in = low <= 4 * ten_below;
	bool ten_above_is_in = 4 * (ten_below + 10) <= high;
	/* Half way between two: the even one. */
	bool is_nearer_above = value + (below & 1) > 4 * below + 2;
	uint64_t ten = ten_below + (ten_above_is_in ? 10 : 0);
	uint64_t one = below + (is_nearer_above | (low > 4 * below));
	uint64_t take_ten = -(uint64_t)(ten_below_is_in | ten_above_is_in);

	return (struct shortest){ (ten & take_ten) | (one & ~take_ten), k };
}

/* ---- Text -------------------------------------------------------------- */

/* Seventeen digits, zeros at the end among them, as characters. */
struct seventeen {
	char first;
	uint64_t high, low; /* eight each */
	unsigned digits;    /* without the zeros at the end */
	int point;	    /* stands after so many of them */
};

static inline struct seventeen
take_apart(struct shortest s)
{
	struct seventeen d;
	uint32_t high, low;
	bool is_sixteen;

	d.point = s.exponent + 17;
	while (s.digits < UINT64_C(1000000000000000)) {
		s.digits *= 10;
		d.point--;
	}
	is_sixteen = s.digits < UINT64_C(10000000000000000);
	s.digits += (s.digits * 9) & -(uint64_t)is_sixteen;
	d.point -= is_sixteen;
	d.first = (char)('0' + s.digits / UINT64_C(10000000000000000));
	s.digits %= UINT64_C(10000000000000000);
	high = (uint32_t)(s.digits / 100000000);
	low = (uint32_t)(s.digits % 100000000);
	d.high = eight_digits(high);
	d.low = eight_digits(low);
	if (low)
		d.digits = 17 - (unsigned)__builtin_clzll(d.low) / 8;
	else if (high)
		d.digits = 9 - (unsigned)__builtin_clzll(d.high) / 8;
	else
		d.digits = 1;
	d.high |= ZEROS;
	d.low |= ZEROS;
	return d;
}

static inline void
put_17(char *out, const struct seventeen *d)
{
	out[0] = d->first;
	put_8(out + 1, d->high);
	put_8(out + 9, d->low);
}

/* 0.000123: the point is before the first digit, by at most three zeros. */
static size_t
put_below_one(char *out, const struct seventeen *d)
{
	size_t zeros = (size_t)-d->point;

	put_8(out, ZEROS);
	out[1] = '.';
	put_17(out + 2 + zeros, d);
	return 2 + zeros + d->digits;
}

/* 123.45 or 12345000: the point is after at least one digit and at most 21. All digits
 * are put where they stand before the point, then those behind it again, from it on. */
static size_t
put_with_point(char *out, const struct seventeen *d)
{
	size_t point = (size_t)d->point;

	put_17(out, d);
	if (point >= d->digits) {
		put_8(out + 17, ZEROS);
		return point;
	}
	if (point < 9) {
		put_8(out + point + 1, d->high >> 8 * (point - 1));
		put_8(out + 10, d->low);
	} else
		put_8(out + point + 1, d->low >> 8 * (point - 9));
	out[point] = '.';
	return d->digits + 1;
}

static size_t
put_exponent(char *out, const struct seventeen *d)
{
	int e = d->point - 1;
	unsigned size = (unsigned)(e < 0 ? -e : e);
	size_t n = d->digits > 1 ? d->digits + 1 : 1;

	put_17(out + 1, d);
	out[0] = d->first;
	out[1] = '.';
	out[n++] = 'e';
	out[n++] = e < 0 ? '-' : '+';
	if (size >= 100)
		out[n++] = (char)('0' + size / 100);
	out[n++] = (char)('0' + size / 10 % 10);
	out[n++] = (char)('0' + size % 10);
	return n;
}

/* A positive number that is no integer below 2^53. (Apart, so that one that is, as most
 * are, does not save the registers that this needs.) */
__attribute__((noinline)) static size_t
put_fraction(char *out, uint64_t bits)
{
	uint64_t c = bits & (FIRST_BIT - 1);
	int e = (int)(bits >> FRACTION_BITS);
	int q = e + LOWEST_Q - 1;
	struct seventeen d;
	size_t n;

	if (e > 0)
		c |= FIRST_BIT;
	else
		q++;
	n = q >= -62 && q < 0 ? put_thousandths(out, c, -q) : 0;
	if (n)
		return n;
	d = take_apart(find_shortest(c, q));
	if (d.point < -3 || d.point > 21)
		return put_exponent(out, &d);
	return d.point <= 0 ? put_below_one(out, &d) : put_with_point(out, &d);
}

static size_t
put_text(char *out, const char *text)
{
	strcpy(out, text);
	return strlen(text);
}

size_t
decimal_format(char out[DECIMAL_BYTES], double v)
{
	uint64_t bits = wire_bits(v);
	uint64_t size = bits & INT64_MAX;
	bool is_negative = bits >> 63;
	size_t n = is_negative;

	v = wire_double(size);
	out[0] = '-';
	if (v < INTEGERS_TO && v == (double)(int64_t)v)
		n += put_integer(out + n, (uint64_t)v);
	else if (size >> FRACTION_BITS < 0x7ff)
		n += put_fraction(out + n, size);
	else if (size << (64 - FRACTION_BITS))
		return put_text(out, "NaN");
	else
		return put_text(out, is_negative ? "-Inf" : "+Inf");
	out[n] = '\0';
	return n;
}
