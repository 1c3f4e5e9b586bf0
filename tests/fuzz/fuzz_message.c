/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in binary: bytes -> structs -> bytes -> structs, and what the daemon makes of
 * them.
 *
 * Input: a byte. Odd: the rest is one message, to be decoded and written again. Even: the
 * rest is a talk with a daemon (bit 1: its naming): a byte for what is sent, and then its
 * body. Headers, tickets and numbers are right unless that byte says otherwise, so that
 * what is behind them is reached.
 */
#include <stdlib.h>

#include "desk.h"

#define ROOM 8192

/* ---- One message -------------------------------------------------------------- */

/* What a reply says in words is written from a struct that ends at a NUL. */
static bool
fits_refusal(struct wire_text t)
{
	return t.bytes < sizeof(((struct refusal *)0)->text) &&
	       (t.bytes == 0 || memchr(t.at, 0, t.bytes) == NULL);
}

static struct refusal
refusal_of(enum reason reason, struct wire_text text)
{
	struct refusal r = { .reason = reason };

	memcpy(r.text, text.at, text.bytes);
	return r;
}

static void
put_items(struct wire_writer *w, const struct message *m)
{
	size_t begun = message_begin_define(w, m->ticket, m->n);
	struct wire_reader items = m->items;
	struct message_item item;

	for (uint32_t i = 0; i < m->count; i++) {
		message_next_item(&items, &item);
		fuzz_must(!items.failed, "an item of a decoded message can be read");
		if (item.type == MESSAGE_ITEM_METRIC)
			message_put_metric(w, &item.metric);
		else
			message_put_child(w, &item.child);
	}
	fuzz_must(wire_left(&items) == 0, "there are as many items as it says");
	message_end(w, begun, m->count);
}

static void
put_records(struct wire_writer *w, const struct message *m)
{
	size_t begun = message_begin_update(w, m->ticket, m->n);

	for (uint32_t i = 0; i < m->count; i++)
		message_put_record(w, wire_load_u32(m->records + 12 * (size_t)i),
		    wire_load_u64(m->records + 12 * (size_t)i + 4));
	message_end(w, begun, m->count);
}

static void
put_cells(struct wire_writer *w, const struct message *m)
{
	size_t begun = message_begin_remove(w, m->ticket, m->n);

	for (uint32_t i = 0; i < m->count; i++)
		message_put_cell(w, wire_load_u32(m->records + 4 * (size_t)i));
	message_end(w, begun, m->count);
}

static bool
put_refused_items(struct wire_writer *w, const struct message *m)
{
	size_t begun = message_begin_ack(w, m->n);
	struct wire_reader items = m->refused;
	struct message_refused item;
	struct refusal r;

	for (uint32_t i = 0; i < m->count; i++) {
		message_next_refused(&items, &item);
		if (!fits_refusal(item.text))
			return false;
		r = refusal_of(item.reason, item.text);
		message_put_refused_item(w, item.index, &r);
	}
	message_end(w, begun, m->count);
	return true;
}

static bool
put_refusal(struct wire_writer *w, const struct message *m)
{
	struct refusal r;

	if (!fits_refusal(m->text))
		return false;
	r = refusal_of(m->reason, m->text);
	if (m->type == MESSAGE_ERROR)
		message_put_error(w, &r);
	else
		message_put_refused(w, m->n, &r);
	return true;
}

/* False for what no writer is meant to write. */
static bool
put(struct wire_writer *w, const struct message *m)
{
	switch (m->type) {
	case MESSAGE_HELLO:
		message_put_hello(w, m);
		return true;
	case MESSAGE_DEFINE:
		put_items(w, m);
		return true;
	case MESSAGE_UPDATE:
		put_records(w, m);
		return true;
	case MESSAGE_REMOVE:
		put_cells(w, m);
		return true;
	case MESSAGE_PING:
		message_put_ping(w, m->ticket);
		return true;
	case MESSAGE_BYE:
		message_put_bye(w, m->ticket);
		return true;
	case MESSAGE_EXPOSE:
		message_put_expose(w, &m->level);
		return true;
	case MESSAGE_STATUS:
		message_put_status(w);
		return true;
	case MESSAGE_ADMIN:
		message_put_admin(w, m->text);
		return true;
	case MESSAGE_NEW:
	case MESSAGE_LIVE:
		message_put_welcome(w, m);
		return true;
	case MESSAGE_FOLDED:
		message_put_folded(w, m->store, m->last);
		return true;
	case MESSAGE_EXPIRED:
		message_put_expired(w, m->store);
		return true;
	case MESSAGE_STALE:
		message_put_stale(w, m->store);
		return true;
	case MESSAGE_UNBOUND:
		message_put_unbound(w);
		return true;
	case MESSAGE_ACK:
		return put_refused_items(w, m);
	case MESSAGE_OK:
		message_put_ok(w);
		return true;
	case MESSAGE_TEXT:
		message_put_text(w, m->text);
		return true;
	case MESSAGE_REFUSED:
	case MESSAGE_ERROR:
		return put_refusal(w, m);
	}
	fuzz_must(false, "a decoded message has a type that there is");
	return false;
}

