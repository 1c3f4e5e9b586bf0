/* SPDX-License-Identifier: Apache-2.0 */
#include "deflate_block.h"

#include "deflate_code.h"

/* Four literals, or one and a copy, and seven bits that wait fit into 63. */
#define LITERAL_LONGEST	 12
#define DISTANCE_LONGEST 14
#define LENGTH_LONGEST	 7 /* of the code that tells the lengths of the others */

#define LITERALS 286 /* literals, the end of the block, lengths */
#define END	 256
#define LENGTH	 257 /* the first length's symbol */
#define LENGTHS	 29

#define STORED_MOST 65535 /* bytes as they are in one block */

static const uint8_t length_extra[LENGTHS] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2,
	2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };
static const uint16_t length_base[LENGTHS] = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17,
	19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258 };

/* Bits, the first one lowest, and their number. */
struct word {
	uint32_t bits;
	uint32_t n;
};

/* How the codes' lengths are told: themselves, or runs. */
struct told {
	unsigned n;
	uint8_t symbol[LITERALS + DEFLATE_DISTANCES];
	uint8_t extra[LITERALS + DEFLATE_DISTANCES];
};

/* What one block is made with. */
struct block {
	struct deflate_code literal;
	struct deflate_code distance;
	struct deflate_code length;
	struct told told;
	unsigned literals, distances, lengths; /* symbols told of each code */
	/* By byte; from 256 on nothing is written. */
	struct word of_literal[512];
	struct word of_length[259];
};

/* ---- Bits -------------------------------------------------------------- */

/* Where bits go: there is room for eight bytes more than are written. */
struct pen {
	uint64_t waiting;
	unsigned n;
	char *at;
};

static inline void
put(struct pen *p, uint64_t bits, unsigned n)
{
	p->waiting |= bits << p->n;
	p->n += n;
}

/* Write the whole bytes: up to seven bits wait then. */
static inline void
move_on(struct pen *p)
{
	uint64_t v = p->waiting;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	memcpy(p->at, &v, sizeof(v));
	p->at += p->n / 8;
	p->waiting >>= p->n & 56;
	p->n &= 7;
}

/* ---- Counting ---------------------------------------------------------- */

static unsigned
length_symbol(unsigned length)
{
	unsigned i = LENGTHS - 1;

	while (length_base[i] > length)
		i--;
	return i;
}

/* The k-th of eight literals, of which left are left: the others are counted where nobody
 * looks, without a branch that would be mistaken. */
static inline void
count_one(uint32_t count[512], uint64_t literals, uint32_t k, uint32_t left)
{
	count[(literals >> 8 * k & 255) | (unsigned)(left <= k) << 8]++;
}

/* Neighbours are counted apart: a count that was just written is slow to read. Mostly
 * none or one is left between two copies. */
static inline void
count_literals(const uint8_t *text, uint32_t n, uint32_t count[4][512])
{
	uint32_t at = 0;

	if (n <= 1) {
		count_one(count[0], text[0], 0, n);
		return;
	}
	do {
		uint32_t left = n - at;
		uint64_t v = deflate_load64(text + at);

		count_one(count[0], v, 0, left);
		count_one(count[1], v, 1, left);
		count_one(count[2], v, 2, left);
		count_one(count[3], v, 3, left);
		count_one(count[0], v, 4, left);
		count_one(count[1], v, 5, left);
		count_one(count[2], v, 6, left);
		count_one(count[3], v, 7, left);
		at += 8;
	} while (at < n);
}

static void
count(struct block *b, const struct deflate_copies *copies, const uint8_t *text)
{
	uint32_t literal[4][512] = { { 0 } };
	uint32_t length[259] = { 0 };

	for (size_t i = 0; i < copies->n; i++) {
		const struct deflate_copy *c = &copies->at[i];

		count_literals(text, c->literals, literal);
		text += c->literals + c->length;
		length[c->length]++;
		if (c->length)
			b->distance.count[deflate_distance_symbol(c->distance)]++;
	}
	for (unsigned i = 0; i < 256; i++)
		b->literal.count[i] =
		    literal[0][i] + literal[1][i] + literal[2][i] + literal[3][i];
	b->literal.count[END] = 1;
	for (unsigned i = 3; i <= 258; i++)
		if (length[i])
			b->literal.count[LENGTH + length_symbol(i)] += length[i];
}

/* Bits of all symbols with a code's lengths, without extra bits. */
static uint64_t
sum(const struct deflate_code *c)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < c->n; i++)
		bits += (uint64_t)c->count[i] * c->length[i];
	return bits;
}

static uint64_t
sum_extra(const struct block *b)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < LENGTHS; i++)
		bits += (uint64_t)b->literal.count[LENGTH + i] * length_extra[i];
	for (unsigned i = 0; i < DEFLATE_DISTANCES; i++)
		bits += (uint64_t)b->distance.count[i] * deflate_distance_extra(i);
	return bits;
}

