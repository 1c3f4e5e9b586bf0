/* SPDX-License-Identifier: Apache-2.0 */
/* The writing half of message.h. */
#include "message.h"

static void
put_header(struct wire_writer *w, enum message_type type)
{
	wire_put_bytes(w, MESSAGE_MAGIC, 4);
	wire_put_u8(w, MESSAGE_VERSION);
	wire_put_u8(w, (uint8_t)type);
	wire_put_u16(w, 0);
}

static void
put_ticket(struct wire_writer *w, struct message_ticket t)
{
	wire_put_u64(w, t.store);
	wire_put_u64(w, t.serial);
}

/* A count that a reader would refuse is not written, nor what it counts read. */
static size_t
put_count(struct wire_writer *w, size_t n, size_t most)
{
	if (n > most)
		w->failed = true;
	wire_put_u8(w, (uint8_t)n);
	return w->failed ? 0 : n;
}

static void
put_level(struct wire_writer *w, const struct message_level *level)
{
	size_t depth = put_count(w, level->depth, MESSAGE_LEVELS_MAX);

	for (size_t i = 0; i < depth; i++)
		wire_put_text(w, level->name[i]);
}

static size_t
begin(struct wire_writer *w)
{
	size_t begun = w->bytes;

	wire_put_u32(w, 0);
	return begun;
}

static size_t
begin_sequenced(struct wire_writer *w, enum message_type type,
    struct message_ticket ticket, uint64_t n)
{
	put_header(w, type);
	put_ticket(w, ticket);
	wire_put_u64(w, n);
	return begin(w);
}

void
message_end(struct wire_writer *w, size_t begun, uint32_t count)
{
	wire_patch_u32(w, begun, count);
}

void
message_put_hello(struct wire_writer *w, const struct message *m)
{
	put_header(w, MESSAGE_HELLO);
	wire_put_bytes(w, m->sid, MESSAGE_SID_BYTES);
	wire_put_u8(w, m->has_ticket);
	put_ticket(w, m->has_ticket ? m->ticket : (struct message_ticket){ 0, 0 });
	wire_put_text(w, m->worker);
	wire_put_text(w, m->version);
}

size_t
message_begin_define(struct wire_writer *w, struct message_ticket ticket, uint64_t n)
{
	return begin_sequenced(w, MESSAGE_DEFINE, ticket, n);
}

void
message_put_metric(struct wire_writer *w, const struct message_metric *m)
{
	size_t n;

	wire_put_u8(w, MESSAGE_ITEM_METRIC);
	wire_put_u32(w, m->id);
	wire_put_u8(w, (uint8_t)m->kind);
	wire_put_u8(w, (uint8_t)m->merge);
	put_level(w, &m->level);
	wire_put_text(w, m->name);
	wire_put_text(w, m->help);
	n = put_count(w, m->n_constant, MESSAGE_LABELS_MAX);
	for (size_t i = 0; i < n; i++) {
		wire_put_text(w, m->constant_name[i]);
		wire_put_text(w, m->constant_value[i]);
	}
	n = put_count(w, m->n_variable, MESSAGE_LABELS_MAX);
	for (size_t i = 0; i < n; i++)
		wire_put_text(w, m->variable_name[i]);
	if (m->n_bounds > MESSAGE_BOUNDS_MAX)
		w->failed = true;
	wire_put_u16(w, (uint16_t)m->n_bounds);
	wire_put_bytes(w, m->bounds, 8 * m->n_bounds);
}

void
message_put_child(struct wire_writer *w, const struct message_child *c)
{
	size_t n;

	wire_put_u8(w, MESSAGE_ITEM_CHILD);
	wire_put_u32(w, c->metric);
	wire_put_u32(w, c->cell);
	n = put_count(w, c->n_values, MESSAGE_LABELS_MAX);
	for (size_t i = 0; i < n; i++)
		wire_put_text(w, c->value[i]);
}

size_t
message_begin_update(struct wire_writer *w, struct message_ticket ticket, uint64_t n)
{
	return begin_sequenced(w, MESSAGE_UPDATE, ticket, n);
}

size_t
message_begin_remove(struct wire_writer *w, struct message_ticket ticket, uint64_t n)
{
	return begin_sequenced(w, MESSAGE_REMOVE, ticket, n);
}

void
message_put_cell(struct wire_writer *w, uint32_t first_cell)
{
	wire_put_u32(w, first_cell);
}

void
message_put_ping(struct wire_writer *w, struct message_ticket ticket)
{
	put_header(w, MESSAGE_PING);
	put_ticket(w, ticket);
}

void
message_put_bye(struct wire_writer *w, struct message_ticket ticket)
{
	put_header(w, MESSAGE_BYE);
	put_ticket(w, ticket);
}

void
message_put_expose(struct wire_writer *w, const struct message_level *level)
{
	put_header(w, MESSAGE_EXPOSE);
	put_level(w, level);
}

void
message_put_status(struct wire_writer *w)
{
	put_header(w, MESSAGE_STATUS);
}

void
message_put_admin(struct wire_writer *w, struct wire_text command)
{
	put_header(w, MESSAGE_ADMIN);
	wire_put_long_text(w, command);
}

void
message_put_welcome(struct wire_writer *w, const struct message *m)
{
	put_header(w, m->type);
	put_ticket(w, m->ticket);
	wire_put_u64(w, m->last);
	wire_put_text(w, m->worker);
	wire_put_text(w, m->version);
	wire_put_u64(w, m->epoch);
	wire_put_u32(w, m->lease_ms);
	wire_put_u32(w, m->message_bytes);
	wire_put_u32(w, m->max_series);
}

void
message_put_folded(struct wire_writer *w, uint64_t store, uint64_t last)
{
	put_header(w, MESSAGE_FOLDED);
	wire_put_u64(w, store);
	wire_put_u64(w, last);
}

void
message_put_expired(struct wire_writer *w, uint64_t store)
{
	put_header(w, MESSAGE_EXPIRED);
	wire_put_u64(w, store);
}

void
message_put_stale(struct wire_writer *w, uint64_t store)
{
	put_header(w, MESSAGE_STALE);
	wire_put_u64(w, store);
}

void
message_put_unbound(struct wire_writer *w)
{
	put_header(w, MESSAGE_UNBOUND);
}

size_t
message_begin_ack(struct wire_writer *w, uint64_t n)
{
	put_header(w, MESSAGE_ACK);
	wire_put_u64(w, n);
	return begin(w);
}

void
message_put_refused_item(struct wire_writer *w, uint32_t index, const struct refusal *r)
{
	wire_put_u32(w, index);
	wire_put_u8(w, (uint8_t)r->reason);
	wire_put_text(w, wire_text(r->text));
}

void
message_put_refused(struct wire_writer *w, uint64_t n, const struct refusal *r)
{
	put_header(w, MESSAGE_REFUSED);
	wire_put_u64(w, n);
	wire_put_u8(w, (uint8_t)r->reason);
	wire_put_text(w, wire_text(r->text));
}

void
message_put_ok(struct wire_writer *w)
{
	put_header(w, MESSAGE_OK);
}

void
message_put_text(struct wire_writer *w, struct wire_text text)
{
	put_header(w, MESSAGE_TEXT);
	wire_put_long_text(w, text);
}

void
message_put_error(struct wire_writer *w, const struct refusal *r)
{
	put_header(w, MESSAGE_ERROR);
	wire_put_u8(w, (uint8_t)r->reason);
	wire_put_text(w, wire_text(r->text));
}
