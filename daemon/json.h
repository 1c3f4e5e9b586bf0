/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - the JSON form of a message, for every other language: bytes -> structs.
 *
 * {"namespace":"..","component":"..","endpoint":"..","metrics":[{...}, ...]}; the level's
 * fields may be missing from the right. proto/PROTOCOL.md has every field. Whether names
 * and shapes can be is for the registry to say. One thread.
 */
#ifndef JSON_H
#define JSON_H

#include "message.h"

#define JSON_ID_BYTES  128
#define JSON_TTL_MAX_S 100000000.0
/* A message may take so many times its bytes while it is decoded: real ones take up
 * to 20. */
#define JSON_TIMES_MAX 32

enum json_operation {
	JSON_DEFINE, /* none given */
	JSON_INC,
	JSON_SET,
	JSON_ADD,
	JSON_OBSERVE,
	JSON_REMOVE
};

struct json_metric {
	struct message_metric
	    metric; /* its labels are constant; borrows from the batch */
	/* What of the shape was given; only JSON_REMOVE comes without a type. */
	bool has_type, has_merge, has_buckets;
	enum json_operation operation;
	double value; /* of inc, set, add: finite */
	double ttl_s; /* of set: the value leaves after so long; 0: never */
	/* All finite, and their sum, too. */
	size_t n_observed;
	const double *observed;
};

struct json_batch;

/*
 * Parse a payload. If it is not such a message as a whole: REASON_JSON, REASON_UTF8,
 * REASON_DUPLICATE (a field twice in an object), REASON_VALUE (a number too large for a
 * double), REASON_FIELD, REASON_LENGTH, REASON_LEVEL, REASON_LIMIT (decoded, it is too
 * large) or REASON_MEMORY. *ret is released with json_batch_free().
 */
enum reason json_batch_new(
    struct json_batch **ret, const void *payload, size_t bytes, struct refusal *r);
void json_batch_free(struct json_batch *b);
size_t json_batch_count(const struct json_batch *b);
/* What the sender calls the message; empty if it gave no id. */
struct wire_text json_batch_id(const struct json_batch *b);
/* When it was made, in seconds since 1970; false if that was not given. */
bool json_batch_time(const struct json_batch *b, double *ret_seconds);

/* The i-th metric, until the next call. ret->metric.name is set even when the rest of it
 * is refused, if it has one. */
enum reason json_batch_metric(
    struct json_batch *b, size_t i, struct json_metric *ret, struct refusal *r);

#endif /* JSON_H */
