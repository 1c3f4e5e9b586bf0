/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The items of a registry, checked before the first is loaded: whatever they say, loading
 * them cannot go wrong. The interface is in registry_saved.h.
 */
#include <stdlib.h>

#include "registry_load_parts.h"

#define HELP_MOST    65536
#define SPARSE_CELLS (128ULL << 20) /* of columns that had more than they have */

/* ---- Strings, levels, schemas -------------------------------------------- */

static bool
is_string(const struct registry_load *l, uint32_t string)
{
	return string > LABELS_WORKER && string - LABELS_WORKER <= l->n[ITEM_STRING];
}

static bool
check_registry(struct registry_load *l, struct wire_reader *from)
{
	uint8_t naming = wire_get_u8(from);

	wire_get_u64(from);
	return naming <= 1 && l->n[ITEM_REGISTRY] == 0;
}

static bool
check_string(struct registry_load *l, struct wire_reader *from)
{
	struct wire_text text = wire_get_long_text(from);

	l->text[l->n[ITEM_STRING]] = text;
	return text.bytes <= UINT16_MAX && names_utf8(text);
}

static bool
check_level(struct registry_load *l, struct wire_reader *from)
{
	struct load_level *level = &l->level[l->n[ITEM_LEVEL]];

	level->parent = wire_get_u32(from);
	level->name = wire_get_u32(from);
	if (level->parent > l->n[ITEM_LEVEL] || !is_string(l, level->name))
		return false;
	level->depth = level->parent ? l->level[level->parent - 1].depth + 1 : 1;
	return level->depth <= MESSAGE_LEVELS_MAX &&
	       load_text(l, level->name).bytes > 0 &&
	       load_text(l, level->name).bytes <= NAMES_LEVEL_BYTES;
}

/* Names in order, none twice. */
static bool
is_next_name(const struct registry_load *l, uint32_t before, uint32_t name)
{
	return is_string(l, name) && (before == 0 || names_compare(load_text(l, before),
							 load_text(l, name)) < 0);
}

static bool
check_schema(struct registry_load *l, struct wire_reader *from)
{
	struct load_schema *schema = &l->schema[l->n[ITEM_SCHEMA]];
	uint32_t before = 0;

	schema->level = wire_get_u32(from);
	schema->n = wire_get_u32(from);
	if (schema->level > l->n[ITEM_LEVEL] || schema->n > MESSAGE_LABELS_MAX + 1)
		return false;
	schema->name = wire_get_bytes(from, 4 * (size_t)schema->n);
	for (uint32_t i = 0; i < schema->n && schema->name; i++) {
		uint32_t name = wire_load_u32(schema->name + 4 * (size_t)i);

		if (!is_next_name(l, before, name))
			return false;
		before = name;
		if (wire_text_is(load_text(l, name), "worker_id"))
			schema->worker = i + 1;
	}
	return true;
}

/* ---- Families -------------------------------------------------------------- */

static bool
check_bounds(const struct load_family *f)
{
	for (uint32_t i = 0; i < f->n_bounds; i++) {
		double bound = wire_double(wire_load_u64(f->bounds + 8 * (size_t)i));

		if (!isfinite(bound) ||
		    (i > 0 && bound <= wire_double(wire_load_u64(
					   f->bounds + 8 * ((size_t)i - 1)))))
			return false;
	}
	return true;
}

static bool
check_shape(const struct load_family *f, uint8_t kind, uint8_t merge)
{
	if (kind < MESSAGE_COUNTER || kind > MESSAGE_HISTOGRAM || merge > MESSAGE_EACH)
		return false;
	return (kind == MESSAGE_GAUGE || merge == MESSAGE_SUM) &&
	       (kind == MESSAGE_HISTOGRAM || f->n_bounds == 0) &&
	       f->n_bounds <= MESSAGE_BOUNDS_MAX;
}

static bool
is_family_whole(const struct registry_load *l)
{
	return l->series_left == 0 && l->holes_left == 0;
}

/* No position of the family is taken. */
static bool
clear_taken(struct registry_load *l, uint32_t positions)
{
	if (positions > l->taken_room) {
		free(l->taken);
		l->taken = calloc(positions, 1);
		l->taken_room = l->taken ? positions : 0;
		l->memory |= l->taken == NULL;
		return l->taken != NULL;
	}
	if (positions)
		memset(l->taken, 0, positions);
	return true;
}

static bool
check_positions(struct registry_load *l, const struct load_family *f)
{
	uint64_t holes = l->bytes / sizeof(uint32_t);

	if (f->n_series > f->positions || f->positions >= FAMILY_HOLE ||
	    f->n_series > l->counts[ITEM_SERIES] - l->n[ITEM_SERIES] ||
	    f->positions - f->n_series > holes)
		return false;
	l->position = 0;
	l->series_left = f->n_series;
	l->holes_left = f->positions - f->n_series;
	return clear_taken(l, f->positions);
}

