/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bystander.c - a well-behaved worker beside an attack: counts, flushes, times each
 *flush.
 *
 *	bystander ADDRESS
 *
 * On standard input: "rest" ends what is under way, flushes, and prints one line: turns
 * done in all, flushes that failed since the last time, and the microseconds of each turn
 * since then. "go" goes on. At the end of the input it leaves.
 */
#include <dynamo/metrics.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_MS 2
#define FLUSH_MS 5000	 /* longer is a flush that failed */
#define TIMES	 1000000 /* the most that are kept between two rests */
#define ONES	 100	 /* counted in a turn */

static struct {
	dynm_runtime *runtime;
	dynm_counter ones, tenths;
	dynm_histogram turns;
	dynm_gauge turn;
} self;

static struct {
	uint64_t turns, failed;
	size_t n;
	uint32_t us[TIMES];
} done;

static void
open_worker(const char *address)
{
	dynm_options options = {
		.address = address, .worker = "bystander", .flush_ms = 1000
	};
	dynm_error error;
	dynm_scope at;

	if (dynm_open(&self.runtime, &options, &error) != DYNM_OK)
		errx(1, "%s", error.text);
	at = dynm_runtime_namespace(self.runtime, "bystander").scope;
	self.ones = dynm_counter_create(at, "beside_ones_total", "Counts.");
	self.tenths = dynm_counter_create(at, "beside_tenths_total", "Tenths.");
	self.turns =
	    dynm_histogram_create(at, "beside_turns", "Turns.", DYNM_BUCKETS_DEFAULT);
	self.turn = dynm_gauge_create(at, "beside_turn", "The last turn.");
}

static bool
count_and_flush(void)
{
	for (int i = 0; i < ONES; i++)
		dynm_counter_inc(self.ones);
	dynm_counter_add(self.tenths, 0.1);
	dynm_histogram_observe(self.turns, 0.25);
	dynm_gauge_set(self.turn, (double)(done.turns + 1));
	return dynm_flush(self.runtime, FLUSH_MS) == DYNM_OK;
}

static void
turn(void)
{
	double start = dynm_now();
	bool ok = count_and_flush();
	uint32_t us = (uint32_t)((dynm_now() - start) * 1e6);

	done.turns++;
	done.failed += !ok;
	if (done.n < TIMES)
		done.us[done.n++] = us;
}

static void
tell(void)
{
	/* What a failed flush left behind is sent first. */
	bool ok = dynm_flush(self.runtime, FLUSH_MS) == DYNM_OK;

	printf("%llu %llu", (unsigned long long)done.turns,
	    (unsigned long long)done.failed + !ok);
	for (size_t i = 0; i < done.n; i++)
		printf(" %u", done.us[i]);
	putchar('\n');
	fflush(stdout);
	done.failed = 0;
	done.n = 0;
}

int
main(int argc, char **argv)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	bool resting = true;
	char line[64];

	setvbuf(stdin, NULL, _IONBF, 0); /* poll() sees all that is there */
	if (argc != 2)
		errx(2, "see the first lines of bystander.c");
	open_worker(argv[1]);
	for (;;) {
		if (poll(&in, 1, resting ? -1 : PAUSE_MS) < 0 && errno != EINTR)
			err(1, "poll");
		if (in.revents) {
			if (!fgets(line, sizeof(line), stdin))
				break;
			resting = strcmp(line, "rest\n") == 0;
			if (resting)
				tell();
		}
		if (!resting)
			turn();
	}
	dynm_close(self.runtime);
	return 0;
}
