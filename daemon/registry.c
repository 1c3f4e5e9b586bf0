/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <stdlib.h>

#include "registry_parts.h"
#include "self_metrics.h"
#include "texts.h"

/* ---- Series ------------------------------------------------------------ */

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

static const struct index_keys series_keys = { series_hash, series_equal };

static enum reason
check_series_limits(
    const struct registry *r, const struct family *family, struct refusal *refusal)
{
	if (r->series.live >= r->limits.series)
		return refuse(refusal, REASON_LIMIT,
		    "the daemon has its %u series (limits.series)", r->limits.series);
	if (family->n_series >= r->limits.series_per_family)
		return refuse(refusal, REASON_LIMIT,
		    "the metric '%s' has its %u series (limits.series_per_family)",
		    family->name, r->limits.series_per_family);
	return REASON_NONE;
}

/* Takes over set. */
static enum reason
series_new(struct registry *r, struct family *family, uint32_t set, uint64_t hash,
    uint32_t *ret_series, struct refusal *refusal)
{
	enum reason reason = check_series_limits(r, family, refusal);
	uint32_t number = reason == REASON_NONE ? slab_new(&r->series) : 0;
	uint32_t n = family_totals(family);
	struct series *s = number ? registry_series(r, number) : NULL;

	if (s == NULL)
		goto fail;
	*s = (struct series){ .family = family, .set = set };
	if (n > 0 && !totals_new(&r->totals, n, number, &s->at))
		goto fail_series;
	if (!family_add_member(family, number, &s->member))
		goto fail_totals;
	if (!index_add(&r->series_index, hash, number))
		goto fail_member;
	r->count[family->kind]++;
	*ret_series = number;
	return REASON_NONE;

fail_member:
	family_remove_member(family, s->member);
fail_totals:
	if (n > 0)
		totals_release(&r->totals, s->at, n);
fail_series:
	slab_release(&r->series, number);
fail:
	labels_set_release(r->labels, set);
	return reason != REASON_NONE ? reason
				     : refuse(refusal, REASON_MEMORY, "out of memory");
}

static void
series_drop(struct registry *r, uint32_t number)
{
	struct series *s = registry_series(r, number);
	struct family *family = s->family;
	uint32_t n = family_totals(family);

	index_remove(&r->series_index, series_hash(r, number), number);
	family_remove_member(family, s->member);
	if (n > 0)
		totals_release(&r->totals, s->at, n);
	labels_set_release(r->labels, s->set);
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
registry_series_take(struct registry *r, const struct column_metric *metric,
    const struct wire_text *value, uint32_t *ret_series, bool *ret_made,
    struct refusal *refusal)
{
	struct series_key key = { .family = metric->family };
	uint32_t set = child_set(r, metric, value), found;
	uint64_t hash;

	if (set == 0)
		return refuse(refusal, REASON_MEMORY, "out of memory");
	key.words = labels_set_words(r->labels, set, &key.n);
	hash = series_hash_of(&key);
	found = index_find(&r->series_index, hash, &key);
	*ret_made = found == 0;
	if (found == 0)
		return series_new(r, metric->family, set, hash, ret_series, refusal);
	labels_set_release(r->labels, set);
	*ret_series = found;
	return REASON_NONE;
}

void
registry_series_settle(struct registry *r, uint32_t number, bool keep_total)
{
	const struct series *s = registry_series(r, number);
	bool gauge = s->family->kind == MESSAGE_GAUGE;

	if (s->live > 0 || (gauge ? s->at != 0 : keep_total))
		return;
	series_drop(r, number);
}

/* ---- Families ---------------------------------------------------------- */

void
registry_family_settle(struct registry *r, struct family *family)
{
	if (family->live == 0 && family->n_series == 0)
		family_free(&r->families, family);
}

/* Nobody live defines the family: what is kept of the dead makes way for the new. */
static void
family_replace(struct registry *r, struct family *family, const struct message_metric *m)
{
	log_line(r->log, LOG_LEVEL_WARNING,
	    "registry: %s '%s' with %u kept series was dropped: a new %s needs the name, "
	    "and no "
	    "live worker has the old",
	    message_kind_word(family->kind), family->name, family->n_series,
	    message_kind_word(m->kind));
	for (uint32_t i = 0; i < family->n_members; i++) {
		uint32_t number = family->member[i];

		if (number & FAMILY_HOLE)
			continue;
		if (family->kind == MESSAGE_GAUGE)
			registry_retained_unset(r, number);
		else
			series_drop(r, number);
	}
	r->replaced++;
	registry_family_settle(r, family);
}

/* What stands in the way of m: its own name in another shape, or names of samples. A
 * family that only keeps what the dead counted does not. */
static enum reason
check_conflicts(struct registry *r, const struct message_metric *m, bool replace,
    struct refusal *refusal)
{
	struct family *other = families_find(&r->families, m->name);
	uint32_t position = 0;
	struct refusal shape = { 0 };
	char shown[64];

	if (other && family_check_shape(other, m, &shape) != REASON_NONE) {
		if (other->live > 0)
			return refuse(refusal, shape.reason, "%s", shape.text);
		if (replace)
			family_replace(r, other, m);
	}
	while ((other = families_collision(&r->families, m, &position)) != NULL) {
		if (other->live > 0)
			return refuse(refusal, REASON_COLLISION,
			    "samples of '%s' would have names of the %s '%s'",
			    names_show(m->name, shown), message_kind_word(other->kind),
			    other->name);
		if (replace)
			family_replace(r, other, m);
	}
	return REASON_NONE;
}

static enum reason
family_check(struct registry *r, const struct message_metric *m, struct refusal *refusal)
{
	enum reason reason = names_check_metric(m, &r->limits.names, refusal);
	char shown[64];

	if (reason != REASON_NONE)
		return reason;
	if (self_metrics_owns(m->name))
		return refuse(refusal, REASON_COLLISION,
		    "the name '%s' belongs to the daemon's own metrics",
		    names_show(m->name, shown));
	reason = check_conflicts(r, m, false, refusal);
	if (reason == REASON_NONE && r->families.n >= r->limits.families &&
	    families_find(&r->families, m->name) == NULL)
		reason = refuse(refusal, REASON_LIMIT,
		    "the daemon has its %u families (limits.families)",
		    r->limits.families);
	return reason;
}

static void
note_help(struct registry *r, struct family *family, struct wire_text help)
{
	struct strbuf text = STRBUF_EMPTY;

	strbuf_add(&text, "", 0);
	texts_escape(&text, help, false);
	if (!text.failed && !family->help_differs && strcmp(text.at, family->help) != 0) {
		family->help_differs = true;
		log_line(r->log, LOG_LEVEL_WARNING,
		    "registry: '%s' was given a second help text: the first stays",
		    family->name);
	}
	strbuf_free(&text);
}

/* ---- Definitions ------------------------------------------------------- */

struct label_source {
	struct wire_text name;
	const struct wire_text *constant; /* NULL: variable, or the worker's name */
	uint32_t variable;
	bool worker;
};

static int
by_name(const void *a, const void *b)
{
	const struct label_source *x = a, *y = b;
	size_t least = x->name.bytes < y->name.bytes ? x->name.bytes : y->name.bytes;
	int order = memcmp(x->name.at, y->name.at, least);

	if (order != 0)
		return order;
	return (x->name.bytes > y->name.bytes) - (x->name.bytes < y->name.bytes);
}

static size_t
collect_labels(const struct message_metric *m, struct label_source *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_constant; i++)
		ret[n++] = (struct label_source){ .name = m->constant_name[i],
			.constant = &m->constant_value[i] };
	for (size_t i = 0; i < m->n_variable; i++)
		ret[n++] = (struct label_source){ .name = m->variable_name[i],
			.variable = (uint32_t)i };
	if (m->merge == MESSAGE_EACH)
		ret[n++] = (struct label_source){ .name = wire_text("worker_id"),
			.worker = true };
	qsort(ret, n, sizeof(*ret), by_name);
	return n;
}

