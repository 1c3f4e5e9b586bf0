/* SPDX-License-Identifier: Apache-2.0 */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>

const char *
message_reason_word(enum reason reason)
{
	static const char *const words[] = {
#define X(symbol, word) [REASON_##symbol] = word,
		MESSAGE_REASONS(X)
#undef X
	};

	if (reason <= REASON_NONE || reason >= REASON_END)
		return "unknown";
	return words[reason];
}

const char *
message_type_word(enum message_type type)
{
	static const char *const requests[] = { "?", "HELLO", "DEFINE", "UPDATE",
		"REMOVE", "PING", "EXPOSE", "STATUS", "BYE", "ADMIN" };
	static const char *const replies[] = { "NEW", "LIVE", "FOLDED", "EXPIRED",
		"STALE", "UNBOUND", "ACK", "REFUSED", "OK", "TEXT", "ERROR" };

	if (type <= MESSAGE_ADMIN)
		return requests[type];
	if (type >= MESSAGE_NEW && type <= MESSAGE_ERROR)
		return replies[type - MESSAGE_NEW];
	return "?";
}

enum reason
refuse(struct refusal *r, enum reason reason, const char *format, ...)
{
	va_list arguments;

	if (r && r->reason == REASON_NONE) {
		r->reason = reason;
		va_start(arguments, format);
		vsnprintf(r->text, sizeof(r->text), format, arguments);
		va_end(arguments);
	}
	return reason;
}

const char *
message_kind_word(enum message_kind kind)
{
	static const char *const words[] = { "?", "counter", "gauge", "histogram" };

	return words[kind >= MESSAGE_COUNTER && kind <= MESSAGE_HISTOGRAM ? kind : 0];
}

const char *
message_merge_word(enum message_merge merge)
{
	static const char *const words[] = { "sum", "min", "max", "last", "each" };

	return merge <= MESSAGE_EACH ? words[merge] : "?";
}

bool
message_is_binary(const void *payload, size_t bytes)
{
	return bytes >= 4 && memcmp(payload, MESSAGE_MAGIC, 4) == 0;
}

/* ---- Reading ----------------------------------------------------------- */

static void
get_ticket(struct wire_reader *r, struct message_ticket *ret)
{
	ret->store = wire_get_u64(r);
	ret->serial = wire_get_u64(r);
}

static void
get_level(struct wire_reader *r, struct message_level *ret)
{
	ret->depth = wire_get_u8(r);
	if (ret->depth > MESSAGE_LEVELS_MAX)
		r->failed = true;
	for (size_t i = 0; i < ret->depth && !r->failed; i++)
		ret->name[i] = wire_get_text(r);
}

static size_t
get_count(struct wire_reader *r, size_t most)
{
	size_t n = wire_get_u8(r);

	if (n > most)
		r->failed = true;
	return r->failed ? 0 : n;
}

static void
get_metric(struct wire_reader *r, struct message_metric *m)
{
	m->id = wire_get_u32(r);
	m->kind = wire_get_u8(r);
	m->merge = wire_get_u8(r);
	get_level(r, &m->level);
	m->name = wire_get_text(r);
	m->help = wire_get_text(r);
	m->n_constant = get_count(r, MESSAGE_LABELS_MAX);
	for (size_t i = 0; i < m->n_constant; i++) {
		m->constant_name[i] = wire_get_text(r);
		m->constant_value[i] = wire_get_text(r);
	}
	m->n_variable = get_count(r, MESSAGE_LABELS_MAX);
	for (size_t i = 0; i < m->n_variable; i++)
		m->variable_name[i] = wire_get_text(r);
	m->n_bounds = wire_get_u16(r);
	m->bounds = wire_get_bytes(r, 8 * m->n_bounds);
	if (m->kind < MESSAGE_COUNTER || m->kind > MESSAGE_HISTOGRAM ||
	    m->merge > MESSAGE_EACH || m->n_bounds > MESSAGE_BOUNDS_MAX)
		r->failed = true;
}

static void
get_child(struct wire_reader *r, struct message_child *c)
{
	c->metric = wire_get_u32(r);
	c->cell = wire_get_u32(r);
	c->n_values = get_count(r, MESSAGE_LABELS_MAX);
	for (size_t i = 0; i < c->n_values; i++)
		c->value[i] = wire_get_text(r);
}

static void
get_item(struct wire_reader *r, struct message_item *ret)
{
	ret->type = wire_get_u8(r);
	switch (ret->type) {
	case MESSAGE_ITEM_METRIC:
		get_metric(r, &ret->metric);
		return;
	case MESSAGE_ITEM_CHILD:
		get_child(r, &ret->child);
		return;
	}
	r->failed = true;
}

void
message_next_item(struct wire_reader *items, struct message_item *ret)
{
	get_item(items, ret);
}

void
message_next_refused(struct wire_reader *refused, struct message_refused *ret)
{
	ret->index = wire_get_u32(refused);
	ret->reason = wire_get_u8(refused);
	ret->text = wire_get_text(refused);
}

