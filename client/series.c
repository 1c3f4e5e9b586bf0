/* SPDX-License-Identifier: Apache-2.0 */
#include "series.h"

#include <stdlib.h>

#include "cells.h"
#include "scope.h"
#include "store.h"

#define TABLE_SLOTS  4U	   /* at first */
#define BUCKET_KEYS  1024U /* of a bucket table, at most */
#define LEADING_BITS 49U /* shifted out: sign, exponent and 3 bits of the mantissa stay \
			  */
#define HASH_MULTIPLY 0x9e3779b97f4a7c15U

static const double default_bounds[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
	5, 10 };

/* ---- Children by their values ------------------------------------------ */

__extension__ typedef unsigned __int128 u128;

static inline uint64_t
mix(uint64_t a, uint64_t b)
{
	u128 p = (u128)(a ^ HASH_MULTIPLY) * (b ^ 0xd6e8feb86659fd93U);

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t
hash_text(uint64_t h, const char *s, size_t n)
{
	uint64_t word = 0;

	h ^= n;
	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&word, s, 8);
		h = mix(h, word);
	}
	word = 0;
	memcpy(&word, s, n);
	return mix(h, word);
}

/* Never 0, so that no slot in use is 0. */
static uint32_t
tag_of(const struct dynm_family *f, dynm_strings values)
{
	uint64_t h = f->store->seed;

	for (size_t i = 0; i < values.n; i++)
		h = hash_text(h, values.v[i], strlen(values.v[i]));
	return (uint32_t)(h ^ h >> 32) | 1;
}

static bool
same_values(const char *packed, dynm_strings values)
{
	for (size_t i = 0; i < values.n; i++) {
		size_t n = strlen(values.v[i]) + 1;

		if (strncmp(packed, values.v[i], n) != 0)
			return false;
		packed += n;
	}
	return true;
}

/* A child is named by block and place in its slab, in 22 bits. */
static uint32_t
child_id(const struct dynm_series *s)
{
	return s->block * CELLS_BLOCK + s->slot;
}

static struct dynm_series *
child_at(uint32_t id)
{
	const struct slab *slab =
	    __atomic_load_n(&blocks_slab[id / CELLS_BLOCK], __ATOMIC_ACQUIRE);

	return (struct dynm_series *)(uintptr_t)&slab->series[id % CELLS_BLOCK];
}

static bool
is_removed(const struct dynm_series *s)
{
	return __atomic_load_n(&s->removed, __ATOMIC_ACQUIRE) != 0;
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
		s = child_at((uint32_t)slot);
		if (same_values(s->values, values))
			return is_removed(s) ? NULL : s;
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
		live += old->slot[i] && !is_removed(child_at((uint32_t)old->slot[i]));
	while (slots - slots / 4 <= live)
		slots *= 2;
	t = calloc(1, sizeof(*t) + slots * sizeof(t->slot[0]));
	if (!t)
		return false;
	t->mask = slots - 1;
	t->older = old;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		if (old->slot[i] && !is_removed(child_at((uint32_t)old->slot[i])))
			put_slot(t, old->slot[i]);
	__atomic_store_n(&f->table, t, __ATOMIC_RELEASE);
	return true;
}

static char *
pack(struct store *st, dynm_strings texts)
{
	size_t bytes = 1;
	char *packed, *at;

	for (size_t i = 0; i < texts.n; i++)
		bytes += strlen(texts.v[i]) + 1;
	packed = at = store_alloc(st, bytes);
	for (size_t i = 0; packed && i < texts.n; i++)
		at = stpcpy(at, texts.v[i]) + 1;
	return packed;
}

static struct dynm_series *
make_child(struct dynm_family *f, uint32_t tag, dynm_strings values)
{
	struct store *st = f->store;
	struct dynm_series *s = NULL;
	uint64_t *slot, old;
	uint32_t wire;
	char *packed;

	if (!grow_table(f) || !(packed = pack(st, values)) ||
	    !(s = store_series(st, f->stride)))
		return NULL;
	wire = store_wire_take(st, series_wire_cells(f));
	if (wire == UINT32_MAX)
		return NULL;
	s->family = f;
	s->values = packed;
	s->wire = wire;
	s->cell = series_own_cell(s);
	store_publish(st, s);
	(void)find_child(f, tag, values, &slot);
	old = *slot;
	__atomic_store_n(slot, (uint64_t)tag << 32 | child_id(s), __ATOMIC_RELEASE);
	f->table->used += old == 0;
	__atomic_store_n(&st->n_series, st->n_series + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&st->n_ever, st->n_ever + 1, __ATOMIC_RELEASE);
	return s;
}

static dynm_err
over_limit(struct store *st, struct refusal *r)
{
	if (st->limit_reported)
		return DYNM_ELIMIT; /* one line, however often it happens */
	st->limit_reported = true;
	(void)refuse(r, REASON_LIMIT, "%u series exist, as many as max_series allows",
	    st->max_series);
	return DYNM_ELIMIT;
}

