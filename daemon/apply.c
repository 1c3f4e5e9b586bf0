/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"

#include <stdlib.h>

#include "exposition.h"
#include "json.h"
#include "sessions.h"

#define REPLY_ROOM    512 /* enough for any reply but ACK of a DEFINE, TEXT and JSON */
#define REFUSED_TEXTS (64 * 1024) /* sentences in one ACK; after that reasons alone */
#define REFUSED_BYTES 7		  /* an item without its sentence */
#define EXPOSE_SLICE  (256 * 1024)

struct apply {
	struct apply_options options;
	struct registry *registry;
	struct self_metrics *self;
	struct log *log;
	struct sessions sessions;
	uint64_t replaced_seen; /* of the registry's figures: what self has counted */
	double dropped_seen;
};

/* One request on its way. */
struct request {
	struct apply *a;
	struct apply_peer *peer;
	const struct message *m;
	uint64_t now_ms;
	struct strbuf *reply;
};

/* ---- Replies ------------------------------------------------------------ */

/* Room for a reply of at most room bytes; without memory the writer fails. */
static struct wire_writer
reply_begin(struct strbuf *reply, size_t room)
{
	struct wire_writer w;
	bool whole = strbuf_reserve(reply, room);

	wire_writer_init(&w, whole ? reply->at + reply->bytes : NULL, whole ? room : 0);
	return w;
}

static void
reply_end(struct strbuf *reply, const struct wire_writer *w)
{
	if (!w->failed)
		reply->bytes += w->bytes;
}

static void
count_refusal(struct apply *a, const struct apply_peer *peer, const struct refusal *r,
    uint64_t now_ms)
{
	self_refused(a->self, r->reason);
	log_limited(a->log, LOG_LEVEL_WARNING, r->reason, now_ms,
	    "apply: refused (%s) from pid %d, uid %u: %s", message_reason_word(r->reason),
	    (int)peer->pid, (unsigned)peer->uid, r->text);
}

static void
reply_error(const struct request *q, const struct refusal *r)
{
	struct wire_writer w = reply_begin(q->reply, REPLY_ROOM);

	count_refusal(q->a, q->peer, r, q->now_ms);
	message_put_error(&w, r);
	reply_end(q->reply, &w);
}

static void
reply_ack(const struct request *q, uint64_t n)
{
	struct wire_writer w = reply_begin(q->reply, REPLY_ROOM);

	message_end(&w, message_begin_ack(&w, n), 0);
	reply_end(q->reply, &w);
}

static void
reply_folded(const struct request *q, uint64_t last)
{
	struct wire_writer w = reply_begin(q->reply, REPLY_ROOM);

	message_put_folded(&w, q->a->options.store, last);
	reply_end(q->reply, &w);
}

static void
reply_expired(const struct request *q)
{
	struct wire_writer w = reply_begin(q->reply, REPLY_ROOM);

	message_put_expired(&w, q->a->options.store);
	reply_end(q->reply, &w);
}

static void
reply_stale(const struct request *q)
{
	struct wire_writer w = reply_begin(q->reply, REPLY_ROOM);

	message_put_stale(&w, q->a->options.store);
	reply_end(q->reply, &w);
}

static void
reply_simple(const struct request *q, void (*put)(struct wire_writer *w))
{
	struct wire_writer w = reply_begin(q->reply, REPLY_ROOM);

	put(&w);
	reply_end(q->reply, &w);
}

/* ---- HELLO ---------------------------------------------------------------- */

static void
reply_welcome(
    const struct request *q, enum message_type type, const struct record *record)
{
	const struct apply_options *o = &q->a->options;
	struct wire_writer w = reply_begin(q->reply, REPLY_ROOM);
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
	reply_end(q->reply, &w);
}

static void
bind_and_welcome(const struct request *q, enum message_type type, uint32_t number)
{
	struct sessions *s = &q->a->sessions;
	struct refusal r = { 0 };

	if (sessions_bind(s, &q->peer->bindings, number, q->now_ms)) {
		reply_welcome(q, type, sessions_record(s, number));
		return;
	}
	refuse(&r, REASON_MEMORY, "out of memory");
	reply_error(q, &r);
}

