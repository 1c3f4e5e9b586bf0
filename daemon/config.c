/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "names.h"
#include "sp.h"

#define FILE_BYTES_MAX (1 << 20)
#define ROUTE_METRICS  "/metrics"

/* The words of a boolean, in pairs: the second of each means true. */
static const char *const bool_words[] = { "0", "1", "false", "true", "off", "on", "no",
	"yes", NULL };

__attribute__((format(printf, 2, 3))) static int
fail(struct config_error *e, const char *format, ...)
{
	va_list arguments;

	if (e->text[0] == '\0') {
		va_start(arguments, format);
		vsnprintf(e->text, sizeof(e->text), format, arguments);
		va_end(arguments);
	}
	return -1;
}

/* ---- Values ------------------------------------------------------------ */

static void *
member(struct config *c, const struct config_key *k)
{
	return (char *)c + k->offset;
}

static void
free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

static int
set_text(struct config *c, const struct config_key *k, const char *text,
    struct config_error *e)
{
	char **at = member(c, k);
	char *copy = strdup(text);

	if (copy == NULL)
		return fail(e, "memory is out");
	free(*at);
	*at = copy;
	return 0;
}

static int
set_number(struct config *c, const struct config_key *k, int64_t n, const char *where,
    struct config_error *e)
{
	if (n < k->min || n > k->max)
		return fail(e, "%s: %lld is out of range: from %lld to %lld is possible",
		    where, (long long)n, (long long)k->min, (long long)k->max);
	*(int64_t *)member(c, k) = n;
	return 0;
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
		return fail(
		    e, "%s: \"%.64s\" is not one of its words: %s", where, word, all);
	}
	if (k->type == CONFIG_BOOL)
		*(bool *)member(c, k) = i % 2 != 0;
	else
		*(int64_t *)member(c, k) = i;
	return 0;
}

static int
set_list(struct config *c, const struct config_key *k, const char *text,
    const char *where, struct config_error *e)
{
	json_t *json = json_loads(text, 0, NULL);
	size_t n = json_array_size(json);
	char **list = calloc(n + 1, sizeof(*list));
	int rc = -1;

	if (list == NULL) {
		fail(e, "memory is out");
		goto out;
	}
	if (!json_is_array(json)) {
		fail(e, "%s: a JSON list of names is expected, like [\"generate\"]",
		    where);
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const char *item = json_string_value(json_array_get(json, i));

		if (item == NULL || (list[i] = strdup(item)) == NULL) {
			fail(e, "%s: item %zu of the list is not a text", where, i);
			goto out;
		}
	}
	free_list(*(char ***)member(c, k));
	*(char ***)member(c, k) = list;
	list = NULL;
	rc = 0;
out:
	free_list(list);
	json_decref(json);
	return rc;
}

/* As the environment and the table write values. */
static int
set_from_text(struct config *c, const struct config_key *k, const char *text,
    const char *where, struct config_error *e)
{
	char *end;
	long long n;

	switch (k->type) {
	case CONFIG_TEXT:
		return set_text(c, k, text, e);
	case CONFIG_BOOL:
	case CONFIG_WORD:
		return set_word(c, k, text, where, e);
	case CONFIG_LIST:
		return set_list(c, k, text, where, e);
	case CONFIG_NUMBER:
		break;
	}
	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		return fail(e, "%s: \"%.64s\" is not a whole number from %lld to %lld",
		    where, text, (long long)k->min, (long long)k->max);
	return set_number(c, k, n, where, e);
}

/* ---- The file ---------------------------------------------------------- */

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

static int
set_from_json(struct config *c, const struct config_key *k, const json_t *v,
    const char *where, struct config_error *e)
{
	static const char *const expected[] = { [CONFIG_BOOL] = "true or false",
		[CONFIG_NUMBER] = "a whole number",
		[CONFIG_TEXT] = "a text",
		[CONFIG_WORD] = "a text",
		[CONFIG_LIST] = "a list" };

	if (k->type == CONFIG_NUMBER && json_is_integer(v))
		return set_number(c, k, json_integer_value(v), where, e);
	if (k->type == CONFIG_TEXT && json_is_string(v))
		return set_text(c, k, json_string_value(v), e);
	if (k->type == CONFIG_WORD && json_is_string(v))
		return set_word(c, k, json_string_value(v), where, e);
	return fail(
	    e, "%s: %s is expected, not %s", where, expected[k->type], json_type_word(v));
}

