/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry when memory is out: every allocation of every call is refused in turn. The
 * call fails in its own way, the page is what it was, and the same call works afterwards.
 */
#include <stdio.h>

#include "exposition.h"
#include "failing.h"
#include "suite.h"

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

static struct registry *r;
static struct column *c;
static struct strbuf page;

static const uint8_t one_bound[8] = { 0, 0, 0, 0, 0, 0, 0xf0, 0x3f }; /* 1.0 */

static const char *
look(void)
{
	struct exposition *e = exposition_new(r, NULL, NULL);

	ck_assert_ptr_nonnull(e);
	strbuf_reset(&page);
	strbuf_adds(&page, "");
	while (exposition_slice(e, &page, 100000))
		;
	exposition_free(e);
	ck_assert(!page.failed);
	return page.at;
}

/* ---- What is done ------------------------------------------------------------ */

static struct message_metric
metric(uint32_t id, enum message_kind kind, const char *name)
{
	return (struct message_metric){ .id = id,
		.kind = kind,
		.level = { 2, { wire_text("my-model"), wire_text("a\"b") } },
		.name = wire_text(name),
		.help = wire_text("Help\n"),
		.n_constant = 1,
		.constant_name = { wire_text("zone") },
		.constant_value = { wire_text("\"eu\"") },
		.n_variable = 1,
		.variable_name = { wire_text("k") },
		.n_bounds = kind == MESSAGE_HISTOGRAM,
		.bounds = one_bound };
}

static enum reason
define(uint32_t id, enum message_kind kind, enum message_merge merge, const char *name)
{
	struct message_metric m = metric(id, kind, name);

	m.merge = merge;
	return registry_define_metric(r, c, &m, NULL);
}

static enum reason
child(uint32_t id, const char *value, uint32_t cell)
{
	struct message_child k = {
		.metric = id, .cell = cell, .n_values = 1, .value = { wire_text(value) }
	};

	return registry_define_child(r, c, &k, NULL, NULL);
}

static enum reason
set(uint32_t cell, double value)
{
	uint8_t record[MESSAGE_RECORD_BYTES];

	wire_store_u32(record, cell);
	wire_store_u64(record + 4, wire_bits(value));
	registry_apply_records(r, c, record, 1);
	return REASON_NONE;
}

static enum reason
retain(enum message_kind kind, enum message_merge merge, const char *name, double v)
{
	struct message_metric m = metric(0, kind, name);
	uint32_t series;
	enum reason reason;

	m.merge = merge;
	m.n_variable = 0;
	if (kind == MESSAGE_GAUGE && !registry_retained_reserve(r))
		return REASON_MEMORY;
	reason = registry_retain(r, 7, &m, &series, NULL, NULL);
	if (reason != REASON_NONE)
		return reason;
	if (kind == MESSAGE_COUNTER)
		return registry_retained_add(r, series, v, NULL);
	registry_retained_set(r, series, v, 5, 1000000);
	return REASON_NONE;
}

/* 0: nothing was there before; else so many children of every kind, which make tables
 * that are full, or counters alone, so that a gauge is the first. */
#define COUNTERS 1000
static void
populate(int n)
{
	char value[16];

	if (n == 0)
		return;
	define(0, MESSAGE_COUNTER, MESSAGE_SUM, "counter");
	define(1, MESSAGE_GAUGE, MESSAGE_LAST, "last");
	define(2, MESSAGE_GAUGE, MESSAGE_EACH, "each");
	define(3, MESSAGE_HISTOGRAM, MESSAGE_SUM, "histogram");
	if (n == COUNTERS) {
		for (uint32_t i = 0; i < 6; i++)
			child(0, (const char *[]){ "0", "1", "2", "3", "4", "5" }[i], i);
		return;
	}
	for (int i = 0; i < n; i++) {
		uint32_t cell = 10 * (uint32_t)i;

		snprintf(value, sizeof(value), "%d", i);
		child(0, value, cell);
		child(1, value, cell + 1);
		child(2, value, cell + 3);
		child(3, value, cell + 4);
		set(cell, 3);
		set(cell + 1, 4);
		set(cell + 3, 5);
	}
	retain(MESSAGE_COUNTER, MESSAGE_SUM, "kept", 2);
	retain(MESSAGE_GAUGE, MESSAGE_SUM, "kept_gauge", 2);
}

static enum reason
new_family(void)
{
	return define(4, MESSAGE_HISTOGRAM, MESSAGE_SUM, "new");
}

