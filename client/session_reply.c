/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reply does to a session.
 */
#include <stdio.h>

#include "cells.h"
#include "session_parts.h"

#define MESSAGE_LEAST 4096 /* below this not every child fits: then let it refuse */

/* Call fn for each record of the UPDATE in flight. */
static void
each_in_flight(struct session *s, void (*fn)(struct session *, uint32_t, uint64_t))
{
	struct message m;
	const uint8_t *p;

	if (s->flight != MESSAGE_UPDATE ||
	    message_decode(&m, s->bytes, s->flight_bytes, NULL) != REASON_NONE)
		return;
	p = m.records;
	for (uint32_t i = 0; i < m.count; i++, p += MESSAGE_RECORD_BYTES)
		fn(s, wire_load_u32(p), wire_load_u64(p + 4));
}

static void
commit_cell(struct session *s, uint32_t cell, uint64_t value)
{
	bool encoded;

	if (cell == MESSAGE_CELL_DROPPED) {
		s->dropped.acked = wire_double(value);
		s->dropped.again = false;
		return;
	}
	encoded = (s->flags[cell] & (GAUGE | TIME)) == GAUGE;

	s->acked[cell] = encoded ? value ^ GAUGE_UNSET : value;
	s->flags[cell] &= (uint8_t) ~(AGAIN | SUSPECT);
}

static void
mark_suspect(struct session *s, uint32_t cell, uint64_t value)
{
	(void)value;
	if (cell != MESSAGE_CELL_DROPPED)
		s->flags[cell] |= SUSPECT;
}

/* ---- Sessions end ------------------------------------------------------ */

static void
land(struct session *s)
{
	s->flight = 0;
	s->flight_bytes = 0;
}

/* The request in flight is applied. */
static void
commit(struct session *s, const struct message *ack, const struct session_source *source)
{
	enum message_type type = s->flight;

	s->n_acked = s->flight_n;
	each_in_flight(s, commit_cell);
	land(s);
	if (type == MESSAGE_UPDATE && s->update_max < UINT32_MAX / 2)
		s->update_max *= 2;
	if (type == MESSAGE_DEFINE) {
		if (s->reuses)
			s->n_reused = s->n_acked;
		s->define_max = s->define_max * 2 < SESSION_DEFINE_ITEMS
				    ? s->define_max * 2
				    : SESSION_DEFINE_ITEMS;
		source->defined(source->arg, ack);
	}
	if (type == MESSAGE_REMOVE)
		source->removed(source->arg);
}

static void
new_session(struct session *s, const struct session_source *source)
{
	for (uint32_t i = 0; i < s->cells_end; i++) {
		s->acked[i] = 0;
		s->flags[i] &= (uint8_t) ~(AGAIN | USED);
	}
	s->dropped.acked = 0;
	s->dropped.again = false;
	land(s);
	s->has_sid = false;
	s->has_ticket = false;
	s->n_acked = 0;
	s->n_reused = 0;
	source->renumber(source->arg, s);
	source->restart(source->arg, false);
}

static void
clear_base(struct session *s)
{
	for (uint32_t i = 0; i < s->cells_end; i++)
		if (s->base[i] != 0)
			s->base[i] = 0;
	s->dropped.base = 0;
	s->has_store = false;
}

/* The daemon has ended our session, and what it has of it stays in the totals. */
static enum session_verdict
ended(struct session *s, uint64_t store, bool flight_counts,
    const struct session_source *source)
{
	if (s->has_store && s->base_store != store) {
		clear_base(s); /* another store: it has nothing of us */
		new_session(s, source);
		return SESSION_AGAIN;
	}
	s->has_store = true;
	s->base_store = store;
	if (flight_counts)
		each_in_flight(s, commit_cell);
	for (uint32_t i = 0; i < s->cells_end; i++)
		if (s->acked[i] != 0 && !(s->flags[i] & GAUGE))
			s->base[i] += wire_double(s->acked[i]);
	s->dropped.base += s->dropped.acked;
	new_session(s, source);
	return SESSION_AGAIN;
}

