/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_series WORKERS SERIES [unique]
 *
 * Worker processes that all define the same so many counters of three labels, and count
 * each of them once. The labels have a hundred values each, so that their strings are few
 * beside the series; or (unique) the last one has another in each series. Says "ready"
 * when the daemon ($DYN_METRICSD_ADDRESS) has taken all, and keeps them until its input
 * ends.
 */
#include <dynamo/metrics.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 120000
#define MOST	64

static bool
count_all(dynm_runtime *rt, int series, bool unique)
{
	dynm_namespace ns = dynm_runtime_namespace(rt, "bench");
	dynm_counter_vec vec = dynm_counter_vec_create(
	    ns.scope, "series_total", "", DYNM_LABELS("code", "model", "path"));
	char text[3][32];

	for (int i = 0; i < series; i++) {
		snprintf(text[0], sizeof(text[0]), "%d", i % 100);
		snprintf(text[1], sizeof(text[1]), "model-%d", i / 100 % 100);
		snprintf(text[2], sizeof(text[2]), "/v1/%07d", unique ? i : i / 10000);
		dynm_counter_inc(dynm_with(vec, text[0], text[1], text[2]));
	}
	return dynm_flush(rt, WAIT_MS) == DYNM_OK;
}

/* 0, when its input has ended. */
static int
work(int series, bool unique, int ready)
{
	dynm_options options = { .max_series = (uint32_t)series };
	dynm_runtime *rt;
	char byte = 0;

	if (dynm_open(&rt, &options, NULL) != DYNM_OK)
		return 1;
	if (!count_all(rt, series, unique) || write(ready, &byte, 1) != 1)
		return 1;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	dynm_close(rt);
	return 0;
}

int
main(int argc, char **argv)
{
	int workers = argc > 1 ? atoi(argv[1]) : 1;
	int series = argc > 2 ? atoi(argv[2]) : 1000;
	bool unique = argc > 3 && strcmp(argv[3], "unique") == 0;
	int ready[2], left = workers;
	char byte;

	if (workers < 1 || workers > MOST || pipe(ready) != 0)
		return 1;
	for (int i = 0; i < workers; i++)
		if (fork() == 0) {
			close(ready[0]);
			return work(series, unique, ready[1]);
		}
	close(ready[1]);
	while (left > 0 && read(ready[0], &byte, 1) == 1)
		left--;
	if (left > 0)
		return 1;
	puts("ready");
	fflush(stdout);
	while (wait(NULL) > 0)
		;
	return 0;
}
