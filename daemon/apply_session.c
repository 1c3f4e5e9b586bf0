/* SPDX-License-Identifier: Apache-2.0 */
/* HELLO, and what a session may say after it. */
#include "apply_parts.h"

#define REFUSED_TEXTS (64 * 1024) /* sentences in one ACK; after that reasons alone */
#define REFUSED_BYTES 7		  /* an item without its sentence */

/* ---- Replies ------------------------------------------------------------ */

static void
reply_ack(const struct request *q, uint64_t n)
{
	struct wire_writer w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);

	message_end(&w, message_begin_ack(&w, n), 0);
	apply_reply_end(q->reply, &w);
}

static void
reply_folded(const struct request *q, uint64_t last)
{
	struct wire_writer w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);

	message_put_folded(&w, q->a->options.store, last);
	apply_reply_end(q->reply, &w);
}

static void
reply_expired(const struct request *q)
{
	struct wire_writer w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);

	message_put_expired(&w, q->a->options.store);
	apply_reply_end(q->reply, &w);
}

static void
reply_stale(const struct request *q)
{
	struct wire_writer w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);

	message_put_stale(&w, q->a->options.store);
	apply_reply_end(q->reply, &w);
}

static void
reply_simple(const struct request *q, void (*put)(struct wire_writer *w))
{
	struct wire_writer w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);

	put(&w);
	apply_reply_end(q->reply, &w);
}

/* ---- HELLO ---------------------------------------------------------------- */

static void
reply_welcome(
    const struct request *q, enum message_type type, const struct record *record)
{
	const struct apply_options *o = &q->a->options;
	struct wire_writer w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);
	struct message m = { .type = type,
		.ticket = { o->store, record->serial },
		.last = record->last,
		.worker = wire_text(record->live->name),
		.version = wire_text(o->version),
		.epoch = o->epoch,
		.lease_ms = o->lease_ms,
		.message_bytes = o->message_bytes,
		.max_series = registry_limits(q->a->registry)->series_per_worker };

	message_put_welcome(&w, &m);
	apply_reply_end(q->reply, &w);
}

static void
bind_and_welcome(const struct request *q, enum message_type type, uint32_t number)
{
	struct sessions *s = &q->a->sessions;
	struct refusal r = { 0 };

	if (sessions_bind(s, &q->peer->bindings, number, q->peer->direct, q->now_ms)) {
		reply_welcome(q, type, sessions_record(s, number));
		return;
	}
	refuse(&r, REASON_MEMORY, "out of memory");
	apply_reply_error(q, &r);
}

/* To find a free name takes longer, the more there are. */
static enum reason
check_workers(const struct request *q, struct refusal *r)
{
	struct sessions *s = &q->a->sessions;
	uint32_t most = q->a->options.workers;
	uint32_t share = registry_share(registry_limits(q->a->registry), most);

	if (most == 0)
		return REASON_NONE;
	/* The share first: who is refused has cost nobody else a place. */
	if (share < most && owners_count(&s->owners, q->peer->uid) >= share &&
	    !sessions_make_room(s, owners_find(&s->owners, q->peer->uid), q->now_ms))
		return refuse(r, REASON_LIMIT,
		    "the user %u has its share of %u workers (limits.uid_percent)",
		    (unsigned)q->peer->uid, share);
	if (s->n_live >= most && !sessions_make_room(s, 0, q->now_ms))
		return refuse(r, REASON_LIMIT,
		    "the daemon has its %u workers (limits.workers)", most);
	return REASON_NONE;
}

static void
hello_new(const struct request *q)
{
	struct sessions *s = &q->a->sessions;
	struct refusal r = { 0 };
	uint32_t number;

	if (names_check_worker(q->m->worker, &r) != REASON_NONE ||
	    check_workers(q, &r) != REASON_NONE) {
		apply_reply_error(q, &r);
		return;
	}
	/* The process of a device is not the worker's. */
	number = sessions_new(s,
	    &(struct session_saved){ .sid = q->m->sid,
		.uid = q->peer->uid,
		.pid = q->peer->direct ? q->peer->pid : 0,
		.start = q->peer->direct ? q->peer->process_start : 0,
		.wish = q->m->worker,
		.library = q->m->version },
	    q->now_ms);
	if (number == 0) {
		refuse(&r, REASON_MEMORY, "out of memory");
		apply_reply_error(q, &r);
		return;
	}
	bind_and_welcome(q, MESSAGE_NEW, number);
}

