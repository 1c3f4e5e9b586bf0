/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration that is read again, warnings, the printed tables, and no memory. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"
#include "failing.h"
#include "log.h"
#include "suite.h"

#define SHIPPED "conf/dynamo-metricsd.json"
#define PAGES	2

/* What is between two lines of these pages is written by `make docs`. */
static const struct page {
	const char *path;
	const char *begin, *end;
	void (*print)(struct strbuf *out);
} pages[PAGES] = {
	{ "docs/configuration.md", "<!-- keys: `make docs` writes this table -->\n",
	    "<!-- end of keys -->\n", config_print_table },
	{ "docs/man/dynamo-metricsd.json.5", ".\\\" keys: make docs writes these lines\n",
	    ".\\\" end of keys\n", config_print_manual },
};

/* ---- Reloading --------------------------------------------------------- */

struct again {
	char file[64];
	char *environment[3];
	struct config_source from;
	struct config c;
	struct config_error e;
	struct strbuf changed, waiting;
};

static void
write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void
start(struct again *a, const char *text)
{
	*a = (struct again){ .file = "/tmp/metricsd-config-XXXXXX" };
	close(mkstemp(a->file));
	a->from =
	    (struct config_source){ .file = a->file, .environment = a->environment };
	write_file(a->file, text);
	ck_assert_msg(config_load(&a->c, &a->from, &a->e) == 0, "%s", a->e.text);
}

/* Read another text. */
static int
reload(struct again *a, const char *text)
{
	strbuf_reset(&a->changed);
	strbuf_reset(&a->waiting);
	strbuf_add(&a->changed, "", 0);
	strbuf_add(&a->waiting, "", 0);
	write_file(a->file, text);
	return config_reload(&a->c, &a->from, &a->changed, &a->waiting, &a->e);
}

static void
end(struct again *a)
{
	config_free(&a->c);
	strbuf_free(&a->changed);
	strbuf_free(&a->waiting);
	unlink(a->file);
}

START_TEST(what_can_change_changes_and_is_named)
{
	struct again a;

	start(&a, "{\"log\": {\"level\": \"error\"}, \"limits\": {\"series\": 10}}");
	ck_assert_int_eq(reload(&a, "{\"log\": {\"level\": \"debug\"}, \"ingest\": "
				    "{\"connections\": 5}}"),
	    0);
	ck_assert_str_eq(a.changed.at, "ingest.connections, limits.series, log.level");
	ck_assert_str_eq(a.waiting.at, "");
	ck_assert_int_eq(a.c.log.level, LOG_LEVEL_DEBUG);
	ck_assert_int_eq(a.c.ingest.connections, 5);
	ck_assert_int_eq(a.c.limits.series, 2000000);
	ck_assert_int_eq(reload(&a, "{\"log\": {\"level\": \"debug\"}, \"ingest\": "
				    "{\"connections\": 5}}"),
	    0);
	ck_assert_str_eq(a.changed.at, "");
	end(&a);
}
END_TEST

START_TEST(what_needs_a_restart_is_named_and_stays)
{
	struct again a;

	start(&a, "{\"http\": {\"host\": \"::1\"}, \"labels\": {\"zone\": \"a\"}}");
	ck_assert_int_eq(reload(&a, "{\"naming\": \"component\", \"labels\": {\"zone\": "
				    "\"b\"}, \"http\": {\"port\": 1, \"scrapes\": 2}}"),
	    0);
	ck_assert_str_eq(a.changed.at, "http.scrapes");
	ck_assert_str_eq(a.waiting.at, "naming, labels, http.host, http.port");
	ck_assert_int_eq(a.c.naming, CONFIG_NAMING_SEED);
	ck_assert_str_eq(a.c.labels[1], "a");
	ck_assert_str_eq(a.c.http.host, "::1");
	ck_assert_int_eq(a.c.http.port, 8081);
	ck_assert_int_eq(a.c.http.scrapes, 2);
	/* They wait as long as they differ from what runs. */
	ck_assert_int_eq(reload(&a, "{\"http\": {\"host\": \"::1\", \"scrapes\": 2}, "
				    "\"labels\": {\"zone\": \"a\"}}"),
	    0);
	ck_assert_str_eq(a.waiting.at, "");
	end(&a);
}
END_TEST

