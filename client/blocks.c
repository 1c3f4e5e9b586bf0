/* SPDX-License-Identifier: Apache-2.0 */
#include "blocks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARRAY_BYTES (CELLS_TOTAL * sizeof(uint64_t) + BLOCKS_TOTAL)

#define MARK_NEW    1
#define MARK_SEEN   2
#define MARKS_NEW8  0x0101010101010101U /* the bits of MARK_NEW in eight marks */
#define RETRY_CALLS 1024

/* Eight marks at once: only to pass over blocks without news. */
typedef uint64_t __attribute__((may_alias)) marks8;

__thread uint64_t *blocks_own BLOCKS_TLS;
uint64_t *blocks_shared;
const struct slab *blocks_slab[BLOCKS_TOTAL];

/* What a thread knows about itself beside blocks_own. */
static __thread struct {
	struct cells *cells;
	uint32_t skip; /* calls to blocks_attach() that do not try again */
} own __attribute__((tls_model("initial-exec")));

static struct {
	pthread_mutex_t lock;
	pthread_key_t key; /* its destructor sees threads end */
	bool started;
	bool has_key;
	struct blocks_hooks hooks;
	struct cells retired; /* head of the list of arrays */
	uint32_t end;	      /* behind the last block ever taken */
	uint32_t hint;	      /* where to look for free blocks first */
} all = { .lock = PTHREAD_MUTEX_INITIALIZER, .end = TRASH_BLOCKS, .hint = TRASH_BLOCKS };

/* Blocks to look at, as a sweep has found. */
static _Alignas(8) uint8_t marked[BLOCKS_TOTAL];

void
blocks_lock(void)
{
	pthread_mutex_lock(&all.lock);
}

void
blocks_unlock(void)
{
	pthread_mutex_unlock(&all.lock);
}

void *
blocks_map_wiped(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* Advice: a kernel without either still works, see blocks_fork_child(). A huge
	 * page would make every thread pay 2 MiB for its first cell. */
	(void)madvise(p, bytes, MADV_NOHUGEPAGE);
	(void)madvise(p, bytes, MADV_WIPEONFORK);
	return p;
}

/* The last mark of the retired array belongs to no block that is ever handed out: it
 * tells in a child whether this kernel wipes. */
static uint8_t *
canary(void)
{
	return cells_marks(all.retired.cell) + BLOCKS_TOTAL - 1;
}

/* A thread has ended: what it counted is added to the retired array. */
static void
retire(void *arg)
{
	struct cells *c = arg;

	blocks_lock();
	for (uint32_t b = TRASH_BLOCKS; b < all.end; b++) {
		if (blocks_slab[b] == NULL || !cells_touched(c->cell, b * CELLS_BLOCK))
			continue;
		all.hooks.fold(blocks_slab[b], c->cell, all.retired.cell);
		cells_mark(all.retired.cell, b * CELLS_BLOCK);
	}
	(void)madvise(c->cell, ARRAY_BYTES, MADV_DONTNEED);
	c->used = false;
	blocks_own = NULL;
	own.cells = NULL;
	own.skip = 0;
	blocks_unlock();
}

int
blocks_init(const struct blocks_hooks *hooks)
{
	int error = 0;

	blocks_lock();
	if (!all.started) /* threads that update read them without the lock */
		all.hooks = *hooks;
	if (!all.retired.cell)
		all.retired.cell = blocks_map_wiped(ARRAY_BYTES);
	if (all.retired.cell)
		*canary() = MARK_SEEN;
	if (!blocks_shared)
		blocks_shared = blocks_map_wiped(ARRAY_BYTES);
	if (!all.retired.cell || !blocks_shared)
		error = ENOMEM;
	if (error == 0 && !all.has_key) {
		error = pthread_key_create(&all.key, retire);
		all.has_key = error == 0;
	}
	all.started = error == 0;
	blocks_unlock();
	return error;
}

/* An array for this thread: one that a dead thread left, or a new one. */
static struct cells *
claim(void)
{
	struct cells *c;

	blocks_lock();
	for (c = all.retired.next; c && c->used; c = c->next)
		;
	if (!c && (c = calloc(1, sizeof(*c))) != NULL) {
		c->cell = blocks_map_wiped(ARRAY_BYTES);
		if (c->cell) {
			c->next = all.retired.next;
			all.retired.next = c;
		} else {
			free(c);
			c = NULL;
		}
	}
	if (c)
		c->used = true;
	blocks_unlock();
	/* Without memory for this the thread's end goes unseen: its cells stay in the sum
	 * all the same, only the array is not used again. */
	if (c)
		(void)pthread_setspecific(all.key, c);
	return c;
}

