/* SPDX-License-Identifier: Apache-2.0 */
/* How names become those of the page: as tables, and with anything at all. */
#include <stdio.h>

#include "failing.h"
#include "naming.h"
#include "strbuf.h"
#include "suite.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define LIMITS	    (&NAMES_DEFAULT_LIMITS)

static const struct naming seed = { .component = false },
			   component = { .component = true };

/* ---- Names that fit ------------------------------------------------------ */

/* What a name becomes as a metric's, and as a label's; NULL: it cannot be. */
static const struct fit {
	const char *name, *metric, *label;
} fits[] = {
	{ "test_name", "test_name", "test_name" },
	{ "TestName9", "TestName9", "TestName9" },
	{ "test:name", "test:name", "test_name" },
	{ "test name", "test_name", "test_name" },
	{ "test.name", "test_name", "test_name" },
	{ "test@name", "test_name", "test_name" },
	{ "test-name", "test_name", "test_name" },
	{ "test$name#123", "test_name_123", "test_name_123" },
	{ "123test", "_123test", "_123test" },
	{ "@test", "_test", "_test" },
	{ "-test", "_test", "_test" },
	{ ".test", "_test", "_test" },
	{ ":test", "_:test", "_test" },
	{ "_test", "_test", "_test" },
	{ "__test", "__test", "test" },
	{ "___test", "___test", "__test" },
	{ "____test", "____test", "___test" },
	{ "--test", "__test", "test" },
	{ "__1", "__1", "_1" },
	{ "__9a", "__9a", "_9a" },
	{ "-1", "_1", "_1" },
	{ "test__label", "test__label", "test__label" },
	{ "test_", "test_", "test_" },
	{ "7", "_7", "_7" },
	{ ":", "_:", NULL },
	{ "::", "_::", NULL },
	{ "a\nb\"c\\d", "a_b_c_d", "a_b_c_d" },
	{ "Größe", "Gr__e", "Gr__e" },
	{ "日本a", "__a", "a" },
	{ "a🚀", "a_", "a_" },
	{ "", NULL, NULL },
	{ "@#$%", NULL, NULL },
	{ "!!!!", NULL, NULL },
	{ "_", NULL, NULL },
	{ "__", NULL, NULL },
	{ "____", NULL, NULL },
	{ "-", NULL, NULL },
	{ "日本語", NULL, NULL },
};

static void
check_fit(size_t fit(struct wire_text, char *), const char *name, const char *wanted)
{
	char out[64];
	size_t n = fit(wire_text(name), out);

	out[n] = '\0';
	ck_assert_msg(n <= strlen(name) + 1, "'%s' became too long", name);
	ck_assert_msg(strcmp(out, wanted ? wanted : "") == 0,
	    "'%s' became '%s', not '%s'", name, out, wanted);
}

START_TEST(names_are_made_to_fit_as_the_table_says)
{
	check_fit(naming_fit_metric, fits[_i].name, fits[_i].metric);
	check_fit(naming_fit_label, fits[_i].name, fits[_i].label);
}
END_TEST

/* Any text of up to 40 bytes; most are of few characters, so that cases meet. */
static struct wire_text
any_text(char out[64])
{
	static const char *const pieces[] = { "_", "_", ":", "a", "Z", "0", "9", "-", ".",
		" ", "\n", "é", "日", "🚀", "\"", "\\", "{", "}" };
	size_t n = 0;

	for (int i = rand() % 9; i > 0; i--) {
		const char *piece = pieces[(size_t)rand() % COUNT(pieces)];

		memcpy(out + n, piece, strlen(piece));
		n += strlen(piece);
	}
	return (struct wire_text){ out, n };
}

