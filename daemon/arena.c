/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <stdlib.h>
#include <string.h>

void
arena_free(struct arena *a)
{
	for (uint32_t i = 0; i < a->n_chunks; i++)
		free(a->chunk[i].at);
	free(a->chunk);
	*a = (struct arena){ 0 };
}

uint32_t
arena_last(const struct arena *a)
{
	return a->n_chunks * ARENA_WORDS;
}

/* ---- Chunks with room, by size ------------------------------------------- */

static void
open_add(struct arena *a, uint32_t i)
{
	struct arena_chunk *c = &a->chunk[i];
	uint32_t *first = &a->open[c->words];

	c->previous = 0;
	c->next = *first;
	if (*first)
		a->chunk[*first - 1].previous = i + 1;
	*first = i + 1;
}

static void
open_remove(struct arena *a, uint32_t i)
{
	const struct arena_chunk *c = &a->chunk[i];

	if (c->previous)
		a->chunk[c->previous - 1].next = c->next;
	else
		a->open[c->words] = c->next;
	if (c->next)
		a->chunk[c->next - 1].previous = c->previous;
}

static uint32_t
pieces_of(const struct arena_chunk *c)
{
	return c->words < ARENA_SIZES ? ARENA_WORDS / c->words : 1;
}

static bool
is_full(const struct arena_chunk *c)
{
	return c->live == pieces_of(c);
}

/* ---- Chunks -------------------------------------------------------------- */

/* Room for one chunk more. */
static bool
make_chunk(struct arena *a)
{
	const uint32_t room = a->room ? 2 * a->room : 16;
	struct arena_chunk *chunk;

	if (a->free)
		return true;
	if (a->n_chunks >= ARENA_NUMBERS)
		return false;
	if (a->n_chunks < a->room)
		return true;
	chunk = realloc(a->chunk, room * sizeof(*chunk));
	if (chunk == NULL)
		return false;
	a->chunk = chunk;
	a->room = room;
	return true;
}

/* A chunk for pieces of so many words, or for one that is larger than all sizes.
 * *ret_chunk is its place. */
static bool
chunk_new(struct arena *a, size_t words, uint32_t *ret_chunk)
{
	const size_t all = words < ARENA_SIZES ? ARENA_WORDS : words;
	uint64_t *at = make_chunk(a) ? malloc(all * sizeof(*at)) : NULL;
	uint32_t i = a->free ? a->free - 1 : a->n_chunks;

	if (at == NULL)
		return false;
	if (a->free)
		a->free = a->chunk[i].next;
	else
		a->n_chunks++;
	a->chunk[i] = (struct arena_chunk){ .at = at, .words = (uint32_t)words };
	*ret_chunk = i;
	return true;
}

static void
chunk_free(struct arena *a, uint32_t i)
{
	free(a->chunk[i].at);
	a->chunk[i] = (struct arena_chunk){ .next = a->free };
	a->free = i + 1;
}

/* ---- Pieces -------------------------------------------------------------- */

uint32_t
arena_new(struct arena *a, size_t bytes)
{
	const size_t words = bytes ? (bytes + 7) / 8 : 1;
	const bool sized = words < ARENA_SIZES;
	struct arena_chunk *c;
	uint32_t i, piece;

	if (words > UINT32_MAX)
		return 0;
	if (sized && a->open[words]) {
		i = a->open[words] - 1;
	} else {
		if (!chunk_new(a, words, &i))
			return 0;
		if (sized)
			open_add(a, i);
	}
	c = &a->chunk[i];
	piece = c->free ? c->free - 1 : c->used++;
	if (c->free)
		memcpy(&c->free, c->at + (size_t)piece * c->words, sizeof(c->free));
	c->live++;
	if (sized && is_full(c))
		open_remove(a, i);
	return i * ARENA_WORDS + piece * c->words + 1;
}

void
arena_release(struct arena *a, uint32_t number)
{
	const uint32_t i = (number - 1) / ARENA_WORDS;
	struct arena_chunk *c = &a->chunk[i];
	const uint32_t piece = (number - 1) % ARENA_WORDS / c->words;
	const bool sized = c->words < ARENA_SIZES;

	if (sized && is_full(c))
		open_add(a, i);
	memcpy(c->at + (size_t)piece * c->words, &c->free, sizeof(c->free));
	c->free = piece + 1;
	if (--c->live > 0)
		return;
	if (sized)
		open_remove(a, i);
	chunk_free(a, i);
}