static bool
check_family(struct registry_load *l, struct wire_reader *from)
{
	struct load_family *f = &l->family[l->n[ITEM_FAMILY]];
	uint8_t kind, merge;

	f->name = wire_get_long_text(from);
	f->help = wire_get_long_text(from);
	kind = wire_get_u8(from);
	merge = wire_get_u8(from);
	f->help_differs = wire_get_u8(from) != 0;
	f->n_bounds = wire_get_u32(from);
	if (!is_family_whole(l) || !check_shape(f, kind, merge))
		return false;
	f->kind = (enum message_kind)kind;
	f->merge = (enum message_merge)merge;
	f->bounds = wire_get_bytes(from, 8 * (size_t)f->n_bounds);
	f->positions = wire_get_u32(from);
	f->n_series = wire_get_u32(from);
	return !from->failed && f->name.bytes > 0 &&
	       f->name.bytes <= NAMES_NAME_BYTES_MAX && f->help.bytes < HELP_MOST &&
	       names_utf8(f->name) && names_utf8(f->help) && check_bounds(f) &&
	       check_positions(l, f);
}

static bool
check_holes(struct registry_load *l, struct wire_reader *from)
{
	uint32_t n = wire_get_u32(from), families = l->n[ITEM_FAMILY];
	const struct load_family *f = families ? &l->family[families - 1] : NULL;

	if (f == NULL || n == 0 || n > UINT16_MAX || n > l->holes_left ||
	    l->series_left != f->n_series)
		return false;
	for (l->holes_left -= n; n > 0; n--) {
		uint32_t at = wire_get_u32(from);

		if (from->failed || at >= f->positions || l->taken[at])
			return false;
		l->taken[at] = 1;
	}
	return true;
}

/* ---- Series ---------------------------------------------------------------- */

/* Each value has a text; the worker's name is where `each` has it, and nowhere else. */
static bool
check_values(const struct registry_load *l, const struct load_family *f,
    const struct load_schema *schema, const uint8_t *value)
{
	bool each = f->merge == MESSAGE_EACH;

	if (each && schema->worker == 0)
		return false;
	for (uint32_t i = 0; i < schema->n; i++) {
		uint32_t string = wire_load_u32(value + 4 * (size_t)i);

		if (each && i + 1 == schema->worker) {
			if (string != LABELS_WORKER)
				return false;
		} else if (!is_string(l, string) || load_text(l, string).bytes == 0) {
			return false;
		}
	}
	return true;
}

/* A counter, or the buckets of a histogram: none is negative or no number. The sum behind
 * them may be. */
static bool
are_counts(const struct load_family *f, const uint8_t *value)
{
	uint32_t n = f->kind == MESSAGE_HISTOGRAM ? f->n_bounds + 1
		     : f->kind == MESSAGE_COUNTER ? 1
						  : 0;

	for (uint32_t i = 0; i < n && value; i++)
		if (!(wire_double(wire_load_u64(value + 8 * (size_t)i)) >= 0))
			return false;
	return true;
}

static bool
check_series(struct registry_load *l, struct wire_reader *from)
{
	uint32_t families = l->n[ITEM_FAMILY], schema = wire_get_u32(from);
	const struct load_family *f = families ? &l->family[families - 1] : NULL;
	const uint8_t *value;

	if (f == NULL || l->series_left == 0 || l->holes_left > 0 || schema == 0 ||
	    schema > l->n[ITEM_SCHEMA])
		return false;
	l->series_left--;
	l->series[l->n[ITEM_SERIES]].family = families - 1;
	value = wire_get_bytes(from, 4 * (size_t)l->schema[schema - 1].n);
	if (value == NULL || !check_values(l, f, &l->schema[schema - 1], value))
		return false;
	l->series[l->n[ITEM_SERIES]].value = value;
	wire_get_u64(from);
	return are_counts(f, wire_get_bytes(from, 8 * (size_t)load_totals(f)));
}

/* What a column had once, the file only says. The memory that all take is bounded. */
static bool
check_cell(struct registry_load *l, uint32_t column, uint32_t cell, uint32_t n)
{
	struct load_column *c = &l->column[column];
	uint64_t end = (uint64_t)cell + n;

	if (end > REGISTRY_SPARSE + 4 * ((uint64_t)c->most_cells + n) ||
	    end > SLOT_NUMBER)
		return false;
	if (end > c->end) {
		l->cells += end - c->end;
		c->end = (uint32_t)end;
	}
	return l->cells <= SPARSE_CELLS + l->bytes;
}

static bool
check_part(struct registry_load *l, struct wire_reader *from)
{
	uint32_t column = wire_get_u32(from), cell = wire_get_u32(from);
	uint32_t number = l->n[ITEM_SERIES];
	const struct load_family *f;

	if (number == 0 || column > l->n[ITEM_COLUMN])
		return false;
	f = &l->family[l->series[number - 1].family];
	/* Twice would be two lines with one worker_id; the daemon's own is one. */
	if ((f->merge == MESSAGE_EACH || column == 0) && l->column[column].seen == number)
		return false;
	l->column[column].seen = number;
	wire_get_bytes(from, 8 * (size_t)load_cells(f));
	return f->kind == MESSAGE_GAUGE &&
	       (column == 0 || check_cell(l, column, cell, load_cells(f)));
}

