/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry out of the items of a file, when they were checked. The interface is in
 * registry_saved.h.
 */
#include <stdlib.h>

#include "labels_saved.h"
#include "registry_load_parts.h"
#include "self_metrics.h"

/* What is there stays, whatever the configuration allows now. */
static const struct names_limits no_limits = { .name_bytes = UINT32_MAX,
	.help_bytes = UINT32_MAX,
	.labels = UINT32_MAX,
	.label_bytes = UINT32_MAX,
	.buckets = UINT32_MAX };

bool
load_left_out(struct registry_load *l)
{
	l->dropped++;
	return true;
}

/* ---- Strings, levels, schemas -------------------------------------------- */

static bool
load_registry(struct registry_load *l, struct wire_reader *from)
{
	struct registry *r = l->r;

	l->fit = wire_get_u8(from) == 0 && r->naming.component;
	r->client_dropped = wire_double(wire_get_u64(from));
	return labels_reserve(
		   r->labels, l->counts[ITEM_STRING], l->counts[ITEM_SCHEMA]) &&
	       index_reserve(&r->series_index, l->counts[ITEM_SERIES]);
}

/* Memory is asked for places before they are needed: of strings and of series. */
#define ASK_STRINGS 16
#define ASK_SERIES  8

static bool
load_string(struct registry_load *l, struct wire_reader *from)
{
	uint32_t ahead = l->n[ITEM_STRING] + ASK_STRINGS;

	if (ahead < l->counts[ITEM_STRING])
		labels_ask_string(l->r->labels, l->text[ahead]);
	wire_get_long_text(from);
	return true;
}

/* The registry's number of a string: held until the load is done. 0 when memory is out.
 */
uint32_t
load_string_of(struct registry_load *l, uint32_t string)
{
	uint32_t *number;

	if (string == LABELS_WORKER)
		return LABELS_WORKER;
	number = &l->string[string - LABELS_WORKER - 1];
	if (*number == 0)
		*number = labels_string(l->r->labels, load_text(l, string));
	return *number;
}

static bool
load_level(struct registry_load *l, struct wire_reader *from)
{
	struct load_level *level = &l->level[l->n[ITEM_LEVEL]];
	struct message_level raw = { .depth = (uint8_t)level->depth };
	const struct message_level *kept = &raw;
	const struct load_level *at = level;
	struct naming_level room;

	wire_get_u64(from);
	for (uint32_t i = level->depth; i > 0; i--) {
		raw.name[i - 1] = load_text(l, at->name);
		at = at->parent ? &l->level[at->parent - 1] : NULL;
	}
	if (l->fit && naming_level(&l->r->naming, &kept, &room, &l->why) != REASON_NONE)
		return true;
	return labels_level(l->r->labels, kept, &level->number);
}

/* False if the level was left out. */
bool
load_level_of(const struct registry_load *l, uint32_t level, uint32_t *ret_number)
{
	*ret_number = level ? l->level[level - 1].number : LABELS_RUNTIME;
	return level == 0 || *ret_number != 0;
}

static bool
load_schema(struct registry_load *l, struct wire_reader *from)
{
	struct load_schema *schema = &l->schema[l->n[ITEM_SCHEMA]];
	uint32_t name[MESSAGE_LABELS_MAX + 1], level;

	wire_get_bytes(from, 8 + 4 * (size_t)schema->n);
	if (!load_level_of(l, schema->level, &level))
		return true;
	for (uint32_t i = 0; i < schema->n; i++) {
		name[i] = load_string_of(l, wire_load_u32(schema->name + 4 * (size_t)i));
		if (name[i] == 0)
			return false;
	}
	schema->number = labels_restore_schema(l->r->labels, level, schema->n, name);
	return schema->number != 0;
}

/* ---- Families -------------------------------------------------------------- */

/* The family as a worker would define it now, in l->metric. */
void
load_describe(struct registry_load *l, const struct load_family *f)
{
	struct message_metric *m = &l->metric;

	m->kind = f->kind;
	m->merge = f->merge;
	m->name = f->name;
	m->help = f->help;
	m->n_bounds = f->n_bounds;
	m->bounds = f->bounds;
	m->n_variable = 0;
}

