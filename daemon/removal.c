/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What leaves before its worker does, or long after: by request, by an administrator, and
 * with time. The interface is in registry.h.
 */
#include "registry.h"
#include "registry_parts.h"
#include "texts.h"

#define ENDS_SLICE  4096 /* gauges that leave in one turn */
#define SWEEP_SLICE 4096 /* series that are looked at in one turn */
#define SWEEP_REST_MAX_S \
	60 /* the most by which a series may outstay, so that there is rest */

/* Nobody live defines the series: it leaves with all that is kept of it. */
static void
series_leave(struct registry *r, uint32_t number, enum registry_cause cause)
{
	struct family *family = series_family(r, registry_series(r, number));

	if (family->kind == MESSAGE_GAUGE)
		registry_retained_unset(r, number);
	else
		registry_series_drop(r, number);
	r->removed[cause]++;
	registry_family_settle(r, family);
}

/* The daemon's part of a gauge leaves, and the gauge if nobody else has a part. */
static void
gauge_unset(struct registry *r, uint32_t number, enum registry_cause cause)
{
	uint32_t before = r->series.live;
	struct family *family = series_family(r, registry_series(r, number));

	registry_retained_unset(r, number);
	r->removed[cause] += before - r->series.live;
	registry_family_settle(r, family);
}

/* ---- By JSON ---------------------------------------------------------- */

/* The parts of m's shape that were not given are the family's. */
static struct message_metric
completed(const struct message_metric *m, unsigned given, const struct family *family)
{
	struct message_metric whole = *m;

	if (!(given & REGISTRY_GIVEN_KIND))
		whole.kind = family->kind;
	if (!(given & REGISTRY_GIVEN_MERGE) && whole.kind == family->kind)
		whole.merge = family->merge;
	return whole;
}

static enum reason
check_given(const struct family *family, const struct message_metric *m, unsigned given,
    struct refusal *refusal)
{
	struct message_metric whole = completed(m, given, family);
	struct refusal shape = { 0 };
	enum reason reason = family_check_shape(family, &whole, &shape);

	if (reason == REASON_NONE ||
	    (reason == REASON_BOUNDS && !(given & REGISTRY_GIVEN_BOUNDS)))
		return REASON_NONE;
	return refuse(refusal, reason, "%s", shape.text);
}

enum reason
registry_retained_remove(struct registry *r, const struct message_metric *m,
    unsigned given, struct refusal *refusal)
{
	struct naming_metric room;
	struct message_metric bare;
	enum reason reason =
	    naming_metric(&r->naming, &r->limits.names, &m, &room, refusal);
	struct family *family;
	uint32_t number = 0;

	if (reason != REASON_NONE)
		return reason;
	/* What is left when a shape is not given is that of a counter. */
	bare = *m;
	if (!(given & REGISTRY_GIVEN_KIND))
		bare.kind = MESSAGE_COUNTER;
	if (!(given & REGISTRY_GIVEN_BOUNDS))
		bare.n_bounds = 0;
	reason = names_check_metric(&bare, &r->limits.names, refusal);
	if (reason == REASON_NONE)
		reason = naming_check_labels(&r->naming, &bare, refusal);
	family = reason == REASON_NONE ? families_find(&r->families, m->name) : NULL;
	if (family == NULL)
		return reason;
	reason = check_given(family, m, given, refusal);
	if (reason == REASON_NONE)
		reason = registry_metric_find(r, family, m, &number, refusal);
	if (number == 0)
		return reason;
	if (family->kind == MESSAGE_GAUGE)
		gauge_unset(r, number, REGISTRY_REQUEST);
	else if (registry_series(r, number)->live == 0)
		series_leave(r, number, REGISTRY_REQUEST);
	return REASON_NONE;
}

/* ---- By an administrator ---------------------------------------------- */

struct matching {
	struct registry *r;
	const struct registry_removal *what;
	struct family *family;
	uint32_t place; /* the level's */
	bool nowhere;	/* nothing is at that level */
	struct strbuf line;
	struct strbuf wanted; /* scratch: a label as a line has it */
	bool failed;	      /* there was no memory for one of both */
	struct strbuf *lines;
	uint32_t n_lines;
	struct registry_removed removed;
};

/* A series as the page has it, without its value. */
static void
put_line(struct matching *m, const struct series *s, struct wire_text worker)
{
	const struct labels *labels = m->r->labels;
	const uint32_t *value;
	const struct labels_schema *schema = registry_series_labels(m->r, s, &value);
	struct strbuf *out = &m->line;
	bool open = schema->literal[schema->n + 1] > 0;

	strbuf_reset(out);
	strbuf_adds(out, naming_prefix(&m->r->naming));
	strbuf_adds(out, m->family->name);
	for (uint32_t i = 0; i <= schema->n && open; i++) {
		struct wire_text text = { "", 0 };

		if (i < schema->n)
			text = value[i] == LABELS_WORKER ? worker
							 : labels_text(labels, value[i]);
		strbuf_add(out, schema->text + schema->literal[i],
		    schema->literal[i + 1] - schema->literal[i]);
		strbuf_add(out, text.at, text.bytes);
	}
	if (open)
		strbuf_addc(out, '}');
	m->failed |= out->failed;
}

