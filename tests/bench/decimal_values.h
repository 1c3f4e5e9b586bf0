/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decimal_values.h - the numbers of which text is made, the same for everybody who makes
 * it.
 */
#ifndef DECIMAL_VALUES_H
#define DECIMAL_VALUES_H

#include <string.h>

#include "bench.h"

#define DECIMAL_VALUES 65536
#define DECIMAL_TEXT   40 /* bytes, for what anybody writes */

/* One of that kind: counts, thousandths, sums of durations, or any double. */
static inline double
decimal_value(const char *kind, uint64_t *random)
{
	double v = 0;
	uint64_t bits;

	if (strcmp(kind, "counts") == 0)
		return (double)(bench_random(random) % 1000000);
	if (strcmp(kind, "thousandths") == 0)
		return (double)(bench_random(random) % 1000000000) / 1000;
	if (strcmp(kind, "sums") == 0) {
		for (int i = 0; i < 8; i++)
			v += bench_lognormal(random);
		return v;
	}
	do {
		bits = bench_random(random);
		memcpy(&v, &bits, sizeof(v));
	} while (!isfinite(v));
	return v;
}

/* ns for the text of one value, by a function that returns its length: the best of some
 * passes. */
static inline double
decimal_ns(const char *kind, size_t (*format)(char *out, double v))
{
	static double values[DECIMAL_VALUES];
	char text[DECIMAL_TEXT];
	uint64_t random = 1;
	double best = HUGE_VAL;

	for (int i = 0; i < DECIMAL_VALUES; i++)
		values[i] = decimal_value(kind, &random);
	for (int pass = bench_quick() ? 9 : 0; pass < 10; pass++) {
		double began = bench_cpu_s(), took;

		for (int i = 0; i < DECIMAL_VALUES; i++) {
			size_t n = format(text, values[i]);

			bench_keep(text + n);
		}
		took = bench_cpu_s() - began;
		best = took < best ? took : best;
	}
	return best * 1e9 / DECIMAL_VALUES;
}

#endif
