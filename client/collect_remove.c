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

static void
forget(struct collect *c, struct dynm_series *s)
{
	if (series_is_refused(s->state))
		collect_not_refused(c, s);
	collect_set(s, SERIES_GONE);
	session_forgets(c->session, s->wire, series_wire_cells(s->family));
	series_forget(c->store, s);
}

/* Some are gone: off the list, and those that waited for them may be defined. */
static void
sweep(struct collect *c)
{
	series_sweep_removed(c->store);
	if (!c->blocked)
		return;
	c->blocked = false;
	for (struct slab *slab = collect_first_slab(c->store); slab;
	     slab = slab_next(slab))
		collect_push_define(c, slab);
}

/* The i-th removed child that the daemon may still have; NULL behind the last. */
static struct dynm_series *
removed_at(struct store *st, size_t i)
{
	struct dynm_series *s;

	pthread_mutex_lock(&st->lock);
	s = i < st->n_removed ? st->removed[i] : NULL;
	pthread_mutex_unlock(&st->lock);
	return s;
}

void
collect_forget_all(struct collect *c)
{
	struct dynm_series *s;

	for (size_t i = 0; (s = removed_at(c->store, i)) != NULL; i++)
		forget(c, s);
	sweep(c);
}

uint32_t
collect_put_removed(void *arg, struct wire_writer *w, uint32_t max)
{
	struct collect *c = arg;
	bool gone = false;

	c->n_asked = 0;
	for (size_t i = 0; c->n_asked < max; i++) {
		struct dynm_series *s = removed_at(c->store, i);

		if (!s)
			break;
		if (series_is_refused(s->state)) {
			forget(c, s); /* the daemon never had it */
			gone = true;
			continue;
		}
		if (s->state != SERIES_DEFINED || !is_settled(c, s))
			continue;
		message_put_cell(w, s->wire);
		collect_set(s, SERIES_REMOVING);
		c->asked[c->n_asked++] = (uintptr_t)s;
	}
	if (gone)
		sweep(c);
	return c->n_asked;
}

void
collect_removed(void *arg)
{
	struct collect *c = arg;

	for (uint32_t i = 0; i < c->n_asked; i++)
		forget(c, (struct dynm_series *)c->asked[i]);
	c->n_asked = 0;
	sweep(c);
}
