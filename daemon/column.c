/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's column: its cells, and what they add to the registry. The interface is in
 * registry.h.
 */
#include <stdlib.h>

#include "registry.h"
#include "registry_parts.h"

static uint32_t
series_of_slot(const struct registry *r, uint32_t slot)
{
	if (slot_kind(slot) == CELL_BUCKET_FIRST)
		return totals_run_series(&r->totals, slot & SLOT_NUMBER);
	return slot & SLOT_NUMBER;
}

uint32_t
registry_cell_series(const struct registry *r, const struct column *c, uint32_t cell)
{
	return series_of_slot(r, c->slot[cell]);
}

uint32_t
registry_cells_of(const struct family *family)
{
	return message_cells(family->kind, family->merge, family->n_bounds);
}

/* ---- Columns ----------------------------------------------------------- */

struct column *
registry_column_new(struct registry *r, struct wire_text worker)
{
	struct column *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->worker = labels_string(r->labels, worker);
	c->number = c->worker ? slab_new(&r->columns) : 0;
	if (c->number == 0) {
		labels_string_release(r->labels, c->worker);
		free(c);
		return NULL;
	}
	*(struct column **)slab_at(&r->columns, c->number) = c;
	return c;
}

void
registry_column_owner(struct column *c, uint32_t uid)
{
	c->uid = uid;
}

bool
registry_column_rename(struct registry *r, struct column *c, struct wire_text worker)
{
	uint32_t name = labels_string(r->labels, worker);

	if (name == 0)
		return false;
	labels_string_release(r->labels, c->worker);
	c->worker = name;
	return true;
}

void *
registry_grow(void *at, size_t bytes, size_t more_bytes)
{
	char *grown = calloc(1, more_bytes);

	if (grown == NULL)
		return NULL;
	if (bytes)
		memcpy(grown, at, bytes);
	free(at);
	return grown;
}

bool
registry_make_cells(struct column *c, uint32_t end)
{
	uint32_t room = c->room ? c->room : 64;
	uint64_t *old;
	uint32_t *slot;

	if (end <= c->room)
		return true;
	while (room < end)
		room *= 2;
	old = realloc(c->old, room * sizeof(*old));
	if (old == NULL)
		return false;
	c->old = old;
	slot = registry_grow(c->slot, c->room * sizeof(*slot), room * sizeof(*slot));
	if (slot == NULL)
		return false;
	c->slot = slot;
	c->room = room;
	return true;
}

/* ---- Children ---------------------------------------------------------- */

uint32_t
registry_release_cells(struct registry *r, struct column *c, uint32_t cell)
{
	uint32_t number = series_of_slot(r, c->slot[cell]);
	struct series *s = registry_series(r, number);
	const struct family *family = series_family(r, s);
	uint32_t n = registry_cells_of(family);

	if (family->kind == MESSAGE_GAUGE)
		registry_part_remove(r, number, c, cell);
	memset(c->slot + cell, 0, n * sizeof(*c->slot));
	c->n_cells -= n;
	c->n_series--;
	if (c != r->own && --s->live == 0)
		s->kept_s = registry_now_s(r);
	return number;
}

void
registry_remove_child(struct registry *r, struct column *c, uint32_t cell)
{
	uint32_t number, before = r->series.live;
	struct family *family;

	if (cell >= c->room || !slot_is_first(slot_kind(c->slot[cell])))
		return;
	number = registry_release_cells(r, c, cell);
	family = series_family(r, registry_series(r, number));
	registry_series_settle(r, number, false);
	r->removed[REGISTRY_REQUEST] += before - r->series.live;
	registry_family_settle(r, family);
}

/* Remove every child that has a cell in the range. */
static void
clear_range(struct registry *r, struct column *c, uint32_t cell, uint32_t n)
{
	for (uint32_t i = cell; i < cell + n; i++) {
		uint32_t first = i;

		while (c->slot[first] != 0 && !slot_is_first(slot_kind(c->slot[first])))
			first--;
		registry_remove_child(r, c, first);
	}
}

