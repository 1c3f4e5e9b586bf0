/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - a daemon without sockets, clocks or files, that is killed and goes on from
 * what it recorded; and what must hold of it whatever happens.
 */
#ifndef WORLD_H
#define WORLD_H

#include "apply.h"
#include "audit.h"
#include "fuzz.h"

#define WORLD_STORE   0x1122334455667788U
#define WORLD_UNIX_MS 1700000000000U /* what the calendar shows at now_ms 0 */

/* A counter's or histogram's cell of a live worker, as it was. */
struct world_cell {
	uint64_t serial;
	uint32_t cell, slot;
	uint64_t bits;
};

/* A series of totals, as it was. */
struct world_total {
	uint32_t number, family, group, set, n;
	size_t at; /* in totals */
};

/* Before a request, or whatever else happens. */
struct world_before {
	struct audit audit;
	size_t journal_bytes;
	struct world_cell *cell;
	size_t n_cells, cell_room;
	struct world_total *series;
	size_t n_series, series_room;
	double *total, *moved; /* moved: by what workers told */
	size_t n_totals, total_room;
};

/* What may have happened. */
enum world_change {
	WORLD_NOTHING, /* it was refused, or asked for */
	WORLD_WORKERS, /* totals move by what workers told, and by nothing else */
	WORLD_DEFINED, /* the same; series that were removed may have been made again */
	WORLD_MORE,    /* totals have grown by counted and observed */
	WORLD_ANY
};

struct world {
	struct registry_limits limits;
	struct apply_options options;
	bool component;	 /* the naming */
	bool is_reset;	 /* see audit_look() */
	bool is_lowered; /* since the last page a series left, or was set back */
	struct registry *registry;
	struct self_metrics *self;
	struct journal *journal;
	struct apply *apply;
	uint64_t now_ms;
	struct strbuf reply;
	struct strbuf snapshot; /* empty: there is none */
	struct strbuf file;	/* the journal since then, as it was written */
	struct world_before before;
	struct strbuf text[2]; /* of the last two pages */
	struct fuzz_page page[2];
	unsigned last; /* the one of them that is newer */
};

/* The caller has set limits, options (but for what only the world knows) and naming. */
void world_open(struct world *w);
void world_close(struct world *w);

/* The turn's records are written. */
void world_write(struct world *w);
void world_snapshot(struct world *w);
/*
 * Killed, and begun anew by what was written, of whose journal only the first bytes are
 * there; it shows the same, if that is all of it and the naming is. Bindings of all peers
 * were given back.
 */
void world_restart(struct world *w, size_t journal_bytes, bool component);

/* ---- What must hold ------------------------------------------------------ */

/* Call the one, let something happen, call the other. */
void world_before(struct world *w);
void world_after(
    struct world *w, enum world_change change, double counted, double observed);

/* Make a page and read it: no counter is lower than on the page before. */
void world_page(struct world *w);
/* The same for a text that began when the last page was made, and if nothing has left
 * since. */
void world_compare_pages(const struct fuzz_page *old, const struct fuzz_page *now);

#endif /* WORLD_H */
