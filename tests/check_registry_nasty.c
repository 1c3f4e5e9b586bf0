/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Anything at all is thrown at the registry, and the page stays what it promises to be:
 * it is read line by line by a checker that knows the format and nothing of how it is
 * made. What is refused changes nothing.
 */
#include <math.h>
#include <stdio.h>

#include "exposition.h"
#include "suite.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* ---- The checker --------------------------------------------------------------- */

/* A page that is read: at is where, line where its line began. */
struct reader {
	const char *at, *line;
	bool component;
	char family[300], kind[20]; /* of the last TYPE */
	bool helped;		    /* the last line was a HELP, of family */
	bool sampled;		    /* the last family has a sample */
	char **series;		    /* name and labels of each sample */
	size_t n_series;
	char **taken; /* names of samples: of each family the ones it has */
	size_t n_taken;
};

static void
wrong(const struct reader *p, const char *what)
{
	ck_abort_msg("%s: %.*s", what, (int)strcspn(p->line, "\n"), p->line);
}

static void
expect(struct reader *p, const char *text)
{
	if (strncmp(p->at, text, strlen(text)) != 0)
		wrong(p, text);
	p->at += strlen(text);
}

static void
name(struct reader *p, const char *more, char out[300])
{
	size_t n = strspn(p->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
				 "0123456789:");

	if (n == 0 || n > 299 || (p->at[0] >= '0' && p->at[0] <= '9'))
		wrong(p, "no name");
	memcpy(out, p->at, n);
	out[n] = '\0';
	if (more == NULL && strchr(out, ':'))
		wrong(p, "a colon");
	p->at += n;
}

/* Text up to an end, in which a backslash comes before one of escaped; its length. */
static size_t
text(struct reader *p, char end, const char *escaped)
{
	const char *from = p->at;

	for (; *p->at != end; p->at++) {
		if (*p->at == '\n' || *p->at == '\0')
			wrong(p, "the line ends too early");
		if (*p->at == '\\' && !(*++p->at && strchr(escaped, *p->at)))
			wrong(p, "a bad escape");
	}
	return (size_t)(p->at - from);
}

static int
rank(const struct reader *p, const char *label)
{
	static const char *const first[] = { "namespace", "component", "endpoint" };

	for (int i = 0; i < 3 && !p->component; i++)
		if (strcmp(label, first[i]) == 0)
			return i;
	return strcmp(label, "le") == 0 && strcmp(p->kind, "histogram") == 0 ? 9 : 5;
}

static void
labels(struct reader *p)
{
	char last[300] = "", label[300];
	bool constant = false;
	int before = -1;

	expect(p, "{");
	do {
		int now;

		name(p, NULL, label);
		now = rank(p, label);
		if (now < before || (now == before && strcmp(last, label) >= 0))
			wrong(p, "the order of labels");
		before = now;
		strcpy(last, label);
		expect(p, "=\"");
		if (strcmp(label, "cluster") == 0)
			constant = strncmp(p->at, "e\\\"u\"", 5) == 0;
		if (text(p, '"', "\\n\"") == 0)
			wrong(p, "an empty label");
		p->at++;
	} while (*p->at == ',' && p->at++);
	expect(p, "}");
	if (!constant)
		wrong(p, "no constant label");
}

static void
keep(char ***list, size_t *n, const char *at, size_t bytes)
{
	*list = realloc(*list, (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = strndup(at, bytes);
}

static void
sample(struct reader *p)
{
	const char *from = p->at;
	char own[300], *end;
	const char *suffix;
	size_t n = strlen(p->family);

	name(p, "", own);
	suffix = own + n;
	if (strncmp(own, p->family, n) != 0)
		wrong(p, "a sample of another family");
	if (strcmp(p->kind, "histogram") == 0
		? strcmp(suffix, "_bucket") && strcmp(suffix, "_sum") &&
		      strcmp(suffix, "_count")
		: *suffix != '\0')
		wrong(p, "a sample that its family cannot have");
	labels(p);
	keep(&p->series, &p->n_series, from, (size_t)(p->at - from));
	expect(p, " ");
	if (strncmp(p->at, "NaN\n", 4) != 0 && strncmp(p->at, "+Inf\n", 5) != 0 &&
	    strncmp(p->at, "-Inf\n", 5) != 0 &&
	    strspn(p->at, "0123456789.e+-") != strcspn(p->at, "\n"))
		wrong(p, "no number");
	strtod(p->at, &end);
	p->at = end;
	expect(p, "\n");
	p->sampled = true;
}

static void
type(struct reader *p)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };
	static const char *const ends[] = { "_bucket", "_sum", "_count" };
	char family[300], taken[310];
	size_t k = 0;

	name(p, "", family);
	if (p->helped ? strcmp(family, p->family) != 0
		      : !p->sampled || strcmp(family, p->family) <= 0)
		wrong(p, "TYPE at the wrong place");
	strcpy(p->family, family);
	expect(p, " ");
	while (k < 3 && strncmp(p->at, kinds[k], strlen(kinds[k])) != 0)
		k++;
	if (k == 3)
		wrong(p, "no kind");
	strcpy(p->kind, kinds[k]);
	expect(p, kinds[k]);
	expect(p, "\n");
	keep(&p->taken, &p->n_taken, family, strlen(family));
	for (size_t i = 0; i < 3 && k == 2; i++) {
		snprintf(taken, sizeof(taken), "%s%s", family, ends[i]);
		keep(&p->taken, &p->n_taken, taken, strlen(taken));
	}
	p->helped = p->sampled = false;
}