/* The slot of the i-th of n cells of a series. */
static uint32_t
slot_for(const struct registry *r, const struct family *family, uint32_t number,
    uint32_t i, uint32_t n)
{
	uint32_t run;

	switch (family->kind) {
	case MESSAGE_COUNTER:
		return slot_of(CELL_COUNTER, number);
	case MESSAGE_GAUGE:
		return slot_of(i == 0 ? CELL_GAUGE : CELL_LAST_TIME, number);
	case MESSAGE_HISTOGRAM:
		break;
	}
	run = totals_of(&r->totals, number)->at;
	return slot_of(i == n - 1 ? CELL_SUM
		       : i == 0	  ? CELL_BUCKET_FIRST
				  : CELL_BUCKET,
	    run + i);
}

void
registry_give_cells(struct registry *r, struct column *c, uint32_t number, uint32_t cell)
{
	struct series *s = registry_series(r, number);
	const struct family *family = series_family(r, s);
	uint32_t n = registry_cells_of(family);

	for (uint32_t i = 0; i < n; i++) {
		c->slot[cell + i] = slot_for(r, family, number, i, n);
		c->old[cell + i] = 0;
	}
	if (family->kind == MESSAGE_GAUGE)
		c->old[cell] = REGISTRY_UNSET;
	c->n_cells += n;
	if (c->n_cells > c->most_cells)
		c->most_cells = c->n_cells;
	c->n_series++;
	/* The daemon's own part is kept data: it does not make the series live. */
	if (c != r->own)
		s->live++;
}

bool
registry_take_cells(struct registry *r, struct column *c, uint32_t number, uint32_t cell)
{
	struct series *s = registry_series(r, number);
	const struct family *family = series_family(r, s);

	if (family->kind == MESSAGE_GAUGE && !registry_part_add(r, number, c, cell))
		return false;
	/* Held, so that clearing the cells does not take it off the page. */
	s->live++;
	clear_range(r, c, cell, registry_cells_of(family));
	s->live--;
	registry_give_cells(r, c, number, cell);
	return true;
}

static enum reason
check_child(const struct registry *r, const struct column *c,
    const struct message_child *child, struct refusal *refusal)
{
	const struct column_metric *metric =
	    child->metric < c->metric_room ? c->metric[child->metric] : NULL;
	uint64_t n;

	if (metric == NULL)
		return refuse(refusal, REASON_MESSAGE,
		    "the metric number %u was not defined, or was refused",
		    child->metric);
	if (child->n_values != metric->n_variable)
		return refuse(refusal, REASON_LABEL, "'%s' has %u label names, not %zu",
		    metric->family->name, metric->n_variable, child->n_values);
	n = registry_cells_of(metric->family);
	if (child->cell + n > REGISTRY_SPARSE + 4 * (c->most_cells + n) ||
	    child->cell + n > SLOT_NUMBER)
		return refuse(refusal, REASON_CELL,
		    "the cell %u is too high: cells are numbered densely from 0",
		    child->cell);
	return names_check_values(
	    child->n_values, child->value, &r->limits.names, refusal);
}

/* The column has the series already: at this very cell (true), or where it must not. */
static bool
has_child(
    const struct registry *r, const struct column *c, uint32_t number, uint32_t cell)
{
	return cell < c->room && slot_is_first(slot_kind(c->slot[cell])) &&
	       series_of_slot(r, c->slot[cell]) == number;
}

/* Parts of a gauge are a list, which is walked for each that comes or goes: a worker must
 * not make it long by itself. */
#define SAME_GAUGE_MAX 64

static enum reason
check_same_gauge(const struct registry *r, const struct column *c,
    const struct family *family, uint32_t number, struct refusal *refusal)
{
	/* Twice would be two lines with one worker_id. */
	uint32_t most = family->merge == MESSAGE_EACH ? 1 : SAME_GAUGE_MAX, cell;

	if (registry_part_count(r, number, c, &cell) < most)
		return REASON_NONE;
	return refuse(refusal, REASON_DUPLICATE,
	    "a series of '%s' is this worker's%s already, at cell %u", family->name,
	    most > 1 ? " too often" : "", cell);
}

