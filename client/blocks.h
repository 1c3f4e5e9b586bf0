/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks.h - the memory that updates are written to.
 *
 * A process has one space of cell numbers, shared by its runtimes. Each thread that
 * updates has an array over the whole space, its own: only the thread writes it, so an
 * update needs no lock and no locked instruction. The array is reserved, not used: a page
 * of it becomes memory when a cell in it is written. It never moves, so a reader needs no
 * protection against that. Two more arrays of the same form:
 *   retired  what threads that have ended had counted; written under the lock
 *   shared   cells that all threads write: the values of gauges that were set
 *
 * Cells are handed out in blocks of 64, contiguous runs of them to one slab (series.h).
 * Behind the cells of an array is a byte per block:
 *   0  never written
 *   1  written since the last sweep
 *   2  written before that
 * A writer stores its cell, then 1 with release, never testing first: the test's load
 * could pass the cell's store, and the update would stay unseen. A sweep exchanges 1 for
 * 2 (acquire) before it reads the cells: what it does not see then is marked 1 again
 * behind its back, for the next sweep. The marks of a histogram are those of its first
 * block.
 *
 * All three kinds of array are wiped by fork().
 *
 * This is process-wide state because threads are, and because a thread's array is found
 * through one thread-local pointer.
 */
#ifndef BLOCKS_H
#define BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CELLS_TOTAL  (1U << 22) /* 32 MiB of address space for a thread */
#define CELLS_BLOCK  64U
#define BLOCKS_TOTAL (CELLS_TOTAL / CELLS_BLOCK)

/* The first blocks belong to nobody: removed handles write here, cell 0 and after it. */
#define TRASH_BLOCKS 3U
#define TRASH_CELL   0U

#define BLOCKS_TLS __attribute__((tls_model("initial-exec"), visibility("hidden")))

struct slab;

struct blocks_hooks {
	/* Called when a thread gets its array, without a lock: whatever has to run in
	 * this process before updates can be fast is running. */
	bool (*ready)(void);
	/* Add the cells of a slab in one array to those in another; under the lock. */
	void (*fold)(const struct slab *slab, const uint64_t *from, uint64_t *to);
};

/* One array; all that are or were in use form a list, which only grows. */
struct cells {
	uint64_t *cell;
	struct cells *next;
	bool used; /* by a live thread */
};

/* The array of this thread; NULL: ask blocks_attach(). */
extern __thread uint64_t *blocks_own BLOCKS_TLS;
/* The shared array. */
extern uint64_t *blocks_shared __attribute__((visibility("hidden")));

/* Once per process, before anything else. 0, or an errno value. May be repeated. */
int blocks_init(const struct blocks_hooks *hooks);

/*
 * This thread's array, or NULL when there is no memory: then drop the update. Sets
 * blocks_own when all is ready, else tries again after a thousand calls.
 */
uint64_t *blocks_attach(void);

/* The lock of everything below. Held for microseconds, never over I/O. */
void blocks_lock(void);
void blocks_unlock(void);

/* n blocks in a row for a slab, their cells 0 in every array; 0 when there are none. */
uint32_t blocks_take(const struct slab *slab, uint32_t n);
/* Give them back. No thread may be using their cells. */
void blocks_give(uint32_t block, uint32_t n);

/* Move the marks of all arrays into one list of blocks to look at. */
void blocks_sweep(void);
/* The next block on that list at or after *at, which is set behind it; false at the end.
 */
bool blocks_next_marked(uint32_t *at, uint32_t *ret_block);
void blocks_unmark(uint32_t block);

/* The arrays to sum over, retired first, then in a fixed order. */
const struct cells *blocks_first(void);

/* fork(): before and, in the parent, after; and in the child. */
void blocks_fork_prepare(void);
void blocks_fork_parent(void);
void blocks_fork_child(void);

/* Memory that fork() wipes, of no cost until touched; NULL when there is none. */
void *blocks_map_wiped(size_t bytes);

/* Slabs by their blocks, for readers without a lock. */
extern const struct slab *blocks_slab[BLOCKS_TOTAL] __attribute__((visibility("hidden")));

static inline uint64_t
cell_load(const uint64_t *cell)
{
	return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

static inline void
cell_store(uint64_t *cell, uint64_t value)
{
	__atomic_store_n(cell, value, __ATOMIC_RELAXED);
}

static inline uint8_t *
cells_marks(const uint64_t *cells)
{
	return (uint8_t *)(uintptr_t)(cells + CELLS_TOTAL);
}

static inline void
cells_mark(uint64_t *cells, uint32_t cell)
{
	__atomic_store_n(cells_marks(cells) + cell / CELLS_BLOCK, 1, __ATOMIC_RELEASE);
}

/* True when a block was ever written: reading the others would only cost memory. */
static inline bool
cells_touched(const uint64_t *cells, uint32_t cell)
{
	return __atomic_load_n(
		   cells_marks(cells) + cell / CELLS_BLOCK, __ATOMIC_ACQUIRE) != 0;
}

#endif /* BLOCKS_H */
