/* SPDX-License-Identifier: Apache-2.0 */
/* What the registry is made of. */
#include "audit_parts.h"

#include <stdlib.h>

FUZZ_QUIET_BEGIN

void *
audit_zeros(size_t n, size_t bytes)
{
	void *at = calloc(n + 1, bytes);

	fuzz_must(at != NULL, "memory is there");
	return at;
}

/* ---- Series ---------------------------------------------------------------- */

static bool
is_number(const void *owner, uint32_t number, const void *key)
{
	(void)owner;
	return number == *(const uint32_t *)key;
}

/* It is found where its key says. */
static void
check_indexed(const struct audit_walk *l, uint32_t number)
{
	struct index_keys keys = registry_series_keys;
	struct index index = l->r->series_index;

	keys.equal = is_number;
	index.keys = &keys;
	fuzz_must(index_find(&index, keys.hash(l->r, number), &number) == number,
	    "the series %u is found by its key", number);
}

static void
check_parts(struct audit_walk *l, uint32_t number)
{
	for (uint32_t at = *series_parts(l->r, number); at;) {
		const struct part *part = slab_at(&l->r->parts, at);
		const struct column *c = registry_column(l->r, part->column);

		l->n_parts++;
		l->met[number].parts++;
		fuzz_must(c != NULL && part->cell < c->room &&
			      slot_kind(c->slot[part->cell]) == CELL_GAUGE &&
			      registry_cell_series(l->r, c, part->cell) == number,
		    "a part of the gauge %u is a cell of it", number);
		audit_note(l, part->column);
		audit_note(l, part->cell);
		at = part->next;
	}
	fuzz_must(l->met[number].parts == l->met[number].cells,
	    "the gauge %u has %u parts, and %u cells", number, l->met[number].parts,
	    l->met[number].cells);
}

static bool
is_whole(double v)
{
	return fabs(v) < 0x1p52 && floor(v) == v;
}

/* What columns have is in the total; the rest is of those that are gone. */
static void
check_total(
    const struct audit_walk *l, const struct family *f, double total, double columns)
{
	double room = is_whole(total) && is_whole(columns) ? 0 : 1e-9 * (1 + fabs(total));

	if (fabs(total) > 1e15 || fabs(columns) > 1e15)
		return;
	fuzz_must(total >= -room, "'%s' is %.17g", f->name, total);
	fuzz_must(columns <= total + room || l->is_reset,
	    "the columns of '%s' come to %.17g, its total to %.17g", f->name, columns,
	    total);
}

static void
check_totals(struct audit_walk *l, const struct family *f, uint32_t number)
{
	const double *total = registry_series_totals(l->r, number);
	uint32_t run = totals_of(&l->r->totals, number)->at, n = family_totals(f);

	if (f->kind == MESSAGE_COUNTER) {
		check_total(l, f, *total, l->counter[number]);
		l->found.counted += *total;
		audit_note(l, wire_bits(*total));
		return;
	}
	fuzz_must(totals_run_series(&l->r->totals, run) == number,
	    "the run of '%s' is its series'", f->name);
	for (uint32_t i = 0; i < n; i++) {
		audit_note(l, wire_bits(total[i]));
		if (i + 1 == n)
			break; /* the sum may go down */
		check_total(l, f, total[i], l->run[run + i]);
		l->found.observed += total[i];
	}
}

