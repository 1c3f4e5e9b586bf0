/* SPDX-License-Identifier: Apache-2.0 */
#include "deflate_match.h"

#include <stdbool.h>
#include <string.h>

#define NOWHERE	     SIZE_MAX
#define SHORTEST     4 /* a copy of three costs what three literals do */
#define LONGEST	     258
#define REACH	     4096 /* what one comparison covers, at most */
#define WORD_LONGEST 256
/* Copies that may be written after a look at the room: one step writes what waits, its
 * own waits then, and the last literals come behind that. */
#define ROOM (2 * (REACH / LONGEST + 2) + 1)

/* In sixteenths of a bit. */
#define COPY_COSTS (5 * DEFLATE_BIT) /* its length, and the copy that comes after it */
#define CHANGE	   56 /* distances that follow no rule make all of them dearer */
#define FURTHER	   60 /* a copy that goes on for longer, by a byte or by two and more */
#define WORTH_IT   32 /* of the last digits */

/* Where they are not worth it, so many lines in a row are tried now and then. */
#define TRY_EVERY 512
#define TRY_LINES 32
#define ALWAYS	  4096 /* to begin with */

#define PIECE	 4  /* bytes that are looked up */
#define PATIENCE 16 /* places until every second one is left out */

/* ---- Bytes ------------------------------------------------------------- */

/* How many of the first bytes are alike: most at most. Reads up to 7 bytes more. */
static inline size_t
alike(const uint8_t *a, const uint8_t *b, size_t most)
{
	size_t n = 0;

	for (; n < most; n += 8) {
		uint64_t other = deflate_load64(a + n) ^ deflate_load64(b + n);

		if (other) {
			n += (size_t)__builtin_ctzll(other) / 8;
			break;
		}
	}
	return n < most ? n : most;
}

/* ---- Words ------------------------------------------------------------- */

/*
 * A word is what stands between two ends: quotes, blanks, ends of lines (nothing above a
 * quote is one of them), or an opening brace. The top bit of each byte that ends a word:
 */
static inline uint64_t
ends_in(uint64_t bytes)
{
	const uint64_t ones = 0x0101010101010101u;
	const uint64_t tops = ones << 7;
	uint64_t brace = bytes ^ ones * '{';
	uint64_t above = ((bytes & ~tops) + ones * (0x7f - '"')) | bytes;
	uint64_t no_brace = ((brace & ~tops) + ~tops) | brace;

	return ~(above & no_brace) & tops;
}

static inline bool
is_end(uint8_t c)
{
	return c <= '"' || c == '{';
}

/* Behind the first end of a word from at on; or limit. */
static inline size_t
word_end(const uint8_t *text, size_t at, size_t limit)
{
	for (; at < limit; at += 8) {
		uint64_t ends = ends_in(deflate_load64(text + at));

		if (ends) {
			at += (size_t)__builtin_ctzll(ends) / 8 + 1;
			break;
		}
	}
	return at < limit ? at : limit;
}

/* Behind the last end of a word before at; or least. */
static inline size_t
word_start(const uint8_t *text, size_t at, size_t least)
{
	for (; at >= least + 8; at -= 8) {
		uint64_t ends = ends_in(deflate_load64(text + at - 8));

		if (ends)
			return at - (size_t)__builtin_clzll(ends) / 8;
	}
	while (at > least && !is_end(text[at - 1]))
		at--;
	return at;
}

#define MIX 0x9e3779b97f4a7c15u

/* Of a word; of a long one its end. */
static inline uint32_t
hash_word(const uint8_t *at, size_t n)
{
	uint64_t h = n;

	if (n > 64) {
		at += n - 64;
		n = 64;
	}
	for (; n >= 8; n -= 8, at += 8)
		h = ((h ^ deflate_load64(at)) * MIX) ^ (h >> 29);
	if (n)
		h ^= deflate_load64(at) << (64 - 8 * n);
	return (uint32_t)(((h ^ h >> 32) * MIX) >> 51);
}

