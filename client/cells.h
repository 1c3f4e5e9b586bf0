/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cells.h - what the cells of a series mean: written by cells.c, read by sums.c.
 */
#ifndef CELLS_H
#define CELLS_H

#include "series.h"
#include "wire.h"

/* Cells of a counter, of a histogram. */
#define CELL_WHOLE    0
#define CELL_FRACTION 1
#define CELL_SEQUENCE 0
#define CELL_SUM      1
#define CELL_BUCKET   2
/* Cells of a gauge. */
#define CELL_VALUE 0
#define CELL_TIME  1

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

/* Doubles as integers of the same order. */
static inline uint64_t
ordered_bits(double v)
{
	uint64_t bits = wire_bits(v);

	return bits >> 63 ? ~bits : bits | 1ULL << 63;
}

#endif /* CELLS_H */
