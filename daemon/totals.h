/* SPDX-License-Identifier: Apache-2.0 */
/*
 * totals.h - the running totals of counters and histograms, which never move.
 *
 * Each series has one word, by its number: a counter its total, a histogram where its
 * run of totals begins, a gauge its first part. A run is as many doubles as the histogram
 * has cells, behind a word that says which series it belongs to. One thread.
 */
#ifndef TOTALS_H
#define TOTALS_H

#include "message.h"

#define TOTALS_CHUNK   8192U
#define TOTALS_RUN_MAX (MESSAGE_BOUNDS_MAX + 2)
#define TOTALS_MAX     (1U << 29) /* what a cell's slot can say */

union totals_word {
	double total;
	uint32_t at; /* a run, a part, or (in a run's head) a series */
};

struct totals {
	union totals_word **one; /* of each series */
	union totals_word **run;
	uint32_t n_one, n_run;		   /* chunks */
	uint32_t used;			   /* words of runs */
	uint32_t free[TOTALS_RUN_MAX + 1]; /* by length: a released run, or 0 */
};

void totals_free(struct totals *t);
/* The word of a series, zeroed; NULL when memory or numbers are out. */
union totals_word *totals_of_new(struct totals *t, uint32_t series);
/* A run of n zeros for a series; 0 when memory or numbers are out. */
uint32_t totals_run_new(struct totals *t, uint32_t n, uint32_t series);
void totals_run_release(struct totals *t, uint32_t run, uint32_t n);

static inline union totals_word *
totals_of(const struct totals *t, uint32_t series)
{
	return &t->one[series / TOTALS_CHUNK][series % TOTALS_CHUNK];
}

static inline double *
totals_run(const struct totals *t, uint32_t run)
{
	return &t->run[run / TOTALS_CHUNK][run % TOTALS_CHUNK].total;
}

/* The series that a run belongs to. */
static inline uint32_t
totals_run_series(const struct totals *t, uint32_t run)
{
	return t->run[run / TOTALS_CHUNK][run % TOTALS_CHUNK - 1].at;
}

#endif /* TOTALS_H */
