/* SPDX-License-Identifier: Apache-2.0 */
/*
 * children.h - the children of a family by their label values.
 *
 * An open table of 32-bit slots. Readers take no lock: a slot is written once its child
 * is complete, and children are never freed. A reader that finds nothing has to look
 * again under the store's lock before it believes that. So a table that is too small is
 * simply left behind, address and all, and the memory of a large one is given back at
 * once: whoever is still in it reads free slots there.
 */
#ifndef CHILDREN_H
#define CHILDREN_H

#include "store.h"

#define CHILD_ID_BITS 22U /* of series_id(); above it, so many bits of the hash */
#define CHILD_ID_MASK ((1U << CHILD_ID_BITS) - 1)

struct child_table {
	uint32_t mask;
	uint32_t used;
	struct child_table *older;
	uint32_t slot[]; /* tag << CHILD_ID_BITS | id; 0: free (atomic) */
};

/* What a lookup finds out about its values in one pass. */
struct child_key {
	uint64_t hash;
	size_t bytes; /* packed: store_pack() */
	size_t length[MESSAGE_LABELS_MAX];
};

/* Under the store's lock: room for one more child; false when there is no memory. */
bool children_grow(struct dynm_family *f);
/* A child that the daemon may still have keeps its slot when it is removed: a new one of
 * the same values has to know of it. */
bool children_keeps(uint32_t slot);
void children_free(struct dynm_family *f);

static inline uint32_t
children_slot(uint64_t hash, uint32_t id)
{
	return (uint32_t)(hash >> (32 + CHILD_ID_BITS)) << CHILD_ID_BITS | id;
}

static inline enum series_removed
children_removed(const struct dynm_series *s)
{
	return (enum series_removed)__atomic_load_n(&s->removed, __ATOMIC_ACQUIRE);
}

/*
 * What follows is inlined, and n repeated where it is known, so that for few labels the
 * compiler makes straight code of it, with the lengths in registers.
 */
#define CHILDREN_INLINE static inline __attribute__((always_inline))
#define CHILDREN_UNROLL _Pragma("GCC unroll 4")

/* False when these are no values for this family: it has more or fewer labels, or one is
 * NULL. */
CHILDREN_INLINE bool
children_key(
    const struct dynm_family *f, const char *const *v, size_t n, struct child_key *ret)
{
	uint64_t hash = f->store->seed;
	size_t bytes = n;

	if (n != f->n_labels || (n > 0 && !v))
		return false;
	CHILDREN_UNROLL
	for (size_t i = 0; i < n; i++) {
		if (!v[i])
			return false;
		ret->length[i] = strlen(v[i]);
		bytes += ret->length[i];
	}
	CHILDREN_UNROLL
	for (size_t i = 0; i < n; i++)
		hash = store_hash(hash, v[i], ret->length[i]);
	ret->hash = hash;
	ret->bytes = bytes;
	return true;
}

CHILDREN_INLINE bool
children_same(
    const char *packed, const char *const *v, size_t n, const struct child_key *key)
{
	if (store_packed_bytes(packed) != key->bytes)
		return false;
	CHILDREN_UNROLL
	for (size_t i = 0; i < n; i++) {
		size_t bytes =
		    key->length[i] + 1; /* the NUL too: "a", "bc" is not "ab", "c" */

		if (!store_equal(packed, v[i], bytes))
			return false;
		packed += bytes;
	}
	return true;
}

/*
 * The child with these values, and where its slot is or would be: the slot of a removed
 * child of the same values, or a free one. NULL if there is no such child.
 */
CHILDREN_INLINE struct dynm_series *
children_find(struct dynm_family *f, const char *const *v, size_t n,
    const struct child_key *key, uint32_t **ret_slot)
{
	struct child_table *t = __atomic_load_n(&f->table, __ATOMIC_ACQUIRE);

	*ret_slot = NULL;
	if (!t)
		return NULL;
	for (uint32_t i = (uint32_t)key->hash;; i++) {
		uint32_t slot = __atomic_load_n(&t->slot[i & t->mask], __ATOMIC_ACQUIRE);
		struct dynm_series *s;

		*ret_slot = &t->slot[i & t->mask];
		if (slot == 0)
			return NULL;
		if ((slot ^ children_slot(key->hash, 0)) > CHILD_ID_MASK)
			continue;
		s = series_at(slot & CHILD_ID_MASK);
		if (children_same(s->values, v, n, key))
			return children_removed(s) ? NULL : s;
	}
}

#endif /* CHILDREN_H */
