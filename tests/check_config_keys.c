/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of the table: what it must accept and what it must refuse, from its row. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"
#include "suite.h"

/* What another key has to be so that a value at the end of its range can stand. */
static const struct {
	const char *key;
	const char *beside;
} besides[] = {
	{ "message_bytes",
	    "{\"ingest\": {\"json_bytes\": 1024, \"buffered_bytes\": 134217728}, "
	    "\"limits\": {\"buckets\": 64}}" },
	{ "json_bytes", "{\"ingest\": {\"message_bytes\": 67108864, "
			"\"buffered_bytes\": 134217728}}" },
	{ "buckets", "{\"ingest\": {\"message_bytes\": 67108864, "
		     "\"buffered_bytes\": 134217728}}" },
	{ "lease_ms", "{\"ingest\": {\"grace_ms\": 0}}" },
	{ "grace_ms", "{\"ingest\": {\"lease_ms\": 86400000}}" },
};

static json_t *
beside(const char *key)
{
	const char *text = "{}";
	json_t *json;

	for (size_t i = 0; i < sizeof(besides) / sizeof(besides[0]); i++)
		if (key && strcmp(besides[i].key, key) == 0)
			text = besides[i].beside;
	json = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(json);
	return json;
}

/* Load a file, which is released, and a variable (NULL: none). */
static int
load(json_t *file, const char *variable, struct config *ret, struct config_error *e)
{
	char path[] = "/tmp/metricsd-config-XXXXXX";
	char *environment[] = { (char *)(uintptr_t)variable, NULL };
	struct config_source from = { .file = path, .environment = environment };
	int fd = mkstemp(path);
	int rc;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(json_dumpfd(file, fd, JSON_INDENT(1)), 0);
	close(fd);
	json_decref(file);
	rc = config_load(ret, &from, e);
	unlink(path);
	return rc;
}

/* A file with that value, which is released, for a key. */
static json_t *
with(const struct config_key *k, json_t *value)
{
	json_t *file = beside(k->name);
	json_t *section = file;

	ck_assert_ptr_nonnull(value);
	if (k->section) {
		section = json_object_get(file, k->section);
		if (section == NULL) {
			section = json_object();
			json_object_set_new(file, k->section, section);
		}
	}
	ck_assert_int_eq(json_object_set_new(section, k->name, value), 0);
	return file;
}

static const void *
member(const struct config *c, const struct config_key *k)
{
	return (const char *)c + k->offset;
}

static void
must_refuse(json_t *file, const char *variable, const char *says)
{
	struct config c = { .naming = 77 };
	struct config_error e;

	ck_assert_msg(load(file, variable, &c, &e) == -1, "accepted: not \"%s\"", says);
	ck_assert_msg(strstr(e.text, says), "\"%s\" does not say \"%s\"", e.text, says);
	ck_assert_int_eq(c.naming, 77);
}

static void
must_accept_number(
    const struct config_key *k, json_t *file, const char *variable, int64_t n)
{
	struct config_error e;
	struct config c;

	ck_assert_msg(load(file, variable, &c, &e) == 0, "%s", e.text);
	ck_assert_int_eq(*(const int64_t *)member(&c, k), n);
	config_free(&c);
}

static void
path_of(const struct config_key *k, char out[64])
{
	snprintf(out, 64, "%s%s%s", k->section ? k->section : "", k->section ? "." : "",
	    k->name ? k->name : k->environment);
}

START_TEST(a_number_of_the_file_keeps_to_its_range)
{
	const struct config_key *k = &config_table[_i];
	char path[64], says[128];

	if (k->type != CONFIG_NUMBER || k->name == NULL)
		return;
	path_of(k, path);
	must_accept_number(k, with(k, json_integer(k->min)), NULL, k->min);
	must_accept_number(k, with(k, json_integer(k->max)), NULL, k->max);
	snprintf(
	    says, sizeof(says), "%s: %lld is out of range", path, (long long)k->min - 1);
	must_refuse(with(k, json_integer(k->min - 1)), NULL, says);
	snprintf(
	    says, sizeof(says), "%s: %lld is out of range", path, (long long)k->max + 1);
	must_refuse(with(k, json_integer(k->max + 1)), NULL, says);
	must_refuse(with(k, json_integer(INT64_MIN)), NULL, "is out of range");
	must_refuse(with(k, json_integer(INT64_MAX)), NULL, "is out of range");
}
END_TEST

