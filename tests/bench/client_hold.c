/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_hold WORKERS SERIES [KILL]
 *
 * Worker processes with so many counters each, all of them counted once and taken by the
 * daemon ($DYN_METRICSD_ADDRESS). Says "ready", and keeps them until its input ends; with
 * KILL, the workers are then killed and not closed.
 */
#include <dynamo/metrics.h>
#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 60000
#define MOST	64

static void
make_counters(dynm_runtime *rt, int worker, int series)
{
	dynm_namespace ns = dynm_runtime_namespace(rt, "bench");
	char text[2][16], name[32];
	dynm_counter_vec vec;

	snprintf(name, sizeof(name), "held_%d_total", worker);
	vec =
	    dynm_counter_vec_create(ns.scope, name, "", DYNM_LABELS("worker", "series"));
	for (int i = 0; i < series; i++) {
		snprintf(text[0], sizeof(text[0]), "%d", worker);
		snprintf(text[1], sizeof(text[1]), "%d", i);
		dynm_counter_inc(dynm_with(vec, text[0], text[1]));
	}
}

static void
work(int worker, int series, int ready)
{
	dynm_options options = { .max_series = (uint32_t)series };
	dynm_runtime *rt;
	dynm_error error;
	char byte = 0;

	if (dynm_open(&rt, &options, &error) != DYNM_OK)
		errx(1, "%s", error.text);
	make_counters(rt, worker, series);
	if (dynm_flush(rt, WAIT_MS) != DYNM_OK)
		errx(1, "a flush was not taken");
	if (write(ready, &byte, 1) != 1)
		err(1, "the start");
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	dynm_close(rt);
}

int
main(int argc, char **argv)
{
	int workers = argc > 1 ? atoi(argv[1]) : 2;
	int series = argc > 2 ? atoi(argv[2]) : 500000;
	pid_t worker[MOST];
	int ready[2], status;
	char byte;

	if (workers < 1 || workers > MOST || pipe(ready) != 0)
		errx(1, "set-up");
	for (int i = 0; i < workers; i++)
		if ((worker[i] = fork()) == 0) {
			work(i, series, ready[1]);
			return 0;
		}
	close(ready[1]);
	for (int i = 0; i < workers; i++)
		if (read(ready[0], &byte, 1) != 1)
			errx(1, "a worker did not come up");
	puts("ready");
	fflush(stdout);
	while (argc > 3 && read(STDIN_FILENO, &byte, 1) > 0)
		;
	for (int i = 0; argc > 3 && i < workers; i++)
		kill(worker[i], SIGKILL);
	for (int i = 0; i < workers; i++)
		waitpid(worker[i], &status, 0);
	return 0;
}
