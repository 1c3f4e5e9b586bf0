/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_load FIRST WORKERS SERIES - processes with the library, whose daemon is that of
 * $DYN_METRICSD_ADDRESS. Each counts on all of its series, and flushes.
 */
#include <dynamo/metrics.h>
#include <err.h>
#include <stdlib.h>

#include "crowd.h"

#define FLUSH_MS 60000 /* none but those that are asked for */
#define WAIT_MS	 60000

static int series;
static dynm_runtime *rt;
static dynm_counter all, *own;

static void
flush(void)
{
	if (dynm_flush(rt, WAIT_MS) != DYNM_OK)
		errx(1, "a flush was not taken");
}

static void
begin(struct member *self)
{
	dynm_options options = { .flush_ms = FLUSH_MS };
	dynm_counter_vec vec;
	dynm_error error;
	char text[2][16];
	dynm_scope at;

	if (dynm_open(&rt, &options, &error) != DYNM_OK)
		errx(1, "%s", error.text);
	at = dynm_runtime_namespace(rt, "overload").scope;
	all = dynm_counter_create(at, "load_all_total", "");
	vec = dynm_counter_vec_create(
	    at, "load_own_total", "", DYNM_LABELS("worker", "series"));
	own = calloc((size_t)series, sizeof(*own));
	for (int i = 0; own && i < series; i++) {
		snprintf(text[0], sizeof(text[0]), "%d", self->number);
		snprintf(text[1], sizeof(text[1]), "%d", i);
		own[i] = dynm_with(vec, text[0], text[1]);
	}
	flush();
	if (own == NULL || dynm_runtime_error(rt, &error) != DYNM_OK)
		errx(1, "%s", own ? error.text : "memory is out");
}

static void
turn(struct member *self)
{
	(void)self;
	dynm_counter_inc(all);
	for (int i = 0; i < series; i++)
		dynm_counter_inc(own[i]);
	flush();
}

int
main(int argc, char **argv)
{
	struct crowd crowd = { .begin = begin, .turn = turn };

	if (argc != 4)
		errx(2, "client_load FIRST WORKERS SERIES");
	crowd.first = atoi(argv[1]);
	crowd.members = atoi(argv[2]);
	series = atoi(argv[3]);
	return crowd_run(&crowd);
}
