/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.h - the time of one turn of the loop.
 *
 * The first callback of a turn that asks for the time reads the clock, and the rest of
 * the turn has the same time. The server ends the turn, and learns how long it was busy
 * from that first question on. One thread.
 */
#ifndef TURN_H
#define TURN_H

#include <stdint.h>
#include <time.h>

struct turn {
	uint64_t began_ns; /* 0: nothing has happened in this turn */
	int64_t offset_ms; /* the state's clock is CLOCK_MONOTONIC plus this */
};

static inline uint64_t
turn_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/* Milliseconds since 1970, as the machine believes. */
static inline uint64_t
turn_unix_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* The state's clock in milliseconds, at the start of the busy part of this turn. */
static inline uint64_t
turn_ms(struct turn *t)
{
	if (t->began_ns == 0)
		t->began_ns = turn_clock_ns();
	return t->began_ns / 1000000U + (uint64_t)t->offset_ms;
}

/* A turn that has been busy for so long ends: what else came is for the next one. */
#define TURN_LONG_NS 2000000

/* How long the turn has been busy so far. */
static inline uint64_t
turn_busy_ns(const struct turn *t)
{
	return t->began_ns ? turn_clock_ns() - t->began_ns : 0;
}

/* End the turn. Returns the length of its busy part in seconds, 0 if there was none. */
static inline double
turn_end(struct turn *t)
{
	uint64_t began_ns = t->began_ns;

	t->began_ns = 0;
	return began_ns ? (double)(turn_clock_ns() - began_ns) * 1e-9 : 0;
}

#endif /* TURN_H */
