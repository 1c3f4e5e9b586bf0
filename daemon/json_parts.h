/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_parts.h - what json.c (a message as a whole) and json_metric.c (one of its
 * metrics) share. Nobody else includes it.
 */
#ifndef JSON_PARTS_H
#define JSON_PARTS_H

#include <jansson.h>

#include "json.h"

struct json_batch {
	json_t *root;
	json_t *metrics;
	struct message_level level;
	struct wire_text id;
	double *observed; /* of the metric asked for last */
	uint8_t *bounds;
};

static inline struct wire_text
json_text(const json_t *string)
{
	return (
	    struct wire_text){ json_string_value(string), json_string_length(string) };
}

/* "a string", "null", ... */
const char *json_kind_of(const json_t *value);
/* REASON_FIELD for the first field that is none of known. of: in words, with a space
 * before it; may be empty. */
enum reason json_check_fields(
    const json_t *object, const char *const *known, const char *of, struct refusal *r);

#endif /* JSON_PARTS_H */
