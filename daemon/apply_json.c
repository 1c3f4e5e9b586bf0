/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in JSON: they have no session, and go into what is retained. Their counts are
 * differences, so a message that is delivered again must not be applied again.
 */
#include <math.h>
#include <stdio.h>

#include "apply_parts.h"

#define EXPIRE_SLICE 256	 /* repeats that are forgotten for each new one */
#define ERRORS_BYTES (64 * 1024) /* of an answer; after that refusals are counted */

/* A message in JSON on its way. */
struct delivery {
	const struct request *q;
	struct json_batch *batch;
	struct repeats_key key;
	uint64_t until_ms; /* how long it is known */
	uint32_t number;   /* among the repeats; 0: it is not known again */
	size_t applied;	   /* metrics */
	struct strbuf errors;
	size_t unsaid; /* refused metrics that are not in it */
};

/* ---- A metric --------------------------------------------------------- */

static unsigned
given_of(const struct json_metric *j)
{
	return (j->has_type ? REGISTRY_GIVEN_KIND : 0) |
	       (j->has_merge ? REGISTRY_GIVEN_MERGE : 0) |
	       (j->has_buckets ? REGISTRY_GIVEN_BOUNDS : 0);
}

/* Workers stamp what they set with CLOCK_MONOTONIC. */
static uint64_t
stamp_ns(const struct request *q)
{
	return (q->now_ms - (uint64_t)q->a->effects.offset_ms) * 1000000;
}

static void
set_gauge(const struct request *q, uint32_t series, const struct json_metric *j)
{
	uint64_t end_ms = REGISTRY_NO_END;

	if (j->ttl_s > 0)
		end_ms = q->now_ms + (uint64_t)ceil(j->ttl_s * 1000);
	registry_retained_set(q->a->registry, series, j->value, stamp_ns(q), end_ms);
}

static enum reason
change(const struct request *q, uint32_t series, const struct json_metric *j,
    struct refusal *r)
{
	struct registry *registry = q->a->registry;

	switch (j->operation) {
	case JSON_DEFINE:
	case JSON_REMOVE:
		break;
	case JSON_INC:
		return registry_retained_add(registry, series, j->value, r);
	case JSON_OBSERVE:
		return registry_retained_observe(
		    registry, series, j->n_observed, j->observed, r);
	case JSON_SET:
		set_gauge(q, series, j);
		break;
	case JSON_ADD:
		registry_retained_adjust(registry, series, j->value, stamp_ns(q));
		break;
	}
	return REASON_NONE;
}

enum reason
apply_json_metric(const struct request *q, const struct json_metric *j, struct refusal *r)
{
	struct registry *registry = q->a->registry;
	bool gauge = j->operation == JSON_SET || j->operation == JSON_ADD;
	enum reason reason;
	uint32_t series;
	bool is_new;

	if (j->operation == JSON_REMOVE)
		return registry_retained_remove(registry, &j->metric, given_of(j), r);
	if (gauge && !registry_retained_reserve(registry))
		return refuse(r, REASON_MEMORY, "out of memory");
	reason = registry_retain(registry, q->peer->uid, &j->metric, &series, &is_new, r);
	if (reason == REASON_NONE && is_new)
		apply_log_metric(q, &j->metric, NULL, q->peer->pid);
	return reason == REASON_NONE ? change(q, series, j, r) : reason;
}

static void
add_error(
    struct delivery *d, size_t index, struct wire_text name, const struct refusal *r)
{
	struct strbuf *out = &d->errors;

	if (out->bytes > ERRORS_BYTES) {
		d->unsaid++;
		return;
	}
	strbuf_addf(out, "%s{\"index\":%zu,\"metric\":", out->bytes ? "," : "", index);
	strbuf_add_json(out, name);
	strbuf_addf(out, ",\"reason\":\"%s\",\"text\":", message_reason_word(r->reason));
	strbuf_add_json(out, wire_text(r->text));
	strbuf_addc(out, '}');
}

/* The answer has the metric's name beside the sentence; the log has to be told. */
static void
count_refused(const struct request *q, struct wire_text name, const struct refusal *r)
{
	struct refusal named = { .reason = r->reason };
	char shown[64];

	names_show(name, shown);
	if (name.bytes == 0 || strstr(r->text, shown))
		named = *r;
	else
		snprintf(named.text, sizeof(named.text), "'%s': %.170s", shown, r->text);
	apply_count_refusal(q->a, q->peer, &named, q->now_ms);
}

