/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_parts.h - what the files of the configuration share: single values (of a key, in
 * a struct config), the file, the environment. Nobody else includes it.
 */
#ifndef CONFIG_PARTS_H
#define CONFIG_PARTS_H

#include "config.h"

struct json_t; /* jansson's */

/* Write the sentence, unless there is one already. Returns -1. */
int config_fail(struct config_error *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* config_value.c. where: what an error sentence starts with. */
/* Set a value as the environment and the table write it, or as the file does. */
int config_set_text(struct config *c, const struct config_key *k, const char *text,
    const char *where, struct config_error *e);
int config_set_json(struct config *c, const struct config_key *k,
    const struct json_t *value, const char *where, struct config_error *e);
bool config_equal(
    const struct config_key *k, const struct config *a, const struct config *b);
void config_swap(const struct config_key *k, struct config *a, struct config *b);
void config_free_value(struct config *c, const struct config_key *k);

/* config_file.c */
int config_read_file(struct config *c, const char *file, struct config_error *e);
/* "http.port", or the name of a variable. */
void config_path(const struct config_key *k, char *out, size_t room);
/* The key of a path, or NULL. */
const struct config_key *config_find(const char *path);

/* config_environment.c */
int config_read_environment(
    struct config *c, char *const *environment, struct config_error *e);
/* The value of a variable; NULL: it is not there, or empty. */
const char *config_variable(char *const *environment, const char *name);

#endif /* CONFIG_PARTS_H */