START_TEST(a_number_of_the_environment_keeps_to_its_range)
{
	const struct config_key *k = &config_table[_i];
	const long long in[] = { k->min, k->max };
	const long long out[] = { k->min - 1, k->max + 1 };
	const char *const no[] = { "x", "1x", " ", "0x10", "1.0", "1e3", "--1",
		"99999999999999999999" };
	char variable[128];

	if (k->type != CONFIG_NUMBER || k->environment == NULL)
		return;
	for (size_t i = 0; i < 2; i++) {
		snprintf(variable, sizeof(variable), "%s=%lld", k->environment, in[i]);
		must_accept_number(k, beside(k->name), variable, in[i]);
		snprintf(variable, sizeof(variable), "%s=%lld", k->environment, out[i]);
		must_refuse(beside(k->name), variable, "is out of range");
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		snprintf(variable, sizeof(variable), "%s=%s", k->environment, no[i]);
		must_refuse(beside(k->name), variable, "is not a whole number");
	}
}
END_TEST

START_TEST(a_key_takes_no_other_type)
{
	static const char *const types[] = { "1", "1.5", "\"x\"", "true", "false", "null",
		"[]", "{}" };
	static const enum config_type is[] = { CONFIG_NUMBER, CONFIG_LIST, CONFIG_TEXT,
		CONFIG_BOOL, CONFIG_BOOL, CONFIG_LIST, CONFIG_LIST, CONFIG_LABELS };
	const struct config_key *k = &config_table[_i];
	char path[64], says[128];

	if (k->name == NULL)
		return;
	path_of(k, path);
	snprintf(says, sizeof(says), "%s: ", path);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		json_t *value = json_loads(types[i], JSON_DECODE_ANY, NULL);

		if (is[i] == k->type || (is[i] == CONFIG_TEXT && k->type == CONFIG_WORD))
			json_decref(value);
		else
			must_refuse(with(k, value), NULL, says);
	}
}
END_TEST

START_TEST(a_word_is_one_of_its_words_in_any_case)
{
	const struct config_key *k = &config_table[_i];

	if (k->type != CONFIG_WORD || k->name == NULL)
		return;
	for (size_t i = 0; k->words[i]; i++) {
		char word[32];

		must_accept_number(
		    k, with(k, json_string(k->words[i])), NULL, (int64_t)i);
		snprintf(word, sizeof(word), "%s", k->words[i]);
		word[0] = (char)(word[0] - 'a' + 'A');
		must_accept_number(k, with(k, json_string(word)), NULL, (int64_t)i);
		strcat(word, "x");
		must_refuse(with(k, json_string(word)), NULL, "is not one of its words");
	}
	must_refuse(with(k, json_string("")), NULL, "is not one of its words");
}
END_TEST

/* Texts by hand: the table does not know their form. */
static const struct {
	const char *key;
	const char *accept[4];
	const char *refuse[10];
} texts[] = {
	{ "ingest.address", { "ipc:///a", "ipc:///run/dynamo/x.ipc" },
	    { "", "ipc://", "ipc:///", "ipc://a", "tcp://127.0.0.1:1", "/run/x.ipc",
		"IPC:///a", "ipc:///run/" } },
	{ "http.host", { "127.0.0.1", "::1", "0.0.0.0", "localhost" }, { "" } },
	{ "http.port_file", { "", "/run/x/http.port" }, { "http.port", "./x" } },
	{ "http.health_path", { "/healthz", "/a/b", "/-" },
	    { "", "/", "x", "/a b", "/a?b", "/a#b", "/%61", "/metrics", "/live" } },
	{ "http.live_path", { "/livez", "/a/b", "/-" },
	    { "", "/", "x", "/a b", "/a?b", "/a#b", "/%61", "/metrics", "/health" } },
	{ "state.path", { "", "/", "/srv/state" }, { "state", "./x" } },
};