static void
apply_metrics(struct delivery *d)
{
	const struct request *q = d->q;
	struct effects *effects = &q->a->effects;

	effect_json_begin(effects, q->peer->uid, q->payload, q->bytes);
	for (size_t i = 0; i < json_batch_count(d->batch); i++) {
		struct json_metric j;
		struct refusal r = { 0 };

		if (json_batch_metric(d->batch, i, &j, &r) == REASON_NONE &&
		    apply_json_metric(q, &j, &r) == REASON_NONE) {
			d->applied++;
			continue;
		}
		effect_refused(effects, (uint32_t)i);
		count_refused(q, j.metric.name, &r);
		add_error(d, i, j.metric.name, &r);
	}
	if (d->applied == 0)
		effect_json_cancel(effects);
}

/* ---- A message that may have come before ------------------------------ */

/* `time` must be of the window in which repeats are known. */
static enum reason
check_time(struct delivery *d, struct refusal *r)
{
	const struct apply_options *o = &d->q->a->options;
	double seconds, ahead_ms, window_ms = o->dedupe_ms;

	d->until_ms = d->q->now_ms + o->dedupe_ms;
	if (o->dedupe_ms == 0 || o->unix_ms == NULL ||
	    !json_batch_time(d->batch, &seconds))
		return REASON_NONE;
	ahead_ms = seconds * 1000 - (double)o->unix_ms(o->refresh_arg);
	if (fabs(ahead_ms) > window_ms)
		return refuse(r, REASON_VALUE,
		    "'time' is %.9g s %s the daemon's clock; it may be %.9g s "
		    "(ingest.dedupe_ms)",
		    fabs(ahead_ms) / 1000, ahead_ms > 0 ? "ahead of" : "behind",
		    window_ms / 1000);
	if (ahead_ms > 0)
		d->until_ms += (uint64_t)ceil(ahead_ms);
	return REASON_NONE;
}

/* False if nothing tells a repeat of this message from another one like it. */
static bool
key_of(const struct delivery *d, struct repeats_key *ret)
{
	const struct apply *a = d->q->a;
	const struct apply_peer *peer = d->q->peer;
	struct wire_text id = json_batch_id(d->batch);
	struct repeats_request from = { .request = peer->request };

	if (a->options.dedupe_ms == 0)
		return false;
	if (id.bytes) {
		*ret = repeats_key_of_id(
		    a->repeats, peer->uid, id, d->q->payload, d->q->bytes);
		return true;
	}
	/* A process that is not visible from here is known by its connection. */
	from.process = peer->pid ? (uint64_t)peer->pid : peer->connection;
	from.start = peer->pid ? peer->process_start : UINT64_MAX;
	if (peer->has_request)
		*ret =
		    repeats_key_of_request(a->repeats, &from, d->q->payload, d->q->bytes);
	return peer->has_request;
}

static enum reason
take_key(struct delivery *d, struct refusal *r)
{
	const struct apply *a = d->q->a;
	uint32_t uid = d->q->peer->uid, most = a->options.dedupe_keys;
	uint32_t share = registry_share(registry_limits(a->registry), most);

	if (repeats_count(a->repeats) >= most)
		return refuse(r, REASON_LIMIT,
		    "%u messages are remembered already, so that none is counted twice "
		    "(ingest.dedupe_keys): send it again later",
		    most);
	if (repeats_count_of(a->repeats, uid) >= share)
		return refuse(r, REASON_LIMIT,
		    "the user %u has its share of %u messages that are remembered "
		    "(limits.uid_percent): send it again later",
		    uid, share);
	if (!repeats_take(a->repeats, uid, &d->key, &d->number))
		return refuse(r, REASON_MEMORY, "out of memory");
	return REASON_NONE;
}

/* The answer of the first time. */
static void
answer_again(struct delivery *d, uint32_t number)
{
	const struct apply *a = d->q->a;
	struct strbuf *reply = d->q->reply;
	bool refused;
	struct wire_text text = repeats_answer(a->repeats, number, &refused);

	self_add(a->self, SELF_RESENT, 0, 0, 1);
	if (!refused)
		strbuf_adds(reply, "{\"ok\":true}");
	else if (text.bytes)
		strbuf_add(reply, text.at, text.bytes);
	else
		strbuf_adds(reply,
		    "{\"ok\":false,\"errors\":[{\"reason\":\"limit\",\"text\":\"the "
		    "message came before; some of its metrics were refused then, and "
		    "the list of them was too long to be kept\"}]}");
}

