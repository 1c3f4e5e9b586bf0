/* SPDX-License-Identifier: Apache-2.0 */
/* One metric of a message in JSON. The interface is in json.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_parts.h"
#include "names.h"

/* A metric on its way. */
struct reading {
	struct json_batch *batch;
	const json_t *object;
	struct json_metric *ret;
	struct refusal *r;
	char name[64]; /* of the metric, for sentences */
};

static enum reason
refuse_kind(
    const struct reading *g, const char *field, const char *expected, const json_t *value)
{
	return refuse(g->r, REASON_FIELD, "'%s' of '%s' has to be %s, not %s", field,
	    g->name, expected, json_kind_of(value));
}

static enum reason
refuse_memory(const struct reading *g)
{
	return refuse(g->r, REASON_MEMORY, "out of memory");
}

/* ---- Shape ------------------------------------------------------------ */

/* A field that is one of some words: its position in *ret_word, which stays as it is if
 * the field is missing. */
static enum reason
get_word(const struct reading *g, const char *field, const char *const *words,
    const char *expected, int *ret_word)
{
	const json_t *value = json_object_get(g->object, field);
	const char *text = json_string_value(value);
	char shown[64];

	if (value == NULL)
		return REASON_NONE;
	if (text == NULL)
		return refuse_kind(g, field, expected, value);
	for (int i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0) {
			*ret_word = i;
			return REASON_NONE;
		}
	return refuse(g->r, REASON_FIELD, "'%s' of '%s' has to be %s, not \"%s\"", field,
	    g->name, expected, names_show(json_text(value), shown));
}

static enum reason
get_type(const struct reading *g)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram", NULL };
	static const char expected[] = "\"counter\", \"gauge\" or \"histogram\"";
	int kind = -1;
	enum reason reason = get_word(g, "type", kinds, expected, &kind);

	if (reason != REASON_NONE)
		return reason;
	g->ret->has_type = kind >= 0;
	g->ret->metric.kind = kind >= 0 ? (enum message_kind)(kind + 1) : MESSAGE_COUNTER;
	if (kind < 0 && g->ret->operation != JSON_REMOVE)
		return refuse(
		    g->r, REASON_FIELD, "'%s' has no 'type': %s", g->name, expected);
	return REASON_NONE;
}

static enum reason
get_merge(const struct reading *g)
{
	static const char *const merges[] = { "sum", "min", "max", "last", NULL };
	int merge = -1;
	enum reason reason =
	    get_word(g, "merge", merges, "\"sum\", \"min\", \"max\" or \"last\"", &merge);

	g->ret->has_merge = merge >= 0;
	g->ret->metric.merge = merge >= 0 ? (enum message_merge)merge : MESSAGE_SUM;
	return reason;
}

static enum reason
get_help(const struct reading *g)
{
	const json_t *help = json_object_get(g->object, "help");

	g->ret->metric.help = (struct wire_text){ "", 0 };
	if (help && !json_is_string(help))
		return refuse_kind(g, "help", "a string", help);
	if (help)
		g->ret->metric.help = json_text(help);
	return REASON_NONE;
}

static enum reason
get_labels(const struct reading *g)
{
	json_t *labels = json_object_get(g->object, "labels"), *value;
	struct message_metric *m = &g->ret->metric;
	const char *name;
	char shown[64];

	if (labels && !json_is_object(labels))
		return refuse_kind(g, "labels", "an object of strings", labels);
	json_object_foreach(labels, name, value)
	{
		if (!json_is_string(value))
			return refuse(g->r, REASON_FIELD,
			    "the label '%s' of '%s' has to be a string, not %s",
			    names_show(wire_text(name), shown), g->name,
			    json_kind_of(value));
		if (m->n_constant == MESSAGE_LABELS_MAX)
			return refuse(g->r, REASON_LIMIT, "'%s' has more than %d labels",
			    g->name, MESSAGE_LABELS_MAX);
		m->constant_name[m->n_constant] = wire_text(name);
		m->constant_value[m->n_constant++] = json_text(value);
	}
	return REASON_NONE;
}