START_TEST(what_fits_is_always_a_name_of_prometheus)
{
	char text[64], out[64];

	srand(1);
	for (int i = 0; i < 100000; i++) {
		struct wire_text t = any_text(text);
		size_t n = naming_fit_metric(t, out);

		if (n > 0 && !names_is_metric((struct wire_text){ out, n }))
			ck_abort_msg("'%.*s' is no metric", (int)n, out);
		n = naming_fit_label(t, out);
		if (n > 0 && !names_is_label((struct wire_text){ out, n }))
			ck_abort_msg("'%.*s' is no label", (int)n, out);
	}
}
END_TEST

/* ---- Levels and metrics ---------------------------------------------------- */

static enum reason
fit_level(const struct naming *naming, const struct message_level *raw,
    struct strbuf *out, struct refusal *r)
{
	struct naming_level room;
	const struct message_level *level = raw;
	enum reason reason = naming_level(naming, &level, &room, r);

	strbuf_reset(out);
	strbuf_adds(out, "");
	for (size_t i = 0; reason == REASON_NONE && i < level->depth; i++)
		strbuf_addf(out, "%s%.*s", i ? "/" : "", (int)level->name[i].bytes,
		    level->name[i].at);
	return reason;
}

START_TEST(a_level_stays_as_it_is_under_the_seeds_naming)
{
	struct message_level raw = { 2, { wire_text("my-model"), wire_text("@#$%") } };
	struct strbuf out = STRBUF_EMPTY;

	ck_assert_uint_eq(fit_level(&seed, &raw, &out, NULL), REASON_NONE);
	ck_assert_str_eq(out.at, "my-model/@#$%");
	strbuf_free(&out);
}
END_TEST

START_TEST(a_level_is_made_to_fit_under_the_component_naming)
{
	struct message_level raw = { 3,
		{ wire_text("my-model"), wire_text("a:b"), wire_text("7 é") } };
	struct strbuf out = STRBUF_EMPTY;

	ck_assert_uint_eq(fit_level(&component, &raw, &out, NULL), REASON_NONE);
	ck_assert_str_eq(out.at, "my_model/a_b/_7__");
	raw.depth = 0;
	ck_assert_uint_eq(fit_level(&component, &raw, &out, NULL), REASON_NONE);
	ck_assert_str_eq(out.at, "");
	strbuf_free(&out);
}
END_TEST

static const struct bad_level {
	enum reason reason;
	struct message_level level;
	const char *sentence;
} bad_levels[] = {
	{ REASON_LEVEL, { 1, { { "@#$%", 4 } } },
	    "the namespace '@#$%' has neither letter nor digit" },
	{ REASON_LEVEL, { 2, { { "a", 1 }, { "____", 4 } } },
	    "the component '____' has neither letter nor digit" },
	{ REASON_LEVEL, { 3, { { "a", 1 }, { "b", 1 }, { "\xe6\x97\xa5", 3 } } },
	    "the endpoint '?\?\?' has neither letter nor digit" },
	{ REASON_LEVEL, { 1, { { "", 0 } } }, "the namespace has an empty name" },
	{ REASON_UTF8, { 1, { { "a\xff", 2 } } },
	    "the namespace 'a?' is not valid UTF-8 without NUL" },
	{ REASON_UTF8, { 1, { { "a\0b", 3 } } },
	    "the namespace 'a?b' is not valid UTF-8 without NUL" },
};

START_TEST(a_level_that_cannot_fit_is_refused_in_words)
{
	const struct bad_level *row = &bad_levels[_i];
	struct strbuf out = STRBUF_EMPTY;
	struct refusal r = { 0 };

	ck_assert_uint_eq(fit_level(&component, &row->level, &out, &r), row->reason);
	ck_assert_uint_eq(r.reason, row->reason);
	ck_assert_str_eq(r.text, row->sentence);
	strbuf_free(&out);
}
END_TEST

START_TEST(a_level_of_the_longest_name_has_room_for_one_more)
{
	char name[NAMES_LEVEL_BYTES + 1];
	struct message_level raw = { 1, { { name, NAMES_LEVEL_BYTES } } };
	const struct message_level *level = &raw;
	struct naming_level room;

	memset(name, '7', sizeof(name));
	ck_assert_uint_eq(naming_level(&component, &level, &room, NULL), REASON_NONE);
	ck_assert_uint_eq(level->name[0].bytes, NAMES_LEVEL_BYTES + 1);
	raw.name[0].bytes++;
	level = &raw;
	ck_assert_uint_eq(naming_level(&component, &level, &room, NULL), REASON_LENGTH);
}
END_TEST

