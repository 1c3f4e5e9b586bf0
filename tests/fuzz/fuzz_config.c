/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: a file and an environment. What is accepted is written as JSON by
 * the table of keys, and read again: it is the same. What is refused leaves nothing but a
 * line of text. Inputs of odd length are also what a running daemon is told to read.
 *
 * Input: the file; behind a NUL the variables of the environment, with a NUL between
 * them.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_parts.h"
#include "fuzz.h"

#define VARIABLES 8

/* The file, at file scope as it is made once for all inputs. */
static int file = -1;
static char file_name[32];

static void
write_file(const void *bytes, size_t n)
{
	if (file < 0) {
		file = memfd_create("fuzz", 0);
		snprintf(file_name, sizeof(file_name), "/proc/self/fd/%d", file);
	}
	fuzz_must(ftruncate(file, 0) == 0 && pwrite(file, bytes, n, 0) == (ssize_t)n,
	    "a file can be written");
}

static void
must_be_line(const char *text)
{
	fuzz_must(*text, "a refusal says why");
	for (; *text; text++)
		fuzz_must((unsigned char)*text >= ' ' && *text != 127,
		    "a sentence is one line of text");
}

static void
see_warning(void *arg, const char *text)
{
	(void)arg;
	must_be_line(text);
}

/* ---- Values ------------------------------------------------------------------ */

static void *
member(const struct config *c, const struct config_key *k)
{
	return (char *)(uintptr_t)c + k->offset;
}

static void
see_value(const struct config *c, const struct config_key *k)
{
	int64_t n;

	if (k->type == CONFIG_TEXT)
		fuzz_must(*(char **)member(c, k) != NULL, "a text is there");
	if (k->type == CONFIG_LIST || k->type == CONFIG_LABELS)
		fuzz_must(*(char ***)member(c, k) != NULL, "a list is there");
	if (k->type != CONFIG_NUMBER)
		return;
	n = *(int64_t *)member(c, k);
	fuzz_must(n >= k->min && n <= k->max, "a number is within its range");
}

static json_t *
json_of(const struct config *c, const struct config_key *k)
{
	char **list = *(char ***)member(c, k);
	json_t *json;

	switch (k->type) {
	case CONFIG_BOOL:
		return json_boolean(*(bool *)member(c, k));
	case CONFIG_NUMBER:
		return json_integer(*(int64_t *)member(c, k));
	case CONFIG_TEXT:
		return json_string(*(char **)member(c, k));
	case CONFIG_WORD:
		return json_string(k->words[*(int64_t *)member(c, k)]);
	case CONFIG_LIST:
		json = json_array();
		for (; *list; list++)
			json_array_append_new(json, json_string(*list));
		return json;
	case CONFIG_LABELS:
		json = json_object();
		for (; *list; list += 2)
			json_object_set_new(json, list[0], json_string(list[1]));
		return json;
	}
	return NULL;
}

/* All keys that a file has; NULL if a text of the environment is no UTF-8. */
static char *
print(const struct config *c)
{
	json_t *root = json_object();
	bool whole = true;
	char *text;

	for (size_t i = 0; i < config_keys && config_table[i].name; i++) {
		const struct config_key *k = &config_table[i];
		json_t *at = root;

		if (k->section) {
			at = json_object_get(root, k->section);
			if (at == NULL) {
				at = json_object();
				json_object_set_new(root, k->section, at);
			}
		}
		whole = json_object_set_new(at, k->name, json_of(c, k)) == 0 && whole;
	}
	text = whole ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}

/* ---- What is accepted --------------------------------------------------------- */

static void
see_again(const struct config *c, const struct config_source *from)
{
	struct config_source source = { .file = file_name };
	char *text = print(c);
	struct config again;
	struct config_error e;
	char *folder[2] = { NULL, NULL };

	if (text == NULL)
		return;
	/* It has no key, and others may need it. */
	if (config_variable(from->environment, "RUNTIME_DIRECTORY"))
		source.environment = from->environment;
	write_file(text, strlen(text));
	free(text);
	fuzz_must(config_load(&again, &source, &e) == 0,
	    "what was accepted is accepted again: %s", e.text);
	for (size_t i = 0; i < config_keys && config_table[i].name; i++)
		fuzz_must(config_equal(&config_table[i], c, &again),
		    "what was read again is the same: %s", config_table[i].name);
	folder[0] = config_runtime_folder(c);
	folder[1] = config_port_file(c);
	fuzz_must(folder[0] && folder[0][0] == '/' && folder[1] && folder[1][0] == '/',
	    "what is derived of it are paths");
	free(folder[0]);
	free(folder[1]);
	config_free(&again);
}

/* A daemon with the defaults is told to read it. */
static void
see_reload(const struct config_source *from, bool good)
{
	const struct config_source nothing = { .file = NULL };
	struct strbuf changed = STRBUF_EMPTY, waiting = STRBUF_EMPTY;
	static struct config normal; /* for all inputs */
	struct config c;
	struct config_error e;
	int rc;

	if (normal.http.host == NULL)
		fuzz_must(config_load(&normal, &nothing, &e) == 0,
		    "the defaults are right: %s", e.text);
	fuzz_must(config_load(&c, &nothing, &e) == 0, "and remain so: %s", e.text);
	rc = config_reload(&c, from, &changed, &waiting, &e);
	if (rc != 0)
		must_be_line(e.text);
	fuzz_must(good || rc != 0, "what a start refuses a reload refuses");
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];

		see_value(&c, k);
		fuzz_must((rc == 0 && k->reloadable) || config_equal(k, &c, &normal),
		    "what is refused changes nothing, nor what waits: %s", k->name);
	}
	strbuf_free(&changed);
	strbuf_free(&waiting);
	config_free(&c);
}

/* Variables of the rest of the input, each ended by a NUL. */
static size_t
variables(char *rest, size_t bytes, char *ret[VARIABLES + 1])
{
	size_t n = 0;

	for (size_t at = 0; at < bytes && n < VARIABLES; at += strlen(rest + at) + 1)
		if (strchr(rest + at, '='))
			ret[n++] = rest + at;
	ret[n] = NULL;
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input in = fuzz_begin(bytes, n);
	const uint8_t *nul = n ? memchr(in.at, 0, n) : NULL;
	size_t text = nul ? (size_t)(nul - in.at) : n;
	size_t rest = nul ? n - text - 1 : 0;
	char *copy = calloc(1, rest + 1);
	char *environment[VARIABLES + 1] = { NULL };
	struct config_source from = { .file = file_name, .environment = environment };
	struct config_error e;
	struct config c;
	bool good;

	fuzz_must(copy != NULL, "memory is there");
	if (rest)
		memcpy(copy, nul + 1, rest);
	variables(copy, rest, environment);
	write_file(in.at, text);
	config_warn(&(struct config){ 0 }, environment, see_warning, NULL);
	good = config_load(&c, &from, &e) == 0;
	if (!good)
		must_be_line(e.text);
	if (n % 2)
		see_reload(&from, good);
	for (size_t i = 0; i < config_keys && good; i++)
		see_value(&c, &config_table[i]);
	if (good) {
		see_again(&c, &from);
		config_free(&c);
	}
	free(copy);
	return 0;
}
