/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted without a session: straight into the totals, and gauges in a column
 * that is the daemon's own. The interface is in registry.h.
 */
#include <stdlib.h>

#include "registry.h"
#include "registry_parts.h"

#define OWN_WORKER "daemon" /* the name of the daemon's own column */

void
registry_retained_add(struct registry *r, uint32_t series, double n)
{
	*totals_at(&r->totals, registry_series(r, series)->at) += n;
}

void
registry_retained_observe(struct registry *r, uint32_t series, double v)
{
	const struct series *s = registry_series(r, series);
	uint32_t i = 0;

	while (i < s->family->n_bounds && v > s->family->bounds[i])
		i++;
	*totals_at(&r->totals, s->at + i) += 1;
	*totals_at(&r->totals, s->at + s->family->n_bounds + 1) += v;
}

/* The first run of n free cells. */
static uint32_t
free_cells(const struct column *c, uint32_t n)
{
	uint32_t run = 0;

	for (uint32_t cell = 0; cell < c->room; cell++) {
		run = c->slot[cell] == 0 ? run + 1 : 0;
		if (run == n)
			return cell + 1 - n;
	}
	return c->room;
}

static bool
own_cell(struct registry *r, uint32_t number, uint32_t *ret_cell)
{
	const struct series *s = registry_series(r, number);
	uint32_t n = registry_cells_of(s->family);

	if (r->own == NULL)
		r->own = registry_column_new(r, wire_text(OWN_WORKER));
	if (r->own == NULL)
		return false;
	if (registry_part_find(r, s, r->own, ret_cell))
		return true;
	*ret_cell = free_cells(r->own, n);
	if (!registry_make_cells(r->own, *ret_cell + n) ||
	    !registry_take_cells(r, r->own, number, *ret_cell))
		return false;
	/* The daemon's part is kept data: it does not make the series live. */
	registry_series(r, number)->live--;
	return true;
}

bool
registry_retained_set(
    struct registry *r, uint32_t series, double v, bool add, uint64_t now_ns)
{
	uint32_t cell;
	uint64_t *old;

	if (!own_cell(r, series, &cell))
		return false;
	old = &r->own->old[cell];
	if (add && *old != REGISTRY_UNSET)
		v += wire_double(*old);
	registry_apply_record(r, r->own, cell, wire_bits(v));
	if (registry_series(r, series)->family->merge == MESSAGE_LAST)
		registry_apply_record(r, r->own, cell + 1, now_ns);
	return true;
}

void
registry_retained_unset(struct registry *r, uint32_t series)
{
	struct series *s = registry_series(r, series);
	uint32_t cell;

	if (r->own && registry_part_find(r, s, r->own, &cell))
		registry_release_cells(r, r->own, cell);
	registry_series_settle(r, series, false);
}
