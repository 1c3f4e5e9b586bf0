/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: defaults, file, environment, and what is said about mistakes. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "suite.h"

/* Load a file of that text (NULL: none) and one variable (NULL: none). */
static int
load(struct config *ret, const char *text, const char *variable, struct config_error *e)
{
	char file[] = "/tmp/metricsd-config-XXXXXX";
	char *environment[] = { (char *)(uintptr_t)variable, NULL };
	int fd;
	int rc;

	if (text == NULL)
		return config_load(ret, NULL, environment, e);
	fd = mkstemp(file);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	rc = config_load(ret, file, environment, e);
	unlink(file);
	return rc;
}

/* Load what must be right. */
static void
load_right(struct config *ret, const char *text, const char *variable)
{
	struct config_error e;

	ck_assert_msg(load(ret, text, variable, &e) == 0, "%s", e.text);
}

static char *
read_text(const char *path)
{
	char *text = calloc(1, 1 << 16);
	FILE *f = fopen(path, "r");

	ck_assert_msg(f != NULL, "%s: tests run in the top folder of the source", path);
	ck_assert_uint_gt(fread(text, 1, (1 << 16) - 1, f), 0);
	fclose(f);
	return text;
}

START_TEST(the_defaults_are_there_without_a_file)
{
	struct config c;

	load_right(&c, NULL, NULL);
	ck_assert_str_eq(c.ingest.address, "ipc:///run/dynamo-metricsd/ingest.ipc");
	ck_assert_int_eq(c.ingest.lease_ms, 15000);
	ck_assert_str_eq(c.http.host, "127.0.0.1");
	ck_assert_int_eq(c.http.port, 8081);
	ck_assert(c.http.enabled);
	ck_assert(c.http.starting_ready);
	ck_assert_ptr_nonnull(c.http.endpoints);
	ck_assert_ptr_null(c.http.endpoints[0]);
	ck_assert_int_eq(c.limits.series, 2000000);
	ck_assert_int_eq(c.log.level, LOG_LEVEL_INFO);
	config_free(&c);
}
END_TEST

START_TEST(the_shipped_file_has_every_key_at_its_default)
{
	struct strbuf expected = STRBUF_EMPTY;
	char *text = read_text("conf/dynamo-metricsd.json");
	struct config c;

	config_print_defaults(&expected);
	ck_assert_str_eq(text, expected.at);
	load_right(&c, text, NULL);
	for (size_t i = 0; i < config_keys; i++) {
		char name[64];

		if (config_table[i].section == NULL)
			continue;
		snprintf(name, sizeof(name), "\"%s\": ", config_table[i].name);
		ck_assert_ptr_nonnull(strstr(text, name));
	}
	config_free(&c);
	strbuf_free(&expected);
	free(text);
}
END_TEST

START_TEST(the_table_is_whole)
{
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];
		size_t use = strlen(k->use);

		ck_assert(k->section || k->environment);
		ck_assert(k->use[use - 1] == '.');
		ck_assert_ptr_nonnull(k->normal);
		if (k->type == CONFIG_NUMBER)
			ck_assert_int_lt(k->min, k->max);
	}
}
END_TEST

START_TEST(the_file_wins_over_defaults_and_the_environment_over_the_file)
{
	const char *file = "{\"http\": {\"port\": 9000, \"host\": \"::1\"}, "
			   "\"log\": {\"level\": \"debug\"}}";
	struct config c;

	load_right(&c, file, NULL);
	ck_assert_int_eq(c.http.port, 9000);
	ck_assert_str_eq(c.http.host, "::1");
	ck_assert_int_eq(c.log.level, LOG_LEVEL_DEBUG);
	config_free(&c);
	load_right(&c, file, "DYN_SYSTEM_PORT=0");
	ck_assert_int_eq(c.http.port, 0);
	ck_assert_str_eq(c.http.host, "::1");
	config_free(&c);
	load_right(&c, file, "DYN_SYSTEM_HOST=0.0.0.0");
	ck_assert_str_eq(c.http.host, "0.0.0.0");
	config_free(&c);
}
END_TEST

START_TEST(an_empty_variable_is_no_variable)
{
	struct config c;

	load_right(&c, "{\"http\": {\"port\": 9000}}", "DYN_SYSTEM_PORT=");
	ck_assert_int_eq(c.http.port, 9000);
	config_free(&c);
	load_right(&c, NULL, "DYN_SYSTEM_ENABLED=");
	ck_assert(c.http.enabled);
	config_free(&c);
	load_right(&c, NULL, "DYN_METRICSD_ADDRESS=");
	ck_assert_str_eq(c.ingest.address, "ipc:///run/dynamo-metricsd/ingest.ipc");
	config_free(&c);
}
END_TEST

