/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "fuzz.h"

/* Where in a page the reader is, and what it knows of the family that it is in. */
struct reader {
	struct fuzz_page *page;
	const char *at, *end;
	const char *line;
	struct wire_text family;
	int kind;
	bool helped;  /* the last line was a HELP */
	bool sampled; /* the family has a sample */
	/* Of the histogram that is read: its labels without le, and what came last. */
	struct wire_text labels;
	double le, count;
	bool infinite; /* +Inf has come, and _sum and _count are to follow */
};

static void
expect(const struct reader *r, bool holds, const char *what)
{
	const char *end = r->line;

	while (!holds && end < r->end && *end != '\n')
		end++;
	fuzz_must(holds, "the page: %s: %.*s", what, (int)(end - r->line), r->line);
}

static bool
starts(const struct reader *r, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(r->end - r->at) >= n && memcmp(r->at, word, n) == 0;
}

static void
skip(struct reader *r, const char *word)
{
	expect(r, starts(r, word), word);
	r->at += strlen(word);
}

static bool
is_letter(char c, bool colon)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (colon && c == ':');
}

static struct wire_text
name(struct reader *r, bool colon)
{
	const char *from = r->at;

	expect(r, from < r->end && is_letter(*from, colon), "no name");
	while (r->at < r->end &&
	       (is_letter(*r->at, colon) || (*r->at >= '0' && *r->at <= '9')))
		r->at++;
	return (struct wire_text){ from, (size_t)(r->at - from) };
}

int
fuzz_compare(struct wire_text a, struct wire_text b)
{
	size_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
	int order = n ? memcmp(a.at, b.at, n) : 0;

	return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* Up to an end that is not escaped; a backslash comes before one of escaped only. */
static struct wire_text
text(struct reader *r, char end, const char *escaped)
{
	const char *from = r->at;

	for (; r->at < r->end && *r->at != end; r->at++) {
		expect(r, *r->at != '\n' && *r->at != '\0', "a line that is not whole");
		if (*r->at == '\\') {
			r->at++;
			expect(r,
			    r->at < r->end && *r->at && strchr(escaped, *r->at) != NULL,
			    "an escape that there is not");
		}
	}
	expect(r, r->at < r->end, "a line without an end");
	return (struct wire_text){ from, (size_t)(r->at - from) };
}

static double
number(struct reader *r)
{
	char copy[64];
	char *end;
	const char *from = r->at;
	double v;
	size_t n;

	while (r->at < r->end && *r->at != '\n' && *r->at != '"')
		r->at++;
	n = (size_t)(r->at - from);
	expect(r, n > 0 && n < sizeof(copy), "no number");
	memcpy(copy, from, n);
	copy[n] = '\0';
	v = strtod(copy, &end);
	expect(r, *end == '\0' && strpbrk(copy, "xXpP \t") == NULL, "no number");
	expect(r,
	    isfinite(v) || strcmp(copy, "NaN") == 0 || strcmp(copy, "+Inf") == 0 ||
		strcmp(copy, "-Inf") == 0,
	    "a name for a number that Prometheus does not know");
	return v;
}

/* ---- Families -------------------------------------------------------------- */

static void
leave_family(struct reader *r)
{
	expect(r, r->family.bytes == 0 || r->sampled, "a family without a sample before");
	expect(r, !r->infinite, "a histogram that is not whole before");
	r->labels = (struct wire_text){ NULL, 0 };
}

static void
enter_family(struct reader *r, struct wire_text family)
{
	leave_family(r);
	expect(r, fuzz_compare(r->family, family) < 0, "families out of order, or twice");
	r->family = family;
	r->sampled = false;
}

static void
help(struct reader *r)
{
	struct wire_text said;

	expect(r, !r->helped, "HELP twice");
	enter_family(r, name(r, true));
	skip(r, " ");
	said = text(r, '\n', "\\n");
	expect(r, said.bytes > 0, "HELP that says nothing");
	r->helped = true;
}

static void
type(struct reader *r)
{
	static const char *const words[] = { "counter", "gauge", "histogram" };
	struct wire_text family = name(r, true);
	struct wire_text word;

	if (r->helped)
		expect(r, wire_text_equal(family, r->family), "HELP of another family");
	else
		enter_family(r, family);
	skip(r, " ");
	word = name(r, false);
	for (r->kind = 0; r->kind < 3 && !wire_text_is(word, words[r->kind]); r->kind++)
		;
	expect(r, r->kind < 3, "no kind");
	r->helped = false;
}

/* ---- Samples ---------------------------------------------------------------- */

/* The labels but `le`, which is the last one of a bucket; *ret_le is NAN if there is
 * none. */
static struct wire_text
labels(struct reader *r, double *ret_le)
{
	const char *from = r->at;
	const char *end = from;
	struct wire_text label;

	*ret_le = NAN;
	if (!starts(r, "{"))
		return (struct wire_text){ from, 0 };
	do {
		r->at++;
		label = name(r, false);
		expect(r, isnan(*ret_le), "le is not the last label");
		skip(r, "=\"");
		if (wire_text_is(label, "le") && r->kind == FUZZ_HISTOGRAM)
			*ret_le = number(r);
		else
			expect(r, text(r, '"', "\\n\"").bytes > 0, "an empty label");
		skip(r, "\"");
		if (isnan(*ret_le))
			end = r->at;
	} while (starts(r, ","));
	skip(r, "}");
	return (struct wire_text){ from + 1, end > from ? (size_t)(end - from - 1) : 0 };
}

static void
bucket(struct reader *r, struct wire_text own, double le, double value)
{
	if (!r->infinite && (r->labels.at == NULL || !wire_text_equal(own, r->labels))) {
		r->labels = own;
		r->le = -INFINITY;
		r->count = 0;
	}
	expect(r, !r->infinite, "a bucket behind +Inf");
	expect(r, le > r->le || (isinf(le) && le < 0), "bounds out of order");
	expect(r, value >= r->count, "a bucket that is less than the one before");
	r->le = le;
	r->count = value;
	r->infinite = isinf(le) && le > 0;
}

/* A sample of a histogram: buckets up to +Inf, _sum, _count. */
static void
histogram(
    struct reader *r, struct wire_text end, struct wire_text own, double le, double v)
{
	if (wire_text_is(end, "_bucket")) {
		expect(r, !isnan(le), "a bucket without le");
		bucket(r, own, le, v);
		return;
	}
	expect(r, isnan(le), "le where there is no bucket");
	expect(r, wire_text_equal(own, r->labels), "labels of another series");
	if (wire_text_is(end, "_sum")) {
		expect(r, r->infinite, "a sum before its buckets are whole");
		return;
	}
	expect(r, wire_text_is(end, "_count") && r->infinite, "no sample of a histogram");
	expect(r, v == r->count, "a count that is not the last bucket");
	r->infinite = false;
	r->labels = (struct wire_text){ NULL, 0 };
}

static void
add(struct reader *r, struct wire_text series, double value)
{
	struct fuzz_page *p = r->page;

	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 256;
		p->sample = realloc(p->sample, p->room * sizeof(*p->sample));
		fuzz_must(p->sample != NULL, "memory is there");
	}
	p->sample[p->n++] =
	    (struct fuzz_sample){ .series = series, .kind = r->kind, .value = value };
}