static void
try_message(const uint8_t *bytes, size_t n)
{
	static uint8_t room[ROOM];
	struct wire_writer w;
	struct refusal why = { 0 };
	struct message m;
	enum reason reason = message_decode(&m, bytes, n, &why);

	fuzz_must(reason == why.reason, "a reason comes with its sentence");
	if (reason != REASON_NONE) {
		fuzz_must(desk_is_line(wire_text(why.text)), "a sentence is a line");
		return;
	}
	wire_writer_init(&w, room, sizeof(room));
	if (!put(&w, &m))
		return;
	/* A HELLO without a ticket has zeros in its place, and ERROR is of any version.
	 */
	fuzz_must(!w.failed && w.bytes == n, "it is written in as many bytes");
	if ((m.type == MESSAGE_HELLO && !m.has_ticket) || m.type == MESSAGE_ERROR)
		fuzz_must(
		    message_decode(&m, room, n, NULL) == REASON_NONE, "and read again");
	else
		fuzz_must(memcmp(room, bytes, n) == 0, "and in the same bytes");
}

/* ---- A talk ------------------------------------------------------------------- */

enum { SAY_OTHER = 0x10, SAY_HOSTILE = 0x20, SAY_LATER = 0x40, SAY_RAW = 0x80 };

struct talker {
	struct apply_peer peer;
	struct message_ticket ticket;
	uint64_t n;
};

static void
hello(struct desk *d, struct talker *t, struct wire_text name)
{
	static uint8_t room[256];
	struct message m = { .worker = name, .version = wire_text("1") };
	struct wire_writer w;

	m.sid[0] = (uint8_t)t->peer.connection;
	wire_writer_init(&w, room, sizeof(room));
	message_put_hello(&w, &m);
	if (w.failed || desk_request(d, &t->peer, room, w.bytes) != MESSAGE_NEW)
		return;
	t->ticket = d->answer.ticket;
	t->n = d->answer.last;
}

static struct wire_text
a_text(struct fuzz_input *in)
{
	static const char *const words[] = { "", "a", "b", "a_b", "c_total", "h", "h_sum",
		"h_bucket", "h_count", "le", "namespace", "my-model", "x:y", "__a",
		"\"\\\n", "é", "\xff", "worker_id", "cluster", "dynamo_a", "0", "up",
		"quantile" };
	uint8_t which = fuzz_u8(in);

	if (which >= 128)
		return fuzz_bytes(in, which - 128U);
	return wire_text(words[which % (sizeof(words) / sizeof(words[0]))]);
}

/* A metric and a child of it, whose shape the input decides. */
static uint32_t
put_definition(struct wire_writer *w, struct fuzz_input *in)
{
	static uint8_t bounds[16 * 8];
	struct message_metric m = { .id = fuzz_below(in, 6), .bounds = bounds };
	struct message_child c = { .metric = m.id, .cell = fuzz_u8(in) };

	m.kind = 1 + fuzz_below(in, 3);
	m.merge = m.kind == MESSAGE_GAUGE ? fuzz_below(in, 5) : 0;
	m.level.depth = (uint8_t)fuzz_below(in, 4);
	for (size_t i = 0; i < m.level.depth; i++)
		m.level.name[i] = a_text(in);
	m.name = a_text(in);
	m.help = a_text(in);
	m.n_constant = fuzz_below(in, 4);
	for (size_t i = 0; i < m.n_constant; i++) {
		m.constant_name[i] = a_text(in);
		m.constant_value[i] = a_text(in);
	}
	m.n_variable = fuzz_below(in, 4);
	for (size_t i = 0; i < m.n_variable; i++)
		m.variable_name[i] = a_text(in);
	m.n_bounds = m.kind == MESSAGE_HISTOGRAM ? fuzz_below(in, 16) : 0;
	for (size_t i = 0; i < m.n_bounds; i++)
		wire_store_u64(bounds + 8 * i, wire_bits((double)i + fuzz_u8(in) / 64.0));
	c.n_values = m.n_variable + (fuzz_u8(in) == 255);
	for (size_t i = 0; i < c.n_values; i++)
		c.value[i] = a_text(in);
	message_put_metric(w, &m);
	message_put_child(w, &c);
	return 2;
}

