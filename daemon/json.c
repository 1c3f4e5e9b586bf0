/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "names.h"

struct json_batch {
	json_t *root;
	json_t *metrics;
	struct message_level level;
	double *observed; /* of the metric asked for last */
	uint8_t *bounds;
};

static struct wire_text
text_of(const json_t *string)
{
	return (
	    struct wire_text){ json_string_value(string), json_string_length(string) };
}

/* ---- The batch --------------------------------------------------------- */

static enum reason
check_fields(const json_t *object, const char *const *known, struct refusal *r)
{
	const char *key;
	json_t *value;
	char shown[64];

	json_object_foreach((json_t *)object, key, value)
	{
		size_t i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (known[i] == NULL)
			return refuse(r, REASON_FIELD, "the field '%s' is not known",
			    names_show(wire_text(key), shown));
	}
	return REASON_NONE;
}

static enum reason
get_level(struct json_batch *b, struct refusal *r)
{
	static const char *const words[] = { "namespace", "component", "endpoint" };

	for (size_t i = 0; i < MESSAGE_LEVELS_MAX; i++) {
		const json_t *name = json_object_get(b->root, words[i]);

		if (name == NULL)
			continue;
		if (!json_is_string(name))
			return refuse(
			    r, REASON_FIELD, "'%s' has to be a string", words[i]);
		if (b->level.depth < i)
			return refuse(r, REASON_LEVEL, "'%s' needs a '%s' above it",
			    words[i], words[i - 1]);
		b->level.name[b->level.depth++] = text_of(name);
	}
	return names_check_level(&b->level, r);
}

static enum reason
check_batch(struct json_batch *b, struct refusal *r)
{
	static const char *const known[] = { "namespace", "component", "endpoint",
		"metrics", NULL };
	enum reason reason;

	if (!json_is_object(b->root))
		return refuse(r, REASON_JSON, "a message has to be an object");
	reason = check_fields(b->root, known, r);
	if (reason != REASON_NONE)
		return reason;
	b->metrics = json_object_get(b->root, "metrics");
	if (!json_is_array(b->metrics))
		return refuse(r, REASON_FIELD, "'metrics' has to be an array");
	return get_level(b, r);
}

enum reason
json_batch_new(
    struct json_batch **ret, const void *payload, size_t bytes, struct refusal *r)
{
	struct json_batch *b = calloc(1, sizeof(*b));
	json_error_t error;
	enum reason reason;

	if (b == NULL)
		return refuse(r, REASON_MEMORY, "out of memory");
	/* All numbers as doubles: whole ones may be larger than 64 bits. */
	b->root = json_loadb(
	    payload, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
	if (b->root == NULL)
		reason = refuse(r, REASON_JSON, "line %d, column %d: %s", error.line,
		    error.column, error.text);
	else
		reason = check_batch(b, r);
	if (reason != REASON_NONE)
		json_batch_free(b);
	else
		*ret = b;
	return reason;
}

void
json_batch_free(struct json_batch *b)
{
	if (b == NULL)
		return;
	json_decref(b->root);
	free(b->observed);
	free(b->bounds);
	free(b);
}

size_t
json_batch_count(const struct json_batch *b)
{
	return json_array_size(b->metrics);
}

/* ---- A metric ---------------------------------------------------------- */

static int
word_in(const json_t *string, const char *const *words)
{
	for (int i = 0; words[i]; i++)
		if (json_is_string(string) &&
		    strcmp(json_string_value(string), words[i]) == 0)
			return i;
	return -1;
}

static enum reason
get_shape(const json_t *object, struct message_metric *m, struct refusal *r)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram", NULL };
	static const char *const merges[] = { "sum", "min", "max", "last", NULL };
	const json_t *help = json_object_get(object, "help");
	const json_t *merge = json_object_get(object, "merge");
	int kind = word_in(json_object_get(object, "type"), kinds);

	if (kind < 0)
		return refuse(r, REASON_FIELD,
		    "'type' has to be \"counter\", \"gauge\" or \"histogram\"");
	m->kind = (enum message_kind)(kind + 1);
	if (help && !json_is_string(help))
		return refuse(r, REASON_FIELD, "'help' has to be a string");
	m->help = help ? text_of(help) : (struct wire_text){ "", 0 };
	if (merge && word_in(merge, merges) < 0)
		return refuse(r, REASON_FIELD,
		    "'merge' has to be \"sum\", \"min\", \"max\" or \"last\"");
	m->merge = merge ? (enum message_merge)word_in(merge, merges) : MESSAGE_SUM;
	return REASON_NONE;
}

static enum reason
get_labels(const json_t *object, struct message_metric *m, struct refusal *r)
{
	json_t *labels = json_object_get(object, "labels"), *value;
	const char *name;

	if (labels && !json_is_object(labels))
		return refuse(r, REASON_FIELD, "'labels' has to be an object of strings");
	json_object_foreach(labels, name, value)
	{
		if (!json_is_string(value))
			return refuse(
			    r, REASON_FIELD, "'labels' has to be an object of strings");
		if (m->n_constant == MESSAGE_LABELS_MAX)
			return refuse(r, REASON_LIMIT,
			    "the metric has more than %d labels", MESSAGE_LABELS_MAX);
		m->constant_name[m->n_constant] = wire_text(name);
		m->constant_value[m->n_constant++] = text_of(value);
	}
	return REASON_NONE;
}