/* ---- Writing ----------------------------------------------------------- */

/* The way through the text: written up to literals, which are followed by a copy that may
 * still become shorter. */
struct walk {
	const uint8_t *text;
	size_t end;
	struct deflate_copies *out;
	size_t literals;
	size_t copy; /* where it begins; with a length of 0: at the place itself */
	size_t length;
	size_t distance;
};

static inline void
add(struct deflate_copies *out, size_t literals, size_t length, size_t distance)
{
	out->at[out->n++] = (struct deflate_copy){ (uint32_t)literals, (uint16_t)length,
		(uint16_t)distance };
}

/* Write the literals and the copy behind them, which remain literals if they are few. */
static inline void
write_copy(struct walk *w)
{
	size_t literals = w->copy - w->literals;
	size_t left = w->length;

	if (left < SHORTEST)
		return;
	while (left > LONGEST) {
		size_t n = left >= LONGEST + SHORTEST ? LONGEST : left - SHORTEST;

		add(w->out, literals, n, w->distance);
		literals = 0;
		left -= n;
	}
	add(w->out, literals, left, w->distance);
	w->literals = w->copy + w->length;
}

/* ---- Candidates -------------------------------------------------------- */

/* Where the text is no longer what the last copy was taken from. */
struct place {
	size_t at;
	size_t end; /* of the word around it, with what ends it */
	/* Where and how it goes on if nothing better is found; length 0: it does not. */
	size_t on;
	size_t source;
	size_t length;
	size_t stop;
};

struct choice {
	size_t at, length, distance;
	int gain;
};

/* The distance to what was kept there, which is this place from now on. */
static inline size_t
exchange(uint32_t *kept, uint32_t position)
{
	uint32_t distance = position - *kept;

	*kept = position;
	return distance;
}

static inline bool
is_distance(size_t distance, size_t at)
{
	return distance - 1 < DEFLATE_WINDOW && distance <= at;
}

static inline size_t
compare(const struct walk *w, size_t at, size_t distance)
{
	size_t left = w->end - at;

	return alike(w->text + at, w->text + at - distance, left < REACH ? left : REACH);
}

/* What is gained by a copy at that place instead of going on. */
static inline int
gain_of(const struct deflate_cost *cost, const struct place *p, size_t at, size_t stop,
    size_t distance)
{
	int paid = cost->distance[deflate_distance_symbol((unsigned)distance)];
	size_t from = at > p->at ? at : p->at;
	int further;

	if (p->length < SHORTEST) {
		size_t saved = stop - from;

		return (int)(saved < 64 ? saved : 64) * cost->literal - paid - COPY_COSTS;
	}
	paid -= cost->distance[deflate_distance_symbol((unsigned)(p->on - p->source))];
	further = stop > p->stop   ? (stop > p->stop + 1 ? 2 : 1)
		  : stop < p->stop ? (stop + 1 < p->stop ? -2 : -1)
				   : 0;
	return ((int)p->on - (int)from) * cost->literal + further * FURTHER - paid -
	       CHANGE;
}

/* Take a copy of at least so many bytes if it is better than the best so far. */
static inline void
weigh(const struct walk *w, const struct deflate_matcher *m, const struct place *p,
    size_t at, size_t distance, size_t least, struct choice *best)
{
	size_t length;
	int gain;

	if (!is_distance(distance, at))
		return;
	length = compare(w, at, distance);
	if (length < least)
		return;
	gain = gain_of(&m->cost, p, at, at + length, distance);
	if (gain > best->gain)
		*best = (struct choice){ at, length, distance, gain };
}

/* See how the text goes on from there as it did from a source. */
static inline void
go_on(const struct walk *w, struct place *p, size_t on, size_t source)
{
	p->length = 0;
	if (source >= on || on - source > DEFLATE_WINDOW)
		return;
	p->on = on;
	p->source = source;
	p->length = compare(w, on, on - source);
	p->stop = on + p->length;
}

