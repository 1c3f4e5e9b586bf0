/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series: found by family and labels, made, read, and taken off the page. The interface
 * is in registry.h and registry_parts.h.
 */
#include "registry.h"
#include "registry_parts.h"

struct series *
registry_series(const struct registry *r, uint32_t number)
{
	return slab_at(&r->series, number);
}

struct series_key {
	const struct family *family;
	const uint32_t *words;
	size_t n;
};

static uint64_t
series_hash_of(const struct series_key *key)
{
	return table_hash(key->words, key->n * sizeof(*key->words)) +
	       key->family->number * 0x9e3779b97f4a7c15U;
}

static struct series_key
series_key_of(const struct registry *r, const struct series *s)
{
	struct series_key key = { .family = s->family };

	key.words = labels_set_words(r->labels, s->set, &key.n);
	return key;
}

static uint64_t
series_hash(const void *owner, uint32_t number)
{
	struct series_key key = series_key_of(owner, registry_series(owner, number));

	return series_hash_of(&key);
}

static bool
series_equal(const void *owner, uint32_t number, const void *wanted)
{
	struct series_key key = series_key_of(owner, registry_series(owner, number));
	const struct series_key *k = wanted;

	return key.family == k->family && key.n == k->n &&
	       memcmp(key.words, k->words, k->n * sizeof(*k->words)) == 0;
}

const struct index_keys registry_series_keys = { series_hash, series_equal };

static enum reason
check_series_limits(struct registry *r, uint32_t uid, const struct family *family,
    struct refusal *refusal)
{
	if (r->series.live >= r->limits.series)
		return refuse(refusal, REASON_LIMIT,
		    "the daemon has its %u series (limits.series)", r->limits.series);
	if (family->n_series >= r->limits.series_per_family)
		return refuse(refusal, REASON_LIMIT,
		    "the metric '%s' has its %u series (limits.series_per_family)",
		    family->name, r->limits.series_per_family);
	if (owners_count(&r->owners, uid) >= r->limits.series_per_uid)
		return refuse(refusal, REASON_LIMIT,
		    "the user %u has its %u series (limits.series_per_uid)", uid,
		    r->limits.series_per_uid);
	return REASON_NONE;
}

/* Takes over set. 0 when memory is out. */
static uint32_t
series_new(struct registry *r, uint32_t uid, struct family *family, uint32_t set,
    uint64_t hash, uint32_t member)
{
	uint32_t number = slab_new(&r->series), n = family_totals(family);
	struct series *s = number ? registry_series(r, number) : NULL;

	if (s == NULL)
		goto fail;
	*s = (struct series){ .family = family, .set = set, .member = member };
	if (n > 0 && !totals_new(&r->totals, n, number, &s->at))
		goto fail_series;
	if (member != SERIES_ANYWHERE)
		family_put_member(family, number, member);
	else if (!family_add_member(family, number, &s->member))
		goto fail_totals;
	s->owner = owners_add(&r->owners, uid);
	if (s->owner == 0)
		goto fail_member;
	if (!index_add(&r->series_index, hash, number))
		goto fail_owner;
	r->count[family->kind]++;
	return number;

fail_owner:
	owners_remove(&r->owners, s->owner);
fail_member:
	family_remove_member(family, s->member);
fail_totals:
	if (n > 0)
		totals_release(&r->totals, s->at, n);
fail_series:
	s->set = 0;
	slab_release(&r->series, number);
fail:
	labels_set_release(r->labels, set);
	return 0;
}

bool
registry_series_restore(struct registry *r, uint32_t uid, struct family *family,
    uint32_t set, uint32_t member, uint32_t *ret_series, bool *ret_made)
{
	struct series_key key = { .family = family };
	uint64_t hash;

	key.words = labels_set_words(r->labels, set, &key.n);
	hash = series_hash_of(&key);
	*ret_series = index_find(&r->series_index, hash, &key);
	*ret_made = *ret_series == 0;
	if (*ret_made)
		*ret_series = series_new(r, uid, family, set, hash, member);
	else
		labels_set_release(r->labels, set);
	return *ret_series != 0;
}

void
registry_series_drop(struct registry *r, uint32_t number)
{
	struct series *s = registry_series(r, number);
	struct family *family = s->family;
	uint32_t n = family_totals(family);

	index_remove(&r->series_index, series_hash(r, number), number);
	family_remove_member(family, s->member);
	if (n > 0)
		totals_release(&r->totals, s->at, n);
	labels_set_release(r->labels, s->set);
	owners_remove(&r->owners, s->owner);
	s->set = 0; /* it says that the number is free */
	slab_release(&r->series, number);
	r->count[family->kind]--;
}

/* The label set that a metric's child has with these values; 0 when memory is out. */
static uint32_t
child_set(
    struct registry *r, const struct column_metric *metric, const struct wire_text *value)
{
	uint32_t name[MESSAGE_LABELS_MAX + 1], string[MESSAGE_LABELS_MAX + 1];
	uint32_t taken = 0, set = 0;
	bool whole = true;