/* Behind the label that stands behind at: the quote that ends its value is the first one
 * that no backslash escapes. */
static const char *
label_end(const char *at)
{
	for (at = strchr(at, '"') + 1; *at != '"'; at++)
		at += *at == '\\';
	return at + 1;
}

/* Looked for in the line as it is printed. */
static bool
line_has(struct matching *m, struct wire_text name, struct wire_text value)
{
	struct strbuf *wanted = &m->wanted;
	const char *at;

	strbuf_reset(wanted);
	strbuf_add(wanted, name.at, name.bytes);
	strbuf_adds(wanted, "=\"");
	if (value.bytes) {
		texts_escape(wanted, value, true);
		strbuf_addc(wanted, '"');
	}
	m->failed |= wanted->failed;
	if (wanted->failed || m->line.failed)
		return false;
	at = m->line.at + strcspn(m->line.at, "{");
	for (; *at == '{' || *at == ','; at = label_end(at))
		if (strncmp(at + 1, wanted->at, wanted->bytes) == 0)
			return value.bytes > 0;
	return value.bytes == 0;
}

static bool
line_matches(struct matching *m)
{
	for (size_t i = 0; i < m->what->n; i++)
		if (!line_has(m, m->what->label_name[i], m->what->label_value[i]))
			return false;
	return !m->line.failed;
}

static void
keep_line(struct matching *m)
{
	if (m->lines == NULL || m->n_lines >= REGISTRY_LINES_MAX)
		return;
	m->n_lines++;
	strbuf_add(m->lines, m->line.at, m->line.bytes);
	strbuf_addc(m->lines, '\n');
}

static uint64_t *
part_bits(const struct registry *r, const struct part *part)
{
	return &registry_column(r, part->column)->old[part->cell];
}

/* Live workers define the gauge: their parts count as if nobody had set them. */
static void
reset_gauge(struct matching *m, const struct series *s)
{
	bool each = m->family->merge == MESSAGE_EACH, any = false;

	for (uint32_t at = registry_gauge_parts(m->r, s), next; at; at = next) {
		const struct part *part = slab_at(&m->r->parts, at);
		uint64_t *bits = part_bits(m->r, part);
		uint32_t worker = registry_column(m->r, part->column)->worker;

		next = part->next;
		if (*bits == REGISTRY_UNSET)
			continue;
		if (each)
			put_line(m, s, labels_text(m->r->labels, worker));
		if (!line_matches(m))
			continue;
		if (each || !any)
			keep_line(m);
		any = true;
		if (!m->what->dry_run)
			*bits = REGISTRY_UNSET;
	}
	m->removed.reset += any;
}

static void
reset_totals(struct matching *m, uint32_t number)
{
	double *total = registry_series_totals(m->r, number);

	for (uint32_t i = 0; i < family_totals(m->family) && !m->what->dry_run; i++)
		total[i] = 0;
	keep_line(m);
	m->removed.reset++;
}

/* A gauge of live workers loses the daemon's own part altogether. */
static void
reset(struct matching *m, uint32_t number)
{
	const struct series *s = registry_series(m->r, number);

	if (m->family->kind != MESSAGE_GAUGE) {
		if (line_matches(m))
			reset_totals(m, number);
		return;
	}
	reset_gauge(m, s);
	if (!m->what->dry_run && line_matches(m))
		registry_retained_unset(m->r, number);
}

static void
match_series(struct matching *m, uint32_t number)
{
	const struct series *s = registry_series(m->r, number);
	const uint32_t *value;

	if (m->what->level.depth > 0 &&
	    !labels_level_within(
		m->r->labels, registry_series_labels(m->r, s, &value)->level, m->place))
		return;
	put_line(m, s, (struct wire_text){ "", 0 });
	if (s->live > 0) {
		reset(m, number);
	} else if (line_matches(m)) {
		keep_line(m);
		m->removed.removed++;
		if (!m->what->dry_run)
			series_leave(m->r, number, REGISTRY_ADMIN);
	}
}

static struct family *
find_bare(struct registry *r, struct wire_text name)
{
	struct message_metric named = { .name = name };
	const struct message_metric *m = &named;
	struct naming_metric room;

	if (naming_metric(&r->naming, &r->limits.names, &m, &room, NULL) != REASON_NONE)
		return NULL;
	return families_find(&r->families, m->name);
}

/* The family of a name as a person writes it, with the prefix or without: a name as it is
 * on the page is never taken for another. */
static struct family *
find_family(struct registry *r, struct wire_text name)
{
	const char *prefix = naming_prefix(&r->naming);
	size_t n = strlen(prefix);
	struct family *family = NULL;

	if (name.bytes > n && memcmp(name.at, prefix, n) == 0)
		family = find_bare(r, (struct wire_text){ name.at + n, name.bytes - n });
	return family ? family : find_bare(r, name);
}