static const struct metric_row {
	enum reason reason;
	const char *name, *wanted; /* or the sentence */
} metrics[] = {
	{ REASON_NONE, "my_counter", "my_counter" },
	{ REASON_NONE, "my.counter", "my_counter" },
	{ REASON_NONE, "123metric", "_123metric" },
	{ REASON_NAME, "", "the metric name '' has neither letter nor digit" },
	{ REASON_NAME, "____", "the metric name '____' has neither letter nor digit" },
	{ REASON_NAME, "@#$%", "the metric name '@#$%' has neither letter nor digit" },
	{ REASON_UTF8, "a\xff", "the metric name 'a?' is not valid UTF-8 without NUL" },
	{ REASON_LENGTH, "a_name_of_26_bytes_or_more",
	    "the metric name 'a_name_of_26_bytes_or_more' has 26 bytes; the limit is "
	    "25" },
};

START_TEST(the_name_of_a_metric_is_made_to_fit_or_refused_in_words)
{
	const struct metric_row *row = &metrics[_i];
	struct names_limits limits = NAMES_DEFAULT_LIMITS;
	struct message_metric raw = { .kind = MESSAGE_COUNTER,
		.level = { 1, { wire_text("my-model") } },
		.name = wire_text(row->name) };
	const struct message_metric *m = &raw;
	struct naming_metric room;
	struct refusal r = { 0 };

	limits.name_bytes = 25;
	ck_assert_uint_eq(naming_metric(&component, &limits, &m, &room, &r), row->reason);
	if (row->reason == REASON_NONE) {
		ck_assert(wire_text_is(m->name, row->wanted));
		ck_assert(wire_text_is(m->level.name[0], "my_model"));
	} else {
		ck_assert_str_eq(r.text, row->wanted);
	}
	m = &raw;
	ck_assert_uint_eq(naming_metric(&seed, &limits, &m, &room, &r), REASON_NONE);
	ck_assert_ptr_eq(m, &raw);
}
END_TEST

/* ---- Constant labels ------------------------------------------------------- */

#define LABELS(...) \
	{ \
		__VA_ARGS__, NULL \
	}

static const struct constants {
	enum reason reason;
	char *labels[9];
	const char *word; /* the sentence has it */
} constants[] = {
	{ REASON_NONE, { NULL }, "" },
	{ REASON_NONE, LABELS("cluster", "eu"), "" },
	{ REASON_NONE, LABELS("_x", "1", "B9", "\"\\\n é"), "" },
	{ REASON_NONE, LABELS("empty", ""), "" },
	{ REASON_NONE, LABELS("instance", "a", "job", "b"), "" },
	{ REASON_LABEL, LABELS("", "x"), "''" },
	{ REASON_LABEL, LABELS("my-label", "x"), "'my-label'" },
	{ REASON_LABEL, LABELS("a", "x", "9b", "x"), "'9b'" },
	{ REASON_LABEL, LABELS("a:b", "x"), "'a:b'" },
	{ REASON_UTF8, LABELS("a\xff", "x"), "'a?'" },
	{ REASON_UTF8, LABELS("a", "\xc3"), "'?'" },
	{ REASON_RESERVED, LABELS("namespace", "x"), "'namespace'" },
	{ REASON_RESERVED, LABELS("component", "x"), "'component'" },
	{ REASON_RESERVED, LABELS("endpoint", "x"), "'endpoint'" },
	{ REASON_RESERVED, LABELS("dynamo_namespace", "x"), "'dynamo_namespace'" },
	{ REASON_RESERVED, LABELS("dynamo_component", "x"), "'dynamo_component'" },
	{ REASON_RESERVED, LABELS("dynamo_endpoint", "x"), "'dynamo_endpoint'" },
	{ REASON_RESERVED, LABELS("__name__", "x"), "'__name__'" },
	{ REASON_RESERVED, LABELS("__", "x"), "'__'" },
	{ REASON_RESERVED, LABELS("le", "x"), "'le'" },
	{ REASON_RESERVED, LABELS("quantile", "x"), "'quantile'" },
	{ REASON_RESERVED, LABELS("worker_id", "x"), "'worker_id'" },
	{ REASON_RESERVED, LABELS("a", "x", "version", "x"), "'version'" },
	{ REASON_RESERVED, LABELS("reason", "x"), "'reason'" },
	{ REASON_RESERVED, LABELS("path", "x"), "'path'" },
	{ REASON_RESERVED, LABELS("code", "x"), "'code'" },
	{ REASON_RESERVED, LABELS("format", "x"), "'format'" },
	{ REASON_RESERVED, LABELS("kind", "x"), "'kind'" },
	{ REASON_DUPLICATE, LABELS("a", "1", "b", "2", "a", "3"), "'a'" },
	{ REASON_LENGTH, LABELS("a_name_of_17_byte", "x"), "limit is 16" },
	{ REASON_LENGTH, LABELS("a", "value of 17 bytes"), "limit is 16" },
	{ REASON_LIMIT, LABELS("a", "1", "b", "2", "c", "3", "d", "4"),
	    "4 constant labels; the limit is 3" },
};

