/* SPDX-License-Identifier: Apache-2.0 */
/* What names of workers become on the page under both namings, with constant labels; and
 * what one uid may make. */
#include <stdio.h>

#include "talk.h"
#include "suite.h"

static struct talk *t;
static struct talk_worker *a;

static void
begin(bool component, char **labels, const struct registry_limits *limits)
{
	struct naming naming = { .component = component, .labels = labels };

	t = talk_new(limits, NULL);
	ck_assert_uint_eq(
	    naming_check(&naming, &NAMES_DEFAULT_LIMITS, NULL), REASON_NONE);
	ck_assert(registry_set_naming(t->registry, &naming));
	a = talk_worker(t, 100);
	talk_hello(a, "a");
}

static void
teardown(void)
{
	talk_free(t);
	t = NULL;
}

#define PAGE(text) ck_assert_str_eq(talk_page(t, ""), text)

static const double bounds[] = { 0.5 };

/* One of each kind, with labels that stand on both sides of the hierarchy's. */
static void
define_all(void)
{
	struct talk_metric m = { .kind = MESSAGE_COUNTER,
		.level = "my-model/backend/generate",
		.name = "c",
		.help = "A counter",
		.constant = "zone=eu",
		.variable = "alpha" };

	talk_define(a, &m, "x", 0);
	m = (struct talk_metric){ .id = 1,
		.kind = MESSAGE_GAUGE,
		.merge = MESSAGE_EACH,
		.level = "my-model",
		.name = "g" };
	talk_define(a, &m, "", 1);
	m = (struct talk_metric){ .id = 2,
		.kind = MESSAGE_HISTOGRAM,
		.level = "my-model",
		.name = "h",
		.variable = "model",
		.n_bounds = 1,
		.bounds = bounds };
	talk_define(a, &m, "m", 2);
	m = (struct talk_metric){
		.id = 3, .kind = MESSAGE_COUNTER, .level = "", .name = "root"
	};
	talk_define(a, &m, "", 5);
	talk_update(a, 0, 2, (double[]){ 42, 7 });
}

START_TEST(the_seeds_naming_puts_the_hierarchy_first_and_changes_no_name)
{
	begin(false, NULL, NULL);
	define_all();
	PAGE(
	    "# HELP dynamo_c A counter\n# TYPE dynamo_c counter\n"
	    "dynamo_c{namespace=\"my-model\",component=\"backend\",endpoint=\"generate\","
	    "alpha=\"x\",zone=\"eu\"} 42\n"
	    "# TYPE dynamo_g gauge\n"
	    "dynamo_g{namespace=\"my-model\",worker_id=\"a\"} 7\n"
	    "# TYPE dynamo_h histogram\n"
	    "dynamo_h_bucket{namespace=\"my-model\",model=\"m\",le=\"0.5\"} 0\n"
	    "dynamo_h_bucket{namespace=\"my-model\",model=\"m\",le=\"+Inf\"} 0\n"
	    "dynamo_h_sum{namespace=\"my-model\",model=\"m\"} 0\n"
	    "dynamo_h_count{namespace=\"my-model\",model=\"m\"} 0\n"
	    "# TYPE dynamo_root counter\ndynamo_root 0\n");
}
END_TEST

#define PLACE \
	"dynamo_component=\"backend\",dynamo_endpoint=\"generate\"," \
	"dynamo_namespace=\"my_model\""

