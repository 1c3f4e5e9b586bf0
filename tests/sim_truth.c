/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold after each event.
 *
 *	never twice	no line is more than all workers counted
 *	never lost	no line is less than what was acknowledged
 *	never down	no counter's or bucket's line is lower than before, to the bit,
 *			nor, when the daemon has ended, than the last page seen
 *	all arrives	when all is settled, a line is what the living counted, and of the
 *			dead at least what was acknowledged
 *
 * A session that the daemon has forgotten may cost one UPDATE: `maybe`. While the disk
 * has failed only the first holds; and the last, for what the living can send again.
 */
#include <math.h>
#include <stdlib.h>

#include "exposition.h"
#include "sim.h"
#include "sim_inside.h"

/* ---- What the daemon has ------------------------------------------------- */

static void
read_totals(struct sim *s, const struct family *f, const struct series *series, int line)
{
	const double *total = registry_totals(s->daemon->registry, series);

	for (uint32_t i = 0; i < family_totals(f); i++)
		s->line[line + (int)i].total = total[i];
}

static int
line_of(struct sim *s, const struct family *f, const struct series *series)
{
	const struct registry *r = s->daemon->registry;
	const uint32_t *value;
	int line;

	if (f->name[1] == 'j')
		return SIM_LINE_JSON;
	line = sim_line_of[f->name[1] - '0'];
	if (line < SIM_LINE_OWN)
		return line;
	registry_series_labels(r, series, &value);
	return line + 2 * atoi(labels_text(registry_labels(r), value[0]).at);
}

static void
read_lines(struct sim *s)
{
	const struct registry *r = s->daemon->registry;

	for (int i = 0; i < SIM_LINES; i++)
		s->line[i].total = NAN;
	for (uint32_t i = 0; i < registry_families(r); i++) {
		const struct family *f = registry_family(r, i);

		for (uint32_t m = 0; f->kind != MESSAGE_GAUGE && m < f->n_members; m++) {
			const struct series *series = registry_member(r, f, m);

			if (series)
				read_totals(s, f, series, line_of(s, f, series));
		}
	}
}

/* ---- What was counted ---------------------------------------------------- */

static bool
is_of_store(const struct sim_worker *w)
{
	return w->session->has_store && w->session->base_store == w->sim->daemon->store;
}

/* What the worker was told that the daemon has of its child, since it was made. */
static double
told(const struct sim_worker *w, unsigned m, uint32_t i)
{
	const struct sim_child *c = w->child[m];
	const struct session *session = w->session;

	if (c[0].state == SIM_NONE || c[1].state != SIM_NONE || !is_of_store(w))
		return 0;
	return session->base[c[0].cell + i] + wire_double(session->acked[c[0].cell + i]);
}

static unsigned
metric_of(int line, uint32_t *ret_cell)
{
	*ret_cell = 0;
	if (line >= SIM_LINE_BUCKETS && line <= SIM_LINE_SUM)
		*ret_cell = (uint32_t)(line - SIM_LINE_BUCKETS);
	switch (line) {
	case SIM_LINE_WHOLE:
		return SIM_WHOLE;
	case SIM_LINE_FRACTION:
		return SIM_FRACTION;
	case SIM_LINE_SHARED:
		return SIM_SHARED;
	}
	return SIM_HISTOGRAM;
}

/* The living process whose line it is, or NULL. */
static const struct sim_worker *
owner_of(const struct sim *s, int line)
{
	uint32_t process = line < SIM_LINE_OWN ? 0 : (uint32_t)(line - SIM_LINE_OWN) / 2;

	for (int i = 0; i < SIM_WORKERS; i++)
		if (s->worker[i].alive && s->worker[i].process == process)
			return &s->worker[i];
	return NULL;
}

struct bounds {
	double most, least;
	double counted; /* least, once all the living have reported */
};

static struct bounds
own_bounds(const struct sim *s, int line)
{
	const struct sim_line *l = &s->line[line];
	const struct sim_worker *w = owner_of(s, line);
	unsigned which = (unsigned)(line - SIM_LINE_OWN) % 2, m = SIM_OWN_A + which;
	struct bounds b = { l->dead_most, l->dead_least, l->dead_least };

	if (w == NULL)
		return b;
	b.most += w->own_counted[which];
	b.least += told(w, m, 0);
	if (w->child[m][0].state != SIM_NONE)
		b.counted += w->child[m][0].value[0];
	return b;
}

static struct bounds
bounds_of(const struct sim *s, int line)
{
	const struct sim_line *l = &s->line[line];
	struct bounds b = { l->dead_most, l->dead_least, l->dead_least };
	uint32_t cell;
	unsigned m = metric_of(line, &cell);

	if (line == SIM_LINE_JSON)
		return (struct bounds){ s->json_sent, s->json_told, s->json_told };
	if (line >= SIM_LINE_OWN)
		return own_bounds(s, line);
	for (int i = 0; i < SIM_WORKERS; i++) {
		const struct sim_worker *w = &s->worker[i];

		if (!w->alive)
			continue;
		b.most += w->counted[line];
		b.counted += w->counted[line];
		b.least += told(w, m, cell);
	}
	/* Whoever is the last to remove it takes away what all counted. */
	if (line == SIM_LINE_SHARED)
		b.least = b.counted = 0;
	return b;
}