static void
get_sequenced(struct wire_reader *r, struct message *m)
{
	get_ticket(r, &m->ticket);
	m->n = wire_get_u64(r);
	m->count = wire_get_u32(r);
}

static void
get_define(struct wire_reader *r, struct message *m)
{
	struct message_item item;

	get_sequenced(r, m);
	m->items = *r;
	for (uint32_t i = 0; i < m->count && !r->failed; i++)
		get_item(r, &item);
}

static void
get_records(struct wire_reader *r, struct message *m, size_t each_bytes)
{
	get_sequenced(r, m);
	if (m->count > wire_left(r) / each_bytes)
		r->failed = true;
	else
		m->records = wire_get_bytes(r, each_bytes * m->count);
}

static void
get_hello(struct wire_reader *r, struct message *m)
{
	const uint8_t *sid = wire_get_bytes(r, MESSAGE_SID_BYTES);
	uint8_t has_ticket = wire_get_u8(r);

	if (sid)
		memcpy(m->sid, sid, MESSAGE_SID_BYTES);
	if (has_ticket > 1)
		r->failed = true;
	m->has_ticket = has_ticket == 1;
	get_ticket(r, &m->ticket);
	m->worker = wire_get_text(r);
	m->version = wire_get_text(r);
}

static void
get_welcome(struct wire_reader *r, struct message *m)
{
	get_ticket(r, &m->ticket);
	m->store = m->ticket.store;
	m->last = wire_get_u64(r);
	m->worker = wire_get_text(r);
	m->version = wire_get_text(r);
	m->epoch = wire_get_u64(r);
	m->lease_ms = wire_get_u32(r);
	m->message_bytes = wire_get_u32(r);
	m->max_series = wire_get_u32(r);
}

static void
get_ack(struct wire_reader *r, struct message *m)
{
	struct message_refused item;

	m->n = wire_get_u64(r);
	m->count = wire_get_u32(r);
	m->refused = *r;
	for (uint32_t i = 0; i < m->count && !r->failed; i++)
		message_next_refused(r, &item);
}

static void
get_body(struct wire_reader *r, struct message *m)
{
	switch (m->type) {
	case MESSAGE_HELLO:
		get_hello(r, m);
		return;
	case MESSAGE_DEFINE:
		get_define(r, m);
		return;
	case MESSAGE_UPDATE:
		get_records(r, m, MESSAGE_RECORD_BYTES);
		return;
	case MESSAGE_REMOVE:
		get_records(r, m, 4);
		return;
	case MESSAGE_PING:
	case MESSAGE_BYE:
		get_ticket(r, &m->ticket);
		return;
	case MESSAGE_EXPOSE:
		get_level(r, &m->level);
		return;
	case MESSAGE_NEW:
	case MESSAGE_LIVE:
		get_welcome(r, m);
		return;
	case MESSAGE_FOLDED:
		m->store = wire_get_u64(r);
		m->last = wire_get_u64(r);
		return;
	case MESSAGE_EXPIRED:
	case MESSAGE_STALE:
		m->store = wire_get_u64(r);
		return;
	case MESSAGE_ACK:
		get_ack(r, m);
		return;
	case MESSAGE_REFUSED:
		m->n = wire_get_u64(r);
		m->reason = wire_get_u8(r);
		m->text = wire_get_text(r);
		return;
	case MESSAGE_ADMIN:
	case MESSAGE_TEXT:
		m->text = wire_get_long_text(r);
		return;
	case MESSAGE_ERROR:
		m->reason = wire_get_u8(r);
		m->text = wire_get_text(r);
		return;
	case MESSAGE_STATUS:
	case MESSAGE_UNBOUND:
	case MESSAGE_OK:
		return;
	}
	r->failed = true;
}

enum reason
message_decode(struct message *ret, const void *payload, size_t bytes, struct refusal *r)
{
	struct wire_reader in;
	uint8_t version;

	*ret = (struct message){ 0 };
	if (!message_is_binary(payload, bytes))
		return refuse(r, REASON_MESSAGE, "a message starts with " MESSAGE_MAGIC);
	wire_reader_init(&in, payload, bytes);
	wire_get_u32(&in);
	version = wire_get_u8(&in);
	ret->type = wire_get_u8(&in);
	/* ERROR keeps its layout in every version, so that a peer can always be told. */
	if (!in.failed && version != MESSAGE_VERSION && ret->type != MESSAGE_ERROR)
		return refuse(r, REASON_VERSION,
		    "this side speaks protocol version %d, the peer version %d: "
		    "install the same release on both sides",
		    MESSAGE_VERSION, version);
	if (wire_get_u16(&in) != 0)
		in.failed = true;
	if (!in.failed)
		get_body(&in, ret);
	if (in.failed)
		return refuse(r, REASON_MESSAGE,
		    "a message of type 0x%02x and %zu bytes is malformed",
		    (unsigned)ret->type, bytes);
	if (wire_left(&in) != 0)
		return refuse(r, REASON_MESSAGE,
		    "a message of type 0x%02x has %zu bytes too many",
		    (unsigned)ret->type, wire_left(&in));
	return REASON_NONE;
}
