/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in JSON: they have no session, and go into what is retained. */
#include "apply_parts.h"
#include "json.h"

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
		apply_count_refusal(q->a, q->peer, &r, q->now_ms);
		add_json_error(errors, i, j.metric.name, &r);
	}
}

void
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
		apply_count_refusal(q->a, q->peer, &r, q->now_ms);
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
