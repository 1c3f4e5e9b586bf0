/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon refused for what others have: a name in another shape, a limit. It is
 * asked for again from time to time, a few at once, so that a long list of refusals costs
 * little. When a few are taken the next ones are more, and come at once. What a child
 * counts meanwhile stays in its cells, and goes with its first UPDATE.
 */
#include "collect_parts.h"

#define RETRY_LEAST 64

void
collect_not_refused(struct collect *c, struct dynm_series *s)
{
	c->refused--;
	if (s->state == SERIES_WAITING)
		c->waiting--;
	collect_set(s, SERIES_UNDEFINED);
}

/* Children of a family that waits: one asks for all. How many are asked for. */
static uint32_t
retry_slab(struct collect *c, struct slab *slab)
{
	uint8_t used = slab_used(slab);
	uint32_t n = 0;

	for (uint8_t i = 0; i < used; i++) {
		struct dynm_series *s = &slab->series[i];

		if (s->state != SERIES_WAITING || s->family->retried)
			continue;
		if (s->family->state == SERIES_WAITING) {
			s->family->state = SERIES_UNDEFINED;
			s->family->retried = true;
		}
		collect_not_refused(c, s);
		n++;
	}
	if (n > 0)
		collect_push_define(c, slab);
	return n;
}

void
collect_retry(struct collect *c)
{
	struct slab *first = c->retry_at ? c->retry_at : collect_first_slab(c->store);
	struct slab *slab = first;
	uint32_t n = 0;

	if (!collect_waits(c) || !slab)
		return;
	if (c->retry_refused || c->retry_max < RETRY_LEAST)
		c->retry_max = RETRY_LEAST;
	else if (c->retry_max < SESSION_DEFINE_ITEMS)
		c->retry_max *= 4;
	c->retry_refused = false;
	do {
		n += retry_slab(c, slab);
		slab = slab_next(slab);
		if (!slab)
			slab = collect_first_slab(c->store);
	} while (n < c->retry_max && slab != first);
	c->retry_at = slab;
}

bool
collect_waits(const struct collect *c)
{
	return c->waiting > 0;
}

bool
collect_is_lucky(const struct collect *c)
{
	return !c->retry_refused;
}

void
collect_retried(struct collect *c, struct dynm_family *f)
{
	if (!f->retried)
		return;
	f->retried = false;
	if (f->state != SERIES_DEFINED)
		return;
	f->told = 0;
	report_line(c->store->report, "the daemon takes the metric '%.60s' now", f->name);
	for (struct slab *slab = collect_first_slab(c->store); slab;
	     slab = slab_next(slab)) {
		uint8_t used = slab_used(slab);

		for (uint8_t i = 0; i < used; i++) {
			struct dynm_series *s = &slab->series[i];

			if (s->state != SERIES_WAITING || s->family != f)
				continue;
			collect_not_refused(c, s);
			collect_push_define(c, slab);
		}
	}
}
