/* SPDX-License-Identifier: Apache-2.0 */
/*
 * churn.c N - N workers of the library that come, count and are gone: forked from a
 * master that has made their metrics, each is killed, ends without a word, or closes.
 * Prints "total" and how much they counted.
 */
#include <dynamo/metrics.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 4

static void
must(bool ok, int status)
{
	if (!ok)
		_exit(status);
}

static void
wait_one(void)
{
	int status;

	must(wait(&status) > 0, 31);
	must(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL), 32);
}

int
main(int argc, char **argv)
{
	long n = argc == 2 ? atol(argv[1]) : 0, running = 0, total = 0;
	dynm_histogram seconds;
	dynm_counter counter;
	dynm_runtime *rt;
	dynm_gauge each;
	dynm_scope at;

	must(dynm_open(&rt, NULL, NULL) == DYNM_OK, 20);
	at = dynm_runtime_scope(rt);
	counter = dynm_counter_create(at, "churn_total", "");
	each = dynm_gauge_create_merge(at, "churn_each", "", DYNM_EACH);
	seconds = dynm_histogram_create(at, "churn_seconds", "", DYNM_BUCKETS(1));
	for (long i = 0; i < n; i++) {
		long count = 1 + i % 3;
		pid_t pid;

		total += count;
		if (running == AT_ONCE)
			wait_one();
		else
			running++;
		pid = fork();
		must(pid >= 0, 33);
		if (pid > 0)
			continue;
		dynm_counter_add(counter, (double)count);
		dynm_gauge_set(each, 1);
		dynm_histogram_observe(seconds, 0.5);
		must(dynm_flush(rt, 20000) == DYNM_OK, 34);
		if (i % 4 < 2)
			raise(SIGKILL);
		if (i % 4 == 2)
			dynm_close(rt);
		_exit(0);
	}
	for (; running > 0; running--)
		wait_one();
	dynm_close(rt);
	printf("total %ld\n", total);
	return 0;
}