/* A refusal of our own: when memory is out it is ours, not the daemon's. */
static void
report_local(struct report *report, const struct refusal *r)
{
	if (r->reason == REASON_MEMORY)
		report_error(report, DYNM_ENOMEM, "%s", r->text);
	else if (r->reason != REASON_NONE)
		report_refusal(report, r);
}

/* A child that does not exist yet, or that another thread has just made. */
static struct dynm_series *
create_child(struct dynm_family *f, uint32_t tag, dynm_strings values)
{
	struct store *st = f->store;
	struct refusal r = { 0 };
	struct dynm_series *s;
	uint64_t *slot;

	pthread_mutex_lock(&st->lock);
	s = find_child(f, tag, values, &slot);
	if (!s && st->n_series >= st->max_series)
		(void)over_limit(st, &r);
	else if (!s && !(s = make_child(f, tag, values)))
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
		__atomic_store_n(&s->removed, 1, __ATOMIC_RELEASE);
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
	for (size_t i = 0; i < st->n_removed; i++)
		if (st->removed[i] == s) {
			st->removed[i] = st->removed[--st->n_removed];
			break;
		}
	pthread_mutex_unlock(&st->lock);
}

/* ---- Families ---------------------------------------------------------- */

void
family_message(const struct dynm_family *f, struct message_metric *ret)
{
	const char *label = f->labels;

	memset(ret, 0, sizeof(*ret));
	ret->id = f->id;
	ret->kind = (enum message_kind)f->kind;
	ret->merge = (enum message_merge)f->merge;
	ret->name = wire_text(f->name);
	ret->help = wire_text(f->help);
	ret->n_bounds = f->n_bounds;
	ret->bounds = (const uint8_t *)f->bounds;
	ret->n_variable = f->n_labels;
	for (size_t i = 0; i < f->n_labels; i++) {
		ret->variable_name[i] = wire_text(label);
		label += ret->variable_name[i].bytes + 1;
	}
	scope_level(f->node, &ret->level);
	scope_labels(f->node, ret);
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

/* The wire has little-endian doubles; so has the memory of a family. */
static const double *
wire_bounds(struct store *st, dynm_buckets b)
{
	double *copy = store_alloc(st, b.n * sizeof(copy[0]) + 1);

	for (size_t i = 0; copy && i < b.n; i++)
		copy[i] = b.upper[i] + 0.0; /* no -0 */
	return copy;
}

static const struct buckets *
make_buckets(struct store *st, const double *bound, uint16_t n)
{
	uint32_t shift = LEADING_BITS;
	uint64_t low = ordered_bits(bound[0]), high = ordered_bits(bound[n - 1]);
	struct buckets *b;
	uint32_t keys;

	while ((high >> shift) - (low >> shift) >= BUCKET_KEYS)
		shift++;
	keys = (uint32_t)((high >> shift) - (low >> shift)) + 1;
	b = store_alloc(st, sizeof(*b) + keys);
	if (!b)
		return NULL;
	*b = (struct buckets){
		.shift = shift, .low = (uint32_t)(low >> shift), .keys = keys
	};
	for (uint32_t k = 0, i = 0; k < keys; k++) {
		while (i < n && (ordered_bits(bound[i]) >> shift) < b->low + (uint64_t)k)
			i++;
		b->start[k] = (uint8_t)i;
	}
	return b;
}

static uint16_t
stride_of(const struct family_want *want)
{
	if (want->kind == MESSAGE_HISTOGRAM)
		return (uint16_t)(CELL_BUCKET + want->buckets.n + 1);
	return want->kind == MESSAGE_GAUGE && want->merge != MESSAGE_LAST ? 1 : 2;
}

static struct dynm_family *
make_family(const struct dynm_node *node, const struct family_want *want)
{
	struct store *st = node->store;
	struct dynm_family *f = store_alloc(st, sizeof(*f));

	if (!f)
		return NULL;
	*f = (struct dynm_family){ .store = st,
		.node = node,
		.name = store_strdup(st, wire_text(want->name)),
		.help = store_strdup(st, wire_text(want->help)),
		.labels = pack(st, want->labels),
		.bounds = wire_bounds(st, want->buckets),
		.n_labels = (uint16_t)want->labels.n,
		.n_bounds = (uint16_t)want->buckets.n,
		.stride = stride_of(want),
		.kind = (uint8_t)want->kind,
		.merge = (uint8_t)want->merge };
	if (!f->name || !f->help || !f->labels || !f->bounds)
		return NULL;
	if (want->kind == MESSAGE_HISTOGRAM &&
	    !(f->buckets = make_buckets(st, f->bounds, f->n_bounds)))
		return NULL;
	f->id = st->n_families++;
	__atomic_store_n(st->families_end, f, __ATOMIC_RELEASE);
	st->families_end = &f->all_next;
	return f;
}

static enum reason
compare_shape(
    const struct dynm_family *f, const struct family_want *want, struct refusal *r)
{
	if (f->kind != want->kind)
		return refuse(r, REASON_TYPE, "the metric '%s' exists as a %s, not a %s",
		    f->name, message_kind_word((enum message_kind)f->kind),
		    message_kind_word(want->kind));
	if (f->merge != want->merge)
		return refuse(r, REASON_MERGE,
		    "the gauge '%s' exists with the merge '%s', not '%s'", f->name,
		    message_merge_word((enum message_merge)f->merge),
		    message_merge_word(want->merge));
	if (f->n_bounds != want->buckets.n)
		return refuse(r, REASON_BOUNDS,
		    "the histogram '%s' exists with %u bounds, not %zu", f->name,
		    f->n_bounds, want->buckets.n);
	for (size_t i = 0; i < f->n_bounds; i++)
		if (wire_bits(f->bounds[i]) != wire_bits(want->buckets.upper[i] + 0.0))
			return refuse(r, REASON_BOUNDS,
			    "the histogram '%s' exists with another bound %zu", f->name,
			    i + 1);
	return REASON_NONE;
}

static struct dynm_family *
find_or_make(
    const struct dynm_node *node, const struct family_want *want, struct refusal *r)
{
	struct store *st = node->store;
	size_t n = strlen(want->name);
	struct dynm_family **bucket =
	    &st->family[hash_text(st->seed, want->name, n) % FAMILY_BUCKETS];
	struct dynm_family *f;

	for (f = *bucket; f; f = f->next) {
		if (strcmp(f->name, want->name) != 0)
			continue;
		if (compare_shape(f, want, r) != REASON_NONE)
			return NULL;
		if (f->node == node && f->n_labels == want->labels.n &&
		    same_values(f->labels, want->labels))
			return f;
	}
	f = make_family(node, want);
	if (!f) {
		(void)refuse(
		    r, REASON_MEMORY, "no memory for the metric '%s'", want->name);
		return NULL;
	}
	f->next = *bucket;
	*bucket = f;
	return f;
}

/* The rules that both sides share, and what only a C caller can get wrong. */
static enum reason
check_want(
    const struct dynm_node *node, const struct family_want *want, struct refusal *r)
{
	struct message_metric m;
	bool null = (want->labels.n && !want->labels.v) ||
		    (want->buckets.n && !want->buckets.upper);

	memset(&m, 0, sizeof(m));
	if (!want->name)
		return refuse(r, REASON_NAME, "the name of a metric is NULL");
	if (want->labels.n > NAMES_DEFAULT_LIMITS.labels)
		return refuse(r, REASON_LIMIT,
		    "the metric '%.60s' has %zu labels; the limit "
		    "is %u",
		    want->name, want->labels.n, NAMES_DEFAULT_LIMITS.labels);
	for (size_t i = 0; !null && i < want->labels.n; i++) {
		null = !want->labels.v[i];
		m.variable_name[i] = wire_text(null ? "" : want->labels.v[i]);
	}
	if (null)
		return refuse(r, REASON_LABEL,
		    "a list of labels or buckets of the metric "
		    "'%.60s' is NULL",
		    want->name);
	m.kind = want->kind;
	m.merge = want->merge;
	m.name = wire_text(want->name);
	m.help = wire_text(want->help);
	m.n_variable = want->labels.n;
	m.n_bounds = want->buckets.n;
	m.bounds = (const uint8_t *)want->buckets.upper;
	scope_level(node, &m.level);
	scope_labels(node, &m);
	return names_check_metric(&m, &NAMES_DEFAULT_LIMITS, r);
}

struct dynm_family *
family_create(const struct dynm_node *node, const struct family_want *asked)
{
	struct family_want want = *asked;
	struct dynm_family *f = NULL;
	struct refusal r = { 0 };

	if (!node)
		return NULL;
	if (!want.help)
		want.help = "";
	if (want.kind == MESSAGE_HISTOGRAM && want.buckets.n == 0)
		want.buckets = (dynm_buckets){ sizeof(default_bounds) / sizeof(double),
			default_bounds };
	if (check_want(node, &want, &r) != REASON_NONE) {
		dynm_err code = report_code(r.reason);

		/* Nothing exists yet that these bounds could contradict. */
		report_error(node->store->report, code == DYNM_EEXIST ? DYNM_EINVAL : code, "%s",
		    r.text);
		return NULL;
	}
	pthread_mutex_lock(&node->store->lock);
	f = find_or_make(node, &want, &r);
	pthread_mutex_unlock(&node->store->lock);
	report_local(node->store->report, &r);
	return f;
}
