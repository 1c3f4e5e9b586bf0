/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry holds, as items. The interface is in registry_saved.h. */
#include "registry_saved.h"

#include <errno.h>
#include <stdlib.h>

#include "labels_saved.h"
#include "registry_parts.h"

#define HOLES_MOST 4096 /* in one item */

/* Numbers in the file by numbers in memory; 0: it is not in the file yet. */
struct registry_save {
	const struct registry *r;
	struct items_out *out;
	uint32_t *string, *level, *schema, *series;
	uint32_t *column_number;
	const struct column **column; /* by number in the file, less 1 */
	uint32_t n_columns;
	struct strbuf room;
};

/* ---- Strings, levels, schemas -------------------------------------------- */

static void
put_raw(struct registry_save *s, struct wire_text escaped)
{
	items_text(s->out, labels_raw(escaped, &s->room));
	if (s->room.failed)
		s->out->error = ENOMEM;
}

/* The number of a string in the file, where it is put if it is not there. */
static uint32_t
string_of(struct registry_save *s, uint32_t string)
{
	if (string <= LABELS_WORKER || s->string[string])
		return string <= LABELS_WORKER ? string : s->string[string];
	items_begin(s->out, ITEM_STRING);
	put_raw(s, labels_text(s->r->labels, string));
	s->string[string] = s->out->count[ITEM_STRING] + LABELS_WORKER;
	return s->string[string];
}

static void
put_level(struct registry_save *s, uint32_t level)
{
	uint32_t parent, name;

	labels_level_parts(s->r->labels, level, &parent, &name);
	name = string_of(s, name);
	items_begin(s->out, ITEM_LEVEL);
	items_u32(s->out, parent == LABELS_RUNTIME ? 0 : s->level[parent]);
	items_u32(s->out, name);
	s->level[level] = s->out->count[ITEM_LEVEL];
}

static uint32_t
level_of(struct registry_save *s, uint32_t level)
{
	uint32_t chain[MESSAGE_LEVELS_MAX], n = 0, name;

	for (uint32_t at = level; at != LABELS_RUNTIME && s->level[at] == 0;) {
		chain[n++] = at;
		labels_level_parts(s->r->labels, at, &at, &name);
	}
	while (n > 0)
		put_level(s, chain[--n]);
	return level == LABELS_RUNTIME ? 0 : s->level[level];
}

static uint32_t
schema_of(struct registry_save *s, uint32_t number)
{
	const struct labels_schema *schema = labels_schema(s->r->labels, number);
	uint32_t name[MESSAGE_LABELS_MAX + 1], level;

	if (s->schema[number])
		return s->schema[number];
	level = level_of(s, schema->level);
	for (uint32_t i = 0; i < schema->n; i++)
		name[i] = string_of(s, schema->name[i]);
	items_begin(s->out, ITEM_SCHEMA);
	items_u32(s->out, level);
	items_u32(s->out, schema->n);
	for (uint32_t i = 0; i < schema->n; i++)
		items_u32(s->out, name[i]);
	s->schema[number] = s->out->count[ITEM_SCHEMA];
	return s->schema[number];
}

/* ---- Families and series -------------------------------------------------- */

static void
put_holes(struct registry_save *s, const struct family *f)
{
	uint32_t left = f->n_members - f->n_series, at = f->hole;

	while (left > 0) {
		uint32_t n = left < HOLES_MOST ? left : HOLES_MOST;

		items_begin(s->out, ITEM_HOLES);
		items_u32(s->out, n);
		for (left -= n; n > 0; n--) {
			items_u32(s->out, at - 1);
			at = f->member[at - 1] & ~FAMILY_HOLE;
		}
	}
}

static void
put_family(struct registry_save *s, const struct family *f)
{
	items_begin(s->out, ITEM_FAMILY);
	items_text(s->out, wire_text(f->name));
	put_raw(s, wire_text(f->help));
	items_u8(s->out, (uint8_t)f->kind);
	items_u8(s->out, (uint8_t)f->merge);
	items_u8(s->out, f->help_differs);
	items_u32(s->out, f->n_bounds);
	for (uint32_t i = 0; i < f->n_bounds; i++)
		items_u64(s->out, wire_bits(f->bounds[i]));
	items_u32(s->out, f->n_members);
	items_u32(s->out, f->n_series);
	put_holes(s, f);
}

/* When a gauge of the daemon's own leaves, in ticks; 0: never. */
static uint32_t
end_tick(const struct registry *r, uint32_t cell)
{
	const struct retained *own = &r->retained;
	uint32_t at = cell < own->end_room ? own->end_at[cell] : 0;
	uint32_t tick = at ? own->ends.at[at - 1].tick : 0;

	return at && tick == 0 ? 1 : tick;
}

static void
put_parts(struct registry_save *s, const struct series *series)
{
	const struct registry *r = s->r;

	for (uint32_t at = registry_gauge_parts(r, series); at;) {
		const struct part *part = slab_at(&r->parts, at);
		const struct column *c = registry_column(r, part->column);

		items_begin(s->out, ITEM_PART);
		items_u32(s->out, c == r->own ? 0 : s->column_number[c->number]);
		items_u32(s->out, c == r->own ? end_tick(r, part->cell) : part->cell);
		items_u64(s->out, c->old[part->cell]);
		if (series_family(r, series)->merge == MESSAGE_LAST)
			items_u64(s->out, c->old[part->cell + 1]);
		at = part->next;
	}
}

