/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_parts.h - the registry's inside, for the files it is made of; nobody else
 * includes it. Each may call what stands before it here:
 *
 *	series.c gauge.c	series, and workers' parts of gauges
 *	column.c		a worker's cells and what they add up to
 *	retained.c		what is counted without a session
 *	registry.c		families: conflicts, definitions, the whole
 *	gone.c			series that time took away, for the journal
 *	removal.c		what leaves: by request, by age
 *	registry_walk.c		many series in a row, for the page
 *	registry_save.c registry_check.c registry_load.c registry_load_column.c
 *				what outlives the daemon (registry_saved.h)
 */
#ifndef REGISTRY_PARTS_H
#define REGISTRY_PARTS_H

#include "deadlines.h"
#include "groups.h"
#include "owners.h"
#include "registry.h"
#include "totals.h"

/* 20 bytes, and 8 in totals.h. */
struct series {
	uint32_t set;	 /* labels_set_values() */
	uint32_t group;	 /* groups.h; 0: the number is free */
	uint32_t live;	 /* workers that define it */
	uint32_t kept_s; /* second since when only kept data defines it */
	uint32_t member; /* position in its family */
};

/* A worker's part of a gauge. */
struct part {
	uint32_t next;
	uint32_t column;
	uint32_t cell;
};

/* Gauges that the daemon keeps itself. Its column's cells are numbered densely; those
 * that were released wait in lists. */
struct retained {
	uint32_t used;	       /* cells ever used */
	uint32_t free[2];      /* first released run + 1, of one cell and of two */
	struct deadlines ends; /* of cells + 1: gauges that leave by themselves */
	uint32_t *end_at;      /* a cell's position in ends, or 0 */
	uint32_t end_room;
};

/* The search for kept series that nobody touched for long, in slices. */
struct sweep {
	uint32_t next;	    /* the series to look at next; 0: no search is under way */
	uint32_t oldest_s;  /* among those that stay */
	uint64_t due_s;	    /* of the next search */
	uint64_t retain_s;  /* as it was for this one */
	uint32_t n_dropped; /* in this search */
};

struct registry {
	struct registry_limits limits;
	struct log *log;
	struct effects *effects; /* NULL: nothing is recorded */
	struct naming naming;
	struct labels *labels;
	struct families families;
	struct slab series; /* of struct series */
	struct index series_index;
	struct groups groups;
	struct owners owners;	     /* of series */
	struct owners family_owners; /* who made a family: family.owner */
	struct totals totals;
	struct slab parts;   /* of struct part */
	struct slab columns; /* of struct column * */
	struct column *own; /* the daemon's: gauges without a session; made when needed */
	uint32_t count[MESSAGE_HISTOGRAM + 1];
	struct retained retained;
	struct sweep sweep;
	uint64_t now_ms;
	uint64_t replaced;
	uint64_t removed[REGISTRY_CAUSES];
	double client_dropped;
};

/* A metric as its worker defined it: its labels sorted by name, with constant values or
 * the position of the child's value. */
struct column_label {
	uint32_t name;
	uint32_t constant; /* a string, LABELS_WORKER, or 0: variable */
	uint32_t variable;
};

struct column_metric {
	struct column_metric *next; /* of the column */
	struct family *family;
	uint32_t level;
	uint32_t n_variable;
	uint32_t n;
	struct column_label label[];
};

/* Now, in whole seconds: of a beginning, so that no time is over early. */
static inline uint32_t
registry_now_s(const struct registry *r)
{
	return (uint32_t)((r->now_ms + 999) / 1000);
}

static inline struct family *
series_family(const struct registry *r, const struct series *s)
{
	return groups_at(&r->groups, s->group)->family;
}

/* The number of a series. */
static inline uint32_t
series_number(const struct registry *r, const struct series *s)
{
	return series_family(r, s)->member[s->member];
}

/* Of a gauge: its first part, or 0. */
static inline uint32_t *
series_parts(const struct registry *r, uint32_t number)
{
	return &totals_of(&r->totals, number)->at;
}

/* ---- series.c ---- */

/* Find or make (for a uid) the series of a family with a set, which is taken over with
 * its schema. Whatever the limits are; member: its position in the family, where there is
 * room, or SERIES_ANYWHERE. False when memory is out. */
#define SERIES_ANYWHERE UINT32_MAX
bool registry_series_restore(struct registry *r, uint32_t uid, struct family *family,
    uint32_t schema, uint32_t set, uint32_t member, uint32_t *ret_series, bool *ret_made);
/* A series of that schema and these strings is about to be restored: ask memory for its
 * place. */
void registry_series_ask(const struct registry *r, const struct family *family,
    uint32_t schema, const uint32_t *string);
/* Find or make (for a uid) the series of a resolved metric with these values. */
enum reason registry_series_take(struct registry *r, uint32_t uid,
    const struct column_metric *metric, const struct wire_text *value,
    uint32_t *ret_series, bool *ret_made, struct refusal *refusal);
/* The series of a metric without variable labels in a family, 0 if it is not there. */
enum reason registry_metric_find(struct registry *r, struct family *family,
    const struct message_metric *m, uint32_t *ret_series, struct refusal *refusal);
