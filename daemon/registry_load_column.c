/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers report, and the daemon itself: columns out of the items of a file. The
 * interface is in registry_load_parts.h.
 */
#include <stdlib.h>

#include "labels_saved.h"
#include "registry_load_parts.h"

bool
registry_load_column(struct registry_load *l, struct wire_reader *from, struct column *c)
{
	struct wire_text worker = wire_get_long_text(from);
	bool hidden = wire_get_u8(from) != 0;
	uint32_t most_cells = wire_get_u32(from);
	double dropped = wire_double(wire_get_u64(from));

	l->column[l->n[ITEM_COLUMN] + 1].column = c;
	if (c == NULL)
		return load_left_out(l);
	c->hidden = hidden;
	c->most_cells = most_cells;
	c->dropped = dropped;
	return registry_column_rename(l->r, c, worker);
}

static bool
are_free(const struct column *c, uint32_t cell, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (c->slot[cell + i] != 0)
			return false;
	return true;
}

static void
load_old(struct column *c, uint32_t cell, uint32_t n, const uint8_t *bits)
{
	for (uint32_t i = 0; i < n; i++)
		c->old[cell + i] = wire_load_u64(bits + 8 * (size_t)i);
}

/* A part behind those that the gauge has. */
static bool
add_part(struct registry_load *l, uint32_t series, struct column *c, uint32_t cell)
{
	uint32_t number = slab_new(&l->r->parts);
	struct part *part = number ? slab_at(&l->r->parts, number) : NULL;

	if (part == NULL)
		return false;
	part->column = c->number;
	part->cell = cell;
	*l->part = number;
	l->part = &part->next;
	registry_give_cells(l->r, c, series, cell);
	return true;
}

static bool
load_own_part(
    struct registry_load *l, uint32_t series, uint32_t tick, const uint8_t *bits)
{
	struct registry *r = l->r;
	uint32_t n = registry_cells_of(series_family(r, registry_series(r, series))),
		 cell;

	if (!registry_retained_reserve(r))
		return false;
	if (registry_part_find(r, series, r->own, &cell))
		return load_left_out(l);
	cell = r->retained.used;
	if (!add_part(l, series, r->own, cell))
		return false;
	r->retained.used += n;
	load_old(r->own, cell, n, bits);
	if (tick)
		deadlines_add(
		    &r->retained.ends, (uint64_t)tick * DEADLINES_TICK_MS, cell + 1);
	return true;
}

bool
registry_load_part(struct registry_load *l, struct wire_reader *from)
{
	const struct load_series *saved = &l->series[l->n[ITEM_SERIES] - 1];
	const struct load_family *f = &l->family[saved->family];
	uint32_t number = wire_get_u32(from), cell = wire_get_u32(from), another;
	uint32_t n = load_cells(f);
	const uint8_t *bits = wire_get_bytes(from, 8 * (size_t)n);
	struct column *c = l->column[number].column;

	if (saved->number == 0 || l->part == NULL)
		return true;
	if (number == 0)
		return load_own_part(l, saved->number, cell, bits);
	if (c == NULL)
		return true;
	if (!registry_make_cells(c, cell + n))
		return false;
	if (!are_free(c, cell, n) ||
	    (l->found && f->merge == MESSAGE_EACH &&
		registry_part_find(l->r, saved->number, c, &another)))
		return load_left_out(l);
	if (!add_part(l, saved->number, c, cell))
		return false;
	load_old(c, cell, n, bits);
	return true;
}

/* A label's name and where its value comes from; held by the metric. */
static bool
load_label(struct registry_load *l, const uint8_t *at, struct column_label *ret)
{
	uint32_t constant = wire_load_u32(at + 4);

	ret->name = load_string_of(l, wire_load_u32(at));
	ret->constant = constant ? load_string_of(l, constant) : 0;
	ret->variable = wire_load_u32(at + 8);
	if (ret->name == 0 || (constant && ret->constant == 0))
		return false;
	labels_hold_string(l->r->labels, ret->name);
	if (ret->constant > LABELS_WORKER)
		labels_hold_string(l->r->labels, ret->constant);
	return true;
}

static struct column_metric *
metric_new(struct registry_load *l, uint32_t level, uint32_t n_variable, uint32_t n,
    const uint8_t *label)
{
	struct column_metric *metric =
	    calloc(1, sizeof(*metric) + n * sizeof(metric->label[0]));

	if (metric == NULL)
		return NULL;
	metric->level = level;
	metric->n_variable = n_variable;
	labels_hold_level(l->r->labels, level);
	for (; metric->n < n; metric->n++)
		if (!load_label(
			l, label + 12 * (size_t)metric->n, &metric->label[metric->n])) {
			registry_unresolve(l->r, metric);
			return NULL;
		}
	return metric;
}

bool
registry_load_metric(struct registry_load *l, struct wire_reader *from)
{
	struct column *c = l->column[wire_get_u32(from)].column;
	uint32_t id = wire_get_u32(from);
	const struct load_family *f = &l->family[wire_get_u32(from) - 1];
	uint32_t level = wire_get_u32(from), n_variable = wire_get_u32(from);
	uint32_t n = wire_get_u32(from);
	const uint8_t *label = wire_get_bytes(from, 12 * (size_t)n);
	struct column_metric *metric;

	if (c == NULL)
		return true;
	load_describe(l, f);
	for (uint32_t i = 0; i < n; i++)
		load_describe_label(l, f, wire_load_u32(label + 12 * (size_t)i));
	if (f->family == NULL || !load_level_of(l, level, &level))
		return load_left_out(l);
	l->metric.name = wire_text(f->family->name);
	if (!load_labels_fit(l))
		return load_left_out(l);
	if (!registry_make_metrics(c, id))
		return false;
	if (!registry_family_own(l->r, f->family, c->uid))
		return false;
	metric = metric_new(l, level, n_variable, n, label);
	if (metric == NULL)
		return false;
	metric->family = f->family;
	registry_put_metric(c, id, metric);
	return true;
}

bool
registry_load_child(struct registry_load *l, struct wire_reader *from)
{
	struct column *c = l->column[wire_get_u32(from)].column;
	uint32_t cell = wire_get_u32(from);
	const struct load_series *saved = &l->series[wire_get_u32(from) - 1];
	uint32_t n = load_cells(&l->family[saved->family]);
	const uint8_t *bits = wire_get_bytes(from, 8 * (size_t)n);

	if (c == NULL || saved->number == 0)
		return true;
	if (!registry_make_cells(c, cell + n))
		return false;
	if (!are_free(c, cell, n))
		return load_left_out(l);
	registry_give_cells(l->r, c, saved->number, cell);
	load_old(c, cell, n, bits);
	return true;
}
