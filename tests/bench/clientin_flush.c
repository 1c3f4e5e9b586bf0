/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clientin_flush.c copy|send|ack none|some|all THREADS - nanoseconds for each of 100,000
 * cells, those of 50,000 counters: to find what has changed (none, 1 % at random, all)
 * and make the UPDATEs of it, after so many threads have counted; or to take in the
 * answers to them; or to copy the cells of one thread to elsewhere. No daemon and no
 * socket: the answers are made here.
 */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "bench.h"
#include "cells.h"
#include "collect.h"
#include "scope.h"
#include "store.h"
#include "sums.h"

#define CELLS	    100000
#define COUNTERS    (CELLS / 2)
#define THREADS_MAX 8
#define ROUNDS	    40
#define SOME	    (COUNTERS / 100)

static struct report report;
static struct store store;
static struct collect collect;
static struct session *session;
static struct dynm_counter counter[COUNTERS];
static uint64_t copy[CELLS];
static uint64_t seed = 1;
static enum { NONE, SOME_CHANGED, ALL } change;
static pthread_barrier_t turn;

/* ---- What changes ------------------------------------------------------------ */

static void
count(uint64_t *random)
{
	for (int i = 0; change == SOME_CHANGED && i < SOME; i++)
		dynm_counter_inc(counter[bench_random(random) % COUNTERS]);
	for (int i = 0; change == ALL && i < COUNTERS; i++)
		dynm_counter_inc(counter[i]);
}

static void *
count_in_turns(void *arg)
{
	uint64_t random = (uint64_t)(uintptr_t)arg;

	for (;;) {
		pthread_barrier_wait(&turn);
		count(&random);
		pthread_barrier_wait(&turn);
	}
	return NULL;
}

static bool
start_threads(int threads)
{
	pthread_t id;

	if (pthread_barrier_init(&turn, NULL, (unsigned)threads) != 0)
		return false;
	for (int i = 1; i < threads; i++)
		if (pthread_create(&id, NULL, count_in_turns, (void *)(uintptr_t)i) != 0)
			return false;
	return true;
}

static void
change_some(void)
{
	pthread_barrier_wait(&turn);
	count(&seed);
	pthread_barrier_wait(&turn);
}

/* ---- The daemon's answers ---------------------------------------------------- */

static bool
hear_welcome(void)
{
	struct message m = { .type = MESSAGE_NEW,
		.ticket = { 1, 1 },
		.worker = wire_text("bench"),
		.version = wire_text("bench"),
		.lease_ms = 15000,
		.message_bytes = 1U << 20 };
	uint8_t random[MESSAGE_SID_BYTES] = { 1 }, bytes[1024];
	struct wire_writer w;

	session_hello(session, random, "", "bench");
	wire_writer_init(&w, bytes, sizeof(bytes));
	message_put_welcome(&w, &m);
	return session_reply(session, bytes, w.bytes, &collect.source) == SESSION_OK;
}

static bool
hear_ack(void)
{
	struct wire_writer w;
	uint8_t bytes[64];

	wire_writer_init(&w, bytes, sizeof(bytes));
	message_end(&w, message_begin_ack(&w, session->flight_n), 0);
	return session_reply(session, bytes, w.bytes, &collect.source) == SESSION_OK;
}

/* ---- Passes -------------------------------------------------------------------- */

/* What a pass costs, in s: until all requests are made, and to take in the answers. */
static bool
pass(double *ret_send_s, double *ret_ack_s)
{
	struct session_wish wish = { .update = true };
	double began_s = bench_clock_s(CLOCK_THREAD_CPUTIME_ID), sent_s;

	*ret_send_s = *ret_ack_s = 0;
	collect_pass(&collect);
	for (;;) {
		bool more = session_next(session, &wish, &collect.source);

		sent_s = bench_clock_s(CLOCK_THREAD_CPUTIME_ID);
		*ret_send_s += sent_s - began_s;
		if (!more)
			return true;
		bench_keep(session->out);
		if (!hear_ack())
			return false;
		began_s = bench_clock_s(CLOCK_THREAD_CPUTIME_ID);
		*ret_ack_s += began_s - sent_s;
	}
}

static bool
ready(void)
{
	return true;
}

static bool
make(void)
{
	static const struct blocks_hooks hooks = { ready, sums_fold };
	const dynm_options options = { .address = "" };
	size_t bytes = session_map_bytes(SERIES_WIRE_MAX);
	dynm_counter_vec vec;
	char text[32];
	double s;

	report_init(&report, &options);
	if (blocks_init(&hooks) != 0 || store_init(&store, &report, 1, COUNTERS) != 0)
		return false;
	store.root = scope_root(&store);
	vec = dynm_counter_vec_create(
	    (dynm_scope){ store.root }, "bench_total", "", DYNM_LABELS("i"));
	for (int i = 0; i < COUNTERS; i++) {
		snprintf(text, sizeof(text), "%d", i);
		counter[i] = dynm_with(vec, text);
		dynm_counter_inc(counter[i]);
	}
	session = session_init(blocks_map_wiped(bytes), SERIES_WIRE_MAX);
	collect_begin(&collect, &store, session, false);
	return hear_welcome() && pass(&s, &s);
}

/* The cells lie in a row: nothing else has taken any. */
static double
copy_s(void)
{
	const uint64_t *cells = blocks_own + series_own_cell(counter[0].series_);
	double began_s = bench_clock_s(CLOCK_THREAD_CPUTIME_ID);

	memcpy(copy, cells, sizeof(copy));
	bench_keep(copy);
	return bench_clock_s(CLOCK_THREAD_CPUTIME_ID) - began_s;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	static const char *const changes[] = { "none", "some", "all" };
	static double s[ROUNDS];
	double send_s, ack_s;
	int threads = argc > 3 ? atoi(argv[3]) : 1;
	int rounds = bench_quick() ? 3 : ROUNDS;

	if (argc < 3 || threads < 1 || threads > THREADS_MAX || !start_threads(threads))
		return 2;
	while (change <= ALL && strcmp(argv[2], changes[change]) != 0)
		change++;
	if (change > ALL || !make())
		return 2;
	for (int i = -2; i < rounds; i++) {
		double one_s = 0;

		change_some();
		if (argv[1][0] == 'c')
			one_s = copy_s();
		if (!pass(&send_s, &ack_s))
			return 1;
		if (argv[1][0] != 'c')
			one_s = argv[1][0] == 's' ? send_s : ack_s;
		if (i >= 0)
			s[i] = one_s;
	}
	qsort(s, (size_t)rounds, sizeof(s[0]), compare);
	return bench_print(s[rounds / 2] / CELLS * 1e9);
}
