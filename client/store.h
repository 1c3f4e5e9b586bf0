/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - memory for what series.c makes. All under the store's lock, but for
 * store_same() and store_hash(), which touch nothing of it.
 */
#ifndef STORE_H
#define STORE_H

#include "series.h"

/* A place for a child of so many process cells, slot filled; or NULL: there is no memory,
 * or *ret_full, there are no cells. It is taken only when it is published. */
struct dynm_series *store_series(struct store *st, uint16_t stride, bool *ret_full);
/* The child is complete: the flush thread may see it. */
void store_publish(struct store *st, struct dynm_series *s);

/* A run of n wire cells; UINT32_MAX when there is none. */
uint32_t store_wire_take(struct store *st, uint32_t n);
void store_wire_give(struct store *st, uint32_t first, uint32_t n);
/* All runs in use were moved together below this end. */
void store_wire_renumbered(struct store *st, uint32_t end);

/* Texts one after the other, each with its NUL; NULL when there is no memory. */
char *store_pack(struct store *st, dynm_strings texts);

/* Room for one more than used in an array; false when there is no memory. */
bool store_grow(void **array, size_t *room, size_t used, size_t size);

__extension__ typedef unsigned __int128 store_u128;

static inline uint64_t
store_mix(uint64_t a, uint64_t b)
{
	store_u128 p = (store_u128)(a ^ 0x9e3779b97f4a7c15U) * (b ^ 0xd6e8feb86659fd93U);

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* A text goes into a hash. */
static inline uint64_t
store_hash(uint64_t h, const char *s, size_t n)
{
	uint64_t word = 0;

	h ^= n;
	for (; n >= 8; s += 8, n -= 8) {
		memcpy(&word, s, 8);
		h = store_mix(h, word);
	}
	word = 0;
	memcpy(&word, s, n);
	return store_mix(h, word);
}

/* True when packed texts are these. */
static inline bool
store_same(const char *packed, dynm_strings values)
{
	for (size_t i = 0; i < values.n; i++) {
		size_t n = strlen(values.v[i]) + 1;

		if (strncmp(packed, values.v[i], n) != 0)
			return false;
		packed += n;
	}
	return true;
}

#endif /* STORE_H */