START_TEST(the_component_naming_has_its_prefix_and_all_labels_by_name_but_le)
{
	begin(true, NULL, NULL);
	define_all();
	PAGE("# HELP dynamo_component_c A counter\n# TYPE dynamo_component_c counter\n"
	     "dynamo_component_c{alpha=\"x\"," PLACE ",zone=\"eu\"} 42\n"
	     "# TYPE dynamo_component_g gauge\n"
	     "dynamo_component_g{dynamo_namespace=\"my_model\",worker_id=\"a\"} 7\n"
	     "# TYPE dynamo_component_h histogram\n"
	     "dynamo_component_h_bucket{dynamo_namespace=\"my_model\",model=\"m\",le="
	     "\"0.5\"} 0\n"
	     "dynamo_component_h_bucket{dynamo_namespace=\"my_model\",model=\"m\",le="
	     "\"+Inf\"} 0\n"
	     "dynamo_component_h_sum{dynamo_namespace=\"my_model\",model=\"m\"} 0\n"
	     "dynamo_component_h_count{dynamo_namespace=\"my_model\",model=\"m\"} 0\n"
	     "# TYPE dynamo_component_root counter\ndynamo_component_root 0\n");
}
END_TEST

static char *two_labels[] = { "cluster", "e\"u", "Region", "1", NULL };
#define TWO "Region=\"1\",cluster=\"e\\\"u\""

START_TEST(constant_labels_stand_among_the_others_by_name)
{
	begin(false, two_labels, NULL);
	define_all();
	PAGE(
	    "# HELP dynamo_c A counter\n# TYPE dynamo_c counter\n"
	    "dynamo_c{namespace=\"my-model\",component=\"backend\",endpoint=\"generate\","
	    "Region=\"1\",alpha=\"x\",cluster=\"e\\\"u\",zone=\"eu\"} 42\n"
	    "# TYPE dynamo_g gauge\n"
	    "dynamo_g{namespace=\"my-model\"," TWO ",worker_id=\"a\"} 7\n"
	    "# TYPE dynamo_h histogram\n"
	    "dynamo_h_bucket{namespace=\"my-model\"," TWO ",model=\"m\",le=\"0.5\"} 0\n"
	    "dynamo_h_bucket{namespace=\"my-model\"," TWO ",model=\"m\",le=\"+Inf\"} 0\n"
	    "dynamo_h_sum{namespace=\"my-model\"," TWO ",model=\"m\"} 0\n"
	    "dynamo_h_count{namespace=\"my-model\"," TWO ",model=\"m\"} 0\n"
	    "# TYPE dynamo_root counter\ndynamo_root{" TWO "} 0\n");
}
END_TEST

START_TEST(constant_labels_stand_before_and_behind_the_hierarchy_of_the_component_naming)
{
	static char *labels[] = { "z", "1", "a", "2", NULL };
	struct talk_metric m = { .kind = MESSAGE_COUNTER, .level = "n/c/e", .name = "c" };

	begin(true, labels, NULL);
	talk_define(a, &m, "", 0);
	PAGE("# TYPE dynamo_component_c counter\n"
	     "dynamo_component_c{a=\"2\",dynamo_component=\"c\",dynamo_endpoint=\"e\","
	     "dynamo_namespace=\"n\",z=\"1\"} 0\n");
}
END_TEST

/* ---- The daemon's own metrics ----------------------------------------------- */

static const char *
whole_page(void)
{
	struct exposition *e = exposition_new(t->registry, t->self, NULL);

	strbuf_reset(&t->page);
	while (exposition_slice(e, &t->page, 100))
		;
	exposition_free(e);
	return t->page.at;
}

#define HAS(text) ck_assert_msg(strstr(t->page.at, text) != NULL, "%s", t->page.at)

static void
check_sorted(void)
{
	char last[300] = "", name[300];

	for (const char *at = t->page.at; (at = strstr(at, "# TYPE ")) != NULL; at++) {
		sscanf(at, "# TYPE %299s", name);
		ck_assert_msg(strcmp(last, name) < 0, "%s before %s", last, name);
		strcpy(last, name);
	}
}

