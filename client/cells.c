/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot path. Each update is: find the thread's array, find the cell, load, add, store,
 * mark the block. The thread is the only writer of its cells, so nothing is locked.
 */
#include "cells.h"

#include <float.h>
#include <time.h>

#define HOT		DYNM_API
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define EXACT_LIMIT	9007199254740992.0 /* 2^53: whole numbers below are exact */
#define NS_PER_S	1000000000U
#define GAUGE_WHOLE_MAX 1048576.0 /* 2^42 of them fit into a sum */

/*
 * What a call needs only once in a while is a function of its own, called last: so the
 * hot ones save no registers.
 */
#define COLD static __attribute__((noinline, cold))

/* The array to write to where the thread has none yet, or NULL. */
static uint64_t *
attach(const struct dynm_series *s)
{
	uint64_t *cells = blocks_attach();

	if (!cells)
		report_drop(s->family->store->report, REPORT_DROP_MEMORY);
	return cells;
}

COLD void
drop(const struct dynm_series *s, enum report_drop cause)
{
	report_drop(s->family->store->report, cause);
}

static inline void
add_whole(uint64_t *cell, uint64_t n)
{
	cell_store(cell, cell_load(cell) + n);
}

/* To a double that this thread alone writes, behind all stores before it. */
static inline void
add_double(uint64_t *cell, double n)
{
	cell_store_double(cell, cell_load_double(cell) + n);
}

/* ---- Counters ---------------------------------------------------------- */

static inline void
count(uint64_t *cells, const struct dynm_series *s, uint64_t n)
{
	uint32_t cell = series_cell(s);

	add_whole(cells + cell + CELL_WHOLE, n);
	cells_mark(cells, cell);
}

static inline void
count_double(uint64_t *cells, const struct dynm_series *s, double n)
{
	uint32_t cell = series_cell(s);

	if (n < EXACT_LIMIT && (double)(int64_t)n == n)
		add_whole(cells + cell + CELL_WHOLE, (uint64_t)(int64_t)n);
	else
		add_double(cells + cell + CELL_FRACTION, n);
	cells_mark(cells, cell);
}

COLD void
count_first(const struct dynm_series *s, double n)
{
	uint64_t *cells = attach(s);

	if (cells)
		count_double(cells, s, n);
}

HOT void
dynm_counter_inc(dynm_counter c)
{
	uint64_t *cells = blocks_own;

	if (unlikely(!c.series_))
		return;
	if (unlikely(!cells))
		count_first(c.series_, 1);
	else
		count(cells, c.series_, 1);
}

HOT void
dynm_counter_add(dynm_counter c, double n)
{
	uint64_t *cells = blocks_own;

	if (unlikely(!c.series_))
		return;
	if (unlikely(!(n >= 0 && n <= DBL_MAX)))
		drop(c.series_, REPORT_DROP_COUNTER);
	else if (unlikely(!cells))
		count_first(c.series_, n);
	else
		count_double(cells, c.series_, n);
}

/* ---- Gauges ------------------------------------------------------------ */

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Of a gauge of merge last. After the value, with release: who sees the time sees that
 * value or a later one. */
COLD void
stamp(uint64_t *marked, uint32_t cell)
{
	__atomic_store_n(blocks_shared + cell + CELL_TIME, clock_ns(), __ATOMIC_RELEASE);
	cells_mark(blocks_shared, cell);
	cells_mark(marked, cell);
}

/* The last thing that an update does: time, and mark. */
static inline void
finish(const struct dynm_series *s, uint64_t *cells, uint32_t cell)
{
	if (unlikely(s->family->merge == MESSAGE_LAST))
		stamp(cells, cell);
	else
		cells_mark(cells, cell);
}

static inline void
set_shared(const struct dynm_series *s, double value)
{
	uint32_t cell = series_cell(s);

	cell_store(blocks_shared + cell + CELL_VALUE, gauge_encode(value));
	finish(s, blocks_shared, cell);
}

/* The value goes to the shared array; the thread's own is asked for all the same, as that
 * is what wakes the library in a forked child. */
COLD void
set_first(const struct dynm_series *s, double value)
{
	(void)blocks_attach();
	set_shared(s, value);
}

HOT void
dynm_gauge_set(dynm_gauge g, double value)
{
	if (unlikely(!g.series_))
		return;
	if (unlikely(!blocks_own))
		set_first(g.series_, value);
	else
		set_shared(g.series_, value);
}

/* The gauge was set before: one value for all threads. */
static __attribute__((noinline)) void
add_shared(const struct dynm_series *s, uint32_t cell, double delta)
{
	uint64_t *shared = blocks_shared + cell + CELL_VALUE;
	uint64_t old = cell_load(shared);

	while (!__atomic_compare_exchange_n(shared, &old,
	    gauge_encode(gauge_decode(old) + delta), true, __ATOMIC_RELAXED,
	    __ATOMIC_RELAXED))
		;
	finish(s, blocks_shared, cell);
}

static inline bool
was_set(uint32_t cell)
{
	return cell_load(blocks_shared + cell + CELL_VALUE) != 0;
}

/*
 * Whole numbers, which most are, are added as integers: a processor does that faster, one
 * behind the other. Larger ones are left out, so that the sum never comes to its end.
 * That something was added is told after a fraction: who sees the one sees the other.
 */