/* It may have the name, or be the family that has it already. */
static bool
fits(struct registry_load *l, const struct message_metric *m, struct family **ret)
{
	const struct families *families = &l->r->families;
	struct family *found;
	const struct family *other;
	uint32_t position = 0;

	if (names_check_metric(m, &no_limits, &l->why) != REASON_NONE)
		return false;
	found = families_find(families, m->name);
	if (found && family_check_shape(found, m, &l->why) != REASON_NONE)
		return false;
	if (self_metrics_owns(naming_prefix(&l->r->naming), m->name)) {
		refuse(&l->why, REASON_COLLISION,
		    "the name '%.*s' belongs to the daemon's own metrics",
		    (int)m->name.bytes, m->name.at);
		return false;
	}
	other = families_collision(families, m, &position);
	if (other)
		refuse(&l->why, REASON_COLLISION,
		    "samples of '%.*s' would have names of '%s'", (int)m->name.bytes,
		    m->name.at, other->name);
	else
		*ret = found;
	return other == NULL;
}

static bool
load_family(struct registry_load *l, struct wire_reader *from)
{
	struct load_family *f = &l->family[l->n[ITEM_FAMILY]];
	const struct message_metric *m = &l->metric;
	struct naming_metric room;

	/* Behind the texts: three bytes, the bounds and their number, two numbers. */
	wire_get_long_text(from);
	wire_get_long_text(from);
	wire_get_bytes(from, 3 + 4 + 8 * (size_t)f->n_bounds + 8);
	l->position = l->last_hole = 0;
	l->part = NULL;
	load_describe(l, f);
	if (l->fit &&
	    naming_metric(&l->r->naming, &no_limits, &m, &room, &l->why) != REASON_NONE)
		return true;
	if (!fits(l, m, &f->family) || f->family)
		return true;
	f->family = family_new(&l->r->families, m);
	if (f->family == NULL)
		return false;
	f->fresh = true;
	f->family->help_differs = f->help_differs;
	family_add(&l->r->families, f->family);
	return family_make_positions(f->family, f->positions);
}

static bool
load_holes(struct registry_load *l, struct wire_reader *from)
{
	const struct load_family *f = &l->family[l->n[ITEM_FAMILY] - 1];

	for (uint32_t n = wire_get_u32(from); n > 0; n--) {
		uint32_t at = wire_get_u32(from);

		if (f->fresh)
			family_put_hole(f->family, at, &l->last_hole);
	}
	return true;
}

/* ---- Series ---------------------------------------------------------------- */

/* Label names as they may be now: the names of a schema, or of a metric. */
bool
load_labels_fit(struct registry_load *l)
{
	return names_check_metric(&l->metric, &no_limits, &l->why) == REASON_NONE &&
	       naming_check_labels(&l->r->naming, &l->metric, &l->why) == REASON_NONE;
}

void
load_describe_label(struct registry_load *l, const struct load_family *f, uint32_t name)
{
	struct wire_text text = load_text(l, name);

	if (f->merge == MESSAGE_EACH && wire_text_is(text, "worker_id"))
		return;
	/* One more than there may be is enough to be refused. */
	if (l->metric.n_variable < MESSAGE_LABELS_MAX)
		l->metric.variable_name[l->metric.n_variable++] = text;
}

static bool
schema_fits(struct registry_load *l, uint32_t family, struct load_schema *schema)
{
	const struct load_family *f = &l->family[family];

	if (schema->asked == family + 1)
		return schema->fits;
	schema->asked = family + 1;
	load_describe(l, f);
	for (uint32_t i = 0; i < schema->n; i++)
		load_describe_label(l, f, wire_load_u32(schema->name + 4 * (size_t)i));
	/* The name was asked for with the family. */
	l->metric.name = f->family ? wire_text(f->family->name) : f->name;
	schema->fits = schema->number && f->family && load_labels_fit(l);
	return schema->fits;
}

/* The position of the next series in a family that was made. */
static uint32_t
next_position(struct registry_load *l, const struct load_family *f)
{
	if (!f->fresh)
		return SERIES_ANYWHERE;
	while (family_is_hole(f->family, l->position))
		l->position++;
	return l->position++;
}

