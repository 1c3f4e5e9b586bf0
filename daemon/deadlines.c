/* SPDX-License-Identifier: Apache-2.0 */
#include "deadlines.h"

#include <stdlib.h>

void
deadlines_free(struct deadlines *d)
{
	free(d->at);
	d->at = NULL;
	d->n = d->room = 0;
}

bool
deadlines_reserve(struct deadlines *d)
{
	uint32_t room = d->room ? d->room * 2 : 64;
	struct deadline *at;

	if (d->n < d->room)
		return true;
	at = realloc(d->at, room * sizeof(*at));
	if (at == NULL)
		return false;
	d->at = at;
	d->room = room;
	return true;
}

/* Put a deadline to a place, counted from 0. */
static void
put(struct deadlines *d, uint32_t place, struct deadline what)
{
	d->at[place] = what;
	if (d->moved)
		d->moved(d->owner, what.number, place + 1);
}

/* Move what stands there to where it belongs, towards the first. */
static void
rise(struct deadlines *d, uint32_t place, struct deadline what)
{
	while (place > 0 && d->at[(place - 1) / 2].tick > what.tick) {
		put(d, place, d->at[(place - 1) / 2]);
		place = (place - 1) / 2;
	}
	put(d, place, what);
}

static void
sink(struct deadlines *d, uint32_t place, struct deadline what)
{
	uint32_t below;

	while ((below = 2 * place + 1) < d->n) {
		if (below + 1 < d->n && d->at[below + 1].tick < d->at[below].tick)
			below++;
		if (d->at[below].tick >= what.tick)
			break;
		put(d, place, d->at[below]);
		place = below;
	}
	rise(d, place, what);
}

void
deadlines_add(struct deadlines *d, uint64_t due_ms, uint32_t number)
{
	uint64_t tick = (due_ms + DEADLINES_TICK_MS - 1) / DEADLINES_TICK_MS;

	rise(d, d->n++,
	    (struct deadline){ tick < UINT32_MAX ? (uint32_t)tick : UINT32_MAX, number });
}

void
deadlines_remove(struct deadlines *d, uint32_t position)
{
	uint32_t number = d->at[position - 1].number;
	struct deadline last = d->at[--d->n];

	if (position - 1 < d->n)
		sink(d, position - 1, last);
	if (d->moved)
		d->moved(d->owner, number, 0);
}

uint32_t
deadlines_take(struct deadlines *d, uint64_t now_ms)
{
	uint32_t number;

	if (d->n == 0 || deadlines_next_ms(d) > now_ms)
		return 0;
	number = d->at[0].number;
	deadlines_remove(d, 1);
	return number;
}

uint64_t
deadlines_next_ms(const struct deadlines *d)
{
	return d->n ? (uint64_t)d->at[0].tick * DEADLINES_TICK_MS : DEADLINES_NEVER;
}