START_TEST(constant_labels_are_checked_and_the_sentence_names_the_label)
{
	const struct constants *row = &constants[_i];
	struct names_limits limits = NAMES_DEFAULT_LIMITS;
	struct naming naming = { .labels = (char **)row->labels };
	struct refusal r = { 0 };

	limits.label_bytes = 16;
	limits.labels = 3;
	ck_assert_uint_eq(naming_check(&naming, &limits, &r), row->reason);
	ck_assert_msg(strstr(r.text, row->word) != NULL, "%s", r.text);
	naming.component = true;
	ck_assert_uint_eq(naming_check(&naming, &limits, NULL), row->reason);
}
END_TEST

static struct naming
copy_of(bool is_component, char **labels)
{
	struct naming naming = { .component = is_component, .labels = labels }, copy;

	ck_assert_uint_eq(naming_check(&naming, LIMITS, NULL), REASON_NONE);
	ck_assert(naming_copy(&copy, &naming));
	ck_assert(copy.component == is_component);
	return copy;
}

START_TEST(a_copy_is_sorted_and_escaped_and_without_empty_labels)
{
	char *labels[] = { "zone", "e\"u", "b", "", "a", "1\n", "B", "\\", NULL };
	const char *const wanted[] = { "B", "\\\\", "a", "1\\n", "zone", "e\\\"u" };
	struct naming copy = copy_of(true, labels);

	ck_assert_uint_eq(naming_constants(&copy), 3);
	for (size_t i = 0; i < COUNT(wanted); i++)
		ck_assert_str_eq(copy.labels[i], wanted[i]);
	naming_free(&copy);
	copy = copy_of(false, NULL);
	ck_assert_uint_eq(naming_constants(&copy), 0);
	naming_free(&copy);
}
END_TEST

START_TEST(a_copy_without_memory_fails_and_leaves_nothing)
{
	char *labels[] = { "zone", "eu", "a", "\n", NULL };
	struct naming naming = { .labels = labels }, copy = { 0 };
	size_t n = 0;

	for (; failing_more(n); n++) {
		bool whole, refused;

		failing_after(n);
		whole = naming_copy(&copy, &naming);
		refused = failing_end();
		ck_assert(whole != refused);
		ck_assert(whole || copy.labels == NULL);
	}
	ck_assert_uint_ge(n, 5);
	naming_free(&copy);
}
END_TEST