/* Two series have become one: it has what both counted. */
static void
load_totals_of(struct registry_load *l, const struct load_family *f, uint32_t number,
    const uint8_t *total)
{
	for (uint32_t i = 0; i < load_totals(f); i++) {
		double *to = registry_series_totals(l->r, number) + i;
		double v = wire_double(wire_load_u64(total + 8 * (size_t)i));

		*to = l->found ? *to + v : v;
	}
}

/* The strings that a series needs are taken a little early, as its place is found by
 * them. What cannot be taken is missed when the series comes. */
static void
ask_ahead(struct registry_load *l)
{
	uint32_t at = l->n[ITEM_SERIES] + ASK_SERIES;
	const struct load_series *next =
	    at < l->counts[ITEM_SERIES] ? &l->series[at] : NULL;
	const struct load_schema *schema;
	uint32_t string[MESSAGE_LABELS_MAX + 1];

	if (next == NULL || l->family[next->family].family == NULL)
		return;
	schema = &l->schema[wire_load_u32(next->value - 4) - 1];
	for (uint32_t i = 0; i < schema->n; i++) {
		string[i] = load_string_of(l, wire_load_u32(next->value + 4 * (size_t)i));
		if (string[i] == 0)
			return;
	}
	if (schema->number)
		registry_series_ask(
		    l->r, l->family[next->family].family, schema->number, string);
}

static bool
load_series(struct registry_load *l, struct wire_reader *from)
{
	struct load_series *saved = &l->series[l->n[ITEM_SERIES]];
	const struct load_family *f = &l->family[saved->family];
	struct load_schema *schema = &l->schema[wire_get_u32(from) - 1];
	const uint8_t *value = wire_get_bytes(from, 4 * (size_t)schema->n);
	uint32_t uid = wire_get_u32(from), kept_s = wire_get_u32(from);
	const uint8_t *total = wire_get_bytes(from, 8 * (size_t)load_totals(f));
	uint32_t position = next_position(l, f), set;
	uint32_t string[MESSAGE_LABELS_MAX + 1];
	struct series *s;
	bool made;

	l->part = NULL;
	ask_ahead(l);
	if (!schema_fits(l, saved->family, schema)) {
		if (f->fresh)
			family_skip_member(f->family, position);
		return load_left_out(l);
	}
	for (uint32_t i = 0; i < schema->n; i++) {
		string[i] = load_string_of(l, wire_load_u32(value + 4 * (size_t)i));
		if (string[i] == 0)
			return false;
	}
	set = labels_restore_set(l->r->labels, schema->number, string);
	if (set == 0 ||
	    !registry_series_restore(l->r, uid, f->family, schema->number, set, position,
		&saved->number, &made) ||
	    !registry_family_own(l->r, f->family, uid))
		return false;
	l->found = !made;
	if (!made && f->fresh)
		family_skip_member(f->family, position);
	s = registry_series(l->r, saved->number);
	if (made || s->kept_s < kept_s)
		s->kept_s = kept_s;
	load_totals_of(l, f, saved->number, total);
	if (f->kind == MESSAGE_GAUGE)
		for (l->part = series_parts(l->r, saved->number); *l->part;)
			l->part = &((struct part *)slab_at(&l->r->parts, *l->part))->next;
	return true;
}

/* ---- All ------------------------------------------------------------------- */

bool
registry_load_item(struct registry_load *l, enum item item, struct wire_reader *from,
    struct column *column)
{
	static bool (*const load[ITEM_END])(
	    struct registry_load *, struct wire_reader *) = {
		[ITEM_REGISTRY] = load_registry,
		[ITEM_STRING] = load_string,
		[ITEM_LEVEL] = load_level,
		[ITEM_SCHEMA] = load_schema,
		[ITEM_FAMILY] = load_family,
		[ITEM_HOLES] = load_holes,
		[ITEM_SERIES] = load_series,
		[ITEM_PART] = registry_load_part,
		[ITEM_METRIC] = registry_load_metric,
		[ITEM_CHILD] = registry_load_child,
	};
	bool whole;

