/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold from one moment to the next. The interface is in world.h. */
#include <stdlib.h>

#include "apply_parts.h"
#include "exposition.h"
#include "registry_parts.h"
#include "world.h"

FUZZ_QUIET_BEGIN

static void *
room_for(void *at, size_t n, size_t *room, size_t bytes)
{
	if (n < *room)
		return at;
	*room = *room ? 2 * *room : 64;
	at = realloc(at, *room * bytes);
	fuzz_must(at != NULL, "memory is there");
	return at;
}

/* ---- As it was ------------------------------------------------------------- */

static bool
counts(uint32_t slot)
{
	return slot_kind(slot) >= CELL_COUNTER && slot_kind(slot) <= CELL_SUM;
}

static void
note_column(struct world_before *b, uint64_t serial, const struct column *c)
{
	for (uint32_t i = 0, met = 0; i < c->room && met < c->n_cells; i++) {
		met += c->slot[i] != 0;
		if (!counts(c->slot[i]))
			continue;
		b->cell = room_for(b->cell, b->n_cells, &b->cell_room, sizeof(*b->cell));
		b->cell[b->n_cells++] =
		    (struct world_cell){ serial, i, c->slot[i], c->old[i] };
	}
}

static void
note_series(struct world_before *b, const struct registry *r, uint32_t number)
{
	const struct series *s = registry_series(r, number);
	uint32_t n = family_totals(series_family(r, s));
	const double *total = n ? registry_series_totals(r, number) : NULL;

	b->series = room_for(b->series, b->n_series, &b->series_room, sizeof(*b->series));
	b->series[b->n_series++] = (struct world_total){ .number = number,
		.family = series_family(r, s)->number,
		.group = s->group,
		.set = s->set,
		.n = n,
		.at = b->n_totals };
	for (uint32_t i = 0; i < n; i++) {
		size_t room = b->total_room;

		b->total =
		    room_for(b->total, b->n_totals, &b->total_room, sizeof(double));
		b->moved = room_for(b->moved, b->n_totals, &room, sizeof(double));
		b->total[b->n_totals] = total[i];
		b->moved[b->n_totals++] = 0;
	}
}

void
world_before(struct world *w)
{
	struct world_before *b = &w->before;
	const struct sessions *s = &w->apply->sessions;
	const struct registry *r = w->registry;

	b->audit = audit_look(w->apply, w->is_reset);
	journal_bytes(w->journal, &b->journal_bytes);
	b->n_cells = b->n_series = b->n_totals = 0;
	for (const struct session *x = s->first; x; x = x->next)
		note_column(b, sessions_record(s, x->record)->serial, x->column);
	for (uint32_t number = 1; number <= r->series.used; number++)
		if (registry_series(r, number)->group)
			note_series(b, r, number);
}

/* ---- As it is now ----------------------------------------------------------- */

static const struct column *
column_of(const struct apply *a, uint64_t serial)
{
	for (const struct session *x = a->sessions.first; x; x = x->next)
		if (sessions_record(&a->sessions, x->record)->serial == serial)
			return x->column;
	return NULL;
}

/* Where in moved a slot counts; -1: nowhere any more. */
static long
place_of(const struct world *w, uint32_t slot)
{
	const struct world_before *b = &w->before;
	uint32_t to = slot & SLOT_NUMBER;

	for (size_t i = 0; i < b->n_series; i++) {
		const struct world_total *s = &b->series[i];
		uint32_t run;

		if (s->n == 0 || registry_series(w->registry, s->number)->group == 0)
			continue;
		if (slot_kind(slot) == CELL_COUNTER) {
			if (s->n == 1 && s->number == to)
				return (long)s->at;
			continue;
		}
		run = totals_of(&w->registry->totals, s->number)->at;
		if (s->n > 1 && to >= run && to < run + s->n)
			return (long)(s->at + to - run);
	}
	return -1;
}

static void
add_moves(struct world *w)
{
	struct world_before *b = &w->before;

	for (size_t i = 0; i < b->n_cells; i++) {
		const struct world_cell *cell = &b->cell[i];
		const struct column *c = column_of(w->apply, cell->serial);
		long at;

		if (c == NULL || cell->cell >= c->room ||
		    c->slot[cell->cell] != cell->slot || c->old[cell->cell] == cell->bits)
			continue;
		at = place_of(w, cell->slot);
		if (at >= 0)
			b->moved[at] +=
			    wire_double(c->old[cell->cell]) - wire_double(cell->bits);
	}
}

static bool
is_near(double a, double b)
{
	double most = fabs(a) > fabs(b) ? fabs(a) : fabs(b);

	return a == b || !isfinite(a) || !isfinite(b) || most > 1e15 ||
	       (fabs(a - b) <= 1e-9 * (1 + most) && (floor(a) != a || floor(b) != b));
}

/* Is it still that one? */
static bool
is_same(const struct world *w, const struct world_total *s, enum world_change change,
    bool has_removed)
{
	const struct series *x = registry_series(w->registry, s->number);
	const double *total;

	if (x->group != s->group || x->set != s->set ||
	    series_family(w->registry, x)->number != s->family)
		return false;
	if (change != WORLD_DEFINED || !has_removed)
		return true;
	/* It may have left, and come back at 0. */
	total = registry_series_totals(w->registry, s->number);
	for (uint32_t i = 0; i < s->n; i++)
		if (total[i] != 0)
			return true;
	return false;
}

