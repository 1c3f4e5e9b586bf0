/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels.h - label strings, places in the hierarchy and label sets, each kept once.
 *
 * A string is stored escaped, as it is printed. A level is a place in the tree. A schema
 * is a level with sorted label names, and holds everything of a line's braces that does
 * not differ between its series, in the order of the naming and with its constant labels.
 * A set is the values that go with a schema: 4 bytes for each. All are counted: who takes
 * one releases it. One thread.
 */
#ifndef LABELS_H
#define LABELS_H

#include "message.h"
#include "naming.h"
#include "strbuf.h"

/* In the place of a value: the name of the worker whose part is printed. */
#define LABELS_WORKER 1

#define LABELS_RUNTIME 0 /* the level above all */

struct labels;

/* A schema's part of a line: literal 0, value 0, literal 1, ... value n-1, literal n.
 * Literals hold the labels that do not differ, the first one the opening brace, the last
 * one no closing brace; all are empty for a line without labels. */
struct labels_schema {
	uint32_t refs;
	uint32_t level;
	uint32_t n;
	uint32_t *name;	   /* n strings, sorted by text */
	uint32_t *literal; /* n + 2 offsets into text */
	char *text;
};

/* naming (a copy: naming_copy()) outlives it, and does not change once there is a schema.
 */
struct labels *labels_new(const struct naming *naming);
void labels_free(struct labels *l);

/* 0 when memory is out. */
uint32_t labels_string(struct labels *l, struct wire_text text);
void labels_string_release(struct labels *l, uint32_t string);
/* The string if it exists, without taking it; else 0. */
uint32_t labels_string_find(struct labels *l, struct wire_text text);
/* Escaped; valid as long as the string is held. */
struct wire_text labels_text(const struct labels *l, uint32_t string);

/* False when memory is out; LABELS_RUNTIME for depth 0. */
bool labels_level(
    struct labels *l, const struct message_level *level, uint32_t *ret_level);
void labels_level_release(struct labels *l, uint32_t level);
/* The level if it exists, without taking it. */
bool labels_level_find(
    struct labels *l, const struct message_level *level, uint32_t *ret_level);
/* True if level is place or below it. */
bool labels_level_within(const struct labels *l, uint32_t level, uint32_t place);
/* True if the level has that depth, and the string as its last name. */
bool labels_level_ends(
    const struct labels *l, uint32_t level, uint32_t depth, uint32_t string);

/*
 * The set of n labels at a level: names sorted by their text, none twice; values may be
 * LABELS_WORKER. Labels with an empty value are left out: to Prometheus they are no
 * labels. Takes its own references. 0 when memory is out.
 */
uint32_t labels_set(struct labels *l, uint32_t level, size_t n, const uint32_t *name,
    const uint32_t *value, uint32_t *ret_schema);
/* A set, and its schema with it. */
void labels_set_release(struct labels *l, uint32_t schema, uint32_t set);
const struct labels_schema *labels_schema(const struct labels *l, uint32_t schema);
/* A string for each of the schema's names. Equal sets of one schema have equal ones,
 * though sets themselves are not shared. */
const uint32_t *labels_set_values(const struct labels *l, uint32_t set);

#endif /* LABELS_H */
