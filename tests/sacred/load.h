/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.h - an application's threads that update metrics all the time, and how long a call
 * takes.
 *
 * Each hot thread makes rounds: a batch of CALLS calls, timed as one, gives calls a
 * second (of one thread); then 16 calls, each between two readings of the clock, are the
 * samples of a call. So a sample is one call and one reading of the clock. Calls are, in
 * turn, dynm_counter_inc, dynm_counter_add, dynm_gauge_set, dynm_histogram_observe and
 * dynm_counter_vec_with (with the inc of what it found).
 *
 * Beside them a thread that reads from a pipe and one that sleeps: system calls of the
 * application's own, that nobody may interrupt.
 */
#ifndef LOAD_H
#define LOAD_H

#include <dynamo/metrics.h>
#include <stdbool.h>
#include <stdint.h>

#define LOAD_HOT_MAX	  4
#define LOAD_RUNTIMES_MAX 2
#define LOAD_CODES	  16

/* What is counted, in a file that outlives the process: written before it is done. */
struct tally {
	uint64_t events; /* of all hot threads, what is under way included */
	uint64_t done;	 /* the same without it */
	uint64_t extra;	 /* counted by acts, with load_extra() or in children */
	uint64_t
	    acked; /* events that was done when a flush began that was acknowledged */
};

struct load {
	dynm_runtime *rt;
	dynm_scope scope;
	dynm_counter calls;    /* +1 */
	dynm_counter quarters; /* +0.25 */
	dynm_gauge depth;
	dynm_histogram seconds;
	dynm_counter_vec codes; /* +1 of one of LOAD_CODES children */
	dynm_counter_vec acts;	/* of load_extra() */
};

struct figures {
	double calls_per_s; /* of one thread */
	uint64_t p999_ns, most_ns;
	uint64_t switches; /* times that a hot thread gave up its processor by itself */
};

extern struct load loads[LOAD_RUNTIMES_MAX];
extern unsigned n_loads;
extern struct tally *tally;

/* Errors are noticed(). */
void load_tally(const char *file);
void load_open(const char *address, uint32_t flush_ms);
void load_start(unsigned threads);
/* What was since the last mark. */
void load_mark(struct figures *ret);
/* Ends the threads. The gauge is what load_depth() says then. */
void load_stop(void);
double load_depth(void);
void load_close(void);

/* Count n more in a child of the vec of acts: in the calling thread. */
void load_extra(const char *act, unsigned n);
/* All that an application may ask for while it waits: whatever the daemon does, it is
 * back in time. What it counts is not among the events. */
void load_cold(void);
/* Flush, and be back in time. */
dynm_err load_flush(unsigned i, int timeout_ms);

#endif /* LOAD_H */
