/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sums.h - the value of a series: its cells summed over all threads.
 *
 * All under the lock of blocks.h: a thread that ends moves its cells to the retired
 * array, and must not do so in the middle of a sum.
 */
#ifndef SUMS_H
#define SUMS_H

#include "cells.h"

#define SUMS_CELLS_MAX (SERIES_BOUNDS_MAX + 2)

enum sums_result {
	SUMS_UNSET, /* a gauge that nobody has set */
	SUMS_VALUE,
	SUMS_TORN /* a histogram that a thread is in the midst of writing: look again */
};

/*
 * The values of the wire cells of s: doubles' bits; of a gauge encoded (cells.h), and its
 * time in ns. Counters and buckets never come out lower than before, but for the rounding
 * of fractions when a thread has ended: the caller has the last word on that.
 */
enum sums_result sums_read(
    const struct dynm_series *s, uint64_t ret_value[SUMS_CELLS_MAX]);

/* The same of n counters, at most SUMS_RUN_MAX, that lie in one block from a cell on. */
#define SUMS_RUN_MAX (CELLS_BLOCK / 2)
void sums_read_run(uint32_t cell, uint32_t n, uint64_t *ret_value);

/* Add all children of a slab in one array to another. */
void sums_fold(const struct slab *slab, const uint64_t *from, uint64_t *to);

#endif /* SUMS_H */
