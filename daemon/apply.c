/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"

#include <stdlib.h>

#include "apply_parts.h"

#define EXPIRE_SLICE 4096 /* repeats that are forgotten in one turn */
#define LATE_MS	     1000 /* a tick may be, and nothing is thought of it */

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

static void
set_time(struct apply *a, uint64_t now_ms)
{
	registry_set_time(a->registry, now_ms);
	a->effects.now_ms = now_ms;
}

void
apply_request(struct apply *a, struct apply_peer *peer, const void *payload, size_t bytes,
    uint64_t now_ms, struct strbuf *reply)
{
	struct message m = { 0 };
	struct request q = { a, peer, &m, payload, bytes, now_ms, reply };
	struct refusal r = { 0 };
	bool json = is_json(payload, bytes);

	set_time(a, now_ms);
	self_add(a->self, SELF_RECEIVED_BYTES, 0, 0, (double)bytes);
	self_add(a->self, SELF_MESSAGES, json ? SELF_JSON : SELF_BINARY, 0, 1);
	if (!json && message_decode(&m, payload, bytes, &r) != REASON_NONE)
		m.type = 0;
	if (tail_wants(&a->tail))
		apply_tail_begin(&q);
	if (json)
		apply_json(&q);
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
	a->promised_ms = UINT64_MAX;
	a->effects = (struct effects){ .journal = options->journal,
		.unix_ms = options->unix_ms,
		.arg = options->refresh_arg };
	sessions_init(&a->sessions, registry, self, log, &a->effects);
	registry_set_effects(registry, &a->effects);
	apply_set_options(a, options);
	a->repeats = repeats_new(options->dedupe_secret);
	if (a->repeats == NULL) {
		apply_free(a);
		return NULL;
	}
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
	if (options->folded_memory)
		a->sessions.folded_most = options->folded_memory;
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
	set_time(a, now_ms);
	sessions_unbind(&a->sessions, &peer->bindings, process_gone, now_ms);
}

bool
apply_has_worker(const struct apply *a, const struct apply_peer *peer)
{
	for (const struct apply_binding *b = peer->bindings; b; b = b->next) {
		const struct record *record = sessions_record(&a->sessions, b->record);

		if (record->serial == b->serial && record->live)
			return true;
	}
	return false;
}

/*
 * A daemon that was stopped, or swapped out, must not take its own silence for that of
 * its workers: what they sent meanwhile is heard first. Once, so that a daemon that is
 * always late folds all the same.
 */
static bool
was_away(struct apply *a, uint64_t now_ms)
{
	bool late = now_ms > a->promised_ms && now_ms - a->promised_ms > LATE_MS;

	a->promised_ms = UINT64_MAX;
	a->postponed = late && !a->postponed && a->sessions.due_ms <= now_ms;
	return a->postponed;
}

void
apply_tick(struct apply *a, uint64_t now_ms)
{
	set_time(a, now_ms);
	if (a->sessions.due_ms > now_ms)
		;
	else if (was_away(a, now_ms))
		sessions_postpone(&a->sessions, now_ms);
	else
		sessions_tick(&a->sessions, now_ms);
	registry_tidy(a->registry, a->options.retain_s);
	repeats_expire(a->repeats, now_ms, EXPIRE_SLICE);
}

uint64_t
apply_due_ms(struct apply *a, uint64_t now_ms)
{
	uint64_t tidy_ms = registry_tidy_ms(a->registry, a->options.retain_s);
	uint64_t due_ms = tidy_ms < a->sessions.due_ms ? tidy_ms : a->sessions.due_ms;

	a->promised_ms = a->sessions.due_ms > now_ms ? a->sessions.due_ms : now_ms;
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

uint32_t
apply_workers(const struct apply *a)
{
	return a->sessions.n_live;
}

uint64_t
apply_series(const struct apply *a)
{
	return (uint64_t)registry_count(a->registry, MESSAGE_COUNTER) +
	       registry_count(a->registry, MESSAGE_GAUGE) +
	       registry_count(a->registry, MESSAGE_HISTOGRAM);
}

/* ---- The state over a restart ----------------------------------------------------- */

void
apply_set_identity(
    struct apply *a, uint64_t store, const uint8_t secret[REPEATS_SECRET_BYTES])
{
	a->options.store = store;
	memcpy(a->options.dedupe_secret, secret, REPEATS_SECRET_BYTES);
	repeats_set_secret(a->repeats, secret);
}

void
apply_set_clock(struct apply *a, int64_t offset_ms)
{
	/* A replay has set the clock of its effects, and not that of the start. */
	a->options.started_ms += (uint64_t)(offset_ms - a->started_offset_ms);
	a->started_offset_ms = offset_ms;
	a->effects.offset_ms = offset_ms;
}

void
apply_last_time(const struct apply *a, uint64_t *ret_clock_ms, uint64_t *ret_unix_ms)
{
	*ret_clock_ms = a->effects.last_ms;
	*ret_unix_ms = a->effects.last_unix_ms;
}

/* No later snapshot may have its numbers as if they were of this start. */
static void
forget_process(struct session *session)
{
	session->pid = 0;
	session->start = 0;
}

void
apply_recovered(struct apply *a, bool other_boot,
    enum apply_life (*life)(void *arg, pid_t pid, uint64_t start), void *arg,
    uint64_t now_ms)
{
	struct sessions *s = &a->sessions;

	set_time(a, now_ms);
	if (other_boot) {
		registry_retained_forget_times(a->registry);
		effect_boot(&a->effects);
	}
	for (struct session *session = s->first, *next; session; session = next) {
		enum apply_life is = APPLY_LIFE_UNKNOWN;

		next = session->next;
		if (other_boot)
			is = APPLY_LIFE_GONE;
		else if (life)
			is = life(arg, session->pid, session->start);
		else
			forget_process(session);
		if (is == APPLY_LIFE_GONE)
			sessions_fold(s, session->record, false,
			    "its process ended while the daemon was away", now_ms);
		else
			session->column->hidden =
			    is != APPLY_LIFE_SAME || session->name[0] == '\0';
	}
	sessions_begin_again(s, now_ms);
}
