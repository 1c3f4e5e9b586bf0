/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker's session asks: as the library's collect answers it, over a few children
 * without threads. An UPDATE is offered only some of the changed children, so that a
 * flush takes several.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "sim_inside.h"

#define SECOND	   0x40 /* in asked: the removed child, not the one that followed */
#define FAMILY_BIT 0x80

const uint32_t sim_cells[SIM_METRICS] = { 1, 1, 4, 1, 2, 1, 1, 1 };
const enum message_kind sim_kind[SIM_METRICS] = { MESSAGE_COUNTER, MESSAGE_COUNTER,
	MESSAGE_HISTOGRAM, MESSAGE_GAUGE, MESSAGE_GAUGE, MESSAGE_COUNTER, MESSAGE_COUNTER,
	MESSAGE_COUNTER };
const int sim_line_of[SIM_METRICS] = { SIM_LINE_WHOLE, SIM_LINE_FRACTION,
	SIM_LINE_BUCKETS, -1, -1, SIM_LINE_SHARED, SIM_LINE_OWN, SIM_LINE_OWN + 1 };

/* ---- Definitions --------------------------------------------------------- */

static void
put_metric(struct wire_writer *w, enum sim_metric m)
{
	static const double bound[2] = { 0.1, 1 };
	uint8_t bounds[16];
	char name[3] = { 'm', (char)('0' + m), '\0' };
	struct message_metric metric = { .id = m,
		.kind = sim_kind[m],
		.merge = m == SIM_LATEST ? MESSAGE_LAST : MESSAGE_SUM,
		.name = wire_text(name),
		.help = wire_text("") };

	if (m == SIM_OWN_A || m == SIM_OWN_B) {
		metric.n_variable = 1;
		metric.variable_name[0] = wire_text("process");
	}
	if (m == SIM_HISTOGRAM) {
		for (int i = 0; i < 2; i++)
			wire_store_u64(bounds + 8 * i, wire_bits(bound[i]));
		metric.n_bounds = 2;
		metric.bounds = bounds;
	}
	message_put_metric(w, &metric);
}

static void
put_child(struct sim_worker *w, struct wire_writer *out, enum sim_metric m,
    const struct sim_child *child)
{
	struct message_child c = { .metric = m, .cell = child->cell };
	char process[12];

	if (m == SIM_OWN_A || m == SIM_OWN_B) {
		snprintf(process, sizeof(process), "%u", w->process);
		c.n_values = 1;
		c.value[0] = wire_text(process);
	}
	message_put_child(out, &c);
	session_defines(w->session, child->cell, sim_cells[m], sim_kind[m]);
}

static void
ask(struct sim_worker *w, unsigned what)
{
	w->asked[w->n_asked++] = (uint16_t)what;
}

static void
define_one(struct sim_worker *w, struct wire_writer *out, uint32_t max, unsigned m,
    unsigned second)
{
	struct sim_child *child = &w->child[m][second];

	if (child->state != SIM_UNDEFINED || w->n_asked >= max)
		return;
	if (!second && w->child[m][1].state != SIM_NONE)
		return; /* the daemon still has the older one */
	if (w->family[m] == SIM_UNDEFINED) {
		put_metric(out, m);
		w->family[m] = SIM_ASKED;
		ask(w, m | FAMILY_BIT);
	}
	if (w->n_asked >= max)
		return;
	put_child(w, out, m, child);
	child->state = SIM_ASKED;
	ask(w, m | (second ? SECOND : 0));
}

static uint32_t
define(void *arg, struct wire_writer *out, uint32_t max)
{
	struct sim_worker *w = arg;

	w->n_asked = 0;
	for (unsigned m = 0; m < SIM_METRICS; m++) {
		define_one(w, out, max, m, 1);
		define_one(w, out, max, m, 0);
	}
	if (out->failed)
		abort();
	return w->n_asked;
}

static void
set_asked(struct sim_worker *w, uint32_t i, enum sim_child_state state)
{
	unsigned what = w->asked[i], m = what & 0xf;

	if (what & FAMILY_BIT)
		w->family[m] = (uint8_t)state;
	else
		w->child[m][what & SECOND ? 1 : 0].state = (uint8_t)state;
}