/* What the daemon has of our session, it may have with what is in flight, or not. */
static enum session_verdict
begin_anew(struct session *s, uint64_t store, const struct session_source *source)
{
	bool ours = !s->has_store || s->base_store == store;

	if (ours && s->flight == MESSAGE_UPDATE) {
		s->lost++;
		(void)refuse(&s->trouble, REASON_SESSION,
		    "the daemon has forgotten this worker's session: at most one "
		    "flush is missing");
	}
	return ended(s, store, true, source);
}

static enum session_verdict
forgotten(struct session *s, const struct message *m, const struct session_source *source)
{
	return begin_anew(s, m->store, source);
}

/* ---- Replies ----------------------------------------------------------- */

static void
take_welcome(struct session *s, const struct message *m)
{
	size_t n =
	    m->worker.bytes < sizeof(s->worker) ? m->worker.bytes : sizeof(s->worker) - 1;

	memcpy(s->worker, m->worker.at, n);
	s->worker[n] = '\0';
	s->lease_ms = m->lease_ms;
	s->message_bytes =
	    m->message_bytes > MESSAGE_LEAST ? m->message_bytes : MESSAGE_LEAST;
	s->state = SESSION_READY;
}

static enum session_verdict
on_new(struct session *s, const struct message *m, const struct session_source *source)
{
	if (s->has_store && s->base_store != m->ticket.store)
		clear_base(s);
	new_session(s, source);
	s->has_sid = true; /* it was new to this daemon */
	s->has_ticket = true;
	s->ticket = m->ticket;
	s->has_store = true;
	s->base_store = m->ticket.store;
	take_welcome(s, m);
	return SESSION_OK;
}

static enum session_verdict
on_live(struct session *s, const struct message *m, const struct session_source *source)
{
	/* Somebody else's session, or a request that we never sent? */
	if (!s->has_ticket || m->ticket.store != s->ticket.store ||
	    m->ticket.serial != s->ticket.serial ||
	    m->last > (s->flight ? s->flight_n : s->n_acked))
		return SESSION_CLOSE;
	/* It was set back to before a cell went to another child, and would count what is
	 * of the one for the other. */
	if (m->last < s->n_reused)
		return begin_anew(s, m->ticket.store, source);
	take_welcome(s, m);
	if (s->flight && m->last == s->flight_n) {
		commit(s, NULL, source);
	} else if (m->last < s->n_acked) {
		for (uint32_t i = 0; i < s->cells_end; i++)
			s->flags[i] |= AGAIN;
		s->dropped.again = true;
		source->restart(source->arg, s->flight != 0);
	}
	return SESSION_OK;
}

static bool
answers_flight(const struct session *s, const struct message *m)
{
	return s->flight && s->asked == s->flight && m->n == s->flight_n;
}

/* An UPDATE or DEFINE that is refused whole is tried in halves: one bad child must not
 * take the others with it. */
static enum session_verdict
on_refused(
    struct session *s, const struct message *m, const struct session_source *source)
{
	struct refusal why = { .reason = m->reason };
	enum message_type type = s->flight;

	if (!answers_flight(s, m))
		return SESSION_CLOSE;
	(void)snprintf(
	    why.text, sizeof(why.text), "%.*s", (int)m->text.bytes, m->text.at);
	s->n_acked = s->flight_n;
	s->state = SESSION_READY;
	/* A refusal of the dropped updates alone is final: no child can be the reason. */
	each_in_flight(s, s->put_children ? mark_suspect : commit_cell);
	land(s);
	if (type == MESSAGE_UPDATE) {
		bool alone = s->put_children <= 1;

		s->update_max = alone ? 1 : s->put_children / 2;
		source->suspect(source->arg, alone, &why);
		for (uint32_t i = 0; i < s->cells_end; i++)
			s->flags[i] &= (uint8_t)~SUSPECT;
	} else if (type == MESSAGE_DEFINE) {
		s->define_max = s->define_max > 1 ? s->define_max / 2 : 1;
		if (s->reuses) /* the next one does not say so again */
			s->n_reused = s->n_acked;
		s->trouble = why;
		source->restart(source->arg, false);
		return s->define_max > 1 ? SESSION_OK : SESSION_CLOSE;
	} else {
		source->removed(source->arg); /* nothing there to remove */
	}
	return SESSION_OK;
}