static void
learn(const struct block *b, struct deflate_cost *ret)
{
	uint64_t bits = 0, n = 0;

	for (unsigned i = 0; i < 256; i++) {
		bits += (uint64_t)b->literal.count[i] * b->literal.length[i];
		n += b->literal.count[i];
	}
	/* What hardly comes is dear. */
	ret->literal = n < 32 ? 8 * DEFLATE_BIT : (int)(bits * DEFLATE_BIT / n);
	for (unsigned i = 0; i < DEFLATE_DISTANCES; i++) {
		unsigned own = b->distance.length[i] ? b->distance.length[i] : 12;

		ret->distance[i] = (int)(own + deflate_distance_extra(i)) * DEFLATE_BIT;
	}
}

/* ---- The head of a block ------------------------------------------------ */

static const uint8_t length_order[19] = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3,
	13, 2, 14, 1, 15 };

static unsigned
last_symbol(const struct deflate_code *c, unsigned least)
{
	unsigned n = c->n;

	while (n > least && c->length[n - 1] == 0)
		n--;
	return n;
}

static unsigned
tell_run(struct told *t, uint8_t length, unsigned run)
{
	unsigned i = t->n++;

	if (length == 0 && run >= 11) {
		run = run < 138 ? run : 138;
		t->symbol[i] = 18;
		t->extra[i] = (uint8_t)(run - 11);
	} else if (length == 0) {
		t->symbol[i] = 17;
		t->extra[i] = (uint8_t)(run - 3);
	} else {
		run = run < 6 ? run : 6;
		t->symbol[i] = 16;
		t->extra[i] = (uint8_t)(run - 3);
	}
	return run;
}

static void
tell(struct told *t, const uint8_t *length, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		unsigned run = 1;

		while (i + run < n && length[i + run] == length[i])
			run++;
		/* A run is told by its first length and how often that comes again. */
		if (length[i] != 0 || run < 3) {
			t->symbol[t->n] = length[i];
			t->extra[t->n++] = 0;
			i++;
			run--;
		}
		for (unsigned told; run >= 3; run -= told, i += told)
			told = tell_run(t, length[i], run);
	}
}

static unsigned
told_extra(uint8_t symbol)
{
	return symbol == 16 ? 2 : symbol == 17 ? 3 : symbol == 18 ? 7 : 0;
}

static void
make_head(struct block *b)
{
	uint8_t length[LITERALS + DEFLATE_DISTANCES];

	b->literals = last_symbol(&b->literal, LENGTH);
	b->distances = last_symbol(&b->distance, 1);
	memcpy(length, b->literal.length, b->literals);
	memcpy(length + b->literals, b->distance.length, b->distances);
	tell(&b->told, length, b->literals + b->distances);
	for (unsigned i = 0; i < b->told.n; i++)
		b->length.count[b->told.symbol[i]]++;
	deflate_code_lengths(&b->length, LENGTH_LONGEST);
	deflate_code_bits(&b->length);
	b->lengths = 19;
	while (b->lengths > 4 && b->length.length[length_order[b->lengths - 1]] == 0)
		b->lengths--;
}

static uint64_t
head_bits(const struct block *b)
{
	uint64_t bits = 5 + 5 + 4 + 3 * b->lengths + sum(&b->length);

	for (unsigned i = 0; i < b->told.n; i++)
		bits += told_extra(b->told.symbol[i]);
	return bits;
}

static void
put_head(struct pen *p, const struct block *b)
{
	put(p, b->literals - LENGTH, 5);
	put(p, b->distances - 1, 5);
	put(p, b->lengths - 4, 4);
	move_on(p);
	for (unsigned i = 0; i < b->lengths; i++) {
		put(p, b->length.length[length_order[i]], 3);
		move_on(p);
	}
	for (unsigned i = 0; i < b->told.n; i++) {
		uint8_t symbol = b->told.symbol[i];

		put(p, b->length.bits[symbol], b->length.length[symbol]);
		put(p, b->told.extra[i], told_extra(symbol));
		move_on(p);
	}
}

/* ---- The body ----------------------------------------------------------- */

static void
make_words(struct block *b)
{
	for (unsigned i = 0; i < 256; i++)
		b->of_literal[i] =
		    (struct word){ b->literal.bits[i], b->literal.length[i] };
	for (unsigned i = 0; i < LENGTHS; i++) {
		unsigned n = b->literal.length[LENGTH + i];
		unsigned most = i + 1 < LENGTHS ? length_base[i + 1] - 1U : 258;

		for (unsigned k = length_base[i]; k <= most; k++)
			b->of_length[k] = (struct word){ b->literal.bits[LENGTH + i] |
							     (k - length_base[i]) << n,
				n + length_extra[i] };
	}
}

static inline void
put_word(struct pen *p, const struct word *w)
{
	put(p, w->bits, w->n);
}