static void
put_series(struct registry_save *s, uint32_t number)
{
	const struct registry *r = s->r;
	const struct series *series = registry_series(r, number);
	const struct group *group = groups_at(&r->groups, series->group);
	const uint32_t *string = labels_set_values(r->labels, series->set);
	uint32_t n = labels_schema(r->labels, group->schema)->n, schema;
	uint32_t value[MESSAGE_LABELS_MAX + 1];

	schema = schema_of(s, group->schema);
	for (uint32_t i = 0; i < n; i++)
		value[i] = string_of(s, string[i]);
	items_begin(s->out, ITEM_SERIES);
	items_u32(s->out, schema);
	for (uint32_t i = 0; i < n; i++)
		items_u32(s->out, value[i]);
	items_u32(s->out, owners_uid(&r->owners, group->owner));
	items_u32(s->out, series->kept_s);
	for (uint32_t i = 0; i < family_totals(group->family); i++)
		items_u64(s->out, wire_bits(registry_series_totals(r, number)[i]));
	s->series[number] = s->out->count[ITEM_SERIES];
	if (group->family->kind == MESSAGE_GAUGE)
		put_parts(s, series);
}

static void
put_families(struct registry_save *s)
{
	for (uint32_t i = 0; i < s->r->families.n && s->out->error == 0; i++) {
		const struct family *f = s->r->families.by_name[i];

		put_family(s, f);
		for (uint32_t k = 0; k < f->n_members; k++)
			if (!(f->member[k] & FAMILY_HOLE))
				put_series(s, f->member[k]);
	}
}

/* ---- Columns --------------------------------------------------------------- */

void
registry_save_column(struct registry_save *s, const struct column *c)
{
	items_begin(s->out, ITEM_COLUMN);
	put_raw(s, labels_text(s->r->labels, c->worker));
	items_u8(s->out, c->hidden);
	items_u32(s->out, c->most_cells);
	items_u64(s->out, wire_bits(c->dropped));
	s->column[s->n_columns++] = c;
	s->column_number[c->number] = s->n_columns;
}

static void
put_metric(
    struct registry_save *s, uint32_t column, uint32_t id, const struct column_metric *m)
{
	uint32_t name[MESSAGE_LABELS_MAX + 1], constant[MESSAGE_LABELS_MAX + 1];
	uint32_t level = level_of(s, m->level);

	for (uint32_t i = 0; i < m->n; i++) {
		name[i] = string_of(s, m->label[i].name);
		constant[i] = string_of(s, m->label[i].constant);
	}
	items_begin(s->out, ITEM_METRIC);
	items_u32(s->out, column);
	items_u32(s->out, id);
	items_u32(s->out, 1 + families_from(&s->r->families, wire_text(m->family->name)));
	items_u32(s->out, level);
	items_u32(s->out, m->n_variable);
	items_u32(s->out, m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		items_u32(s->out, name[i]);
		items_u32(s->out, constant[i]);
		items_u32(s->out, m->label[i].variable);
	}
}

static void
put_child(struct registry_save *s, uint32_t column, const struct column *c, uint32_t cell)
{
	uint32_t number = registry_cell_series(s->r, c, cell);
	uint32_t n =
	    registry_cells_of(series_family(s->r, registry_series(s->r, number)));

	items_begin(s->out, ITEM_CHILD);
	items_u32(s->out, column);
	items_u32(s->out, cell);
	items_u32(s->out, s->series[number]);
	for (uint32_t i = 0; i < n; i++)
		items_u64(s->out, c->old[cell + i]);
}

static void
put_columns(struct registry_save *s)
{
	for (uint32_t i = 0; i < s->n_columns && s->out->error == 0; i++) {
		const struct column *c = s->column[i];

		for (uint32_t id = 0; id < c->metric_room; id++)
			if (c->metric[id])
				put_metric(s, i + 1, id, c->metric[id]);
	}
	for (uint32_t i = 0; i < s->n_columns && s->out->error == 0; i++) {
		const struct column *c = s->column[i];

		for (uint32_t cell = 0; cell < c->room; cell++) {
			enum cell_kind kind = slot_kind(c->slot[cell]);

			if (slot_is_first(kind) && kind != CELL_GAUGE)
				put_child(s, i + 1, c, cell);
		}
	}
}

/* ---- All ------------------------------------------------------------------- */

bool
registry_save_rest(struct registry_save *s)
{
	put_families(s);
	put_columns(s);
	return s->out->error == 0;
}

/* A number for each of so many, and for 0. */
static uint32_t *
numbers(uint32_t n)
{
	return calloc((size_t)n + 1, sizeof(uint32_t));
}

struct registry_save *
registry_save_new(const struct registry *r, struct items_out *out)
{
	struct registry_save *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->r = r;
	s->out = out;
	s->string = numbers(labels_last_string(r->labels));
	s->level = numbers(labels_last_level(r->labels));
	s->schema = numbers(labels_last_schema(r->labels));
	s->series = numbers(r->series.used);
	s->column_number = numbers(r->columns.used);
	s->column = calloc((size_t)r->columns.used + 1, sizeof(*s->column));
	if (!s->string || !s->level || !s->schema || !s->series || !s->column_number ||
	    !s->column) {
		registry_save_free(s);
		return NULL;
	}
	items_begin(out, ITEM_REGISTRY);
	items_u8(out, r->naming.component);
	items_u64(out, wire_bits(r->client_dropped));
	return s;
}

void
registry_save_free(struct registry_save *s)
{
	if (s == NULL)
		return;
	free(s->string);
	free(s->level);
	free(s->schema);
	free(s->series);
	free(s->column_number);
	free(s->column);
	strbuf_free(&s->room);
	free(s);
}
