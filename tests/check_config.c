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
	struct config_source from = { .environment = environment };
	int fd;
	int rc;

	if (text == NULL)
		return config_load(ret, &from, e);
	fd = mkstemp(file);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	from.file = file;
	rc = config_load(ret, &from, e);
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
	ck_assert_int_eq(c.naming, CONFIG_NAMING_SEED);
	ck_assert_ptr_nonnull(c.labels);
	ck_assert_ptr_null(c.labels[0]);
	ck_assert_int_eq(c.log.level, LOG_LEVEL_INFO);
	config_free(&c);
}
END_TEST

START_TEST(the_table_is_whole)
{
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];
		size_t use = strlen(k->use);

		ck_assert(k->name || k->environment);
		ck_assert_ptr_null(strchr(k->use, '|'));
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

START_TEST(labels_are_names_and_values_in_turn)
{
	struct config c;

	load_right(&c,
	    "{\"naming\": \"component\", \"labels\": {\"zone\": \"a\", "
	    "\"rack\": \"\"}}",
	    NULL);
	ck_assert_int_eq(c.naming, CONFIG_NAMING_COMPONENT);
	ck_assert_str_eq(c.labels[0], "zone");
	ck_assert_str_eq(c.labels[1], "a");
	ck_assert_str_eq(c.labels[2], "rack");
	ck_assert_str_eq(c.labels[3], "");
	ck_assert_ptr_null(c.labels[4]);
	config_free(&c);
}
END_TEST

