/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - numbered items that never move (slab), and hashes of their keys.
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

/* Hashes that a peer cannot aim at: seeded at the first call from the kernel. */
uint64_t table_hash(const void *bytes, size_t n);

#endif /* TABLE_H */
