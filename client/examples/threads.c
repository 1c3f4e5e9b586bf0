/* SPDX-License-Identifier: Apache-2.0 */
/*
 * threads.c - many threads count into the same metrics. Handles are shared without a
 * lock: each thread writes memory of its own, and the flush thread adds it up. What a
 * thread has counted stays when it ends.
 */
#include <dynamo/metrics.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS	 4
#define REQUESTS 250000 /* of each thread */

static dynm_counter_vec answers;
static dynm_histogram sizes;

static void *
serve(void *arg)
{
	/* Picked once: dynm_with() hashes the label values. */
	dynm_counter ok = dynm_with(answers, "200");
	dynm_counter failed = dynm_with(answers, "500");

	for (int i = 1; i <= REQUESTS; i++) {
		dynm_counter_inc(i % 10 ? ok : failed);
		dynm_histogram_observe(sizes, i % 4);
	}
	return arg;
}

int
main(void)
{
	pthread_t thread[THREADS];
	dynm_runtime *rt;
	dynm_error error;
	char *text;

	if (dynm_open(&rt, NULL, &error) != DYNM_OK) {
		fprintf(stderr, "threads: %s\n", error.text);
		return 1;
	}
	dynm_namespace ns = dynm_runtime_namespace(rt, "dynamo");
	dynm_component comp = dynm_namespace_component(ns, "threads");
	dynm_endpoint ep = dynm_component_endpoint(comp, "generate");
	answers = dynm_counter_vec_create(
	    ep.scope, "answers_total", "Answers by code.", DYNM_LABELS("code"));
	sizes = dynm_histogram_create(
	    ep.scope, "answer_tokens", "Tokens of an answer.", DYNM_BUCKETS(1, 2));

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, serve, NULL) != 0)
			return 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);

	/* What the daemon shows of this endpoint, after a flush. */
	if (dynm_expose(ep.scope, 5000, &text) == DYNM_OK) {
		fputs(text, stdout);
		free(text);
	} else if (dynm_runtime_error(rt, &error) != DYNM_OK) {
		fprintf(stderr, "threads: %s\n", error.text);
	}
	dynm_close(rt);
	return 0;
}
