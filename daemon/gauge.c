/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gauges: no total is kept; each is computed from its workers' parts when it is read. The
 * interface is in registry.h and registry_parts.h.
 */
#include "registry.h"
#include "registry_parts.h"

struct column *
registry_column(const struct registry *r, uint32_t number)
{
	return *(struct column **)slab_at(&r->columns, number);
}

static struct part *
part_at(const struct registry *r, uint32_t number)
{
	return slab_at(&r->parts, number);
}

bool
registry_part_add(
    struct registry *r, uint32_t series, const struct column *c, uint32_t cell)
{
	uint32_t number = slab_new(&r->parts);
	uint32_t *link = series_parts(r, series);

	if (number == 0)
		return false;
	*part_at(r, number) = (struct part){ .column = c->number, .cell = cell };
	while (*link)
		link = &part_at(r, *link)->next;
	*link = number;
	return true;
}

void
registry_part_remove(
    struct registry *r, uint32_t series, const struct column *c, uint32_t cell)
{
	for (uint32_t *link = series_parts(r, series); *link;
	     link = &part_at(r, *link)->next) {
		uint32_t number = *link;
		struct part *part = part_at(r, number);

		if (part->column == c->number && part->cell == cell) {
			*link = part->next;
			slab_release(&r->parts, number);
			return;
		}
	}
}

bool
registry_part_find(
    const struct registry *r, uint32_t series, const struct column *c, uint32_t *ret_cell)
{
	for (uint32_t at = *series_parts(r, series); at; at = part_at(r, at)->next)
		if (part_at(r, at)->column == c->number) {
			*ret_cell = part_at(r, at)->cell;
			return true;
		}
	return false;
}

uint32_t
registry_part_count(
    const struct registry *r, uint32_t series, const struct column *c, uint32_t *ret_cell)
{
	uint32_t n = 0;

	for (uint32_t at = *series_parts(r, series); at; at = part_at(r, at)->next)
		if (part_at(r, at)->column == c->number) {
			*ret_cell = part_at(r, at)->cell;
			n++;
		}
	return n;
}

/* A visible part that was set: its value, else false. */
static bool
part_value(const struct registry *r, const struct part *part, double *ret_value,
    uint64_t *ret_time)
{
	const struct column *c = registry_column(r, part->column);

	if (c->hidden || c->old[part->cell] == REGISTRY_UNSET)
		return false;
	*ret_value = wire_double(c->old[part->cell]);
	if (ret_time)
		*ret_time = c->old[part->cell + 1];
	return true;
}

/* NaN, whatever its bits, says nothing about the smallest or largest: it counts only when
 * there is no other. (fmin() and fmax() make a signalling one the result, or not, as the
 * compiler likes.) */
static double
merged(enum message_merge merge, double a, double b)
{
	/* No comparison with NaN holds. */
	bool b_counts = isnan(a) || (merge == MESSAGE_MIN ? b < a : b > a);

	switch (merge) {
	case MESSAGE_MIN:
	case MESSAGE_MAX:
		return b_counts ? b : a;
	case MESSAGE_SUM:
	case MESSAGE_LAST:
	case MESSAGE_EACH:
		break;
	}
	return a + b;
}

uint32_t
registry_gauge_parts(const struct registry *r, const struct series *s)
{
	return *series_parts(r, series_number(r, s));
}

bool
registry_gauge(const struct registry *r, const struct family *f, const struct series *s,
    double *ret_value)
{
	bool last = f->merge == MESSAGE_LAST, found = false;
	uint64_t time = 0, latest = 0;
	double value, total = 0;

	for (uint32_t at = registry_gauge_parts(r, s); at; at = part_at(r, at)->next) {
		if (!part_value(r, part_at(r, at), &value, last ? &time : NULL))
			continue;
		if (!found)
			total = value;
		else if (!last)
			total = merged(f->merge, total, value);
		else if (time >= latest)
			total = value;
		if (!found || time >= latest)
			latest = time;
		found = true;
	}
	if (found)
		*ret_value = total;
	return found;
}

bool
registry_gauge_part(const struct registry *r, uint32_t *at, double *ret_value,
    struct wire_text *ret_worker)
{
	while (*at) {
		const struct part *part = part_at(r, *at);

		*at = part->next;
		if (!part_value(r, part, ret_value, NULL))
			continue;
		*ret_worker =
		    labels_text(r->labels, registry_column(r, part->column)->worker);
		return true;
	}
	return false;
}
