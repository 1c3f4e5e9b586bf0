/* SPDX-License-Identifier: Apache-2.0 */
/*
 * on_flush.c - gauges that are read, not counted. The program has a queue and a pool
 * anyway; a callback looks at them right before each flush, so that the hot path knows
 * nothing of metrics.
 */
#include <dynamo/metrics.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct server {
	atomic_int waiting;	/* requests in the queue */
	atomic_int slots, busy; /* of the pool */
	dynm_gauge depth, busy_ratio;
};

/* In the flush thread: read what other threads write as any reader would. */
static void
look(void *arg)
{
	struct server *s = arg;

	dynm_gauge_set(s->depth, atomic_load(&s->waiting));
	dynm_gauge_set(
	    s->busy_ratio, (double)atomic_load(&s->busy) / atomic_load(&s->slots));
}

int
main(void)
{
	struct server s = { .waiting = 0, .slots = 8, .busy = 0 };
	dynm_runtime *rt;
	dynm_error error;
	char *text;

	if (dynm_open(&rt, NULL, &error) != DYNM_OK) {
		fprintf(stderr, "on_flush: %s\n", error.text);
		return 1;
	}
	dynm_namespace ns = dynm_runtime_namespace(rt, "dynamo");
	dynm_component comp = dynm_namespace_component(ns, "on_flush");
	/* Queues of several workers add up; of the pools the fullest is shown. */
	s.depth = dynm_gauge_create(comp.scope, "queue_depth", "Requests waiting.");
	s.busy_ratio = dynm_gauge_create_merge(
	    comp.scope, "pool_busy_ratio", "Busy part of the pool.", DYNM_MAX);
	dynm_on_flush(rt, look, &s);

	atomic_fetch_add(&s.waiting, 17); /* the program at work */
	atomic_fetch_add(&s.busy, 6);

	if (dynm_expose(comp.scope, 5000, &text) == DYNM_OK) {
		fputs(text, stdout);
		free(text);
	} else if (dynm_runtime_error(rt, &error) != DYNM_OK) {
		fprintf(stderr, "on_flush: %s\n", error.text);
	}
	dynm_on_flush(rt, NULL, NULL); /* before s goes */
	dynm_close(rt);
	return 0;
}
