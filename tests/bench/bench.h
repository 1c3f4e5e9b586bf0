/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of tests/bench share. A program takes the name of a measurement, runs
 * it once, and prints one figure on its last line: bench_print(). The Makefile links it
 * by its name:
 *
 *   client_*.c   as a user's program: the public header, the shared library, no more
 *   clientin_*.c with the inside of the library
 *   daemon_*.c   with all of the daemon but its main()
 *   wire_*.c     with the protocol alone: it talks to a daemon that runs
 *   cxx_*.cpp    with the C++ library alone
 */
#ifndef BENCH_H
#define BENCH_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Values that no branch predictor learns by heart: bench_lognormal() so many times. */
#define BENCH_VALUES 65536

static inline double
bench_clock_s(clockid_t id)
{
	struct timespec now;
	clock_gettime(id, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A clock that only goes forward. */
static inline double
bench_now_s(void)
{
	return bench_clock_s(CLOCK_MONOTONIC);
}

/* What all threads of this process have used of the processors. */
static inline double
bench_cpu_s(void)
{
	return bench_clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

/* The optimiser has to have made what p points to, and all memory, by now. */
static inline void
bench_keep(const void *p)
{
	__asm__ volatile("" : : "g"(p) : "memory");
}

/* Is this a short run that only shows that all works (make bench QUICK=1)? */
static inline int
bench_quick(void)
{
	const char *quick = getenv("QUICK");
	return quick && *quick;
}

/* The figure, as the last line. Returns what main() should: 0, or 1 if it is none. */
static inline int
bench_print(double figure)
{
	printf("%.17g\n", figure);
	return fflush(stdout) || !isfinite(figure);
}

/* 64 random bits; the peers in other languages have the same generator and seed (1). */
static inline uint64_t
bench_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* From 0 up to, and without, 1. */
static inline double
bench_uniform(uint64_t *state)
{
	return (double)(bench_random(state) >> 11) * 0x1p-53;
}

/* Seconds as requests take them: half are below 0.1, one in forty above 2. */
static inline double
bench_lognormal(uint64_t *state)
{
	double radius = sqrt(-2.0 * log(1.0 - bench_uniform(state)));
	return 0.1 * exp(1.5 * radius * cos(6.283185307179586 * bench_uniform(state)));
}

#endif