static size_t
edit_distance(const char *a, const char *b)
{
	size_t row[64];
	size_t n = strlen(b);

	if (n >= 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t changed = diagonal + (a[i - 1] != b[j - 1]);
			size_t shifted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = changed < shifted ? changed : shifted;
		}
	}
	return row[n];
}

/* Name the known key that is nearest to a path: a section's when it has no dot. */
static int
fail_unknown(const char *file, const char *path, struct config_error *e)
{
	char nearest[64] = "";
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < config_keys && config_table[i].section; i++) {
		const struct config_key *k = &config_table[i];
		char known[64];
		size_t d;

		snprintf(known, sizeof(known), strchr(path, '.') ? "%s.%s" : "%s",
		    k->section, k->name);
		d = edit_distance(path, known);
		if (d < least) {
			least = d;
			memcpy(nearest, known, sizeof(nearest));
		}
	}
	return fail(e, "%s: there is no key \"%.100s\"; the nearest one is \"%s\"", file,
	    path, nearest);
}

static const struct config_key *
find_key(const char *section, const char *name)
{
	for (size_t i = 0; i < config_keys && config_table[i].section; i++)
		if (strcmp(config_table[i].section, section) == 0 &&
		    (name == NULL || strcmp(config_table[i].name, name) == 0))
			return &config_table[i];
	return NULL;
}

static int
read_section(struct config *c, const char *file, const char *section, json_t *json,
    struct config_error *e)
{
	const char *name;
	json_t *value;

	if (find_key(section, NULL) == NULL)
		return fail_unknown(file, section, e);
	if (!json_is_object(json))
		return fail(e, "%s: %s: an object with keys is expected, not %s", file,
		    section, json_type_word(json));
	json_object_foreach(json, name, value)
	{
		const struct config_key *k = find_key(section, name);
		char path[128];
		char where[256];

		snprintf(path, sizeof(path), "%s.%s", section, name);
		snprintf(where, sizeof(where), "%.120s: %s", file, path);
		if (k == NULL)
			return fail_unknown(file, path, e);
		if (set_from_json(c, k, value, where, e) != 0)
			return -1;
	}
	return 0;
}

/* The bytes of a regular file, to be freed; NULL with e filled. */
static char *
read_file(const char *file, size_t *ret_bytes, struct config_error *e)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char *bytes = NULL;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) != 0) {
		fail(e, "%s: it cannot be read: %s", file, strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
		fail(e, "%s: this is not a file of at most %d bytes", file,
		    FILE_BYTES_MAX);
		goto out;
	}
	bytes = malloc(FILE_BYTES_MAX);
	n = bytes ? read(fd, bytes, FILE_BYTES_MAX) : -1;
	if (n < 0) {
		fail(e, "%s: it cannot be read: %s", file, strerror(errno));
		free(bytes);
		bytes = NULL;
		goto out;
	}
	*ret_bytes = (size_t)n;
out:
	if (fd >= 0)
		close(fd);
	return bytes;
}

static int
read_config_file(struct config *c, const char *file, struct config_error *e)
{
	size_t bytes;
	char *text = read_file(file, &bytes, e);
	json_error_t at;
	json_t *json = NULL;
	const char *section;
	json_t *value;
	int rc = -1;

	if (text == NULL)
		return -1;
	json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &at);
	if (json == NULL) {
		fail(e, "%s:%d:%d: %s", file, at.line, at.column, at.text);
		goto out;
	}
	if (!json_is_object(json)) {
		fail(e, "%s: an object with sections is expected, like {\"http\": {}}",
		    file);
		goto out;
	}
	json_object_foreach(json, section,
	    value) if (read_section(c, file, section, value, e) != 0) goto out;
	rc = 0;
