/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.h - commands for the daemon's administrator: JSON there, JSON back.
 */
#ifndef ASK_H
#define ASK_H

#include <jansson.h>

#include "request.h"

/*
 * Send a command, which is released, as an ADMIN request. *ret_answer is to be released
 * with json_decref(); *ret_text (may be NULL), the answer as it came, with free().
 * CTL_REFUSED with the daemon's sentence, or why there is no answer.
 */
enum ctl_exit ask_admin(struct connection *c, json_t *command, json_t **ret_answer,
    char **ret_text, struct ctl_error *error);

/* A whole number of an answer, 0 if it is not there; a text, or "". */
int64_t ask_number(const json_t *object, const char *key);
const char *ask_text(const json_t *object, const char *key);

#endif /* ASK_H */
