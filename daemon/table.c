/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- Slab -------------------------------------------------------------- */

void
slab_init(struct slab *s, size_t item_bytes)
{
	*s = (struct slab){ .item_bytes = item_bytes };
}

void
slab_free(struct slab *s)
{
	for (uint32_t i = 0; i < s->n_chunks; i++)
		free(s->chunk[i]);
	free(s->chunk);
	slab_init(s, s->item_bytes);
}

static bool
slab_grow(struct slab *s)
{
	char **chunk = realloc(s->chunk, (s->n_chunks + 1) * sizeof(*chunk));

	if (chunk == NULL)
		return false;
	s->chunk = chunk;
	chunk[s->n_chunks] = malloc(SLAB_CHUNK_ITEMS * s->item_bytes);
	if (chunk[s->n_chunks] == NULL)
		return false;
	s->n_chunks++;
	return true;
}

uint32_t
slab_new(struct slab *s)
{
	uint32_t number = s->free;

	if (number)
		memcpy(&s->free, slab_at(s, number), sizeof(s->free));
	else if (s->used == s->n_chunks * SLAB_CHUNK_ITEMS && !slab_grow(s))
		return 0;
	else
		number = ++s->used;
	memset(slab_at(s, number), 0, s->item_bytes);
	s->live++;
	return number;
}

void
slab_release(struct slab *s, uint32_t number)
{
	memcpy(slab_at(s, number), &s->free, sizeof(s->free));
	s->free = number;
	s->live--;
}

/* ---- Index ------------------------------------------------------------- */

void
index_init(struct index *x, const struct index_keys *keys, const void *owner)
{
	*x = (struct index){ .keys = keys, .owner = owner };
}

void
index_free(struct index *x)
{
	free(x->slot);
	index_init(x, x->keys, x->owner);
}

uint32_t
index_find(const struct index *x, uint64_t hash, const void *key)
{
	if (x->slot == NULL)
		return 0;
	for (uint32_t i = (uint32_t)hash & x->mask; x->slot[i]; i = (i + 1) & x->mask)
		if (x->keys->equal(x->owner, x->slot[i], key))
			return x->slot[i];
	return 0;
}

static void
place(struct index *x, uint64_t hash, uint32_t number)
{
	uint32_t i = (uint32_t)hash & x->mask;

	while (x->slot[i])
		i = (i + 1) & x->mask;
	x->slot[i] = number;
}

/* To more slots, or as many: a power of two less one. */
static bool
index_resize(struct index *x, uint32_t mask)
{
	struct index larger = *x;

	larger.mask = mask;
	larger.slot = calloc((size_t)larger.mask + 1, sizeof(*larger.slot));
	if (larger.slot == NULL)
		return false;
	for (uint32_t i = 0; x->slot && i <= x->mask; i++)
		if (x->slot[i])
			place(&larger, x->keys->hash(x->owner, x->slot[i]), x->slot[i]);
	free(x->slot);
	*x = larger;
	return true;
}

/* At most three quarters full, so that probing stays short. */
static bool
is_full(const struct index *x)
{
	return x->slot == NULL || x->used >= x->mask / 4 * 3;
}

bool
index_reserve(struct index *x, uint32_t n)
{
	uint32_t mask = x->slot ? x->mask : 15;

	if (n > UINT32_MAX / 4 || x->used > UINT32_MAX / 4)
		return false;
	while (x->used + n > mask / 4 * 3)
		mask = mask * 2 + 1;
	return (x->slot && mask == x->mask) || index_resize(x, mask);
}

bool
index_add(struct index *x, uint64_t hash, uint32_t number)
{
	if (is_full(x) && !index_resize(x, x->slot ? x->mask * 2 + 1 : 15))
		return false;
	place(x, hash, number);
	x->used++;
	return true;
}

/* Linear probing without tombstones: whoever was pushed past the hole moves into it. */
static void
close_hole(struct index *x, uint32_t hole)
{
	for (uint32_t i = (hole + 1) & x->mask; x->slot[i]; i = (i + 1) & x->mask) {
		uint32_t home = (uint32_t)x->keys->hash(x->owner, x->slot[i]) & x->mask;

		if (((i - home) & x->mask) >= ((i - hole) & x->mask)) {
			x->slot[hole] = x->slot[i];
			hole = i;
		}
	}
	x->slot[hole] = 0;
}

void
index_remove(struct index *x, uint64_t hash, uint32_t number)
{
	if (x->slot == NULL)
		return;
	for (uint32_t i = (uint32_t)hash & x->mask; x->slot[i]; i = (i + 1) & x->mask)
		if (x->slot[i] == number) {
			close_hole(x, i);
			x->used--;
			return;
		}
}

/* ---- Hash -------------------------------------------------------------- */

static uint64_t
hash_seed(void)
{
	static uint64_t seed; /* the same for the whole process; 0: not drawn yet */

	if (seed == 0 && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)(uintptr_t)&seed;
	return seed |= 1;
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t
table_hash(const void *bytes, size_t n)
{
	const char *p = bytes;
	uint64_t hash = hash_seed() ^ n, word;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		hash = mix(hash ^ word, 0x9e3779b97f4a7c15U);
	}
	word = 0;
	if (n)
		memcpy(&word, p, n);
	hash = mix(hash ^ word, 0xbf58476d1ce4e5b9U);
	return mix(hash, 0x94d049bb133111ebU);
}
