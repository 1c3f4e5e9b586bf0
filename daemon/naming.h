/* SPDX-License-Identifier: Apache-2.0 */
/*
 * naming.h - what the names of workers become on the page: prefix, labels of the
 * hierarchy, constant labels, the order of labels, and names that are made to fit.
 *
 * `seed` writes dynamo_<name>{namespace,component,endpoint,...}: the hierarchy first, the
 * other labels by name. Names are taken as they are. `component` writes
 * dynamo_component_<name> with dynamo_namespace, dynamo_component and dynamo_endpoint,
 * all labels by name; what a name cannot have becomes '_', so that `my-model` and
 * `my_model` are one place. Names are made to fit where they come in, and kept without
 * prefix.
 *
 * Pure functions. One thread.
 */
#ifndef NAMING_H
#define NAMING_H

#include "names.h"

struct naming {
	bool component;
	char **labels; /* constant ones: name, value, name, value, ... NULL; or NULL */
};

/*
 * What constant labels may be: names of labels that nobody else sets (the hierarchy's of
 * either naming, le, quantile, worker_id, the labels of the daemon's own metrics), none
 * twice, values in UTF-8. 0, or the reason with a sentence that names the label.
 */
enum reason naming_check(
    const struct naming *naming, const struct names_limits *limits, struct refusal *r);

/*
 * A copy as the page needs it: constant labels sorted by name and escaped, without those
 * that have no value, which to Prometheus are no labels. False when memory is out, with
 * *ret untouched; else it is to be given to naming_free().
 */
bool naming_copy(struct naming *ret, const struct naming *naming);
void naming_free(struct naming *naming);

/* What stands before a worker's name on the page. */
const char *naming_prefix(const struct naming *naming);
/* The label of the hierarchy at a depth: 1 the namespace, 2 the component, 3 the
 * endpoint.
 */
const char *naming_hierarchy(const struct naming *naming, uint32_t depth);

/* A label of a line. */
struct naming_label {
	struct wire_text name;
	struct wire_text value;
	bool variable; /* it has no value here */
};

/* Most labels that one line can have but for the constant ones: hierarchy, own,
 * worker_id.
 */
#define NAMING_LABELS_MAX (MESSAGE_LABELS_MAX + MESSAGE_LEVELS_MAX + 1)

/* How many constant labels a copy has; append them to label; sort labels as the page has
 * them. */
size_t naming_constants(const struct naming *naming);
size_t naming_add_constants(const struct naming *naming, struct naming_label *label);
void naming_sort(const struct naming *naming, struct naming_label *label, size_t n);

/*
 * Make a name fit into what a metric's name (a label's name, whose rule places in the
 * hierarchy follow) can be: each character that it cannot have becomes '_', and '_' comes
 * before a first one that it cannot start with. out has room for text.bytes + 1. The
 * length, or 0 if there is no letter or digit (or ':' in a metric) to keep. text is
 * UTF-8.
 */
size_t naming_fit_metric(struct wire_text text, char *out);
size_t naming_fit_label(struct wire_text text, char *out);

/* Where texts that were made to fit are. */
struct naming_level {
	struct message_level level;
	char text[MESSAGE_LEVELS_MAX][NAMES_LEVEL_BYTES + 1];
};
struct naming_metric {
	struct message_metric metric;
	struct naming_level level;
	char name[NAMES_NAME_BYTES_MAX + 1];
};

/*
 * The level, or the metric, as it is kept: *level (*m) itself, or what is made of it in
 * room, for as long as both live. 0, or the reason why it cannot be. Of a metric only
 * name and level are looked at: names_check_metric() comes after it.
 */
enum reason naming_level(const struct naming *naming, const struct message_level **level,
    struct naming_level *room, struct refusal *r);
enum reason naming_metric(const struct naming *naming, const struct names_limits *limits,
    const struct message_metric **m, struct naming_metric *room, struct refusal *r);

/* 0, or REASON_RESERVED if the metric has a label that is a constant one. */
enum reason naming_check_labels(
    const struct naming *naming, const struct message_metric *m, struct refusal *r);

#endif /* NAMING_H */