START_TEST(self_metrics_have_the_constant_labels_too)
{
	begin(false, two_labels, NULL);
	self_add(t->self, SELF_HTTP_REQUESTS, SELF_PATH_METRICS, self_http_code(200), 3);
	self_observe(t->self, SELF_LOOP_TURN, 0, 0, 0.05);
	whole_page();
	HAS("\ndynamo_metricsd_workers{" TWO "} ");
	HAS("\ndynamo_metricsd_build_info{" TWO ",version=\"");
	HAS("\ndynamo_system_uptime_seconds{namespace=\"dynamo\"," TWO "} 0\n");
	HAS("\ndynamo_system_http_requests_total{" TWO
	    ",code=\"200\",path=\"/metrics\"} 3\n");
	HAS("\ndynamo_metricsd_loop_turn_seconds_bucket{" TWO ",le=\"0.1\"} 1\n");
	HAS("\nprocess_max_fds{" TWO "} 0\n");
	check_sorted();
}
END_TEST

START_TEST(self_metrics_keep_their_names_under_the_component_naming)
{
	static char *labels[] = { "host", "p", NULL };

	begin(true, labels, NULL);
	define_all();
	whole_page();
	HAS("\ndynamo_system_uptime_seconds{host=\"p\",namespace=\"dynamo\"} 0\n");
	HAS("\ndynamo_metricsd_refused_total{host=\"p\",reason=\"value\"} 0\n");
	HAS("\ndynamo_component_root{host=\"p\"} 0\n");
	check_sorted();
}
END_TEST

START_TEST(names_pick_families_by_their_full_names)
{
	struct wire_text names[] = { wire_text("dynamo_component_root"),
		wire_text("dynamo_g"), wire_text("g"), wire_text("dynamo_component_") };
	struct exposition_filter filter = { .n_names = 4, .names = names };
	struct exposition *e;

	begin(true, NULL, NULL);
	define_all();
	e = exposition_new(t->registry, t->self, &filter);
	while (exposition_slice(e, &t->page, 1))
		;
	exposition_free(e);
	ck_assert_str_eq(t->page.at,
	    "# TYPE dynamo_component_root counter\ndynamo_component_root 0\n");
}
END_TEST

START_TEST(a_self_metrics_name_can_be_taken_only_where_the_prefix_differs)
{
	struct talk_metric m = {
		.kind = MESSAGE_GAUGE, .level = "", .name = "system_uptime_seconds"
	};

	begin(false, NULL, NULL);
	talk_define(a, &m, "", 0);
	ck_assert_uint_eq(talk_refused(t), REASON_COLLISION);
	teardown();
	begin(true, NULL, NULL);
	talk_define(a, &m, "", 0);
	ck_assert_uint_eq(talk_refused(t), REASON_NONE);
	talk_set(a, 0, 3);
	whole_page();
	HAS("\ndynamo_component_system_uptime_seconds 3\n");
	HAS("\ndynamo_system_uptime_seconds{namespace=\"dynamo\"} 0\n");
	check_sorted();
}
END_TEST

/* ---- Names that are one ------------------------------------------------------ */

START_TEST(names_that_become_one_are_one_series)
{
	struct talk_metric m = { .kind = MESSAGE_COUNTER, .name = "c" };
	const char *const levels[] = { "my-model/x.y", "my_model/x y", "my model/x_y" };

	begin(true, NULL, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		m.id = i;
		m.level = levels[i];

		talk_define(a, &m, "", i);
		talk_set(a, i, 1);
	}
	talk_json(t, "{\"namespace\":\"my@model\",\"component\":\"x:y\",\"metrics\":"
		     "[{\"name\":\"c\",\"type\":\"counter\",\"inc\":4}]}");
	PAGE("# TYPE dynamo_component_c counter\n"
	     "dynamo_component_c{dynamo_component=\"x_y\",dynamo_namespace=\"my_model\"}"
	     " 7\n");
	teardown();
	begin(false, NULL, NULL);
	for (uint32_t i = 0; i < 3; i++) {
		m.id = i;
		m.level = levels[i];
		talk_define(a, &m, "", i);
	}
	ck_assert_uint_eq(registry_count(t->registry, MESSAGE_COUNTER), 3);
}
END_TEST