void
sim_bury(struct sim_worker *w)
{
	struct sim *s = w->sim;

	for (int line = 0; line < SIM_LINE_JSON; line++) {
		uint32_t cell;
		unsigned m = metric_of(line, &cell);

		s->line[line].dead_most += w->counted[line];
		s->line[line].dead_least += told(w, m, cell);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct sim_line *l = &s->line[SIM_LINE_OWN + 2 * w->process + i];

		l->dead_most += w->own_counted[i];
		l->dead_least += told(w, SIM_OWN_A + i, 0);
	}
}

/* ---- After each event ---------------------------------------------------- */

static int
lines_end(const struct sim *s)
{
	return SIM_LINE_OWN + 2 * (int)(s->processes + 1);
}

/* Sums of fractions are rounded as they are added up, here and there. */
static double
rounding(int line, double v)
{
	bool whole = line != SIM_LINE_FRACTION && line != SIM_LINE_SUM;

	return whole ? 0 : 1e-9 * (fabs(v) + 1);
}

/* A sum may, by its rounding. So may a child that was removed, came back with an older
 * state, and lost its cell to another in the request that made it again. */
static bool
may_not_go_down(const struct sim *s, int line)
{
	bool removable = line == SIM_LINE_SHARED || line >= SIM_LINE_OWN;

	return line != SIM_LINE_SUM && !(removable && s->failed_once);
}

static bool
check_line(struct sim *s, int line)
{
	struct sim_line *l = &s->line[line];
	bool there = !isnan(l->total);
	double total = there ? l->total : 0;
	struct bounds b = bounds_of(s, line);
	double room = rounding(line, b.most);

	if (total > b.most + room) {
		s->figures.doubled += total - b.most;
		return sim_fail(s, "counted twice: line %d is %.17g; %.17g was counted",
		    line, total, b.most);
	}
	if (!s->loose && total < b.least - l->maybe - room) {
		s->figures.lost += b.least - l->maybe - total;
		return sim_fail(s,
		    "lost: line %d is %.17g; %.17g was acknowledged, %.17g of it may be "
		    "missing",
		    line, total, b.least, l->maybe);
	}
	if (there && l->last && total < wire_double(l->last) && may_not_go_down(s, line))
		return sim_fail(s, "line %d went down from %.17g to %.17g", line,
		    wire_double(l->last), total);
	l->last = there ? wire_bits(total) : 0;
	/* It was removed: made again it starts at 0, though no page may have said so. */
	if (!there) {
		l->extra = 0;
		l->seen = 0;
	}
	return true;
}

bool
sim_check(struct sim *s)
{
	if (s->failed[0] || !s->daemon->up)
		return !s->failed[0];
	read_lines(s);
	for (int line = 0, end = lines_end(s); line < end; line++)
		if (!check_line(s, line))
			return false;
	return true;
}

void
sim_seen(struct sim *s)
{
	for (int line = 0, end = lines_end(s); line < end; line++)
		s->line[line].seen = s->line[line].last;
}

void
sim_unseen(struct sim *s)
{
	for (int line = 0; line < SIM_LINES; line++)
		s->line[line].last = s->loose ? 0 : s->line[line].seen;
}

void
sim_truth_lost(struct sim *s)
{
	for (int line = 0; line < SIM_LINES; line++) {
		struct sim_line *l = &s->line[line];

		l->dead_most = l->dead_least = l->maybe = 0;
		l->last = l->seen = 0;
	}
	s->json_told = 0;
}

/* ---- The page ------------------------------------------------------------ */

static bool
check_columns(struct sim *s)
{
	double sum, total;
	const char *name = sim_wrong_columns(s->daemon->apply, &sum, &total);

	return name == NULL ||
	       sim_fail(s, "the columns of %s come to %.17g, its total to %.17g", name,
		   sum, total);
}

/* NAME or NAME{...}, a space, a number. */
static bool
is_sample(const char *line)
{
	size_t n = strcspn(line, " {\n");
	char *end;

	if (n == 0)
		return false;
	line += n;
	if (*line == '{') {
		line = strchr(line, '}');
		if (line == NULL)
			return false;
		line++;
	}
	if (*line != ' ')
		return false;
	(void)strtod(line + 1, &end);
	return end > line + 1 && *end == '\n';
}