static inline void
add_own(uint64_t *cells, const struct dynm_series *s, uint32_t cell, double delta)
{
	uint64_t *whole = cells + cell + CELL_WHOLE, old = cell_load(whole);

	if (delta >= -GAUGE_WHOLE_MAX && delta <= GAUGE_WHOLE_MAX &&
	    (double)(int32_t)delta == delta) {
		uint64_t twice = (uint64_t)((int64_t)(int32_t)delta * 2);

		cell_store(whole, (old | GAUGE_ADDED) + twice);
	} else {
		add_double(cells + cell + CELL_FRACTION, delta);
		__atomic_store_n(whole, old | GAUGE_ADDED, __ATOMIC_RELEASE);
	}
	finish(s, cells, cell);
}

COLD void
add_first(const struct dynm_series *s, double delta)
{
	uint64_t *cells = attach(s);
	uint32_t cell = series_cell(s);

	if (was_set(cell))
		add_shared(s, cell, delta);
	else if (cells)
		add_own(cells, s, cell, delta);
}

HOT void
dynm_gauge_add(dynm_gauge g, double delta)
{
	uint64_t *cells = blocks_own;
	uint32_t cell;

	if (unlikely(!g.series_))
		return;
	if (unlikely(!cells)) {
		add_first(g.series_, delta);
		return;
	}
	cell = series_cell(g.series_);
	if (was_set(cell))
		add_shared(g.series_, cell, delta);
	else
		add_own(cells, g.series_, cell, delta);
}

HOT void
dynm_gauge_inc(dynm_gauge g)
{
	dynm_gauge_add(g, 1);
}

HOT void
dynm_gauge_dec(dynm_gauge g)
{
	dynm_gauge_add(g, -1);
}

/* ---- Histograms -------------------------------------------------------- */

/*
 * The bucket of a value: the first whose bound is not below it. The table gives the first
 * that the value's leading bits allow: all bounds with smaller leading bits are below it.
 * A processor cannot guess on which side of a bound a value lies, so the first comparison
 * is arithmetic; where a key has one bound at most, as is usual, it is the only one that
 * is ever true. Behind the last bound is +Inf, which ends the search.
 */
static inline uint32_t
bucket_of(const struct buckets *b, double v)
{
	int64_t key = (ordered_bits(v) >> b->shift) - b->low;
	uint32_t i;

	key = key < 0 ? 0 : key;
	key = key > b->last ? b->last : key;
	i = b->start[key];
	i += v > b->bound[i];
	while (unlikely(v > b->bound[i]))
		i++;
	return i;
}

/*
 * Sum and count have to be read together, and this thread is their only writer: it makes
 * the sequence odd, writes, and makes it even again. A reader (sums.c) takes what it read
 * if the sequence was even and the same before and after.
 *
 * Each store behind the odd one is a release and each of the reader's loads before its
 * second look at the sequence is an acquire: a reader that sees any of the new values
 * also sees the odd sequence or a later one, and reads again. The even store is a release
 * too: a reader that sees it sees all that was written before. On x86-64 these are plain
 * stores; on arm64 they are stlr. No fence is needed, and none would do more.
 */
static inline void
put(uint64_t *cells, const struct dynm_series *s, double value, double sum, uint64_t n)
{
	uint32_t bucket = bucket_of(s->family->buckets, value);
	uint32_t cell = series_cell(s);
	uint64_t *at = cells + cell, sequence = cell_load(at + CELL_SEQUENCE);

	cell_store(at + CELL_SEQUENCE, sequence + 1);
	add_double(at + CELL_SUM, sum);
	__atomic_store_n(at + CELL_BUCKET + bucket,
	    cell_load(at + CELL_BUCKET + bucket) + n, __ATOMIC_RELEASE);
	__atomic_store_n(at + CELL_SEQUENCE, sequence + 2, __ATOMIC_RELEASE);
	cells_mark(cells, cell);
}

COLD void
put_first(const struct dynm_series *s, double value, uint64_t n)
{
	uint64_t *cells = attach(s);

	if (cells)
		put(cells, s, value, value * (double)n, n);
}

/* All exponent bits: infinite, or no number. */
static inline bool
is_finite(double v)
{
	return wire_bits(v) << 1 < 0xffe0000000000000U;
}

HOT void
dynm_histogram_observe(dynm_histogram h, double value)
{
	uint64_t *cells = blocks_own;

	if (unlikely(!h.series_))
		return;
	if (unlikely(!is_finite(value)))
		drop(h.series_, REPORT_DROP_HISTOGRAM);
	else if (unlikely(!cells))
		put_first(h.series_, value, 1);
	else
		put(cells, h.series_, value, value, 1);
}

HOT void
dynm_histogram_observe_n(dynm_histogram h, double value, uint64_t n)
{
	uint64_t *cells = blocks_own;

	if (unlikely(!h.series_) || n == 0)
		return;
	if (unlikely(!is_finite(value)))
		drop(h.series_, REPORT_DROP_HISTOGRAM);
	else if (unlikely(!cells))
		put_first(h.series_, value, n);
	else
		put(cells, h.series_, value, value * (double)n, n);
}

DYNM_API double
dynm_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / NS_PER_S;
}
