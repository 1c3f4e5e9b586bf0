/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <stdlib.h>

#include "registry_parts.h"
#include "self_metrics.h"

/* Causes of limited log lines; 36 to 39 are this module's. */
enum { CAUSE_REPLACED = 36, CAUSE_HELP };

/* ---- Families ---------------------------------------------------------- */

/* Nobody live defines the family: what is kept of the dead makes way for the new. */
static void
family_replace(struct registry *r, struct family *family, const struct message_metric *m)
{
	log_often(r->log, LOG_LEVEL_WARNING, CAUSE_REPLACED, r->now_ms,
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
			registry_series_drop(r, number);
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

/* Names are for all: how many there are, and how many of them one uid made. */
static enum reason
check_family_limits(struct registry *r, uint32_t uid, const struct message_metric *m,
    struct refusal *refusal)
{
	uint32_t share = registry_share(&r->limits, r->limits.families);
	const struct family *family;

	if (r->families.n < r->limits.families && share == r->limits.families)
		return REASON_NONE;
	family = families_find(&r->families, m->name);
	if (family == NULL && r->families.n >= r->limits.families)
		return refuse(refusal, REASON_LIMIT,
		    "the daemon has its %u families (limits.families)",
		    r->limits.families);
	/* One that makes way for another shape becomes the uid's, too. */
	if ((family == NULL || family_check_shape(family, m, NULL) != REASON_NONE) &&
	    share < r->limits.families && owners_count(&r->family_owners, uid) >= share)
		return refuse(refusal, REASON_LIMIT,
		    "the user %u has its share of %u families (limits.uid_percent)", uid,
		    share);
	return REASON_NONE;
}

static enum reason
family_check(struct registry *r, uint32_t uid, const struct message_metric *m,
    struct refusal *refusal)
{
	enum reason reason = names_check_metric(m, &r->limits.names, refusal);
	char shown[64];

	if (reason == REASON_NONE)
		reason = naming_check_labels(&r->naming, m, refusal);
	if (reason != REASON_NONE)
		return reason;
	if (self_metrics_owns(naming_prefix(&r->naming), m->name))
		return refuse(refusal, REASON_COLLISION,
		    "the name '%s' belongs to the daemon's own metrics",
		    names_show(m->name, shown));
	reason = check_conflicts(r, m, false, refusal);
	return reason == REASON_NONE ? check_family_limits(r, uid, m, refusal) : reason;
}

static void
note_help(struct registry *r, struct family *family, struct wire_text help)
{
	char *text = family_help(help);

	if (text && text[0] && !family->help_differs && strcmp(text, family->help) != 0) {
		family->help_differs = true;
		log_often(r->log, LOG_LEVEL_WARNING, CAUSE_HELP, r->now_ms,
		    "registry: '%s' was given a second help text: the first stays",
		    family->name);
	}
	free(text);
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

	return names_compare(x->name, y->name);
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

struct column_metric *
registry_resolve_labels(struct registry *r, const struct message_metric *m)
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

/* A family that a uid makes; NULL when memory is out. */
static struct family *
make_family(struct registry *r, uint32_t uid, const struct message_metric *m)
{
	struct family *family = family_new(&r->families, m);

	if (family && !registry_family_own(r, family, uid)) {
		family_discard(family);
		return NULL;
	}
	return family;
}

/* The opposite, of one that was not added. */
static void
unmake_family(struct registry *r, struct family *family)
{
	owners_remove(&r->family_owners, family->owner);
	family_discard(family);
}

/* Check a metric of a uid, and make all that its definition needs. Nothing is changed
 * until resolve_done(); *ret_made says that its family is not among the families yet. */
static enum reason
resolve(struct registry *r, uint32_t uid, const struct message_metric *m,
    struct column_metric **ret, bool *ret_made, struct refusal *refusal)
{
	enum reason reason = family_check(r, uid, m, refusal);
	struct column_metric *metric;
	struct family *family;
	bool made;

	if (reason != REASON_NONE)
		return reason;
	family = families_find(&r->families, m->name);
	made = family == NULL || family_check_shape(family, m, NULL) != REASON_NONE;
	metric = registry_resolve_labels(r, m);
	if (metric)
		metric->family = made ? make_family(r, uid, m) : family;
	if (metric == NULL || metric->family == NULL) {
		registry_unresolve(r, metric);
		return refuse(refusal, REASON_MEMORY, "out of memory");
	}
	*ret = metric;
	*ret_made = made;
	return REASON_NONE;
}

/* What stood in the way goes, and the family is there. Cannot fail. */
static void
resolve_done(struct registry *r, const struct message_metric *m,
    const struct column_metric *metric, bool made)
{
	if (!made) {
		note_help(r, metric->family, m->help);
		return;
	}
	check_conflicts(r, m, true, NULL);
	family_add(&r->families, metric->family);
}

/* ---- Metrics of a column, and of nobody ---------------------------------- */

static bool
same_metric(const struct column_metric *a, const struct column_metric *b)
{
	return a->family == b->family && a->level == b->level && a->n == b->n &&
	       a->n_variable == b->n_variable &&
	       memcmp(a->label, b->label, a->n * sizeof(a->label[0])) == 0;
}

/* A live family of m's name and shape: resolving m again cannot change anything. */
static bool
is_named(const struct column_metric *metric, const struct message_metric *m)
{
	return wire_text_is(m->name, metric->family->name) &&
	       family_check_shape(metric->family, m, NULL) == REASON_NONE;
}

bool
registry_make_metrics(struct column *c, uint32_t id)
{
	uint32_t room = c->metric_room ? c->metric_room : 16;
	struct column_metric **metric;

	if (id < c->metric_room)
		return true;
	while (room <= id)
		room *= 2;
	metric = registry_grow(c->metric, c->metric_room * sizeof(struct column_metric *),
	    room * sizeof(struct column_metric *));
	if (metric == NULL)
		return false;
	c->metric = metric;
	c->metric_room = room;
	return true;
}

void
registry_put_metric(struct column *c, uint32_t id, struct column_metric *metric)
{
	metric->family->live++;
	metric->next = c->metrics;
	c->metrics = metric;
	c->metric[id] = metric;
	c->n_metrics++;
}

enum reason
registry_define_metric(struct registry *r, struct column *c,
    const struct message_metric *m, struct refusal *refusal)
{
	struct column_metric *metric, *before;
	struct naming_metric room;
	enum reason reason =
	    naming_metric(&r->naming, &r->limits.names, &m, &room, refusal);
	bool made;

	if (reason != REASON_NONE)
		return reason;
	if (m->id >= REGISTRY_SPARSE + 4 * (uint64_t)c->n_metrics)
		return refuse(refusal, REASON_MESSAGE,
		    "the metric number %u is too high: metrics are numbered from 0",
		    m->id);
	if (!registry_make_metrics(c, m->id))
		return refuse(refusal, REASON_MEMORY, "out of memory");
	before = c->metric[m->id];
	if (before && !is_named(before, m))
		return refuse(refusal, REASON_DUPLICATE,
		    "the metric number %u is '%s' already", m->id, before->family->name);
	if (before == NULL && c->n_metrics >= r->limits.series_per_worker)
		return refuse(refusal, REASON_LIMIT,
		    "the worker has its %u metrics (limits.series_per_worker)",
		    r->limits.series_per_worker);
	reason = resolve(r, c->uid, m, &metric, &made, refusal);
	if (reason != REASON_NONE)
		return reason;
	resolve_done(r, m, metric, made);
	if (before) {
		if (!same_metric(before, metric))
			reason = refuse(refusal, REASON_DUPLICATE,
			    "the metric number %u is '%s' with other labels already",
			    m->id, before->family->name);
		registry_unresolve(r, metric);
		return reason;
	}
	registry_put_metric(c, m->id, metric);
	return REASON_NONE;
}

enum reason
registry_retain(struct registry *r, uint32_t uid, const struct message_metric *m,
    uint32_t *ret_series, bool *ret_new, struct refusal *refusal)
{
	struct column_metric *metric;
	struct naming_metric room;
	enum reason reason =
	    naming_metric(&r->naming, &r->limits.names, &m, &room, refusal);
	bool made, made_series;

	if (reason == REASON_NONE)
		reason = resolve(r, uid, m, &metric, &made, refusal);
	if (reason != REASON_NONE)
		return reason;
	reason =
	    registry_series_take(r, uid, metric, NULL, ret_series, &made_series, refusal);
	if (reason == REASON_NONE) {
		resolve_done(r, m, metric, made);
		registry_series(r, *ret_series)->kept_s = registry_now_s(r);
		if (ret_new)
			*ret_new = made_series;
	} else if (made) {
		unmake_family(r, metric->family);
	}
	registry_unresolve(r, metric);
	return reason;
}

const char *
registry_metric_name(const struct column *c, uint32_t id)
{
	return c->metric[id]->family->name;
}

bool
registry_column_has_endpoint(
    const struct registry *r, const struct column *c, const char *endpoint)
{
	struct message_level raw = { 1, { wire_text(endpoint) } };
	const struct message_level *level = &raw;
	struct naming_level room;
	uint32_t name;

	if (naming_level(&r->naming, &level, &room, NULL) != REASON_NONE)
		return false;
	name = labels_string_find(r->labels, level->name[0]);
	/* Not by their numbers: a worker may have chosen high ones. */
	for (const struct column_metric *m = c->metrics; name && m; m = m->next)
		if (labels_level_ends(r->labels, m->level, MESSAGE_LEVELS_MAX, name))
			return true;
	return false;
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
	index_init(&r->series_index, &registry_series_keys, r);
	groups_init(&r->groups);
	owners_init(&r->owners);
	owners_init(&r->family_owners);
	r->labels = labels_new(&r->naming);
	if (r->labels == NULL) {
		free(r);
		return NULL;
	}
	return r;
}

void
registry_set_effects(struct registry *r, struct effects *effects)
{
	r->effects = effects;
}

struct log *
registry_set_log(struct registry *r, struct log *log)
{
	struct log *was = r->log;

	r->log = log;
	return was;
}

bool
registry_set_naming(struct registry *r, const struct naming *naming)
{
	struct naming copy;

	if (!naming_copy(&copy, naming))
		return false;
	naming_free(&r->naming);
	r->naming = copy;
	return true;
}

void
registry_free(struct registry *r)
{
	if (r == NULL)
		return;
	registry_retained_free(r);
	families_free(&r->families);
	index_free(&r->series_index);
	slab_free(&r->series);
	slab_free(&r->parts);
	slab_free(&r->columns);
	totals_free(&r->totals);
	labels_free(r->labels);
	groups_free(&r->groups);
	owners_free(&r->owners);
	owners_free(&r->family_owners);
	naming_free(&r->naming);
	free(r);
}
