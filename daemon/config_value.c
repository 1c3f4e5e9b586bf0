/* SPDX-License-Identifier: Apache-2.0 */
/* Single values: from a text, from JSON, compared, exchanged, freed. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "config_parts.h"

/* The words of a boolean, in pairs: the second of each means true. */
static const char *const bool_words[] = { "0", "1", "false", "true", "off", "on", "no",
	"yes", NULL };

static void *
member(const struct config *c, const struct config_key *k)
{
	return (char *)(uintptr_t)c + k->offset;
}

/* ---- Lists ------------------------------------------------------------- */

static void
free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static bool
equal_lists(char *const *a, char *const *b)
{
	size_t i = 0;

	while (a[i] && b[i] && strcmp(a[i], b[i]) == 0)
		i++;
	return a[i] == NULL && b[i] == NULL;
}

/* ---- Setting ----------------------------------------------------------- */

static int
set_text(struct config *c, const struct config_key *k, const char *text,
    struct config_error *e)
{
	char **at = member(c, k);
	char *copy = strdup(text);

	if (copy == NULL)
		return config_fail(e, "memory is out");
	free(*at);
	*at = copy;
	return 0;
}

static int
set_number(struct config *c, const struct config_key *k, int64_t n, const char *where,
    struct config_error *e)
{
	if (n < k->min || n > k->max)
		return config_fail(e,
		    "%s: %lld is out of range: from %lld to %lld is possible", where,
		    (long long)n, (long long)k->min, (long long)k->max);
	*(int64_t *)member(c, k) = n;
	return 0;
}

static int
set_number_text(struct config *c, const struct config_key *k, const char *text,
    const char *where, struct config_error *e)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		return config_fail(e,
		    "%s: \"%.64s\" is not a whole number from %lld to %lld", where, text,
		    (long long)k->min, (long long)k->max);
	return set_number(c, k, n, where, e);
}

/* "a, b or c" */
static void
join_words(char *out, size_t room, const char *const *words)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; words[i] && n < room; i++)
		n += (size_t)snprintf(out + n, room - n, "%s%s",
		    i == 0	   ? ""
		    : words[i + 1] ? ", "
				   : " or ",
		    words[i]);
}

static int
find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (strcasecmp(words[i], word) == 0)
			return i;
	return -1;
}

static int
set_word(struct config *c, const struct config_key *k, const char *word,
    const char *where, struct config_error *e)
{
	const char *const *words = k->words ? k->words : bool_words;
	char all[128];
	int i = find_word(words, word);

	if (i < 0) {
		join_words(all, sizeof(all), words);
		return config_fail(
		    e, "%s: \"%.64s\" is not one of its words: %s", where, word, all);
	}
	if (k->type == CONFIG_BOOL)
		*(bool *)member(c, k) = i % 2 != 0;
	else
		*(int64_t *)member(c, k) = i;
	return 0;
}

/* Takes over a list that is whole; frees what there is of another. */
static int
keep_list(struct config *c, const struct config_key *k, char **list, bool whole,
    struct config_error *e)
{
	if (!whole) {
		free_list(list);
		return config_fail(e, "memory is out");
	}
	config_free_value(c, k);
	*(char ***)member(c, k) = list;
	return 0;
}

static int
set_list(struct config *c, const struct config_key *k, const json_t *json,
    const char *where, struct config_error *e)
{
	size_t n = json_array_size(json);
	char **list = calloc(n + 1, sizeof(*list));
	bool whole = false;

	for (size_t i = 0; list && i < n; i++) {
		const char *item = json_string_value(json_array_get(json, i));

		if (item == NULL) {
			config_fail(
			    e, "%s: item %zu of the list is not a text", where, i + 1);
			goto out;
		}
		list[i] = strdup(item);
		if (list[i] == NULL)
			goto out;
	}
	whole = list != NULL;
out:
	return keep_list(c, k, list, whole, e);
}

static const char *
json_type_word(const json_t *v)
{
	static const char *const words[] = { [JSON_OBJECT] = "an object",
		[JSON_ARRAY] = "a list",
		[JSON_STRING] = "a text",
		[JSON_INTEGER] = "a whole number",
		[JSON_REAL] = "a fraction",
		[JSON_TRUE] = "true",
		[JSON_FALSE] = "false",
		[JSON_NULL] = "null" };

	return words[json_typeof(v)];
}

