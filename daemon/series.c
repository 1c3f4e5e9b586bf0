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

double *
registry_series_totals(const struct registry *r, uint32_t number)
{
	union totals_word *word = totals_of(&r->totals, number);

	if (series_family(r, registry_series(r, number))->kind == MESSAGE_COUNTER)
		return &word->total;
	return totals_run(&r->totals, word->at);
}

struct series_key {
	const struct family *family;
	uint32_t schema;
	const uint32_t *value;
	size_t n;
};

static uint64_t
series_hash_of(const struct series_key *key)
{
	return table_hash(key->value, key->n * sizeof(*key->value)) +
	       key->family->number * 0x9e3779b97f4a7c15U +
	       key->schema * 0xbf58476d1ce4e5b9U;
}

static struct series_key
series_key(
    const struct registry *r, const struct family *family, uint32_t schema, uint32_t set)
{
	return (struct series_key){ family, schema, labels_set_values(r->labels, set),
		labels_schema(r->labels, schema)->n };
}

static uint64_t
series_hash(const void *owner, uint32_t number)
{
	const struct registry *r = owner;
	const struct series *s = registry_series(r, number);
	const struct group *group = groups_at(&r->groups, s->group);
	struct series_key key = series_key(r, group->family, group->schema, s->set);

	return series_hash_of(&key);
}

static bool
series_equal(const void *owner, uint32_t number, const void *wanted)
{
	const struct registry *r = owner;
	const struct series *s = registry_series(r, number);
	const struct group *group = groups_at(&r->groups, s->group);
	const struct series_key *k = wanted;

	return group->family == k->family && group->schema == k->schema &&
	       memcmp(labels_set_values(r->labels, s->set), k->value,
		   k->n * sizeof(*k->value)) == 0;
}

static void
series_ask(const void *owner, uint32_t number, bool soon)
{
	const struct registry *r = owner;
	const struct series *s = registry_series(r, number);

	__builtin_prefetch(soon ? (const void *)labels_set_values(r->labels, s->set) : s);
}

const struct index_keys registry_series_keys = { series_hash, series_equal, series_ask };

static enum reason
check_series_limits(struct registry *r, uint32_t uid, const struct family *family,
    struct refusal *refusal)
{
	uint32_t n = owners_count(&r->owners, uid);
	uint32_t share = registry_share(&r->limits, r->limits.series);

	if (r->series.live >= r->limits.series)
		return refuse(refusal, REASON_LIMIT,
		    "the daemon has its %u series (limits.series)", r->limits.series);
	if (family->n_series >= r->limits.series_per_family)
		return refuse(refusal, REASON_LIMIT,
		    "the metric '%s' has its %u series (limits.series_per_family)",
		    family->name, r->limits.series_per_family);
	if (n >= r->limits.series_per_uid)
		return refuse(refusal, REASON_LIMIT,
		    "the user %u has its %u series (limits.series_per_uid)", uid,
		    r->limits.series_per_uid);
	if (n >= share)
		return refuse(refusal, REASON_LIMIT,
		    "the user %u has its share of %u series (limits.uid_percent)", uid,
		    share);
	return REASON_NONE;
}

/* What a series counts in, or has parts of. False when memory is out. */
static bool
make_totals(struct registry *r, const struct family *family, uint32_t number)
{
	union totals_word *word = totals_of_new(&r->totals, number);

	if (word == NULL || family->kind != MESSAGE_HISTOGRAM)
		return word != NULL;
	word->at = totals_run_new(&r->totals, family_totals(family), number);
	return word->at != 0;
}

static void
release_totals(struct registry *r, const struct family *family, uint32_t number)
{
	if (family->kind == MESSAGE_HISTOGRAM)
		totals_run_release(
		    &r->totals, totals_of(&r->totals, number)->at, family_totals(family));
}

/* The group of a series that a uid makes. 0 when memory is out. */
static uint32_t
take_group(struct registry *r, uint32_t uid, struct family *family, uint32_t schema)
{
	uint32_t owner = owners_add(&r->owners, uid);
	uint32_t group = owner ? groups_take(&r->groups, family, schema, owner) : 0;

	if (owner && group == 0)
		owners_remove(&r->owners, owner);
	return group;
}

static void
release_group(struct registry *r, uint32_t number)
{
	uint32_t owner = groups_at(&r->groups, number)->owner;

	groups_release(&r->groups, number);
	owners_remove(&r->owners, owner);
}

