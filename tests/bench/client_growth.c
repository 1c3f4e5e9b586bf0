/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_growth.c SERIES LABELS BUCKETS - a worker with counters of so many labels each,
 * or, if BUCKETS is not 0, with histograms that have something in each bucket. Says
 * "ready" when the daemon has them all, and stays to the end of its input.
 */
#include <dynamo/metrics.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

#define LABELS_MAX  32
#define BUCKETS_MAX 128
#define TEXT_BYTES  32

static char name[LABELS_MAX][TEXT_BYTES], value[LABELS_MAX][TEXT_BYTES];
static const char *names[LABELS_MAX], *values[LABELS_MAX];
static double bounds[BUCKETS_MAX];

/* Its first label tells a series from the others, the rest have ten values each. */
static dynm_strings
values_of(size_t labels, int series)
{
	for (size_t i = 0; i < labels; i++) {
		snprintf(value[i], TEXT_BYTES, "value-%d", i == 0 ? series : series % 10);
		values[i] = value[i];
	}
	return (dynm_strings){ labels, values };
}

static void
count(dynm_scope at, int series, dynm_strings label_names)
{
	dynm_counter_vec vec =
	    dynm_counter_vec_create(at, "growth_total", "What grows.", label_names);

	for (int i = 0; i < series; i++)
		dynm_counter_add(
		    dynm_counter_vec_with(vec, values_of(label_names.n, i)), i);
}

static void
observe(dynm_scope at, int series, dynm_strings label_names, size_t buckets)
{
	dynm_histogram_vec vec = dynm_histogram_vec_create(at, "growth_seconds",
	    "What grows.", label_names, (dynm_buckets){ buckets, bounds });

	for (int i = 0; i < series; i++) {
		dynm_histogram h =
		    dynm_histogram_vec_with(vec, values_of(label_names.n, i));
		for (size_t b = 0; b < buckets; b++)
			dynm_histogram_observe(h, bounds[b]);
	}
}

int
main(int argc, char **argv)
{
	int series = argc == 4 ? atoi(argv[1]) : 0;
	size_t labels = argc == 4 ? (size_t)atoi(argv[2]) : 0;
	size_t buckets = argc == 4 ? (size_t)atoi(argv[3]) : 0;
	dynm_strings label_names = { labels, names };
	char rest[16];
	dynm_runtime *rt;
	dynm_error error;

	if (series < 1 || labels < 1 || labels > LABELS_MAX || buckets > BUCKETS_MAX)
		errx(2, "client_growth SERIES LABELS BUCKETS");
	for (size_t i = 0; i < labels; i++) {
		snprintf(name[i], TEXT_BYTES, "label_%zu", i);
		names[i] = name[i];
	}
	for (size_t i = 0; i < buckets; i++)
		bounds[i] = (double)(i + 1) / 1000;
	if (dynm_open(&rt, NULL, &error) != DYNM_OK)
		errx(1, "%s", error.text);
	if (buckets > 0)
		observe(dynm_runtime_scope(rt), series, label_names, buckets);
	else
		count(dynm_runtime_scope(rt), series, label_names);
	if (dynm_flush(rt, 60000) != DYNM_OK)
		errx(1, "the daemon did not take them");
	puts("ready");
	fflush(stdout);
	while (fread(rest, 1, sizeof(rest), stdin) > 0)
		;
	dynm_close(rt);
	return 0;
}
