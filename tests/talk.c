/* SPDX-License-Identifier: Apache-2.0 */
#include "talk.h"

#include <stdio.h>
#include <stdlib.h>

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static void
note_line(void *arg, const char *line)
{
	struct talk *t = arg;

	strbuf_adds(&t->logged, line);
	strbuf_addc(&t->logged, '\n');
}

static uint64_t
unix_ms(void *arg)
{
	const struct talk *t = arg;

	return TALK_UNIX_MS + t->now_ms;
}

struct talk *
talk_new(const struct registry_limits *limits, const struct apply_options *options)
{
	struct apply_options o = { .store = TALK_STORE,
		.epoch = 7,
		.lease_ms = 15000,
		.grace_ms = 2000,
		.message_bytes = 1 << 20,
		.json_bytes = 65536,
		.dedupe_ms = 600000,
		.dedupe_keys = 1000000,
		.version = "0.1.0" };
	struct talk *t = must(calloc(1, sizeof(*t)));

	t->now_ms = 1000000;
	o.unix_ms = unix_ms;
	o.refresh_arg = t;
	strbuf_adds(&t->logged, "");
	t->log = must(log_new(LOG_LEVEL_DEBUG, note_line, t));
	t->registry =
	    must(registry_new(limits ? limits : &REGISTRY_DEFAULT_LIMITS, t->log));
	t->self = must(self_metrics_new());
	t->apply = must(apply_new(options ? options : &o, t->registry, t->self, t->log));
	return t;
}

void
talk_free(struct talk *t)
{
	struct talk_worker *w;

	while ((w = t->workers) != NULL) {
		t->workers = w->next;
		talk_disconnect(w, false);
		free(w);
	}
	apply_free(t->apply);
	self_metrics_free(t->self);
	registry_free(t->registry);
	log_free(t->log);
	strbuf_free(&t->logged);
	strbuf_free(&t->reply);
	strbuf_free(&t->page);
	free(t);
}

struct talk_worker *
talk_worker(struct talk *t, pid_t pid)
{
	struct talk_worker *w = must(calloc(1, sizeof(*w)));

	w->talk = t;
	w->next = t->workers;
	t->workers = w;
	w->peer.connection = ++t->next_connection;
	w->peer.pid = pid;
	w->peer.uid = 1000;
	w->peer.direct = true;
	memcpy(w->sid, &w->peer.connection, sizeof(w->peer.connection));
	return w;
}

enum message_type
talk_send(struct talk_worker *w, const void *bytes, size_t n)
{
	struct talk *t = w->talk;
	struct refusal r = { 0 };

	strbuf_reset(&t->reply);
	apply_request(t->apply, &w->peer, bytes, n, t->now_ms, &t->reply);
	if (message_decode(&t->m, t->reply.at, t->reply.bytes, &r) != REASON_NONE)
		abort();
	return t->m.type;
}

enum message_type
talk_again(struct talk_worker *w)
{
	return talk_send(w, w->sent, w->sent_bytes);
}

static enum message_type
send_writer(struct talk_worker *w, const struct wire_writer *out)
{
	if (out->failed)
		abort();
	w->sent_bytes = out->bytes;
	return talk_send(w, w->sent, w->sent_bytes);
}

static struct wire_writer
writer(struct talk_worker *w)
{
	struct wire_writer out;

	wire_writer_init(&out, w->sent, sizeof(w->sent));
	return out;
}

enum message_type
talk_hello(struct talk_worker *w, const char *wish)
{
	struct wire_writer out = writer(w);
	struct message m = { .type = MESSAGE_HELLO,
		.has_ticket = w->has_ticket,
		.ticket = w->ticket,
		.worker = wire_text(wish ? wish : ""),
		.version = wire_text("0.1.0") };
	enum message_type type;

	memcpy(m.sid, w->sid, sizeof(m.sid));
	message_put_hello(&out, &m);
	type = send_writer(w, &out);
	if (type == MESSAGE_NEW) {
		w->has_ticket = true;
		w->ticket = w->talk->m.ticket;
		w->n = 0;
	}
	return type;
}

/* ---- Definitions ---------------------------------------------------------- */

/* The next part of a text up to a separator; false at the end. */
static bool
next_part(const char **at, char separator, struct wire_text *ret)
{
	const char *end;

	if (*at == NULL || **at == '\0')
		return false;
	end = strchr(*at, separator);
	*ret = (struct wire_text){ *at, end ? (size_t)(end - *at) : strlen(*at) };
	*at = end ? end + 1 : NULL;
	return true;
}

struct message_level
talk_level(const char *path)
{
	struct message_level level = { 0 };

	while (level.depth < MESSAGE_LEVELS_MAX &&
	       next_part(&path, '/', &level.name[level.depth]))
		level.depth++;
	return level;
}

