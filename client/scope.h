/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scope.h - places in the hierarchy: levels, and constant labels put on them.
 *
 * A node is made once and never changes, so it is read without a lock. Making or finding
 * one takes the store's lock. Nodes live as long as their store.
 */
#ifndef SCOPE_H
#define SCOPE_H

#include "series.h"

enum scope_kind {
	SCOPE_RUNTIME,
	SCOPE_NAMESPACE,
	SCOPE_COMPONENT,
	SCOPE_ENDPOINT,
	SCOPE_LABEL
};

struct dynm_node {
	struct store *store;
	const struct dynm_node *parent; /* NULL: the runtime */
	struct dynm_node *next;		/* in its bucket; under the store's lock */
	enum scope_kind kind;
	struct wire_text name;	/* of the level, or of the label */
	struct wire_text value; /* of the label */
};

/* The runtime's own; NULL when there is no memory. Under the lock. */
struct dynm_node *scope_root(struct store *st);

/* The level of a node, and the node's constant labels, outermost first. */
void scope_level(const struct dynm_node *node, struct message_level *ret);
void scope_labels(const struct dynm_node *node, struct message_metric *ret);

#endif /* SCOPE_H */
