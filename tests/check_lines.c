/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as they are made of pieces, beside the same lines printed one character after the
 * other. */
#include <math.h>
#include <stdio.h>

#include "decimal.h"
#include "failing.h"
#include "lines.h"
#include "suite.h"

#define LABELS_MOST 9
#define BYTES_MOST  80 /* of a value: twice what is copied at once, and more */
#define CELLS_MOST  12

static struct lines lines;
static struct strbuf out, wanted;
static uint64_t seed;

/* One series of a family: its schema, its values, and what it has counted. */
struct sample {
	char name[BYTES_MOST + 1];
	uint32_t literal[LABELS_MOST + 2];
	struct strbuf text;
	struct labels_schema schema;
	char bytes[LABELS_MOST][BYTES_MOST];
	struct wire_text value[LABELS_MOST];
	uint32_t n_bounds;
	double bounds[CELLS_MOST];
	double cells[CELLS_MOST + 2];
};

static void
setup(void)
{
	lines = (struct lines){ 0 };
	out = wanted = STRBUF_EMPTY;
	seed = 1;
}

static void
teardown(void)
{
	lines_free(&lines);
	strbuf_free(&out);
	strbuf_free(&wanted);
}

static uint32_t
below(uint32_t n)
{
	seed = seed * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)((seed >> 33) % n);
}

static struct wire_text
letters(char *bytes, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (char)('a' + below(26));
	return (struct wire_text){ bytes, n };
}

/* Some labels that are constant, around those that differ. */
static void
make_schema(struct sample *s, uint32_t n, bool constant)
{
	struct strbuf *text = &s->text;
	char bytes[BYTES_MOST];

	*text = STRBUF_EMPTY;
	s->literal[0] = 0;
	if (constant) {
		struct wire_text value = letters(bytes, below(BYTES_MOST));

		strbuf_addf(text, "{c=\"%.*s\"", (int)value.bytes, value.at);
	}
	for (uint32_t i = 0; i < n; i++) {
		strbuf_addf(text, "%cl%u=\"", text->bytes > 0 ? ',' : '{', i);
		s->literal[i + 1] = (uint32_t)text->bytes;
		strbuf_addc(text, '"');
	}
	s->literal[n + 1] = (uint32_t)text->bytes;
	s->schema =
	    (struct labels_schema){ .n = n, .literal = s->literal, .text = text->at };
}

static void
make_sample(struct sample *s, uint32_t n, bool constant, uint32_t bytes)
{
	uint32_t named = 1 + below(BYTES_MOST);

	letters(s->name, named);
	s->name[named] = '\0';
	make_schema(s, n, constant);
	for (uint32_t i = 0; i < n; i++)
		s->value[i] = letters(s->bytes[i], bytes);
	s->n_bounds = below(CELLS_MOST);
	for (uint32_t i = 0; i < s->n_bounds; i++)
		s->bounds[i] = i * 1.5 + 0.001;
	for (uint32_t i = 0; i < s->n_bounds + 2; i++)
		s->cells[i] = below(1000000);
}

/* ---- The plain way ----------------------------------------------------- */

static void
want_line(const struct sample *s, const char *suffix, const char *le, double v)
{
	char value[DECIMAL_BYTES];
	bool open = s->schema.text != NULL;

	strbuf_addf(&wanted, "%s%s", s->name, suffix);
	for (uint32_t i = 0; i <= s->schema.n && open; i++) {
		strbuf_add(&wanted, s->schema.text + s->literal[i],
		    s->literal[i + 1] - s->literal[i]);
		if (i < s->schema.n)
			strbuf_add(&wanted, s->value[i].at, s->value[i].bytes);
	}
	if (le)
		strbuf_addf(&wanted, "%cle=\"%s\"", open ? ',' : '{', le);
	decimal_format(value, v);
	strbuf_addf(&wanted, "%s %s\n", open || le ? "}" : "", value);
}

static void
want_histogram(const struct sample *s)
{
	double count = 0;

	for (uint32_t i = 0; i <= s->n_bounds; i++) {
		char le[DECIMAL_BYTES] = "+Inf";

		if (i < s->n_bounds)
			decimal_format(le, s->bounds[i]);
		count += s->cells[i];
		want_line(s, "_bucket", le, count);
	}
	want_line(s, "_sum", NULL, s->cells[s->n_bounds + 1]);
	want_line(s, "_count", NULL, count);
}

static void
add(struct sample *s, bool histogram)
{
	lines_begin(&lines, &out, wire_text(s->name), histogram ? s->bounds : NULL,
	    histogram ? s->n_bounds : 0);
	lines_schema(&lines, &s->schema);
	if (histogram)
		lines_add_histogram(&lines, s->value, s->cells);
	else
		lines_add(&lines, s->value, s->cells[0]);
}

static void
check_same(void)
{
	ck_assert(!out.failed);
	ck_assert_uint_eq(out.bytes, wanted.bytes);
	ck_assert_str_eq(out.at, wanted.at);
}

/* ---- Tests ------------------------------------------------------------- */

