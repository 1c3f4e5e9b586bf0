/* SPDX-License-Identifier: Apache-2.0 */
#include "collect_parts.h"
#include "store.h"

static void
restart_series(struct collect *c, struct dynm_series *s, bool keep_removing)
{
	s->suspect = 0;
	if (s->state == SERIES_WAITING)
		collect_not_refused(c, s);
	if (s->state == SERIES_ASKED || s->state == SERIES_DEFINED ||
	    (s->state == SERIES_REMOVING && !keep_removing))
		collect_set(s, SERIES_UNDEFINED);
}

void
collect_restart(void *arg, bool in_flight)
{
	struct collect *c = arg;
	bool removing = in_flight && c->session->flight == MESSAGE_REMOVE;

	for (struct dynm_family *f = family_first(c->store); f; f = family_next(f)) {
		if (f->state == SERIES_WAITING)
			f->retried = true;
		if (f->state != SERIES_REFUSED)
			f->state = SERIES_UNDEFINED;
	}
	for (struct slab *slab = collect_first_slab(c->store); slab;
	     slab = slab_next(slab)) {
		uint8_t used = slab_used(slab);

		for (uint8_t i = 0; i < used; i++)
			restart_series(c, &slab->series[i], removing);
		collect_push_define(c, slab);
		collect_push_look(c, slab);
	}
	if (!removing)
		c->n_asked = 0;
}

/* Call fn for each child that the daemon is to have, or to lose. */
static void
each_child(struct collect *c, void (*fn)(struct session *, struct dynm_series *))
{
	for (struct slab *slab = collect_first_slab(c->store); slab;
	     slab = slab_next(slab)) {
		uint8_t used = slab_used(slab);

		slab->run = 0;
		for (uint8_t i = 0; i < used; i++)
			if (slab->series[i].state != SERIES_GONE)
				fn(c->session, &slab->series[i]);
	}
}

static void
keep_cells(struct session *session, struct dynm_series *s)
{
	session_keeps(session, s->wire, series_wire_cells(s->family));
}

static void
move_cells(struct session *session, struct dynm_series *s)
{
	s->wire = session_renumbered(session, s->wire);
}

/* The daemon wants cells to be dense. What removed children have left is closed when a
 * new session begins: no number means anything to the daemon then. */
void
collect_renumber(void *arg, struct session *session)
{
	struct collect *c = arg;
	struct store *st = c->store;
	uint32_t end;

	pthread_mutex_lock(&st->lock);
	end = st->wire_end;
	if (st->wire_gaps) {
		each_child(c, keep_cells);
		store_wire_renumbered(st, session_renumber(session, end));
		each_child(c, move_cells);
		session_renumber_end(session, end);
		session->cells_end = st->wire_end;
	}
	pthread_mutex_unlock(&st->lock);
}
