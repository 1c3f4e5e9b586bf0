/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - the JSON form of a message, for every other language: bytes -> structs.
 *
 * {"namespace":"..","component":"..","endpoint":"..","metrics":[{...}, ...]}; the level's
 * fields may be missing from the right. proto/PROTOCOL.md has every field. One thread.
 */
#ifndef JSON_H
#define JSON_H

#include "message.h"

enum json_operation {
	JSON_DEFINE, /* none given */
	JSON_INC,
	JSON_SET,
	JSON_ADD,
	JSON_OBSERVE
};

struct json_metric {
	struct message_metric
	    metric; /* its labels are constant; borrows from the batch */
	enum json_operation operation;
	double value; /* of inc, set, add */
	size_t n_observed;
	const double *observed;
};

struct json_batch;

/*
 * Parse a payload. REASON_JSON, REASON_FIELD, REASON_LEVEL or REASON_MEMORY if it is not
 * such a message as a whole. *ret is released with json_batch_free().
 */
enum reason json_batch_new(
    struct json_batch **ret, const void *payload, size_t bytes, struct refusal *r);
void json_batch_free(struct json_batch *b);
size_t json_batch_count(const struct json_batch *b);

/* The i-th metric, until the next call. ret->metric.name is set even when the rest of it
 * is refused, if it has one. */
enum reason json_batch_metric(
    struct json_batch *b, size_t i, struct json_metric *ret, struct refusal *r);

#endif /* JSON_H */