static void
hello_new(const struct request *q)
{
	struct sessions *s = &q->a->sessions;
	struct refusal r = { 0 };
	uint32_t number;

	if (names_check_worker(q->m->worker, &r) != REASON_NONE) {
		reply_error(q, &r);
		return;
	}
	number = sessions_new(s, q->m->sid, q->peer->uid, q->peer->pid, q->m->worker,
	    q->m->version, q->now_ms);
	if (number == 0) {
		refuse(&r, REASON_MEMORY, "out of memory");
		reply_error(q, &r);
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
		reply_error(q, &r);
	} else if (ours && number &&
		   sessions_record(s, number)->serial == m->ticket.serial) {
		hello_ticket(q, number);
	} else if (ours && m->ticket.serial < s->next_serial) {
		reply_expired(q);
	} else if (number) {
		hello_again(q, number);
	} else {
		hello_new(q);
	}
}

/* ---- DEFINE ----------------------------------------------------------------- */

static void
log_metric(const struct request *q, const struct session *session,
    const struct message_metric *m)
{
	struct strbuf at = STRBUF_EMPTY;

	if (!log_wants(q->a->log, LOG_LEVEL_DEBUG))
		return;
	strbuf_add(&at, "", 0);
	for (size_t i = 0; i < m->level.depth; i++)
		strbuf_addf(&at, "%s%.*s", i ? "/" : "", (int)m->level.name[i].bytes,
		    m->level.name[i].at);
	log_line(q->a->log, LOG_LEVEL_DEBUG,
	    "apply: registered %s '%.*s' at %s by worker '%s' (pid %d)",
	    message_kind_word(m->kind), (int)m->name.bytes, m->name.at,
	    at.failed || at.bytes == 0 ? "the runtime" : at.at, session->name,
	    (int)session->pid);
	strbuf_free(&at);
}

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
			log_metric(q, session, &item->metric);
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
	size_t room = REPLY_ROOM + REFUSED_TEXTS + (size_t)q->m->count * REFUSED_BYTES;
	struct wire_writer w = reply_begin(q->reply, room);
	size_t begun = message_begin_ack(&w, q->m->n);
	struct wire_reader items = q->m->items;
	struct message_item item;
	uint32_t refused = 0;

	if (w.failed)
		return;
	for (uint32_t i = 0; i < q->m->count; i++) {
		struct refusal r = { 0 };

		message_next_item(&items, &item);
		if (define_item(q, record->live, &item, &r) == REASON_NONE)
			continue;
		count_refusal(q->a, q->peer, &r, q->now_ms);
		record->live->refused++;
		refused++;
		if (w.bytes > REFUSED_TEXTS)
			r.text[0] = '\0';
		message_put_refused_item(&w, i, &r);
	}
	record->last = q->m->n;
	message_end(&w, begun, refused);
	reply_end(q->reply, &w);
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
		record->last = m->n;
		reply_ack(q, m->n);
		return;
	}
	count_refusal(q->a, q->peer, &r, q->now_ms);
	record->live->refused++;
	w = reply_begin(q->reply, REPLY_ROOM);
	message_put_refused(&w, m->n, &r);
	reply_end(q->reply, &w);
}

static void
apply_remove(const struct request *q, struct record *record)
{
	for (uint32_t i = 0; i < q->m->count; i++)
		registry_remove_child(q->a->registry, record->live->column,
		    wire_load_u32(q->m->records + 4 * (size_t)i));
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
apply_session(
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
			sessions_fold(s, binding->record, false, "it said good-bye");
		reply_simple(q, message_put_ok);
	} else {
		reply_simple(q, message_put_unbound);
	}
}

/* ---- EXPOSE, STATUS ----------------------------------------------------------- */