out:
	json_decref(json);
	free(text);
	return rc;
}

/* ---- The whole --------------------------------------------------------- */

static const char *
variable(char *const *environment, const char *name)
{
	size_t n = strlen(name);

	for (; environment && *environment; environment++)
		if (strncmp(*environment, name, n) == 0 && (*environment)[n] == '=')
			return *environment + n + 1;
	return NULL;
}

static int
read_environment(struct config *c, char *const *environment, struct config_error *e)
{
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];
		const char *value;

		value = k->environment ? variable(environment, k->environment) : NULL;
		if (value == NULL || value[0] == '\0')
			continue;
		if (set_from_text(c, k, value, k->environment, e) != 0)
			return -1;
	}
	return 0;
}

static int
check_path(const char *key, const char *path, struct config_error *e)
{
	if (path[0] != '/' || path[1] == '\0' || strpbrk(path, "?#% ") != NULL)
		return fail(e, "%s: \"%.100s\" is not a path like /health", key, path);
	if (strcmp(path, ROUTE_METRICS) == 0)
		return fail(e, "%s: " ROUTE_METRICS " is taken by the metrics", key);
	return 0;
}

/* What the table cannot say: rules about the form of a text, and about two keys. */
static int
check(const struct config *c, struct config_error *e)
{
	if (sp_ipc_path(c->ingest.address) == NULL)
		return fail(e,
		    "ingest.address (DYN_METRICSD_ADDRESS): \"%.150s\" is not ipc:// and "
		    "an "
		    "absolute path of at most 107 bytes, like ipc:///run/x.ipc",
		    c->ingest.address);
	if (c->http.host[0] == '\0')
		return fail(e,
		    "http.host (DYN_SYSTEM_HOST): an address is expected, like "
		    "127.0.0.1 or ::1");
	if (check_path("http.health_path (DYN_SYSTEM_HEALTH_PATH)", c->http.health_path,
		e) != 0 ||
	    check_path("http.live_path (DYN_SYSTEM_LIVE_PATH)", c->http.live_path, e) !=
		0)
		return -1;
	if (strcmp(c->http.health_path, c->http.live_path) == 0)
		return fail(e,
		    "http.health_path and http.live_path: two paths are needed, "
		    "and both are %.100s",
		    c->http.live_path);
	if (c->ingest.grace_ms > c->ingest.lease_ms)
		return fail(e,
		    "ingest.grace_ms: it must not be longer than "
		    "ingest.lease_ms, %lld",
		    (long long)c->ingest.lease_ms);
	if (c->ingest.json_bytes > c->ingest.message_bytes)
		return fail(e,
		    "ingest.json_bytes: it must not be more than "
		    "ingest.message_bytes, %lld",
		    (long long)c->ingest.message_bytes);
	/* A histogram is reported in one message. */
	if ((c->limits.buckets + 8) * MESSAGE_RECORD_BYTES > c->ingest.message_bytes)
		return fail(e,
		    "limits.buckets: so many do not fit into "
		    "ingest.message_bytes, %lld",
		    (long long)c->ingest.message_bytes);
	return 0;
}

int
config_load(struct config *ret, const char *file, char *const *environment,
    struct config_error *e)
{
	struct config c = { 0 };

	e->text[0] = '\0';
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];

		if (set_from_text(
			&c, k, k->normal, k->name ? k->name : k->environment, e))
			goto fail;
	}
	if (file != NULL && read_config_file(&c, file, e) != 0)
		goto fail;
	if (read_environment(&c, environment, e) != 0 || check(&c, e) != 0)
		goto fail;
	*ret = c;
	return 0;
fail:
	config_free(&c);
	return -1;
}

void
config_free(struct config *c)
{
	for (size_t i = 0; i < config_keys; i++) {
		void *at = member(c, &config_table[i]);

		if (config_table[i].type == CONFIG_TEXT)
			free(*(char **)at);
		if (config_table[i].type == CONFIG_LIST)
			free_list(*(char ***)at);
	}
	*c = (struct config){ 0 };
}