static void
must_be_taken(struct sim_worker *w, const struct message *ack)
{
	struct wire_reader items = ack->refused;
	struct message_refused item;

	if (ack->count == 0 || w->n_asked == 0)
		return; /* or asked before all was to be defined again */
	message_next_refused(&items, &item);
	sim_fail(w->sim, "process %u: definition %u was refused: %.*s", w->process,
	    item.index, (int)item.text.bytes, item.text.at);
}

static void
defined(void *arg, const struct message *ack)
{
	struct sim_worker *w = arg;

	for (uint32_t i = 0; i < w->n_asked; i++)
		set_asked(w, i, ack ? SIM_DEFINED : SIM_UNDEFINED);
	if (ack)
		must_be_taken(w, ack);
	w->n_asked = 0;
}

/* ---- Values -------------------------------------------------------------- */

static bool
is_gauge(unsigned m)
{
	return sim_kind[m] == MESSAGE_GAUGE;
}

static void
values_of(unsigned m, const struct sim_child *c, uint64_t value[SIM_CELLS])
{
	for (uint32_t i = 0; i < sim_cells[m]; i++)
		value[i] = wire_bits(c->value[i]);
	if (is_gauge(m)) {
		value[0] = sim_gauge_bits(c->value[0]);
		value[1] = c->stamp_ns;
	}
}

/* False when the message is full. */
static bool
offer(struct sim_worker *w, struct session *session, unsigned m, unsigned second)
{
	const struct sim_child *c = &w->child[m][second];
	uint64_t value[SIM_CELLS];

	if (c->state != SIM_DEFINED || (is_gauge(m) && !c->set))
		return true;
	values_of(m, c, value);
	return session_put(session, c->cell, sim_kind[m], sim_cells[m], value);
}

static void
update(void *arg, struct session *session)
{
	struct sim_worker *w = arg;

	for (unsigned i = 0; i < SIM_METRICS; i++) {
		unsigned m = (w->offer_from + i) % SIM_METRICS;

		for (unsigned second = 0; second < 2; second++)
			if (session->put_children >= w->offer_most ||
			    !offer(w, session, m, second))
				return;
	}
}

static bool
is_clean(const struct sim_worker *w, unsigned m, const struct sim_child *c)
{
	uint64_t value[SIM_CELLS];

	values_of(m, c, value);
	return (is_gauge(m) && !c->set) ||
	       session_is_clean(w->session, c->cell, sim_kind[m], sim_cells[m], value);
}

/* ---- Removal ------------------------------------------------------------- */

static uint32_t
put_removed(void *arg, struct wire_writer *out, uint32_t max)
{
	struct sim_worker *w = arg;

	w->n_asked = 0;
	for (unsigned m = 0; m < SIM_METRICS && w->n_asked < max; m++) {
		struct sim_child *c = &w->child[m][1];

		if (c->state == SIM_REFUSED) { /* the daemon does not have it */
			session_forgets(w->session, c->cell, sim_cells[m]);
			c->state = SIM_NONE;
		}
		if (c->state != SIM_DEFINED || !is_clean(w, m, c))
			continue;
		message_put_cell(out, c->cell);
		c->state = SIM_REMOVING;
		ask(w, m | SECOND);
	}
	return w->n_asked;
}

static void
removed(void *arg)
{
	struct sim_worker *w = arg;

	for (uint32_t i = 0; i < w->n_asked; i++) {
		unsigned m = w->asked[i] & 0xf;

		session_forgets(w->session, w->child[m][1].cell, sim_cells[m]);
		w->child[m][1].state = SIM_NONE;
	}
	w->n_asked = 0;
}

/* ---- All again ----------------------------------------------------------- */

