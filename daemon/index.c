/* SPDX-License-Identifier: Apache-2.0 */
#include "index.h"

#include <stdlib.h>
#include <string.h>

/* Up to seven eighths of a part are used, so that probing stays short: it is done on the
 * tags alone, 32 of which are a cache line. */
static bool
is_full(const struct index_part *p)
{
	return p->used >= p->room / 8 * 7;
}

/* A multiple of 8 that n numbers fill to four fifths. */
static uint32_t
room_for(uint32_t n)
{
	return (n + n / 4 + 8) & ~7U;
}

static uint16_t *
tags_of(const struct index_part *p)
{
	return (uint16_t *)(p->number + p->room);
}

/* Whatever a hash is worth, all of its bits count. */
static uint64_t
mixed(uint64_t hash)
{
	return (hash ^ hash >> 32) * 0x9e3779b97f4a7c15U;
}

static uint16_t
tag_of(uint64_t mix)
{
	uint16_t tag = (uint16_t)(mix >> 48);

	return tag ? tag : 1;
}

/* Parts are split in turns: those below n_parts - room / 2 were split in this round, as
 * were those that came of it, and have one bit more of the hash. */
static uint32_t
part_of(const struct index *x, uint64_t mix)
{
	uint32_t bits = (uint32_t)(mix >> 16), i = bits & (x->room - 1);

	return i < x->n_parts ? i : bits & (x->room / 2 - 1);
}

/* Tags keep their order in a part of any size. */
static uint32_t
home_of(const struct index_part *p, uint16_t tag)
{
	return (uint32_t)((uint64_t)tag * p->room >> 16);
}

static uint32_t
behind(const struct index_part *p, uint32_t at)
{
	return at + 1 < p->room ? at + 1 : 0;
}

/* ---- Parts ------------------------------------------------------------- */

static bool
part_init(struct index_part *p, uint32_t room)
{
	const size_t slots = (size_t)room * sizeof(*p->number);

	*p = (struct index_part){ .number = malloc(slots + room * sizeof(uint16_t)),
		.room = room };
	if (p->number)
		memset(tags_of(p), 0, room * sizeof(uint16_t));
	return p->number != NULL;
}

static void
place(struct index_part *p, uint16_t tag, uint32_t number)
{
	uint16_t *tags = tags_of(p);
	uint32_t at = home_of(p, tag);

	while (tags[at])
		at = behind(p, at);
	tags[at] = tag;
	p->number[at] = number;
	p->used++;
}

static bool
part_resize(struct index_part *p, uint32_t room)
{
	const uint16_t *tags = tags_of(p);
	struct index_part larger;

	if (!part_init(&larger, room))
		return false;
	for (uint32_t i = 0; i < p->room; i++)
		if (tags[i])
			place(&larger, tags[i], p->number[i]);
	free(p->number);
	*p = larger;
	return true;
}

/* Linear probing without tombstones: whoever was pushed past the hole moves into it. */
static void
close_hole(struct index_part *p, uint32_t hole)
{
	uint16_t *tags = tags_of(p);

	for (uint32_t i = behind(p, hole); tags[i]; i = behind(p, i)) {
		uint32_t home = home_of(p, tags[i]);
		uint32_t pushed = i >= home ? i - home : i + p->room - home;
		uint32_t away = i >= hole ? i - hole : i + p->room - hole;

		if (pushed >= away) {
			tags[hole] = tags[i];
			p->number[hole] = p->number[i];
			hole = i;
		}
	}
	tags[hole] = 0;
	p->used--;
}

/* False when memory is out. */
static bool
part_add(struct index_part *p, uint16_t tag, uint32_t number)
{
	if (is_full(p) && !part_resize(p, (p->room + p->room / 8 + 8) & ~7U))
		return false;
	place(p, tag, number);
	return true;
}

/* ---- Splitting --------------------------------------------------------- */

/* Room for one part more. */
static bool
make_part(struct index *x)
{
	const uint32_t room = x->room ? 2 * x->room : 1;
	struct index_part *part;

	if (x->n_parts < x->room)
		return true;
	part = realloc(x->part, (size_t)room * sizeof(*part));
	if (part == NULL)
		return false;
	x->part = part;
	x->room = room;
	return true;
}

#define ASK_FAR	 24 /* places before a key is hashed */
#define ASK_SOON 12

/* Keys lie anywhere in memory: many are on their way at once. */
static void
ask_ahead(const struct index *x, const struct index_part *p, uint32_t i)
{
	const uint16_t *tags = tags_of(p);

	if (i + ASK_FAR < p->room && tags[i + ASK_FAR])
		x->keys->ask(x->owner, p->number[i + ASK_FAR], false);
	if (i + ASK_SOON < p->room && tags[i + ASK_SOON])
		x->keys->ask(x->owner, p->number[i + ASK_SOON], true);
}

/* Those of a part whose hash has the next bit leave, the others stay. */
static bool
part_split(const struct index *x, const struct index_part *from, struct index_part *stay,
    struct index_part *leave)
{
	const uint16_t *tags = tags_of(from);
	const uint32_t bit = x->room / 2;

