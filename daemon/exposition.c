/* SPDX-License-Identifier: Apache-2.0 */
#include "exposition.h"

#include <stdlib.h>

#include "lines.h"

/*
 * Two sequences sorted by name are merged: the registry's families (with the prefix) and
 * the self-metrics. The cursor remembers names and positions, never pointers: any family
 * may be gone, and any new one be there, when the next slice comes.
 */
struct exposition {
	const struct registry *registry;
	const struct self_metrics *self;
	struct message_level level;
	bool nowhere;	/* nothing is at that level, during a slice */
	uint32_t place; /* the level's number, during a slice */
	char *copied;	/* the filter's texts */
	size_t n_names;
	struct wire_text *names; /* sorted */
	const char *prefix;
	size_t prefix_bytes;
	char *name; /* in full, of the registry's family that comes next or is under way;
		       NULL: the first */
	size_t name_bytes;
	uint32_t number; /* of the family under way, or 0 */
	uint32_t member; /* its next member */
	/* What it had when it was begun: who came later is left to the next page, for
	 * they may be on this one already. */
	uint32_t end; /* positions */
	uint32_t births;
	enum self_metric self_next; /* the next self-metric */
	bool head_done;		    /* HELP and TYPE of the family under way are out */
	uint32_t work;		    /* done in this slice */
	struct lines lines;
	struct naming_label *label; /* room for those of a self-metric */
	bool failed;
};

#define SELF_LABELS 3 /* of one self-metric, at most */

/* What is looked at in one slice, in members; a family is as much as a few of them. A
 * filter may leave out millions: that is not to be done at once. */
#define WORK_MOST   8192
#define WORK_FAMILY 4

/* ---- The filter -------------------------------------------------------- */

static struct wire_text
copy_text(char **at, struct wire_text t)
{
	struct wire_text copy = { *at, t.bytes };

	if (t.bytes)
		memcpy(*at, t.at, t.bytes);
	*at += t.bytes;
	return copy;
}

static int
by_text(const void *a, const void *b)
{
	return names_compare(*(const struct wire_text *)a, *(const struct wire_text *)b);
}

static bool
copy_filter(struct exposition *e, const struct exposition_filter *filter)
{
	size_t bytes = 1;
	char *at;

	for (size_t i = 0; i < filter->level.depth; i++)
		bytes += filter->level.name[i].bytes;
	for (size_t i = 0; i < filter->n_names; i++)
		bytes += filter->names[i].bytes;
	e->copied = at = malloc(bytes);
	e->names = malloc((filter->n_names + 1) * sizeof(*e->names));
	if (e->copied == NULL || e->names == NULL)
		return false;
	e->level.depth = filter->level.depth;
	for (size_t i = 0; i < filter->level.depth; i++)
		e->level.name[i] = copy_text(&at, filter->level.name[i]);
	e->n_names = filter->n_names;
	for (size_t i = 0; i < filter->n_names; i++)
		e->names[i] = copy_text(&at, filter->names[i]);
	qsort(e->names, e->n_names, sizeof(*e->names), by_text);
	return true;
}

struct exposition *
exposition_new(const struct registry *registry, const struct self_metrics *self,
    const struct exposition_filter *filter)
{
	static const struct exposition_filter everything;
	struct exposition *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->registry = registry;
	e->self = self;
	e->prefix = naming_prefix(registry_naming(registry));
	e->prefix_bytes = strlen(e->prefix);
	e->label = calloc(
	    naming_constants(registry_naming(registry)) + SELF_LABELS, sizeof(*e->label));
	if (e->label == NULL || !copy_filter(e, filter ? filter : &everything)) {
		exposition_free(e);
		return NULL;
	}
	return e;
}

void
exposition_free(struct exposition *e)
{
	if (e == NULL)
		return;
	free(e->copied);
	free(e->names);
	free(e->name);
	free(e->label);
	lines_free(&e->lines);
	free(e);
}

static bool
name_wanted(const struct exposition *e, struct wire_text name)
{
	return e->n_names == 0 ||
	       bsearch(&name, e->names, e->n_names, sizeof(*e->names), by_text) != NULL;
}

/* ---- Self-metrics ------------------------------------------------------- */