/* A session id that is known, from a worker without a ticket of this store. */
static void
hello_again(const struct request *q, uint32_t number)
{
	const struct record *record = sessions_record(&q->a->sessions, number);

	if (record->live == NULL)
		reply_folded(q, record->last);
	else if (record->last > 0)
		reply_stale(q); /* only a late duplicate can say this */
	else
		bind_and_welcome(q, MESSAGE_NEW, number);
}

static void
hello_ticket(const struct request *q, uint32_t number)
{
	const struct record *record = sessions_record(&q->a->sessions, number);

	if (record->live)
		bind_and_welcome(q, MESSAGE_LIVE, number);
	else
		reply_folded(q, record->last);
}

/* True if the ticket's number is another session's: the state was set back to before the
 * ticket was given, as a journal could not be written, and has nothing of its session. */
static bool
is_of_a_lost_state(const struct request *q)
{
	struct sessions *s = &q->a->sessions;
	uint32_t holder = sessions_find_serial(s, q->m->ticket.serial);

	return holder &&
	       memcmp(sessions_record(s, holder)->sid, q->m->sid, MESSAGE_SID_BYTES) != 0;
}

static void
apply_hello(const struct request *q)
{
	struct sessions *s = &q->a->sessions;
	const struct message *m = q->m;
	bool ours = m->has_ticket && m->ticket.store == q->a->options.store;
	uint32_t number = sessions_find_sid(s, m->sid);
	struct refusal r = { 0 };

	if (number && sessions_record(s, number)->uid != q->peer->uid) {
		refuse(&r, REASON_OWNER, "the session belongs to uid %u, not to uid %u",
		    (unsigned)sessions_record(s, number)->uid, (unsigned)q->peer->uid);
		apply_reply_error(q, &r);
	} else if (ours && number &&
		   sessions_record(s, number)->serial == m->ticket.serial) {
		hello_ticket(q, number);
	} else if (ours && m->ticket.serial < s->next_serial && !is_of_a_lost_state(q)) {
		reply_expired(q);
	} else if (number) {
		hello_again(q, number);
	} else {
		hello_new(q);
	}
}

/* ---- DEFINE ----------------------------------------------------------------- */

static void
log_child(const struct request *q, const struct session *session,
    const struct message_child *child)
{
	const char *name = registry_metric_name(session->column, child->metric);
	struct strbuf values = STRBUF_EMPTY;

	if (!log_wants(q->a->log, LOG_LEVEL_DEBUG))
		return;
	strbuf_add(&values, "", 0);
	for (size_t i = 0; i < child->n_values; i++)
		strbuf_addf(&values, "%s\"%.*s\"", i ? ", " : "",
		    (int)child->value[i].bytes, child->value[i].at);
	log_line(q->a->log, LOG_LEVEL_DEBUG,
	    "apply: registered series %s(%s) by worker '%s' (pid %d)", name,
	    values.failed ? "" : values.at, session->name, (int)session->pid);
	strbuf_free(&values);
}

static enum reason
define_item(const struct request *q, struct session *session,
    const struct message_item *item, struct refusal *r)
{
	struct registry *registry = q->a->registry;
	enum reason reason;
	bool is_new;

	switch (item->type) {
	case MESSAGE_ITEM_METRIC:
		reason =
		    registry_define_metric(registry, session->column, &item->metric, r);
		if (reason == REASON_NONE)
			apply_log_metric(q, &item->metric, session->name, session->pid);
		return reason;
	case MESSAGE_ITEM_CHILD:
		reason = registry_define_child(
		    registry, session->column, &item->child, &is_new, r);
		if (reason == REASON_NONE && is_new)
			log_child(q, session, &item->child);
		return reason;
	}
	return REASON_NONE;
}