static enum reason
new_family_instead_of_a_kept_one(void)
{
	return define(4, MESSAGE_GAUGE, MESSAGE_SUM, "kept");
}

static enum reason
new_family_whose_samples_have_a_kept_name(void)
{
	struct message_metric m = metric(4, MESSAGE_HISTOGRAM, "h");

	retain(MESSAGE_COUNTER, MESSAGE_SUM, "h_sum", 1);
	return registry_define_metric(r, c, &m, NULL);
}

static enum reason
metric_far_away(void)
{
	return define(3000, MESSAGE_COUNTER, MESSAGE_SUM, "far");
}

static enum reason
new_counter(void)
{
	return child(0, "new", 1000);
}

static enum reason
new_histogram(void)
{
	return child(3, "new \\ value", 1000);
}

static enum reason
gauge_on_cells_of_others(void)
{
	enum reason reason = child(1, "over", 3);

	return reason == REASON_NONE ? set(3, 8) : reason;
}

static enum reason
gauge_that_moves_by_a_cell(void)
{
	return child(1, "0", 2);
}

static enum reason
counter_far_away(void)
{
	return child(0, "far", 60000);
}

static enum reason
kept_counter(void)
{
	return retain(MESSAGE_COUNTER, MESSAGE_SUM, "json", 3);
}

static enum reason
kept_counter_instead_of_a_kept_gauge(void)
{
	return retain(MESSAGE_COUNTER, MESSAGE_SUM, "kept_gauge", 3);
}

static enum reason
kept_gauge(void)
{
	return retain(MESSAGE_GAUGE, MESSAGE_LAST, "json_gauge", 3);
}

static enum reason
new_name(void)
{
	return registry_column_rename(r, c, wire_text("a\nnother")) ? REASON_NONE
								    : REASON_MEMORY;
}

static enum reason
another_column(void)
{
	struct column *other = registry_column_new(r, wire_text("other"));

	if (other)
		registry_column_fold(r, other);
	return other ? REASON_NONE : REASON_MEMORY;
}

static const struct {
	const char *name;
	enum reason (*call)(void);
	int children; /* that must be there */
} calls[] = {
	{ "new_family", new_family, 0 },
	{ "metric_far_away", metric_far_away, 0 },
	{ "kept_counter", kept_counter, 0 },
	{ "kept_gauge", kept_gauge, 0 },
	{ "another_column", another_column, 0 },
	{ "new_name", new_name, 0 },
	{ "new_family_instead_of_a_kept_one", new_family_instead_of_a_kept_one, 1 },
	{ "new_counter", new_counter, 1 },
	{ "new_histogram", new_histogram, 1 },
	{ "counter_far_away", counter_far_away, 1 },
	{ "gauge_on_cells_of_others", gauge_on_cells_of_others, 1 },
	{ "gauge_that_moves_by_a_cell", gauge_that_moves_by_a_cell, 1 },
	{ "kept_counter_instead_of_a_kept_gauge", kept_counter_instead_of_a_kept_gauge,
	    1 },
	/* it makes what is kept itself: what is refused there shows on the page */
	{ "new_family_whose_samples_have_a_kept_name",
	    new_family_whose_samples_have_a_kept_name, 1 },
};

/* ---- The tests ---------------------------------------------------------------- */