START_TEST(a_file_that_may_be_missing_is_an_empty_one)
{
	struct config_source from = { .file = "/nonexistent/x.json",
		.may_be_missing = true };
	struct config_error e;
	struct config c;

	ck_assert_int_eq(config_load(&c, &from, &e), 0);
	ck_assert_int_eq(c.http.port, 8081);
	config_free(&c);
	/* One that is there has to be right. */
	from.file = "/dev/null";
	ck_assert_int_eq(config_load(&c, &from, &e), -1);
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
	    ":1: http.prot: there is no such key; the nearest one is \"http.port\"" },
	{ "{\"port\": 1}", NULL,
	    ":1: port: there is no such key; the nearest one is "
	    "\"http.port\"" },
	{ "{\"lables\": {}}", NULL,
	    "lables: there is no such key; the nearest one is "
	    "\"labels\"" },
	{ "{\"http\": {\"labels\": {}}}", NULL,
	    "http.labels: there is no such key; the nearest one is" },
	{ "{\"DYN_SYSTEM_ENABLED\": true}", NULL, "there is no such key" },
	{ "{\"http\": {}, \"\": 1}", NULL, "there is no such key" },
	{ "{\"ingest\": {\"adress\": \"x\"}}", NULL,
	    "the nearest one is \"ingest.address\"" },
	{ "{\"htpp\": {}}", NULL,
	    "htpp: there is no such key; the nearest one is \"http\"" },
	{ "{\"http.port\": 1}", NULL,
	    ":1: http.port: there is no such key at the top: write {\"http\": {\"port\": "
	    "...}}" },
	{ "{\n \"ingest\": {\"lease_ms\": 5000},\n \"http\": {\n  \"host\": "
	  "\"port\",\n  \"port\"\n : \"8081\"}}",
	    NULL, ":5: http.port: a whole number is expected, not a text" },
	{ "{\"http\": {\"port\": \"8081\"}}", NULL,
	    "http.port: a whole number is expected, not a text" },
	{ "{\"ingest\": {\n\"connections\": 1},\n\"http\": {\n\"connections\": 0}}", NULL,
	    ":4: http.connections: 0 is out of range" },
	{ "{\"http\": {\"port\": 80.5}}", NULL,
	    "http.port: a whole number is expected, not a fraction" },
	{ "{\"http\": {\"port\": null}}", NULL, "not null" },
	{ "{\"http\": {\"port\": true}}", NULL, "not true" },
	{ "{\"http\": {\"port\": 65536}}", NULL,
	    "http.port: 65536 is out of range: from -1 to 65535 is possible" },
	{ "{\"http\": {\"host\": 1}}", NULL,
	    "http.host: a text is expected, not a whole number" },
	{ "{\"http\": 8081}", NULL,
	    ":1: http: an object with keys is expected, like {\"host\": ...}" },
	{ "{\"http\": []}", NULL, "http: an object with keys is expected" },
	/* Nobody's bytes begin a line of their own in what is said. */
	{ "{\"naming\": \"a\\nerror: b\"}", NULL, "naming: \"a?error: b\" is not one" },
	{ "{\"a\\u001b[31m\": 1}", NULL, "a?[31m: there is no such key" },
	{ NULL, "DYN_SYSTEM_PORT=1\n2", "\"1?2\" is not a whole number" },
	{ "{\"naming\": \"dynamo\"}", NULL,
	    "naming: \"dynamo\" is not one of its words: seed or component" },
	{ "{\"naming\": {}}", NULL, "naming: a text is expected, not an object" },
	{ "{\"labels\": []}", NULL,
	    "labels: an object of texts is expected, not a list" },
	{ "{\"labels\": {\"zone\": 1}}", NULL,
	    "labels.zone: a text is expected, not a whole number" },
	{ "{\"labels\": {\"zone\": \"a\", \"zone\": \"b\"}}", NULL,
	    "duplicate object key" },
	{ "{\"labels\": {\"a-b\": \"x\"}}", NULL, "labels: " },
	{ "{\"labels\": {\"namespace\": \"x\"}}", NULL, "'namespace'" },
	{ "{\"labels\": {\"dynamo_endpoint\": \"x\"}}", NULL, "'dynamo_endpoint'" },
	{ "{\"labels\": {\"le\": \"x\"}}", NULL, "'le'" },
	{ "{\"labels\": {\"worker_id\": \"x\"}}", NULL, "'worker_id'" },
	{ "{\"labels\": {\"__x\": \"x\"}}", NULL, "'__x'" },
	{ "{\"labels\": {\"a\": \"\", \"b\": \"\"}, \"limits\": {\"labels\": 1}}", NULL,
	    "labels: there are 2 constant labels" },
	{ "{\"labels\": {\"a\": \"xyz\"}, \"limits\": {\"label_bytes\": 2}}", NULL,
	    "labels: " },
	{ "[]", NULL, "an object with sections is expected" },
	{ "{\"log\": {\"level\": \"loud\"}}", NULL,
	    "log.level: \"loud\" is not one of its words: error, warning, info or "
	    "debug" },
	{ "{\n  \"http\": {\n    \"port\": 1,\n  }\n}", NULL, ":4:3: " },
	{ "", NULL, "it is empty: an object is expected, at least {}" },
	{ " \n", NULL, "it is empty" },
	{ "{", NULL, ":1:1: " },
	{ "{\"http\": {\"host\": \"\xff\"}}", NULL, ":1:19: " },
	{ "{\"http\": {\"host\": \"a\\u0000b\"}}", NULL, ":1:" },
	{ "{\"http\": {\"port\": 99999999999999999999}}", NULL, ":1:" },
	{ "{\"http\": {\"port\": 8081} // comment\n}", NULL, ":1:" },
	{ "{\"http\": {\"port\": 1, \"port\": 2}}", NULL, "duplicate object key" },
	{ "{\"http\": {}, \"http\": {}}", NULL, "duplicate object key" },
	{ "{} {}", NULL, "end of file expected" },
	{ "{\"ingest\": {\"connections\": 0}}", NULL, "from 1 to " },
	{ "{\"ingest\": {\"grace_ms\": 20000}}", NULL,
	    "ingest.grace_ms: it must not be longer than ingest.lease_ms, 15000" },
	{ "{\"ingest\": {\"json_bytes\": 2000000}}", NULL, "ingest.json_bytes" },
	{ "{\"ingest\": {\"message_bytes\": 40000000}}", NULL,
	    "ingest.buffered_bytes: it must be twice ingest.message_bytes, 40000000" },
	{ "{\"ingest\": {\"message_bytes\": 4096, \"json_bytes\": 4096}, "
	  "\"limits\": {\"buckets\": 4000}}",
	    NULL, "limits.buckets" },
	{ "{\"http\": {\"health_path\": \"health\"}}", NULL,
	    "http.health_path: \"health\" is not a path" },
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
	    "item 2 of the list is not a text" },
	{ NULL, "RUNTIME_DIRECTORY=run",
	    "RUNTIME_DIRECTORY: \"run\" is not an absolute path" },
	{ NULL, "DYN_SYSTEM_HEALTH_PATH=health",
	    "DYN_SYSTEM_HEALTH_PATH: \"health\" is not a path like /health" },
	{ NULL, "DYN_SYSTEM_LIVE_PATH=/health",
	    "DYN_SYSTEM_LIVE_PATH: http.health_path is /health, too" },
	{ "{\"http\": {\"port_file\": \"http.port\"}}", NULL,
	    "http.port_file: \"http.port\" is not an absolute path, nor empty" },
	{ "{\"http\": {\"port_file\": \"/x/a.ipc\"}}",
	    "DYN_METRICSD_ADDRESS=ipc:///x/a.ipc",
	    "http.port_file: /x/a.ipc is the socket of ingest.address" },
	{ "{\"http\": {\"port_file\": \"/x/a.ipc.lock\"}}",
	    "DYN_METRICSD_ADDRESS=ipc:///x/a.ipc",
	    "http.port_file: /x/a.ipc.lock is the lock of ingest.address" },
	{ NULL, "DYN_METRICSD_ADDRESS=ipc:///x/http.port",
	    "http.port_file: /x/http.port is the socket of ingest.address" },
	{ "{\"ingest\": {\"address\": \"ipc:///x/http.port\"}}",
	    "RUNTIME_DIRECTORY=/x:/y",
	    "http.port_file: /x/http.port is the socket of ingest.address" },
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

