/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"

#include <stdlib.h>

#include "apply_parts.h"

#define EXPIRE_SLICE 4096 /* repeats that are forgotten in one turn */

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
	case MESSAGE_STATUS:
		/* A page for nobody is work that anybody could ask for without end. */
		if (q->peer->unheard)
			return;
		if (q->m->type == MESSAGE_EXPOSE)
			apply_expose(q);
		else
			apply_status_request(q);
		return;
	case MESSAGE_ADMIN:
		apply_admin(q);
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
	struct message m = { 0 };
	struct request q = { a, peer, &m, now_ms, reply };
	struct refusal r = { 0 };
	bool json = is_json(payload, bytes);

	registry_set_time(a->registry, now_ms);
	self_add(a->self, SELF_RECEIVED_BYTES, 0, 0, (double)bytes);
	self_add(a->self, SELF_MESSAGES, json ? SELF_JSON : SELF_BINARY, 0, 1);
	if (!json && message_decode(&m, payload, bytes, &r) != REASON_NONE)
		m.type = 0;
	if (tail_wants(&a->tail))
		apply_tail_begin(&q);
	if (json)
		apply_json(&q, payload, bytes);
	else if (m.type != 0)
		dispatch(&q);
	else
		apply_reply_error(&q, &r);
	if (tail_wants(&a->tail))
		apply_tail_end(&q, json, payload, bytes);
	else
		a->tail.n++;
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
	apply_set_options(a, options);
	a->repeats = repeats_new(options->dedupe_secret);
	if (a->repeats == NULL) {
		apply_free(a);
		return NULL;
	}
	if (options->folded_memory)
		a->sessions.folded_most = options->folded_memory;
	return a;
}

void
apply_set_options(struct apply *a, const struct apply_options *options)
{
	a->options.lease_ms = options->lease_ms;
	a->options.grace_ms = options->grace_ms;
	a->options.json_bytes = options->json_bytes;
	a->options.dedupe_ms = options->dedupe_ms;
	a->options.dedupe_keys = options->dedupe_keys;
	a->options.retain_s = options->retain_s;
	a->options.workers = options->workers;
	sessions_set_times(&a->sessions, options->lease_ms, options->grace_ms);
}

void
apply_free(struct apply *a)
{
	if (a == NULL)
		return;
	sessions_free(&a->sessions);
	repeats_free(a->repeats);
	tail_free(&a->tail);
	free(a);
}

void
apply_disconnect(
    struct apply *a, struct apply_peer *peer, bool process_gone, uint64_t now_ms)
{
	registry_set_time(a->registry, now_ms);
	sessions_unbind(&a->sessions, &peer->bindings, process_gone, now_ms);
}

void
apply_tick(struct apply *a, uint64_t now_ms)
{
	registry_set_time(a->registry, now_ms);
	sessions_tick(&a->sessions, now_ms);
	registry_tidy(a->registry, a->options.retain_s);
	repeats_expire(a->repeats, now_ms, EXPIRE_SLICE);
}

uint64_t
apply_due_ms(const struct apply *a, uint64_t now_ms)
{
	uint64_t tidy_ms = registry_tidy_ms(a->registry, a->options.retain_s);
	uint64_t due_ms = tidy_ms < a->sessions.due_ms ? tidy_ms : a->sessions.due_ms;

	if (due_ms == UINT64_MAX)
		return UINT64_MAX;
	return due_ms > now_ms ? due_ms - now_ms : 0;
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