static bool
resolve_label(
    struct registry *r, const struct label_source *source, struct column_label *ret)
{
	ret->variable = source->variable;
	ret->constant = source->worker ? LABELS_WORKER : 0;
	ret->name = labels_string(r->labels, source->name);
	if (ret->name && source->constant)
		ret->constant = labels_string(r->labels, *source->constant);
	return ret->name && (!source->constant || ret->constant);
}

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

static struct column_metric *
resolve_labels(struct registry *r, const struct message_metric *m)
{
	struct label_source source[MESSAGE_LABELS_MAX + 1];
	size_t n = collect_labels(m, source);
	struct column_metric *metric =
	    calloc(1, sizeof(*metric) + n * sizeof(metric->label[0]));

	if (metric == NULL)
		return NULL;
	metric->n_variable = (uint32_t)m->n_variable;
	if (!labels_level(r->labels, &m->level, &metric->level)) {
		free(metric);
		return NULL;
	}
	while (metric->n < n) {
		struct column_label *label = &metric->label[metric->n];
		bool whole = resolve_label(r, &source[metric->n], label);

		metric->n++;
		if (!whole) {
			registry_unresolve(r, metric);
			return NULL;
		}
	}
	return metric;
}

enum reason
registry_resolve(struct registry *r, const struct message_metric *m,
    struct column_metric **ret, struct refusal *refusal)
{
	enum reason reason = family_check(r, m, refusal);
	struct column_metric *metric;

	if (reason != REASON_NONE)
		return reason;
	metric = resolve_labels(r, m);
	if (metric == NULL)
		return refuse(refusal, REASON_MEMORY, "out of memory");
	check_conflicts(r, m, true, NULL);
	metric->family = families_find(&r->families, m->name);
	if (metric->family)
		note_help(r, metric->family, m->help);
	else
		metric->family = family_new(&r->families, m);
	if (metric->family == NULL) {
		registry_unresolve(r, metric);
		return refuse(refusal, REASON_MEMORY, "out of memory");
	}
	*ret = metric;
	return REASON_NONE;
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

double
registry_client_dropped(const struct registry *r)
{
	return r->client_dropped;
}

/* ---- All --------------------------------------------------------------- */

struct registry *
registry_new(const struct registry_limits *limits, struct log *log)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->limits = *limits;
	r->log = log;
	slab_init(&r->series, sizeof(struct series));
	slab_init(&r->parts, sizeof(struct part));
	slab_init(&r->columns, sizeof(struct column *));
	index_init(&r->series_index, &series_keys, r);
	r->labels = labels_new();
	if (r->labels == NULL) {
		free(r);
		return NULL;
	}
	return r;
}

void
registry_free(struct registry *r)
{
	if (r == NULL)
		return;
	if (r->own)
		registry_column_fold(r, r->own);
	families_free(&r->families);
	index_free(&r->series_index);
	slab_free(&r->series);
	slab_free(&r->parts);
	slab_free(&r->columns);
	totals_free(&r->totals);
	labels_free(r->labels);
	free(r);
}