static void
sample(struct reader *r)
{
	const char *from = r->at;
	struct wire_text own = name(r, true);
	struct wire_text end = { own.at + r->family.bytes, 0 };
	struct wire_text their, series;
	double le, value;

	expect(r, r->family.bytes > 0 && !r->helped, "a sample without its TYPE");
	expect(r,
	    own.bytes >= r->family.bytes &&
		memcmp(own.at, r->family.at, r->family.bytes) == 0,
	    "a sample of another family");
	end.bytes = own.bytes - r->family.bytes;
	their = labels(r, &le);
	series = (struct wire_text){ from, (size_t)(r->at - from) };
	skip(r, " ");
	value = number(r);
	if (r->kind == FUZZ_HISTOGRAM)
		histogram(r, end, their, le, value);
	else
		expect(r, end.bytes == 0, "a sample that only a histogram has");
	if (r->kind == FUZZ_COUNTER)
		expect(r, value >= 0 && isfinite(value), "a counter that cannot be");
	add(r, series, value);
	r->sampled = true;
}

/* ---- The whole --------------------------------------------------------------- */

static int
order(const void *a, const void *b)
{
	return fuzz_compare(((const struct fuzz_sample *)a)->series,
	    ((const struct fuzz_sample *)b)->series);
}

void
fuzz_page_read(struct fuzz_page *ret, const char *text, size_t bytes)
{
	struct reader r = { .page = ret, .at = text, .end = bytes ? text + bytes : text };

	ret->n = 0;
	while (r.at < r.end) {
		r.line = r.at;
		if (starts(&r, "# HELP ")) {
			skip(&r, "# HELP ");
			help(&r);
		} else if (starts(&r, "# TYPE ")) {
			skip(&r, "# TYPE ");
			type(&r);
		} else {
			sample(&r);
		}
		skip(&r, "\n");
	}
	if (bytes)
		leave_family(&r);
	if (ret->n)
		qsort(ret->sample, ret->n, sizeof(*ret->sample), order);
	for (size_t i = 1; i < ret->n; i++)
		fuzz_must(order(&ret->sample[i - 1], &ret->sample[i]) != 0,
		    "the page: a series twice: %.*s", (int)ret->sample[i].series.bytes,
		    ret->sample[i].series.at);
}

const struct fuzz_sample *
fuzz_page_find(const struct fuzz_page *p, struct wire_text series)
{
	struct fuzz_sample key = { .series = series };

	return p->n ? bsearch(&key, p->sample, p->n, sizeof(*p->sample), order) : NULL;
}

void
fuzz_page_free(struct fuzz_page *p)
{
	free(p->sample);
	*p = (struct fuzz_page){ 0 };
}