	for (; taken < metric->n && whole; taken++) {
		const struct column_label *label = &metric->label[taken];

		name[taken] = label->name;
		string[taken] = label->constant;
		if (label->constant == 0) {
			string[taken] = labels_string(r->labels, value[label->variable]);
			whole = string[taken] != 0;
		}
	}
	if (whole)
		set = labels_set(r->labels, metric->level, metric->n, name, string);
	for (uint32_t i = 0; i < taken; i++)
		if (metric->label[i].constant == 0)
			labels_string_release(r->labels, string[i]);
	return set;
}

enum reason
registry_series_take(struct registry *r, uint32_t uid, const struct column_metric *metric,
    const struct wire_text *value, uint32_t *ret_series, bool *ret_made,
    struct refusal *refusal)
{
	struct series_key key = { .family = metric->family };
	uint32_t set = child_set(r, metric, value), found;
	enum reason reason;
	uint64_t hash;

	if (set == 0)
		return refuse(refusal, REASON_MEMORY, "out of memory");
	key.words = labels_set_words(r->labels, set, &key.n);
	hash = series_hash_of(&key);
	found = index_find(&r->series_index, hash, &key);
	*ret_made = found == 0;
	if (found) {
		labels_set_release(r->labels, set);
		*ret_series = found;
		return REASON_NONE;
	}
	reason = check_series_limits(r, uid, metric->family, refusal);
	if (reason != REASON_NONE) {
		labels_set_release(r->labels, set);
		return reason;
	}
	found = series_new(r, uid, metric->family, set, hash, SERIES_ANYWHERE);
	if (found == 0)
		return refuse(refusal, REASON_MEMORY, "out of memory");
	*ret_series = found;
	return REASON_NONE;
}

static bool
find_resolved(
    struct registry *r, const struct column_metric *metric, uint32_t *ret_series)
{
	struct series_key key = { .family = metric->family };
	uint32_t set = child_set(r, metric, NULL);

	if (set == 0)
		return false;
	key.words = labels_set_words(r->labels, set, &key.n);
	*ret_series = index_find(&r->series_index, series_hash_of(&key), &key);
	labels_set_release(r->labels, set);
	return true;
}

enum reason
registry_metric_find(struct registry *r, struct family *family,
    const struct message_metric *m, uint32_t *ret_series, struct refusal *refusal)
{
	struct column_metric *metric = registry_resolve_labels(r, m);
	bool whole = metric != NULL;

	if (metric) {
		metric->family = family;
		whole = find_resolved(r, metric, ret_series);
	}
	registry_unresolve(r, metric);
	return whole ? REASON_NONE : refuse(refusal, REASON_MEMORY, "out of memory");
}

void
registry_series_settle(struct registry *r, uint32_t number, bool keep_total)
{
	const struct series *s = registry_series(r, number);
	bool gauge = s->family->kind == MESSAGE_GAUGE;

	if (s->live > 0 || (gauge ? s->at != 0 : keep_total))
		return;
	registry_series_drop(r, number);
}

void
registry_family_settle(struct registry *r, struct family *family)
{
	if (family->live == 0 && family->n_series == 0)
		family_free(&r->families, family);
}

/* ---- Reading ----------------------------------------------------------- */

struct labels *
registry_labels(const struct registry *r)
{
	return r->labels;
}

const struct registry_limits *
registry_limits(const struct registry *r)
{
	return &r->limits;
}

void
registry_set_limits(struct registry *r, const struct registry_limits *limits)
{
	r->limits = *limits;
}

const struct naming *
registry_naming(const struct registry *r)
{
	return &r->naming;
}

bool
registry_place(
    const struct registry *r, const struct message_level *level, uint32_t *ret_place)
{
	struct naming_level room;
	const struct message_level *kept = level;

	/* A name as it is on the page may be made to fit another way than it was. */
	return (naming_level(&r->naming, &kept, &room, NULL) == REASON_NONE &&
		   labels_level_find(r->labels, kept, ret_place)) ||
	       (kept != level && labels_level_find(r->labels, level, ret_place));
}

uint32_t
registry_families(const struct registry *r)
{
	return r->families.n;
}

const struct family *
registry_family(const struct registry *r, uint32_t i)
{
	return r->families.by_name[i];
}

uint32_t
registry_family_from(const struct registry *r, const char *name)
{
	return families_from(&r->families, wire_text(name));
}

const struct series *
registry_member(const struct registry *r, const struct family *f, uint32_t position)
{
	uint32_t number = f->member[position];

	return number & FAMILY_HOLE ? NULL : registry_series(r, number);
}

const double *
registry_totals(const struct registry *r, const struct series *s)
{
	return totals_at(&r->totals, s->at);
}

uint32_t
registry_count(const struct registry *r, enum message_kind kind)
{
	return r->count[kind];
}

uint64_t
registry_replaced(const struct registry *r)
{
	return r->replaced;
}

uint64_t
registry_removed(const struct registry *r, enum registry_cause cause)
{
	return r->removed[cause];
}

double
registry_client_dropped(const struct registry *r)
{
	return r->client_dropped;
}