static void
put_metric(struct wire_writer *out, const struct talk_metric *metric)
{
	static uint8_t bounds[8 * MESSAGE_BOUNDS_MAX];
	struct message_metric m = { .id = metric->id,
		.kind = metric->kind,
		.merge = metric->merge,
		.level = talk_level(metric->level),
		.name = wire_text(metric->name),
		.help = wire_text(metric->help ? metric->help : ""),
		.n_bounds = metric->n_bounds,
		.bounds = bounds };
	const char *constant = metric->constant, *variable = metric->variable;
	struct wire_text pair;

	while (next_part(&constant, ',', &pair)) {
		const char *equals = memchr(pair.at, '=', pair.bytes);
		size_t n = (size_t)(equals - pair.at);

		m.constant_name[m.n_constant] = (struct wire_text){ pair.at, n };
		m.constant_value[m.n_constant++] =
		    (struct wire_text){ equals + 1, pair.bytes - n - 1 };
	}
	while (next_part(&variable, ',', &m.variable_name[m.n_variable]))
		m.n_variable++;
	for (size_t i = 0; i < metric->n_bounds; i++)
		wire_store_u64(bounds + 8 * i, wire_bits(metric->bounds[i]));
	message_put_metric(out, &m);
}

static void
put_child(struct wire_writer *out, uint32_t metric, const char *values, uint32_t cell)
{
	struct message_child child = { .metric = metric, .cell = cell };

	while (next_part(&values, ',', &child.value[child.n_values]))
		child.n_values++;
	message_put_child(out, &child);
}

enum message_type
talk_define(struct talk_worker *w, const struct talk_metric *metric, const char *values,
    uint32_t cell)
{
	struct wire_writer out = writer(w);
	size_t begun = message_begin_define(&out, w->ticket, ++w->n);

	put_metric(&out, metric);
	if (values)
		put_child(&out, metric->id, values, cell);
	message_end(&out, begun, values ? 2 : 1);
	return send_writer(w, &out);
}

enum message_type
talk_child(struct talk_worker *w, uint32_t metric, const char *values, uint32_t cell)
{
	struct wire_writer out = writer(w);
	size_t begun = message_begin_define(&out, w->ticket, ++w->n);

	put_child(&out, metric, values, cell);
	message_end(&out, begun, 1);
	return send_writer(w, &out);
}

enum reason
talk_refused(struct talk *t)
{
	struct wire_reader items = t->m.refused;
	struct message_refused item;

	if (t->m.type != MESSAGE_ACK || t->m.count == 0)
		return REASON_NONE;
	message_next_refused(&items, &item);
	return item.reason;
}

/* ---- Values and the rest ---------------------------------------------------- */

enum message_type
talk_update(struct talk_worker *w, uint32_t cell, size_t count, const double *values)
{
	struct wire_writer out = writer(w);
	size_t begun = message_begin_update(&out, w->ticket, ++w->n);

	for (size_t i = 0; i < count; i++)
		message_put_record(&out, cell + (uint32_t)i, wire_bits(values[i]));
	message_end(&out, begun, (uint32_t)count);
	return send_writer(w, &out);
}

enum message_type
talk_set(struct talk_worker *w, uint32_t cell, double value)
{
	return talk_update(w, cell, 1, &value);
}

enum message_type
talk_remove(struct talk_worker *w, uint32_t cell)
{
	struct wire_writer out = writer(w);
	size_t begun = message_begin_remove(&out, w->ticket, ++w->n);

	message_put_cell(&out, cell);
	message_end(&out, begun, 1);
	return send_writer(w, &out);
}

enum message_type
talk_ping(struct talk_worker *w)
{
	struct wire_writer out = writer(w);

	message_put_ping(&out, w->ticket);
	return send_writer(w, &out);
}

enum message_type
talk_bye(struct talk_worker *w)
{
	struct wire_writer out = writer(w);

	message_put_bye(&out, w->ticket);
	return send_writer(w, &out);
}

void
talk_disconnect(struct talk_worker *w, bool process_gone)
{
	apply_disconnect(w->talk->apply, &w->peer, process_gone, w->talk->now_ms);
}

const char *
talk_json_of(struct talk *t, const struct apply_peer *from, const char *json)
{
	struct apply_peer peer = *from;

	strbuf_reset(&t->reply);
	apply_request(t->apply, &peer, json, strlen(json), t->now_ms, &t->reply);
	return must(t->reply.at);
}

const char *
talk_json(struct talk *t, const char *json)
{
	return talk_json_of(t, &(struct apply_peer){ .pid = 1, .uid = 1000 }, json);
}

const char *
talk_page(struct talk *t, const char *level)
{
	struct exposition_filter filter = { .level = talk_level(level) };
	struct self_metrics *none = NULL;
	struct exposition *e = must(exposition_new(t->registry, none, &filter));

	strbuf_reset(&t->page);
	strbuf_adds(&t->page, "");
	/* Slices of one byte: as many seams as there can be. */
	while (exposition_slice(e, &t->page, 1))
		;
	exposition_free(e);
	if (t->page.failed)
		abort();
	return t->page.at;
}
