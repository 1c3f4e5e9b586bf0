/* SPDX-License-Identifier: Apache-2.0 */
#include "children.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS_FIRST  4U
#define MAPPED_BYTES 16384U /* tables of so many are pages of their own */

static size_t
table_bytes(uint32_t slots)
{
	return sizeof(struct child_table) + slots * sizeof(uint32_t);
}

static struct child_table *
new_table(uint32_t slots)
{
	size_t bytes = table_bytes(slots);
	void *p;

	if (bytes < MAPPED_BYTES)
		return calloc(1, bytes);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

/* Give back what a table has beside its first page, which says how long it is: the slots
 * there are read as free from now on. */
static void
leave(struct child_table *t)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = table_bytes(t->mask + 1);

	if (bytes >= MAPPED_BYTES && bytes > page)
		(void)madvise((char *)t + page, bytes - page, MADV_DONTNEED);
}

void
children_free(struct dynm_family *f)
{
	struct child_table *older;

	for (struct child_table *t = f->table; t; t = older) {
		size_t bytes = table_bytes(t->mask + 1);

		older = t->older;
		if (bytes < MAPPED_BYTES)
			free(t);
		else
			(void)munmap(t, bytes);
	}
}

static uint64_t
hash_of(const struct dynm_family *f, const struct dynm_series *s)
{
	uint64_t hash = f->store->seed;
	const char *value = s->values;

	for (uint16_t i = 0; i < f->n_labels; i++) {
		size_t n = strlen(value);

		hash = store_hash(hash, value, n);
		value += n + 1;
	}
	return hash;
}

static void
put_again(struct child_table *t, const struct dynm_family *f, uint32_t id)
{
	uint64_t hash = hash_of(f, series_at(id));
	uint32_t i = (uint32_t)hash;

	while (t->slot[i & t->mask] != 0)
		i++;
	t->slot[i & t->mask] = children_slot(hash, id);
	t->used++;
}

bool
children_keeps(uint32_t slot)
{
	return slot != 0 &&
	       children_removed(series_at(slot & CHILD_ID_MASK)) != SERIES_FORGOTTEN;
}

bool
children_grow(struct dynm_family *f)
{
	struct child_table *old = f->table;
	uint32_t live = 1, slots = SLOTS_FIRST;
	struct child_table *t;

	if (old && old->used < old->mask / 2)
		return true;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		live += children_keeps(old->slot[i]);
	while (slots / 2 <= live)
		slots *= 2;
	t = new_table(slots);
	if (!t)
		return false;
	t->mask = slots - 1;
	t->older = old;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		if (children_keeps(old->slot[i]))
			put_again(t, f, old->slot[i] & CHILD_ID_MASK);
	__atomic_store_n(&f->table, t, __ATOMIC_RELEASE);
	if (old)
		leave(old);
	return true;
}