START_TEST(each_key_changes_or_waits_as_its_row_says)
{
	const struct config_key *k = &config_table[_i];
	char text[128], path[64];
	long long normal = strtoll(k->normal, NULL, 10);
	long long other = k->min < normal ? k->min : k->max;
	struct again a;

	/* Wherever another number fits the rest. */
	if (k->name == NULL || k->type != CONFIG_NUMBER)
		return;
	if (strcmp(k->name, "message_bytes") == 0 || strcmp(k->name, "lease_ms") == 0)
		return;
	snprintf(path, sizeof(path), "%s.%s", k->section, k->name);
	snprintf(
	    text, sizeof(text), "{\"%s\": {\"%s\": %lld}}", k->section, k->name, other);
	start(&a, "{}");
	ck_assert_msg(reload(&a, text) == 0, "%s", a.e.text);
	ck_assert_str_eq((k->reloadable ? a.changed : a.waiting).at, path);
	ck_assert_str_eq((k->reloadable ? a.waiting : a.changed).at, "");
	ck_assert_int_eq(*(int64_t *)(void *)((char *)&a.c + k->offset),
	    k->reloadable ? other : normal);
	end(&a);
}
END_TEST

START_TEST(what_is_wrong_changes_nothing)
{
	static const char *const wrong[] = { "", "{", "{\"log\": {\"level\": \"loud\"}}",
		"{\"log\": {\"level\": \"info\"}, \"x\": 1}",
		"{\"http\": {\"scrapes\": 1, \"port\": -2}}",
		"{\"ingest\": {\"grace_ms\": 20000}, \"log\": {\"level\": \"info\"}}" };
	struct again a;

	start(&a, "{\"log\": {\"level\": \"error\"}}");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_int_eq(reload(&a, wrong[i]), -1);
		ck_assert_str_ne(a.e.text, "");
		ck_assert_int_eq(a.c.log.level, LOG_LEVEL_ERROR);
		ck_assert_int_eq(a.c.http.scrapes, 16);
	}
	unlink(a.file);
	ck_assert_int_eq(config_reload(&a.c, &a.from, &a.changed, &a.waiting, &a.e), -1);
	ck_assert_ptr_nonnull(strstr(a.e.text, "No such file"));
	ck_assert_int_eq(a.c.log.level, LOG_LEVEL_ERROR);
	end(&a);
}
END_TEST

START_TEST(a_new_value_must_fit_an_old_one_that_waits)
{
	struct again a;

	start(&a, "{}");
	ck_assert_int_eq(reload(&a, "{\"ingest\": {\"message_bytes\": 2000000, "
				    "\"json_bytes\": 2000000, \"grace_ms\": 1}}"),
	    -1);
	ck_assert_ptr_nonnull(strstr(a.e.text,
	    "ingest.json_bytes: it must not be more than ingest.message_bytes, 1048576; "
	    "new values wait for a restart: ingest.message_bytes"));
	ck_assert_int_eq(a.c.ingest.json_bytes, 65536);
	ck_assert_int_eq(a.c.ingest.grace_ms, 2000);
	end(&a);
}
END_TEST

START_TEST(the_environment_wins_again)
{
	struct again a;

	start(&a, "{}");
	a.environment[0] = (char *)"DYN_SYSTEM_PORT=8081";
	ck_assert_int_eq(reload(&a, "{\"http\": {\"port\": 1}}"), 0);
	ck_assert_str_eq(a.waiting.at, "");
	end(&a);
}
END_TEST

/* ---- Warnings ---------------------------------------------------------- */

static void
keep(void *arg, const char *text)
{
	strbuf_addf(arg, "%s\n", text);
}

static const struct {
	const char *one, *two;
	const char *says; /* NULL: nothing is said */
} warnings[] = {
	{ "DYN_SYSTEM_PROT=1", NULL,
	    "the variable DYN_SYSTEM_PROT is not known here and has no effect; the "
	    "nearest "
	    "one is DYN_SYSTEM_PORT\n" },
	{ "DYN_METRICSD_ADRESS=ipc:///x", NULL,
	    "the nearest one is DYN_METRICSD_ADDRESS\n" },
	{ "DYN_SYSTEM_=", NULL, "DYN_SYSTEM_ is not known" },
	{ "DYN_SYSTEM_STATUS", NULL, "DYN_SYSTEM_STATUS is not known" },
	{ "DYN_HEALTH_CHECK_ENABLED=true", "DYN_HEALTH_CHECK_REQUEST_TIMEOUT=3", NULL },
	{ "DYN_SYSTEM_PORT=0", "DYN_SYSTEM_HOST=::1", NULL },
	{ "DYN_HTTP_PORT=8000", "RUNTIME_DIRECTORY=/x", NULL },
	{ "DYN_SYSTEM_ENABLED=false", NULL, NULL },
	{ "DYN_SYSTEM_ENABLED=no", "DYN_SYSTEM_PORT=9000",
	    "DYN_SYSTEM_ENABLED=no wins over DYN_SYSTEM_PORT=9000: there is no HTTP\n" },
	{ "DYN_SYSTEM_ENABLED=true", "DYN_SYSTEM_PORT=-1",
	    "DYN_SYSTEM_PORT=-1 wins over DYN_SYSTEM_ENABLED: there is no HTTP\n" },
	{ "DYN_SYSTEM_ENABLED=true", "DYN_SYSTEM_PORT=9000", NULL },
	{ "DYN_SYSTEM_ENABLED=false", "DYN_SYSTEM_PORT=-1", NULL },
	{ "DYN_SYSTEM_ENABLED=false", "DYN_SYSTEM_PORT=", NULL },
};