static void
restart(void *arg, bool in_flight)
{
	struct sim_worker *w = arg;
	bool removing = in_flight && w->session->flight == MESSAGE_REMOVE;

	for (unsigned m = 0; m < SIM_METRICS; m++) {
		w->family[m] = SIM_UNDEFINED;
		for (unsigned second = 0; second < 2; second++) {
			struct sim_child *c = &w->child[m][second];

			c->suspect = false;
			if (c->state != SIM_NONE && c->state != SIM_REFUSED &&
			    !(c->state == SIM_REMOVING && removing))
				c->state = SIM_UNDEFINED;
		}
	}
	if (!removing)
		w->n_asked = 0;
}

static void
each_child(struct sim_worker *w,
    void (*fn)(
	struct sim_worker *w, struct session *session, struct sim_child *c, uint32_t n),
    struct session *session)
{
	for (unsigned m = 0; m < SIM_METRICS; m++)
		for (unsigned second = 0; second < 2; second++)
			if (w->child[m][second].state != SIM_NONE)
				fn(w, session, &w->child[m][second], sim_cells[m]);
}

static void
keep_cells(struct sim_worker *w, struct session *session, struct sim_child *c, uint32_t n)
{
	(void)w;
	session_keeps(session, c->cell, n);
}

static void
move_cells(struct sim_worker *w, struct session *session, struct sim_child *c, uint32_t n)
{
	(void)w;
	(void)n;
	c->cell = session_renumbered(session, c->cell);
}

/* True if the cells are not dense. */
static bool
has_gaps(const struct sim_worker *w)
{
	uint32_t n = 0, end = 0;

	for (unsigned m = 0; m < SIM_METRICS; m++)
		for (unsigned second = 0; second < 2; second++) {
			const struct sim_child *c = &w->child[m][second];

			if (c->state == SIM_NONE)
				continue;
			n += sim_cells[m];
			if (end < c->cell + sim_cells[m])
				end = c->cell + sim_cells[m];
		}
	return n < end;
}

static void
renumber(void *arg, struct session *session)
{
	struct sim_worker *w = arg;
	uint32_t kept;

	if (!has_gaps(w))
		return;
	each_child(w, keep_cells, session);
	kept = session_renumber(session, SIM_WIRE_CELLS);
	each_child(w, move_cells, session);
	session_renumber_end(session, SIM_WIRE_CELLS);
	session->cells_end = kept;
}

/* When the disk has failed, a removal may be undone; then the child that was made again
 * counts from 0, below what the daemon has of the older one. */
static void
refuse_for_good(
    struct sim_worker *w, unsigned m, struct sim_child *c, const struct refusal *why)
{
	if (m < SIM_SHARED || !w->sim->failed_once)
		sim_fail(
		    w->sim, "process %u: m%u is refused: %s", w->process, m, why->text);
	c->state = SIM_REFUSED;
	w->sim->figures.refused++;
}

static void
suspect(void *arg, bool alone, const struct refusal *why)
{
	struct sim_worker *w = arg;

	for (unsigned m = 0; m < SIM_METRICS; m++)
		for (unsigned second = 0; second < 2; second++) {
			struct sim_child *c = &w->child[m][second];

			if (c->state != SIM_DEFINED ||
			    !session_is_suspect(w->session, c->cell))
				continue;
			if (alone && c->suspect) {
				refuse_for_good(w, m, c, why);
				continue;
			}
			c->suspect = true;
			c->state = SIM_UNDEFINED;
			w->family[m] = SIM_UNDEFINED;
		}
}

void
sim_source_init(struct sim_worker *w)
{
	w->source = (struct session_source){ w, define, defined, update, put_removed,
		removed, renumber, restart, suspect };
}

bool
sim_is_quiet(const struct sim_worker *w)
{
	if (w->session->state != SESSION_READY || w->session->flight)
		return false;
	for (unsigned m = 0; m < SIM_METRICS; m++) {
		const struct sim_child *c = w->child[m];

		if (c[1].state != SIM_NONE)
			return false;
		if (c[0].state == SIM_NONE || c[0].state == SIM_REFUSED)
			continue;
		if (c[0].state != SIM_DEFINED || !is_clean(w, m, &c[0]))
			return false;
	}
	return true;
}
