/* SPDX-License-Identifier: Apache-2.0 */
#include "series.h"

#include <stdlib.h>

#include "cells.h"
#include "children.h"
#include "scope.h"

/* Those of children.h, where speed is nothing. */
static __attribute__((noinline)) bool
make_key(const struct dynm_family *f, dynm_strings values, struct child_key *ret)
{
	return children_key(f, values.v, values.n, ret);
}

static __attribute__((noinline)) struct dynm_series *
find(struct dynm_family *f, const struct child_key *key, dynm_strings values,
    uint32_t **ret_slot)
{
	return children_find(f, values.v, values.n, key, ret_slot);
}

static struct dynm_series *
make_child(struct dynm_family *f, const struct child_key *key, dynm_strings values,
    bool *ret_full)
{
	struct store *st = f->store;
	struct dynm_series *s = NULL;
	uint32_t *slot, old, wire;

	/* The texts last: nothing gives their memory back. */
	if (!children_grow(f) || !(s = store_series(st, f->stride, ret_full)))
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
	(void)find(f, key, values, &slot);
	old = *slot;
	s->before = children_keeps(old) ? old & CHILD_ID_MASK : 0;
	store_publish(st, s);
	__atomic_store_n(slot, children_slot(key->hash, series_id(s)), __ATOMIC_RELEASE);
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
create_child(struct dynm_family *f, const struct child_key *key, dynm_strings values)
{
	struct store *st = f->store;
	struct refusal r = { 0 };
	struct dynm_series *s;
	bool full = false;
	uint32_t *slot;

	pthread_mutex_lock(&st->lock);
	s = find(f, key, values, &slot);
	if (!s && st->n_series >= st->max_series)
		over_limit(st, false, &r);
	else if (!s && !(s = make_child(f, key, values, &full)) && full)
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

/* There is no such child, or it was made just now: all that a lookup need not do. */
static __attribute__((noinline, cold)) struct dynm_series *
make(struct dynm_family *f, dynm_strings values)
{
	struct child_key key;

	if (!values_fit(f, values) || !make_key(f, values, &key))
		return NULL;
	return create_child(f, &key, values);
}

static inline __attribute__((always_inline)) struct dynm_series *
look_up(struct dynm_family *f, const char *const *v, size_t n)
{
	struct child_key key;
	uint32_t *slot;

	return children_key(f, v, n, &key) ? children_find(f, v, n, &key, &slot) : NULL;
}

static __attribute__((noinline)) struct dynm_series *
look_up_many(struct dynm_family *f, dynm_strings values)
{
	struct child_key key;
	uint32_t *slot;

	return make_key(f, values, &key) ? find(f, &key, values, &slot) : NULL;
}

struct dynm_series *
series_with(struct dynm_family *f, dynm_strings values)
{
	struct dynm_series *s;

	if (!f)
		return NULL;
	if (values.n == 2)
		s = look_up(f, values.v, 2);
	else if (values.n == 1)
		s = look_up(f, values.v, 1);
	else
		s = look_up_many(f, values);
	return __builtin_expect(!!s, 1) ? s : make(f, values);
}

void
series_remove(struct dynm_family *f, dynm_strings values)
{
	struct dynm_series *s;
	struct child_key key;
	struct store *st;
	uint32_t *slot;
	bool memory = true;

	if (!f)
		return;
	if (!make_key(f, values, &key)) {
		(void)values_fit(f, values);
		return;
	}
	st = f->store;
	pthread_mutex_lock(&st->lock);
	s = find(f, &key, values, &slot);
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
		if (children_removed(st->removed[i]) != SERIES_FORGOTTEN)
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
