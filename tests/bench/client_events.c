/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_events THREADS SECONDS
 *
 * Threads that count on one counter as fast as they can, while the library flushes to the
 * daemon ($DYN_METRICSD_ADDRESS) ten times a second. Prints how many events there were,
 * all of them taken by the daemon, and then the million events in a second.
 */
#include <dynamo/metrics.h>
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

#define FLUSH_MS 100
#define WAIT_MS	 20000
#define BATCH	 65536 /* events between looks at the clock */
#define MOST	 64

struct counting {
	pthread_t thread;
	pthread_barrier_t *start;
	dynm_counter counter;
	double seconds;
	double events;
};

static void *
count(void *arg)
{
	struct counting *c = arg;
	double end_s;

	pthread_barrier_wait(c->start);
	end_s = bench_now_s() + c->seconds;
	do {
		for (int i = 0; i < BATCH; i++)
			dynm_counter_inc(c->counter);
		c->events += BATCH;
	} while (bench_now_s() < end_s);
	return NULL;
}

static dynm_runtime *
open_runtime(void)
{
	dynm_options options = { .flush_ms = FLUSH_MS };
	dynm_runtime *rt;
	dynm_error error;

	if (dynm_open(&rt, &options, &error) != DYNM_OK)
		errx(1, "%s", error.text);
	return rt;
}

int
main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 2;
	double seconds = argc > 2 ? atof(argv[2]) : 1;
	dynm_runtime *rt = open_runtime();
	dynm_namespace ns = dynm_runtime_namespace(rt, "bench");
	dynm_counter counter = dynm_counter_create(ns.scope, "events_total", "");
	struct counting counting[MOST];
	pthread_barrier_t start;
	double begin_s, end_s, events = 0;

	if (threads < 1 || threads > MOST)
		errx(2, "1 to %d threads", MOST);
	pthread_barrier_init(&start, NULL, (unsigned)threads + 1);
	for (int i = 0; i < threads; i++) {
		counting[i] = (struct counting){ 0, &start, counter, seconds, 0 };
		if (pthread_create(&counting[i].thread, NULL, count, &counting[i]) != 0)
			errx(1, "no thread");
	}
	pthread_barrier_wait(&start);
	begin_s = bench_now_s();
	for (int i = 0; i < threads; i++) {
		pthread_join(counting[i].thread, NULL);
		events += counting[i].events;
	}
	end_s = bench_now_s();
	if (dynm_flush(rt, WAIT_MS) != DYNM_OK)
		errx(1, "the last flush was not taken");
	dynm_close(rt);
	printf("%.0f\n", events);
	return bench_print(events / (end_s - begin_s) / 1e6);
}
