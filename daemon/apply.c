/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"

#include <stdlib.h>

#include "apply_parts.h"

/* ---- Replies ------------------------------------------------------------ */

struct wire_writer
apply_reply_begin(struct strbuf *reply, size_t room)
{
	struct wire_writer w;
	bool whole = strbuf_reserve(reply, room);

	wire_writer_init(&w, whole ? reply->at + reply->bytes : NULL, whole ? room : 0);
	return w;
}

void
apply_reply_end(struct strbuf *reply, const struct wire_writer *w)
{
	if (!w->failed)
		reply->bytes += w->bytes;
}

void
apply_count_refusal(struct apply *a, const struct apply_peer *peer,
    const struct refusal *r, uint64_t now_ms)
{
	self_refused(a->self, r->reason);
	log_limited(a->log, LOG_LEVEL_WARNING, r->reason, now_ms,
	    "apply: refused (%s) from pid %d, uid %u: %s", message_reason_word(r->reason),
	    (int)peer->pid, (unsigned)peer->uid, r->text);
}

void
apply_reply_error(const struct request *q, const struct refusal *r)
{
	struct wire_writer w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);

	apply_count_refusal(q->a, q->peer, r, q->now_ms);
	message_put_error(&w, r);
	apply_reply_end(q->reply, &w);
}

/* ---- Dispatch ------------------------------------------------------------------- */

static void
dispatch(const struct request *q)
{
	struct refusal r = { 0 };

	switch (q->m->type) {
	case MESSAGE_HELLO:
	case MESSAGE_DEFINE:
	case MESSAGE_UPDATE:
	case MESSAGE_REMOVE:
	case MESSAGE_PING:
	case MESSAGE_BYE:
		apply_session_request(q);
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
		apply_reply_error(q, &r);
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
		apply_reply_error(&q, &r);
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
