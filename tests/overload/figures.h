/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.h - how long things took: counts by duration, sixteen buckets to a doubling.
 *
 * They only grow, so who reads them twice has what came between. crowd.py knows the same
 * buckets.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define FIGURES_BUCKETS 512 /* from a microsecond up */
#define FIGURES_STEPS	16  /* to a doubling */

struct figures {
	uint64_t bucket[FIGURES_BUCKETS];
};

/* A clock that only goes forward. */
static inline double
figures_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static inline void
figures_add(struct figures *f, double seconds)
{
	double i = FIGURES_STEPS * log2(seconds * 1e6 + 1e-9);

	f->bucket[i < 0 ? 0 : i >= FIGURES_BUCKETS ? FIGURES_BUCKETS - 1 : (int)i]++;
}

/* As a JSON array of pairs: a bucket and how many it has. */
static inline void
figures_print(const struct figures *f, FILE *out)
{
	const char *between = "";

	fputc('[', out);
	for (int i = 0; i < FIGURES_BUCKETS; i++) {
		if (f->bucket[i] == 0)
			continue;
		fprintf(out, "%s[%d,%ju]", between, i, (uintmax_t)f->bucket[i]);
		between = ",";
	}
	fputc(']', out);
}

static inline void
figures_join(struct figures *to, const struct figures *more)
{
	for (int i = 0; i < FIGURES_BUCKETS; i++)
		to->bucket[i] += more->bucket[i];
}

#endif
