/* SPDX-License-Identifier: Apache-2.0 */
#include "series.h"

#include <stdlib.h>

#include "cells.h"
#include "scope.h"
#include "store.h"

#define TABLE_SLOTS 4U /* at first */

/* ---- Children by their values ------------------------------------------ */

/* Never 0, so that no slot in use is 0. */
static uint32_t
tag_of(const struct dynm_family *f, dynm_strings values)
{
	uint64_t h = f->store->seed;

	for (size_t i = 0; i < values.n; i++)
		h = store_hash(h, values.v[i], strlen(values.v[i]));
	return (uint32_t)(h ^ h >> 32) | 1;
}

static enum series_removed
removed(const struct dynm_series *s)
{
	return (enum series_removed)__atomic_load_n(&s->removed, __ATOMIC_ACQUIRE);
}

/*
 * The child with these values, and where its slot is or would be: the slot of a removed
 * child of the same values, or a free one. NULL if there is no such child.
 */
static struct dynm_series *
find_child(struct dynm_family *f, uint32_t tag, dynm_strings values, uint64_t **ret_slot)
{
	struct child_table *t = __atomic_load_n(&f->table, __ATOMIC_ACQUIRE);

	if (!t)
		return NULL;
	for (uint32_t i = tag;; i++) {
		uint64_t slot = __atomic_load_n(&t->slot[i & t->mask], __ATOMIC_ACQUIRE);
		struct dynm_series *s;

		*ret_slot = &t->slot[i & t->mask];
		if (slot == 0)
			return NULL;
		if ((uint32_t)(slot >> 32) != tag)
			continue;
		s = series_at((uint32_t)slot);
		if (store_same(s->values, values))
			return removed(s) ? NULL : s;
	}
}

static void
put_slot(struct child_table *t, uint64_t slot)
{
	uint32_t i = (uint32_t)(slot >> 32);

	while (t->slot[i & t->mask] != 0)
		i++;
	t->slot[i & t->mask] = slot;
	t->used++;
}

/* A child that the daemon may still have keeps its slot: a new one of the same values has
 * to know of it. */
static bool
keeps_slot(uint64_t slot)
{
	return slot != 0 && removed(series_at((uint32_t)slot)) != SERIES_FORGOTTEN;
}

/* Room for one more child. The old table stays: a reader may be in it. */
static bool
grow_table(struct dynm_family *f)
{
	struct child_table *old = f->table;
	uint32_t live = 1, slots = TABLE_SLOTS;
	struct child_table *t;

	if (old && old->used < old->mask - old->mask / 4)
		return true;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		live += keeps_slot(old->slot[i]);
	while (slots - slots / 4 <= live)
		slots *= 2;
	t = calloc(1, sizeof(*t) + slots * sizeof(t->slot[0]));
	if (!t)
		return false;
	t->mask = slots - 1;
	t->older = old;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		if (keeps_slot(old->slot[i]))
			put_slot(t, old->slot[i]);
	__atomic_store_n(&f->table, t, __ATOMIC_RELEASE);
	return true;
}

static struct dynm_series *
make_child(struct dynm_family *f, uint32_t tag, dynm_strings values, bool *ret_full)
{
	struct store *st = f->store;
	struct dynm_series *s = NULL;
	uint64_t *slot, old;
	uint32_t wire;

	/* The texts last: nothing gives their memory back. */
	if (!grow_table(f) || !(s = store_series(st, f->stride, ret_full)))
		return NULL;
	wire = store_wire_take(st, series_wire_cells(f));
	if (wire == UINT32_MAX) {
		*ret_full = true;
		return NULL;
	}
	s->values = store_pack(st, values);
	if (!s->values) {
		store_wire_give(st, wire, series_wire_cells(f));
		return NULL;
	}
	s->family = f;
	s->wire = wire;
	s->cell = series_own_cell(s);
	(void)find_child(f, tag, values, &slot);
	old = *slot;
	s->before = keeps_slot(old) ? (uint32_t)old : 0;
	store_publish(st, s);
	__atomic_store_n(slot, (uint64_t)tag << 32 | series_id(s), __ATOMIC_RELEASE);
	f->table->used += old == 0;
	__atomic_store_n(&st->n_series, st->n_series + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&st->n_ever, st->n_ever + 1, __ATOMIC_RELEASE);
	return s;
}

static void
over_limit(struct store *st, bool full, struct refusal *r)
{
	if (st->limit_reported)
		return; /* one line, however often it happens */
	st->limit_reported = true;
	if (full)
		(void)refuse(r, REASON_LIMIT,
		    "this process has no cells left: it has made too many series, and "
		    "removed ones keep theirs");
	else
		(void)refuse(r, REASON_LIMIT,
		    "%u series exist, as many as max_series allows", st->max_series);
}