static void
reply_text(const struct request *q, const struct strbuf *text)
{
	struct wire_writer w;
	struct refusal r = { 0 };

	if (text->failed)
		refuse(&r, REASON_MEMORY, "out of memory");
	else if (text->bytes + REPLY_ROOM > q->a->options.message_bytes)
		refuse(&r, REASON_LIMIT,
		    "the text is longer than a message (%u bytes, ingest.message_bytes): "
		    "use HTTP",
		    q->a->options.message_bytes);
	if (r.reason != REASON_NONE) {
		reply_error(q, &r);
		return;
	}
	w = reply_begin(q->reply, text->bytes + REPLY_ROOM);
	message_put_text(&w, (struct wire_text){ text->at, text->bytes });
	reply_end(q->reply, &w);
}

static void
apply_expose(const struct request *q)
{
	struct exposition_filter filter = { .level = q->m->level };
	struct exposition *e;
	struct strbuf text = STRBUF_EMPTY;

	apply_refresh(q->a);
	e = exposition_new(q->a->registry, q->a->self, &filter);
	if (e == NULL)
		text.failed = true;
	/* Over the limit it is refused: no more is rendered than shows that. */
	while (e && exposition_slice(e, &text, EXPOSE_SLICE) &&
	       text.bytes <= q->a->options.message_bytes)
		;
	exposition_free(e);
	reply_text(q, &text);
	strbuf_free(&text);
}

static void
apply_status_request(const struct request *q)
{
	struct strbuf text = STRBUF_EMPTY;

	apply_status(q->a, q->now_ms, &text);
	reply_text(q, &text);
	strbuf_free(&text);
}

/* ---- JSON ---------------------------------------------------------------------- */

static enum reason
apply_json_metric(
    struct apply *a, const struct json_metric *j, uint64_t now_ms, struct refusal *r)
{
	uint32_t series;
	enum reason reason = registry_retain(a->registry, &j->metric, &series, r);

	if (reason != REASON_NONE)
		return reason;
	switch (j->operation) {
	case JSON_DEFINE:
		break;
	case JSON_INC:
		registry_retained_add(a->registry, series, j->value);
		break;
	case JSON_OBSERVE:
		for (size_t i = 0; i < j->n_observed; i++)
			registry_retained_observe(a->registry, series, j->observed[i]);
		break;
	case JSON_SET:
	case JSON_ADD:
		if (!registry_retained_set(a->registry, series, j->value,
			j->operation == JSON_ADD, now_ms * 1000000))
			return refuse(r, REASON_MEMORY, "out of memory");
		break;
	}
	return REASON_NONE;
}

static void
add_json_error(
    struct strbuf *errors, size_t index, struct wire_text name, const struct refusal *r)
{
	strbuf_addf(
	    errors, "%s{\"index\":%zu,\"metric\":", errors->bytes ? "," : "", index);
	strbuf_add_json(errors, name);
	strbuf_addf(
	    errors, ",\"reason\":\"%s\",\"text\":", message_reason_word(r->reason));
	strbuf_add_json(errors, wire_text(r->text));
	strbuf_addc(errors, '}');
}

static void
apply_json_metrics(
    const struct request *q, struct json_batch *batch, struct strbuf *errors)
{
	for (size_t i = 0; i < json_batch_count(batch); i++) {
		struct json_metric j;
		struct refusal r = { 0 };

		if (json_batch_metric(batch, i, &j, &r) == REASON_NONE &&
		    apply_json_metric(q->a, &j, q->now_ms, &r) == REASON_NONE)
			continue;
		count_refusal(q->a, q->peer, &r, q->now_ms);
		add_json_error(errors, i, j.metric.name, &r);
	}
}

