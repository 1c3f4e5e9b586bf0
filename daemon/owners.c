/* SPDX-License-Identifier: Apache-2.0 */
#include "owners.h"

struct owner {
	uint32_t uid;
	uint32_t n;
};

static struct owner *
owner_at(const struct owners *o, uint32_t number)
{
	return slab_at(&o->items, number);
}

static uint64_t
owner_hash(const void *owner, uint32_t number)
{
	return table_hash(&owner_at(owner, number)->uid, sizeof(uint32_t));
}

static bool
owner_equal(const void *owner, uint32_t number, const void *key)
{
	return owner_at(owner, number)->uid == *(const uint32_t *)key;
}

static const struct index_keys keys = { owner_hash, owner_equal, NULL };

void
owners_init(struct owners *o)
{
	*o = (struct owners){ 0 };
	slab_init(&o->items, sizeof(struct owner));
	index_init(&o->by_uid, &keys, o);
}

void
owners_free(struct owners *o)
{
	index_free(&o->by_uid);
	slab_free(&o->items);
}

uint32_t
owners_find(struct owners *o, uint32_t uid)
{
	if (o->last == 0 || owner_at(o, o->last)->uid != uid)
		o->last = index_find(&o->by_uid, table_hash(&uid, sizeof(uid)), &uid);
	return o->last;
}

uint32_t
owners_count(struct owners *o, uint32_t uid)
{
	uint32_t number = owners_find(o, uid);

	return number ? owner_at(o, number)->n : 0;
}

/* A uid that has none yet: its number, or 0 when memory is out. */
static uint32_t
owner_new(struct owners *o, uint32_t uid)
{
	uint32_t number = slab_new(&o->items);

	if (number == 0)
		return 0;
	owner_at(o, number)->uid = uid;
	if (index_add(&o->by_uid, owner_hash(o, number), number))
		return number;
	slab_release(&o->items, number);
	return 0;
}

uint32_t
owners_add(struct owners *o, uint32_t uid)
{
	uint32_t number = owners_find(o, uid);

	if (number == 0)
		number = owner_new(o, uid);
	if (number)
		owner_at(o, number)->n++;
	return number;
}

uint32_t
owners_uid(const struct owners *o, uint32_t number)
{
	return owner_at(o, number)->uid;
}

void
owners_remove(struct owners *o, uint32_t number)
{
	struct owner *owner = owner_at(o, number);

	if (--owner->n > 0)
		return;
	index_remove(&o->by_uid, owner_hash(o, number), number);
	slab_release(&o->items, number);
	o->last = 0;
}
