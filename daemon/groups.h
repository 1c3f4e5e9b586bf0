/* SPDX-License-Identifier: Apache-2.0 */
/*
 * groups.h - what many series have in common, kept once: their family, the schema of
 * their labels and the owner who made them. A group has a number while it has series. One
 * thread.
 */
#ifndef GROUPS_H
#define GROUPS_H

#include "family.h"
#include "index.h"
#include "table.h"

struct group {
	struct family *family;
	uint32_t schema; /* labels_schema(); each series holds it */
	uint32_t owner;	 /* owners.h */
	uint32_t n_series;
};

struct groups {
	struct slab items; /* of struct group */
	struct index index;
	uint32_t last; /* the group taken last: most series come in runs of one, or 0 */
};

void groups_init(struct groups *g);
void groups_free(struct groups *g);
/* One series more: the group's number, or 0 when memory is out. */
uint32_t groups_take(
    struct groups *g, struct family *family, uint32_t schema, uint32_t owner);
/* One less. */
void groups_release(struct groups *g, uint32_t group);

static inline struct group *
groups_at(const struct groups *g, uint32_t group)
{
	return slab_at(&g->items, group);
}

#endif /* GROUPS_H */
