/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - the rules for names, labels and bounds that worker and daemon share.
 *
 * The library checks with the default limits, so that a mistake shows where it is made;
 * the daemon checks again with its configured ones. Pure functions.
 */
#ifndef NAMES_H
#define NAMES_H

#include "message.h"

#define NAMES_LEVEL_BYTES    128  /* a namespace, component or endpoint */
#define NAMES_WORKER_BYTES   63	  /* a worker's name, without its NUL */
#define NAMES_NAME_BYTES_MAX 4096 /* the most that name_bytes may be set to */

struct names_limits {
	uint32_t name_bytes;
	uint32_t help_bytes;
	uint32_t labels;      /* constant and variable together, per series */
	uint32_t label_bytes; /* a label's name, and a label's value */
	uint32_t buckets;     /* without +Inf */
};

#define NAMES_DEFAULT_LIMITS \
	((struct names_limits){ .name_bytes = 200, \
	    .help_bytes = 1024, \
	    .labels = 32, \
	    .label_bytes = 1024, \
	    .buckets = 128 })

/* Valid UTF-8 (RFC 3629) without NUL. */
bool names_utf8(struct wire_text text);

/* [a-zA-Z_:][a-zA-Z0-9_:]* */
bool names_is_metric(struct wire_text name);
/* [a-zA-Z_][a-zA-Z0-9_]* */
bool names_is_label(struct wire_text name);

/* Labels that nobody may set, of whatever kind the metric is: those of the hierarchy
 * under either naming, and Prometheus' own, which start with __. */
bool names_is_reserved(struct wire_text label);

/* As strcmp(): the order of names on the page. */
int names_compare(struct wire_text a, struct wire_text b);

/* The name of the i-th label of a metric: the constant ones first. */
struct wire_text names_label(const struct message_metric *m, size_t i);

/* Each: 0, or the reason with a sentence in r. */
/* UTF-8 of at most so many bytes; what: what it is. */
enum reason names_check_text(
    const char *what, struct wire_text text, size_t most, struct refusal *r);
enum reason names_check_level(const struct message_level *level, struct refusal *r);
enum reason names_check_worker(struct wire_text name, struct refusal *r);
enum reason names_check_metric(
    const struct message_metric *m, const struct names_limits *limits, struct refusal *r);
/* n values for a metric that has as many label names. */
enum reason names_check_values(size_t n, const struct wire_text *value,
    const struct names_limits *limits, struct refusal *r);

/* A name for an error sentence: shortened, NUL-terminated, bytes that are not printable
 * ASCII as '?'. Returns buf. */
const char *names_show(struct wire_text name, char buf[64]);
/* The same for a sentence of another's, in place and at its length. */
void names_make_printable(char *text);

#endif /* NAMES_H */
