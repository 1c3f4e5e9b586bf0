/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry.h - every family and series, what each worker reports of it, and what they
 * come to together.
 *
 * A family is a name with one shape (kind, merge, bounds). Each of its series has a
 * label set, a total, and a number of live workers that define it. A worker owns a column
 * of cells; a cell holds the last value that the worker reported, and knows where in the
 * registry it counts. Totals of counters and histograms are stored and move by new - old,
 * so they are never recomputed and never go down; gauges keep no total and are computed
 * from the live columns when they are printed.
 *
 * Everything is checked before anything changes. No socket, file or clock. One thread.
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include <math.h>

#include "family.h"
#include "index.h"
#include "labels.h"
#include "log.h"
#include "names.h"
#include "naming.h"
#include "table.h"

struct registry_limits {
	struct names_limits names;
	uint32_t families;
	uint32_t series; /* a histogram's child is one series, like any other */
	uint32_t series_per_family;
	uint32_t series_per_worker; /* as many metrics, too */
	uint32_t series_per_uid;    /* that one uid made */
	uint32_t uid_percent;	    /* of a limit, for one uid; 0: all of it */
};

#define REGISTRY_DEFAULT_LIMITS \
	((struct registry_limits){ .names = NAMES_DEFAULT_LIMITS, \
	    .families = 20000, \
	    .series = 2000000, \
	    .series_per_family = 500000, \
	    .series_per_worker = 500000, \
	    .series_per_uid = 2000000 })

/* The bits of a gauge's cell that nobody set. A worker's own NaN never has them. */
#define REGISTRY_UNSET 0x7ff4deadbeef0001U

/* What one uid may have of a limit that all uids share. */
static inline uint32_t
registry_share(const struct registry_limits *limits, uint32_t limit)
{
	uint64_t share = (uint64_t)limit * limits->uid_percent / 100;

	if (limits->uid_percent == 0 || share > limit)
		return limit;
	return share > 0 ? (uint32_t)share : 1;
}

struct series; /* registry_parts.h */

struct column {
	uint32_t number;
	uint32_t worker; /* labels_string: its name */
	uint32_t uid;	 /* makes its series */
	bool hidden;	 /* its gauges are left out of the page */
	uint32_t n_series;
	uint32_t n_cells;	       /* in use */
	uint32_t most_cells;	       /* ever in use at once */
	uint32_t room;		       /* cells that old and slot have */
	uint64_t *old;		       /* last value, as bits */
	uint32_t *slot;		       /* kind of cell, and where it counts */
	struct column_metric **metric; /* by the worker's number for it; NULL: none */
	uint32_t metric_room;
	uint32_t n_metrics;
	struct column_metric *metrics; /* all of them, the youngest first */
	double dropped;		       /* MESSAGE_CELL_DROPPED */
};

/*
 * A worker numbers its cells and metrics densely from 0: the end of what it names may be
 * at most REGISTRY_SPARSE + 4 times the most that it used at once. So no number makes the
 * daemon allocate much.
 */
#define REGISTRY_SPARSE 65536U

struct registry;

struct effects;
struct journal_record;

/* log may be NULL. NULL when memory is out. */
struct registry *registry_new(const struct registry_limits *limits, struct log *log);
void registry_free(struct registry *r);
/* What registry_tidy() takes away is recorded there; NULL: nowhere. */
void registry_set_effects(struct registry *r, struct effects *effects);
/* Another log, which may be NULL; returns the one it was. */
struct log *registry_set_log(struct registry *r, struct log *log);
/* How names are shown, from the first definition on: before it only. The naming has
 * passed naming_check(); without a call it is the seed's. False when memory is out. */
bool registry_set_naming(struct registry *r, const struct naming *naming);

/* ---- Writing ----------------------------------------------------------- */

/* A worker's column under the name its `each` gauges show; NULL when memory is out. */
struct column *registry_column_new(struct registry *r, struct wire_text worker);
/* The uid that the series it makes are counted for; 0 at first. */
void registry_column_owner(struct column *c, uint32_t uid);
/* False when memory is out: the old name stays. */
bool registry_column_rename(
    struct registry *r, struct column *c, struct wire_text worker);
/* The worker is gone: its gauges and definitions leave, what it counted stays. */
void registry_column_fold(struct registry *r, struct column *c);

