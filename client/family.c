/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Families: found by name and shape, made once.
 */
#include <math.h>

#include "cells.h"
#include "scope.h"
#include "store.h"

/* Shifted out of a double: its sign, exponent and 3 bits of the mantissa stay. */
#define LEADING_BITS 49U
#define BUCKET_KEYS  1024 /* of a bucket table, at most */

static const double default_bounds[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
	5, 10 };

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

/* The wire has little-endian doubles; so has the memory of a family. */
static const double *
wire_bounds(struct store *st, dynm_buckets b)
{
	double *copy = store_alloc(st, (b.n + 1) * sizeof(copy[0]));

	for (size_t i = 0; copy && i < b.n; i++)
		copy[i] = b.upper[i] + 0.0; /* no -0 */
	if (copy)
		copy[b.n] = INFINITY;
	return copy;
}

static const struct buckets *
make_buckets(struct store *st, const double *bound, uint16_t n)
{
	uint32_t shift = LEADING_BITS;
	int64_t low = ordered_bits(bound[0]), high = ordered_bits(bound[n - 1]);
	struct buckets *b;
	int64_t keys;

	while ((high >> shift) - (low >> shift) >= BUCKET_KEYS)
		shift++;
	keys = (high >> shift) - (low >> shift) + 1;
	b = store_alloc(st, sizeof(*b) + (size_t)keys + 2);
	if (!b)
		return NULL;
	*b = (struct buckets){ .bound = bound,
		.low = (low >> shift) - 1,
		.last = keys + 1,
		.shift = shift };
	for (int64_t k = 0, i = 0; k <= keys + 1; k++) {
		while (i < n && ordered_bits(bound[i]) >> shift < b->low + k)
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
	return 2;
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
		.labels = store_pack(st, want->labels),
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
	uint64_t hash = store_hash(st->seed, want->name, strlen(want->name));
	struct dynm_family **shape = &st->shape[hash % STORE_BUCKETS];
	struct dynm_family **bucket =
	    &st->family[store_mix(hash, (uintptr_t)node) % STORE_BUCKETS];
	struct dynm_family *f, *first = *shape;

	while (first && strcmp(first->name, want->name) != 0)
		first = first->shape_next;
	if (first && compare_shape(first, want, r) != REASON_NONE)
		return NULL;
	for (f = *bucket; f; f = f->next)
		if (f->node == node && strcmp(f->name, want->name) == 0 &&
		    f->n_labels == want->labels.n && store_same(f->labels, want->labels))
			return f;
	f = make_family(node, want);
	if (!f) {
		(void)refuse(
		    r, REASON_MEMORY, "no memory for the metric '%s'", want->name);
		return NULL;
	}
	f->next = *bucket;
	*bucket = f;
	if (!first) {
		f->shape_next = *shape;
		*shape = f;
	}
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
		report_error(node->store->report,
		    code == DYNM_EEXIST ? DYNM_EINVAL : code, "%s", r.text);
		return NULL;
	}
	pthread_mutex_lock(&node->store->lock);
	f = find_or_make(node, &want, &r);
	pthread_mutex_unlock(&node->store->lock);
	report_local(node->store->report, &r);
	return f;
}
