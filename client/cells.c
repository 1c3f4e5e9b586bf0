/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot path. Each update is: find the thread's array, find the cell, load, add, store,
 * mark the block. The thread is the only writer of its cells, so nothing is locked.
 */
#include "cells.h"

#include <float.h>
#include <time.h>

#define HOT	    DYNM_API
#define unlikely(x) __builtin_expect(!!(x), 0)
#define EXACT_LIMIT 9007199254740992.0 /* 2^53: whole numbers below are exact */
#define MINUS_ZERO  0x8000000000000000U
#define NS_PER_S    1000000000U

static __attribute__((noinline, cold)) uint64_t *
attach(const struct dynm_series *s)
{
	uint64_t *cells = blocks_attach();

	if (!cells)
		report_drop(s->family->store->report, REPORT_DROP_MEMORY);
	return cells;
}

static __attribute__((noinline, cold)) void
drop(const struct dynm_series *s, enum report_drop cause)
{
	report_drop(s->family->store->report, cause);
}

/* The array to write to, or NULL. */
static inline uint64_t *
own_cells(const struct dynm_series *s)
{
	uint64_t *cells = blocks_own;

	return unlikely(!cells) ? attach(s) : cells;
}

static inline void
add_whole(uint64_t *cell, uint64_t n)
{
	cell_store(cell, cell_load(cell) + n);
}

static inline double
double_load(const uint64_t *cell)
{
	return wire_double(cell_load(cell));
}

HOT void
dynm_counter_inc(dynm_counter c)
{
	uint64_t *cells;
	uint32_t cell;

	if (unlikely(!c.series_))
		return;
	cells = own_cells(c.series_);
	if (unlikely(!cells))
		return;
	cell = series_cell(c.series_);
	add_whole(cells + cell + CELL_WHOLE, 1);
	cells_mark(cells, cell);
}

HOT void
dynm_counter_add(dynm_counter c, double n)
{
	uint64_t *cells;
	uint32_t cell;

	if (unlikely(!c.series_))
		return;
	if (unlikely(!(n >= 0 && n <= DBL_MAX))) {
		drop(c.series_, REPORT_DROP_COUNTER);
		return;
	}
	cells = own_cells(c.series_);
	if (unlikely(!cells))
		return;
	cell = series_cell(c.series_);
	if (n < EXACT_LIMIT && (double)(uint64_t)n == n)
		add_whole(cells + cell + CELL_WHOLE, (uint64_t)n);
	else
		cell_store(cells + cell + CELL_FRACTION,
		    wire_bits(double_load(cells + cell + CELL_FRACTION) + n));
	cells_mark(cells, cell);
}

/* ---- Gauges ------------------------------------------------------------ */

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* After the value, with release: who sees the time sees that value or a later one. */
static inline void
stamp(const struct dynm_series *s, uint32_t cell)
{
	if (s->family->merge != MESSAGE_LAST)
		return;
	__atomic_store_n(blocks_shared + cell + CELL_TIME, clock_ns(), __ATOMIC_RELEASE);
	cells_mark(blocks_shared, cell);
}

HOT void
dynm_gauge_set(dynm_gauge g, double value)
{
	uint32_t cell;

	/* The value goes to the shared array; the thread's own is asked for all the same,
	 * as that is what wakes the library in a forked child. */
	if (unlikely(!g.series_))
		return;
	if (unlikely(!blocks_own))
		(void)blocks_attach();
	cell = series_cell(g.series_);
	cell_store(blocks_shared + cell + CELL_VALUE, gauge_encode(value));
	stamp(g.series_, cell);
	cells_mark(blocks_shared, cell);
}

/* The gauge was set before: one value for all threads. */
static void
add_shared(const struct dynm_series *s, uint32_t cell, uint64_t old, double delta)
{
	uint64_t *shared = blocks_shared + cell;

	while (!__atomic_compare_exchange_n(shared + CELL_VALUE, &old,
	    gauge_encode(gauge_decode(old) + delta), true, __ATOMIC_RELAXED,
	    __ATOMIC_RELAXED))
		;
	stamp(s, cell);
	cells_mark(blocks_shared, cell);
}

HOT void
dynm_gauge_add(dynm_gauge g, double delta)
{
	uint64_t *cells, set, bits;
	uint32_t cell;

	if (unlikely(!g.series_))
		return;
	cells = own_cells(g.series_);
	cell = series_cell(g.series_);
	set = cell_load(blocks_shared + cell + CELL_VALUE);
	if (set != 0) {
		add_shared(g.series_, cell, set, delta);
		return;
	}
	if (unlikely(!cells))
		return;
	/* A sum that comes to +0 is stored as -0, since bits of 0 mean "never added to".
	 */
	bits = wire_bits(double_load(cells + cell + CELL_VALUE) + delta);
	cell_store(cells + cell + CELL_VALUE, bits ? bits : MINUS_ZERO);
	stamp(g.series_, cell);
	cells_mark(cells, cell);
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
 */
static inline uint32_t
bucket_of(const struct dynm_family *f, double v)
{
	const struct buckets *b = f->buckets;
	uint32_t key = (uint32_t)(ordered_bits(v) >> b->shift);
	uint32_t i;

	if (key < b->low)
		return 0;
	if (key - b->low >= b->keys)
		return f->n_bounds;
	for (i = b->start[key - b->low]; i < f->n_bounds && v > f->bounds[i]; i++)
		;
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
HOT void
dynm_histogram_observe_n(dynm_histogram h, double value, uint64_t n)
{
	uint64_t *cells, *at, sequence;
	uint32_t cell, bucket;

	if (unlikely(!h.series_) || n == 0)
		return;
	if (unlikely(!(value >= -DBL_MAX && value <= DBL_MAX))) {
		drop(h.series_, REPORT_DROP_HISTOGRAM);
		return;
	}
	cells = own_cells(h.series_);
	if (unlikely(!cells))
		return;
	value += 0.0; /* -0 has the bucket of 0 */
	bucket = bucket_of(h.series_->family, value);
	cell = series_cell(h.series_);
	at = cells + cell;
	sequence = cell_load(at + CELL_SEQUENCE);
	cell_store(at + CELL_SEQUENCE, sequence + 1);
	__atomic_store_n(at + CELL_SUM,
	    wire_bits(double_load(at + CELL_SUM) + value * (double)n), __ATOMIC_RELEASE);
	__atomic_store_n(at + CELL_BUCKET + bucket,
	    cell_load(at + CELL_BUCKET + bucket) + n, __ATOMIC_RELEASE);
	__atomic_store_n(at + CELL_SEQUENCE, sequence + 2, __ATOMIC_RELEASE);
	cells_mark(cells, cell);
}

HOT void
dynm_histogram_observe(dynm_histogram h, double value)
{
	dynm_histogram_observe_n(h, value, 1);
}

DYNM_API double
dynm_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / NS_PER_S;
}
