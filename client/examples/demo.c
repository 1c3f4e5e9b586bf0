/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo.c - what `make run` shows: a worker that pretends to answer requests, with every
 * kind of metric and a load that comes and goes. It runs until SIGTERM or SIGINT.
 *
 *	demo NAME	several of them share their metrics; NAME tells them apart
 */
#include <dynamo/metrics.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STEP_S	 0.02 /* between two looks at the load */
#define PERIOD_S 30.0 /* of the load, from peak to peak */
#define PEAK	 40   /* requests in a step, at most */

struct demo {
	dynm_counter_vec requests;
	dynm_counter tokens;
	dynm_histogram seconds;
	dynm_gauge active;
	dynm_gauge slowest;
	dynm_gauge queue;
	dynm_gauge loaded;
	dynm_gauge_vec memory;
};

static volatile sig_atomic_t stopping;

static void
stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

static double
chance(void)
{
	return (double)rand() / RAND_MAX;
}

static void
create(struct demo *d, dynm_component comp, dynm_endpoint ep)
{
	d->requests = dynm_counter_vec_create(ep.scope, "requests_total",
	    "Requests answered, by model.", DYNM_LABELS("model"));
	d->tokens = dynm_counter_create(ep.scope, "tokens_total", "Tokens generated.");
	d->seconds = dynm_histogram_create(ep.scope, "request_duration_seconds",
	    "Time to answer.", DYNM_BUCKETS(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5));
	d->active =
	    dynm_gauge_create(ep.scope, "active_connections", "Clients connected.");
	d->slowest = dynm_gauge_create_merge(ep.scope, "slowest_request_seconds",
	    "The slowest request of the last step, over all workers.", DYNM_MAX);
	d->queue = dynm_gauge_create_merge(
	    ep.scope, "queue_depth", "Requests waiting, per worker.", DYNM_EACH);
	d->loaded = dynm_gauge_create_merge(comp.scope, "model_loaded_timestamp_seconds",
	    "When a worker last loaded the model.", DYNM_LAST);
	d->memory = dynm_gauge_vec_create(comp.scope, "gpu_memory_bytes",
	    "GPU memory in use, by device.", DYNM_LABELS("gpu_id", "memory_type"));
}

static void
answer_one(const struct demo *d, double *slowest)
{
	double seconds = 0.01 - 0.15 * log(1 - 0.999 * chance());

	dynm_counter_inc(dynm_with(d->requests, chance() < 0.7 ? "llama-7b" : "gpt-13b"));
	dynm_counter_add(d->tokens, floor(200 * chance()));
	dynm_histogram_observe(d->seconds, seconds);
	if (seconds > *slowest)
		*slowest = seconds;
}

static void
step(const struct demo *d, double now)
{
	double load = 0.5 + 0.5 * sin(2 * acos(-1) * now / PERIOD_S);
	int requests = (int)(PEAK * load * chance());
	double slowest = 0;

	for (int i = 0; i < requests; i++)
		answer_one(d, &slowest);
	dynm_gauge_set(d->active, floor(100 * load));
	dynm_gauge_set(d->slowest, slowest);
	dynm_gauge_set(d->queue, requests);
	dynm_gauge_set(
	    dynm_with(d->memory, "0", "allocated"), floor(8e9 * (0.5 + load / 2)));
	dynm_gauge_set(dynm_with(d->memory, "0", "cached"), floor(4e9 * load));
}

int
main(int argc, char **argv)
{
	struct timespec pause = { 0, (long)(STEP_S * 1e9) };
	dynm_options options = { .worker = argc > 1 ? argv[1] : NULL };
	dynm_runtime *rt;
	dynm_error error;
	struct demo d;

	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	srand((unsigned)time(NULL) ^ (argc > 1 ? (unsigned)argv[1][0] << 8 : 0));
	if (dynm_open(&rt, &options, &error) != DYNM_OK) {
		fprintf(stderr, "demo: %s\n", error.text);
		return 1;
	}
	dynm_component comp =
	    dynm_namespace_component(dynm_runtime_namespace(rt, "dynamo"), "backend");
	create(&d, comp, dynm_component_endpoint(comp, "generate"));
	if (dynm_runtime_error(rt, &error) != DYNM_OK)
		fprintf(stderr, "demo: %s\n", error.text);
	dynm_gauge_set(d.loaded, (double)time(NULL));
	while (!stopping) {
		step(&d, dynm_now());
		nanosleep(&pause, NULL);
	}
	dynm_close(rt);
	return 0;
}