static void
begin(bool component, int children)
{
	char longer[300];
	char *labels[] = { "cluster", "eu", "zz", longer, NULL };
	struct naming naming = { .component = component, .labels = labels };

	/* What is rendered takes more than one piece of memory. */
	memset(longer, 'z', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	r = registry_new(&REGISTRY_DEFAULT_LIMITS, NULL);
	ck_assert(registry_set_naming(r, &naming));
	c = registry_column_new(r, wire_text("worker"));
	ck_assert_ptr_nonnull(c);
	populate(children);
}

static void
end(void)
{
	registry_column_fold(r, c);
	registry_free(r);
	r = NULL;
}

static void
fail_each(int call, bool component, int children)
{
	const char *name = calls[call].name;
	char *before, *wanted;
	size_t n;

	begin(component, children);
	before = strdup(look());
	ck_assert_uint_eq(calls[call].call(), REASON_NONE);
	wanted = strdup(look());
	end();
	for (n = 0; failing_more(n); n++) {
		enum reason reason;

		begin(component, children);
		failing_after(n);
		reason = calls[call].call();
		if (failing_end() && reason != REASON_NONE) {
			ck_assert_msg(reason == REASON_MEMORY, "%s: %s", name,
			    message_reason_word(reason));
			ck_assert_msg(strcmp(look(), before) == 0 ||
					  strstr(name, "samples") != NULL,
			    "%s, allocation %zu: %s", name, n, page.at);
			ck_assert_uint_eq(calls[call].call(), REASON_NONE);
		}
		ck_assert_uint_eq(reason == REASON_NONE || reason == REASON_MEMORY, true);
		ck_assert_msg(strcmp(look(), wanted) == 0, "%s, allocation %zu: %s", name,
		    n, page.at);
		end();
	}
	ck_assert_msg(n > 1 || children > 0, "%s asked for no memory", name);
	free(before);
	free(wanted);
}

START_TEST(a_call_without_memory_fails_and_changes_nothing_and_can_be_tried_again)
{
	static const int children[] = { 0, 1, 2, 3, 12, 13, COUNTERS };

	for (int i = 0; i < COUNT(children); i++)
		if (children[i] >= calls[_i].children) {
			fail_each(_i, false, children[i]);
			fail_each(_i, true, children[i]);
		}
}
END_TEST

/* What could not be made has left nothing that a later sweep would find. */
START_TEST(what_could_not_be_made_is_not_swept)
{
	for (size_t n = 0; failing_more(n); n++) {
		begin(false, COUNTERS);
		failing_after(n);
		new_counter();
		kept_gauge();
		failing_end();
		registry_set_time(r, 1000000);
		registry_tidy(r, 1);
		registry_tidy(r, 1);
		ck_assert_uint_eq(registry_count(r, MESSAGE_GAUGE), 0);
		ck_assert_uint_ge(registry_count(r, MESSAGE_COUNTER), 6);
		end();
	}
}
END_TEST

START_TEST(a_registry_without_memory_is_none)
{
	struct naming naming = { .component = true };
	size_t n = 0;

	for (; failing_more(n); n++) {
		bool made;

		failing_after(n);
		r = registry_new(&REGISTRY_DEFAULT_LIMITS, NULL);
		made = r && registry_set_naming(r, &naming);
		ck_assert(made != failing_end());
		ck_assert(!made || registry_naming(r)->component);
		registry_free(r);
	}
	ck_assert_uint_ge(n, 4);
}
END_TEST

/* The cursor asks for memory at each family: then the page says that it is not whole. */
START_TEST(a_page_without_memory_says_so_and_the_next_is_whole)
{
	struct wire_text names[] = { wire_text("dynamo_component_counter") };
	struct exposition_filter filter = { .level = { 1, { wire_text("my-model") } },
		.n_names = (size_t)_i,
		.names = names };
	char *wanted = NULL;
	size_t n;

	begin(true, 3);
	for (n = 0; failing_more(n); n++) {
		struct strbuf out = STRBUF_EMPTY;
		struct self_metrics *self = self_metrics_new();
		struct exposition *e;
		bool refused;

		failing_after(n);
		e = exposition_new(r, self, _i ? &filter : NULL);
		while (e && exposition_slice(e, &out, 300))
			;
		refused = failing_end();
		ck_assert(refused == (e == NULL || out.failed));
		exposition_free(e);
		self_metrics_free(self);
		if (!refused)
			wanted = strdup(out.at);
		strbuf_free(&out);
	}
	ck_assert_uint_ge(n, 5);
	ck_assert_ptr_nonnull(strstr(wanted, "dynamo_component_counter{cluster=\"eu\","));
	free(wanted);
	end();
}
END_TEST

START_TEST(a_place_is_looked_up_without_memory_or_not_at_all)
{
	struct message_level level = { 2, { wire_text("my-model"), wire_text("a\"b") } };
	uint32_t place = 0;

	begin(false, 1);
	for (size_t n = 0; failing_more(n); n++) {
		bool found;

		failing_after(n);
		found = registry_place(r, &level, &place);
		ck_assert(found != failing_end());
	}
	end();
}
END_TEST

static void
free_page(void)
{
	strbuf_free(&page);
}

int
main(void)
{
	Suite *s = suite_create("registry_failing");
	TCase *t = tcase_create("registry_failing");

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, NULL, free_page);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t,
	    a_call_without_memory_fails_and_changes_nothing_and_can_be_tried_again, 0,
	    COUNT(calls));
	tcase_add_test(t, what_could_not_be_made_is_not_swept);
	tcase_add_test(t, a_registry_without_memory_is_none);
	tcase_add_loop_test(t, a_page_without_memory_says_so_and_the_next_is_whole, 0, 2);
	tcase_add_test(t, a_place_is_looked_up_without_memory_or_not_at_all);
	return suite_run(s);
}
