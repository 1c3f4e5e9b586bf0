/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_hot.c WHAT - nanoseconds of one call of the library in a loop, or of its floor.
 * One that ends in _2 runs in two threads at once on the same metric: what each call
 * costs a thread.
 *
 * The clock is each thread's own processor time: what else the machine does is not
 * counted.
 */
#include <dynamo/metrics.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "bench.h"
#include "floor/floor.h"

#define ROBIN	    16 /* histograms in turns */
#define LOOKUPS_MAX 10000
#define THREADS_MAX 2
#define METHOD	    "GET"

static dynm_counter counter;
static dynm_gauge gauge;
static dynm_histogram histogram[ROBIN];
static dynm_counter_vec vec;
static struct floor_histogram floor_of[ROBIN];
static double value[BENCH_VALUES];
static uint8_t bucket[BENCH_VALUES];  /* of value */
static uint16_t picked[BENCH_VALUES]; /* a child, at random */
static char path[LOOKUPS_MAX][32];
static uint64_t sink;

static const double bounds_11[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
	10 };
static double bounds_30[30];

/* ---- What is measured ------------------------------------------------------- */

static void
empty(long times)
{
	for (long i = 0; i < times; i++)
		floor_call(counter.series_);
}

static void
empty_double(long times)
{
	for (long i = 0; i < times; i++)
		floor_call_double(gauge.series_, 1);
}

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

static void
add(long times)
{
	for (long i = 0; i < times; i++)
		dynm_gauge_add(gauge, 1);
}

static void
observe(long times)
{
	for (long i = 0; i < times; i++)
		dynm_histogram_observe(histogram[0], value[i % BENCH_VALUES]);
}

static void
observe_robin(long times)
{
	for (long i = 0; i < times; i++)
		dynm_histogram_observe(histogram[i % ROBIN], value[i % BENCH_VALUES]);
}

static void
stores(long times)
{
	for (long i = 0; i < times; i++)
		floor_observe(
		    &floor_of[0], bucket[i % BENCH_VALUES], value[i % BENCH_VALUES]);
}

static void
stores_robin(long times)
{
	for (long i = 0; i < times; i++)
		floor_observe(&floor_of[i % ROBIN], bucket[i % BENCH_VALUES],
		    value[i % BENCH_VALUES]);
}

static void
torn_robin(long times)
{
	for (long i = 0; i < times; i++)
		floor_observe_torn(&floor_of[i % ROBIN], bucket[i % BENCH_VALUES],
		    value[i % BENCH_VALUES]);
}

static void
lookup(long times)
{
	for (long i = 0; i < times; i++)
		dynm_counter_inc(dynm_with(vec, path[picked[i % BENCH_VALUES]], METHOD));
}

static void
hash(long times)
{
	uint64_t sum = 0;

	for (long i = 0; i < times; i++) {
		const char *const texts[] = { path[picked[i % BENCH_VALUES]], METHOD };

		sum += floor_hash(2, texts);
	}
	__atomic_fetch_add(&sink, sum, __ATOMIC_RELAXED);
}

static const struct {
	const char *name;
	void (*run)(long times);
	long times; /* in a fraction of a second */
	int n;	    /* buckets or children */
	int threads;
} benches[] = {
	{ "empty_call", empty, 200000000, 0, 1 },
	{ "empty_call_double", empty_double, 200000000, 0, 1 },
	{ "counter_inc", inc, 100000000, 0, 1 },
	{ "counter_inc_2", inc, 100000000, 0, 2 },
	{ "gauge_set", set, 100000000, 0, 1 },
	{ "gauge_add", add, 50000000, 0, 1 },
	{ "gauge_add_after_set", add, 20000000, 1, 1 },
	{ "stores_11", stores, 30000000, 11, 1 },
	{ "stores_30", stores, 30000000, 30, 1 },
	{ "observe_11", observe, 30000000, 11, 1 },
	{ "observe_30", observe, 30000000, 30, 1 },
	{ "observe_2", observe, 30000000, 11, 2 },
	{ "stores_11_of_16", stores_robin, 30000000, 11, 1 },
	{ "stores_30_of_16", stores_robin, 30000000, 30, 1 },
	{ "torn_11_of_16", torn_robin, 30000000, 11, 1 },
	{ "torn_30_of_16", torn_robin, 30000000, 30, 1 },
	{ "observe_11_of_16", observe_robin, 30000000, 11, 1 },
	{ "observe_30_of_16", observe_robin, 30000000, 30, 1 },
	{ "hash_100", hash, 20000000, 100, 1 },
	{ "hash_10000", hash, 20000000, 10000, 1 },
	{ "lookup_100", lookup, 10000000, 100, 1 },
	{ "lookup_10000", lookup, 10000000, 10000, 1 },
	{ "lookup_2", lookup, 10000000, 100, 2 },
	{ "lookup_10000_2", lookup, 10000000, 10000, 2 },
};

