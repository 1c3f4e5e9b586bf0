/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_parts.h - the registry's inside, for the files it is made of; nobody else
 * includes it. Each may call what stands before it here:
 *
 *	series.c gauge.c	series, and workers' parts of gauges
 *	column.c		a worker's cells and what they add up to
 *	retained.c		what is counted without a session
 *	registry.c		families: conflicts, definitions, the whole
 */
#ifndef REGISTRY_PARTS_H
#define REGISTRY_PARTS_H

#include "registry.h"
#include "totals.h"

struct registry {
	struct registry_limits limits;
	struct log *log;
	struct labels *labels;
	struct families families;
	struct slab series; /* of struct series */
	struct index series_index;
	struct totals totals;
	struct slab parts;   /* of struct part */
	struct slab columns; /* of struct column * */
	struct column *own; /* the daemon's: gauges without a session; made when needed */
	uint32_t count[MESSAGE_HISTOGRAM + 1];
	uint64_t replaced;
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
	struct family *family;
	uint32_t level;
	uint32_t n_variable;
	uint32_t n;
	struct column_label label[];
};

/* ---- series.c ---- */

/* Find or make the series of a resolved metric with these values. */
enum reason registry_series_take(struct registry *r, const struct column_metric *metric,
    const struct wire_text *value, uint32_t *ret_series, bool *ret_made,
    struct refusal *refusal);
struct series *registry_series(const struct registry *r, uint32_t number);
extern const struct index_keys registry_series_keys;
void registry_series_drop(struct registry *r, uint32_t number);
/* Take a series off the page if nobody defines it and nothing of it is to be kept. */
void registry_series_settle(struct registry *r, uint32_t number, bool keep_total);
/* Free the family if it has neither definitions nor series. */
void registry_family_settle(struct registry *r, struct family *family);

/* ---- gauge.c ---- */

struct column *registry_column(const struct registry *r, uint32_t number);

/* A column's part in a gauge is at a cell. Parts keep the order in which they came. */
bool registry_part_add(
    struct registry *r, struct series *s, const struct column *c, uint32_t cell);
void registry_part_remove(
    struct registry *r, struct series *s, const struct column *c, uint32_t cell);
/* False if the column has no part. */
bool registry_part_find(const struct registry *r, const struct series *s,
    const struct column *c, uint32_t *ret_cell);

/* ---- column.c ---- */

/* Release what a resolved metric holds, and it; NULL is fine. */
void registry_unresolve(struct registry *r, struct column_metric *metric);

/* The cells of a series of the family, in a column. */
uint32_t registry_cells_of(const struct family *family);
/* Room for the cells below end. False when memory is out. */
bool registry_make_cells(struct column *c, uint32_t end);
/* Give free cells to a series, which the column then defines. False when memory is out.
 */
bool registry_take_cells(
    struct registry *r, struct column *c, uint32_t series, uint32_t cell);
/* The opposite. The total stays for now, the part of a gauge does not. Returns the
 * series. */
uint32_t registry_release_cells(struct registry *r, struct column *c, uint32_t cell);
void registry_apply_record(
    struct registry *r, struct column *c, uint32_t cell, uint64_t bits);

/* ---- retained.c ---- */

/* The daemon's own part of a gauge leaves, and the series with it if it was the last. */
void registry_retained_unset(struct registry *r, uint32_t series);

#endif /* REGISTRY_PARTS_H */