/* Takes over the key's schema, and set. 0 when memory is out. */
static uint32_t
series_new(struct registry *r, uint32_t uid, struct family *family,
    const struct series_key *key, uint32_t set, uint64_t hash, uint32_t member)
{
	uint32_t number = slab_new(&r->series);
	struct series *s = number ? registry_series(r, number) : NULL;

	if (s == NULL)
		goto fail;
	*s = (struct series){ .set = set, .member = member };
	s->group = take_group(r, uid, family, key->schema);
	if (s->group == 0)
		goto fail_series;
	if (!make_totals(r, family, number))
		goto fail_group;
	if (member != SERIES_ANYWHERE)
		family_put_member(family, number, member);
	else if (!family_add_member(family, number, &s->member))
		goto fail_totals;
	if (!index_add(&r->series_index, hash, number))
		goto fail_member;
	r->count[family->kind]++;
	return number;

fail_member:
	family_remove_member(family, s->member);
fail_totals:
	release_totals(r, family, number);
fail_group:
	release_group(r, s->group);
fail_series:
	s->group = 0;
	slab_release(&r->series, number);
fail:
	labels_set_release(r->labels, key->schema, set);
	return 0;
}

void
registry_series_ask(const struct registry *r, const struct family *family,
    uint32_t schema, const uint32_t *string)
{
	struct series_key key = { family, schema, string,
		labels_schema(r->labels, schema)->n };

	index_ask(&r->series_index, series_hash_of(&key));
}

bool
registry_series_restore(struct registry *r, uint32_t uid, struct family *family,
    uint32_t schema, uint32_t set, uint32_t member, uint32_t *ret_series, bool *ret_made)
{
	struct series_key key = series_key(r, family, schema, set);
	uint64_t hash = series_hash_of(&key);

	*ret_series = index_find(&r->series_index, hash, &key);
	*ret_made = *ret_series == 0;
	if (*ret_made)
		*ret_series = series_new(r, uid, family, &key, set, hash, member);
	else
		labels_set_release(r->labels, schema, set);
	return *ret_series != 0;
}

void
registry_series_drop(struct registry *r, uint32_t number)
{
	struct series *s = registry_series(r, number);
	const struct group *group = groups_at(&r->groups, s->group);
	struct family *family = group->family;
	uint32_t schema = group->schema;

	index_remove(&r->series_index, series_hash(r, number), number);
	family_remove_member(family, s->member);
	release_totals(r, family, number);
	release_group(r, s->group);
	labels_set_release(r->labels, schema, s->set);
	slab_release(&r->series, number);
	s->group = 0;
	r->count[family->kind]--;
}

/* The label set that a metric's child has with these values; 0 when memory is out. */
static uint32_t
child_set(struct registry *r, const struct column_metric *metric,
    const struct wire_text *value, uint32_t *ret_schema)
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
		set = labels_set(
		    r->labels, metric->level, metric->n, name, string, ret_schema);
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
	uint32_t schema, set = child_set(r, metric, value, &schema), found;
	struct series_key key;
	enum reason reason;
	uint64_t hash;

	if (set == 0)
		return refuse(refusal, REASON_MEMORY, "out of memory");
	key = series_key(r, metric->family, schema, set);
	hash = series_hash_of(&key);
	found = index_find(&r->series_index, hash, &key);
	*ret_made = found == 0;
	if (found) {
		labels_set_release(r->labels, schema, set);
		*ret_series = found;
		return REASON_NONE;
	}
	reason = check_series_limits(r, uid, metric->family, refusal);
	if (reason != REASON_NONE) {
		labels_set_release(r->labels, schema, set);
		return reason;
	}
	found = series_new(r, uid, metric->family, &key, set, hash, SERIES_ANYWHERE);
	if (found == 0)
		return refuse(refusal, REASON_MEMORY, "out of memory");
	*ret_series = found;
	return REASON_NONE;
}

static bool
find_resolved(
    struct registry *r, const struct column_metric *metric, uint32_t *ret_series)
{
	uint32_t schema, set = child_set(r, metric, NULL, &schema);
	struct series_key key;

	if (set == 0)
		return false;
	key = series_key(r, metric->family, schema, set);
	*ret_series = index_find(&r->series_index, series_hash_of(&key), &key);
	labels_set_release(r->labels, schema, set);
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
	bool gauge = series_family(r, s)->kind == MESSAGE_GAUGE;

	if (s->live > 0 || (gauge ? *series_parts(r, number) != 0 : keep_total))
		return;
	registry_series_drop(r, number);
}

bool
registry_family_own(struct registry *r, struct family *family, uint32_t uid)
{
	if (family->owner == 0)
		family->owner = owners_add(&r->family_owners, uid);
	return family->owner != 0;
}

void
registry_family_settle(struct registry *r, struct family *family)
{
	if (family->live > 0 || family->n_series > 0)
		return;
	if (family->owner)
		owners_remove(&r->family_owners, family->owner);
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

const struct labels_schema *
registry_series_labels(
    const struct registry *r, const struct series *s, const uint32_t **ret_values)
{
	*ret_values = labels_set_values(r->labels, s->set);
	return labels_schema(r->labels, groups_at(&r->groups, s->group)->schema);
}

const double *
registry_totals(const struct registry *r, const struct series *s)
{
	return registry_series_totals(r, series_number(r, s));
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
