/* SPDX-License-Identifier: Apache-2.0 */
#include "groups.h"

static uint64_t
hash_of(const struct group *group)
{
	uint32_t words[] = { group->family->number, group->schema, group->owner };

	return table_hash(words, sizeof(words));
}

static uint64_t
group_hash(const void *owner, uint32_t number)
{
	return hash_of(groups_at(owner, number));
}

static bool
is_same(const struct group *a, const struct group *b)
{
	return a->family == b->family && a->schema == b->schema && a->owner == b->owner;
}

static bool
group_equal(const void *owner, uint32_t number, const void *key)
{
	return is_same(groups_at(owner, number), key);
}

static const struct index_keys keys = { group_hash, group_equal, NULL };

void
groups_init(struct groups *g)
{
	*g = (struct groups){ 0 };
	slab_init(&g->items, sizeof(struct group));
	index_init(&g->index, &keys, g);
}

void
groups_free(struct groups *g)
{
	index_free(&g->index);
	slab_free(&g->items);
}

static uint32_t
group_new(struct groups *g, const struct group *group)
{
	uint32_t number = slab_new(&g->items);

	if (number == 0)
		return 0;
	*groups_at(g, number) = *group;
	if (index_add(&g->index, hash_of(group), number))
		return number;
	slab_release(&g->items, number);
	return 0;
}

uint32_t
groups_take(struct groups *g, struct family *family, uint32_t schema, uint32_t owner)
{
	struct group group = { .family = family, .schema = schema, .owner = owner };

	if (g->last == 0 || !is_same(groups_at(g, g->last), &group)) {
		g->last = index_find(&g->index, hash_of(&group), &group);
		if (g->last == 0)
			g->last = group_new(g, &group);
	}
	if (g->last)
		groups_at(g, g->last)->n_series++;
	return g->last;
}

void
groups_release(struct groups *g, uint32_t number)
{
	struct group *group = groups_at(g, number);

	if (--group->n_series > 0)
		return;
	index_remove(&g->index, hash_of(group), number);
	slab_release(&g->items, number);
	g->last = 0;
}
