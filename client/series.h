/* SPDX-License-Identifier: Apache-2.0 */
/*
 * series.h - the metrics of one runtime: families, their children, and where each child's
 * cells are.
 *
 * A family is what one create call makes: a name at a scope, with label names. A child is
 * a series. Both are found again by an equal create. The lookup of a child takes no lock
 * once the child exists; all that makes or removes something takes the store's lock.
 *
 * A child has two kinds of cells. In the process (blocks.h):
 *	counter		whole numbers (u64), fractions (f64)
 *	gauge		added in this thread: whole numbers, fractions; and in the shared
 *			array the value that was set, encoded (cells.h), and for merge
 *			last the time of the set
 *	histogram	sequence, sum (f64), a count per bucket (u64), +Inf last
 * On the wire: those of message_cells(), numbered densely from 0 in each runtime.
 *
 * Children of one stride (process cells per child) lie together in slabs. The memory and
 * process cells of a child live as long as the runtime, so that an old handle writes to
 * no other series; its wire cells are used again once the daemon has forgotten it.
 */
#ifndef SERIES_H
#define SERIES_H

#include <pthread.h>

#include "blocks.h"
#include "message.h"
#include "names.h"
#include "report.h"

#define SERIES_BOUNDS_MAX 128			  /* as NAMES_DEFAULT_LIMITS has it */
#define SERIES_WIRE_MAX	  (1U << 22)		  /* wire cells of one runtime */
#define SERIES_RUN_MAX	  (SERIES_BOUNDS_MAX + 2) /* of one child */
#define STORE_BUCKETS	  1024

struct dynm_node;

/* What the daemon knows of a family or child. The flush thread's alone. */
enum series_state {
	SERIES_UNDEFINED = 0,
	SERIES_ASKED, /* in the DEFINE in flight */
	SERIES_DEFINED,
	SERIES_REMOVING, /* in the REMOVE in flight */
	SERIES_REFUSED,	 /* for good */
	SERIES_WAITING,	 /* refused for what others have: to be asked again */
	SERIES_GONE
};

enum series_removed {
	SERIES_KEPT = 0,
	SERIES_REMOVED,	 /* by the user; the daemon may still have it */
	SERIES_FORGOTTEN /* by the daemon too */
};

struct dynm_series {
	uint32_t cell; /* first process cell; TRASH_CELL once removed (atomic) */
	uint32_t wire; /* first wire cell */
	struct dynm_family *family;
	const char *values; /* store_pack() */
	uint32_t before;    /* the removed child of the same values that was there; 0 */
	uint8_t slot;	    /* in its slab */
	uint8_t removed;    /* enum series_removed (atomic) */
	uint8_t state;	    /* enum series_state */
	uint8_t suspect;    /* was in an UPDATE that was refused */
};

struct slab {
	struct store *store;
	struct slab *next;	 /* all of a store, in order of creation (atomic) */
	struct slab *fresh_next; /* store.fresh */
	struct slab *define_next;
	struct slab *look_next;
	struct slab *open_next;
	uint32_t block;
	uint16_t blocks;
	uint16_t stride;
	uint8_t room; /* children that fit */
	uint8_t used; /* children that are there (atomic) */
	/* The flush thread's: */
	uint8_t cursor;	 /* where to go on looking */
	uint8_t defined; /* children that are SERIES_DEFINED */
	uint8_t run;	 /* collect_update.c */
	bool defining;	 /* on its lists */
	bool looking;
	bool fresh; /* on store.fresh; under the store's lock */
	struct dynm_series series[];
};

/* Where to start searching the bucket of a value: by the leading bits of the double. */
struct buckets {
	const double *bound; /* +Inf behind the last */
	int64_t low;	     /* before the key of the first bound */
	int64_t last;	     /* behind that of the last one, counted from low */
	uint32_t shift;	     /* of the ordered bits */
	uint8_t start[];     /* for each key from low: the first bound that may hold it */
};

struct dynm_family {
	struct store *store;
	struct dynm_family *next; /* in its bucket of the store */
	struct dynm_family *shape_next;
	struct dynm_family *all_next; /* in order of creation (atomic) */
	const struct dynm_node *node;
	const char *name;
	const char *help;
	const char *labels; /* names: store_pack() */
	const double *bounds;
	const struct buckets *buckets;
	struct child_table *table; /* children.h (atomic) */
	uint32_t id;
	uint32_t told; /* refusals that were reported: a bit per reason */
	uint16_t n_labels;
	uint16_t n_bounds;
	uint16_t stride;
	uint8_t kind;  /* enum message_kind */
	uint8_t merge; /* enum message_merge */
	uint8_t state; /* enum series_state */
	bool retried;  /* flush thread: it was WAITING and is asked again */
};

