/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.h - a hash index of numbers, that grows in small steps.
 *
 * It is split into parts of about INDEX_PART numbers. A part is a table of its own, at
 * least three quarters full when it is large; each new number may split one part into
 * two, so that no single step takes long, however many numbers there are. Beside each
 * number are 16 bits of its hash: they say where it belongs in its part, and all but rule
 * out that another's key is looked at. 7 bytes for each number. One thread.
 */
#ifndef INDEX_H
#define INDEX_H

#include <stdbool.h>
#include <stdint.h>

#define INDEX_PART 512

/* How an index finds the key of a number it holds. */
struct index_keys {
	uint64_t (*hash)(const void *owner, uint32_t number);
	bool (*equal)(const void *owner, uint32_t number, const void *key);
	/* A key is about to be hashed: ask memory for it; soon: ask for what was found
	 * where the first call asked. NULL: keys are never far away. */
	void (*ask)(const void *owner, uint32_t number, bool soon);
};

struct index_part {
	uint32_t *number; /* room of them, and behind them as many u16 tags; 0: free */
	uint32_t room;
	uint32_t used;
};

struct index {
	const struct index_keys *keys;
	const void *owner; /* handed to keys' functions */
	struct index_part *part;
	uint32_t n_parts;
	uint32_t room; /* for parts: a power of two */
	uint32_t used;
};

void index_init(struct index *x, const struct index_keys *keys, const void *owner);
void index_free(struct index *x);
/* The number whose key equals key, or 0. */
uint32_t index_find(const struct index *x, uint64_t hash, const void *key);
/* A number of this hash is about to be looked for, or added: ask memory for its place. */
void index_ask(const struct index *x, uint64_t hash);
/* So many more are about to come: what can be done for it is done at once. False when
 * memory is out. */
bool index_reserve(struct index *x, uint32_t n);
/* False when memory is out. The key must not be in the index, and must be readable from
 * the number, which is not 0, as must those of all others. */
bool index_add(struct index *x, uint64_t hash, uint32_t number);
/* Nothing happens if it is not there. */
void index_remove(struct index *x, uint64_t hash, uint32_t number);

/* All numbers, in no order: the next one, or 0. Start with a zeroed cursor; nothing is
 * added or removed meanwhile. */
struct index_cursor {
	uint32_t part, at;
};
uint32_t index_next(const struct index *x, struct index_cursor *c);

#endif /* INDEX_H */
