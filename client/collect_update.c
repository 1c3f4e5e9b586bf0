/* SPDX-License-Identifier: Apache-2.0 */
#include "collect_parts.h"
#include "sums.h"

#define LOCKED_SLABS 32U       /* looked at under one lock: a few microseconds */
#define RUN_BROKEN   UINT8_MAX /* of slab.run */

_Static_assert(SUMS_RUN_MAX == SESSION_RUN_MAX, "what is read at once is put at once");

/*
 * True when the children of a slab are counters, and their wire cells follow one another,
 * as they do when they were made one after the other. slab.run says of how many children
 * that is known: wire cells change only when they are numbered anew.
 */
static bool
is_run(struct slab *slab, uint8_t used)
{
	while (slab->run < used) {
		const struct dynm_series *s = &slab->series[slab->run];

		if (s->family->kind == MESSAGE_COUNTER &&
		    s->wire == slab->series[0].wire + slab->run)
			slab->run++;
		else
			slab->run = RUN_BROKEN;
	}
	return slab->run != RUN_BROKEN;
}

/* All of a slab at once, without a look at its children; false when that cannot be. */
static bool
put_run(struct collect *c, struct slab *slab, uint8_t used)
{
	uint64_t value[SUMS_RUN_MAX];

	/* Of a slab without children the first is still being made, by another thread. */
	if (used == 0 || slab->cursor != 0 || slab->defined != used ||
	    !is_run(slab, used))
		return false;
	sums_read_run(slab->block * CELLS_BLOCK, used, value);
	return session_put_run(c->session, slab->series[0].wire, used, value);
}

/* Offer the children of a slab from its cursor on; false when the message is full. */
static bool
put_slab(struct collect *c, struct slab *slab, bool *ret_torn)
{
	uint64_t value[SUMS_CELLS_MAX];
	uint8_t used = slab_used(slab);

	if (put_run(c, slab, used))
		return true;
	for (; slab->cursor < used; slab->cursor++) {
		const struct dynm_series *s = &slab->series[slab->cursor];
		enum sums_result r;

		if (s->state != SERIES_DEFINED)
			continue;
		r = sums_read(s, value);
		if (r == SUMS_TORN)
			*ret_torn = true;
		else if (r == SUMS_VALUE && !session_put(c->session, s->wire,
						(enum message_kind)s->family->kind,
						series_wire_cells(s->family), value))
			return false;
	}
	return true;
}

/* The first slab of the list; false when the message is full. */
static bool
put_first(struct collect *c)
{
	struct slab *slab = c->look.first;
	bool torn = false, all = put_slab(c, slab, &torn);

	if (!all && !torn)
		return false;
	c->look.first = slab->look_next;
	slab->looking = false;
	if (torn)
		collect_push_to(&c->torn, slab);
	return all;
}

void
collect_update(void *arg, struct session *session)
{
	struct collect *c = arg;
	bool more = true;

	(void)session;
	while (more && c->look.first) {
		blocks_lock();
		for (uint32_t i = 0; more && c->look.first && i < LOCKED_SLABS; i++)
			more = put_first(c);
		blocks_unlock();
	}
}

bool
collect_is_torn(const struct collect *c)
{
	return c->torn.first != NULL;
}

void
collect_torn(struct collect *c)
{
	for (struct slab *slab; (slab = c->torn.first) != NULL;) {
		c->torn.first = slab->look_next;
		collect_push_to(&c->look, slab);
	}
}