START_TEST(a_metric_that_is_defined_again_by_another_spelling_is_the_same)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "my-model", .name = "a.b"
	};

	begin(true, NULL, NULL);
	talk_define(a, &m, "", 0);
	ck_assert_uint_eq(talk_refused(t), REASON_NONE);
	m.name = "a-b";
	m.level = "my_model";
	talk_define(a, &m, "", 0);
	ck_assert_uint_eq(talk_refused(t), REASON_NONE);
	m.name = "a_c";
	talk_define(a, &m, "", 0);
	ck_assert_uint_eq(talk_refused(t), REASON_DUPLICATE);
	PAGE("# TYPE dynamo_component_a_b counter\n"
	     "dynamo_component_a_b{dynamo_namespace=\"my_model\"} 0\n");
}
END_TEST

START_TEST(a_level_is_asked_for_by_any_spelling_of_it)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "my-model/___a", .name = "c"
	};
	static const char *const spellings[] = { "my-model", "my_model", "my.model",
		"my-model/___a", "my_model/__a" };

	begin(true, NULL, NULL);
	talk_define(a, &m, "", 0);
	for (size_t i = 0; i < 5; i++)
		ck_assert_msg(strstr(talk_page(t, spellings[i]),
				  "dynamo_component_c{dynamo_component=\"__a\",") != NULL,
		    "%s", spellings[i]);
	ck_assert_str_eq(talk_page(t, "mymodel"), "");
	ck_assert_str_eq(talk_page(t, "@#$%"), "");
	ck_assert_str_eq(talk_page(t, "my-model/@"), "");
	teardown();
	begin(false, NULL, NULL);
	m.level = "my-model";
	talk_define(a, &m, "", 0);
	ck_assert_str_eq(talk_page(t, "my_model"), "");
	ck_assert_str_ne(talk_page(t, "my-model"), "");
}
END_TEST

START_TEST(an_endpoint_is_found_by_any_spelling_of_it)
{
	struct talk_metric m = {
		.kind = MESSAGE_COUNTER, .level = "n/c/gen-\"er\"ate", .name = "c"
	};

	begin(true, NULL, NULL);
	talk_define(a, &m, "", 0);
	ck_assert(apply_endpoint_live(t->apply, "gen-\"er\"ate"));
	ck_assert(apply_endpoint_live(t->apply, "gen__er_ate"));
	ck_assert(!apply_endpoint_live(t->apply, "generate"));
	ck_assert(!apply_endpoint_live(t->apply, "c"));
	ck_assert(!apply_endpoint_live(t->apply, "n"));
	ck_assert(!apply_endpoint_live(t->apply, "@#$%"));
	ck_assert(!apply_endpoint_live(t->apply, ""));
	teardown();
	begin(false, NULL, NULL);
	talk_define(a, &m, "", 0);
	ck_assert(apply_endpoint_live(t->apply, "gen-\"er\"ate"));
	ck_assert(!apply_endpoint_live(t->apply, "gen__er_ate"));
}
END_TEST

static uint32_t
removed(const char *name, const char *level)
{
	struct registry_removal what = { .name = wire_text(name),
		.level = talk_level(level) };
	struct registry_removed ret;

	registry_remove_matching(t->registry, &what, NULL, &ret);
	return ret.removed;
}

START_TEST(a_metric_is_removed_by_any_spelling_of_it)
{
	static const char *const add =
	    "{\"namespace\":\"my-model\",\"metrics\":["
	    "{\"name\":\"a.b\",\"type\":\"gauge\",\"set\":1}]}";

	begin(true, NULL, NULL);
	talk_json(t, add);
	ck_assert_uint_eq(removed("a.b", "mymodel"), 0);
	ck_assert_uint_eq(removed("dynamo_a_b", ""), 0);
	ck_assert_uint_eq(removed("____", ""), 0);
	ck_assert_uint_eq(removed("a-b", "my.model"), 1);
	talk_json(t, add);
	ck_assert_uint_eq(removed("dynamo_component_a_b", "my_model"), 1);
	talk_json(t, add);
	talk_json(t, "{\"namespace\":\"my_model\",\"metrics\":["
		     "{\"name\":\"a b\",\"remove\":true}]}");
	ck_assert_str_eq(t->reply.at, "{\"ok\":true}");
	PAGE("");
}
END_TEST