/* Four at a time, the last of which may be nothing: what is not tried is not mistaken. */
static inline void
put_literals(struct pen *p, const struct word *of, const uint8_t *text, uint32_t n)
{
	uint32_t at = 0;

	if (n <= 1) {
		put_word(p, &of[text[0] | (unsigned)(n < 1) << 8]);
		return;
	}
	do {
		uint32_t left = n - at;

		put_word(p, &of[text[at] | (unsigned)(left < 1) << 8]);
		put_word(p, &of[text[at + 1] | (unsigned)(left < 2) << 8]);
		put_word(p, &of[text[at + 2] | (unsigned)(left < 3) << 8]);
		put_word(p, &of[text[at + 3] | (unsigned)(left < 4) << 8]);
		move_on(p);
		at += 4;
	} while (at < n);
}

static void
put_body(struct pen *to, const struct block *b, const struct deflate_copies *copies,
    const uint8_t *text)
{
	struct pen p = *to;

	for (size_t i = 0; i < copies->n; i++) {
		const struct deflate_copy *c = &copies->at[i];
		unsigned symbol, extra;

		put_literals(&p, b->of_literal, text, c->literals);
		text += c->literals + c->length;
		if (c->length == 0)
			continue;
		symbol = deflate_distance_symbol(c->distance);
		extra = deflate_distance_extra(symbol);
		put_word(&p, &b->of_length[c->length]);
		put(&p, b->distance.bits[symbol], b->distance.length[symbol]);
		put(&p, (c->distance - 1U) & ((1U << extra) - 1), extra);
		move_on(&p);
	}
	put(&p, b->literal.bits[END], b->literal.length[END]);
	move_on(&p);
	*to = p;
}

static void
put_stored(struct pen *p, const uint8_t *text, size_t bytes, bool last)
{
	do {
		size_t n = bytes < STORED_MOST ? bytes : STORED_MOST;

		bytes -= n;
		put(p, last && bytes == 0, 3);
		put(p, 0, -p->n & 7);
		move_on(p);
		put(p, n | (~n & 0xffff) << 16, 32);
		move_on(p);
		memcpy(p->at, text, n);
		p->at += n;
		text += n;
	} while (bytes > 0);
}

/* ---- The whole ---------------------------------------------------------- */

static void
fixed_code(struct block *b)
{
	memset(b->literal.length, 8, 144);
	memset(b->literal.length + 144, 9, 112);
	memset(b->literal.length + 256, 7, 24);
	memset(b->literal.length + 280, 8, 8);
	memset(b->distance.length, 5, DEFLATE_DISTANCES);
	b->literal.n = DEFLATE_SYMBOLS;
}

/* Bits of the block with the fixed code. */
static uint64_t
fixed_bits(const struct block *b)
{
	struct block fixed = *b;

	fixed_code(&fixed);
	return sum(&fixed.literal) + sum(&fixed.distance);
}

void
deflate_block(struct deflate_bits *bits, const struct deflate_copies *copies,
    const uint8_t *text, size_t bytes, bool last, struct strbuf *out,
    struct deflate_cost *ret_cost)
{
	struct block b = {
		.literal.n = LITERALS, .distance.n = DEFLATE_DISTANCES, .length.n = 19
	};
	struct pen p = { .waiting = bits->waiting, .n = bits->n };
	uint64_t stored = 8 * bytes + (bytes / STORED_MOST + 1) * 40;
	uint64_t own, fixed, extra;

	count(&b, copies, text);
	deflate_code_lengths(&b.literal, LITERAL_LONGEST);
	deflate_code_lengths(&b.distance, DISTANCE_LONGEST);
	make_head(&b);
	learn(&b, ret_cost);
	extra = sum_extra(&b);
	own = head_bits(&b) + sum(&b.literal) + sum(&b.distance) + extra;
	/* Where the head of a code is nothing, the fixed one need not be tried. */
	fixed = copies->n < 512 ? fixed_bits(&b) + extra : UINT64_MAX;
	if (!strbuf_reserve(
		out, (size_t)((own < stored ? own : stored) / 8) + 2 * sizeof(uint64_t)))
		return;
	p.at = out->at + out->bytes;
	if (stored < own && stored < fixed) {
		put_stored(&p, text, bytes, last);
	} else {
		if (fixed < own)
			fixed_code(&b);
		put(&p, (unsigned)last | (fixed < own ? 1U : 2U) << 1, 3);
		if (fixed >= own)
			put_head(&p, &b);
		deflate_code_bits(&b.literal);
		deflate_code_bits(&b.distance);
		make_words(&b);
		put_body(&p, &b, copies, text);
	}
	bits->waiting = p.waiting;
	bits->n = p.n;
	out->bytes = (size_t)(p.at - out->at);
	out->at[out->bytes] = '\0';
}

void
deflate_bits_end(struct deflate_bits *bits, struct strbuf *out)
{
	if (bits->n > 0)
		strbuf_addc(out, (char)bits->waiting);
	*bits = (struct deflate_bits){ 0 };
}
