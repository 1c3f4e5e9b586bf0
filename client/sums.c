/* SPDX-License-Identifier: Apache-2.0 */
#include "sums.h"

#define TRIES 64 /* to read a histogram; then a writer was interrupted inside */

/* What the daemon takes: a sum that is larger is the largest that it takes. */
static double
finite(double v)
{
	if (v > MESSAGE_VALUE_MAX)
		return MESSAGE_VALUE_MAX;
	if (v < -MESSAGE_VALUE_MAX)
		return -MESSAGE_VALUE_MAX;
	return v != v ? 0 : v;
}

static const struct cells *
next_touched(const struct cells *c, uint32_t cell)
{
	while (c && !cells_touched(c->cell, cell))
		c = c->next;
	return c;
}

/* The arrays that have something in the block of a cell, retired first. */
#define FOR_TOUCHED(c, cell) \
	for (const struct cells *c = next_touched(blocks_first(), cell); c; \
	     c = next_touched(c->next, cell))

/* Of the sums of all threads. */
static inline uint64_t
counter_bits(uint64_t whole, double fraction)
{
	double v = (double)whole + fraction;

	return wire_bits(v <= MESSAGE_VALUE_MAX ? v : finite(v));
}

static void
read_counter(uint32_t cell, uint64_t *ret)
{
	uint64_t whole = 0;
	double fraction = 0;

	FOR_TOUCHED(c, cell)
	{
		whole += cell_load(c->cell + cell + CELL_WHOLE);
		fraction += wire_double(cell_load(c->cell + cell + CELL_FRACTION));
	}
	*ret = counter_bits(whole, fraction);
}

static void
read_run_of_threads(
    const struct cells *first, uint32_t cell, uint32_t n, uint64_t *ret_value)
{
	uint64_t whole[SUMS_RUN_MAX] = { 0 };
	double fraction[SUMS_RUN_MAX] = { 0 };

	for (const struct cells *c = first; c; c = next_touched(c->next, cell)) {
		const uint64_t *at = c->cell + cell;

		for (uint32_t i = 0; i < n; i++, at += 2) {
			whole[i] += cell_load(at + CELL_WHOLE);
			fraction[i] += wire_double(cell_load(at + CELL_FRACTION));
		}
	}
	for (uint32_t i = 0; i < n; i++)
		ret_value[i] = counter_bits(whole[i], fraction[i]);
}

/* Two at once: what compilers make of these the processors have, or it is done one by
 * one.
 */
typedef double pair __attribute__((vector_size(16)));
typedef int64_t pair_bits __attribute__((vector_size(16)));

/*
 * Counters of one thread, an even number. Whole numbers below 2^52 become doubles by way
 * of the mantissa of 2^52; false if there are others, or one that is too large.
 */
static bool
read_run_of_thread(const uint64_t *at, uint32_t n, uint64_t *ret_value)
{
	const pair two_52 = { 0x1p52, 0x1p52 };
	const pair most = { MESSAGE_VALUE_MAX, MESSAGE_VALUE_MAX };
	pair_bits seen = { 0, 0 }, fine = { -1, -1 };

	for (uint32_t i = 0; i < n; i += 2, at += 4) {
		pair_bits whole = (pair_bits)(pair){ cell_load_double(at + CELL_WHOLE),
			cell_load_double(at + 2 + CELL_WHOLE) };
		pair fraction = { cell_load_double(at + CELL_FRACTION),
			cell_load_double(at + 2 + CELL_FRACTION) };
		pair v = (pair)(whole | (pair_bits)two_52) - two_52 + fraction;

		seen |= whole;
		fine &= v <= most;
		memcpy(ret_value + i, &v, sizeof(v));
	}
	return (uint64_t)(seen[0] | seen[1]) >> 52 == 0 && (fine[0] & fine[1]);
}

void
sums_read_run(uint32_t cell, uint32_t n, uint64_t *ret_value)
{
	const struct cells *c = next_touched(blocks_first(), cell);

	if (!c || next_touched(c->next, cell) ||
	    !read_run_of_thread(c->cell + cell, (n + 1) & ~1U, ret_value))
		read_run_of_threads(c, cell, n, ret_value);
}

