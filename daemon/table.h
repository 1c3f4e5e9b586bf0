/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - numbered items that never move (slab), and a hash index of such numbers.
 *
 * Numbers instead of pointers halve what a series costs. 0 is no number. One thread.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_CHUNK_ITEMS 4096

struct slab {
	size_t item_bytes; /* at least 4 */
	char **chunk;
	uint32_t n_chunks;
	uint32_t used; /* numbers ever given: 1..used */
	uint32_t free; /* the first released one */
	uint32_t live;
};

void slab_init(struct slab *s, size_t item_bytes);
void slab_free(struct slab *s);
/* A zeroed item; 0 when memory is out. */
uint32_t slab_new(struct slab *s);
void slab_release(struct slab *s, uint32_t number);

static inline void *
slab_at(const struct slab *s, uint32_t number)
{
	uint32_t i = number - 1;

	return s->chunk[i / SLAB_CHUNK_ITEMS] + (i % SLAB_CHUNK_ITEMS) * s->item_bytes;
}

/* How an index finds the key of a number it holds. */
struct index_keys {
	uint64_t (*hash)(const void *owner, uint32_t number);
	bool (*equal)(const void *owner, uint32_t number, const void *key);
};

struct index {
	const struct index_keys *keys;
	const void *owner; /* handed to keys' functions */
	uint32_t *slot;
	uint32_t mask;
	uint32_t used;
};

void index_init(struct index *x, const struct index_keys *keys, const void *owner);
void index_free(struct index *x);
/* The number whose key equals key, or 0. */
uint32_t index_find(const struct index *x, uint64_t hash, const void *key);
/* Room for n more, so that adding them does not move what is there. False when memory is
 * out. */
bool index_reserve(struct index *x, uint32_t n);
/* False when memory is out. The key must not be in the index. */
bool index_add(struct index *x, uint64_t hash, uint32_t number);
/* number's key must still be readable. */
void index_remove(struct index *x, uint64_t hash, uint32_t number);

/* Hashes that a peer cannot aim at: seeded at the first call from the kernel. */
uint64_t table_hash(const void *bytes, size_t n);

#endif /* TABLE_H */