START_TEST(what_is_odd_in_the_environment_is_said)
{
	char *environment[] = { (char *)(uintptr_t)warnings[_i].one,
		(char *)(uintptr_t)warnings[_i].two, NULL };
	struct config_source from = { .environment = environment };
	struct strbuf said = STRBUF_EMPTY;
	struct config_error e;
	struct config c;

	strbuf_add(&said, "", 0);
	ck_assert_msg(config_load(&c, &from, &e) == 0, "%s", e.text);
	config_warn(&c, environment, keep, &said);
	if (warnings[_i].says)
		ck_assert_msg(strstr(said.at, warnings[_i].says), "%s", said.at);
	else
		ck_assert_str_eq(said.at, "");
	config_free(&c);
	strbuf_free(&said);
}
END_TEST

/* ---- Printed tables ---------------------------------------------------- */

/* A file of the source, to be freed; NULL: this is not its top folder. */
static char *
read_text(const char *path)
{
	char *text = calloc(1, 1 << 20);
	FILE *f = fopen(path, "r");

	if (f == NULL || text == NULL || fread(text, 1, (1 << 20) - 1, f) == 0) {
		free(text);
		text = NULL;
	}
	if (f)
		fclose(f);
	return text;
}

START_TEST(the_shipped_file_has_every_key_at_its_default)
{
	struct config_source none = { 0 }, shipped = { .file = SHIPPED };
	struct strbuf expected = STRBUF_EMPTY;
	char *text = read_text(SHIPPED);
	struct config_error e;
	struct config a, b;

	ck_assert_ptr_nonnull(text);
	config_print_defaults(&expected);
	ck_assert_msg(strcmp(text, expected.at) == 0,
	    SHIPPED " is not what the table of keys says: `make docs` writes it");
	ck_assert_int_eq(config_load(&a, &none, &e), 0);
	ck_assert_msg(config_load(&b, &shipped, &e) == 0, "%s", e.text);
	for (size_t i = 0; i < config_keys; i++) {
		const struct config_key *k = &config_table[i];
		char name[64];

		if (k->name == NULL)
			continue;
		snprintf(name, sizeof(name), "\"%s\": ", k->name);
		ck_assert_ptr_nonnull(strstr(text, name));
		if (k->type == CONFIG_NUMBER || k->type == CONFIG_WORD)
			ck_assert_mem_eq((char *)&a + k->offset, (char *)&b + k->offset,
			    sizeof(int64_t));
	}
	config_free(&a);
	config_free(&b);
	strbuf_free(&expected);
	free(text);
}
END_TEST

/* The page with the keys as they should be, to be freed; NULL: it lacks the lines around.
 */
static char *
with_keys(const struct page *page, const char *text)
{
	const char *begin = text ? strstr(text, page->begin) : NULL;
	const char *rest = begin ? strstr(begin, page->end) : NULL;
	struct strbuf out = STRBUF_EMPTY;

	if (rest == NULL)
		return NULL;
	strbuf_add(&out, text, (size_t)(begin - text) + strlen(page->begin));
	page->print(&out);
	strbuf_adds(&out, rest);
	return out.at;
}

START_TEST(a_page_has_all_keys_as_they_are)
{
	char *text = read_text(pages[_i].path);
	char *expected = with_keys(&pages[_i], text);

	ck_assert_ptr_nonnull(expected);
	ck_assert_msg(strcmp(text, expected) == 0,
	    "%s is not what the table of keys says: `make docs` writes it",
	    pages[_i].path);
	free(expected);
	free(text);
}
END_TEST

