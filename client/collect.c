/* SPDX-License-Identifier: Apache-2.0 */
#include "collect_parts.h"

#define FAMILY_BIT   1U
#define PREFIX_BYTES sizeof("the daemon refuses the metric '': ")

/* ---- Refusals ---------------------------------------------------------- */

/* What others have may be gone later, and so may a limit be free again. */
static enum series_state
refused_state(enum reason reason)
{
	switch ((int)reason) {
	case REASON_TYPE:
	case REASON_MERGE:
	case REASON_BOUNDS:
	case REASON_COLLISION:
	case REASON_LIMIT:
	case REASON_MEMORY:
		return SERIES_WAITING;
	}
	return SERIES_REFUSED;
}

static void
count_refused(struct collect *c, struct dynm_series *s, enum series_state state)
{
	collect_set(s, state);
	c->refused++;
	if (state == SERIES_WAITING)
		c->waiting++;
	c->retry_refused = true;
}

/* What is asked again and again is told once for each metric and reason. */
static void
report_metric(
    struct collect *c, struct dynm_family *f, enum reason reason, struct wire_text text)
{
	uint32_t bit = 1U << (reason < REASON_END ? reason : 0);

	if (f->told & bit)
		return;
	f->told |= bit;
	/* A long sentence is worth more than the name, which is in it too. */
	if (strlen(f->name) + text.bytes + PREFIX_BYTES > DYNM_ERROR_TEXT)
		report_error(c->store->report, report_code(reason),
		    "the daemon refuses: %.*s", (int)text.bytes, text.at);
	else
		report_error(c->store->report, report_code(reason),
		    "the daemon refuses the metric '%s': %.*s", f->name, (int)text.bytes,
		    text.at);
}

static void
refuse_child(
    struct collect *c, struct dynm_series *s, enum reason reason, struct wire_text text)
{
	if (series_is_refused(s->family->state)) {
		count_refused(c, s, (enum series_state)s->family->state);
		return;
	}
	count_refused(c, s, refused_state(reason));
	report_metric(c, s->family, reason, text);
}

static void
refuse_family(
    struct collect *c, struct dynm_family *f, enum reason reason, struct wire_text text)
{
	f->state = (uint8_t)refused_state(reason);
	c->retry_refused = true;
	report_metric(c, f, reason, text);
}

/* ---- DEFINE ------------------------------------------------------------ */

enum put_result { PUT_DONE, PUT_SKIPPED, PUT_FULL };

/* Undo what did not fit. An item that does not fit into an empty message never will. */
static enum put_result
no_room(struct wire_writer *w, size_t mark, bool empty)
{
	w->bytes = mark;
	w->failed = false;
	return empty ? PUT_SKIPPED : PUT_FULL;
}

static enum put_result
put_family(struct collect *c, struct wire_writer *w, struct dynm_family *f)
{
	struct message_metric m;
	size_t mark = w->bytes;

	family_message(f, &m);
	message_put_metric(w, &m);
	if (!w->failed) {
		f->state = SERIES_ASKED;
		c->asked[c->n_asked++] = (uintptr_t)f | FAMILY_BIT;
		return PUT_DONE;
	}
	if (no_room(w, mark, c->n_asked == 0) == PUT_FULL)
		return PUT_FULL;
	refuse_family(c, f, REASON_LENGTH, wire_text("it is too long for one message"));
	return PUT_SKIPPED;
}

static enum put_result
put_child(struct collect *c, struct wire_writer *w, struct dynm_series *s)
{
	struct dynm_family *f = s->family;
	struct message_child m;
	size_t mark = w->bytes;

	series_message(s, &m);
	message_put_child(w, &m);
	if (!w->failed) {
		session_defines(c->session, s->wire, series_wire_cells(f),
		    (enum message_kind)f->kind);
		collect_set(s, SERIES_ASKED);
		c->asked[c->n_asked++] = (uintptr_t)s;
		return PUT_DONE;
	}
	if (no_room(w, mark, c->n_asked == 0) == PUT_FULL)
		return PUT_FULL;
	refuse_child(
	    c, s, REASON_LENGTH, wire_text("its labels are too long for one message"));
	return PUT_SKIPPED;
}

/* True while the daemon still has an older child with the values of this one: two of them
 * in one session would be one. */
static bool
must_wait(struct dynm_series *s)
{
	if (s->before != 0 && series_at(s->before)->state == SERIES_GONE)
		s->before = 0;
	return s->before != 0;
}

static enum put_result
put_series(struct collect *c, struct wire_writer *w, uint32_t max, struct dynm_series *s)
{
	enum put_result r = PUT_DONE;

	if (s->state != SERIES_UNDEFINED)
		return PUT_SKIPPED;
	if (c->n_asked >= max)
		return PUT_FULL;
	if (must_wait(s)) {
		c->blocked = true;
		return PUT_SKIPPED;
	}
	if (s->family->state == SERIES_UNDEFINED)
		r = put_family(c, w, s->family);
	if (r == PUT_FULL)
		return r;
	if (series_is_refused(s->family->state)) {
		count_refused(c, s, (enum series_state)s->family->state);
		return PUT_SKIPPED;
	}
	return c->n_asked < max ? put_child(c, w, s) : PUT_FULL;
}