static void
help(struct reader *p)
{
	char family[300];
	const char *from;

	name(p, "", family);
	if (!p->sampled || strcmp(family, p->family) <= 0)
		wrong(p, "HELP at the wrong place");
	strcpy(p->family, family);
	expect(p, " ");
	from = p->at;
	if (text(p, '\n', "\\n") == 0 || *from == ' ' || p->at[-1] == ' ' ||
	    p->at[-1] == '\r')
		wrong(p, "space around a help, or none");
	p->at++;
	p->helped = true;
}

static int
compare(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

/* None of them twice; they are released. */
static void
check_unique(char **list, size_t n, const char *what)
{
	qsort(list, n, sizeof(*list), compare);
	for (size_t i = 1; i < n; i++)
		if (strcmp(list[i - 1], list[i]) == 0)
			ck_abort_msg("%s twice: %s", what, list[i]);
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

static void
check_page(const struct strbuf *page, bool component)
{
	struct reader p = { .at = page->at, .component = component, .sampled = true };

	ck_assert_uint_eq(strlen(page->at), page->bytes);
	while (*p.at) {
		p.line = p.at;
		if (strncmp(p.at, "# HELP ", 7) == 0 && !p.helped) {
			p.at += 7;
			help(&p);
		} else if (strncmp(p.at, "# TYPE ", 7) == 0) {
			p.at += 7;
			type(&p);
		} else {
			if (p.helped || p.family[0] == '\0')
				wrong(&p, "a sample without its TYPE");
			sample(&p);
		}
	}
	ck_assert(p.sampled && !p.helped);
	check_unique(p.series, p.n_series, "series");
	check_unique(p.taken, p.n_taken, "name");
}

/* ---- What is thrown --------------------------------------------------------------- */

static uint64_t seed;

static uint32_t
any(uint32_t below)
{
	seed = seed * 6364136223846793005U + 1442695040888963407U;
	return (uint32_t)(seed >> 33) % below;
}

/* Texts of a call: they are borrowed until it is done. */
static char pool[1 << 20];
static size_t used;

static struct wire_text
any_text(uint32_t most)
{
	static const char *const pieces[] = { "a", "b", "_", "_sum", "_count", "_bucket",
		"le", "9", ":", "-", ".", " ", "\n", "\r", "\t", "\"", "\\", "\\n", "{",
		"}", ",", "=", "#", "é", "日", "🚀", "\u2028", "\x01", "\x7f", "\xff",
		"\xc3", "\xed\xa0\x80", "cluster", "namespace", "dynamo_endpoint",
		"worker_id", "__", "dynamo_", "metricsd_workers", "system_" };
	struct wire_text t = { pool + used, 0 };

	for (uint32_t i = any(most + 1); i > 0; i--) {
		const char *piece = pieces[any(COUNT(pieces))];

		memcpy(pool + used + t.bytes, piece, strlen(piece));
		t.bytes += strlen(piece);
	}
	if (any(200) == 0)
		pool[used + t.bytes++] = '\0';
	used += t.bytes + 1;
	return t;
}

/* A name that is mostly good, and mostly one that was there before. */
static struct wire_text
any_name(void)
{
	static const char *const names[] = { "a", "a_sum", "a_count", "b", "b_bucket",
		"c", "d", "system_uptime_seconds", "metricsd_refused_total", "x:y", "_",
		"__a", "x_y", "x-y" };

	return any(5) == 0 ? any_text(4) : wire_text(names[any(COUNT(names))]);
}

static struct wire_text
any_label(void)
{
	static const char *const names[] = { "a", "b", "c", "Z", "le", "cluster", "_x",
		"worker_id", "quantile", "endpoint", "zz" };

	return any(6) == 0 ? any_text(3) : wire_text(names[any(COUNT(names))]);
}

static struct message_metric
any_metric(uint8_t bounds[32])
{
	static const double values[] = { -1, 0, 0.1, 1, 1e300, INFINITY, NAN };
	struct message_metric m = { .id = any(40),
		.kind = 1 + any(3),
		.level.depth = (uint8_t)any(4),
		.name = any_name(),
		.n_constant = any(3),
		.n_variable = any(3),
		.bounds = bounds };

	m.merge = m.kind == MESSAGE_GAUGE || any(30) == 0 ? any(5) : MESSAGE_SUM;
	m.help = any(2) ? any_text(4) : wire_text("");
	for (size_t i = 0; i < m.level.depth; i++)
		m.level.name[i] = any(3) ? wire_text("my-model") : any_text(3);
	for (size_t i = 0; i < m.n_constant; i++) {
		m.constant_name[i] = any_label();
		m.constant_value[i] = any_text(3);
	}
	for (size_t i = 0; i < m.n_variable; i++)
		m.variable_name[i] = any_label();
	m.n_bounds = m.kind == MESSAGE_HISTOGRAM || any(30) == 0 ? any(4) : 0;
	for (size_t i = 0; i < m.n_bounds; i++)
		wire_store_u64(bounds + 8 * i,
		    wire_bits(any(4) ? (double)i : values[any(COUNT(values))]));
	return m;
}

static enum reason
throw_child(struct registry *r, struct column *c, uint32_t id, size_t n)
{
	static const double values[] = { 0, 1, 2.5, 1e21, -1, INFINITY, NAN };
	struct message_child k = { .metric = id, .cell = any(400), .n_values = n };
	uint8_t record[MESSAGE_RECORD_BYTES];
	enum reason reason;

	for (size_t i = 0; i < n; i++)
		k.value[i] = any_text(3);
	reason = registry_define_child(r, c, &k, NULL, NULL);
	wire_store_u32(record, k.cell);
	wire_store_u64(record + 4, wire_bits(values[any(COUNT(values))]));
	if (reason == REASON_NONE &&
	    registry_check_records(c, record, 1, NULL) == REASON_NONE)
		registry_apply_records(r, c, record, 1);
	return reason;
}

/* Their names are what sessions make of them: of a wish, unique, UTF-8. */
static struct strbuf
any_worker(void)
{
	static unsigned number;
	struct wire_text wish = any_text(3);
	struct strbuf out = STRBUF_EMPTY;

	if (names_utf8(wish))
		strbuf_add(&out, wish.at, wish.bytes);
	strbuf_addf(&out, "-%u", ++number);
	return out;
}

/* One thing; false if it was refused. */
static bool
throw_one(struct registry *r, struct column **c)
{
	uint8_t bounds[32];
	struct message_metric m = any_metric(bounds);
	struct strbuf worker = STRBUF_EMPTY;
	enum reason reason;
	uint32_t series;

	switch (any(12)) {
	case 0:
		registry_column_fold(r, *c);
		worker = any_worker();
		*c = registry_column_new(r, wire_text(worker.at));
		strbuf_free(&worker);
		return true;
	case 1:
		registry_remove_child(r, *c, any(400));
		return true;
	case 2:
	case 3:
	case 4:
		m.n_variable = 0;
		if (!registry_retained_reserve(r))
			return false;
		reason = registry_retain(r, 1, &m, &series, NULL, NULL);
		if (reason == REASON_NONE && m.kind == MESSAGE_GAUGE)
			registry_retained_set(r, series, 3, 1, REGISTRY_NO_END);
		return reason == REASON_NONE;
	default:
		reason = registry_define_metric(r, *c, &m, NULL);
		if (reason != REASON_NONE)
			return false;
		throw_child(r, *c, m.id, m.n_variable);
		return true;
	}
}

static void
look(const struct registry *r, const struct self_metrics *self, struct strbuf *out)
{
	struct exposition *e = exposition_new(r, self, NULL);

	strbuf_reset(out);
	strbuf_adds(out, "");
	while (exposition_slice(e, out, 1 + any(2000)))
		;
	exposition_free(e);
}

START_TEST(nothing_makes_the_page_wrong)
{
	bool component = _i % 2;
	char *constant[] = { "cluster", "e\"u", NULL };
	struct naming naming = { .component = component, .labels = constant };
	struct registry *r = registry_new(&REGISTRY_DEFAULT_LIMITS, NULL);
	struct self_metrics *self = self_metrics_new();
	struct column *c[3];
	struct strbuf page = STRBUF_EMPTY, before = STRBUF_EMPTY;
	int taken = 0;

	seed = (uint64_t)_i;
	registry_set_naming(r, &naming);
	for (size_t i = 0; i < COUNT(c); i++)
		c[i] = registry_column_new(
		    r, wire_text((const char *[]){ "w", "a\"b\\\nc", "é" }[i]));
	look(r, self, &before);
	for (int i = 0; i < 1500; i++) {
		bool done;

		used = 0;
		done = throw_one(r, &c[any(COUNT(c))]);
		look(r, self, &page);
		check_page(&page, component);
		if (!done)
			ck_assert_str_eq(page.at, before.at);
		taken += done;
		strbuf_reset(&before);
		strbuf_add(&before, page.at, page.bytes);
	}
	ck_assert_int_ge(taken, 200);
	for (size_t i = 0; i < COUNT(c); i++)
		registry_column_fold(r, c[i]);
	registry_free(r);
	self_metrics_free(self);
	strbuf_free(&page);
	strbuf_free(&before);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("registry_nasty");
	TCase *t = tcase_create("registry_nasty");

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, nothing_makes_the_page_wrong, 0, 8);
	return suite_run(s);
}