bool
sim_check_page(struct sim *s)
{
	struct sim_daemon *d = s->daemon;
	struct exposition *e = NULL;
	struct strbuf page = STRBUF_EMPTY;
	const char *at;

	if (!d->up || s->failed[0])
		return !s->failed[0];
	apply_refresh(d->apply);
	e = exposition_new(d->registry, d->self, NULL);
	while (exposition_slice(e, &page, 4096))
		;
	exposition_free(e);
	s->figures.pages++;
	for (at = page.at; at && *at; at = strchr(at, '\n') + 1)
		if (*at != '#' && !is_sample(at)) {
			sim_fail(s, "the page has a line that is none: %.60s", at);
			break;
		}
	strbuf_free(&page);
	return !s->failed[0] && check_columns(s);
}

/* ---- When all is settled ------------------------------------------------- */

/* What was missing once stays so. */
static void
allow(struct sim *s, int line, const struct bounds *b)
{
	struct sim_line *l = &s->line[line];
	double total = isnan(l->total) ? 0 : l->total;

	l->maybe = b->counted > total ? b->counted - total : 0;
	l->extra = line >= SIM_LINE_OWN && total > b->counted ? total - b->counted : 0;
	l->last = isnan(l->total) ? 0 : wire_bits(total);
}

/* All of a child's count is in the worker's session: whatever the daemon has lost of it,
 * it is sent again. */
static bool
is_all_told(const struct sim_worker *w, int line)
{
	const struct sim_child *c =
	    w ? &w->child[SIM_OWN_A + (line - SIM_LINE_OWN) % 2][0] : NULL;

	return c && c->state == SIM_DEFINED && w->session->base[c->cell] == 0;
}

static bool
is_refused(const struct sim_worker *w, int line)
{
	return w &&
	       w->child[SIM_OWN_A + (line - SIM_LINE_OWN) % 2][0].state == SIM_REFUSED;
}

static bool
check_line_settled(struct sim *s, int line)
{
	struct sim_line *l = &s->line[line];
	struct bounds b = bounds_of(s, line);
	double total = isnan(l->total) ? 0 : l->total;

	if (s->loose) {
		if (is_all_told(owner_of(s, line), line) && total < b.counted)
			return sim_fail(s,
			    "not sent again: line %d is %.17g; %.17g was counted", line,
			    total, b.counted);
		allow(s, line, &b);
		return true;
	}
	if (is_refused(owner_of(s, line), line))
		return true;
	if (total < b.counted - l->maybe - rounding(line, b.most)) {
		s->figures.lost += b.counted - l->maybe - total;
		return sim_fail(s,
		    "did not arrive: line %d is %.17g; %.17g was counted, %.17g of it "
		    "may be missing",
		    line, total, b.counted, l->maybe);
	}
	/* A child that was removed and made again counts from 0; unless a session that
	 * was left had it too. */
	if (owner_of(s, line) && !owner_of(s, line)->left && total > b.counted + l->extra)
		return sim_fail(s,
		    "still there: line %d is %.17g; %.17g was counted since it was made",
		    line, total, b.counted);
	return true;
}

static bool
gauge(struct sim *s, unsigned m, double *ret)
{
	const struct registry *r = s->daemon->registry;

	for (uint32_t i = 0; i < registry_families(r); i++) {
		const struct family *f = registry_family(r, i);

		if (f->name[1] != (char)('0' + m))
			continue;
		for (uint32_t k = 0; k < f->n_members; k++) {
			const struct series *x = registry_member(r, f, k);

			if (x && registry_gauge(r, f, x, ret))
				return true;
		}
	}
	return false;
}

/* Gauges are those of the living; and of a session that was left, until its lease ends:
 * an old HELLO that comes late may bind it again. */
static bool
check_gauges(struct sim *s)
{
	double sum = 0, latest = 0, v;
	uint64_t when_ns = 0;
	bool any = false;

	for (int i = 0; i < SIM_WORKERS; i++) {
		const struct sim_worker *w = &s->worker[i];
		const struct sim_child *level = &w->child[SIM_LEVEL][0];
		const struct sim_child *last = &w->child[SIM_LATEST][0];

		if (!w->alive)
			continue;
		if (w->left)
			return true;
		if (level->set) {
			any = true;
			sum += level->value[0];
		}
		if (last->set && last->stamp_ns > when_ns) {
			when_ns = last->stamp_ns;
			latest = last->value[0];
		}
	}
	v = 0;
	if (gauge(s, SIM_LEVEL, &v) != any || v != sum)
		return sim_fail(s, "the gauge is %.17g; the living have %.17g", v, sum);
	v = 0;
	if (gauge(s, SIM_LATEST, &v) != (when_ns > 0) || v != latest)
		return sim_fail(
		    s, "the latest gauge is %.17g, and should be %.17g", v, latest);
	return true;
}

bool
sim_check_settled(struct sim *s)
{
	if (!sim_check(s) || !sim_check_page(s) || !check_gauges(s))
		return false;
	for (int line = 0, end = lines_end(s); line < end; line++)
		if (!check_line_settled(s, line))
			return false;
	s->loose = false;
	s->figures.settled++;
	return true;
}