/* ---- Columns --------------------------------------------------------------- */

static bool
check_column(struct registry_load *l, struct wire_reader *from)
{
	struct wire_text worker = wire_get_long_text(from);
	uint8_t hidden = wire_get_u8(from);

	l->column[l->n[ITEM_COLUMN] + 1].most_cells = wire_get_u32(from);
	wire_get_u64(from);
	return hidden <= 1 && worker.bytes > 0 && worker.bytes <= NAMES_WORKER_BYTES &&
	       names_utf8(worker) && l->n[ITEM_FAMILY] == 0;
}

/* Where a value comes from: the string, the worker, or the child. */
static bool
check_label(struct registry_load *l, struct wire_reader *from, bool each,
    uint32_t n_variable, uint32_t *name, uint64_t *variables)
{
	uint32_t before = *name, constant, variable;

	*name = wire_get_u32(from);
	constant = wire_get_u32(from);
	variable = wire_get_u32(from);
	if (from->failed || !is_next_name(l, before, *name))
		return false;
	if (each && wire_text_is(load_text(l, *name), "worker_id"))
		return constant == LABELS_WORKER && variable == 0;
	if (constant)
		return is_string(l, constant) && variable == 0;
	if (variable >= n_variable || (*variables >> variable & 1))
		return false;
	*variables |= (uint64_t)1 << variable;
	return true;
}

static bool
check_labels(struct registry_load *l, struct wire_reader *from, bool each)
{
	uint32_t n_variable = wire_get_u32(from), n = wire_get_u32(from), name = 0;
	uint64_t variables = 0;
	bool worker = false;

	if (n_variable > MESSAGE_LABELS_MAX || n > MESSAGE_LABELS_MAX + 1)
		return false;
	while (n-- > 0) {
		if (!check_label(l, from, each, n_variable, &name, &variables))
			return false;
		worker |= wire_text_is(load_text(l, name), "worker_id");
	}
	return (!each || worker) &&
	       (uint32_t)__builtin_popcountll(variables) == n_variable;
}

static bool
check_metric(struct registry_load *l, struct wire_reader *from)
{
	uint32_t column = wire_get_u32(from), id = wire_get_u32(from);
	uint32_t family = wire_get_u32(from), level = wire_get_u32(from);

	if (column == 0 || column > l->n[ITEM_COLUMN] || column < l->column_before ||
	    (column == l->column_before && id <= l->id_before) ||
	    id >= REGISTRY_SPARSE + 4 * (uint64_t)l->counts[ITEM_METRIC] || family == 0 ||
	    family > l->n[ITEM_FAMILY] || level > l->n[ITEM_LEVEL])
		return false;
	l->column_before = column;
	l->id_before = id;
	return check_labels(l, from, l->family[family - 1].merge == MESSAGE_EACH);
}

static bool
check_child(struct registry_load *l, struct wire_reader *from)
{
	uint32_t column = wire_get_u32(from), cell = wire_get_u32(from);
	uint32_t series = wire_get_u32(from);
	const struct load_family *f;

	if (column == 0 || column > l->n[ITEM_COLUMN] || column < l->child_column ||
	    (column == l->child_column && cell < l->cells_end) || series == 0 ||
	    series > l->n[ITEM_SERIES])
		return false;
	f = &l->family[l->series[series - 1].family];
	l->child_column = column;
	l->cells_end = (uint64_t)cell + load_cells(f);
	return f->kind != MESSAGE_GAUGE && check_cell(l, column, cell, load_cells(f)) &&
	       are_counts(f, wire_get_bytes(from, 8 * (size_t)load_cells(f)));
}

/* ---- All ------------------------------------------------------------------- */

bool
registry_load_check(struct registry_load *l, enum item item, struct wire_reader *from)
{
	static bool (*const check[ITEM_END])(
	    struct registry_load *, struct wire_reader *) = {
		[ITEM_REGISTRY] = check_registry,
		[ITEM_COLUMN] = check_column,
		[ITEM_STRING] = check_string,
		[ITEM_LEVEL] = check_level,
		[ITEM_SCHEMA] = check_schema,
		[ITEM_FAMILY] = check_family,
		[ITEM_HOLES] = check_holes,
		[ITEM_SERIES] = check_series,
		[ITEM_PART] = check_part,
		[ITEM_METRIC] = check_metric,
		[ITEM_CHILD] = check_child,
	};

	if (check[item] == NULL || l->n[item] >= l->counts[item] ||
	    !check[item](l, from) || from->failed)
		return false;
	l->n[item]++;
	return true;
}

bool
registry_load_checked(struct registry_load *l, bool *ret_memory)
{
	*ret_memory = l->memory;
	return !l->memory && is_family_whole(l) && l->n[ITEM_REGISTRY] == 1;
}
