/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a store: names in chunks, children in slabs, wire cells.
 */
#include "children.h"

#include <stdlib.h>

#define CHUNK_BYTES 16384U

struct chunk {
	struct chunk *next;
	size_t used, room;
	_Alignas(16) unsigned char at[];
};

int
store_init(struct store *st, struct report *report, uint64_t seed, uint32_t max_series)
{
	memset(st, 0, sizeof(*st));
	st->report = report;
	st->seed = seed;
	st->max_series = max_series;
	st->families_end = &st->families;
	return pthread_mutex_init(&st->lock, NULL);
}

static void
free_slabs(struct store *st)
{
	struct slab *next;

	blocks_lock();
	for (struct slab *s = st->slabs; s; s = s->next)
		blocks_give(s->block, s->blocks);
	blocks_unlock();
	for (struct slab *s = st->slabs; s; s = next) {
		next = s->next;
		free(s);
	}
}

void
store_free(struct store *st)
{
	struct chunk *next;

	free_slabs(st);
	for (struct dynm_family *f = st->families; f; f = f->all_next)
		children_free(f);
	for (struct chunk *c = st->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	for (size_t n = 0; n <= SERIES_RUN_MAX; n++)
		free(st->wire_free[n].first);
	free(st->removed);
	pthread_mutex_destroy(&st->lock);
}

/* A chunk with so many bytes left. */
static struct chunk *
chunk_with(struct store *st, size_t bytes)
{
	struct chunk *c = st->chunks;
	size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

	if (c && c->room - c->used >= bytes)
		return c;
	c = malloc(sizeof(*c) + room);
	if (!c)
		return NULL;
	*c = (struct chunk){ .next = st->chunks, .room = room };
	st->chunks = c;
	return c;
}

void *
store_alloc(struct store *st, size_t bytes)
{
	struct chunk *c;
	void *p;

	bytes = (bytes + 7) & ~(size_t)7;
	c = chunk_with(st, bytes);
	if (!c)
		return NULL;
	p = c->at + c->used;
	c->used += bytes;
	return p;
}

/* Texts need no alignment: they are taken from the other end. */
static char *
alloc_text(struct store *st, size_t bytes)
{
	struct chunk *c = chunk_with(st, bytes);

	if (!c)
		return NULL;
	c->room -= bytes;
	return (char *)c->at + c->room;
}

char *
store_strdup(struct store *st, struct wire_text text)
{
	char *s = alloc_text(st, text.bytes + 1);

	if (s) {
		memcpy(s, text.at, text.bytes);
		s[text.bytes] = '\0';
	}
	return s;
}

/* ---- Lists of texts --------------------------------------------------- */

char *
store_pack(struct store *st, dynm_strings texts)
{
	uint16_t before;
	size_t bytes = 0;
	char *packed, *at;

	for (size_t i = 0; i < texts.n; i++)
		bytes += strlen(texts.v[i]) + 1;
	before = (uint16_t)bytes; /* the limits of labels keep it below */
	packed = alloc_text(st, sizeof(before) + bytes + (bytes == 0));
	if (!packed)
		return NULL;
	memcpy(packed, &before, sizeof(before));
	packed += sizeof(before);
	packed[0] = '\0'; /* of an empty list */
	at = packed;
	for (size_t i = 0; i < texts.n; i++)
		at = stpcpy(at, texts.v[i]) + 1;
	return packed;
}

/* ---- Slabs ------------------------------------------------------------- */

static struct slab *
new_slab(struct store *st, uint16_t stride, bool *ret_full)
{
	uint32_t room = stride <= CELLS_BLOCK ? CELLS_BLOCK / stride : 1;
	uint32_t blocks = (stride + CELLS_BLOCK - 1) / CELLS_BLOCK;
	struct slab *slab = calloc(1, sizeof(*slab) + room * sizeof(slab->series[0]));

	if (!slab)
		return NULL;
	*slab = (struct slab){ .store = st,
		.blocks = (uint16_t)blocks,
		.stride = stride,
		.room = (uint8_t)room };
	blocks_lock();
	slab->block = blocks_take(slab, blocks);
	blocks_unlock();
	if (slab->block == 0) {
		*ret_full = true;
		free(slab);
		return NULL;
	}
	if (st->last)
		__atomic_store_n(&st->last->next, slab, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&st->slabs, slab, __ATOMIC_RELEASE);
	st->last = slab;
	slab->open_next = st->open;
	st->open = slab;
	return slab;
}

struct dynm_series *
store_series(struct store *st, uint16_t stride, bool *ret_full)
{
	struct slab **at = &st->open;
	struct slab *slab;

	while (*at && (*at)->stride != stride)
		at = &(*at)->open_next;
	slab = *at ? *at : new_slab(st, stride, ret_full);
	if (!slab)
		return NULL;
	slab->series[slab->used].slot = slab->used;
	return &slab->series[slab->used];
}

void
store_publish(struct store *st, struct dynm_series *s)
{
	struct slab *slab = series_slab(s);

	__atomic_store_n(&slab->used, (uint8_t)(slab->used + 1), __ATOMIC_RELEASE);
	if (!slab->fresh) {
		slab->fresh = true;
		slab->fresh_next = NULL;
		*(st->fresh ? &st->fresh_last->fresh_next : &st->fresh) = slab;
		st->fresh_last = slab;
	}
	if (slab->used < slab->room)
		return;
	for (struct slab **at = &st->open; *at; at = &(*at)->open_next)
		if (*at == slab) {
			*at = slab->open_next;
			return;
		}
}

/* ---- Wire cells -------------------------------------------------------- */

uint32_t
store_wire_take(struct store *st, uint32_t n)
{
	struct wire_runs *runs = &st->wire_free[n];
	uint32_t first;

	if (runs->n > 0)
		return runs->first[--runs->n];
	if (n > SERIES_WIRE_MAX - st->wire_end)
		return UINT32_MAX;
	first = st->wire_end;
	st->wire_end += n;
	return first;
}

void
store_wire_give(struct store *st, uint32_t first, uint32_t n)
{
	struct wire_runs *runs = &st->wire_free[n];

	if (first + n == st->wire_end) {
		st->wire_end = first;
		return;
	}
	/* Without memory to remember them these cells wait for all to be numbered anew.
	 */
	st->wire_gaps = true;
	if (store_grow(
		(void **)&runs->first, &runs->room, runs->n, sizeof(runs->first[0])))
		runs->first[runs->n++] = first;
}

void
store_wire_renumbered(struct store *st, uint32_t end)
{
	st->wire_end = end;
	st->wire_gaps = false;
	for (size_t n = 0; n <= SERIES_RUN_MAX; n++)
		st->wire_free[n].n = 0;
}

bool
store_grow(void **array, size_t *room, size_t used, size_t size)
{
	size_t more = *room ? *room * 2 : 16;
	void *p;

	if (used < *room)
		return true;
	p = realloc(*array, more * size);
	if (!p)
		return false;
	*array = p;
	*room = more;
	return true;
}