static void
apply_define(const struct request *q, struct record *record)
{
	/* Nothing may fail halfway for want of a reply: its room is taken first. */
	size_t room =
	    APPLY_REPLY_ROOM + REFUSED_TEXTS + (size_t)q->m->count * REFUSED_BYTES;
	struct wire_writer w = apply_reply_begin(q->reply, room);
	size_t begun = message_begin_ack(&w, q->m->n);
	struct wire_reader items = q->m->items;
	struct message_item item;
	uint32_t refused = 0;

	if (w.failed)
		return;
	effect_define_begin(&q->a->effects, q->payload, q->bytes);
	for (uint32_t i = 0; i < q->m->count; i++) {
		struct refusal r = { 0 };

		message_next_item(&items, &item);
		if (define_item(q, record->live, &item, &r) == REASON_NONE)
			continue;
		effect_refused(&q->a->effects, i);
		apply_count_refusal(q->a, q->peer, &r, q->now_ms);
		record->live->refused++;
		refused++;
		if (w.bytes > REFUSED_TEXTS)
			r.text[0] = '\0';
		message_put_refused_item(&w, i, &r);
	}
	effect_define_end(&q->a->effects);
	record->last = q->m->n;
	message_end(&w, begun, refused);
	apply_reply_end(q->reply, &w);
}

/* ---- UPDATE, REMOVE, PING, BYE ------------------------------------------------ */

static void
apply_update(const struct request *q, struct record *record)
{
	const struct message *m = q->m;
	struct column *column = record->live->column;
	struct refusal r = { 0 };
	struct wire_writer w;

	if (registry_check_records(column, m->records, m->count, &r) == REASON_NONE) {
		registry_apply_records(q->a->registry, column, m->records, m->count);
		effect_request(&q->a->effects, JOURNAL_UPDATE, q->payload, q->bytes);
		record->last = m->n;
		record->live->updated_ms = q->now_ms;
		reply_ack(q, m->n);
		return;
	}
	apply_count_refusal(q->a, q->peer, &r, q->now_ms);
	record->live->refused++;
	w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);
	message_put_refused(&w, m->n, &r);
	apply_reply_end(q->reply, &w);
}

static void
apply_remove(const struct request *q, struct record *record)
{
	for (uint32_t i = 0; i < q->m->count; i++)
		registry_remove_child(q->a->registry, record->live->column,
		    wire_load_u32(q->m->records + 4 * (size_t)i));
	effect_request(&q->a->effects, JOURNAL_REMOVE, q->payload, q->bytes);
	record->last = q->m->n;
	reply_ack(q, q->m->n);
}

static void
apply_ping(const struct request *q, struct record *record)
{
	reply_ack(q, record->last);
}

/* DEFINE, UPDATE, REMOVE: a sequence that was applied is acknowledged, not applied. */
static bool
is_repeated(const struct request *q, const struct record *record)
{
	if (q->m->type == MESSAGE_PING || q->m->n > record->last)
		return false;
	self_add(q->a->self, SELF_RESENT, 0, 0, 1);
	reply_ack(q, q->m->n);
	return true;
}

/* A request of a session: its connection must have said HELLO for it. */
static void
of_session(
    const struct request *q, void (*act)(const struct request *q, struct record *record))
{
	struct sessions *s = &q->a->sessions;
	const struct apply_binding *binding =
	    sessions_bound(q->peer->bindings, q->m->ticket.serial);
	struct record *record;

	if (binding == NULL || q->m->ticket.store != q->a->options.store) {
		reply_simple(q, message_put_unbound);
		return;
	}
	record = sessions_record(s, binding->record);
	if (record->serial != binding->serial) {
		reply_expired(q);
	} else if (record->live == NULL) {
		reply_folded(q, record->last);
	} else {
		record->live->touched_ms = q->now_ms;
		if (!is_repeated(q, record))
			act(q, record);
	}
}

static void
apply_bye(const struct request *q)
{
	struct sessions *s = &q->a->sessions;
	const struct apply_binding *binding =
	    sessions_bound(q->peer->bindings, q->m->ticket.serial);
	const struct record *record;

	if (binding && q->m->ticket.store == q->a->options.store) {
		record = sessions_record(s, binding->record);
		if (record->serial == binding->serial && record->live)
			sessions_fold(
			    s, binding->record, false, "it said good-bye", q->now_ms);
		reply_simple(q, message_put_ok);
	} else {
		reply_simple(q, message_put_unbound);
	}
}

void
apply_session_request(const struct request *q)
{
	static void (*const act[])(const struct request *, struct record *) = {
		[MESSAGE_DEFINE] = apply_define,
		[MESSAGE_UPDATE] = apply_update,
		[MESSAGE_REMOVE] = apply_remove,
		[MESSAGE_PING] = apply_ping,
	};

	if (q->m->type == MESSAGE_HELLO)
		apply_hello(q);
	else if (q->m->type == MESSAGE_BYE)
		apply_bye(q);
	else
		of_session(q, act[q->m->type]);
}
