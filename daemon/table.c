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

static uint64_t
load(const char *p, size_t n)
{
	uint32_t low, high;

	memcpy(&low, p, sizeof(low));
	memcpy(&high, p + n - sizeof(high), sizeof(high));
	return (uint64_t)high << 32 | low;
}

/* Up to 8 bytes as a number, each way of n bytes as another: a copy of as many bytes as
 * there are would be read before it is written. */
static uint64_t
last_word(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	if (n >= sizeof(uint32_t))
		return load(p, n);
	return n ? (uint32_t)u[0] | (uint32_t)u[n / 2] << 8 | (uint32_t)u[n - 1] << 16
		 : 0;
}

uint64_t
table_hash(const void *bytes, size_t n)
{
	const char *p = bytes;
	uint64_t hash = hash_seed() ^ n;

	for (; n > 8; p += 8, n -= 8)
		hash = mix(hash ^ load(p, 8), 0x9e3779b97f4a7c15U);
	hash = mix(hash ^ last_word(p, n), 0xbf58476d1ce4e5b9U);
	return mix(hash, 0x94d049bb133111ebU);
}
