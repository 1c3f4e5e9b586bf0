/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect_parts.h - what the files of collect share; nobody else includes it.
 */
#ifndef COLLECT_PARTS_H
#define COLLECT_PARTS_H

#include "collect.h"

static inline struct slab *
collect_first_slab(const struct store *st)
{
	return __atomic_load_n(&st->slabs, __ATOMIC_ACQUIRE);
}

/* The only way to change a child's state: a slab knows how many are DEFINED. */
static inline void
collect_set(struct dynm_series *s, enum series_state state)
{
	struct slab *slab = series_slab(s);

	if (s->state == SERIES_DEFINED)
		slab->defined--;
	if (state == SERIES_DEFINED)
		slab->defined++;
	s->state = (uint8_t)state;
}

/* Put a slab on a list, unless it is there; one that is looked at already is begun again.
 */
static inline void
collect_push_define(struct collect *c, struct slab *slab)
{
	if (slab->defining)
		return;
	slab->defining = true;
	slab->define_next = NULL;
	*(c->define.first ? &c->define.last->define_next : &c->define.first) = slab;
	c->define.last = slab;
}

static inline void
collect_push_to(struct slab_list *list, struct slab *slab)
{
	slab->looking = true;
	slab->cursor = 0;
	slab->look_next = NULL;
	*(list->first ? &list->last->look_next : &list->first) = slab;
	list->last = slab;
}

static inline void
collect_push_look(struct collect *c, struct slab *slab)
{
	if (slab->looking)
		slab->cursor = 0;
	else
		collect_push_to(&c->look, slab);
}

/* collect_update.c: UPDATE, as session_source has it. */
void collect_update(void *arg, struct session *session);

/* collect_remove.c: REMOVE and its answer, as session_source has them. */
uint32_t collect_put_removed(void *arg, struct wire_writer *w, uint32_t max);
void collect_removed(void *arg);
/* In a forked child: what was removed before was never its own. */
void collect_forget_all(struct collect *c);

/* collect_retry.c: a refused child is UNDEFINED, and no longer counted. */
void collect_not_refused(struct collect *c, struct dynm_series *s);
/* A family was asked for, and answered: if it was asked again and is taken now, so are
 * the children that waited with it. */
void collect_retried(struct collect *c, struct dynm_family *f);

/* collect_restart.c: all of it again, as session_source has it. */
void collect_restart(void *arg, bool in_flight);
void collect_renumber(void *arg, struct session *session);

#endif /* COLLECT_PARTS_H */