/* Define a family for a column. Defining it again as it is changes nothing. */
enum reason registry_define_metric(struct registry *r, struct column *c,
    const struct message_metric *m, struct refusal *refusal);
/*
 * Define a series: its cells start at 0 or unset, unless they are that series already. A
 * cell that belonged to another series is taken from it. *ret_new (may be NULL): the
 * column did not have it.
 */
enum reason registry_define_child(struct registry *r, struct column *c,
    const struct message_child *child, bool *ret_new, struct refusal *refusal);

/* Check records of an UPDATE (all of them), and take them: counters never go down. */
enum reason registry_check_records(const struct column *c, const uint8_t *records,
    uint32_t count, struct refusal *refusal);
void registry_apply_records(
    struct registry *r, struct column *c, const uint8_t *records, uint32_t count);

/* The series whose first cell this is leaves the column, and the page if no live worker
 * defines it. Nothing happens for a cell that is not in use. */
void registry_remove_child(struct registry *r, struct column *c, uint32_t cell);

/*
 * The daemon's own part, for messages without a session. Find or make (for a uid) the
 * series of a metric whose labels are all constant; then change it. *ret_new (may be
 * NULL): it was made.
 */
enum reason registry_retain(struct registry *r, uint32_t uid,
    const struct message_metric *m, uint32_t *ret_series, bool *ret_new,
    struct refusal *refusal);
/* counter: n finite and not negative; histogram: n finite values. REASON_VALUE, and
 * nothing has changed, if the total were not finite then. */
enum reason registry_retained_add(
    struct registry *r, uint32_t series, double n, struct refusal *refusal);
enum reason registry_retained_observe(struct registry *r, uint32_t series, size_t n,
    const double *v, struct refusal *refusal);
/* Room for one gauge more: before registry_retain(), so that nothing can fail after it.
 * False when memory is out. */
bool registry_retained_reserve(struct registry *r);
/* gauge: set it, or add to it, as one more worker that never dies. A value that is set
 * leaves at a time of registry_set_time()'s clock, or never. */
#define REGISTRY_NO_END UINT64_MAX
void registry_retained_set(
    struct registry *r, uint32_t series, double v, uint64_t now_ns, uint64_t end_ms);
void registry_retained_adjust(
    struct registry *r, uint32_t series, double n, uint64_t now_ns);

/* ---- Removal ------------------------------------------------------------- */

/* Why series left. */
enum registry_cause {
	REGISTRY_REQUEST, /* of their worker, or of JSON */
	REGISTRY_TTL,
	REGISTRY_RETAIN,
	REGISTRY_ADMIN,
	REGISTRY_CAUSES
};

/* Of a metric that is to be removed, the parts of its shape that its sender gave. */
enum { REGISTRY_GIVEN_KIND = 1, REGISTRY_GIVEN_MERGE = 2, REGISTRY_GIVEN_BOUNDS = 4 };

/*
 * What the daemon itself keeps of a series leaves: its part of a gauge; a total only if
 * no live worker defines the series. Nothing is there: nothing happens. The shape, as far
 * as it was given (REGISTRY_GIVEN_ bits), must be the family's.
 */
enum reason registry_retained_remove(struct registry *r, const struct message_metric *m,
    unsigned given, struct refusal *refusal);

struct registry_removal {
	struct wire_text name;	    /* of a metric, with the naming's prefix or without */
	struct message_level level; /* a place, and all below it */
	/* Each label has that value; a label with an empty one is not there. */
	size_t n;
	const struct wire_text *label_name, *label_value;
	bool dry_run;
};

struct registry_removed {
	uint32_t removed; /* no live worker defines them: they left */
	uint32_t reset;	  /* live workers do: they start again, gauges as if never set */
};

#define REGISTRY_LINES_MAX 1000

/* lines (may be NULL) is given the series as they are on the page, each with a newline,
 * up to REGISTRY_LINES_MAX. It has failed if memory ran out: a series that could not be
 * compared stays. */
void registry_remove_matching(struct registry *r, const struct registry_removal *what,
    struct strbuf *lines, struct registry_removed *ret);

/* What happens from now on happens then: milliseconds of the clock that ends are in. */
void registry_set_time(struct registry *r, uint64_t now_ms);
/* A slice of what time takes away: gauges whose end has come, and series that only kept
 * data defines and that nobody touched for retain_s (0: those stay). */
