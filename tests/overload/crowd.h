/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd.h - processes that do the same thing again and again, at a rate that the standard
 * input says, and tell on the standard output what came of it.
 *
 * Lines of the input:
 *
 *	rate R	each of them is to do it R times a second; what is late is done at once,
 *or left out when more than one time is late. -1: as fast as it goes. 0: rest take
 *tell settle	rest, and tell when all do
 *
 * What is told is a line of JSON: how often each one did it, how often it failed, how
 *long it took; since the start. At the end of the input all end.
 */
#ifndef CROWD_H
#define CROWD_H

#include "figures.h"

struct member {
	int number;
	uint64_t done; /* times */
	uint64_t failed;
	uint64_t obeyed; /* the last order that it rests by */
	struct figures latency;
};

struct crowd {
	int members;
	int first; /* the number of the first */
	/* Each returns or ends the process; turn() is called once each time. */
	void (*begin)(struct member *self);
	void (*turn)(struct member *self);
	void (*rest)(struct member *self); /* when it begins to rest; or NULL */
	void (*idle)(struct member *self); /* now and then while it rests; or NULL */
};

/* What main() returns. */
int crowd_run(const struct crowd *crowd);

#endif