/* The ladder that Prometheus' own libraries have. */
static const double default_bounds[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
	5, 10 };
#define DEFAULT_BOUNDS (sizeof(default_bounds) / sizeof(default_bounds[0]))

/* An array of numbers as the bytes that a binary message would have. */
static enum reason
get_bounds(const struct reading *g)
{
	const json_t *buckets = json_object_get(g->object, "buckets");
	struct message_metric *m = &g->ret->metric;
	size_t n = buckets ? json_array_size(buckets) : DEFAULT_BOUNDS;

	g->ret->has_buckets = buckets != NULL;
	if (buckets && !json_is_array(buckets))
		return refuse_kind(g, "buckets", "an array of numbers", buckets);
	if (buckets == NULL && m->kind != MESSAGE_HISTOGRAM)
		return REASON_NONE;
	free(g->batch->bounds);
	g->batch->bounds = malloc(8 * n + 1);
	if (g->batch->bounds == NULL)
		return refuse_memory(g);
	for (size_t i = 0; i < n; i++) {
		const json_t *bound = json_array_get(buckets, i);

		if (bound && !json_is_number(bound))
			return refuse_kind(
			    g, "buckets", "an array of numbers alone", bound);
		wire_store_u64(g->batch->bounds + 8 * i,
		    wire_bits(bound ? json_number_value(bound) : default_bounds[i]));
	}
	m->n_bounds = n;
	m->bounds = g->batch->bounds;
	return REASON_NONE;
}

/* ---- Operation -------------------------------------------------------- */

static enum reason
get_number(const struct reading *g, const char *field)
{
	const json_t *value = json_object_get(g->object, field);

	if (!json_is_number(value))
		return refuse_kind(g, field, "a number", value);
	g->ret->value = json_number_value(value);
	return REASON_NONE;
}

static enum reason
get_inc(const struct reading *g, const char *field)
{
	enum reason reason = get_number(g, field);

	if (reason == REASON_NONE && g->ret->value < 0)
		reason = refuse(g->r, REASON_VALUE,
		    "the counter '%s' cannot go down: 'inc' is %g", g->name,
		    g->ret->value);
	return reason;
}

static enum reason
get_observed(const struct reading *g, const char *field)
{
	static const char expected[] = "a number or an array of numbers";
	const json_t *value = json_object_get(g->object, field);
	bool array = json_is_array(value);
	size_t n = array ? json_array_size(value) : 1;
	double sum = 0, *observed;

	free(g->batch->observed);
	g->batch->observed = observed = malloc((n + 1) * sizeof(*observed));
	if (observed == NULL)
		return refuse_memory(g);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = array ? json_array_get(value, i) : value;

		if (!json_is_number(v))
			return refuse_kind(g, field, expected, v);
		observed[i] = json_number_value(v);
		sum += observed[i];
	}
	if (!isfinite(sum))
		return refuse(g->r, REASON_VALUE,
		    "the values that '%s' observes add up to more than a double holds",
		    g->name);
	g->ret->n_observed = n;
	g->ret->observed = observed;
	return REASON_NONE;
}

static enum reason
get_remove(const struct reading *g, const char *field)
{
	const json_t *value = json_object_get(g->object, field);

	if (!json_is_true(value))
		return refuse_kind(g, field, "true", value);
	if (!g->ret->has_type && (g->ret->has_merge || g->ret->has_buckets))
		return refuse(g->r, REASON_FIELD, "'%s' of '%s' needs a 'type'",
		    g->ret->has_merge ? "merge" : "buckets", g->name);
	return REASON_NONE;
}

struct operation {
	const char *field;
	enum json_operation operation;
	enum message_kind kind; /* 0: of any */
	enum reason (*get)(const struct reading *g, const char *field);
};