/* The ladder that Prometheus' own libraries have. */
static const double default_bounds[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
	5, 10 };
#define DEFAULT_BOUNDS (sizeof(default_bounds) / sizeof(default_bounds[0]))

static enum reason
get_bounds(struct json_batch *b, const json_t *object, struct message_metric *m,
    struct refusal *r)
{
	const json_t *buckets = json_object_get(object, "buckets");
	size_t n = buckets ? json_array_size(buckets) : DEFAULT_BOUNDS;

	if (buckets && !json_is_array(buckets))
		return refuse(r, REASON_FIELD, "'buckets' has to be an array of numbers");
	if (buckets == NULL && m->kind != MESSAGE_HISTOGRAM)
		return REASON_NONE;
	free(b->bounds);
	b->bounds = malloc(8 * n + 1);
	if (b->bounds == NULL)
		return refuse(r, REASON_MEMORY, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const json_t *bound = json_array_get(buckets, i);

		if (bound && !json_is_number(bound))
			return refuse(
			    r, REASON_FIELD, "'buckets' has to be an array of numbers");
		wire_store_u64(b->bounds + 8 * i,
		    wire_bits(bound ? json_number_value(bound) : default_bounds[i]));
	}
	m->n_bounds = n;
	m->bounds = b->bounds;
	return REASON_NONE;
}

static enum reason
get_observed(
    struct json_batch *b, const json_t *field, struct json_metric *ret, struct refusal *r)
{
	bool array = json_is_array(field);
	size_t n = array ? json_array_size(field) : 1;

	free(b->observed);
	b->observed = malloc((n + 1) * sizeof(*b->observed));
	if (b->observed == NULL)
		return refuse(r, REASON_MEMORY, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const json_t *v = array ? json_array_get(field, i) : field;

		if (!json_is_number(v))
			return refuse(r, REASON_FIELD,
			    "'observe' has to be a number or an array of numbers");
		b->observed[i] = json_number_value(v);
	}
	ret->n_observed = n;
	ret->observed = b->observed;
	return REASON_NONE;
}

struct operation {
	const char *field;
	enum json_operation operation;
	enum message_kind kind;
};

static const struct operation operations[] = {
	{ "inc", JSON_INC, MESSAGE_COUNTER },
	{ "set", JSON_SET, MESSAGE_GAUGE },
	{ "add", JSON_ADD, MESSAGE_GAUGE },
	{ "observe", JSON_OBSERVE, MESSAGE_HISTOGRAM },
};

static enum reason
get_value(
    struct json_batch *b, const json_t *field, struct json_metric *ret, struct refusal *r)
{
	if (ret->operation == JSON_OBSERVE)
		return get_observed(b, field, ret, r);
	if (!json_is_number(field))
		return refuse(
		    r, REASON_FIELD, "'inc', 'set' and 'add' have to be numbers");
	ret->value = json_number_value(field);
	if (ret->operation == JSON_INC && ret->value < 0)
		return refuse(
		    r, REASON_VALUE, "a counter cannot go down: 'inc' is %g", ret->value);
	return REASON_NONE;
}

static enum reason
get_operation(struct json_batch *b, const json_t *object, struct json_metric *ret,
    struct refusal *r)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		const json_t *field = json_object_get(object, operations[i].field);
		enum reason reason;

		if (field == NULL)
			continue;
		if (ret->operation != JSON_DEFINE)
			return refuse(r, REASON_FIELD,
			    "a metric has at most one of 'inc', 'set', 'add' and "
			    "'observe'");
		if (operations[i].kind != ret->metric.kind)
			return refuse(r, REASON_FIELD, "'%s' is for a %s, not for a %s",
			    operations[i].field, message_kind_word(operations[i].kind),
			    message_kind_word(ret->metric.kind));
		ret->operation = operations[i].operation;
		reason = get_value(b, field, ret, r);
		if (reason != REASON_NONE)
			return reason;
	}
	return REASON_NONE;
}

enum reason
json_batch_metric(
    struct json_batch *b, size_t i, struct json_metric *ret, struct refusal *r)
{
	static const char *const known[] = { "name", "type", "help", "labels", "merge",
		"buckets", "inc", "set", "add", "observe", NULL };
	const json_t *object = json_array_get(b->metrics, i);
	const json_t *name = json_object_get(object, "name");
	enum reason reason;

	*ret = (struct json_metric){ .metric = { .name = { "", 0 }, .level = b->level } };
	if (!json_is_object(object))
		return refuse(r, REASON_FIELD, "a metric has to be an object");
	if (!json_is_string(name))
		return refuse(r, REASON_FIELD, "'name' has to be a string");
	ret->metric.name = text_of(name);
	reason = check_fields(object, known, r);
	if (reason == REASON_NONE)
		reason = get_shape(object, &ret->metric, r);
	if (reason == REASON_NONE)
		reason = get_labels(object, &ret->metric, r);
	if (reason == REASON_NONE)
		reason = get_bounds(b, object, &ret->metric, r);
	if (reason == REASON_NONE)
		reason = get_operation(b, object, ret, r);
	return reason;
}