static void
put_values(struct wire_writer *w, struct fuzz_input *in, uint32_t n)
{
	static const double values[] = { 0, 1, 2.5, -1, 1e308, 9007199254740992, -0.0,
		5e-324 };

	for (uint32_t i = 0; i < n; i++) {
		uint32_t cell = fuzz_u8(in);
		uint8_t which = fuzz_u8(in);

		message_put_record(w, cell == 255 ? fuzz_u32(in) : cell,
		    which < 16	  ? wire_bits(values[which % 8])
		    : which < 240 ? wire_bits(which)
				  : fuzz_u64(in));
	}
}

/* A message of that type whose head is right, or as the input has it. */
static void
put_request(
    struct wire_writer *w, struct fuzz_input *in, const struct talker *t, uint8_t say)
{
	struct message_ticket ticket = t->ticket;
	uint64_t n = t->n + 1;
	uint32_t count = 1;
	size_t begun;

	if (say & SAY_HOSTILE) {
		ticket.serial += fuzz_u8(in);
		n += fuzz_u64(in);
	}
	switch (say % 8) {
	case 0:
	case 1:
		begun = message_begin_define(w, ticket, n);
		message_end(w, begun, put_definition(w, in));
		return;
	case 2:
	case 3:
		count = fuzz_below(in, 16);
		begun = message_begin_update(w, ticket, n);
		put_values(w, in, count);
		message_end(w, begun, count);
		return;
	case 4:
		begun = message_begin_remove(w, ticket, n);
		message_put_cell(w, fuzz_u8(in));
		message_end(w, begun, count);
		return;
	case 5:
		message_put_ping(w, ticket);
		return;
	case 6:
		message_put_bye(w, ticket);
		return;
	case 7:
		message_put_expose(w, &(struct message_level){ .depth = 2,
					  .name = { a_text(in), a_text(in) } });
		return;
	}
}

/* The input's own bytes behind a good header. */
static void
put_raw(struct wire_writer *w, struct fuzz_input *in, const struct talker *t)
{
	uint8_t head[MESSAGE_HEADER_BYTES] = MESSAGE_MAGIC;
	struct wire_text body;

	head[4] = MESSAGE_VERSION;
	head[5] = fuzz_u8(in);
	body = fuzz_bytes(in, fuzz_u8(in));
	wire_put_bytes(w, head, sizeof(head));
	if (head[5] >= MESSAGE_DEFINE && head[5] <= MESSAGE_PING) {
		wire_put_u64(w, t->ticket.store);
		wire_put_u64(w, t->ticket.serial);
		if (head[5] != MESSAGE_PING)
			wire_put_u64(w, t->n + 1);
	}
	wire_put_bytes(w, body.at, body.bytes);
}

static void
say_one(struct desk *d, struct fuzz_input *in, struct talker *talkers)
{
	static uint8_t room[ROOM];
	uint8_t say = fuzz_u8(in);
	struct talker *t = &talkers[say & SAY_OTHER ? 1 : 0];
	enum message_type answer;
	struct wire_writer w;

	if (say & SAY_LATER) {
		d->now_ms += 5000;
		apply_tick(d->apply, d->now_ms);
		desk_page(d);
	}
	wire_writer_init(&w, room, sizeof(room));
	if (say & SAY_RAW)
		put_raw(&w, in, t);
	else
		put_request(&w, in, t, say);
	answer = desk_request(d, &t->peer, room, w.bytes);
	if (answer == MESSAGE_ACK || answer == MESSAGE_REFUSED)
		t->n = d->answer.n > t->n ? d->answer.n : t->n;
	fuzz_must(!desk_page(d) || (answer != MESSAGE_REFUSED && answer != MESSAGE_ERROR),
	    "what is refused changes nothing");
}

static void
try_talk(struct fuzz_input *in, bool component)
{
	struct desk *d = desk_new(component);
	struct talker talkers[DESK_PEERS] = { { .peer = desk_peer(0) },
		{ .peer = desk_peer(1) } };

	hello(d, &talkers[0], a_text(in));
	hello(d, &talkers[1], wire_text("w"));
	for (int i = 0; i < 16 && in->bytes > 0; i++)
		say_one(d, in, talkers);
	for (int i = 0; i < DESK_PEERS; i++)
		apply_disconnect(d->apply, &talkers[i].peer, true, d->now_ms);
	desk_page(d);
	for (size_t i = 0; i < d->samples.n; i++)
		fuzz_must(d->samples.sample[i].kind != FUZZ_GAUGE,
		    "no gauge stays when nobody is there");
	desk_free(d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct fuzz_input in = fuzz_begin(bytes, n);
	uint8_t which = fuzz_u8(&in);

	if (which & 1)
		try_message(in.at, in.bytes);
	else
		try_talk(&in, which & 2);
	return 0;
}