	if (!l->loading)
		memset(l->n, 0, sizeof(l->n));
	l->loading = true;
	whole = item == ITEM_COLUMN ? registry_load_column(l, from, column)
				    : load[item](l, from);
	l->n[item]++;
	return whole;
}

/* A worker has series of metrics that it defines: others of its metrics were left out. */
static void
settle_column(struct registry *r, struct column *c, uint32_t number, uint32_t *defines)
{
	for (uint32_t id = 0; id < c->metric_room; id++)
		if (c->metric[id])
			defines[c->metric[id]->family->number] = number;
	for (uint32_t cell = 0; cell < c->room; cell++) {
		const struct series *s;

		if (!slot_is_first(slot_kind(c->slot[cell])))
			continue;
		s = registry_series(r, registry_cell_series(r, c, cell));
		if (defines[series_family(r, s)->number] != number)
			registry_release_cells(r, c, cell);
	}
}

/* False when memory is out. */
static bool
settle_columns(struct registry_load *l)
{
	uint32_t *defines =
	    calloc((size_t)l->r->families.next_number + 1, sizeof(*defines));
	bool whole;

	for (uint32_t i = 1; i <= l->n[ITEM_COLUMN] && defines; i++)
		if (l->column[i].column)
			settle_column(l->r, l->column[i].column, i, defines);
	whole = defines != NULL;
	free(defines);
	return whole;
}

/* Gauges whose parts were all left out, and families of which nothing is left. */
static void
settle(struct registry_load *l)
{
	struct registry *r = l->r;

	for (uint32_t i = 0; i < l->n[ITEM_SERIES]; i++) {
		const struct load_series *s = &l->series[i];

		if (s->number && l->family[s->family].kind == MESSAGE_GAUGE &&
		    registry_series(r, s->number)->group)
			registry_series_settle(r, s->number, true);
	}
	for (uint32_t i = r->families.n; i > 0; i--)
		registry_family_settle(r, r->families.by_name[i - 1]);
}

bool
registry_load_done(struct registry_load *l)
{
	struct labels *labels = l->r->labels;

	if (!settle_columns(l))
		return false;
	settle(l);
	for (uint32_t i = 0; i < l->n[ITEM_STRING]; i++)
		labels_string_release(labels, l->string[i]);
	for (uint32_t i = 0; i < l->n[ITEM_SCHEMA]; i++)
		if (l->schema[i].number)
			labels_release_schema(labels, l->schema[i].number);
	for (uint32_t i = 0; i < l->n[ITEM_LEVEL]; i++)
		labels_level_release(labels, l->level[i].number);
	return true;
}

uint64_t
registry_load_dropped(const struct registry_load *l, const char **ret_why)
{
	*ret_why = l->why.text;
	return l->dropped;
}

struct registry_load *
registry_load_new(struct registry *r, const uint32_t counts[ITEM_END], size_t bytes)
{
	struct registry_load *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->r = r;
	l->bytes = bytes;
	memcpy(l->counts, counts, sizeof(l->counts));
	l->text = calloc((size_t)counts[ITEM_STRING] + 1, sizeof(*l->text));
	l->string = calloc((size_t)counts[ITEM_STRING] + 1, sizeof(*l->string));
	l->level = calloc((size_t)counts[ITEM_LEVEL] + 1, sizeof(*l->level));
	l->schema = calloc((size_t)counts[ITEM_SCHEMA] + 1, sizeof(*l->schema));
	l->family = calloc((size_t)counts[ITEM_FAMILY] + 1, sizeof(*l->family));
	l->series = calloc((size_t)counts[ITEM_SERIES] + 1, sizeof(*l->series));
	l->column = calloc((size_t)counts[ITEM_COLUMN] + 1, sizeof(*l->column));
	if (l->text && l->string && l->level && l->schema && l->family && l->series &&
	    l->column)
		return l;
	registry_load_free(l);
	return NULL;
}

void
registry_load_free(struct registry_load *l)
{
	if (l == NULL)
		return;
	free(l->text);
	free(l->string);
	free(l->level);
	free(l->schema);
	free(l->family);
	free(l->series);
	free(l->column);
	free(l->taken);
	free(l);
}