static void
check_series(struct world *w, const struct world_total *s, enum world_change change,
    double *counted, double *observed)
{
	const struct world_before *b = &w->before;
	const double *total = registry_series_totals(w->registry, s->number);
	const char *name =
	    series_family(w->registry, registry_series(w->registry, s->number))->name;

	for (uint32_t i = 0; i < s->n; i++) {
		double must_be = b->total[s->at + i] + b->moved[s->at + i];
		bool is_sum = s->n > 1 && i + 1 == s->n;

		if (change == WORLD_MORE && is_sum)
			continue;
		fuzz_must(is_sum || total[i] >= b->total[s->at + i] || isnan(total[i]),
		    "'%s' went down from %.17g to %.17g", name, b->total[s->at + i],
		    total[i]);
		if (change == WORLD_MORE)
			*(s->n == 1 ? counted : observed) -= total[i] - must_be;
		else
			fuzz_must(is_near(total[i], must_be),
			    "'%s' was %.17g, workers told %.17g, and it is %.17g", name,
			    b->total[s->at + i], b->moved[s->at + i], total[i]);
	}
}

/* What was there before and is no more; or was not, and is. */
static void
check_rest(
    const struct world *w, const struct audit *now, double counted, double observed)
{
	const struct audit *before = &w->before.audit;

	if (now->removed != before->removed)
		return;
	fuzz_must(is_near(now->counted, before->counted + counted) || counted > 1e15,
	    "all counters were %.17g, %.17g was counted, and they are %.17g",
	    before->counted, counted, now->counted);
	fuzz_must(is_near(now->observed, before->observed + observed),
	    "all buckets were %.17g, %.17g was observed, and they are %.17g",
	    before->observed, observed, now->observed);
}

static uint32_t
had(const struct world_before *b, const struct family *f)
{
	uint32_t n = 0;

	for (size_t i = 0; i < b->n_series; i++)
		n += b->series[i].family == f->number;
	return n;
}

/* What is there may be more than is allowed by now; but it does not grow. */
static void
check_limits(const struct world *w, const struct audit *now)
{
	uint32_t most = w->limits.series;

	fuzz_must(now->series <= most || now->series <= w->before.audit.series,
	    "there are %u series, and may be %u", now->series, most);
	for (uint32_t i = 0; i < registry_families(w->registry); i++) {
		const struct family *f = registry_family(w->registry, i);

		fuzz_must(f->n_series <= w->limits.series_per_family ||
			      f->n_series <= had(&w->before, f),
		    "'%s' has %u series", f->name, f->n_series);
	}
}

void
world_after(struct world *w, enum world_change change, double counted, double observed)
{
	struct world_before *b = &w->before;
	struct audit now = audit_look(w->apply, w->is_reset);
	bool has_changed = now.digest != b->audit.digest;
	bool has_removed = now.removed != b->audit.removed;
	size_t n;

	journal_bytes(w->journal, &n);
	fuzz_must(!has_changed || n > b->journal_bytes, "what has changed is recorded");
	fuzz_must(change != WORLD_NOTHING || (!has_changed && n == b->journal_bytes),
	    "nothing has changed, and nothing is recorded");
	w->is_lowered |= has_removed || (change == WORLD_ANY && has_changed);
	check_limits(w, &now);
	fuzz_must(now.namesakes == 0, "two live workers have one name");
	if (change == WORLD_ANY || change == WORLD_NOTHING)
		return;
	add_moves(w);
	if (change == WORLD_MORE)
		check_rest(w, &now, counted, observed);
	for (size_t i = 0; i < b->n_series; i++)
		if (b->series[i].n > 0 && is_same(w, &b->series[i], change, has_removed))
			check_series(w, &b->series[i], change, &counted, &observed);
}

/* ---- Pages ------------------------------------------------------------------- */

static bool
is_sum(struct wire_text series)
{
	const char *brace = memchr(series.at, '{', series.bytes);
	size_t n = brace ? (size_t)(brace - series.at) : series.bytes;

	return n > 4 && memcmp(series.at + n - 4, "_sum", 4) == 0;
}

void
world_compare_pages(const struct fuzz_page *old, const struct fuzz_page *now)
{
	for (size_t i = 0; i < old->n; i++) {
		const struct fuzz_sample *was = &old->sample[i], *is;

		if (was->kind == FUZZ_GAUGE)
			continue;
		is = fuzz_page_find(now, was->series);
		fuzz_must(is != NULL, "%.*s is there no more", (int)was->series.bytes,
		    was->series.at);
		fuzz_must(is->value >= was->value || isnan(was->value) ||
			      (was->kind == FUZZ_HISTOGRAM && is_sum(was->series)),
		    "%.*s went down from %.17g to %.17g", (int)was->series.bytes,
		    was->series.at, was->value, is->value);
	}
}

void
world_page(struct world *w)
{
	unsigned now = 1 - w->last;
	struct strbuf *text = &w->text[now];
	struct exposition *e = exposition_new(w->registry, NULL, NULL);

	fuzz_must(e != NULL, "memory is there");
	strbuf_reset(text);
	while (exposition_slice(e, text, 4096))
		;
	exposition_free(e);
	fuzz_must(!text->failed, "memory is there");
	fuzz_page_read(&w->page[now], text->at ? text->at : "", text->bytes);
	if (!w->is_lowered)
		world_compare_pages(&w->page[w->last], &w->page[now]);
	w->is_lowered = false;
	w->last = now;
}

FUZZ_QUIET_END