static const struct operation operations[] = {
	{ "inc", JSON_INC, MESSAGE_COUNTER, get_inc },
	{ "set", JSON_SET, MESSAGE_GAUGE, get_number },
	{ "add", JSON_ADD, MESSAGE_GAUGE, get_number },
	{ "observe", JSON_OBSERVE, MESSAGE_HISTOGRAM, get_observed },
	{ "remove", JSON_REMOVE, 0, get_remove },
};

/* Which operation it is; its value is read when the shape is known. */
static enum reason
get_operation(const struct reading *g, const struct operation **ret)
{
	const struct operation *found = NULL;

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		if (json_object_get(g->object, operations[i].field) == NULL)
			continue;
		if (found)
			return refuse(g->r, REASON_FIELD,
			    "'%s' has both '%s' and '%s': a metric has at most one of "
			    "'inc', 'set', 'add', 'observe' and 'remove'",
			    g->name, found->field, operations[i].field);
		found = &operations[i];
	}
	g->ret->operation = found ? found->operation : JSON_DEFINE;
	*ret = found;
	return REASON_NONE;
}

static enum reason
get_value(const struct reading *g, const struct operation *operation)
{
	enum message_kind kind = g->ret->metric.kind;

	if (operation == NULL)
		return REASON_NONE;
	if (operation->kind != 0 && operation->kind != kind)
		return refuse(g->r, REASON_FIELD,
		    "'%s' is for a %s, not for a %s like '%s'", operation->field,
		    message_kind_word(operation->kind), message_kind_word(kind), g->name);
	return operation->get(g, operation->field);
}

static enum reason
get_ttl(const struct reading *g)
{
	const json_t *ttl = json_object_get(g->object, "ttl_s");

	if (ttl == NULL)
		return REASON_NONE;
	if (g->ret->operation != JSON_SET)
		return refuse(g->r, REASON_FIELD,
		    "'ttl_s' of '%s' can only stand beside 'set'", g->name);
	if (!json_is_number(ttl))
		return refuse_kind(g, "ttl_s", "a number of seconds", ttl);
	g->ret->ttl_s = json_number_value(ttl);
	if (g->ret->ttl_s <= 0 || g->ret->ttl_s > JSON_TTL_MAX_S)
		return refuse(g->r, REASON_VALUE,
		    "'ttl_s' of '%s' has to be above 0 and at most %.0f seconds, not %g",
		    g->name, JSON_TTL_MAX_S, g->ret->ttl_s);
	return REASON_NONE;
}

/* ---- The whole -------------------------------------------------------- */

static enum reason
read_metric(const struct reading *g)
{
	enum reason (*const parts[])(const struct reading *) = { get_type, get_merge,
		get_help, get_labels, get_bounds };
	const struct operation *operation = NULL;
	enum reason reason = get_operation(g, &operation);

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (reason == REASON_NONE)
			reason = parts[i](g);
	if (reason == REASON_NONE)
		reason = get_value(g, operation);
	return reason == REASON_NONE ? get_ttl(g) : reason;
}

enum reason
json_batch_metric(
    struct json_batch *b, size_t i, struct json_metric *ret, struct refusal *r)
{
	static const char *const known[] = { "name", "type", "help", "labels", "merge",
		"buckets", "inc", "set", "add", "observe", "remove", "ttl_s", NULL };
	struct reading g = { b, json_array_get(b->metrics, i), ret, r, "" };
	const json_t *name = json_object_get(g.object, "name");
	char of[72];
	enum reason reason;

	*ret = (struct json_metric){ .metric = { .name = { "", 0 }, .level = b->level } };
	if (!json_is_object(g.object))
		return refuse(r, REASON_FIELD, "a metric has to be an object, not %s",
		    json_kind_of(g.object));
	if (!json_is_string(name))
		return refuse(r, REASON_FIELD, "a metric's 'name' has to be a string%s%s",
		    name ? ", not " : ": it is ", json_kind_of(name));
	ret->metric.name = json_text(name);
	names_show(ret->metric.name, g.name);
	snprintf(of, sizeof(of), " of '%s'", g.name);
	reason = json_check_fields(g.object, known, of, r);
	return reason == REASON_NONE ? read_metric(&g) : reason;
}