/* A child that does not exist yet, or that another thread has just made. */
static struct dynm_series *
create_child(struct dynm_family *f, uint32_t tag, dynm_strings values)
{
	struct store *st = f->store;
	struct refusal r = { 0 };
	struct dynm_series *s;
	bool full = false;
	uint64_t *slot;

	pthread_mutex_lock(&st->lock);
	s = find_child(f, tag, values, &slot);
	if (!s && st->n_series >= st->max_series)
		over_limit(st, false, &r);
	else if (!s && !(s = make_child(f, tag, values, &full)) && full)
		over_limit(st, true, &r);
	else if (!s)
		(void)refuse(&r, REASON_MEMORY,
		    "no memory for a child of the metric '%s'", f->name);
	pthread_mutex_unlock(&st->lock);
	report_local(st->report, &r);
	if (s && st->created)
		st->created(st->created_arg);
	return s;
}

static bool
values_fit(const struct dynm_family *f, dynm_strings values)
{
	struct wire_text text[MESSAGE_LABELS_MAX];
	struct refusal r = { 0 };
	bool null = values.n > 0 && !values.v;

	for (size_t i = 0; !null && i < values.n; i++)
		null = !values.v[i];
	if (null)
		(void)refuse(&r, REASON_LABEL, "a label value of the metric '%s' is NULL",
		    f->name);
	else if (values.n != f->n_labels)
		(void)refuse(&r, REASON_LABEL, "the metric '%s' has %u labels, not %zu",
		    f->name, f->n_labels, values.n);
	for (size_t i = 0; r.reason == REASON_NONE && i < values.n; i++)
		text[i] = wire_text(values.v[i]);
	if (r.reason == REASON_NONE)
		(void)names_check_values(values.n, text, &NAMES_DEFAULT_LIMITS, &r);
	if (r.reason != REASON_NONE)
		report_refusal(f->store->report, &r);
	return r.reason == REASON_NONE;
}

/* Cheap enough for every lookup; what a wrong call looks like is values_fit()'s to say.
 */
static bool
can_look_up(const struct dynm_family *f, dynm_strings values)
{
	if (values.n != f->n_labels || (values.n > 0 && !values.v))
		return false;
	for (size_t i = 0; i < values.n; i++)
		if (!values.v[i])
			return false;
	return true;
}

struct dynm_series *
series_with(struct dynm_family *f, dynm_strings values)
{
	struct dynm_series *s;
	uint64_t *slot;
	uint32_t tag;

	if (!f)
		return NULL;
	if (!can_look_up(f, values)) {
		(void)values_fit(f, values);
		return NULL;
	}
	tag = tag_of(f, values);
	s = find_child(f, tag, values, &slot);
	if (s || !values_fit(f, values))
		return s;
	return create_child(f, tag, values);
}

void
series_remove(struct dynm_family *f, dynm_strings values)
{
	struct dynm_series *s;
	struct store *st;
	uint64_t *slot;
	bool memory = true;

	if (!f)
		return;
	if (!can_look_up(f, values)) {
		(void)values_fit(f, values);
		return;
	}
	st = f->store;
	pthread_mutex_lock(&st->lock);
	s = find_child(f, tag_of(f, values), values, &slot);
	if (s)
		memory = store_grow((void **)&st->removed, &st->room_removed,
		    st->n_removed, sizeof(st->removed[0]));
	if (s && memory) {
		__atomic_store_n(&s->cell, TRASH_CELL, __ATOMIC_RELAXED);
		__atomic_store_n(&s->removed, SERIES_REMOVED, __ATOMIC_RELEASE);
		st->removed[st->n_removed++] = s;
		__atomic_store_n(&st->n_series, st->n_series - 1, __ATOMIC_RELAXED);
		st->limit_reported = false;
	}
	pthread_mutex_unlock(&st->lock);
	if (!memory)
		report_error(st->report, DYNM_ENOMEM,
		    "no memory to remove a child of the metric '%s'", f->name);
}

void
series_forget(struct store *st, struct dynm_series *s)
{
	pthread_mutex_lock(&st->lock);
	store_wire_give(st, s->wire, series_wire_cells(s->family));
	__atomic_store_n(&s->removed, SERIES_FORGOTTEN, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&st->lock);
}

void
series_sweep_removed(struct store *st)
{
	size_t kept = 0;

	pthread_mutex_lock(&st->lock);
	for (size_t i = 0; i < st->n_removed; i++)
		if (removed(st->removed[i]) != SERIES_FORGOTTEN)
			st->removed[kept++] = st->removed[i];
	st->n_removed = kept;
	pthread_mutex_unlock(&st->lock);
}

void
series_message(const struct dynm_series *s, struct message_child *ret)
{
	const char *value = s->values;

	ret->metric = s->family->id;
	ret->cell = s->wire;
	ret->n_values = s->family->n_labels;
	for (size_t i = 0; i < ret->n_values; i++) {
		ret->value[i] = wire_text(value);
		value += ret->value[i].bytes + 1;
	}
}