static const struct config_key *
key_named(const char *path)
{
	char known[64];

	for (size_t i = 0; i < config_keys; i++) {
		path_of(&config_table[i], known);
		if (strcmp(path, known) == 0)
			return &config_table[i];
	}
	ck_abort_msg("no key %s", path);
}

START_TEST(every_text_is_in_the_tests)
{
	const struct config_key *k = &config_table[_i];
	size_t n = 0;
	char path[64];

	path_of(k, path);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		n += strcmp(texts[i].key, path) == 0;
	ck_assert_uint_eq(n, k->type == CONFIG_TEXT && k->name ? 1 : 0);
}
END_TEST

START_TEST(a_text_has_the_form_that_its_use_needs)
{
	const struct config_key *k = key_named(texts[_i].key);

	for (size_t i = 0; i < 4 && texts[_i].accept[i]; i++) {
		struct config_error e;
		struct config c;

		ck_assert_msg(
		    load(with(k, json_string(texts[_i].accept[i])), NULL, &c, &e) == 0,
		    "%s", e.text);
		ck_assert_str_eq(*(char *const *)member(&c, k), texts[_i].accept[i]);
		config_free(&c);
	}
	for (size_t i = 0; i < 10 && texts[_i].refuse[i]; i++)
		must_refuse(
		    with(k, json_string(texts[_i].refuse[i])), NULL, texts[_i].key);
}
END_TEST

/* Variables without a key. */
static const struct {
	const char *variable;
	bool good;
} variables[] = {
	{ "DYN_SYSTEM_ENABLED=true", true },
	{ "DYN_SYSTEM_ENABLED=0", true },
	{ "DYN_SYSTEM_ENABLED=2", false },
	{ "DYN_SYSTEM_ENABLED=y", false },
	{ "DYN_SYSTEM_ENABLED=ready", false },
	{ "DYN_SYSTEM_STARTING_HEALTH_STATUS=ready", true },
	{ "DYN_SYSTEM_STARTING_HEALTH_STATUS=NotReady", true },
	{ "DYN_SYSTEM_STARTING_HEALTH_STATUS=true", false },
	{ "DYN_SYSTEM_STARTING_HEALTH_STATUS=not_ready", false },
	{ "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[]", true },
	{ "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS= [\"a\", \"b\"] ", true },
	{ "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[", false },
	{ "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=\"generate\"", false },
	{ "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[null]", false },
	{ "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[[]]", false },
	{ "RUNTIME_DIRECTORY=/run/a:/run/b", true },
};

START_TEST(a_variable_alone_is_right_or_wrong)
{
	struct config_error e;
	struct config c;

	if (!variables[_i].good) {
		must_refuse(json_object(), variables[_i].variable, "DYN_SYSTEM_");
		return;
	}
	ck_assert_msg(
	    load(json_object(), variables[_i].variable, &c, &e) == 0, "%s", e.text);
	config_free(&c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config keys");
	TCase *t = tcase_create("config keys");
	int keys = (int)config_keys;

	tcase_add_loop_test(t, a_number_of_the_file_keeps_to_its_range, 0, keys);
	tcase_add_loop_test(t, a_number_of_the_environment_keeps_to_its_range, 0, keys);
	tcase_add_loop_test(t, a_key_takes_no_other_type, 0, keys);
	tcase_add_loop_test(t, a_word_is_one_of_its_words_in_any_case, 0, keys);
	tcase_add_loop_test(t, every_text_is_in_the_tests, 0, keys);
	tcase_add_loop_test(t, a_text_has_the_form_that_its_use_needs, 0,
	    sizeof(texts) / sizeof(texts[0]));
	tcase_add_loop_test(t, a_variable_alone_is_right_or_wrong, 0,
	    sizeof(variables) / sizeof(variables[0]));
	suite_add_tcase(s, t);
	return suite_run(s);
}