/* ---- What is refused ---------------------------------------------------------- */

static const struct refused {
	enum reason seed, component;
	struct talk_metric m;
} refusals[] = {
	{ REASON_NONE, REASON_NONE,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = ":x" } },
	{ REASON_NAME, REASON_NONE,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "a-b" } },
	{ REASON_NAME, REASON_NONE,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "9" } },
	{ REASON_NAME, REASON_NAME,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "" } },
	{ REASON_NONE, REASON_NAME,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "____" } },
	{ REASON_NAME, REASON_NAME,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "!!!!" } },
	{ REASON_UTF8, REASON_UTF8,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "a\xff" } },
	{ REASON_NONE, REASON_LEVEL,
	    { .kind = MESSAGE_COUNTER, .level = "n/@", .name = "c" } },
	{ REASON_UTF8, REASON_UTF8,
	    { .kind = MESSAGE_COUNTER, .level = "n/\xff", .name = "c" } },
	{ REASON_LABEL, REASON_LABEL,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "c", .constant = "a-b=1" } },
	{ REASON_RESERVED, REASON_RESERVED,
	    { .kind = MESSAGE_COUNTER,
		.level = "",
		.name = "c",
		.variable = "endpoint" } },
	{ REASON_RESERVED, REASON_RESERVED,
	    { .kind = MESSAGE_COUNTER,
		.level = "",
		.name = "c",
		.constant = "dynamo_endpoint=1" } },
	{ REASON_RESERVED, REASON_RESERVED,
	    { .kind = MESSAGE_COUNTER,
		.level = "",
		.name = "c",
		.variable = "x,cluster" } },
	{ REASON_RESERVED, REASON_RESERVED,
	    { .kind = MESSAGE_COUNTER,
		.level = "",
		.name = "c",
		.constant = "Region=2" } },
	{ REASON_COLLISION, REASON_COLLISION,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "taken_sum" } },
	{ REASON_NAME, REASON_COLLISION,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "taken.count" } },
	{ REASON_NAME, REASON_TYPE,
	    { .kind = MESSAGE_COUNTER, .level = "", .name = "tak-n" } },
};

START_TEST(names_and_labels_are_refused_under_each_naming_and_nothing_changes)
{
	const struct refused *row = &refusals[_i / 2];
	struct talk_metric m = row->m;
	struct talk_metric taken = {
		.id = 1, .kind = MESSAGE_HISTOGRAM, .level = "", .name = "taken"
	};
	enum reason wanted = _i % 2 ? row->component : row->seed;
	char *before;

	begin(_i % 2, two_labels, NULL);
	talk_define(a, &taken, "", 100);
	taken.id = 2;
	taken.name = "tak_n";
	talk_define(a, &taken, "", 110);
	before = strdup(talk_page(t, ""));
	talk_define(a, &m, m.variable ? "1" : "", 0);
	ck_assert_msg(talk_refused(t) == wanted, "row %d: %s", _i / 2,
	    message_reason_word(talk_refused(t)));
	if (wanted != REASON_NONE)
		PAGE(before);
	free(before);
}
END_TEST