void registry_tidy(struct registry *r, uint64_t retain_s);
/* Take away what a JOURNAL_GONE says. What is not there is left out. REASON_MEMORY, or
 * REASON_MESSAGE for a body that is none. */
enum reason registry_gone(
    struct registry *r, const struct journal_record *record, struct refusal *refusal);
/* The machine was started anew: its clock says nothing of when the daemon's own gauges
 * were set. */
void registry_retained_forget_times(struct registry *r);
/* When there is something to tidy, UINT64_MAX if never; 0 if the last slice left some. */
uint64_t registry_tidy_ms(const struct registry *r, uint64_t retain_s);

/* ---- Reading ----------------------------------------------------------- */

struct labels *registry_labels(const struct registry *r);
const struct registry_limits *registry_limits(const struct registry *r);
/* Other limits: what is there already stays. */
void registry_set_limits(struct registry *r, const struct registry_limits *limits);
/* As copied: naming_copy(). */
const struct naming *registry_naming(const struct registry *r);
/* The place of a level by the names that a sender gave it. False: nothing is there. */
bool registry_place(
    const struct registry *r, const struct message_level *level, uint32_t *ret_place);

/* Families by name: how many, the i-th, and the first whose name is not below name. */
uint32_t registry_families(const struct registry *r);
const struct family *registry_family(const struct registry *r, uint32_t i);
uint32_t registry_family_from(const struct registry *r, const char *name);

/* The series at a position of a family, or NULL for a hole. */
const struct series *registry_member(
    const struct registry *r, const struct family *f, uint32_t position);
/* The labels of a series: its schema, and a string for each of the schema's names. What a
 * series is made of besides is for the registry's own files only. */
const struct labels_schema *registry_series_labels(
    const struct registry *r, const struct series *s, const uint32_t **ret_values);

/* Some members of a family, as their lines need them. */
struct registry_line {
	uint32_t position;
	const struct series *series;
	const struct labels_schema *schema;
	const uint32_t *string; /* of the schema's names: LABELS_WORKER or a string */
	const struct wire_text *value; /* their texts */
	const double *totals;	       /* as registry_totals(); NULL for a gauge */
};

#define REGISTRY_WALK_LINES 16
#define REGISTRY_WALK_TEXTS 128 /* enough for one series, whatever its labels */

struct registry_walk {
	uint32_t n;
	struct registry_line line[REGISTRY_WALK_LINES];
	struct wire_text text[REGISTRY_WALK_TEXTS];
};

/*
 * The next members from a position on, without holes and without those that came after
 * the family had had so many births. Nothing of them waits for memory one after the
 * other: all are asked for before one is looked at. n 0: there are none. Valid until
 * something changes.
 */
void registry_walk(const struct registry *r, const struct family *f, uint32_t position,
    uint32_t births, struct registry_walk *ret);

/* The totals of a counter (1) or histogram (a count for each bucket, +Inf, the sum). */
const double *registry_totals(const struct registry *r, const struct series *s);

/* The visible set parts of a gauge, merged; false if there are none. Not for `each`. */
bool registry_gauge(const struct registry *r, const struct family *f,
    const struct series *s, double *ret_value);
/* For `each`: the first visible set part from *at on (start with registry_gauge_parts()),
 * its value and its worker; *at moves behind it. False at the end. */
uint32_t registry_gauge_parts(const struct registry *r, const struct series *s);
bool registry_gauge_part(const struct registry *r, uint32_t *at, double *ret_value,
    struct wire_text *ret_worker);

/* Updates that workers dropped themselves, so far. */
double registry_client_dropped(const struct registry *r);

/* Series by kind, families replaced so far. */
uint32_t registry_count(const struct registry *r, enum message_kind kind);
uint64_t registry_replaced(const struct registry *r);
uint64_t registry_removed(const struct registry *r, enum registry_cause cause);

/* The name of a metric that a column has defined under that number. */
const char *registry_metric_name(const struct column *c, uint32_t id);

/* True if a column has a metric at an endpoint of that name, made to fit if need be. */
bool registry_column_has_endpoint(
    const struct registry *r, const struct column *c, const char *endpoint);

#endif /* REGISTRY_H */