void
registry_remove_matching(struct registry *r, const struct registry_removal *what,
    struct strbuf *lines, struct registry_removed *ret)
{
	struct matching m = { .r = r, .what = what, .lines = lines };

	m.family = find_family(r, what->name);
	m.nowhere = what->level.depth > 0 && !registry_place(r, &what->level, &m.place);
	if (m.family && !m.nowhere) {
		/* Held, so that it does not go with the last of its series. */
		m.family->live++;
		for (uint32_t i = 0; i < m.family->n_members; i++)
			if (!(m.family->member[i] & FAMILY_HOLE))
				match_series(&m, m.family->member[i]);
		m.family->live--;
		registry_family_settle(r, m.family);
	}
	if (lines)
		lines->failed |= m.failed;
	strbuf_free(&m.line);
	strbuf_free(&m.wanted);
	*ret = m.removed;
}

/* ---- With time -------------------------------------------------------- */

void
registry_set_time(struct registry *r, uint64_t now_ms)
{
	r->now_ms = now_ms;
}

static uint64_t
sweep_due_s(const struct registry *r, uint64_t retain_s)
{
	return r->sweep.retain_s == retain_s ? r->sweep.due_s : 0;
}

static void
sweep_begin(struct registry *r, uint64_t retain_s)
{
	r->sweep = (struct sweep){
		.next = 1, .oldest_s = registry_now_s(r), .retain_s = retain_s
	};
}

static void
sweep_one(struct registry *r, uint32_t number)
{
	const struct series *s = registry_series(r, number);

	if (s->group == 0 || s->live > 0)
		return;
	if (s->kept_s + r->sweep.retain_s <= r->now_ms / 1000) {
		registry_gone_record(r, number, REGISTRY_RETAIN);
		series_leave(r, number, REGISTRY_RETAIN);
		r->sweep.n_dropped++;
	} else if (s->kept_s < r->sweep.oldest_s) {
		r->sweep.oldest_s = s->kept_s;
	}
}

/* Nothing that is there now ends before the oldest does; a rest in any case. */
static void
sweep_end(struct registry *r)
{
	struct sweep *sweep = &r->sweep;
	uint64_t rest_s = sweep->retain_s / 16;

	if (sweep->n_dropped)
		log_line(r->log, LOG_LEVEL_INFO,
		    "registry: %u series were dropped: no live worker defines them, and "
		    "nothing was heard of them for %llu s (state.retain_s)",
		    sweep->n_dropped, (unsigned long long)sweep->retain_s);
	rest_s = rest_s < 1 ? 1 : rest_s > SWEEP_REST_MAX_S ? SWEEP_REST_MAX_S : rest_s;
	sweep->next = 0;
	sweep->due_s = sweep->oldest_s + sweep->retain_s;
	if (sweep->due_s < registry_now_s(r) + rest_s)
		sweep->due_s = registry_now_s(r) + rest_s;
}

static void
sweep_slice(struct registry *r, uint64_t retain_s)
{
	uint32_t end;

	if (r->sweep.next == 0 || r->sweep.retain_s != retain_s)
		sweep_begin(r, retain_s);
	end = r->sweep.next + SWEEP_SLICE;
	while (r->sweep.next < end && r->sweep.next <= r->series.used)
		sweep_one(r, r->sweep.next++);
	if (r->sweep.next > r->series.used)
		sweep_end(r);
}

void
registry_tidy(struct registry *r, uint64_t retain_s)
{
	uint32_t number, most = ENDS_SLICE;

	while (most-- > 0 && (number = registry_retained_ended(r)) != 0) {
		registry_gone_record(r, number, REGISTRY_TTL);
		gauge_unset(r, number, REGISTRY_TTL);
	}
	if (retain_s > 0 &&
	    (r->sweep.next || sweep_due_s(r, retain_s) <= r->now_ms / 1000))
		sweep_slice(r, retain_s);
}

uint64_t
registry_tidy_ms(const struct registry *r, uint64_t retain_s)
{
	uint64_t end_ms = deadlines_next_ms(&r->retained.ends);
	uint64_t sweep_ms = UINT64_MAX;

	if (retain_s > 0)
		sweep_ms = r->sweep.next ? 0 : sweep_due_s(r, retain_s) * 1000;
	return end_ms < sweep_ms ? end_ms : sweep_ms;
}

enum reason
registry_gone(
    struct registry *r, const struct journal_record *record, struct refusal *refusal)
{
	enum registry_cause cause;
	uint32_t number;
	enum reason reason = registry_gone_find(r, record, &cause, &number, refusal);
	const struct series *s = number ? registry_series(r, number) : NULL;

	if (s == NULL)
		return reason;
	if (cause == REGISTRY_TTL && series_family(r, s)->kind == MESSAGE_GAUGE)
		gauge_unset(r, number, cause);
	else if (cause == REGISTRY_RETAIN && s->live == 0)
		series_leave(r, number, cause);
	return REASON_NONE;
}
