/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acts.h - what the application does to itself while it counts. Each act runs in the main
 * thread for so many seconds, notices what is wrong, and leaves the process as it was.
 */
#ifndef ACTS_H
#define ACTS_H

#include <stdbool.h>
#include <stdint.h>

/* acts_limits.c */
void act_descriptors(double seconds); /* none is left */
void act_threads(double seconds);     /* none is left */
void act_memory(double seconds);      /* malloc and mmap fail at random */
/* acts_fork.c */
void act_storm(double seconds); /* several threads fork, others define */
void act_busy(double seconds);	/* fork while others hold the library's locks */
void act_exec(double seconds);	/* fork, vfork, posix_spawn, and exec */
/* acts_signals.c */
void act_signals(double seconds); /* of every kind, for every thread */
void act_many(double seconds);	  /* so much to send that a write takes many calls */
/* late.c, nanomsg.c: where the program has them */
void act_again(double seconds) __attribute__((weak)); /* dlopen, use, dlclose */
void act_nanomsg(double seconds)
    __attribute__((weak)); /* libnanomsg in the same process */

/* Watch until then, doing nothing else. */
void act_wait(double seconds);

/* Threads that an act starts; ended by act_join(). */
#define ACT_THREADS 8
struct act_threads {
	bool stop; /* atomic */
	unsigned n;
	unsigned long thread[ACT_THREADS];
};
void act_start(struct act_threads *t, void *(*run)(void *));
bool act_goes_on(const struct act_threads *t);
void act_join(struct act_threads *t);

/* From now on one in so many allocations of the library fails: failing_malloc.c, when it
 * is loaded. 0: none. */
void failing_malloc(uint32_t one_in, uint64_t seed) __attribute__((weak));
/* The calling thread is the application's: what it allocates does not fail, but in calls
 * of the library. */
void failing_malloc_spare(bool spare) __attribute__((weak));

#endif /* ACTS_H */