START_TEST(a_line_of_any_labels_is_as_printed_plainly)
{
	struct sample s;

	for (uint32_t n = 0; n <= LABELS_MOST; n++)
		for (uint32_t bytes = 1; bytes < BYTES_MOST; bytes++) {
			make_sample(&s, n, bytes % 2, bytes);
			want_line(&s, "", NULL, s.cells[0]);
			add(&s, false);
			strbuf_free(&s.text);
		}
	check_same();
}
END_TEST

START_TEST(a_histogram_of_any_labels_is_as_printed_plainly)
{
	struct sample s;

	for (uint32_t n = 0; n <= LABELS_MOST; n++)
		for (uint32_t bytes = 1; bytes < BYTES_MOST; bytes++) {
			make_sample(&s, n, bytes % 2, bytes);
			want_histogram(&s);
			add(&s, true);
			strbuf_free(&s.text);
		}
	check_same();
}
END_TEST

/* Each line of the shortest histogram overlaps what is copied for the next. */
START_TEST(the_shortest_histogram_is_as_printed_plainly)
{
	struct sample s = { .name = "h",
		.n_bounds = 3,
		.bounds = { 1, 2, 3 },
		.cells = { 1, 1, 1, 1, 9 } };

	make_schema(&s, 0, false);
	want_histogram(&s);
	add(&s, true);
	check_same();
	ck_assert_ptr_nonnull(
	    strstr(out.at, "h_bucket{le=\"2\"} 2\nh_bucket{le=\"3\"} 3\n"));
}
END_TEST

START_TEST(what_a_line_has_is_within_the_room_that_it_asked_for)
{
	struct sample s;

	/* A text with no byte to spare, so that a sanitizer sees one too many. */
	for (uint32_t i = 0; i < 2000; i++) {
		make_sample(
		    &s, below(LABELS_MOST + 1), below(2), 1 + below(BYTES_MOST - 1));
		strbuf_free(&out);
		strbuf_free(&wanted);
		if (i % 2)
			want_histogram(&s);
		else
			want_line(&s, "", NULL, s.cells[0]);
		add(&s, i % 2);
		check_same();
		strbuf_free(&s.text);
	}
}
END_TEST

START_TEST(series_of_one_family_have_labels_of_their_own)
{
	struct sample one, other;

	make_sample(&one, 2, true, 5);
	make_sample(&other, 3, false, 7);
	strcpy(other.name, one.name);
	lines_begin(&lines, &out, wire_text(one.name), NULL, 0);
	for (int i = 0; i < 4; i++) {
		const struct sample *s = i == 0 || i == 3 ? &one : &other;

		want_line(s, "", NULL, i);
		lines_schema(&lines, &s->schema);
		lines_add(&lines, s->value, i);
	}
	check_same();
	strbuf_free(&one.text);
	strbuf_free(&other.text);
}
END_TEST

START_TEST(labels_that_are_rendered_already_are_taken_as_they_are)
{
	lines_begin(&lines, &out, wire_text("a"), NULL, 0);
	lines_head(&lines, "Help.", MESSAGE_COUNTER);
	lines_labels(&lines, wire_text("{x=\"1\""));
	lines_add(&lines, NULL, 1);
	lines_labels(&lines, wire_text(""));
	lines_add(&lines, NULL, 2);
	lines_begin(&lines, &out, wire_text("b"), (double[]){ 1, INFINITY }, 1);
	lines_head(&lines, "", MESSAGE_HISTOGRAM);
	lines_labels(&lines, wire_text("{x=\"1\""));
	lines_add_histogram(&lines, NULL, (double[]){ 1, 2, 0.5 });
	ck_assert_str_eq(out.at,
	    "# HELP a Help.\n# TYPE a counter\na{x=\"1\"} 1\na 2\n"
	    "# TYPE b histogram\nb_bucket{x=\"1\",le=\"1\"} 1\n"
	    "b_bucket{x=\"1\",le=\"+Inf\"} 3\nb_sum{x=\"1\"} 0.5\nb_count{x=\"1\"} 3\n");
}
END_TEST

START_TEST(without_memory_the_text_has_failed)
{
	struct sample s;
	bool refused;

	make_sample(&s, 3, true, 20);
	s.n_bounds = 5;
	want_histogram(&s);
	for (size_t n = 0; failing_more(n); n++) {
		lines_free(&lines);
		strbuf_free(&out);
		failing_after(n);
		add(&s, true);
		refused = failing_end();
		ck_assert(out.failed == refused);
	}
	check_same();
	strbuf_free(&s.text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lines");
	TCase *c = tcase_create("lines");

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, a_line_of_any_labels_is_as_printed_plainly);
	tcase_add_test(c, a_histogram_of_any_labels_is_as_printed_plainly);
	tcase_add_test(c, the_shortest_histogram_is_as_printed_plainly);
	tcase_add_test(c, what_a_line_has_is_within_the_room_that_it_asked_for);
	tcase_add_test(c, series_of_one_family_have_labels_of_their_own);
	tcase_add_test(c, labels_that_are_rendered_already_are_taken_as_they_are);
	tcase_add_test(c, without_memory_the_text_has_failed);
	return suite_run(s);
}