static void
check_order(const struct naming *naming, const char *wanted)
{
	static const char *const names[] = { "zone", "worker_id", "x", "E", "a", "f" };
	struct naming_label label[20];
	size_t n = naming_add_constants(naming, label);
	struct strbuf out = STRBUF_EMPTY;

	for (uint32_t depth = 3; depth > 0; depth--)
		label[n++] = (struct naming_label){ .name = wire_text(naming_hierarchy(
							naming, depth)) };
	for (size_t i = 0; i < COUNT(names); i++)
		label[n++] = (struct naming_label){ .name = wire_text(names[i]),
			.variable = true };
	naming_sort(naming, label, n);
	for (size_t i = 0; i < n; i++)
		strbuf_addf(
		    &out, "%s%s", label[i].name.at, label[i].variable ? " " : "= ");
	ck_assert_str_eq(out.at, wanted);
	strbuf_free(&out);
}

START_TEST(the_hierarchy_comes_first_under_the_seeds_naming_alone)
{
	char *labels[] = { "job", "1", "cluster", "2", NULL };
	struct naming copy = copy_of(false, labels);

	check_order(&copy, "namespace= component= endpoint= E a cluster= f job= "
			   "worker_id x zone ");
	naming_free(&copy);
	copy = copy_of(true, labels);
	check_order(&copy, "E a cluster= dynamo_component= dynamo_endpoint= "
			   "dynamo_namespace= f job= worker_id x zone ");
	naming_free(&copy);
	ck_assert_str_eq(naming_prefix(&seed), "dynamo_");
	ck_assert_str_eq(naming_prefix(&component), "dynamo_component_");
}
END_TEST

START_TEST(a_workers_label_of_a_constant_labels_name_is_refused)
{
	char *labels[] = { "cluster", "eu", "gone", "", NULL };
	struct naming copy = copy_of(false, labels);
	struct message_metric m = { .n_constant = 1,
		.constant_name = { wire_text("a") },
		.n_variable = 2,
		.variable_name = { wire_text("gone"), wire_text("cluste") } };
	struct refusal r = { 0 };

	ck_assert_uint_eq(naming_check_labels(&copy, &m, &r), REASON_NONE);
	m.variable_name[1] = wire_text("cluster");
	ck_assert_uint_eq(naming_check_labels(&copy, &m, &r), REASON_RESERVED);
	ck_assert_str_eq(r.text, "the label 'cluster' is on every series already: the "
				 "daemon's configuration sets it (labels.cluster)");
	m.n_variable = 0;
	m.constant_name[0] = wire_text("cluster");
	ck_assert_uint_eq(naming_check_labels(&copy, &m, NULL), REASON_RESERVED);
	naming_free(&copy);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("naming");
	TCase *c = tcase_create("naming");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(
	    c, names_are_made_to_fit_as_the_table_says, 0, (int)COUNT(fits));
	tcase_add_test(c, what_fits_is_always_a_name_of_prometheus);
	tcase_add_test(c, a_level_stays_as_it_is_under_the_seeds_naming);
	tcase_add_test(c, a_level_is_made_to_fit_under_the_component_naming);
	tcase_add_loop_test(
	    c, a_level_that_cannot_fit_is_refused_in_words, 0, (int)COUNT(bad_levels));
	tcase_add_test(c, a_level_of_the_longest_name_has_room_for_one_more);
	tcase_add_loop_test(c, the_name_of_a_metric_is_made_to_fit_or_refused_in_words, 0,
	    (int)COUNT(metrics));
	tcase_add_loop_test(c,
	    constant_labels_are_checked_and_the_sentence_names_the_label, 0,
	    (int)COUNT(constants));
	tcase_add_test(c, a_copy_is_sorted_and_escaped_and_without_empty_labels);
	tcase_add_test(c, a_copy_without_memory_fails_and_leaves_nothing);
	tcase_add_test(c, the_hierarchy_comes_first_under_the_seeds_naming_alone);
	tcase_add_test(c, a_workers_label_of_a_constant_labels_name_is_refused);
	return suite_run(s);
}
