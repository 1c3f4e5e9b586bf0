/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_load_parts.h - a load under way, for the files it is made of: registry_check.c
 * goes over all items, and then registry_load.c and registry_load_column.c do. Nobody
 * else includes it.
 */
#ifndef REGISTRY_LOAD_PARTS_H
#define REGISTRY_LOAD_PARTS_H

#include "registry_parts.h"
#include "registry_saved.h"

/* What the items were, and what became of them. */
struct load_level {
	uint32_t parent; /* 0: the runtime */
	uint32_t name;	 /* a string of the file */
	uint32_t depth;
	uint32_t number; /* of labels.h; 0: it was left out */
};

struct load_schema {
	uint32_t level;
	uint32_t n;
	const uint8_t *name; /* n u32, strings of the file */
	uint32_t worker;     /* the place of worker_id, plus 1; 0: it has none */
	uint32_t number;     /* of labels.h; 0: it was left out */
	uint32_t asked;	     /* the family that was asked for last, plus 1 */
	bool fits;	     /* the answer */
};

struct load_family {
	struct wire_text name, help;
	enum message_kind kind;
	enum message_merge merge;
	bool help_differs;
	uint32_t n_bounds;
	const uint8_t *bounds;
	uint32_t positions;
	uint32_t n_series;
	struct family *family; /* NULL: it was left out */
	bool fresh;	       /* it was made for this item */
};

struct load_series {
	const uint8_t *value; /* strings of the file, behind the schema's number */
	uint32_t family;
	uint32_t number; /* 0: it was left out */
};

struct load_column {
	uint32_t most_cells;
	uint32_t seen; /* the gauge that had a part of it last, plus 1 */
	uint32_t end;  /* of its cells, so far */
	struct column *column;
};

struct registry_load {
	struct registry *r;
	uint32_t counts[ITEM_END];
	size_t bytes;	      /* of the file */
	uint32_t n[ITEM_END]; /* so far, in this pass */
	struct wire_text *text;
	uint32_t *string; /* of labels.h, once it was needed */
	struct load_level *level;
	struct load_schema *schema;
	struct load_family *family;
	struct load_series *series;
	struct load_column *column; /* [0]: the daemon's own */
	/* Of the family under way. */
	uint32_t position;
	uint32_t series_left, holes_left;
	uint8_t *taken; /* while it is checked: positions that are holes */
	size_t taken_room;
	uint32_t last_hole; /* while it is loaded: its position plus 1 */
	uint32_t *part;	    /* where the number of the gauge's next part belongs */
	bool found;	    /* the series was there: two have become one */
	/* The metric and the child before, while they are checked. */
	uint32_t column_before, id_before, child_column;
	uint64_t cells_end;
	uint64_t cells; /* that all columns will have */
	bool loading;
	bool fit; /* names have to be made to fit */
	bool memory;
	uint64_t dropped;
	struct refusal why;
	struct message_metric metric; /* scratch: it is large */
};

/* ---- registry_load.c ---- */

/* Count it. True. */
bool load_left_out(struct registry_load *l);
/* The registry's number of a string of the file: held until the load is done. 0 when
 * memory is out. */
uint32_t load_string_of(struct registry_load *l, uint32_t string);
/* The registry's number of a level. False if it was left out. */
bool load_level_of(const struct registry_load *l, uint32_t level, uint32_t *ret_number);
/* The family as a worker would define it now, in l->metric; then the name of a label. */
void load_describe(struct registry_load *l, const struct load_family *f);
void load_describe_label(
    struct registry_load *l, const struct load_family *f, uint32_t name);
/* l->metric may be what it is under the names of now. */
bool load_labels_fit(struct registry_load *l);

/* ---- registry_load_column.c: false when memory is out ---- */

bool registry_load_column(
    struct registry_load *l, struct wire_reader *from, struct column *c);
bool registry_load_part(struct registry_load *l, struct wire_reader *from);
bool registry_load_metric(struct registry_load *l, struct wire_reader *from);
bool registry_load_child(struct registry_load *l, struct wire_reader *from);

/* The text of a string of the file, which is there. */
static inline struct wire_text
load_text(const struct registry_load *l, uint32_t string)
{
	return l->text[string - LABELS_WORKER - 1];
}

static inline uint32_t
load_cells(const struct load_family *f)
{
	return message_cells(f->kind, f->merge, f->n_bounds);
}

static inline uint32_t
load_totals(const struct load_family *f)
{
	return f->kind == MESSAGE_GAUGE ? 0 : load_cells(f);
}

#endif /* REGISTRY_LOAD_PARTS_H */
