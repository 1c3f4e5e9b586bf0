/* SPDX-License-Identifier: Apache-2.0 */
#include "collect_parts.h"
#include "sums.h"

#define FAMILY_BIT 1U

/* ---- Children ---------------------------------------------------------- */

static struct slab *
slab_of(const struct dynm_series *s)
{
	return (struct slab *)(uintptr_t)blocks_slab[s->block];
}

/* ---- Refusals ---------------------------------------------------------- */

static void
count_refused(struct collect *c, struct dynm_series *s)
{
	s->state = SERIES_REFUSED;
	__atomic_fetch_add(&c->refused, 1, __ATOMIC_RELAXED);
}

static void
report_metric(struct collect *c, const struct dynm_family *f, enum reason reason,
    struct wire_text text)
{
	report_error(c->store->report, report_code(reason),
	    "the daemon refuses the metric '%.60s': %.*s", f->name, (int)text.bytes,
	    text.at);
}

static void
refuse_child(
    struct collect *c, struct dynm_series *s, enum reason reason, struct wire_text text)
{
	count_refused(c, s);
	if (s->family->state != SERIES_REFUSED)
		report_metric(c, s->family, reason, text);
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
	f->state = SERIES_REFUSED;
	report_metric(c, f, REASON_LENGTH, wire_text("it is too long for one message"));
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
		s->state = SERIES_ASKED;
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
must_wait(struct collect *c, const struct dynm_series *s)
{
	struct store *st = c->store;
	bool wait = false;

	pthread_mutex_lock(&st->lock);
	for (size_t i = 0; i < st->n_removed && !wait; i++) {
		const struct dynm_series *old = st->removed[i];
		const char *a = old->values, *b = s->values;

		if (old == s || old->family != s->family ||
		    old->state == SERIES_UNDEFINED || old->state == SERIES_REFUSED)
			continue;
		wait = true;
		for (uint32_t k = 0; k < s->family->n_labels && wait; k++) {
			wait = strcmp(a, b) == 0;
			a += strlen(a) + 1;
			b += strlen(b) + 1;
		}
	}
	pthread_mutex_unlock(&st->lock);
	return wait;
}

static enum put_result
put_series(struct collect *c, struct wire_writer *w, uint32_t max, struct dynm_series *s)
{
	enum put_result r = PUT_DONE;

	if (s->state != SERIES_UNDEFINED)
		return PUT_SKIPPED;
	if (c->n_asked >= max)
		return PUT_FULL;
	if (must_wait(c, s)) {
		c->blocked = true;
		return PUT_SKIPPED;
	}
	if (s->family->state == SERIES_UNDEFINED)
		r = put_family(c, w, s->family);
	if (r == PUT_FULL)
		return r;
	if (s->family->state == SERIES_REFUSED) {
		count_refused(c, s);
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
set_asked(struct collect *c, uint8_t state)
{
	for (uint32_t i = 0; i < c->n_asked; i++) {
		struct dynm_series *s = (struct dynm_series *)c->asked[i];

		if (c->asked[i] & FAMILY_BIT) {
			((struct dynm_family *)(c->asked[i] - FAMILY_BIT))->state = state;
			continue;
		}
		s->state = state;
		if (state == SERIES_UNDEFINED)
			collect_push_define(c, slab_of(s));
		else
			collect_push_look(c, slab_of(s));
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
		if (c->asked[item.index] & FAMILY_BIT) {
			struct dynm_family *f =
			    (struct dynm_family *)(c->asked[item.index] - FAMILY_BIT);

			f->state = SERIES_REFUSED;
			report_metric(c, f, item.reason, item.text);
		} else {
			refuse_child(c, (struct dynm_series *)c->asked[item.index],
			    item.reason, item.text);
		}
	}
	c->n_asked = 0;
}

/* ---- UPDATE ------------------------------------------------------------ */

/* Offer the children of a slab from its cursor on; false when the message is full. */
static bool
put_slab(struct collect *c, struct slab *slab, bool *ret_torn)
{
	uint64_t value[SUMS_CELLS_MAX];
	uint8_t used = slab_used(slab);

	for (; slab->cursor < used; slab->cursor++) {
		const struct dynm_series *s = &slab->series[slab->cursor];
		enum sums_result r;

		if (s->state != SERIES_DEFINED)
			continue;
		r = sums_read(s, value);
		if (r == SUMS_TORN)
			*ret_torn = true;
		else if (r == SUMS_VALUE && !session_put(c->session, s->wire,
						(enum message_kind)s->family->kind,
						series_wire_cells(s->family), value))
			return false;
	}
	return true;
}

static void
update(void *arg, struct session *session)
{
	struct collect *c = arg;

	(void)session;
	for (struct slab *slab; (slab = c->look.first) != NULL;) {
		bool torn = false, all;

		blocks_lock();
		all = put_slab(c, slab, &torn);
		blocks_unlock();
		if (!all && !torn)
			return;
		c->look.first = slab->look_next;
		slab->looking = false;
		if (torn)
			collect_push_to(&c->torn, slab);
		if (!all)
			return;
	}
}

bool
collect_is_torn(const struct collect *c)
{
	return c->torn.first != NULL;
}

void
collect_torn(struct collect *c)
{
	for (struct slab *slab; (slab = c->torn.first) != NULL;) {
		c->torn.first = slab->look_next;
		collect_push_to(&c->look, slab);
	}
}

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
			s->state = SERIES_UNDEFINED;
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
	__atomic_store_n(&c->refused, 0, __ATOMIC_RELAXED);
	c->source =
	    (struct session_source){ c, define, defined, update, collect_put_removed,
		    collect_removed, collect_renumber, collect_restart, suspect };
	for (struct slab *slab = collect_first_slab(st); slab; slab = slab_next(slab))
		begin_slab(slab);
	for (struct dynm_family *f = family_first(c->store); f; f = family_next(f))
		f->state = SERIES_UNDEFINED;
	for (struct dynm_series *gone;
	     forked && (gone = collect_removed_at(st, 0)) != NULL;)
		collect_forget(c, gone);
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
collect_pass(struct collect *c)
{
	uint32_t at = 0, block;

	take_fresh(c);
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

bool
collect_is_done(const struct collect *c)
{
	return !c->define.first && !c->look.first && !c->torn.first && c->n_asked == 0;
}