struct series *registry_series(const struct registry *r, uint32_t number);
/* The totals of a counter or histogram. */
double *registry_series_totals(const struct registry *r, uint32_t number);
extern const struct index_keys registry_series_keys;
void registry_series_drop(struct registry *r, uint32_t number);
/* Take a series off the page if nobody defines it and nothing of it is to be kept. */
void registry_series_settle(struct registry *r, uint32_t number, bool keep_total);
/* A family that is nobody's becomes a uid's. False when memory is out. */
bool registry_family_own(struct registry *r, struct family *family, uint32_t uid);
/* Free the family if it has neither definitions nor series. */
void registry_family_settle(struct registry *r, struct family *family);

/* ---- gauge.c ---- */

struct column *registry_column(const struct registry *r, uint32_t number);

/* A column's part in a gauge is at a cell. Parts keep the order in which they came. */
bool registry_part_add(
    struct registry *r, uint32_t series, const struct column *c, uint32_t cell);
void registry_part_remove(
    struct registry *r, uint32_t series, const struct column *c, uint32_t cell);
/* False if the column has no part. */
bool registry_part_find(const struct registry *r, uint32_t series, const struct column *c,
    uint32_t *ret_cell);
/* How many parts the column has, and the cell of its last. */
uint32_t registry_part_count(const struct registry *r, uint32_t series,
    const struct column *c, uint32_t *ret_cell);

/* ---- column.c ---- */

/* A cell's slot: what kind of cell it is, and below that the number of its series, or of
 * its total in a histogram's run. */
enum cell_kind {
	CELL_FREE,
	CELL_COUNTER,
	CELL_BUCKET_FIRST, /* a histogram's first cell */
	CELL_BUCKET,
	CELL_SUM,
	CELL_GAUGE,
	CELL_LAST_TIME /* behind a gauge merged by last: when it was set */
};

#define SLOT_KIND_SHIFT 29
#define SLOT_NUMBER	((1U << SLOT_KIND_SHIFT) - 1)

static inline enum cell_kind
slot_kind(uint32_t slot)
{
	return slot >> SLOT_KIND_SHIFT;
}

static inline uint32_t
slot_of(enum cell_kind kind, uint32_t number)
{
	return (uint32_t)kind << SLOT_KIND_SHIFT | number;
}

/* True for the cells that a child starts with. */
static inline bool
slot_is_first(enum cell_kind kind)
{
	return kind == CELL_COUNTER || kind == CELL_BUCKET_FIRST || kind == CELL_GAUGE;
}

/* Release what a resolved metric holds but its family, and it; NULL is fine. */
void registry_unresolve(struct registry *r, struct column_metric *metric);

/* As realloc(), with zeros behind what was there. They are not written: what no number
 * has been in yet takes no memory, so that a high number takes little. */
void *registry_grow(void *at, size_t bytes, size_t more_bytes);

/* The cells of a series of the family, in a column. */
uint32_t registry_cells_of(const struct family *family);
/* Room for the cells below end. False when memory is out. */
bool registry_make_cells(struct column *c, uint32_t end);
/* Give cells to a series, which the column then defines; what had them leaves the column.
 * False when memory is out, and nothing has changed. */
bool registry_take_cells(
    struct registry *r, struct column *c, uint32_t series, uint32_t cell);
/* The same of cells that are free, without a part of a gauge: that is made apart. */
void registry_give_cells(
    struct registry *r, struct column *c, uint32_t series, uint32_t cell);
/* The opposite. The total stays for now, the part of a gauge does not. Returns the
 * series. */
uint32_t registry_release_cells(struct registry *r, struct column *c, uint32_t cell);
void registry_apply_record(
    struct registry *r, struct column *c, uint32_t cell, uint64_t bits);
/* The series that has a cell, which is in use. */
uint32_t registry_cell_series(
    const struct registry *r, const struct column *c, uint32_t cell);

/* ---- retained.c ---- */

/* The daemon's own part of a gauge leaves, and the series with it if it was the last. */
void registry_retained_unset(struct registry *r, uint32_t series);
/* A gauge of the daemon's own whose end has come: it is to be unset. 0: there is none. */
uint32_t registry_retained_ended(struct registry *r);
void registry_retained_free(struct registry *r);

/* ---- gone.c ---- */

/* A series that is about to leave, or to lose the daemon's own part, is recorded. */
void registry_gone_record(struct registry *r, uint32_t number, enum registry_cause cause);
/* And is found again; *ret_series 0: it is not there. */
enum reason registry_gone_find(struct registry *r, const struct journal_record *record,
    enum registry_cause *ret_cause, uint32_t *ret_series, struct refusal *refusal);

/* ---- registry.c ---- */

/* Room for a metric of that number. False when memory is out. */
bool registry_make_metrics(struct column *c, uint32_t id);
/* There is room: the metric, with its family, becomes the column's. */
void registry_put_metric(struct column *c, uint32_t id, struct column_metric *metric);
/* A metric with its labels and its place, but without its family. NULL when memory is
 * out.
 */
struct column_metric *registry_resolve_labels(
    struct registry *r, const struct message_metric *m);

#endif /* REGISTRY_PARTS_H */