static void
check_series(struct audit_walk *l, const struct family *f, uint32_t position)
{
	uint32_t number = f->member[position];
	const struct series *s;
	const struct group *group;

	fuzz_must(number > 0 && number <= l->r->series.used && !l->met[number].is_member,
	    "the member %u of '%s' is a series, and only here", position, f->name);
	s = registry_series(l->r, number);
	fuzz_must(s->group != 0, "the series %u is there", number);
	group = groups_at(&l->r->groups, s->group);
	fuzz_must(group->family == f && s->member == position && group->n_series > 0,
	    "the series %u is where it says", number);
	fuzz_must(s->live == l->met[number].live,
	    "%u workers define the series %u of '%s', and not %u", l->met[number].live,
	    number, f->name, s->live);
	l->met[number].is_member = true;
	l->grouped[s->group]++;
	l->owned[group->owner]++;
	l->found.series++;
	audit_note(l, number);
	audit_note(l, s->set);
	audit_note(l, s->group);
	audit_note(l, s->live);
	check_indexed(l, number);
	if (f->kind == MESSAGE_GAUGE)
		check_parts(l, number);
	else
		check_totals(l, f, number);
	fuzz_must(s->live > 0 || f->kind != MESSAGE_GAUGE || l->met[number].parts > 0,
	    "somebody has the gauge %u of '%s'", number, f->name);
}

/* ---- Families -------------------------------------------------------------- */

static void
check_holes(const struct family *f)
{
	uint32_t holes = 0;

	for (uint32_t at = f->hole; at && holes <= f->n_members; holes++) {
		fuzz_must(at <= f->n_members && (f->member[at - 1] & FAMILY_HOLE),
		    "the hole %u of '%s' is one", at - 1, f->name);
		at = f->member[at - 1] & ~FAMILY_HOLE;
	}
	fuzz_must(holes + f->n_series == f->n_members,
	    "'%s' has %u holes and %u series in %u positions", f->name, holes,
	    f->n_series, f->n_members);
}

static void
check_families(struct audit_walk *l)
{
	for (uint32_t i = 0; i < registry_families(l->r); i++) {
		const struct family *f = registry_family(l->r, i);
		uint32_t before = l->found.series;

		fuzz_must(
		    i == 0 || strcmp(registry_family(l->r, i - 1)->name, f->name) < 0,
		    "families are in order at '%s'", f->name);
		audit_note(l, f->number);
		audit_note(l, f->live);
		audit_note(l, (uint64_t)f->kind << 8 | f->merge);
		for (uint32_t k = 0; k < f->n_members; k++)
			if (!(f->member[k] & FAMILY_HOLE))
				check_series(l, f, k);
		fuzz_must(l->found.series - before == f->n_series,
		    "'%s' has %u series, and not %u", f->name, l->found.series - before,
		    f->n_series);
		check_holes(f);
		fuzz_must(f->live == l->defined[i],
		    "'%s' is defined %u times, and not %u", f->name, l->defined[i],
		    f->live);
		fuzz_must(f->live > 0 || f->n_series > 0, "somebody has '%s'", f->name);
	}
}

static void
check_index(const struct audit_walk *l)
{
	struct index_cursor cursor = { 0 };
	uint32_t n = 0, number;

	while ((number = index_next(&l->r->series_index, &cursor)) != 0) {
		fuzz_must(number <= l->r->series.used && l->met[number].is_member &&
			      !l->met[number].is_indexed,
		    "what the index has is a series, once");
		l->met[number].is_indexed = true;
		n++;
	}
	fuzz_must(n == l->found.series && n == l->r->series.live &&
		      n == l->r->series_index.used,
	    "the index has %u of %u series", n, l->found.series);
}

static void
check_groups(const struct audit_walk *l)
{
	const struct registry *r = l->r;
	uint32_t n = 0;

	for (uint32_t i = 1; i <= r->groups.items.used; i++)
		if (l->grouped[i] > 0) {
			n++;
			fuzz_must(groups_at(&r->groups, i)->n_series == l->grouped[i],
			    "the group %u has %u series, and not %u", i, l->grouped[i],
			    groups_at(&r->groups, i)->n_series);
		}
	fuzz_must(n == r->groups.items.live, "there are %u groups, and not %u", n,
	    r->groups.items.live);
}