	for (uint32_t i = 0; i < from->room; i++) {
		uint64_t mix;

		if (x->keys->ask)
			ask_ahead(x, from, i);
		if (tags[i] == 0)
			continue;
		mix = mixed(x->keys->hash(x->owner, from->number[i]));
		if (!part_add(mix >> 16 & bit ? leave : stay, tags[i], from->number[i]))
			return false;
	}
	return true;
}

/* The part whose turn it is becomes two. False when memory is out: then it stays as it
 * is, and is only fuller than others. */
static bool
split(struct index *x)
{
	struct index_part *from, stay = { 0 }, leave = { 0 };

	if (!make_part(x))
		return false;
	from = &x->part[x->n_parts - x->room / 2];
	if (!part_init(&stay, room_for(from->used / 2)) ||
	    !part_init(&leave, room_for(from->used / 2)) ||
	    !part_split(x, from, &stay, &leave)) {
		free(stay.number);
		free(leave.number);
		return false;
	}
	free(from->number);
	*from = stay;
	x->part[x->n_parts++] = leave;
	return true;
}

/* ---- The interface ------------------------------------------------------ */

void
index_init(struct index *x, const struct index_keys *keys, const void *owner)
{
	*x = (struct index){ .keys = keys, .owner = owner };
}

void
index_free(struct index *x)
{
	for (uint32_t i = 0; i < x->n_parts; i++)
		free(x->part[i].number);
	free(x->part);
	index_init(x, x->keys, x->owner);
}

uint32_t
index_find(const struct index *x, uint64_t hash, const void *key)
{
	const uint64_t mix = mixed(hash);
	const uint16_t tag = tag_of(mix);
	const struct index_part *p;
	const uint16_t *tags;

	if (x->used == 0)
		return 0;
	p = &x->part[part_of(x, mix)];
	tags = tags_of(p);
	for (uint32_t i = home_of(p, tag); tags[i]; i = behind(p, i))
		if (tags[i] == tag && x->keys->equal(x->owner, p->number[i], key))
			return p->number[i];
	return 0;
}

void
index_ask(const struct index *x, uint64_t hash)
{
	const uint64_t mix = mixed(hash);
	const struct index_part *p;
	uint32_t home;

	if (x->n_parts == 0)
		return;
	p = &x->part[part_of(x, mix)];
	home = home_of(p, tag_of(mix));
	__builtin_prefetch(tags_of(p) + home);
	__builtin_prefetch(p->number + home);
}

static bool
make_first(struct index *x)
{
	struct index_part first;

	if (x->n_parts > 0)
		return true;
	if (!make_part(x) || !part_init(&first, room_for(0)))
		return false;
	x->part[x->n_parts++] = first;
	return true;
}

/* How many of so many are in a part, more or less: those that wait for their split in
 * this round have twice as much as the others. */
static uint32_t
share_of(const struct index *x, uint32_t part, uint64_t all)
{
	const uint32_t half = x->room / 2;
	bool waits = part < half && part >= x->n_parts - half;

	return (uint32_t)((waits ? 2 * all : all) / x->room);
}

bool
index_reserve(struct index *x, uint32_t n)
{
	const uint64_t all = (uint64_t)x->used + n;

	if (all > UINT32_MAX / 4 || !make_first(x))
		return false;
	while (all > (uint64_t)x->n_parts * INDEX_PART)
		if (!split(x))
			return false;
	for (uint32_t i = 0; i < x->n_parts; i++) {
		struct index_part *p = &x->part[i];
		uint32_t room = room_for(share_of(x, i, all));

		if (p->room < room && !part_resize(p, room))
			return false;
	}
	return true;
}

bool
index_add(struct index *x, uint64_t hash, uint32_t number)
{
	const uint64_t mix = mixed(hash);

	if (!make_first(x) || !part_add(&x->part[part_of(x, mix)], tag_of(mix), number))
		return false;
	x->used++;
	/* What there is no memory for now is done later. */
	if (x->used > (uint64_t)x->n_parts * INDEX_PART)
		split(x);
	return true;
}

void
index_remove(struct index *x, uint64_t hash, uint32_t number)
{
	const uint64_t mix = mixed(hash);
	struct index_part *p;
	const uint16_t *tags;

	if (x->used == 0)
		return;
	p = &x->part[part_of(x, mix)];
	tags = tags_of(p);
	for (uint32_t i = home_of(p, tag_of(mix)); tags[i]; i = behind(p, i))
		if (p->number[i] == number) {
			close_hole(p, i);
			x->used--;
			return;
		}
}

uint32_t
index_next(const struct index *x, struct index_cursor *c)
{
	for (; c->part < x->n_parts; c->part++, c->at = 0) {
		const struct index_part *p = &x->part[c->part];
		const uint16_t *tags = tags_of(p);

		while (c->at < p->room)
			if (tags[c->at++])
				return p->number[c->at - 1];
	}
	return 0;
}
