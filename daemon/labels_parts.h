/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels_parts.h - the inside of labels.h, for the files it is made of: labels.c, and
 * labels_saved.c, which has what saving and restoring needs; and for registry_walk.c,
 * which reads many sets at once.
 */
#ifndef LABELS_PARTS_H
#define LABELS_PARTS_H

#include "index.h"
#include "labels.h"
#include "table.h"
#include "texts.h"

/* Sets lie in chunks of words, so that they never move; a set's number is the position of
 * its first word plus one. */
#define SET_CHUNK_WORDS 65536U
#define SET_WORDS_MAX	(MESSAGE_LABELS_MAX + 1)

struct level {
	uint32_t refs; /* schemas, children and holders */
	uint32_t parent;
	uint32_t name;
	uint32_t depth;
};

struct labels {
	const struct naming *naming;
	struct texts texts;
	struct slab levels; /* of struct level */
	struct index level_index;
	struct slab schemas; /* of struct labels_schema */
	struct index schema_index;
	uint32_t **chunk; /* sets: values */
	uint32_t n_chunks;
	uint32_t used;			  /* words given out of all chunks */
	uint32_t free[SET_WORDS_MAX + 1]; /* by length: the first released set */
};

static inline struct labels_schema *
labels_schema_at(const struct labels *l, uint32_t number)
{
	return slab_at(&l->schemas, number);
}

/* The words of a set. */
static inline uint32_t *
labels_set_at(const struct labels *l, uint32_t set)
{
	return l->chunk[(set - 1) / SET_CHUNK_WORDS] + (set - 1) % SET_CHUNK_WORDS;
}

/* A schema for whoever releases it. names: sorted by text. 0 when memory is out. */
uint32_t labels_schema_take(
    struct labels *l, uint32_t level, uint32_t n, const uint32_t *name);
void labels_schema_release(struct labels *l, uint32_t schema);
/* A set of n values, none without text; its schema is the caller's. 0 when memory is out.
 */
uint32_t labels_set_new(struct labels *l, uint32_t n, const uint32_t *value);

#endif /* LABELS_PARTS_H */