static const struct {
	const char *word;
	bool meant;
} booleans[] = { { "1", true }, { "true", true }, { "TRUE", true }, { "True", true },
	{ "on", true }, { "ON", true }, { "yes", true }, { "Yes", true }, { "0", false },
	{ "false", false }, { "False", false }, { "off", false }, { "OFF", false },
	{ "no", false }, { "No", false } };

START_TEST(a_boolean_is_one_of_eight_words_in_any_case)
{
	char variable[64];
	struct config c;

	snprintf(variable, sizeof(variable), "DYN_SYSTEM_ENABLED=%s", booleans[_i].word);
	load_right(&c, NULL, variable);
	ck_assert_int_eq(c.http.enabled, booleans[_i].meant);
	config_free(&c);
}
END_TEST

START_TEST(port_minus_one_means_no_http)
{
	struct config c;

	load_right(&c, NULL, "DYN_SYSTEM_PORT=-1");
	ck_assert_int_eq(c.http.port, -1);
	config_free(&c);
}
END_TEST

START_TEST(endpoints_are_a_json_list)
{
	struct config c;

	load_right(
	    &c, NULL, "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[\"generate\", \"clear\"]");
	ck_assert_str_eq(c.http.endpoints[0], "generate");
	ck_assert_str_eq(c.http.endpoints[1], "clear");
	ck_assert_ptr_null(c.http.endpoints[2]);
	config_free(&c);
	load_right(&c, NULL, "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[]");
	ck_assert_ptr_null(c.http.endpoints[0]);
	config_free(&c);
}
END_TEST

START_TEST(the_starting_status_is_ready_or_notready)
{
	struct config c;

	load_right(&c, NULL, "DYN_SYSTEM_STARTING_HEALTH_STATUS=notready");
	ck_assert(!c.http.starting_ready);
	config_free(&c);
	load_right(&c, NULL, "DYN_SYSTEM_STARTING_HEALTH_STATUS=ready");
	ck_assert(c.http.starting_ready);
	config_free(&c);
}
END_TEST

/* Each: the file, the variable, and what the error must say. */
static const struct {
	const char *file;
	const char *variable;
	const char *says;
} wrong[] = {
	{ "{\"http\": {\"prot\": 1}}", NULL,
	    "there is no key \"http.prot\"; the nearest one is \"http.port\"" },
	{ "{\"ingest\": {\"adress\": \"x\"}}", NULL,
	    "the nearest one is \"ingest.address\"" },
	{ "{\"htpp\": {}}", NULL,
	    "there is no key \"htpp\"; the nearest one is \"http\"" },
	{ "{\"http.port\": 1}", NULL, "the nearest one is \"http.port\"" },
	{ "{\"http\": {\"port\": \"8081\"}}", NULL,
	    "http.port: a whole number is expected, not a text" },
	{ "{\"http\": {\"port\": 80.5}}", NULL,
	    "http.port: a whole number is expected, not a fraction" },
	{ "{\"http\": {\"port\": null}}", NULL, "not null" },
	{ "{\"http\": {\"port\": true}}", NULL, "not true" },
	{ "{\"http\": {\"port\": 65536}}", NULL,
	    "http.port: 65536 is out of range: from -1 to 65535 is possible" },
	{ "{\"http\": {\"host\": 1}}", NULL,
	    "http.host: a text is expected, not a whole number" },
	{ "{\"http\": 8081}", NULL,
	    "http: an object with keys is expected, not a whole number" },
	{ "{\"http\": []}", NULL, "not a list" },
	{ "[]", NULL, "an object with sections is expected" },
	{ "{\"log\": {\"level\": \"loud\"}}", NULL,
	    "log.level: \"loud\" is not one of its words: error, warning, info or "
	    "debug" },
	{ "{\n  \"http\": {\n    \"port\": 1,\n  }\n}", NULL, ":4:3: " },
	{ "", NULL, ":1:0: " },
	{ "{\"http\": {\"port\": 1, \"port\": 2}}", NULL, "duplicate object key" },
	{ "{\"http\": {}, \"http\": {}}", NULL, "duplicate object key" },
	{ "{} {}", NULL, "end of file expected" },
	{ "{\"ingest\": {\"connections\": 0}}", NULL, "from 1 to " },
	{ "{\"ingest\": {\"grace_ms\": 20000}}", NULL,
	    "ingest.grace_ms: it must not be longer than ingest.lease_ms, 15000" },
	{ "{\"ingest\": {\"json_bytes\": 2000000}}", NULL, "ingest.json_bytes" },
	{ "{\"ingest\": {\"message_bytes\": 4096, \"json_bytes\": 4096}, "
	  "\"limits\": {\"buckets\": 4000}}",
	    NULL, "limits.buckets" },
	{ "{\"http\": {\"health_path\": \"health\"}}", NULL,
	    "http.health_path (DYN_SYSTEM_HEALTH_PATH): \"health\" is not a path" },
	{ "{\"http\": {\"health_path\": \"/\"}}", NULL, "is not a path" },
	{ "{\"http\": {\"live_path\": \"/metrics\"}}", NULL, "is taken" },
	{ "{\"http\": {\"live_path\": \"/health\"}}", NULL, "two paths are needed" },
	{ "{\"http\": {\"host\": \"\"}}", NULL, "http.host" },
	{ NULL, "DYN_METRICSD_ADDRESS=tcp://127.0.0.1:5555", "is not ipc://" },
	{ NULL, "DYN_METRICSD_ADDRESS=ipc://relative", "absolute path" },
	{ NULL,
	    "DYN_METRICSD_ADDRESS=ipc:///"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	    "at most 107 bytes" },
	{ NULL, "DYN_SYSTEM_PORT=eighty",
	    "DYN_SYSTEM_PORT: \"eighty\" is not a whole number from -1 to 65535" },
	{ NULL, "DYN_SYSTEM_PORT=8081x", "is not a whole number" },
	{ NULL, "DYN_SYSTEM_PORT=99999", "out of range" },
	{ NULL, "DYN_SYSTEM_PORT=99999999999999999999", "is not a whole number" },
	{ NULL, "DYN_SYSTEM_ENABLED=maybe",
	    "DYN_SYSTEM_ENABLED: \"maybe\" is not one of its words: 0, 1, false, true, "
	    "off, on, no or yes" },
	{ NULL, "DYN_SYSTEM_STARTING_HEALTH_STATUS=healthy", "notready or ready" },
	{ NULL, "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=generate", "a JSON list" },
	{ NULL, "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS={}", "a JSON list" },
	{ NULL, "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[\"a\", 1]",
	    "item 1 of the list" },
};