static enum sums_result
read_gauge(const struct dynm_series *s, uint32_t cell, uint64_t *ret)
{
	bool last = s->family->merge == MESSAGE_LAST;
	const uint64_t *shared = blocks_shared + cell;
	uint64_t set;
	double sum = 0;
	bool any = false;

	/* Time first, with acquire: its value or a later one is there then. */
	if (last)
		ret[1] = __atomic_load_n(shared + CELL_TIME, __ATOMIC_ACQUIRE);
	set = cell_load(shared + CELL_VALUE);
	if (set != 0) {
		ret[0] = set;
		return !last || ret[1] != 0 ? SUMS_VALUE : SUMS_TORN;
	}
	FOR_TOUCHED(c, cell)
	{
		/* Acquire: with the fraction that was added first, or more. */
		uint64_t whole =
		    __atomic_load_n(c->cell + cell + CELL_WHOLE, __ATOMIC_ACQUIRE);

		any |= whole & GAUGE_ADDED;
		sum += (double)((int64_t)whole >> 1) +
		       cell_load_double(c->cell + cell + CELL_FRACTION);
	}
	ret[0] = gauge_encode(sum);
	if (any && last && ret[1] == 0)
		return SUMS_TORN;
	return any ? SUMS_VALUE : SUMS_UNSET;
}

/* One thread's part; see cells.c for why this is sound. */
static bool
read_part(const uint64_t *at, uint32_t n, uint64_t part[SUMS_CELLS_MAX])
{
	for (int i = 0; i < TRIES; i++) {
		uint64_t sequence = __atomic_load_n(at + CELL_SEQUENCE, __ATOMIC_ACQUIRE);

		for (uint32_t k = 0; k < n; k++)
			part[k] = __atomic_load_n(at + CELL_BUCKET + k, __ATOMIC_ACQUIRE);
		part[n] = __atomic_load_n(at + CELL_SUM, __ATOMIC_ACQUIRE);
		if (sequence % 2 == 0 && cell_load(at + CELL_SEQUENCE) == sequence)
			return true;
	}
	return false;
}

static enum sums_result
read_histogram(uint32_t n_bounds, uint32_t cell, uint64_t ret[SUMS_CELLS_MAX])
{
	uint64_t part[SUMS_CELLS_MAX];
	uint64_t count[SUMS_CELLS_MAX] = { 0 };
	uint32_t n = n_bounds + 1;
	double sum = 0;

	FOR_TOUCHED(c, cell)
	{
		if (!read_part(c->cell + cell, n, part))
			return SUMS_TORN;
		for (uint32_t k = 0; k < n; k++)
			count[k] += part[k];
		sum += wire_double(part[n]);
	}
	for (uint32_t k = 0; k < n; k++)
		ret[k] = wire_bits((double)count[k]);
	ret[n] = wire_bits(finite(sum));
	return SUMS_VALUE;
}

enum sums_result
sums_read(const struct dynm_series *s, uint64_t ret_value[SUMS_CELLS_MAX])
{
	uint32_t cell = series_own_cell(s);

	switch ((enum message_kind)s->family->kind) {
	case MESSAGE_COUNTER:
		read_counter(cell, ret_value);
		return SUMS_VALUE;
	case MESSAGE_GAUGE:
		return read_gauge(s, cell, ret_value);
	case MESSAGE_HISTOGRAM:
		return read_histogram(s->family->n_bounds, cell, ret_value);
	}
	return SUMS_UNSET;
}

/* ---- A thread has ended ------------------------------------------------ */

static void
fold_whole(const uint64_t *from, uint64_t *to)
{
	cell_store(to, cell_load(to) + cell_load(from));
}

static void
fold_double(const uint64_t *from, uint64_t *to)
{
	cell_store(
	    to, wire_bits(wire_double(cell_load(to)) + wire_double(cell_load(from))));
}

static void
fold_gauge(const uint64_t *from, uint64_t *to)
{
	uint64_t added = cell_load(from + CELL_WHOLE);

	if (added == 0)
		return;
	fold_double(from + CELL_FRACTION, to + CELL_FRACTION);
	cell_store(to + CELL_WHOLE,
	    (cell_load(to + CELL_WHOLE) | GAUGE_ADDED) + added - GAUGE_ADDED);
}

static void
fold_series(const struct dynm_series *s, const uint64_t *from, uint64_t *to)
{
	switch ((enum message_kind)s->family->kind) {
	case MESSAGE_COUNTER:
		fold_whole(from + CELL_WHOLE, to + CELL_WHOLE);
		fold_double(from + CELL_FRACTION, to + CELL_FRACTION);
		return;
	case MESSAGE_GAUGE:
		fold_gauge(from, to);
		return;
	case MESSAGE_HISTOGRAM:
		fold_double(from + CELL_SUM, to + CELL_SUM);
		for (uint32_t i = 0; i <= s->family->n_bounds; i++)
			fold_whole(from + CELL_BUCKET + i, to + CELL_BUCKET + i);
		return;
	}
}

void
sums_fold(const struct slab *slab, const uint64_t *from, uint64_t *to)
{
	uint8_t used = slab_used(slab);

	for (uint8_t i = 0; i < used; i++) {
		uint32_t cell = series_own_cell(&slab->series[i]);

		fold_series(&slab->series[i], from + cell, to + cell);
	}
}
