/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is counted without a session: straight into the totals, and gauges in a column
 * that is the daemon's own. The interface is in registry.h and registry_parts.h.
 */
#include <stdlib.h>

#include "registry.h"
#include "registry_parts.h"

/* ---- Totals ----------------------------------------------------------- */

enum reason
registry_retained_add(
    struct registry *r, uint32_t series, double n, struct refusal *refusal)
{
	double *total = registry_series_totals(r, series);

	if (!isfinite(*total + n))
		return refuse(refusal, REASON_VALUE,
		    "'%s' cannot count on: %g and %g are more than a double holds",
		    series_family(r, registry_series(r, series))->name, *total, n);
	*total += n;
	return REASON_NONE;
}

enum reason
registry_retained_observe(struct registry *r, uint32_t series, size_t n, const double *v,
    struct refusal *refusal)
{
	const struct family *f = series_family(r, registry_series(r, series));
	double *total = registry_series_totals(r, series);
	double *sum = total + f->n_bounds + 1, after = *sum;

	for (size_t i = 0; i < n; i++)
		after += v[i];
	if (!isfinite(after))
		return refuse(refusal, REASON_VALUE,
		    "the sum of '%s' would be more than a double holds", f->name);
	for (size_t i = 0; i < n; i++) {
		uint32_t bucket = 0;

		while (bucket < f->n_bounds && v[i] > f->bounds[bucket])
			bucket++;
		total[bucket] += 1;
	}
	*sum = after;
	return REASON_NONE;
}

/* ---- Gauges ----------------------------------------------------------- */

static void
on_moved(void *owner, uint32_t number, uint32_t position)
{
	struct registry *r = owner;

	r->retained.end_at[number - 1] = position;
}

static bool
make_ends(struct registry *r)
{
	struct retained *own = &r->retained;
	uint32_t room = r->own->room;
	uint32_t *end_at;

	own->ends.moved = on_moved;
	own->ends.owner = r;
	if (!deadlines_reserve(&own->ends))
		return false;
	if (own->end_room == room)
		return true;
	end_at = realloc(own->end_at, room * sizeof(*end_at));
	if (end_at == NULL)
		return false;
	memset(end_at + own->end_room, 0, (room - own->end_room) * sizeof(*end_at));
	own->end_at = end_at;
	own->end_room = room;
	return true;
}

bool
registry_retained_reserve(struct registry *r)
{
	uint32_t part;

	if (r->own == NULL)
		r->own = registry_column_new(r, wire_text("daemon"));
	if (r->own == NULL || !registry_make_cells(r->own, r->retained.used + 2) ||
	    !make_ends(r))
		return false;
	/* A released part is the one that is given next. */
	part = slab_new(&r->parts);
	if (part)
		slab_release(&r->parts, part);
	return part != 0;
}

/* The first cell of the daemon's part in a gauge, which is made if it is not there. */
static uint32_t
own_cell(struct registry *r, uint32_t number)
{
	struct retained *own = &r->retained;
	const struct family *family = series_family(r, registry_series(r, number));
	uint32_t n = registry_cells_of(family), cell = own->free[n - 1];

	if (registry_part_find(r, number, r->own, &cell))
		return cell;
	if (cell) {
		cell--;
		own->free[n - 1] = (uint32_t)r->own->old[cell];
	} else {
		cell = own->used;
		own->used += n;
	}
	registry_take_cells(r, r->own, number, cell);
	return cell;
}

static void
forget_end(struct registry *r, uint32_t cell)
{
	struct retained *own = &r->retained;

	if (cell < own->end_room && own->end_at[cell])
		deadlines_remove(&own->ends, own->end_at[cell]);
}

static void
put_value(struct registry *r, uint32_t series, uint32_t cell, double v, uint64_t now_ns)
{
	registry_apply_record(r, r->own, cell, wire_bits(v));
	if (series_family(r, registry_series(r, series))->merge == MESSAGE_LAST)
		registry_apply_record(r, r->own, cell + 1, now_ns);
}

void
registry_retained_set(
    struct registry *r, uint32_t series, double v, uint64_t now_ns, uint64_t end_ms)
{
	uint32_t cell = own_cell(r, series);

	forget_end(r, cell);
	if (end_ms != REGISTRY_NO_END)
		deadlines_add(&r->retained.ends, end_ms, cell + 1);
	put_value(r, series, cell, v, now_ns);
}

void
registry_retained_adjust(struct registry *r, uint32_t series, double n, uint64_t now_ns)
{
	uint32_t cell = own_cell(r, series);
	uint64_t old = r->own->old[cell];

	put_value(
	    r, series, cell, old == REGISTRY_UNSET ? n : wire_double(old) + n, now_ns);
}

void
registry_retained_unset(struct registry *r, uint32_t series)
{
	const struct family *family = series_family(r, registry_series(r, series));
	uint32_t cell, n = registry_cells_of(family);

	if (r->own && registry_part_find(r, series, r->own, &cell)) {
		forget_end(r, cell);
		registry_release_cells(r, r->own, cell);
		r->own->old[cell] = r->retained.free[n - 1];
		r->retained.free[n - 1] = cell + 1;
	}
	registry_series_settle(r, series, false);
}

uint32_t
registry_retained_ended(struct registry *r)
{
	uint32_t number = deadlines_take(&r->retained.ends, r->now_ms);

	return number ? registry_cell_series(r, r->own, number - 1) : 0;
}

void
registry_retained_forget_times(struct registry *r)
{
	const struct column *own = r->own;

	for (uint32_t cell = 0; own && cell < own->room; cell++)
		if (slot_kind(own->slot[cell]) == CELL_LAST_TIME)
			own->old[cell] = 0;
}

void
registry_retained_free(struct registry *r)
{
	if (r->own)
		registry_column_fold(r, r->own);
	deadlines_free(&r->retained.ends);
	free(r->retained.end_at);
}