/* Name and value in turn. */
static int
set_labels(struct config *c, const struct config_key *k, const json_t *json,
    const char *where, struct config_error *e)
{
	char **list = calloc(2 * json_object_size(json) + 1, sizeof(*list));
	const char *name;
	json_t *value;
	bool whole = false;
	size_t n = 0;

	if (list == NULL)
		goto out;
	json_object_foreach((json_t *)(uintptr_t)json, name, value)
	{
		if (!json_is_string(value)) {
			config_fail(e, "%s.%.64s: a text is expected, not %s", where,
			    name, json_type_word(value));
			goto out;
		}
		list[n] = strdup(name);
		if (list[n++] == NULL)
			goto out;
		list[n] = strdup(json_string_value(value));
		if (list[n++] == NULL)
			goto out;
	}
	whole = true;
out:
	return keep_list(c, k, list, whole, e);
}

/* ---- For all types ------------------------------------------------------ */

int
config_set_json(struct config *c, const struct config_key *k, const json_t *v,
    const char *where, struct config_error *e)
{
	static const char *const expected[] = { [CONFIG_BOOL] = "true or false",
		[CONFIG_NUMBER] = "a whole number",
		[CONFIG_TEXT] = "a text",
		[CONFIG_WORD] = "a text",
		[CONFIG_LIST] = "a JSON list of texts",
		[CONFIG_LABELS] = "an object of texts" };

	if (k->type == CONFIG_BOOL && json_is_boolean(v)) {
		*(bool *)member(c, k) = json_is_true(v);
		return 0;
	}
	if (k->type == CONFIG_NUMBER && json_is_integer(v))
		return set_number(c, k, json_integer_value(v), where, e);
	if (k->type == CONFIG_TEXT && json_is_string(v))
		return set_text(c, k, json_string_value(v), e);
	if (k->type == CONFIG_WORD && json_is_string(v))
		return set_word(c, k, json_string_value(v), where, e);
	if (k->type == CONFIG_LIST && json_is_array(v))
		return set_list(c, k, v, where, e);
	if (k->type == CONFIG_LABELS && json_is_object(v))
		return set_labels(c, k, v, where, e);
	return config_fail(
	    e, "%s: %s is expected, not %s", where, expected[k->type], json_type_word(v));
}

static int
set_json_text(struct config *c, const struct config_key *k, const char *text,
    const char *where, struct config_error *e)
{
	json_error_t at;
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &at);
	int rc;

	if (json == NULL)
		return config_fail(e, "%s: %s is expected, like %s: %s", where,
		    k->type == CONFIG_LIST ? "a JSON list" : "a JSON object",
		    k->type == CONFIG_LIST ? "[\"generate\"]" : "{\"zone\": \"a\"}",
		    at.text[0] ? at.text : "memory is out");
	rc = config_set_json(c, k, json, where, e);
	json_decref(json);
	return rc;
}

int
config_set_text(struct config *c, const struct config_key *k, const char *text,
    const char *where, struct config_error *e)
{
	switch (k->type) {
	case CONFIG_NUMBER:
		return set_number_text(c, k, text, where, e);
	case CONFIG_TEXT:
		return set_text(c, k, text, e);
	case CONFIG_BOOL:
	case CONFIG_WORD:
		return set_word(c, k, text, where, e);
	case CONFIG_LIST:
	case CONFIG_LABELS:
		return set_json_text(c, k, text, where, e);
	}
	return -1;
}

bool
config_equal(const struct config_key *k, const struct config *a, const struct config *b)
{
	const void *x = member(a, k);
	const void *y = member(b, k);

	switch (k->type) {
	case CONFIG_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case CONFIG_NUMBER:
	case CONFIG_WORD:
		return *(const int64_t *)x == *(const int64_t *)y;
	case CONFIG_TEXT:
		return strcmp(*(char *const *)x, *(char *const *)y) == 0;
	case CONFIG_LIST:
	case CONFIG_LABELS:
		return equal_lists(*(char **const *)x, *(char **const *)y);
	}
	return false;
}

static size_t
bytes_of(enum config_type type)
{
	switch (type) {
	case CONFIG_BOOL:
		return sizeof(bool);
	case CONFIG_NUMBER:
	case CONFIG_WORD:
		return sizeof(int64_t);
	case CONFIG_TEXT:
		return sizeof(char *);
	case CONFIG_LIST:
	case CONFIG_LABELS:
		return sizeof(char **);
	}
	return 0;
}

void
config_swap(const struct config_key *k, struct config *a, struct config *b)
{
	char kept[sizeof(int64_t)];
	size_t n = bytes_of(k->type);

	memcpy(kept, member(a, k), n);
	memcpy(member(a, k), member(b, k), n);
	memcpy(member(b, k), kept, n);
}

void
config_free_value(struct config *c, const struct config_key *k)
{
	void *at = member(c, k);

	switch (k->type) {
	case CONFIG_BOOL:
	case CONFIG_NUMBER:
	case CONFIG_WORD:
		break;
	case CONFIG_TEXT:
		free(*(char **)at);
		break;
	case CONFIG_LIST:
	case CONFIG_LABELS:
		free_list(*(char ***)at);
		break;
	}
}
