/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels_saved.h - strings, levels, schemas and sets by their numbers, for saving them
 * and for making them again. One thread.
 */
#ifndef LABELS_SAVED_H
#define LABELS_SAVED_H

#include "labels.h"

/* The highest number that a string, level, schema has. */
uint32_t labels_last_string(const struct labels *l);
uint32_t labels_last_level(const struct labels *l);
uint32_t labels_last_schema(const struct labels *l);

/* What a level is: not the runtime's. */
void labels_level_parts(
    const struct labels *l, uint32_t level, uint32_t *ret_parent, uint32_t *ret_name);

/* The text of an escaped one, in room if it differs. room fails when memory is out. */
struct wire_text labels_raw(struct wire_text escaped, struct strbuf *room);

/* Room for so many strings and schemas more. False when memory is out. */
bool labels_reserve(struct labels *l, uint32_t strings, uint32_t schemas);
/* The string is about to be taken: ask memory for its place. */
void labels_ask_string(const struct labels *l, struct wire_text text);
/* One more holder of a string, of a level. */
void labels_hold_string(struct labels *l, uint32_t string);
void labels_hold_level(struct labels *l, uint32_t level);
/* A schema for whoever releases it; names sorted by text. 0 when memory is out. */
uint32_t labels_restore_schema(
    struct labels *l, uint32_t level, uint32_t n, const uint32_t *name);
void labels_release_schema(struct labels *l, uint32_t schema);
/* A set of a schema with as many values as it has names, none of them without text. 0
 * when memory is out. */
uint32_t labels_restore_set(struct labels *l, uint32_t schema, const uint32_t *value);

#endif /* LABELS_SAVED_H */
