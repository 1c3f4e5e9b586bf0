/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.h - the lines of one family, appended to a text.
 *
 * What the lines of one family and one schema have in common is laid out once; a line is
 * then a few short copies, and its value. When memory is out, the text has failed. One
 * thread.
 */
#ifndef LINES_H
#define LINES_H

#include "labels.h"
#include "strbuf.h"

struct lines {
	struct strbuf *out;
	struct wire_text name;
	bool histogram;
	uint32_t n_bounds;
	const double *bounds;
	/* What the lines share: the pieces between the values of n labels, one after the
	 * other. The first has the name in it. */
	const struct labels_schema
	    *schema; /* whose pieces they are; NULL: nobody's yet */
	uint32_t n;
	uint32_t end[MESSAGE_LABELS_MAX + 2]; /* of each piece */
	bool open;			      /* there are labels */
	struct strbuf shared;
	struct strbuf le; /* of each bucket, with its braces, one after the other */
	uint32_t *le_end; /* n_bounds + 1 of them */
	uint32_t le_room;
};

/* Zeroed: none. */
void lines_free(struct lines *l);

/* Lines of this family come next. The texts and bounds outlive it; nothing that a schema
 * handed in later belongs to may change before the next call. bounds NULL: it is no
 * histogram. */
void lines_begin(struct lines *l, struct strbuf *out, struct wire_text name,
    const double *bounds, uint32_t n_bounds);

/* HELP, unless it is empty, and TYPE. */
void lines_head(struct lines *l, const char *help, enum message_kind kind);

/* The next lines have these labels: of a schema; or these, rendered, without a closing
 * brace: then there are no values. */
void lines_schema(struct lines *l, const struct labels_schema *schema);
void lines_labels(struct lines *l, struct wire_text labels);

/* One line; value: the texts of the labels that differ. */
void lines_add(struct lines *l, const struct wire_text *value, double v);
/* All lines of a histogram's child. cells: a count for each bucket, +Inf last, then the
 * sum. */
void lines_add_histogram(
    struct lines *l, const struct wire_text *value, const double *cells);

#endif /* LINES_H */
