/* SPDX-License-Identifier: Apache-2.0 */
/* audit_parts.h - what the files of audit share. */
#ifndef AUDIT_PARTS_H
#define AUDIT_PARTS_H

#include "apply_parts.h"
#include "audit.h"
#include "fuzz.h"
#include "registry_parts.h"

/* What was met of a series on the way. */
struct audit_met {
	uint32_t live;	/* workers that define it */
	uint32_t cells; /* first cells of gauges */
	uint32_t parts;
	bool is_member, is_indexed;
};

struct audit_walk {
	const struct apply *a;
	const struct registry *r;
	struct audit found;
	struct audit_met *met; /* by the number of a series */
	double *counter;       /* what columns come to: by the number of a series, */
	double *run;	       /* and by the place of a run */
	uint32_t *grouped;     /* series, by the number of their group */
	uint32_t *owned;       /* series, by the number of their owner */
	uint32_t *defined;     /* metrics of columns, by the position of their family */
	uint32_t n_columns, n_parts;
	bool is_reset;
};

static inline void
audit_note(struct audit_walk *l, uint64_t v)
{
	uint64_t x = (l->found.digest ^ v) * 0x9e3779b97f4a7c15U;

	l->found.digest = x ^ x >> 29;
}

/* audit.c */
/* n + 1 of them. */
void *audit_zeros(size_t n, size_t bytes);
/* owned: how many things of a kind there are, by the number of their owner. */
void audit_owners(const struct owners *owners, const uint32_t *owned, const char *what);

/* audit_column.c: cells, metrics. A column that is not there is as one without cells. */
void audit_column(struct audit_walk *l, const struct column *c);

/* audit_sessions.c */
void audit_sessions(struct audit_walk *l);

#endif /* AUDIT_PARTS_H */