/* After a few other bytes, as it did at the last copy's distance? Their number, or 0. */
static inline size_t
few_others(const struct walk *w, const struct place *p)
{
	uint64_t other = deflate_load64(w->text + p->at) ^
			 deflate_load64(w->text + p->at - w->distance);
	size_t most = p->end - 1 - p->at;

	for (size_t n = 1; n < 5 && n < most; n++)
		if ((other >> 8 * n & UINT32_MAX) == 0)
			return n;
	return 0;
}

/* In a word: after those, or else at the word's end, as after the other word's. */
static inline void
go_on_alike(const struct walk *w, struct place *p)
{
	const uint8_t *t = w->text;
	size_t source = p->at - w->distance;
	size_t others = few_others(w, p);
	size_t end;

	if (others > 0) {
		go_on(w, p, p->at + others, source + others);
	} else if (is_end(t[p->end - 1])) {
		end = word_end(t, source, p->end - 1);
		if (t[end - 1] == t[p->end - 1])
			go_on(w, p, p->end - 1, end - 1);
	}
}

/* ---- Steps ------------------------------------------------------------- */

/* The last digits of a number, and the end of its line: where they came before. */
static inline void
last_digits(
    const struct walk *w, struct deflate_matcher *m, struct place *p, struct choice *best)
{
	const uint8_t *t = w->text;
	size_t at = p->end - 1;

	if (at >= p->at + 2) {
		uint64_t bytes = (uint64_t)t[at - 2] << 8 | t[at - 1];
		size_t from = at - 2;
		size_t two =
		    exchange(&m->pair[(bytes * MIX) >> 52], m->base + (uint32_t)from);

		if (is_distance(two, from))
			while (from > p->at && two < from &&
			       t[from - 1] == t[from - 1 - two])
				from--;
		weigh(w, m, p, from, two, p->end - from, best);
	}
	if (at >= p->at + 1)
		weigh(w, m, p, at - 1,
		    exchange(&m->digit[t[at - 1]], m->base + (uint32_t)at - 1), SHORTEST,
		    best);
	m->worth += (best->gain - m->worth) / 16;
}

/* In a number, or whatever ends a line. */
static inline void
end_of_line(
    const struct walk *w, struct deflate_matcher *m, struct place *p, struct choice *best)
{
	size_t at = p->end - 1;

	go_on(w, p, at, at - exchange(&m->line, m->base + (uint32_t)at));
	if (m->worth >= WORTH_IT || m->lines++ % TRY_EVERY < TRY_LINES)
		last_digits(w, m, p, best);
}

/*
 * What would be literals is searched for copies of a part of it, place by place, and the
 * longer in vain the less. Not in a number: its digits are cheaper as they are.
 */
static inline void
pieces(const struct walk *w, struct deflate_matcher *m, const struct place *p,
    struct choice *best)
{
	size_t on = p->length < SHORTEST ? p->end : p->on;

	for (size_t at = p->at; at + PIECE <= on; at += 1 + (at - p->at) / m->patience) {
		uint64_t bytes = deflate_load64(w->text + at) << (64 - 8 * PIECE);
		size_t distance =
		    exchange(&m->begin[(bytes * MIX) >> 51], m->base + (uint32_t)at);
		size_t length;
		int gain;

		if (!is_distance(distance, at))
			continue;
		length = compare(w, at, distance);
		if (length < PIECE)
			continue;
		gain = (int)(length < on - at ? length : on - at) * m->cost.literal -
		       m->cost.distance[deflate_distance_symbol((unsigned)distance)] -
		       COPY_COSTS;
		if (gain > 0) {
			*best = (struct choice){ at, length, distance, gain };
			m->patience = PATIENCE;
			return;
		}
	}
	m->patience -= m->patience > 1;
}

static inline void
same_word(const struct walk *w, struct deflate_matcher *m, const struct place *p,
    struct choice *best)
{
	size_t least = w->length == 0		  ? p->at
		       : w->length > WORD_LONGEST ? p->at - WORD_LONGEST
						  : w->copy;
	size_t at = word_start(w->text, p->at, least);
	size_t n = p->end - at;