void
audit_owners(const struct owners *owners, const uint32_t *owned, const char *what)
{
	struct owners copy = *owners; /* it notes what was asked last */
	uint32_t n = 0;

	for (uint32_t i = 1; i <= owners->items.used; i++)
		if (owned[i] > 0) {
			uint32_t uid = owners_uid(owners, i);

			n++;
			fuzz_must(owners_count(&copy, uid) == owned[i],
			    "the uid %u has %u %s, and not %u", uid, owned[i], what,
			    owners_count(&copy, uid));
		}
	fuzz_must(n == owners->items.live, "%u uids have %s, and not %u", n, what,
	    owners->items.live);
}

static void
check_family_owners(const struct audit_walk *l)
{
	const struct owners *owners = &l->r->family_owners;
	uint32_t *owned = audit_zeros(owners->items.used, sizeof(*owned));

	for (uint32_t i = 0; i < registry_families(l->r); i++) {
		uint32_t owner = registry_family(l->r, i)->owner;

		fuzz_must(owner <= owners->items.used, "a family is somebody's");
		owned[owner]++;
	}
	audit_owners(owners, owned, "families");
	free(owned);
}

/* ---- The daemon's own gauges -------------------------------------------------- */

static void
check_ends(struct audit_walk *l)
{
	const struct retained *own = &l->r->retained;

	for (uint32_t i = 0; i < own->ends.n; i++) {
		const struct deadline *end = &own->ends.at[i];
		uint32_t cell = end->number - 1;

		fuzz_must(l->r->own != NULL && cell < own->used && cell < own->end_room &&
			      slot_kind(l->r->own->slot[cell]) == CELL_GAUGE &&
			      own->end_at[cell] == i + 1,
		    "what ends is a gauge of the daemon's own");
		fuzz_must(i == 0 || own->ends.at[(i - 1) / 2].tick <= end->tick,
		    "what ends first is in front");
		audit_note(l, (uint64_t)end->number << 32 | end->tick);
	}
	for (uint32_t n = 0; n < 2; n++)
		for (uint32_t at = own->free[n]; at;
		     at = (uint32_t)l->r->own->old[at - 1])
			fuzz_must(at <= own->used &&
				      slot_kind(l->r->own->slot[at - 1]) == CELL_FREE,
			    "a cell that was released is free");
}

/* ---- All ----------------------------------------------------------------------- */

static void
check_counts(struct audit_walk *l)
{
	const struct registry *r = l->r;

	fuzz_must(l->n_columns == r->columns.live, "there are %u columns, and not %u",
	    l->n_columns, r->columns.live);
	fuzz_must(l->n_parts == r->parts.live, "there are %u parts, and not %u",
	    l->n_parts, r->parts.live);
	fuzz_must(r->count[MESSAGE_COUNTER] + r->count[MESSAGE_GAUGE] +
			  r->count[MESSAGE_HISTOGRAM] ==
		      l->found.series,
	    "series are counted by kind");
	for (uint32_t i = 0; i < REGISTRY_CAUSES; i++)
		l->found.removed += r->removed[i];
	l->found.removed += r->replaced;
	audit_note(l, wire_bits(r->client_dropped));
}

struct audit
audit_look(const struct apply *a, bool is_reset)
{
	const struct registry *r = a->registry;
	struct audit_walk l = { .a = a,
		.r = r,
		.is_reset = is_reset,
		.met = audit_zeros(r->series.used, sizeof(struct audit_met)),
		.counter = audit_zeros(r->series.used, sizeof(double)),
		.run = audit_zeros(r->totals.used, sizeof(double)),
		.grouped = audit_zeros(r->groups.items.used, sizeof(uint32_t)),
		.owned = audit_zeros(r->owners.items.used, sizeof(uint32_t)),
		.defined = audit_zeros(registry_families(r), sizeof(uint32_t)) };

	audit_sessions(&l);
	audit_column(&l, r->own);
	check_families(&l);
	check_index(&l);
	check_groups(&l);
	audit_owners(&r->owners, l.owned, "series");
	check_family_owners(&l);
	check_ends(&l);
	check_counts(&l);
	free(l.met);
	free(l.counter);
	free(l.run);
	free(l.grouped);
	free(l.owned);
	free(l.defined);
	return l.found;
}

FUZZ_QUIET_END