/* Free runs of one length. */
struct wire_runs {
	uint32_t *first;
	size_t n, room;
};

struct store {
	struct report *report;
	/* Called without the lock after a child was made. */
	void (*created)(void *arg);
	void *created_arg;
	uint64_t seed;
	uint32_t max_series;
	pthread_mutex_t lock; /* of all below */

	struct chunk *chunks; /* memory of names and small things */
	struct dynm_node *root;
	struct dynm_node *node[STORE_BUCKETS];	   /* by parent and name */
	struct dynm_family *family[STORE_BUCKETS]; /* by node and name */
	struct dynm_family *shape[STORE_BUCKETS];  /* the first one of each name */
	struct dynm_family *families;		   /* atomic */
	struct dynm_family **families_end;
	struct slab *slabs; /* atomic */
	struct slab *last;
	struct slab *open;
	struct slab *fresh; /* have children that were never defined, in order */
	struct slab *fresh_last;
	uint32_t n_families;
	uint32_t n_series; /* not removed (atomic) */
	uint32_t n_ever;   /* were ever made (atomic) */
	uint32_t wire_end;
	bool wire_gaps; /* cells below the end are nobody's */
	struct wire_runs wire_free[SERIES_RUN_MAX + 1];
	struct dynm_series **removed; /* by the user, not yet by the daemon */
	size_t n_removed, room_removed;
	bool limit_reported;
};

/* 0 or ENOMEM. */
int store_init(
    struct store *st, struct report *report, uint64_t seed, uint32_t max_series);
/* Nobody uses anything of it any more. */
void store_free(struct store *st);
/* Memory that lives as long as the store; NULL when there is none. Under the lock. */
void *store_alloc(struct store *st, size_t bytes);
char *store_strdup(struct store *st, struct wire_text text);

struct family_want {
	enum message_kind kind;
	enum message_merge merge;
	const char *name;
	const char *help;
	dynm_strings labels;
	dynm_buckets buckets;
};

/* Find or create; NULL, with the reason reported, when it cannot be. */
struct dynm_family *family_create(
    const struct dynm_node *node, const struct family_want *want);
struct dynm_series *series_with(struct dynm_family *f, dynm_strings values);
void series_remove(struct dynm_family *f, dynm_strings values);

/* The daemon has forgotten a removed child: its wire cells are free for others. */
void series_forget(struct store *st, struct dynm_series *s);
/* Take all that are forgotten off the list of removed children. */
void series_sweep_removed(struct store *st);

/* Fill a message's struct; texts borrow from the family and its scope. */
void family_message(const struct dynm_family *f, struct message_metric *ret);
void series_message(const struct dynm_series *s, struct message_child *ret);

/* Of a family's or child's state. */
static inline bool
series_is_refused(uint8_t state)
{
	return state == SERIES_REFUSED || state == SERIES_WAITING;
}

static inline uint32_t
series_cell(const struct dynm_series *s)
{
	return __atomic_load_n(&s->cell, __ATOMIC_RELAXED);
}

static inline struct slab *
series_slab(const struct dynm_series *s)
{
	return (struct slab *)((uintptr_t)(s - s->slot) - offsetof(struct slab, series));
}

/* The process cell, also after a removal. */
static inline uint32_t
series_own_cell(const struct dynm_series *s)
{
	return series_slab(s)->block * CELLS_BLOCK +
	       s->slot * (uint32_t)s->family->stride;
}

/* A child is named by block and place in its slab, in 22 bits; none is named 0. */
static inline uint32_t
series_id(const struct dynm_series *s)
{
	return series_slab(s)->block * CELLS_BLOCK + s->slot;
}

static inline struct dynm_series *
series_at(uint32_t id)
{
	const struct slab *slab =
	    __atomic_load_n(&blocks_slab[id / CELLS_BLOCK], __ATOMIC_ACQUIRE);

	return (struct dynm_series *)(uintptr_t)&slab->series[id % CELLS_BLOCK];
}

static inline uint32_t
series_wire_cells(const struct dynm_family *f)
{
	return message_cells(
	    (enum message_kind)f->kind, (enum message_merge)f->merge, f->n_bounds);
}

static inline uint8_t
slab_used(const struct slab *slab)
{
	return __atomic_load_n(&slab->used, __ATOMIC_ACQUIRE);
}

static inline struct slab *
slab_next(const struct slab *slab)
{
	return __atomic_load_n(&slab->next, __ATOMIC_ACQUIRE);
}

static inline struct dynm_family *
family_first(const struct store *st)
{
	return __atomic_load_n(&st->families, __ATOMIC_ACQUIRE);
}

static inline struct dynm_family *
family_next(const struct dynm_family *f)
{
	return __atomic_load_n(&f->all_next, __ATOMIC_ACQUIRE);
}

#endif /* SERIES_H */
