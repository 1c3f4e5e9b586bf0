/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - memory for what series.c makes. All under the store's lock, but for
 * what is inline, which touches nothing of it.
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

/* Texts one after the other, each with its NUL, and before the first how many bytes they
 * are; NULL when there is no memory. */
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

/* Words of a text. */
static inline uint64_t
store_u64(const char *s)
{
	return wire_load_u64((const uint8_t *)s);
}

static inline uint32_t
store_u32(const char *s)
{
	return wire_load_u32((const uint8_t *)s);
}

static inline uint16_t
store_u16(const char *s)
{
	uint16_t word;

	memcpy(&word, s, sizeof(word));
	return word;
}

/*
 * A text goes into a hash. No byte behind its end is read: the last words of a text that
 * is no multiple of them overlap.
 */
static inline uint64_t
store_hash(uint64_t h, const char *s, size_t n)
{
	h ^= n;
	if (n > 16) {
		const char *last = s + n - 16;

		for (; s < last; s += 16)
			h = store_mix(h ^ store_u64(s), store_u64(s + 8));
		return store_mix(h ^ store_u64(last), store_u64(last + 8));
	}
	if (n >= 8)
		return store_mix(h ^ store_u64(s), store_u64(s + n - 8));
	if (n >= 4)
		return store_mix(h ^ store_u32(s), store_u32(s + n - 4));
	if (n >= 2)
		return store_mix(h ^ store_u16(s), store_u16(s + n - 2));
	return store_mix(h, n ? (uint8_t)s[0] : 0);
}

/* n bytes, at least one, are the same; read as store_hash() does. */
static inline bool
store_equal(const char *a, const char *b, size_t n)
{
	if (n > 16) {
		const char *last = a + n - 16;

		for (; a < last; a += 16, b += 16)
			if ((store_u64(a) ^ store_u64(b)) |
			    (store_u64(a + 8) ^ store_u64(b + 8)))
				return false;
		b += last - a;
		return ((store_u64(last) ^ store_u64(b)) |
			   (store_u64(last + 8) ^ store_u64(b + 8))) == 0;
	}
	if (n >= 8)
		return ((store_u64(a) ^ store_u64(b)) |
			   (store_u64(a + n - 8) ^ store_u64(b + n - 8))) == 0;
	if (n >= 4)
		return ((store_u32(a) ^ store_u32(b)) |
			   (store_u32(a + n - 4) ^ store_u32(b + n - 4))) == 0;
	if (n >= 2)
		return store_u16(a) == store_u16(b) &&
		       store_u16(a + n - 2) == store_u16(b + n - 2);
	return a[0] == b[0];
}

static inline size_t
store_packed_bytes(const char *packed)
{
	return store_u16(packed - sizeof(uint16_t));
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