/* The braces of a row's series, but for the closing one. */
static void
self_labels(const struct exposition *e, struct strbuf *out, const struct self_row *row,
    size_t series)
{
	const struct naming *naming = registry_naming(e->registry);
	struct naming_label *label = e->label;
	size_t n = naming_add_constants(naming, label), second = 1;

	while (row->label[1] && row->value[1][second])
		second++;
	if (row->constant[0])
		label[n++] = (struct naming_label){ .name = wire_text(row->constant[0]),
			.value = wire_text(row->constant[1]) };
	for (size_t i = 0; i < 2 && row->label[i]; i++)
		label[n++] = (struct naming_label){ .name = wire_text(row->label[i]),
			.value = wire_text(
			    row->value[i][i == 0 ? series / second : series % second]) };
	naming_sort(naming, label, n);
	for (size_t i = 0; i < n; i++) {
		strbuf_addc(out, i > 0 ? ',' : '{');
		strbuf_add(out, label[i].name.at, label[i].name.bytes);
		strbuf_adds(out, "=\"");
		strbuf_add(out, label[i].value.at, label[i].value.bytes);
		strbuf_addc(out, '"');
	}
}

static void
add_self(struct exposition *e, struct strbuf *out, enum self_metric m)
{
	const struct self_row *row = &self_table[m];
	struct strbuf labels = STRBUF_EMPTY;
	bool head = false;

	lines_begin(&e->lines, out, wire_text(row->name),
	    row->kind == MESSAGE_HISTOGRAM ? row->bounds : NULL,
	    (uint32_t)self_bounds(m));
	for (size_t i = 0; i < self_series(m); i++) {
		const double *cells = self_cells(e->self, m, i);

		if (cells == NULL)
			continue;
		if (!head)
			lines_head(&e->lines, row->help, row->kind);
		head = true;
		strbuf_reset(&labels);
		self_labels(e, &labels, row, i);
		if (labels.failed)
			out->failed = true;
		lines_labels(&e->lines, (struct wire_text){ labels.at, labels.bytes });
		if (row->kind == MESSAGE_HISTOGRAM)
			lines_add_histogram(&e->lines, NULL, cells);
		else
			lines_add(&e->lines, NULL, cells[0]);
	}
	strbuf_free(&labels);
}

/* ---- Families ----------------------------------------------------------- */

static bool
level_wanted(const struct exposition *e, uint32_t level)
{
	return e->level.depth == 0 ||
	       (!e->nowhere &&
		   labels_level_within(registry_labels(e->registry), level, e->place));
}

/* The name of the family under way. */
static struct wire_text
family_name(const struct exposition *e)
{
	return (struct wire_text){ e->name, e->name_bytes };
}

static void
family_head(struct exposition *e, const struct family *f)
{
	if (!e->head_done)
		lines_head(&e->lines, f->help, f->kind);
	e->head_done = true;
}

/* A line for each worker, whose name is the value of one of its labels. */
static void
add_each(struct exposition *e, const struct family *f, const struct registry_line *line)
{
	uint32_t at = registry_gauge_parts(e->registry, line->series);
	struct wire_text value[MESSAGE_LABELS_MAX + 1], worker;
	double v;

	while (registry_gauge_part(e->registry, &at, &v, &worker)) {
		for (uint32_t i = 0; i < line->schema->n; i++)
			value[i] =
			    line->string[i] == LABELS_WORKER ? worker : line->value[i];
		family_head(e, f);
		lines_add(&e->lines, value, v);
	}
}

static void
add_gauge(struct exposition *e, const struct family *f, const struct registry_line *line)
{
	double v;

	if (f->merge == MESSAGE_EACH) {
		add_each(e, f, line);
	} else if (registry_gauge(e->registry, f, line->series, &v)) {
		family_head(e, f);
		lines_add(&e->lines, line->value, v);
	}
}

static void
add_member(struct exposition *e, const struct family *f, const struct registry_line *line)
{
	if (!level_wanted(e, line->schema->level))
		return;
	lines_schema(&e->lines, line->schema);
	if (f->kind == MESSAGE_GAUGE) {
		add_gauge(e, f, line);
		return;
	}
	family_head(e, f);
	if (f->kind == MESSAGE_COUNTER)
		lines_add(&e->lines, line->value, *line->totals);
	else
		lines_add_histogram(&e->lines, line->value, line->totals);
}