/* Loading that file is refused with a sentence that starts so. */
static void
check_refused(const char *file, const char *says)
{
	struct config_source from = { .file = file };
	struct config_error e;
	struct config c;
	char start[256];

	snprintf(start, sizeof(start), "%s: %s", file, says);
	ck_assert_int_eq(config_load(&c, &from, &e), -1);
	ck_assert_msg(strncmp(e.text, start, strlen(start)) == 0, "\"%s\" is not \"%s\"",
	    e.text, start);
}

START_TEST(what_is_no_file_is_said_so)
{
	check_refused(
	    "/nonexistent/x.json", "it cannot be read: No such file or directory");
	check_refused("/tmp", "this is a folder");
	check_refused("/dev/zero", "this is not a file");
	check_refused("/proc/self/mem", "it cannot be read: ");
	check_refused("/dev/null", "this is not a file");
}
END_TEST

START_TEST(a_file_of_another_is_said_to_be_unreadable)
{
	char file[] = "/tmp/metricsd-config-XXXXXX";

	close(mkstemp(file));
	ck_assert_int_eq(chmod(file, 0), 0);
	/* The test may be root, who can read everything. */
	if (geteuid() == 0)
		ck_assert_int_eq(seteuid(65534), 0);
	check_refused(file, "it cannot be read: Permission denied");
	if (getuid() == 0)
		ck_assert_int_eq(seteuid(0), 0);
	unlink(file);
}
END_TEST

START_TEST(a_fifo_does_not_block_the_start)
{
	char folder[] = "/tmp/metricsd-config-XXXXXX";
	char path[64];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/fifo", folder);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	check_refused(path, "this is not a file");
	unlink(path);
	rmdir(folder);
}
END_TEST

START_TEST(a_file_may_have_a_mebibyte)
{
	char file[] = "/tmp/metricsd-config-XXXXXX";
	struct config_source from = { .file = file };
	struct config_error e;
	struct config c;
	int fd = mkstemp(file);
	char *text = malloc((1 << 20) + 1);

	memset(text, ' ', (1 << 20) + 1);
	text[0] = '{';
	text[(1 << 20) - 1] = '}';
	ck_assert_int_eq(write(fd, text, 1 << 20), 1 << 20);
	ck_assert_msg(config_load(&c, &from, &e) == 0, "%s", e.text);
	config_free(&c);
	ck_assert_int_eq(write(fd, " ", 1), 1);
	check_refused(file, "this is longer than 1048576 bytes");
	close(fd);
	unlink(file);
	free(text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config");
	TCase *t = tcase_create("config");

	tcase_add_test(t, the_defaults_are_there_without_a_file);
	tcase_add_test(t, the_table_is_whole);
	tcase_add_test(t, the_file_wins_over_defaults_and_the_environment_over_the_file);
	tcase_add_test(t, an_empty_variable_is_no_variable);
	tcase_add_loop_test(t, a_boolean_is_one_of_eight_words_in_any_case, 0,
	    sizeof(booleans) / sizeof(booleans[0]));
	tcase_add_test(t, port_minus_one_means_no_http);
	tcase_add_test(t, endpoints_are_a_json_list);
	tcase_add_test(t, labels_are_names_and_values_in_turn);
	tcase_add_test(t, a_file_that_may_be_missing_is_an_empty_one);
	tcase_add_test(t, the_starting_status_is_ready_or_notready);
	tcase_add_loop_test(
	    t, a_mistake_is_named_with_its_place, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(t, what_is_no_file_is_said_so);
	tcase_add_test(t, a_file_of_another_is_said_to_be_unreadable);
	tcase_add_test(t, a_fifo_does_not_block_the_start);
	tcase_add_test(t, a_file_may_have_a_mebibyte);
	suite_add_tcase(s, t);
	return suite_run(s);
}
