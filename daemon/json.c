/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <stdlib.h>

#include "json_parts.h"
#include "names.h"
#include "nearest.h"

#define BUDGET_LEAST 4096 /* for a short message */

const char *
json_kind_of(const json_t *value)
{
	static const char *const words[] = {
		[JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "an array",
		[JSON_STRING] = "a string",
		[JSON_INTEGER] = "a number",
		[JSON_REAL] = "a number",
		[JSON_TRUE] = "true",
		[JSON_FALSE] = "false",
		[JSON_NULL] = "null",
	};

	return value ? words[json_typeof(value)] : "missing";
}

enum reason
json_check_fields(
    const json_t *object, const char *const *known, const char *of, struct refusal *r)
{
	const char *key, *nearest;
	json_t *value;
	char shown[64];

	json_object_foreach((json_t *)object, key, value)
	{
		size_t i = 0;

		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (known[i])
			continue;
		nearest = nearest_word(known, key);
		return refuse(r, REASON_FIELD, "the field '%s'%s is not known%s%s%s",
		    names_show(wire_text(key), shown), of,
		    nearest ? "; the nearest one is '" : "", nearest ? nearest : "",
		    nearest ? "'" : "");
	}
	return REASON_NONE;
}

/* ---- The message ------------------------------------------------------ */

static enum reason
get_level(struct json_batch *b, struct refusal *r)
{
	static const char *const words[] = { "namespace", "component", "endpoint" };

	for (size_t i = 0; i < MESSAGE_LEVELS_MAX; i++) {
		const json_t *name = json_object_get(b->root, words[i]);

		if (name == NULL)
			continue;
		if (!json_is_string(name))
			return refuse(r, REASON_FIELD, "'%s' has to be a string, not %s",
			    words[i], json_kind_of(name));
		if (b->level.depth < i)
			return refuse(r, REASON_LEVEL, "'%s' needs a '%s' above it",
			    words[i], words[i - 1]);
		b->level.name[b->level.depth++] = json_text(name);
	}
	return names_check_level(&b->level, r);
}

static enum reason
get_id(struct json_batch *b, struct refusal *r)
{
	const json_t *id = json_object_get(b->root, "id");
	const json_t *time = json_object_get(b->root, "time");

	if (id && (!json_is_string(id) || json_string_length(id) == 0))
		return refuse(r, REASON_FIELD,
		    "'id' has to be a string of 1 to %d bytes, not %s", JSON_ID_BYTES,
		    json_is_string(id) ? "an empty one" : json_kind_of(id));
	if (id && json_string_length(id) > JSON_ID_BYTES)
		return refuse(r, REASON_LENGTH, "'id' has %zu bytes; the limit is %d",
		    json_string_length(id), JSON_ID_BYTES);
	if (time && !json_is_number(time))
		return refuse(r, REASON_FIELD,
		    "'time' has to be a number of seconds since 1970, not %s",
		    json_kind_of(time));
	if (id)
		b->id = json_text(id);
	return REASON_NONE;
}

static enum reason
check_batch(struct json_batch *b, struct refusal *r)
{
	static const char *const known[] = { "namespace", "component", "endpoint",
		"metrics", "id", "time", NULL };
	enum reason reason;

	if (!json_is_object(b->root))
		return refuse(r, REASON_JSON, "a message has to be an object");
	reason = json_check_fields(b->root, known, "", r);
	if (reason != REASON_NONE)
		return reason;
	b->metrics = json_object_get(b->root, "metrics");
	if (!json_is_array(b->metrics))
		return refuse(r, REASON_FIELD, "'metrics' has to be an array%s%s",
		    b->metrics ? ", not " : ": it is ", json_kind_of(b->metrics));
	reason = get_id(b, r);
	return reason != REASON_NONE ? reason : get_level(b, r);
}

/* ---- Parsing ---------------------------------------------------------- */

/*
 * jansson takes a string for which there is no memory for a bad token, and makes 80 bytes
 * of each that it reads when somebody means ill. So allocations are watched while it
 * parses; its hooks have no argument, hence these.
 */
static json_malloc_t parse_malloc;
static bool parse_refused;  /* there was no memory */
static size_t parse_budget; /* what it may still take: what it gives back is not seen */
static bool parse_over;

static void *
watched_malloc(size_t bytes)
{
	void *p;

	parse_over = parse_over || bytes > parse_budget;
	if (parse_over)
		return NULL;
	parse_budget -= bytes;
	p = parse_malloc(bytes);
	parse_refused = parse_refused || p == NULL;
	return p;
}

static json_t *
parse(const void *payload, size_t bytes, json_error_t *error)
{
	/* All numbers as doubles: whole ones may be larger than 64 bits. */
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL;
	json_free_t parse_free;
	json_t *root;

	parse_refused = parse_over = false;
	parse_budget = JSON_TIMES_MAX * bytes + BUDGET_LEAST;
	json_get_alloc_funcs(&parse_malloc, &parse_free);
	json_set_alloc_funcs(watched_malloc, parse_free);
	root = json_loadb(payload, bytes, flags, error);
	json_set_alloc_funcs(parse_malloc, parse_free);
	return root;
}

static enum reason
parse_reason(const json_error_t *error)
{
	switch (json_error_code(error)) {
	case json_error_invalid_utf8:
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return REASON_UTF8;
	case json_error_duplicate_key:
		return REASON_DUPLICATE;
	case json_error_numeric_overflow:
		return REASON_VALUE;
	default: /* of a library's growing list */
		return REASON_JSON;
	}
}

enum reason
json_batch_new(
    struct json_batch **ret, const void *payload, size_t bytes, struct refusal *r)
{
	struct json_batch *b = calloc(1, sizeof(*b));
	json_error_t error;
	enum reason reason;

	if (b == NULL)
		return refuse(r, REASON_MEMORY, "out of memory");
	b->root = parse(payload, bytes, &error);
	/* The parser's sentence quotes what it came across. */
	names_make_printable(error.text);
	if (b->root)
		reason = check_batch(b, r);
	else if (parse_refused)
		reason = refuse(r, REASON_MEMORY, "out of memory");
	else if (parse_over)
		reason = refuse(r, REASON_LIMIT,
		    "decoded, the message would take more than %d times its %zu bytes",
		    JSON_TIMES_MAX, bytes);
	else
		reason = refuse(r, parse_reason(&error),
		    "it is no JSON: line %d, column %d: %s", error.line, error.column,
		    error.text);
	if (reason != REASON_NONE)
		json_batch_free(b);
	else
		*ret = b;
	return reason;
}

void
json_batch_free(struct json_batch *b)
{
	if (b == NULL)
		return;
	json_decref(b->root);
	free(b->observed);
	free(b->bounds);
	free(b);
}

/* ---- Asking ----------------------------------------------------------- */

size_t
json_batch_count(const struct json_batch *b)
{
	return json_array_size(b->metrics);
}

struct wire_text
json_batch_id(const struct json_batch *b)
{
	return b->id;
}

bool
json_batch_time(const struct json_batch *b, double *ret_seconds)
{
	const json_t *time = json_object_get(b->root, "time");

	if (time)
		*ret_seconds = json_number_value(time);
	return time != NULL;
}