uint64_t *
blocks_attach(void)
{
	uint64_t *cells = own.cells ? own.cells->cell : NULL;
	int error = errno; /* an update leaves it alone */

	if (own.skip > 0) {
		own.skip--;
		return cells;
	}
	if (!own.cells)
		own.cells = claim();
	if (!own.cells) {
		own.skip = RETRY_CALLS;
		errno = error;
		return NULL;
	}
	cells = own.cells->cell;
	if (all.hooks.ready())
		blocks_own = cells;
	else
		own.skip = RETRY_CALLS;
	errno = error;
	return cells;
}

static uint32_t
find_free(uint32_t from, uint32_t to, uint32_t n)
{
	uint32_t run = 0;

	for (uint32_t b = from; b < to; b++) {
		run = blocks_slab[b] ? 0 : run + 1;
		if (run == n)
			return b + 1 - n;
	}
	return 0;
}

uint32_t
blocks_take(const struct slab *slab, uint32_t n)
{
	uint32_t limit = BLOCKS_TOTAL - 1; /* the canary's block */
	uint32_t first = find_free(all.hint, limit, n);

	if (first == 0)
		first = find_free(TRASH_BLOCKS, limit, n);
	if (first == 0)
		return 0;
	for (uint32_t b = first; b < first + n; b++)
		__atomic_store_n(&blocks_slab[b], slab, __ATOMIC_RELEASE);
	all.hint = first + n;
	if (all.end < first + n)
		all.end = first + n;
	return first;
}

static void
clear_block(uint64_t *cells, uint32_t block)
{
	for (uint32_t i = 0; i < CELLS_BLOCK; i++)
		if (cell_load(cells + block * CELLS_BLOCK + i) != 0)
			cell_store(cells + block * CELLS_BLOCK + i, 0);
	__atomic_store_n(cells_marks(cells) + block, 0, __ATOMIC_RELEASE);
}

void
blocks_give(uint32_t block, uint32_t n)
{
	for (const struct cells *c = &all.retired; c; c = c->next) {
		/* A histogram's marks are in its first block. */
		if (!cells_touched(c->cell, block * CELLS_BLOCK))
			continue;
		for (uint32_t b = block; b < block + n; b++)
			clear_block(c->cell, b);
	}
	for (uint32_t b = block; b < block + n; b++) {
		if (cells_touched(blocks_shared, b * CELLS_BLOCK))
			clear_block(blocks_shared, b);
		marked[b] = 0;
		__atomic_store_n(&blocks_slab[b], NULL, __ATOMIC_RELEASE);
	}
	if (block < all.hint)
		all.hint = block;
}

static void
sweep_eight(uint8_t *mark, uint8_t *to)
{
	for (int i = 0; i < 8; i++)
		if (__atomic_load_n(mark + i, __ATOMIC_RELAXED) == MARK_NEW &&
		    __atomic_exchange_n(mark + i, MARK_SEEN, __ATOMIC_ACQ_REL) ==
			MARK_NEW)
			to[i] = 1;
}

static void
sweep(const uint64_t *cells)
{
	uint8_t *mark = cells_marks(cells);

	for (uint32_t b = 0; b < all.end; b += 8)
		if (__atomic_load_n((marks8 *)(void *)(mark + b), __ATOMIC_RELAXED) &
		    MARKS_NEW8)
			sweep_eight(mark + b, marked + b);
}

void
blocks_sweep(void)
{
	for (const struct cells *c = &all.retired; c; c = c->next)
		if (c->used || c == &all.retired)
			sweep(c->cell);
	sweep(blocks_shared);
}

bool
blocks_next_marked(uint32_t *at, uint32_t *ret_block)
{
	uint32_t b = *at;

	while (b < all.end && !marked[b])
		b += b % 8 == 0 && *(const marks8 *)(const void *)(marked + b) == 0 ? 8
										    : 1;
	*at = b + 1;
	if (b >= all.end)
		return false;
	*ret_block = b;
	return true;
}

void
blocks_unmark(uint32_t block)
{
	marked[block] = 0;
}

const struct cells *
blocks_first(void)
{
	return &all.retired;
}

void
blocks_fork_prepare(void)
{
	blocks_lock();
}

void
blocks_fork_parent(void)
{
	blocks_unlock();
}

/* For a kernel that does not wipe: new memory in the place of the old. Should that fail
 * too, there is nothing left to try. */
static void
renew(uint64_t *cells)
{
	(void)mmap(cells, ARRAY_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

void
blocks_fork_child(void)
{
	bool wiped = !all.started || *canary() == 0;

	for (struct cells *c = &all.retired; c; c = c->next) {
		if (!wiped)
			renew(c->cell);
		c->used = false; /* its thread is not in this process */
	}
	if (!wiped)
		renew(blocks_shared);
	if (all.started)
		*canary() = MARK_SEEN;
	blocks_own = NULL;
	own.cells = NULL;
	own.skip = 0;
	if (all.has_key)
		(void)pthread_setspecific(all.key, NULL);
	blocks_unlock();
}