	weigh(w, m, p, at,
	    exchange(&m->word[hash_word(w->text + at, n)], m->base + (uint32_t)at),
	    n < SHORTEST ? SHORTEST : n, best);
}

static inline void
inside_line(
    const struct walk *w, struct deflate_matcher *m, struct place *p, struct choice *best)
{
	if (w->length > 0)
		go_on_alike(w, p);
	/* To save one literal is not worth a look. */
	if (p->length < 2 * SHORTEST || p->on > p->at + 1)
		same_word(w, m, p, best);
	if (best->gain <= 0)
		pieces(w, m, p, best);
}

/* A better copy may begin before this place: the last one ends there then, or is not made
 * at all if the better one covers it. */
static inline size_t
take(struct walk *w, struct choice *c)
{
	if (c->at < w->copy + w->length && w->length > 0) {
		size_t keep = c->at - w->copy;
		size_t n = 0;

		while (keep <= 32 && n < keep && c->distance < c->at - n &&
		       w->text[c->at - n - 1] == w->text[c->at - n - 1 - c->distance])
			n++;
		if (n == keep) {
			c->at -= n;
			c->length += n;
		}
		w->length = c->at - w->copy;
	}
	write_copy(w);
	w->copy = c->at;
	w->length = c->length;
	w->distance = c->distance;
	return c->at + c->length;
}

/* What it comes to if nothing better is found. */
static inline size_t
take_on(struct walk *w, const struct place *p)
{
	write_copy(w);
	w->copy = p->on;
	w->length = p->length;
	w->distance = p->on - p->source;
	return p->stop;
}

/* A byte differs, inside a line, and the next ones do not. */
static inline bool
is_one_other(const struct walk *w, size_t at)
{
	uint64_t own = deflate_load64(w->text + at);
	uint64_t other = own ^ deflate_load64(w->text + at - w->distance);

	return (other >> 8 & UINT32_MAX) == 0 && (own >> 8 & 255) != '\n';
}

/* Go on from a place where the text differs. Returns the next such place. */
static inline size_t
step(struct walk *w, struct deflate_matcher *m, size_t at)
{
	size_t limit = w->end - at < WORD_LONGEST ? w->end : at + WORD_LONGEST;
	struct place p = { .at = at };
	struct choice best = { 0 };

	if (w->length > 0 && is_one_other(w, at)) {
		go_on(w, &p, at + 1, at + 1 - w->distance);
		if (p.length >= 2 * SHORTEST)
			return take_on(w, &p);
	}
	p.end = word_end(w->text, at, limit);
	if (w->text[p.end - 1] == '\n')
		end_of_line(w, m, &p, &best);
	else
		inside_line(w, m, &p, &best);
	if (best.gain > 0)
		return take(w, &best);
	if (p.length > 0)
		return take_on(w, &p);
	write_copy(w);
	w->copy = p.end;
	w->length = 0;
	return p.end;
}

void
deflate_matcher_init(struct deflate_matcher *m)
{
	memset(m, 0, sizeof(*m));
	m->worth = ALWAYS;
	m->patience = PATIENCE;
	m->cost.literal = 5 * DEFLATE_BIT;
	for (unsigned i = 0; i < DEFLATE_DISTANCES; i++)
		m->cost.distance[i] = (int)(5 + deflate_distance_extra(i)) * DEFLATE_BIT;
}

size_t
deflate_match(struct deflate_matcher *m, const uint8_t *text, size_t start, size_t end,
    struct deflate_copies *ret)
{
	struct walk w = {
		.text = text, .end = end, .out = ret, .literals = start, .copy = start
	};
	size_t at = start;

	ret->n = 0;
	while (at < end && ret->n + ROOM < ret->room)
		at = step(&w, m, at);
	write_copy(&w);
	add(ret, at - w.literals, 0, 0);
	return at;
}
