/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_parts.h"

FUZZ_QUIET_BEGIN

static uint32_t
check_cells(struct audit_walk *l, const struct column *c, uint32_t at)
{
	uint32_t number = registry_cell_series(l->r, c, at), n;
	const struct family *f;

	fuzz_must(number > 0 && number <= l->r->series.used &&
		      registry_series(l->r, number)->group != 0,
	    "the cell %u is of a series that is there", at);
	f = series_family(l->r, registry_series(l->r, number));
	n = registry_cells_of(f);
	fuzz_must(at + n <= c->room, "the cells of '%s' are within the column", f->name);
	l->met[number].live += c != l->r->own;
	l->met[number].cells += f->kind == MESSAGE_GAUGE;
	for (uint32_t i = 0; i < n; i++) {
		enum cell_kind kind = slot_kind(c->slot[at + i]);
		uint32_t to = c->slot[at + i] & SLOT_NUMBER;

		fuzz_must(kind != CELL_FREE && (i == 0) == slot_is_first(kind),
		    "the cells of '%s' are in order", f->name);
		if (kind == CELL_COUNTER)
			l->counter[to] += wire_double(c->old[at + i]);
		else if (kind >= CELL_BUCKET_FIRST && kind <= CELL_SUM)
			l->run[to] += wire_double(c->old[at + i]);
		audit_note(l, c->slot[at + i]);
		audit_note(l, c->old[at + i]);
	}
	return n;
}

static void
check_metrics(struct audit_walk *l, const struct column *c)
{
	uint32_t n = 0, at;

	for (uint32_t i = 0; i < c->metric_room; i++) {
		if (c->metric[i] == NULL)
			continue;
		n++;
		for (at = 0; at < registry_families(l->r); at++)
			if (registry_family(l->r, at) == c->metric[i]->family)
				break;
		fuzz_must(at < registry_families(l->r),
		    "a metric is of a family that is there");
		l->defined[at]++;
		audit_note(l, i);
		audit_note(l, c->metric[i]->family->number);
	}
	fuzz_must(
	    n == c->n_metrics, "the column has %u metrics, and not %u", n, c->n_metrics);
}

void
audit_column(struct audit_walk *l, const struct column *c)
{
	uint32_t cells = 0, series = 0;

	if (c == NULL) {
		audit_note(l, 0);
		audit_note(l, wire_bits(0));
		return;
	}
	fuzz_must(registry_column(l->r, c->number) == c, "a column has its number");
	l->n_columns++;
	/* The daemon's own is made before it is known whether it will be needed. */
	audit_note(l, c == l->r->own ? 0 : c->worker);
	audit_note(l, wire_bits(c->dropped));
	for (uint32_t i = 0; i < c->room && cells < c->n_cells; i++) {
		uint32_t n;

		if (slot_kind(c->slot[i]) == CELL_FREE)
			continue;
		fuzz_must(slot_is_first(slot_kind(c->slot[i])),
		    "the cell %u is behind the first one of its series", i);
		audit_note(l, i);
		n = check_cells(l, c, i);
		cells += n;
		series++;
		i += n - 1;
	}
	fuzz_must(cells == c->n_cells && series == c->n_series && cells <= c->most_cells,
	    "the column has %u cells of %u series, and not %u of %u", cells, series,
	    c->n_cells, c->n_series);
	check_metrics(l, c);
}

FUZZ_QUIET_END