static void
apply_json(const struct request *q, const void *payload, size_t bytes)
{
	struct json_batch *batch = NULL;
	struct strbuf errors = STRBUF_EMPTY;
	struct refusal r = { 0 };

	if (bytes > q->a->options.json_bytes)
		refuse(&r, REASON_LENGTH,
		    "the JSON message has %zu bytes; the limit is %u (ingest.json_bytes)",
		    bytes, q->a->options.json_bytes);
	else
		json_batch_new(&batch, payload, bytes, &r);
	if (batch) {
		apply_json_metrics(q, batch, &errors);
	} else {
		count_refusal(q->a, q->peer, &r, q->now_ms);
		strbuf_addf(&errors,
		    "{\"reason\":\"%s\",\"text\":", message_reason_word(r.reason));
		strbuf_add_json(&errors, wire_text(r.text));
		strbuf_addc(&errors, '}');
	}
	if (errors.bytes)
		strbuf_addf(q->reply, "{\"ok\":false,\"errors\":[%s]}", errors.at);
	else
		strbuf_adds(q->reply, "{\"ok\":true}");
	strbuf_free(&errors);
	json_batch_free(batch);
}

/* ---- Dispatch ------------------------------------------------------------------- */

static void
dispatch(const struct request *q)
{
	struct refusal r = { 0 };

	switch (q->m->type) {
	case MESSAGE_HELLO:
		apply_hello(q);
		return;
	case MESSAGE_DEFINE:
		apply_session(q, apply_define);
		return;
	case MESSAGE_UPDATE:
		apply_session(q, apply_update);
		return;
	case MESSAGE_REMOVE:
		apply_session(q, apply_remove);
		return;
	case MESSAGE_PING:
		apply_session(q, apply_ping);
		return;
	case MESSAGE_BYE:
		apply_bye(q);
		return;
	case MESSAGE_EXPOSE:
		apply_expose(q);
		return;
	case MESSAGE_STATUS:
		apply_status_request(q);
		return;
	case MESSAGE_NEW:
	case MESSAGE_LIVE:
	case MESSAGE_FOLDED:
	case MESSAGE_EXPIRED:
	case MESSAGE_STALE:
	case MESSAGE_UNBOUND:
	case MESSAGE_ACK:
	case MESSAGE_REFUSED:
	case MESSAGE_OK:
	case MESSAGE_TEXT:
	case MESSAGE_ERROR:
		refuse(&r, REASON_MESSAGE, "a reply was sent as a request");
		reply_error(q, &r);
		return;
	}
}

static bool
is_json(const char *payload, size_t bytes)
{
	size_t i = 0;

	while (i < bytes && strchr(" \t\r\n", payload[i]) && payload[i])
		i++;
	return i < bytes && payload[i] == '{';
}

void
apply_request(struct apply *a, struct apply_peer *peer, const void *payload, size_t bytes,
    uint64_t now_ms, struct strbuf *reply)
{
	struct message m;
	struct request q = { a, peer, &m, now_ms, reply };
	struct refusal r = { 0 };
	bool json = is_json(payload, bytes);

	self_add(a->self, SELF_RECEIVED_BYTES, 0, 0, (double)bytes);
	self_add(a->self, SELF_MESSAGES, json ? SELF_JSON : SELF_BINARY, 0, 1);
	if (json)
		apply_json(&q, payload, bytes);
	else if (message_decode(&m, payload, bytes, &r) == REASON_NONE)
		dispatch(&q);
	else
		reply_error(&q, &r);
}

/* ---- The rest of the interface ---------------------------------------------------- */

struct apply *
apply_new(const struct apply_options *options, struct registry *registry,
    struct self_metrics *self, struct log *log)
{
	struct apply *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->options = *options;
	a->registry = registry;
	a->self = self;
	a->log = log;
	sessions_init(&a->sessions, registry, self, log);
	a->sessions.lease_ms = options->lease_ms;
	a->sessions.grace_ms = options->grace_ms;
	if (options->folded_memory)
		a->sessions.folded_most = options->folded_memory;
	return a;
}

void
apply_free(struct apply *a)
{
	if (a == NULL)
		return;
	sessions_free(&a->sessions);
	free(a);
}

void
apply_disconnect(
    struct apply *a, struct apply_peer *peer, bool process_gone, uint64_t now_ms)
{
	sessions_unbind(&a->sessions, &peer->bindings, process_gone, now_ms);
}

