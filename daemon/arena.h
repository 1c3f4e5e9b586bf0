/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - pieces of memory of any size that never move, and have numbers.
 *
 * A number says where its piece is, so that nothing is kept of it besides: it is rounded
 * up to 8 bytes, and that is all. Pieces of one size lie side by side in chunks; a chunk
 * that is empty again is given back, so that sizes that are not asked for any more leave
 * nothing behind. 0 is no number. One thread.
 */
#ifndef ARENA_H
#define ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_WORDS   8192U /* in a chunk, of 8 bytes */
#define ARENA_SIZES   256U  /* pieces of so many words have a chunk of their own */
#define ARENA_NUMBERS (UINT32_MAX / ARENA_WORDS)

struct arena_chunk {
	uint64_t *at;
	uint32_t words; /* of each piece; 0: the chunk is free */
	uint32_t live;
	uint32_t used; /* pieces ever given out of it */
	uint32_t free; /* the first released piece + 1 */
	/* In the list of its size, of those that have room; chunks + 1. Of a free chunk:
	 * the next free one. */
	uint32_t next, previous;
};

struct arena {
	struct arena_chunk *chunk;
	uint32_t n_chunks;
	uint32_t room;
	uint32_t free;		    /* the first free chunk + 1 */
	uint32_t open[ARENA_SIZES]; /* by size: the first chunk with room + 1 */
};

void arena_free(struct arena *a);
/* The number of a piece of so many bytes; 0 when memory is out. */
uint32_t arena_new(struct arena *a, size_t bytes);
void arena_release(struct arena *a, uint32_t number);
/* No piece has a higher number. */
uint32_t arena_last(const struct arena *a);

static inline void *
arena_at(const struct arena *a, uint32_t number)
{
	return a->chunk[(number - 1) / ARENA_WORDS].at + (number - 1) % ARENA_WORDS;
}

#endif /* ARENA_H */