START_TEST(a_mistake_is_named_with_its_place)
{
	struct config c = { .ingest = { .lease_ms = 77 } };
	struct config_error e;

	ck_assert_int_eq(load(&c, wrong[_i].file, wrong[_i].variable, &e), -1);
	ck_assert_msg(strstr(e.text, wrong[_i].says) != NULL, "\"%s\" is not in \"%s\"",
	    wrong[_i].says, e.text);
	ck_assert_int_eq(c.ingest.lease_ms, 77);
}
END_TEST

START_TEST(what_is_no_file_is_said_so)
{
	struct config_error e;
	struct config c;

	ck_assert_int_eq(config_load(&c, "/nonexistent/x.json", NULL, &e), -1);
	ck_assert_str_eq(e.text,
	    "/nonexistent/x.json: it cannot be read: No such file or "
	    "directory");
	ck_assert_int_eq(config_load(&c, "/tmp", NULL, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "/tmp: this is not a file"));
	ck_assert_int_eq(config_load(&c, "/dev/zero", NULL, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "this is not a file"));
}
END_TEST

START_TEST(a_fifo_does_not_block_the_start)
{
	char folder[] = "/tmp/metricsd-config-XXXXXX";
	struct config_error e;
	struct config c;
	char path[64];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/fifo", folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(config_load(&c, path, NULL, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "this is not a file"));
	unlink(path);
	rmdir(folder);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");

	tcase_add_test(t, the_defaults_are_there_without_a_file);
	tcase_add_test(t, the_shipped_file_has_every_key_at_its_default);
	tcase_add_test(t, the_table_is_whole);
	tcase_add_test(t, the_file_wins_over_defaults_and_the_environment_over_the_file);
	tcase_add_test(t, an_empty_variable_is_no_variable);
	tcase_add_loop_test(t, a_boolean_is_one_of_eight_words_in_any_case, 0,
	    sizeof(booleans) / sizeof(booleans[0]));
	tcase_add_test(t, port_minus_one_means_no_http);
	tcase_add_test(t, endpoints_are_a_json_list);
	tcase_add_test(t, the_starting_status_is_ready_or_notready);
	tcase_add_loop_test(
	    t, a_mistake_is_named_with_its_place, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, what_is_no_file_is_said_so);
	tcase_add_test(t, a_fifo_does_not_block_the_start);
	suite_add_tcase(s, t);
	return suite_run(s);
}