static bool
replace(const char *path, const char *text)
{
	FILE *f = text ? fopen(path, "w") : NULL;
	bool written = f && fputs(text, f) >= 0;

	return f && fclose(f) == 0 && written;
}

static bool
write_page(const struct page *page)
{
	char *text = read_text(page->path);
	char *wanted = with_keys(page, text);
	bool done = replace(page->path, wanted);

	free(wanted);
	free(text);
	return done;
}

/* What `make docs` does. */
static int
write_all(void)
{
	struct strbuf defaults = STRBUF_EMPTY;
	bool done;

	config_print_defaults(&defaults);
	done = replace(SHIPPED, defaults.at);
	for (size_t i = 0; i < PAGES; i++)
		done = write_page(&pages[i]) && done;
	if (!done)
		perror("docs/ or conf/");
	strbuf_free(&defaults);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- No memory --------------------------------------------------------- */

#define WHOLE \
	"{\"naming\": \"component\", \"labels\": {\"zone\": \"a\", \"rack\": \"7\"}, " \
	"\"http\": {\"host\": \"::1\", \"port\": 1}, \"log\": {\"level\": \"debug\"}}"

static char *const full[] = { (char *)"DYN_METRICSD_ADDRESS=ipc:///x/y",
	(char *)"DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS=[\"a\", \"b\"]",
	(char *)"DYN_SYSTEM_HEALTH_PATH=/healthz", NULL };

START_TEST(loading_without_memory_fails_with_a_sentence)
{
	struct again a;
	struct config c;

	start(&a, WHOLE);
	a.from.environment = full;
	json_set_alloc_funcs(failing_malloc, failing_free);
	for (size_t n = 0; failing_more(n); n++) {
		int rc;

		failing_after(n);
		rc = config_load(&c, &a.from, &a.e);
		if (failing_end())
			ck_assert_int_eq(rc, -1);
		else
			ck_assert_int_eq(rc, 0);
		if (rc == 0)
			config_free(&c);
		else
			ck_assert_str_ne(a.e.text, "");
	}
	json_set_alloc_funcs(malloc, free);
	end(&a);
}
END_TEST

START_TEST(reloading_without_memory_keeps_the_old_one)
{
	struct again a;

	start(&a, "{}");
	write_file(a.file, WHOLE);
	a.from.environment = full;
	json_set_alloc_funcs(failing_malloc, failing_free);
	for (size_t n = 0; failing_more(n); n++) {
		int rc;

		strbuf_free(&a.changed);
		strbuf_free(&a.waiting);
		failing_after(n);
		rc = config_reload(&a.c, &a.from, &a.changed, &a.waiting, &a.e);
		failing_end();
		if (rc == 0)
			break;
		ck_assert_str_ne(a.e.text, "");
		ck_assert_int_eq(a.c.log.level, LOG_LEVEL_INFO);
	}
	json_set_alloc_funcs(malloc, free);
	ck_assert_int_eq(a.c.log.level, LOG_LEVEL_DEBUG);
	ck_assert_str_eq(a.changed.at, "log.level");
	ck_assert_str_eq(a.waiting.at,
	    "naming, labels, ingest.address, http.host, http.port, http.health_path, "
	    "DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS");
	end(&a);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("config reload");
	TCase *t = tcase_create("config reload");

	if (getenv("DYNM_WRITE"))
		return write_all();
	tcase_add_test(t, what_can_change_changes_and_is_named);
	tcase_add_test(t, what_needs_a_restart_is_named_and_stays);
	tcase_add_loop_test(
	    t, each_key_changes_or_waits_as_its_row_says, 0, (int)config_keys);
	tcase_add_test(t, what_is_wrong_changes_nothing);
	tcase_add_test(t, a_new_value_must_fit_an_old_one_that_waits);
	tcase_add_test(t, the_environment_wins_again);
	tcase_add_loop_test(t, what_is_odd_in_the_environment_is_said, 0,
	    sizeof(warnings) / sizeof(warnings[0]));
	tcase_add_test(t, the_shipped_file_has_every_key_at_its_default);
	tcase_add_loop_test(t, a_page_has_all_keys_as_they_are, 0, PAGES);
	tcase_add_test(t, loading_without_memory_fails_with_a_sentence);
	tcase_add_test(t, reloading_without_memory_keeps_the_old_one);
	suite_add_tcase(s, t);
	return suite_run(s);
}