/* True if it is known and was answered; else it is to be applied, unless it is refused.
 */
static bool
came_before(struct delivery *d, struct refusal *r)
{
	const struct request *q = d->q;
	struct repeats *repeats = q->a->repeats;
	uint32_t number;
	char shown[64];

	if (!key_of(d, &d->key)) {
		check_time(d, r);
		return false;
	}
	repeats_expire(repeats, q->now_ms, EXPIRE_SLICE);
	number = repeats_find(repeats, &d->key);
	if (number == 0) {
		if (check_time(d, r) == REASON_NONE)
			take_key(d, r);
		return false;
	}
	if (!repeats_is_same(repeats, number, &d->key)) {
		refuse(r, REASON_DUPLICATE, "the id '%s' was that of another message",
		    names_show(json_batch_id(d->batch), shown));
		return false;
	}
	answer_again(d, number);
	return true;
}

/* ---- A message -------------------------------------------------------- */

static void
put_answer(struct delivery *d)
{
	struct strbuf *reply = d->q->reply;

	if (d->unsaid)
		strbuf_addf(&d->errors,
		    ",{\"reason\":\"limit\",\"text\":\"%zu more metrics were refused\"}",
		    d->unsaid);
	if (d->errors.failed)
		strbuf_adds(reply,
		    "{\"ok\":false,\"errors\":[{\"reason\":\"memory\",\"text\":\"some "
		    "metrics were refused; there is no memory to say which\"}]}");
	else if (d->errors.bytes)
		strbuf_addf(reply, "{\"ok\":false,\"errors\":[%s]}", d->errors.at);
	else
		strbuf_adds(reply, "{\"ok\":true}");
}

/* What has changed anything is recorded, and known from now on. */
static void
remember(struct delivery *d, size_t answer_at)
{
	struct repeats *repeats = d->q->a->repeats;
	struct effects *effects = &d->q->a->effects;
	const struct strbuf *reply = d->q->reply;
	struct effect_answer answer = {
		.key = d->key, .until_ms = d->until_ms, .text = { "", 0 }
	};

	answer.refused = d->errors.bytes || d->errors.failed;
	if (answer.refused && !reply->failed)
		answer.text =
		    (struct wire_text){ reply->at + answer_at, reply->bytes - answer_at };
	if (answer.text.bytes > REPEATS_TEXT_BYTES)
		answer.text.bytes = 0;
	if (d->number && d->applied)
		repeats_keep(repeats, d->number, d->until_ms,
		    answer.refused ? &answer.text : NULL);
	else if (d->number)
		repeats_drop(repeats, d->number);
	if (d->applied)
		effect_json_end(effects, d->number ? &answer : NULL);
}

static void
refuse_message(struct delivery *d, const struct refusal *r)
{
	apply_count_refusal(d->q->a, d->q->peer, r, d->q->now_ms);
	strbuf_addf(
	    &d->errors, "{\"reason\":\"%s\",\"text\":", message_reason_word(r->reason));
	strbuf_add_json(&d->errors, wire_text(r->text));
	strbuf_addc(&d->errors, '}');
}

static enum reason
open_message(struct delivery *d, struct refusal *r)
{
	const struct apply_options *o = &d->q->a->options;

	if (d->q->bytes > o->json_bytes)
		return refuse(r, REASON_LENGTH,
		    "the JSON message has %zu bytes; the limit is %u (ingest.json_bytes)",
		    d->q->bytes, o->json_bytes);
	return json_batch_new(&d->batch, d->q->payload, d->q->bytes, r);
}

void
apply_json(const struct request *q)
{
	struct delivery d = { .q = q, .errors = STRBUF_EMPTY };
	struct refusal r = { 0 };
	size_t answer_at = q->reply->bytes;

	if (open_message(&d, &r) == REASON_NONE && came_before(&d, &r))
		goto out;
	if (r.reason == REASON_NONE)
		apply_metrics(&d);
	else
		refuse_message(&d, &r);
	put_answer(&d);
	remember(&d, answer_at);
out:
	strbuf_free(&d.errors);
	json_batch_free(d.batch);
}
