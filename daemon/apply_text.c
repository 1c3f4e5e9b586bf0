/* SPDX-License-Identifier: Apache-2.0 */
/* EXPOSE and STATUS: what is answered as a text, and the figures in it. */
#include "apply_parts.h"
#include "exposition.h"

#define EXPOSE_SLICE (256 * 1024)

void
apply_refresh(struct apply *a)
{
	static const enum message_kind kinds[] = { MESSAGE_COUNTER, MESSAGE_GAUGE,
		MESSAGE_HISTOGRAM };
	uint64_t replaced = registry_replaced(a->registry);
	double dropped = registry_client_dropped(a->registry);

	if (a->options.refresh)
		a->options.refresh(a->options.refresh_arg);
	for (size_t i = 0; i < 3; i++)
		self_set(
		    a->self, SELF_SERIES, i, 0, registry_count(a->registry, kinds[i]));
	self_set(a->self, SELF_WORKERS, 0, 0, a->sessions.n_live);
	self_set(a->self, SELF_SESSIONS_REMEMBERED, 0, 0, a->sessions.n_folded);
	self_add(
	    a->self, SELF_FAMILIES_REPLACED, 0, 0, (double)(replaced - a->replaced_seen));
	self_add(a->self, SELF_CLIENT_DROPPED_UPDATES, 0, 0, dropped - a->dropped_seen);
	for (size_t i = 0; i < REGISTRY_CAUSES; i++) {
		uint64_t removed = registry_removed(a->registry, (enum registry_cause)i);

		self_add(a->self, SELF_SERIES_REMOVED, i, 0,
		    (double)(removed - a->removed_seen[i]));
		a->removed_seen[i] = removed;
	}
	a->replaced_seen = replaced;
	a->dropped_seen = dropped;
}

void
apply_reply_text(const struct request *q, const struct strbuf *text)
{
	struct wire_writer w;
	struct refusal r = { 0 };

	if (text->failed)
		refuse(&r, REASON_MEMORY, "out of memory");
	else if (text->bytes + APPLY_REPLY_ROOM > q->a->options.message_bytes)
		refuse(&r, REASON_LIMIT,
		    "the text is longer than a message (%u bytes, ingest.message_bytes): "
		    "use HTTP",
		    q->a->options.message_bytes);
	if (r.reason != REASON_NONE) {
		apply_reply_error(q, &r);
		return;
	}
	w = apply_reply_begin(q->reply, text->bytes + APPLY_REPLY_ROOM);
	message_put_text(&w, (struct wire_text){ text->at, text->bytes });
	apply_reply_end(q->reply, &w);
}

void
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
	apply_reply_text(q, &text);
	strbuf_free(&text);
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
	if (s->updated_ms)
		strbuf_addf(out, ",\"updated_ms\":%llu",
		    (unsigned long long)(now_ms - s->updated_ms));
	strbuf_addf(out, ",\"series\":%u,\"last\":%llu,\"refused\":%llu,\"library\":",
	    s->column->n_series, (unsigned long long)record->last,
	    (unsigned long long)s->refused);
	strbuf_add_json(out, wire_text(s->library));
	strbuf_addc(out, '}');
}

/* What a self-metric has come to in all its series. */
static double
self_sum(const struct apply *a, enum self_metric m)
{
	double sum = 0;

	for (size_t i = 0; i < self_series(m); i++) {
		const double *cell = self_cells(a->self, m, i);

		sum += cell ? *cell : 0;
	}
	return sum;
}

static void
status_totals(const struct apply *a, struct strbuf *out)
{
	static const struct {
		const char *name;
		enum self_metric metric;
	} totals[] = {
		{ "connections", SELF_CONNECTIONS },
		{ "messages", SELF_MESSAGES },
		{ "received_bytes", SELF_RECEIVED_BYTES },
	};

	strbuf_adds(out, ",\"totals\":{");
	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++)
		strbuf_addf(out, "%s\"%s\":%.0f", i ? "," : "", totals[i].name,
		    self_sum(a, totals[i].metric));
	strbuf_addc(out, '}');
}

/* What became of sessions, and of what could not be taken. */
static void
status_fates(const struct apply *a, struct strbuf *out)
{
	strbuf_addf(out,
	    ",\"folded_total\":%.0f,\"remembered\":%u,\"resent_total\":%.0f,"
	    "\"refused_total\":%.0f,\"client_dropped_total\":%.0f",
	    self_sum(a, SELF_SESSIONS_FOLDED), a->sessions.n_folded,
	    self_sum(a, SELF_RESENT), self_sum(a, SELF_REFUSED),
	    registry_client_dropped(a->registry));
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
	status_fates(a, out);
	status_totals(a, out);
	if (a->options.state_status) {
		strbuf_adds(out, ",\"state\":");
		a->options.state_status(a->options.refresh_arg, out);
	}
	strbuf_adds(out, ",\"workers\":[");
	/* Over the limit it is refused: no more is made than shows that. */
	for (const struct session *s = a->sessions.first;
	     s && out->bytes <= a->options.message_bytes; s = s->next) {
		status_worker(a, s, now_ms, out);
		if (s->next)
			strbuf_addc(out, ',');
	}
	strbuf_adds(out, "]}");
}

void
apply_status_request(const struct request *q)
{
	struct strbuf text = STRBUF_EMPTY;

	apply_status(q->a, q->now_ms, &text);
	apply_reply_text(q, &text);
	strbuf_free(&text);
}
