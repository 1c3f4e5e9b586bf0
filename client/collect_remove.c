/* SPDX-License-Identifier: Apache-2.0 */
#include "collect_parts.h"
#include "sums.h"

/* The daemon has all that a removed child counted. */
static bool
is_settled(const struct collect *c, const struct dynm_series *s)
{
	uint64_t value[SUMS_CELLS_MAX];
	enum sums_result r;

	blocks_lock();
	r = sums_read(s, value);
	blocks_unlock();
	return r == SUMS_UNSET ||
	       (r == SUMS_VALUE && session_is_clean(c->session, s->wire,
				       (enum message_kind)s->family->kind,
				       series_wire_cells(s->family), value));
}

void
collect_forget(struct collect *c, struct dynm_series *s)
{
	if (s->state == SERIES_REFUSED)
		__atomic_fetch_sub(&c->refused, 1, __ATOMIC_RELAXED);
	s->state = SERIES_GONE;
	session_forgets(c->session, s->wire, series_wire_cells(s->family));
	series_forget(c->store, s);
}

struct dynm_series *
collect_removed_at(struct store *st, size_t i)
{
	struct dynm_series *s;

	pthread_mutex_lock(&st->lock);
	s = i < st->n_removed ? st->removed[i] : NULL;
	pthread_mutex_unlock(&st->lock);
	return s;
}

uint32_t
collect_put_removed(void *arg, struct wire_writer *w, uint32_t max)
{
	struct collect *c = arg;
	size_t i = 0;

	c->n_asked = 0;
	for (struct dynm_series *s;
	     c->n_asked < max && (s = collect_removed_at(c->store, i));) {
		if (s->state == SERIES_REFUSED) {
			collect_forget(c, s); /* another one is in its place now */
			continue;
		}
		i++;
		if (s->state != SERIES_DEFINED || !is_settled(c, s))
			continue;
		message_put_cell(w, s->wire);
		s->state = SERIES_REMOVING;
		c->asked[c->n_asked++] = (uintptr_t)s;
	}
	return c->n_asked;
}

void
collect_removed(void *arg)
{
	struct collect *c = arg;

	for (uint32_t i = 0; i < c->n_asked; i++)
		collect_forget(c, (struct dynm_series *)c->asked[i]);
	c->n_asked = 0;
	if (!c->blocked)
		return;
	c->blocked = false;
	for (struct slab *slab = collect_first_slab(c->store); slab;
	     slab = slab_next(slab))
		collect_push_define(c, slab);
}