START_TEST(a_refusal_names_what_the_sender_wrote)
{
	static const char *const replies[][2] = {
		{ "{\"metrics\":[{\"name\":\"@#$%\",\"type\":\"counter\",\"inc\":1}]}",
		    "\"reason\":\"name\",\"text\":\"the metric name '@#$%' has neither" },
		{ "{\"namespace\":\"____\",\"metrics\":[{\"name\":\"c\",\"type\":"
		  "\"counter\",\"inc\":1}]}",
		    "\"reason\":\"level\",\"text\":\"the namespace '____' has neither" },
		{ "{\"metrics\":[{\"name\":\"c\",\"type\":\"counter\",\"inc\":1,"
		  "\"labels\":{\"cluster\":\"us\"}}]}",
		    "\"reason\":\"reserved\",\"text\":\"the label 'cluster' is on "
		    "every" },
	};

	begin(true, two_labels, NULL);
	for (size_t i = 0; i < 3; i++) {
		talk_json(t, replies[i][0]);
		ck_assert_msg(
		    strstr(t->reply.at, replies[i][1]) != NULL, "%s", t->reply.at);
	}
	PAGE("");
}
END_TEST

/* ---- What one uid may make ----------------------------------------------------- */

static struct registry_limits
few(void)
{
	struct registry_limits limits = REGISTRY_DEFAULT_LIMITS;

	limits.series_per_uid = 3;
	return limits;
}

static enum reason
one_more(struct talk_worker *w, uint32_t number)
{
	char value[16];

	snprintf(value, sizeof(value), "%u", number);
	talk_child(w, 0, value, number);
	return talk_refused(t);
}

static const struct talk_metric vec = {
	.kind = MESSAGE_COUNTER, .level = "", .name = "c", .variable = "k"
};

START_TEST(a_uid_makes_no_more_series_than_its_limit_whoever_of_its_workers_asks)
{
	struct registry_limits limits = few();
	struct talk_worker *b, *other;

	begin(false, NULL, &limits);
	b = talk_worker(t, 200);
	talk_hello(b, "b");
	other = talk_worker(t, 300);
	other->peer.uid = 2000;
	talk_hello(other, "other");
	talk_define(a, &vec, NULL, 0);
	talk_define(b, &vec, NULL, 0);
	talk_define(other, &vec, NULL, 0);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(one_more(i % 2 ? a : b, i), REASON_NONE);
	ck_assert_uint_eq(one_more(a, 3), REASON_LIMIT);
	ck_assert_ptr_nonnull(strstr(t->logged.at, "the user 1000 has its 3 series "
						   "(limits.series_per_uid)"));
	/* What is there already can be had by all. */
	ck_assert_uint_eq(one_more(b, 1), REASON_NONE);
	ck_assert_uint_eq(one_more(other, 0), REASON_NONE);
	for (uint32_t i = 4; i < 7; i++)
		ck_assert_uint_eq(one_more(other, i), REASON_NONE);
	ck_assert_uint_eq(one_more(other, 7), REASON_LIMIT);
	ck_assert_uint_eq(registry_count(t->registry, MESSAGE_COUNTER), 6);
}
END_TEST

START_TEST(a_series_that_leaves_makes_room_for_its_uid)
{
	struct registry_limits limits = few();

	begin(false, NULL, &limits);
	talk_define(a, &vec, NULL, 0);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_uint_eq(one_more(a, i), REASON_NONE);
	for (uint32_t i = 0; i < 10; i++) {
		ck_assert_uint_eq(one_more(a, i + 3), REASON_LIMIT);
		talk_remove(a, i);
		ck_assert_uint_eq(one_more(a, i + 3), REASON_NONE);
	}
}
END_TEST

