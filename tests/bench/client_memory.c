/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_memory.c series|thread|wakeups|unused - of a worker with a daemon:
 *
 *   series   bytes of memory for each of 100,000 counters with two labels that the
 *            daemon has, without their label values
 *   thread   what each takes more when one more thread has counted all of them
 *   wakeups  how often an idle worker's own thread has woken up, for each interval
 *   unused   how often in all, when nothing was ever defined
 */
#include <dirent.h>
#include <dynamo/metrics.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define FLUSH_MS 20

static dynm_runtime *rt;
static dynm_counter *counter;
static long series = 100000;
static pthread_barrier_t turn;

/* The number behind a word in a file of /proc/self, of all lines that begin with it. */
static long
number(const char *path, const char *word)
{
	FILE *file = fopen(path, "r");
	long n = 0, one;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, word, strlen(word)) == 0 &&
		    sscanf(line + strlen(word), "%ld", &one) == 1)
			n += one;
	if (file)
		fclose(file);
	return n;
}

/* Memory of its own that is really there. */
static double
bytes_used(void)
{
	return 1024.0 * (double)number("/proc/self/smaps_rollup", "Anonymous:");
}

static void *
count_all(void *arg)
{
	dynm_counter_inc(counter[0]);
	pthread_barrier_wait(&turn);
	pthread_barrier_wait(&turn);
	for (long i = 0; i < series; i++)
		dynm_counter_inc(counter[i]);
	pthread_barrier_wait(&turn);
	pause();
	return arg;
}

/* Bytes of the label values. */
static double
make_all(dynm_counter_vec vec)
{
	char path[48], code[16];
	double bytes = 0;

	for (long i = 0; i < series; i++) {
		snprintf(path, sizeof(path), "/api/v1/resource%ld", i / 10);
		snprintf(code, sizeof(code), "%ld", 200 + i % 10);
		bytes += (double)(strlen(path) + 1 + strlen(code) + 1);
		counter[i] = dynm_with(vec, path, code);
	}
	return bytes;
}

static double
memory(bool of_a_thread)
{
	double before, texts;
	pthread_t thread;
	dynm_counter_vec vec = dynm_counter_vec_create(dynm_runtime_scope(rt),
	    "bench_requests_total", "", DYNM_LABELS("path", "code"));

	counter = calloc((size_t)series, sizeof(*counter));
	if (!counter)
		return NAN;
	memset(counter, 1, (size_t)series * sizeof(*counter)); /* so that it is there */
	dynm_counter_inc(dynm_with(vec, "", ""));
	if (dynm_flush(rt, 60000) != DYNM_OK)
		return NAN;
	before = bytes_used();
	texts = make_all(vec);
	if (dynm_flush(rt, 60000) != DYNM_OK)
		return NAN;
	if (!of_a_thread)
		return (bytes_used() - before - texts) / (double)series;
	if (pthread_barrier_init(&turn, NULL, 2) != 0 ||
	    pthread_create(&thread, NULL, count_all, NULL) != 0)
		return NAN;
	pthread_barrier_wait(&turn); /* it has its stack, and has counted once */
	before = bytes_used();
	pthread_barrier_wait(&turn);
	pthread_barrier_wait(&turn);
	return (bytes_used() - before) / (double)series;
}

/* Of all threads but this one. */
static long
wakeups(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *task;
	char path[300];
	long n = 0;

	while (tasks && (task = readdir(tasks)) != NULL) {
		if (task->d_name[0] == '.' || atoi(task->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
		n += number(path, "voluntary_ctxt_switches:");
	}
	if (tasks)
		closedir(tasks);
	return n;
}

static double
idle(bool defined)
{
	double intervals = bench_quick() ? 20 : 100;
	long before;

	if (defined) {
		dynm_counter_inc(
		    dynm_counter_create(dynm_runtime_scope(rt), "bench_total", ""));
		if (dynm_flush(rt, 10000) != DYNM_OK)
			return NAN;
		usleep(10 * FLUSH_MS * 1000);
	}
	before = wakeups();
	usleep((useconds_t)(intervals * FLUSH_MS * 1000));
	return (double)(wakeups() - before) / (defined ? intervals : 1);
}

int
main(int argc, char **argv)
{
	dynm_options options = { .flush_ms = FLUSH_MS };

	if (bench_quick())
		series = 10000;
	options.max_series = (uint32_t)series + 1;
	if (argc != 2 || dynm_open(&rt, &options, NULL) != DYNM_OK)
		return 2;
	switch (argv[1][0]) {
	case 's':
		return bench_print(memory(false));
	case 't':
		return bench_print(memory(true));
	case 'w':
		return bench_print(idle(true));
	default:
		return bench_print(idle(false));
	}
}