static uint32_t
define(void *arg, struct wire_writer *w, uint32_t max)
{
	struct collect *c = arg;

	c->n_asked = 0;
	for (struct slab *slab; (slab = c->define.first) != NULL;) {
		uint8_t used = slab_used(slab);

		for (uint8_t i = 0; i < used; i++)
			if (put_series(c, w, max, &slab->series[i]) == PUT_FULL)
				return c->n_asked;
		slab->defining = false;
		c->define.first = slab->define_next;
	}
	return c->n_asked;
}

static void
set_asked(struct collect *c, enum series_state state)
{
	for (uint32_t i = 0; i < c->n_asked; i++) {
		struct dynm_series *s = (struct dynm_series *)c->asked[i];

		if (c->asked[i] & FAMILY_BIT) {
			((struct dynm_family *)(c->asked[i] - FAMILY_BIT))->state =
			    (uint8_t)state;
			continue;
		}
		collect_set(s, state);
		if (state == SERIES_UNDEFINED)
			collect_push_define(c, series_slab(s));
		else
			collect_push_look(c, series_slab(s));
	}
}

static void
defined(void *arg, const struct message *ack)
{
	struct collect *c = arg;
	struct wire_reader refused;
	struct message_refused item;

	set_asked(c, ack ? SERIES_DEFINED : SERIES_UNDEFINED);
	if (ack)
		refused = ack->refused;
	for (uint32_t i = 0; ack && i < ack->count; i++) {
		message_next_refused(&refused, &item);
		if (item.index >= c->n_asked)
			continue;
		if (c->asked[item.index] & FAMILY_BIT)
			refuse_family(c,
			    (struct dynm_family *)(c->asked[item.index] - FAMILY_BIT),
			    item.reason, item.text);
		else
			refuse_child(c, (struct dynm_series *)c->asked[item.index],
			    item.reason, item.text);
	}
	for (uint32_t i = 0; ack && i < c->n_asked; i++)
		if (c->asked[i] & FAMILY_BIT)
			collect_retried(
			    c, (struct dynm_family *)(c->asked[i] - FAMILY_BIT));
	c->n_asked = 0;
	collect_show(c);
}

/* ---- Refused UPDATEs ---------------------------------------------------- */

static void
suspect(void *arg, bool alone, const struct refusal *why)
{
	struct collect *c = arg;

	for (struct slab *slab = collect_first_slab(c->store); slab;
	     slab = slab_next(slab)) {
		uint8_t used = slab_used(slab);

		for (uint8_t i = 0; i < used; i++) {
			struct dynm_series *s = &slab->series[i];

			if (s->state != SERIES_DEFINED ||
			    !session_is_suspect(c->session, s->wire))
				continue;
			if (alone && s->suspect) {
				refuse_child(c, s, why->reason, wire_text(why->text));
				continue;
			}
			s->suspect = 1;
			collect_set(s, SERIES_UNDEFINED);
			if (s->family->state == SERIES_DEFINED)
				s->family->state = SERIES_UNDEFINED;
			collect_push_define(c, slab);
		}
	}
}

static void
begin_slab(struct slab *slab)
{
	uint8_t used = slab_used(slab);

	slab->defining = false;
	slab->looking = false;
	slab->defined = 0;
	slab->run = 0;
	for (uint8_t i = 0; i < used; i++)
		if (slab->series[i].state != SERIES_GONE)
			slab->series[i].state = SERIES_UNDEFINED;
}

void
collect_begin(struct collect *c, struct store *st, struct session *s, bool forked)
{
	c->store = st;
	c->session = s;
	c->define = c->look = c->torn = (struct slab_list){ NULL, NULL };
	c->blocked = false;
	c->n_asked = 0;
	c->refused = 0;
	collect_show(c);
	c->waiting = 0;
	c->retry_max = 0;
	c->retry_refused = false;
	c->retry_at = NULL;
	c->source = (struct session_source){ c, define, defined, collect_update,
		collect_put_removed, collect_removed, collect_renumber, collect_restart,
		suspect };
	for (struct slab *slab = collect_first_slab(st); slab; slab = slab_next(slab))
		begin_slab(slab);
	for (struct dynm_family *f = family_first(c->store); f; f = family_next(f)) {
		f->state = SERIES_UNDEFINED;
		f->told = 0;
		f->retried = false;
	}
	if (forked)
		collect_forget_all(c);
	collect_restart(c, false);
}

/* ---- Passes ------------------------------------------------------------ */

static void
take_fresh(struct collect *c)
{
	struct store *st = c->store;

	pthread_mutex_lock(&st->lock);
	for (struct slab *slab = st->fresh; slab; slab = slab->fresh_next) {
		slab->fresh = false;
		collect_push_define(c, slab);
	}
	st->fresh = NULL;
	pthread_mutex_unlock(&st->lock);
}

void
collect_changes(struct collect *c)
{
	uint32_t at = 0, block;

	blocks_lock();
	blocks_sweep();
	while (blocks_next_marked(&at, &block)) {
		struct slab *slab = (struct slab *)(uintptr_t)blocks_slab[block];

		if (slab && slab->store != c->store)
			continue; /* another runtime's */
		blocks_unmark(block);
		if (slab)
			collect_push_look(c, slab);
	}
	blocks_unlock();
}

void
collect_pass(struct collect *c)
{
	take_fresh(c);
	collect_changes(c);
}

void
collect_show(struct collect *c)
{
	__atomic_store_n(&c->shown, c->refused, __ATOMIC_RELAXED);
}

bool
collect_is_defining(const struct collect *c)
{
	return c->define.first != NULL;
}

bool
collect_is_done(const struct collect *c)
{
	return !c->define.first && !c->look.first && !c->torn.first && c->n_asked == 0;
}
