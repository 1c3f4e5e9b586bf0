/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ticks.h - the clock of everything that waits: monotonic, in ns.
 */
#ifndef TICKS_H
#define TICKS_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000) /* also of leases of minutes */

static inline uint64_t
ticks_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#endif /* TICKS_H */
