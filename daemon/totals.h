/* SPDX-License-Identifier: Apache-2.0 */
/*
 * totals.h - the running totals of counters and histograms: runs of doubles that never
 * move, each with the number of the series it belongs to. One thread.
 */
#ifndef TOTALS_H
#define TOTALS_H

#include "message.h"

#define TOTALS_CHUNK   65536U
#define TOTALS_RUN_MAX (MESSAGE_BOUNDS_MAX + 2)
#define TOTALS_MAX     (1U << 29) /* what a cell's slot can say */

struct totals_chunk {
	double value[TOTALS_CHUNK];
	uint32_t series[TOTALS_CHUNK]; /* of a run's first total */
};

struct totals {
	struct totals_chunk **chunk;
	uint32_t n_chunks;
	uint32_t used;
	uint32_t free[TOTALS_RUN_MAX + 1]; /* by length: position + 1 of a released run */
};

void totals_free(struct totals *t);
/* A run of n zeros for a series. False when memory or numbers are out. */
bool totals_new(struct totals *t, uint32_t n, uint32_t series, uint32_t *ret_at);
void totals_release(struct totals *t, uint32_t at, uint32_t n);

static inline double *
totals_at(const struct totals *t, uint32_t at)
{
	return &t->chunk[at / TOTALS_CHUNK]->value[at % TOTALS_CHUNK];
}

static inline uint32_t
totals_series(const struct totals *t, uint32_t at)
{
	return t->chunk[at / TOTALS_CHUNK]->series[at % TOTALS_CHUNK];
}

#endif /* TOTALS_H */