/* ---- Preparing ------------------------------------------------------------- */

static dynm_buckets
buckets(int n)
{
	for (int i = 0; i < 30; i++)
		bounds_30[i] = 0.001 * pow(1.4, i);
	return n == 30 ? (dynm_buckets){ 30, bounds_30 }
		       : (dynm_buckets){ 11, bounds_11 };
}

static void
make_values(dynm_buckets b)
{
	uint64_t random = 1;

	for (int i = 0; i < BENCH_VALUES; i++) {
		size_t k = 0;

		value[i] = bench_lognormal(&random);
		while (k < b.n && value[i] > b.upper[k])
			k++;
		bucket[i] = (uint8_t)k;
	}
}

static void
make_children(int n)
{
	uint64_t random = 1;

	for (int i = 0; i < n; i++) {
		snprintf(path[i], sizeof(path[i]), "/api/v1/resource%d", i);
		dynm_counter_inc(dynm_with(vec, path[i], METHOD));
	}
	for (int i = 0; n > 0 && i < BENCH_VALUES; i++)
		picked[i] = (uint16_t)(bench_random(&random) % (uint64_t)n);
}

static void
make(dynm_runtime *rt, int n)
{
	dynm_scope at = dynm_runtime_scope(rt);
	char name[32];

	counter = dynm_counter_create(at, "bench_requests_total", "");
	gauge = dynm_gauge_create(at, "bench_level", "");
	if (n == 1)
		dynm_gauge_set(gauge, 0);
	make_values(buckets(n));
	for (int i = 0; i < ROBIN; i++) {
		snprintf(name, sizeof(name), "bench_%d_seconds", i);
		histogram[i] = dynm_histogram_create(at, name, "", buckets(n));
	}
	vec = dynm_counter_vec_create(
	    at, "bench_codes_total", "", DYNM_LABELS("path", "method"));
	if (n >= 100)
		make_children(n);
}

/* ---- Running --------------------------------------------------------------- */

struct thread {
	pthread_t id;
	size_t bench;
	long times;
	double ns;
};

static atomic_int waiting;

static void *
run(void *arg)
{
	struct thread *t = arg;
	double began_s;

	benches[t->bench].run(t->times / 10); /* warm */
	atomic_fetch_sub(&waiting, 1);
	while (atomic_load(&waiting) > 0)
		;
	began_s = bench_clock_s(CLOCK_THREAD_CPUTIME_ID);
	benches[t->bench].run(t->times);
	t->ns =
	    (bench_clock_s(CLOCK_THREAD_CPUTIME_ID) - began_s) / (double)t->times * 1e9;
	return NULL;
}

static double
measure(size_t bench)
{
	struct thread t[THREADS_MAX];
	int n = benches[bench].threads;
	double ns = 0;

	atomic_store(&waiting, n);
	for (int i = 0; i < n; i++) {
		t[i] = (struct thread){ .bench = bench,
			.times = bench_quick() ? 100000 : benches[bench].times };
		if (pthread_create(&t[i].id, NULL, run, &t[i]) != 0)
			exit(1);
	}
	for (int i = 0; i < n; i++) {
		pthread_join(t[i].id, NULL);
		ns += t[i].ns / n;
	}
	bench_keep(&floor_of);
	bench_keep(&sink);
	return ns;
}

int
main(int argc, char **argv)
{
	dynm_options options = { .address = "ipc:///nobody/listens/here" };
	dynm_runtime *rt;

	for (size_t i = 0; argc == 2 && i < sizeof(benches) / sizeof(benches[0]); i++) {
		if (strcmp(argv[1], benches[i].name) != 0)
			continue;
		if (dynm_open(&rt, &options, NULL) != DYNM_OK)
			return 1;
		make(rt, benches[i].n);
		return bench_print(measure(i));
	}
	return 2;
}
