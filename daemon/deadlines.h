/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deadlines.h - numbers, and when each is due: 8 bytes each, the first one at hand.
 *
 * Times are handed in as milliseconds of one clock that started less than 13 years ago.
 * They are kept in tenths of a second, rounded up: nothing is due early. One thread.
 */
#ifndef DEADLINES_H
#define DEADLINES_H

#include <stdbool.h>
#include <stdint.h>

#define DEADLINES_TICK_MS 100
#define DEADLINES_NEVER	  UINT64_MAX

struct deadline {
	uint32_t tick;
	uint32_t number;
};

struct deadlines {
	struct deadline *at; /* a heap: none is due before the one above it */
	uint32_t n;
	uint32_t room;
	/* Told where a number stands now, 1 to n, and 0 when it is taken out. NULL:
	 * nobody asks. */
	void (*moved)(void *owner, uint32_t number, uint32_t position);
	void *owner;
};

void deadlines_free(struct deadlines *d);
/* Room for one more than there are. False when memory is out. */
bool deadlines_reserve(struct deadlines *d);
/* There must be room. */
void deadlines_add(struct deadlines *d, uint64_t due_ms, uint32_t number);
void deadlines_remove(struct deadlines *d, uint32_t position);
/* A number that is due by now, taken out; 0: none is. */
uint32_t deadlines_take(struct deadlines *d, uint64_t now_ms);
/* When the next is due, or DEADLINES_NEVER. */
uint64_t deadlines_next_ms(const struct deadlines *d);

#endif /* DEADLINES_H */
