/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deflate_match.h - the first half of deflate: what of a text repeats earlier text.
 *
 * Made for pages of samples, correct for any bytes. A line of a page is its neighbour but
 * for a label's value or a number, and where two lines differ is what costs time. So
 * there is no search at each byte: the text is compared with what the last copy was taken
 * from, and where that ends, a few candidates are weighed against each other by the bits
 * that they would cost:
 *
 * - the same place: after a few bytes, or at the end of the word that differs, the line
 *   goes on as the other one did;
 * - the previous line, after a number;
 * - the same word, met before: a label's value, a bound, the name of a family;
 * - the same four bytes, anywhere in what would be literals, but not in a number;
 * - the last digits of a number, when they join a copy that is due anyway.
 *
 * What bits cost is known from the block before. Pure: no allocation, no state but the
 * matcher's. One thread.
 */
#ifndef DEFLATE_MATCH_H
#define DEFLATE_MATCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DEFLATE_WINDOW	  32768
#define DEFLATE_SLACK	  16 /* bytes behind the text that are read, whatever they hold */
#define DEFLATE_DISTANCES 30

/* Bytes as they are, then a copy of what stands that far back. */
struct deflate_copy {
	uint32_t literals;
	uint16_t length;   /* 4 to 258; 0, at the end: no copy */
	uint16_t distance; /* 32768 at most */
};

struct deflate_copies {
	size_t n;
	size_t room;
	struct deflate_copy *at;
};

/* What is expected to be paid, in sixteenths of a bit. */
#define DEFLATE_BIT 16
struct deflate_cost {
	int literal;
	int distance[DEFLATE_DISTANCES]; /* with its extra bits */
};

#define DEFLATE_WORDS 8192 /* 2 to the 13 */
#define DEFLATE_PAIRS 4096

/* Places are kept as positions in the stream, modulo 2 to the 32. */
struct deflate_matcher {
	struct deflate_cost cost;
	uint32_t base; /* position of text[0]: add to it what is dropped at the front */
	uint32_t line; /* position of the last end of a line that was looked at */
	int worth;     /* what the last digits gain, in the mean */
	unsigned lines;
	size_t patience; /* in the search for pieces: places before any is left out */
	uint32_t word[DEFLATE_WORDS];  /* by hash of a word */
	uint32_t begin[DEFLATE_WORDS]; /* by hash of four bytes */
	uint32_t pair[DEFLATE_PAIRS];  /* by hash of two bytes before the end of a line */
	uint32_t digit[256];	       /* by the byte before the end of a line */
};

void deflate_matcher_init(struct deflate_matcher *m);

/*
 * Write text[start, end) as copies, which may reach back to text[0]. Ends early when
 * there is no room for more. Returns the end of what is written; ret->n is at least 1.
 * room is at least 64.
 */
size_t deflate_match(struct deflate_matcher *m, const uint8_t *text, size_t start,
    size_t end, struct deflate_copies *ret);

/* The number of a distance's symbol; its extra bits are deflate_distance_extra(symbol).
 */
static inline unsigned
deflate_distance_symbol(unsigned distance)
{
	unsigned d = distance - 1;
	unsigned top;

	if (d < 4)
		return d;
	top = 31 - (unsigned)__builtin_clz(d);
	return 2 * top + (d >> (top - 1) & 1);
}

static inline unsigned
deflate_distance_extra(unsigned symbol)
{
	return symbol < 4 ? 0 : symbol / 2 - 1;
}

/* Eight bytes, the first one lowest. */
static inline uint64_t
deflate_load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

#endif /* DEFLATE_MATCH_H */