START_TEST(json_is_counted_for_the_uid_of_its_sender)
{
	struct registry_limits limits = few();
	static const char *const more =
	    "{\"metrics\":[{\"name\":\"j\",\"type\":\"counter\",\"inc\":1}]}";

	begin(false, NULL, &limits);
	talk_json(t, more);
	ck_assert_str_eq(t->reply.at, "{\"ok\":true}");
	talk_define(a, &vec, NULL, 0);
	ck_assert_uint_eq(one_more(a, 0), REASON_NONE);
	ck_assert_uint_eq(one_more(a, 1), REASON_NONE);
	ck_assert_uint_eq(one_more(a, 2), REASON_LIMIT);
	talk_json(t, more);
	ck_assert_str_eq(t->reply.at, "{\"ok\":true}");
	talk_json(t, "{\"metrics\":[{\"name\":\"k\",\"type\":\"counter\",\"inc\":1}]}");
	ck_assert_ptr_nonnull(strstr(t->reply.at, "\"reason\":\"limit\""));
	ck_assert_ptr_null(strstr(talk_page(t, ""), "dynamo_k"));
}
END_TEST

/* ---- Help ----------------------------------------------------------------------- */

static const struct {
	const char *help, *line;
} helps[] = {
	{ "plain", "# HELP dynamo_c plain\n" },
	{ "a \"b\" \\ c\nd", "# HELP dynamo_c a \"b\" \\\\ c\\nd\n" },
	{ "  space around\t\n\r", "# HELP dynamo_c space around\n" },
	{ " \n ", "" },
	{ "", "" },
	{ "é\r\x01z", "# HELP dynamo_c é\r\x01z\n" },
};

START_TEST(help_is_escaped_and_has_no_space_around_it)
{
	struct talk_metric m = { .kind = MESSAGE_COUNTER, .level = "", .name = "c" };
	char wanted[200];

	begin(false, NULL, NULL);
	m.help = helps[_i].help;
	talk_define(a, &m, "", 0);
	snprintf(wanted, sizeof(wanted), "%s# TYPE dynamo_c counter\ndynamo_c 0\n",
	    helps[_i].line);
	PAGE(wanted);
	/* The same help again is no second help. */
	talk_define(a, &m, "", 0);
	ck_assert_ptr_null(strstr(t->logged.at, "second help"));
}
END_TEST

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

int
main(void)
{
	Suite *s = suite_create("registry_names");
	TCase *c = tcase_create("registry_names");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, NULL, teardown);
	tcase_add_test(c, the_seeds_naming_puts_the_hierarchy_first_and_changes_no_name);
	tcase_add_test(
	    c, the_component_naming_has_its_prefix_and_all_labels_by_name_but_le);
	tcase_add_test(c, constant_labels_stand_among_the_others_by_name);
	tcase_add_test(c,
	    constant_labels_stand_before_and_behind_the_hierarchy_of_the_component_naming);
	tcase_add_test(c, self_metrics_have_the_constant_labels_too);
	tcase_add_test(c, self_metrics_keep_their_names_under_the_component_naming);
	tcase_add_test(c, names_pick_families_by_their_full_names);
	tcase_add_test(c, a_self_metrics_name_can_be_taken_only_where_the_prefix_differs);
	tcase_add_test(c, names_that_become_one_are_one_series);
	tcase_add_test(c, a_metric_that_is_defined_again_by_another_spelling_is_the_same);
	tcase_add_test(c, a_level_is_asked_for_by_any_spelling_of_it);
	tcase_add_test(c, an_endpoint_is_found_by_any_spelling_of_it);
	tcase_add_test(c, a_metric_is_removed_by_any_spelling_of_it);
	tcase_add_loop_test(c,
	    names_and_labels_are_refused_under_each_naming_and_nothing_changes, 0,
	    2 * COUNT(refusals));
	tcase_add_test(c, a_refusal_names_what_the_sender_wrote);
	tcase_add_test(
	    c, a_uid_makes_no_more_series_than_its_limit_whoever_of_its_workers_asks);
	tcase_add_test(c, a_series_that_leaves_makes_room_for_its_uid);
	tcase_add_test(c, json_is_counted_for_the_uid_of_its_sender);
	tcase_add_loop_test(
	    c, help_is_escaped_and_has_no_space_around_it, 0, COUNT(helps));
	return suite_run(s);
}