/* ---- The cursor --------------------------------------------------------- */

/* The family to render next: the one under way if it is still there, else the next by
 * name. */
static const struct family *
next_family(struct exposition *e)
{
	const struct registry *r = e->registry;
	const char *name = e->name ? e->name + e->prefix_bytes : NULL;
	uint32_t i = name ? registry_family_from(r, name) : 0;
	const struct family *f = i < registry_families(r) ? registry_family(r, i) : NULL;

	/* Under way, but gone, or replaced by another of its name: go past it. */
	if (f && e->number && f->number != e->number && strcmp(f->name, name) == 0)
		f = i + 1 < registry_families(r) ? registry_family(r, i + 1) : NULL;
	return f;
}

static void
family_begin(struct exposition *e, const struct family *f)
{
	size_t bytes = strlen(f->name);
	char *name;

	if (e->number == f->number)
		return;
	name = malloc(e->prefix_bytes + bytes + 1);
	if (name == NULL) {
		e->failed = true;
		return;
	}
	memcpy(name, e->prefix, e->prefix_bytes);
	memcpy(name + e->prefix_bytes, f->name, bytes + 1);
	free(e->name);
	e->name = name;
	e->name_bytes = e->prefix_bytes + bytes;
	e->number = f->number;
	e->member = 0;
	e->end = f->n_members;
	e->births = f->births;
	e->head_done = false;
}

/* The smallest name above the family's: it is next in order, whatever comes or goes. */
static void
family_end(struct exposition *e)
{
	size_t n = e->name_bytes;
	char *name = realloc(e->name, n + 2);

	if (name == NULL) {
		e->failed = true;
		return;
	}
	name[n] = '\x01';
	name[n + 1] = '\0';
	e->name = name;
	e->name_bytes = n + 1;
	e->number = 0;
}

static void
add_members(struct exposition *e, struct strbuf *out, const struct family *f, size_t end)
{
	struct registry_walk walk;

	registry_walk(e->registry, f, e->member, e->births, &walk);
	e->work += walk.n;
	if (walk.n == 0)
		e->member = e->end;
	for (uint32_t i = 0; i < walk.n && out->bytes < end; i++) {
		e->member = walk.line[i].position + 1;
		if (e->member > e->end)
			return;
		add_member(e, f, &walk.line[i]);
	}
}

static void
add_family(struct exposition *e, struct strbuf *out, const struct family *f, size_t end)
{
	family_begin(e, f);
	if (e->failed)
		return;
	e->work += WORK_FAMILY;
	if (!name_wanted(e, family_name(e)) || (e->level.depth > 0 && e->nowhere))
		e->member = e->end;
	lines_begin(&e->lines, out, family_name(e),
	    f->kind == MESSAGE_HISTOGRAM ? f->bounds : NULL, f->n_bounds);
	while (e->member < e->end && out->bytes < end && e->work < WORK_MOST)
		add_members(e, out, f, end);
	if (e->member >= e->end)
		family_end(e);
}

static bool
self_is_next(const struct exposition *e, const struct family *f)
{
	const char *own;

	if (e->self_next >= SELF_END || f == NULL)
		return e->self_next < SELF_END;
	own = self_table[e->self_next].name;
	if (strncmp(own, e->prefix, e->prefix_bytes) != 0)
		return strcmp(own, e->prefix) < 0;
	return strcmp(own + e->prefix_bytes, f->name) < 0;
}

bool
exposition_slice(struct exposition *e, struct strbuf *out, size_t most)
{
	size_t end = out->bytes + most;

	e->work = 0;
	e->nowhere = !registry_place(e->registry, &e->level, &e->place);
	while (out->bytes < end && e->work < WORK_MOST && !out->failed && !e->failed) {
		const struct family *f = next_family(e);

		if (self_is_next(e, f)) {
			enum self_metric m = e->self_next++;

			if (e->self && e->level.depth == 0 &&
			    name_wanted(e, wire_text(self_table[m].name)))
				add_self(e, out, m);
		} else if (f) {
			add_family(e, out, f, end);
		} else {
			return false;
		}
	}
	if (e->failed)
		out->failed = true;
	return !out->failed;
}
