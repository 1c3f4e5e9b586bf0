/* SPDX-License-Identifier: Apache-2.0 */
#include <dynamo/metrics.h>

#include "counts.h"

#define CHILDREN 128

static dynm_counter counter;
static dynm_gauge gauge;
static dynm_histogram histogram;
static dynm_counter_vec vec;
static char path[CHILDREN][32];

static void
inc(long times)
{
	for (long i = 0; i < times; i++)
		dynm_counter_inc(counter);
}

static void
set(long times)
{
	for (long i = 0; i < times; i++)
		dynm_gauge_set(gauge, (double)i);
}

/* Up to twice the last bound, each value as often as any other. */
static void
observe(long times)
{
	for (long i = 0; i < times; i++)
		dynm_histogram_observe(histogram, 20.0 * (double)(i % 1000) / 1000);
}

static void
lookup(long times)
{
	for (long i = 0; i < times; i++)
		dynm_counter_inc(dynm_with(vec, path[i % CHILDREN], "GET"));
}

static void
make(dynm_scope at)
{
	static const double upper[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
		5, 10 };

	counter = dynm_counter_create(at, "counts_requests_total", "");
	gauge = dynm_gauge_create(at, "counts_level", "");
	histogram =
	    dynm_histogram_create(at, "counts_seconds", "", (dynm_buckets){ 11, upper });
	vec = dynm_counter_vec_create(
	    at, "counts_codes_total", "", DYNM_LABELS("path", "method"));
	for (int i = 0; i < CHILDREN; i++) {
		snprintf(path[i], sizeof(path[i]), "/api/v1/resource%d", i);
		dynm_counter_inc(dynm_with(vec, path[i], "GET"));
	}
	inc(1);
	set(1);
	observe(1);
}

int
main(int argc, char **argv)
{
	static const struct count all[] = {
		{ "counter_inc", inc },
		{ "gauge_set", set },
		{ "observe", observe },
		{ "lookup", lookup },
	};
	dynm_options options = { .address = "ipc:///nobody/listens/here" };
	dynm_runtime *rt;

	if (dynm_open(&rt, &options, NULL) != DYNM_OK)
		return 1;
	make(dynm_runtime_scope(rt));
	return counts_run(all, sizeof(all) / sizeof(all[0]), argc, argv);
}
