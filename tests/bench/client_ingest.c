/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_ingest WORKERS SERIES SECONDS
 *
 * Worker processes with counters of their own. Each changes all of its counters, has them
 * taken by the daemon ($DYN_METRICSD_ADDRESS), and does so again until the time is over.
 * Prints what was counted in all, and then the changed series that the daemon has
 * acknowledged in a second.
 */
#include <dynamo/metrics.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define FLUSH_MS 60000 /* none but those that are asked for */
#define WAIT_MS	 20000

struct report {
	double rounds;
	double end_s;
};

static dynm_counter *
make_counters(dynm_runtime *rt, int worker, int series)
{
	dynm_namespace ns = dynm_runtime_namespace(rt, "bench");
	dynm_counter *counter = calloc((size_t)series, sizeof(*counter));
	dynm_counter_vec vec;
	char text[2][16];

	if (counter == NULL)
		err(1, "counters");
	vec = dynm_counter_vec_create(
	    ns.scope, "ingest_total", "", DYNM_LABELS("worker", "series"));
	for (int i = 0; i < series; i++) {
		snprintf(text[0], sizeof(text[0]), "%d", worker);
		snprintf(text[1], sizeof(text[1]), "%d", i);
		counter[i] = dynm_with(vec, text[0], text[1]);
	}
	return counter;
}

static void
flush(dynm_runtime *rt)
{
	if (dynm_flush(rt, WAIT_MS) != DYNM_OK)
		errx(1, "a flush was not taken");
}

static void
work(int worker, int series, double seconds, int ready, int go, struct report *report)
{
	dynm_options options = { .flush_ms = FLUSH_MS };
	dynm_runtime *rt;
	dynm_error error;
	dynm_counter *counter;
	double end_s;
	char byte = 0;

	if (dynm_open(&rt, &options, &error) != DYNM_OK)
		errx(1, "%s", error.text);
	counter = make_counters(rt, worker, series);
	flush(rt);
	if (write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1)
		err(1, "the start");
	end_s = bench_now_s() + seconds;
	do {
		for (int i = 0; i < series; i++)
			dynm_counter_inc(counter[i]);
		flush(rt);
		report->rounds++;
		report->end_s = bench_now_s();
	} while (report->end_s < end_s);
	dynm_close(rt);
	free(counter);
}

static void
start(int workers, int ready, int go)
{
	char byte = 0;

	for (int i = 0; i < workers; i++)
		if (read(ready, &byte, 1) != 1)
			errx(1, "a worker did not come up");
	for (int i = 0; i < workers; i++)
		if (write(go, &byte, 1) != 1)
			err(1, "the start");
}

static void
wait_for_all(int workers)
{
	int status;

	for (int i = 0; i < workers; i++)
		if (wait(&status) < 0 || status != 0)
			errx(1, "a worker failed");
}

int
main(int argc, char **argv)
{
	int workers = argc > 1 ? atoi(argv[1]) : 8;
	int series = argc > 2 ? atoi(argv[2]) : 1000;
	double seconds = argc > 3 ? atof(argv[3]) : 1;
	double begin_s, end_s = 0, rounds = 0;
	struct report *report = mmap(NULL, (size_t)workers * sizeof(*report),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ready[2], go[2];

	if (report == MAP_FAILED || pipe(ready) != 0 || pipe(go) != 0)
		err(1, "set-up");
	for (int i = 0; i < workers; i++)
		if (fork() == 0) {
			close(go[1]); /* without the parent there is no start */
			work(i, series, seconds, ready[1], go[0], &report[i]);
			return 0;
		}
	close(ready[1]);
	begin_s = bench_now_s();
	start(workers, ready[0], go[1]);
	begin_s = bench_now_s();
	wait_for_all(workers);
	for (int i = 0; i < workers; i++) {
		rounds += report[i].rounds;
		end_s = report[i].end_s > end_s ? report[i].end_s : end_s;
	}
	printf("%.0f\n", rounds * series);
	return bench_print(rounds * series / (end_s - begin_s) / 1e6);
}