static enum session_verdict
on_ack(struct session *s, const struct message *m, const struct session_source *source)
{
	if (s->asked == MESSAGE_PING) {
		s->state = SESSION_READY;
		return SESSION_OK;
	}
	if (!answers_flight(s, m))
		return SESSION_CLOSE;
	s->state = SESSION_READY;
	commit(s, m, source);
	return SESSION_OK;
}

static enum session_verdict
on_error(struct session *s, const struct message *m, const struct session_source *source)
{
	bool final = s->state == SESSION_WAIT && s->asked == MESSAGE_EXPOSE;

	(void)source;
	s->trouble.reason = m->reason;
	(void)snprintf(s->trouble.text, sizeof(s->trouble.text), "%.*s",
	    (int)m->text.bytes, m->text.at);
	if (!final)
		return SESSION_CLOSE;
	s->state = SESSION_READY;
	return SESSION_OK;
}

static enum session_verdict
on_folded(struct session *s, const struct message *m, const struct session_source *source)
{
	return ended(s, m->store, s->flight && m->last == s->flight_n, source);
}

static enum session_verdict
on_text(struct session *s, const struct message *m, const struct session_source *source)
{
	(void)source;
	if (s->asked != MESSAGE_EXPOSE)
		return SESSION_CLOSE;
	s->text = m->text;
	s->state = SESSION_READY;
	return SESSION_OK;
}

typedef enum session_verdict reply_fn(
    struct session *s, const struct message *m, const struct session_source *source);

/* What is not in the table makes no sense, or ends the connection anyway (UNBOUND, and OK
 * to a BYE). */
static const struct {
	enum message_type type;
	reply_fn *hello, *wait;
} replies[] = {
	{ MESSAGE_NEW, on_new, NULL },
	{ MESSAGE_LIVE, on_live, NULL },
	{ MESSAGE_FOLDED, on_folded, on_folded },
	{ MESSAGE_EXPIRED, forgotten, forgotten },
	{ MESSAGE_STALE, forgotten, forgotten },
	{ MESSAGE_ACK, NULL, on_ack },
	{ MESSAGE_REFUSED, NULL, on_refused },
	{ MESSAGE_TEXT, NULL, on_text },
	{ MESSAGE_ERROR, on_error, on_error },
};

static enum session_verdict
dispatch(struct session *s, const struct message *m, const struct session_source *source)
{
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		reply_fn *fn = s->state == SESSION_HELLO  ? replies[i].hello
			       : s->state == SESSION_WAIT ? replies[i].wait
							  : NULL;

		if (replies[i].type == m->type && fn)
			return fn(s, m, source);
	}
	return SESSION_CLOSE;
}

enum session_verdict
session_reply(struct session *s, const void *payload, size_t bytes,
    const struct session_source *source)
{
	enum session_verdict verdict = SESSION_CLOSE;
	struct message m;

	memset(&s->trouble, 0, sizeof(s->trouble));
	s->text = (struct wire_text){ NULL, 0 };
	if (!message_is_binary(payload, bytes))
		(void)refuse(&s->trouble, REASON_MESSAGE,
		    "what answers at the daemon's address does not speak its protocol");
	else if (message_decode(&m, payload, bytes, &s->trouble) != REASON_NONE)
		verdict = SESSION_CLOSE;
	else
		verdict = dispatch(s, &m, source);
	if (verdict != SESSION_OK)
		session_lost(s);
	return verdict;
}
