/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many series in a row, for the page. What one series is made of lies in several places,
 * each found in the last, and in a large registry none of them is near the processor: so
 * they are asked for in steps, each step for all series of the walk, and the first ones
 * while those before them are rendered. The interface is in registry.h.
 */
#include "labels_parts.h"
#include "registry_parts.h"

#define CACHE_LINE_DOUBLES 8

_Static_assert(REGISTRY_WALK_TEXTS > MESSAGE_LABELS_MAX, "each series fits into a walk");

/* The end of a walk's positions from one on. */
static inline uint32_t
walk_end(const struct family *f, uint32_t from)
{
	return f->n_members - from < REGISTRY_WALK_LINES ? f->n_members
							 : from + REGISTRY_WALK_LINES;
}

/* A function that does nothing but ask has no effect that a compiler knows of: it would
 * leave out calls of it. */
#define ALWAYS_INLINE __attribute__((always_inline)) inline

/*
 * Ask for the series at some positions and for their totals; or, if that was done before,
 * for their labels. Series that were made one after the other lie so: the processor sees
 * that by itself.
 */
static ALWAYS_INLINE void
ask_ahead(const struct registry *r, const struct family *f, uint32_t from, bool labels)
{
	uint32_t last = FAMILY_HOLE, number;

	if (from >= f->n_members)
		return;
	for (uint32_t i = from, end = walk_end(f, from); i < end; i++, last = number) {
		const struct series *s;

		number = f->member[i];
		if (number == last + 1 || number & FAMILY_HOLE)
			continue;
		s = slab_at(&r->series, number);
		if (labels) {
			__builtin_prefetch(labels_set_at(r->labels, s->set));
		} else {
			__builtin_prefetch(s);
			__builtin_prefetch(totals_of(&r->totals, number));
		}
	}
}

/* Most series have their totals in one cache line. */
static const double *
find_totals(const struct registry *r, const struct family *f, uint32_t number)
{
	union totals_word *word = totals_of(&r->totals, number);
	const double *totals;

	if (f->kind == MESSAGE_GAUGE)
		return NULL;
	if (f->kind == MESSAGE_COUNTER)
		return &word->total;
	totals = totals_run(&r->totals, word->at);
	for (uint32_t i = 0; i < f->n_bounds + 2; i += CACHE_LINE_DOUBLES)
		__builtin_prefetch(totals + i);
	return totals;
}

/* Who they are, and where their totals and labels are. */
static void
find_members(const struct registry *r, const struct family *f, uint32_t position,
    uint32_t births, struct registry_walk *w)
{
	const struct labels_schema *schema = NULL;
	uint32_t n = 0, group = 0;

	for (; position < f->n_members && n < REGISTRY_WALK_LINES; position++) {
		uint32_t number = f->member[position];
		struct registry_line *line = &w->line[n];

		if (number & FAMILY_HOLE || family_is_younger(f, position, births))
			continue;
		line->position = position;
		line->series = slab_at(&r->series, number);
		line->totals = find_totals(r, f, number);
		if (line->series->group != group) {
			group = line->series->group;
			schema = labels_schema_at(
			    r->labels, groups_at(&r->groups, group)->schema);
		}
		line->schema = schema;
		line->string = labels_set_at(r->labels, line->series->set);
		n++;
	}
	w->n = n;
}

/* The strings of their labels: of as many series as there is room for. Returns how many
 * strings. */
static uint32_t
find_strings(
    const struct labels *l, struct registry_walk *w, const struct string *string[])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		struct registry_line *line = &w->line[i];

		if (n + line->schema->n > REGISTRY_WALK_TEXTS) {
			w->n = i;
			break;
		}
		line->value = w->text + n;
		for (uint32_t k = 0; k < line->schema->n; k++) {
			string[n] = texts_string(&l->texts, line->string[k]);
			__builtin_prefetch(string[n++]);
		}
	}
	return n;
}

void
registry_walk(const struct registry *r, const struct family *f, uint32_t position,
    uint32_t births, struct registry_walk *ret)
{
	const struct string *string[REGISTRY_WALK_TEXTS];
	uint32_t n;

	ask_ahead(r, f, position + 2 * REGISTRY_WALK_LINES, false);
	ask_ahead(r, f, position + REGISTRY_WALK_LINES, true);
	find_members(r, f, position, births, ret);
	n = find_strings(r->labels, ret, string);
	for (uint32_t i = 0; i < n; i++)
		ret->text[i] = (struct wire_text){ string[i]->at, string[i]->bytes };
}