static enum reason
check_room(const struct registry *r, const struct column *c, const struct family *family,
    uint32_t number, struct refusal *refusal)
{
	if (c->n_series >= r->limits.series_per_worker)
		return refuse(refusal, REASON_LIMIT,
		    "the worker has its %u series (limits.series_per_worker)",
		    r->limits.series_per_worker);
	return family->kind == MESSAGE_GAUGE
		   ? check_same_gauge(r, c, family, number, refusal)
		   : REASON_NONE;
}

enum reason
registry_define_child(struct registry *r, struct column *c,
    const struct message_child *child, bool *ret_new, struct refusal *refusal)
{
	enum reason reason = check_child(r, c, child, refusal);
	struct column_metric *metric;
	uint32_t number, n;
	bool made;

	if (reason != REASON_NONE)
		return reason;
	metric = c->metric[child->metric];
	n = registry_cells_of(metric->family);
	reason = registry_series_take(
	    r, c->uid, metric, child->value, &number, &made, refusal);
	if (reason != REASON_NONE)
		return reason;
	if (ret_new)
		*ret_new = !has_child(r, c, number, child->cell);
	if (has_child(r, c, number, child->cell))
		return REASON_NONE;
	reason = check_room(r, c, metric->family, number, refusal);
	if (reason == REASON_NONE && (!registry_make_cells(c, child->cell + n) ||
					 !registry_take_cells(r, c, number, child->cell)))
		reason = refuse(refusal, REASON_MEMORY, "out of memory");
	/* Refused: a series that was made for it goes again. */
	registry_series_settle(r, number, !made);
	return reason;
}

/* ---- Values ------------------------------------------------------------ */

static enum reason
check_counter(uint32_t cell, double old, double v, struct refusal *refusal)
{
	if (v >= old && v <= MESSAGE_VALUE_MAX)
		return REASON_NONE;
	return refuse(refusal, REASON_VALUE,
	    "the counter at cell %u is not finite, over 2^968, or went down from %g to "
	    "%g",
	    cell, old, v);
}

static inline bool
is_sum(double v)
{
	return fabs(v) <= MESSAGE_VALUE_MAX;
}

static enum reason
check_record(
    const struct column *c, uint32_t cell, uint64_t bits, struct refusal *refusal)
{
	double v = wire_double(bits);

	if (cell == MESSAGE_CELL_DROPPED)
		return check_counter(cell, c->dropped, v, refusal);
	switch (cell < c->room ? slot_kind(c->slot[cell]) : CELL_FREE) {
	case CELL_FREE:
		return refuse(refusal, REASON_CELL, "the cell %u is not defined", cell);
	case CELL_COUNTER:
	case CELL_BUCKET_FIRST:
	case CELL_BUCKET:
		return check_counter(cell, wire_double(c->old[cell]), v, refusal);
	case CELL_SUM:
		if (!is_sum(v))
			return refuse(refusal, REASON_VALUE,
			    "the sum at cell %u is not finite, or over 2^968", cell);
		return REASON_NONE;
	case CELL_GAUGE:
	case CELL_LAST_TIME:
		return REASON_NONE;
	}
	return REASON_NONE;
}

/* True if a record is well, and nothing more is to be said: nearly always. */
static inline bool
is_well(const struct column *c, uint32_t cell, uint64_t bits)
{
	double v = wire_double(bits);
	uint32_t kind;

	if (cell >= c->room)
		return false;
	kind = slot_kind(c->slot[cell]);
	if (kind >= CELL_COUNTER && kind <= CELL_BUCKET)
		return v >= wire_double(c->old[cell]) && v <= MESSAGE_VALUE_MAX;
	return kind >= CELL_GAUGE || (kind == CELL_SUM && is_sum(v));
}

enum reason
registry_check_records(const struct column *c, const uint8_t *records, uint32_t count,
    struct refusal *refusal)
{
	const uint8_t *end = records + (size_t)count * MESSAGE_RECORD_BYTES;

