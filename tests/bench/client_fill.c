/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_fill.c SERIES [FAMILIES [family|mixed]] - a worker with so many counters, as an
 * application would have them: 3 labels of its place, a model and a worker. They are made
 * family by family, or (mixed) a child of each family in turn, so that what a page has
 * side by side lies far apart. Says "ready" when the daemon has them all, and is gone at
 * the end of its input: they stay.
 */
#include <dynamo/metrics.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define FAMILIES_MAX 1000
#define MODELS	     10

static dynm_counter_vec family[FAMILIES_MAX];

static bool
make_families(dynm_scope at, long families)
{
	char name[64];

	for (long i = 0; i < families; i++) {
		snprintf(name, sizeof(name), "bench_requests_%03ld_total", i);
		family[i] = dynm_counter_vec_create(
		    at, name, "Requests served.", DYNM_LABELS("model", "worker_id"));
		if (family[i].family_ == NULL)
			return false;
	}
	return true;
}

/* Counts of 1 to 7 digits. */
static void
add_child(long i, long child, uint64_t *seed)
{
	char model[32], worker[32];
	uint64_t random = bench_random(seed);
	static const uint64_t most[] = { 10, 100, 1000, 10000, 100000, 1000000,
		10000000 };

	snprintf(model, sizeof(model), "llama-%ld-instruct", child % MODELS);
	snprintf(worker, sizeof(worker), "worker-%05ld", child / MODELS);
	dynm_counter_add(
	    dynm_with(family[i], model, worker), (double)(random / 7 % most[random % 7]));
}

int
main(int argc, char **argv)
{
	long series = argc > 1 ? atol(argv[1]) : 0;
	long families = argc > 2 ? atol(argv[2]) : 100;
	bool mixed = argc > 3 && strcmp(argv[3], "mixed") == 0;
	dynm_options options = { .max_series = (uint32_t)series + 1 };
	dynm_runtime *rt;
	dynm_scope at;
	uint64_t seed = 1;
	char rest[16];

	if (series < 1 || families < 1 || families > FAMILIES_MAX ||
	    dynm_open(&rt, &options, NULL) != DYNM_OK)
		return 1;
	at = dynm_component_endpoint(
	    dynm_namespace_component(dynm_runtime_namespace(rt, "prod"), "backend"),
	    "generate")
		 .scope;
	if (!make_families(at, families))
		return 1;
	for (long i = 0; i < series; i++)
		add_child(mixed ? i % families : i / ((series + families - 1) / families),
		    mixed ? i / families : i % ((series + families - 1) / families),
		    &seed);
	if (dynm_flush(rt, 120000) != DYNM_OK)
		return 1;
	puts("ready");
	fflush(stdout);
	while (fread(rest, 1, sizeof(rest), stdin) > 0)
		;
	dynm_close(rt);
	return 0;
}
