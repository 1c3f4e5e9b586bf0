/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cells.h - what the cells of a series mean: written by cells.c, read by sums.c.
 */
#ifndef CELLS_H
#define CELLS_H

#include "series.h"
#include "wire.h"

/*
 * On x86-64 an aligned load or store of a double is atomic as one of an integer is, and
 * loads and stores are seen in their order: only the compiler has to be held back. C's
 * atomic operations would take each double through an integer register. Elsewhere, and
 * where the thread sanitizer has to see them, cells are doubles by way of integers.
 */
#if defined(__SANITIZE_THREAD__)
#define CELLS_PORTABLE
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CELLS_PORTABLE
#endif
#endif
#if !defined(__x86_64__) && !defined(CELLS_PORTABLE)
#define CELLS_PORTABLE
#endif

typedef double __attribute__((may_alias)) cell_double;

/* Cells of a counter, of a histogram. */
#define CELL_WHOLE    0
#define CELL_FRACTION 1
#define CELL_SEQUENCE 0
#define CELL_SUM      1
#define CELL_BUCKET   2
/* Cells of a gauge in the shared array: what was set. */
#define CELL_VALUE 0
#define CELL_TIME  1
/*
 * Those in a thread's array are those of a counter, with a sign: what the thread has
 * added. The whole numbers are kept twice as large, plus 1 once anything was added.
 */
#define GAUGE_ADDED 1U

static inline double
cell_load_double(const uint64_t *cell)
{
#ifdef CELLS_PORTABLE
	return wire_double(cell_load(cell));
#else
	return *(const volatile cell_double *)cell;
#endif
}

/* Behind all stores before it. */
static inline void
cell_store_double(uint64_t *cell, double v)
{
#ifdef CELLS_PORTABLE
	__atomic_store_n(cell, wire_bits(v), __ATOMIC_RELEASE);
#else
	__atomic_signal_fence(__ATOMIC_RELEASE);
	*(volatile cell_double *)cell = v;
#endif
}

/*
 * A gauge's value is stored with these bits turned over, so that memory that is all zero
 * says "unset". They are those of a NaN that is never stored: every NaN becomes the one
 * that the wire knows.
 */
#define GAUGE_UNSET 0x7ff8000000000001U
#define GAUGE_NAN   0x7ff8000000000000U

static inline uint64_t
gauge_encode(double value)
{
	return (value != value ? GAUGE_NAN : wire_bits(value)) ^ GAUGE_UNSET;
}

static inline double
gauge_decode(uint64_t encoded)
{
	return wire_double(encoded ^ GAUGE_UNSET);
}

/* Doubles as integers of the same order; -0 is right below 0. */
static inline int64_t
ordered_bits(double v)
{
	int64_t bits = (int64_t)wire_bits(v);

	return bits ^ (int64_t)((uint64_t)(bits >> 63) >> 1);
}

#endif /* CELLS_H */