void
apply_tick(struct apply *a, uint64_t now_ms)
{
	sessions_tick(&a->sessions, now_ms);
}

uint64_t
apply_due_ms(const struct apply *a, uint64_t now_ms)
{
	if (a->sessions.due_ms == UINT64_MAX)
		return UINT64_MAX;
	return a->sessions.due_ms > now_ms ? a->sessions.due_ms - now_ms : 0;
}

void
apply_refresh(struct apply *a)
{
	static const enum message_kind kinds[] = { MESSAGE_COUNTER, MESSAGE_GAUGE,
		MESSAGE_HISTOGRAM };
	uint64_t replaced = registry_replaced(a->registry);
	double dropped = registry_client_dropped(a->registry);

	for (size_t i = 0; i < 3; i++)
		self_set(
		    a->self, SELF_SERIES, i, 0, registry_count(a->registry, kinds[i]));
	self_set(a->self, SELF_WORKERS, 0, 0, a->sessions.n_live);
	self_add(
	    a->self, SELF_FAMILIES_REPLACED, 0, 0, (double)(replaced - a->replaced_seen));
	self_add(a->self, SELF_CLIENT_DROPPED_UPDATES, 0, 0, dropped - a->dropped_seen);
	a->replaced_seen = replaced;
	a->dropped_seen = dropped;
}

bool
apply_endpoint_live(const struct apply *a, const char *endpoint)
{
	for (const struct session *s = a->sessions.first; s; s = s->next)
		if (!s->column->hidden &&
		    registry_column_has_endpoint(a->registry, s->column, endpoint))
			return true;
	return false;
}

bool
apply_had_worker(const struct apply *a)
{
	return a->sessions.had_worker;
}

static void
status_worker(
    const struct apply *a, const struct session *s, uint64_t now_ms, struct strbuf *out)
{
	const struct record *record = sessions_record(&a->sessions, s->record);

	strbuf_adds(out, "{\"name\":");
	strbuf_add_json(out, wire_text(s->name));
	strbuf_addf(out, ",\"pid\":%d,\"uid\":%u,\"connected\":%s", (int)s->pid,
	    (unsigned)record->uid, s->bound ? "true" : "false");
	strbuf_addf(out, ",\"age_ms\":%llu,\"idle_ms\":%llu",
	    (unsigned long long)(now_ms - s->born_ms),
	    (unsigned long long)(now_ms - s->touched_ms));
	strbuf_addf(out, ",\"series\":%u,\"last\":%llu,\"refused\":%llu,\"library\":",
	    s->column->n_series, (unsigned long long)record->last,
	    (unsigned long long)s->refused);
	strbuf_add_json(out, wire_text(s->library));
	strbuf_addc(out, '}');
}

void
apply_status(struct apply *a, uint64_t now_ms, struct strbuf *out)
{
	strbuf_adds(out, "{\"version\":");
	strbuf_add_json(out, wire_text(a->options.version));
	strbuf_addf(out, ",\"epoch\":\"%016llx\",\"uptime_ms\":%llu,\"lease_ms\":%u",
	    (unsigned long long)a->options.epoch,
	    (unsigned long long)(now_ms - a->options.started_ms), a->options.lease_ms);
	strbuf_addf(out,
	    ",\"families\":%u,\"series\":{\"counter\":%u,\"gauge\":%u,\"histogram\":%u}",
	    registry_families(a->registry), registry_count(a->registry, MESSAGE_COUNTER),
	    registry_count(a->registry, MESSAGE_GAUGE),
	    registry_count(a->registry, MESSAGE_HISTOGRAM));
	strbuf_addf(out, ",\"folded\":%u,\"workers\":[", a->sessions.n_folded);
	for (const struct session *s = a->sessions.first; s; s = s->next) {
		status_worker(a, s, now_ms, out);
		if (s->next)
			strbuf_addc(out, ',');
	}
	strbuf_adds(out, "]}");
}