	for (const uint8_t *p = records; p < end; p += MESSAGE_RECORD_BYTES) {
		uint32_t cell = wire_load_u32(p);
		uint64_t bits = wire_load_u64(p + 4);
		enum reason reason;

		if (is_well(c, cell, bits))
			continue;
		reason = check_record(c, cell, bits, refusal);
		if (reason != REASON_NONE)
			return reason;
	}
	return REASON_NONE;
}

/* What a counter's or histogram's cell counts in. */
static double *
total_at(const struct registry *r, uint32_t slot)
{
	union totals_word *const *chunk =
	    slot_kind(slot) == CELL_COUNTER ? r->totals.one : r->totals.run;
	uint32_t at = slot & SLOT_NUMBER;

	return &chunk[at / TOTALS_CHUNK][at % TOTALS_CHUNK].total;
}

void
registry_apply_record(struct registry *r, struct column *c, uint32_t cell, uint64_t bits)
{
	uint32_t slot;

	if (cell == MESSAGE_CELL_DROPPED) {
		r->client_dropped += wire_double(bits) - c->dropped;
		c->dropped = wire_double(bits);
		return;
	}
	slot = c->slot[cell];
	switch (slot_kind(slot)) {
	case CELL_COUNTER:
	case CELL_BUCKET_FIRST:
	case CELL_BUCKET:
	case CELL_SUM:
		*total_at(r, slot) += wire_double(bits) - wire_double(c->old[cell]);
		c->old[cell] = bits;
		return;
	case CELL_GAUGE:
		c->old[cell] = bits == REGISTRY_UNSET ? wire_bits((double)NAN) : bits;
		return;
	case CELL_LAST_TIME:
		c->old[cell] = bits;
		return;
	case CELL_FREE:
		return;
	}
}

/* As registry_apply_record() does each; what counts is done here, without asking the
 * column again where its arrays are. */
void
registry_apply_records(
    struct registry *r, struct column *c, const uint8_t *records, uint32_t count)
{
	const uint8_t *end = records + (size_t)count * MESSAGE_RECORD_BYTES;
	const uint32_t *slots = c->slot;
	uint64_t *old = c->old;

	for (const uint8_t *p = records; p < end; p += MESSAGE_RECORD_BYTES) {
		uint32_t cell = wire_load_u32(p);
		uint64_t bits = wire_load_u64(p + 4);
		uint32_t slot = cell == MESSAGE_CELL_DROPPED ? 0 : slots[cell];

		if (slot_kind(slot) >= CELL_COUNTER && slot_kind(slot) <= CELL_SUM) {
			*total_at(r, slot) += wire_double(bits) - wire_double(old[cell]);
			old[cell] = bits;
		} else {
			registry_apply_record(r, c, cell, bits);
		}
	}
}

/* ---- The end of a column ------------------------------------------------ */

void
registry_unresolve(struct registry *r, struct column_metric *metric)
{
	if (metric == NULL)
		return;
	for (uint32_t i = 0; i < metric->n; i++) {
		labels_string_release(r->labels, metric->label[i].name);
		if (metric->label[i].constant > LABELS_WORKER)
			labels_string_release(r->labels, metric->label[i].constant);
	}
	labels_level_release(r->labels, metric->level);
	free(metric);
}

static void
column_free(struct registry *r, struct column *c)
{
	for (uint32_t i = 0; i < c->metric_room; i++) {
		struct family *family = c->metric[i] ? c->metric[i]->family : NULL;

		registry_unresolve(r, c->metric[i]);
		if (family) {
			family->live--;
			registry_family_settle(r, family);
		}
	}
	labels_string_release(r->labels, c->worker);
	slab_release(&r->columns, c->number);
	free(c->metric);
	free(c->old);
	free(c->slot);
	free(c);
}

void
registry_column_fold(struct registry *r, struct column *c)
{
	for (uint32_t cell = 0; cell < c->room; cell++)
		if (slot_is_first(slot_kind(c->slot[cell])))
			registry_series_settle(
			    r, registry_release_cells(r, c, cell), true);
	column_free(r, c);
}
