/* SPDX-License-Identifier: Apache-2.0 */
/* What workers say. */
#include "apply_parts.h"
#include "play.h"

/* ---- Sessions ------------------------------------------------------------------ */

void
play_new_session(struct play *p, struct someone *who)
{
	p->births++;
	memset(who->sid, 0, sizeof(who->sid));
	wire_store_u64(who->sid, p->births);
	who->has_ticket = false;
	who->n = 0;
	memset(who->value, 0, sizeof(who->value));
}

static void
hello_as(struct play *p, struct someone *from, uint32_t how)
{
	static const char *const wish[] = { "", "a", "b", "a-2", "x\"\\\n" };
	struct wire_writer out = play_writer(from);
	struct message m = { .type = MESSAGE_HELLO,
		.worker = wire_text(wish[how % PLAY_COUNT(wish)]),
		.version = wire_text("0.1.0") };
	const struct someone *as = how >= 28 ? &p->who[how % PLAY_PEERS] : from;

	memcpy(m.sid, as->sid, sizeof(m.sid));
	m.has_ticket = as->has_ticket;
	m.ticket = as->ticket;
	if (how == 20)
		m.ticket.serial += 1;
	message_put_hello(&out, &m);
	play_send_writer(p, from, &out);
	if (as == from && p->reply.type == MESSAGE_NEW) {
		from->has_ticket = true;
		from->ticket = p->reply.ticket;
		from->n = 0;
		memset(from->value, 0, sizeof(from->value));
	}
	if (how % 4 != 3 &&
	    (p->reply.type == MESSAGE_FOLDED || p->reply.type == MESSAGE_EXPIRED ||
		p->reply.type == MESSAGE_STALE))
		play_new_session(p, from);
}

void
play_hello(struct play *p)
{
	struct someone *from = play_anyone(p);

	hello_as(p, from, play_any(p, 32));
}

/* One that has said HELLO, mostly. */
static struct someone *
any_worker(struct play *p)
{
	uint32_t how = play_any(p, 4 * PLAY_PEERS);
	struct someone *from = &p->who[how % PLAY_PEERS];

	if (how < 3 * PLAY_PEERS && from->peer.bindings == NULL)
		hello_as(p, from, how % 3);
	return from;
}

static const uint8_t bounds[] = { 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0,
	0x40 }; /* 1, 2 */

static const struct shape {
	enum message_kind kind;
	enum message_merge merge;
	const char *level, *name, *constant, *variable;
	size_t n_bounds;
} shapes[] = {
	{ MESSAGE_COUNTER, MESSAGE_SUM, NULL, "c", NULL, "l", 0 },
	{ MESSAGE_COUNTER, MESSAGE_SUM, "ns", "c", "z", NULL, 0 },
	{ MESSAGE_HISTOGRAM, MESSAGE_SUM, "ns", "h", NULL, "l", 2 },
	{ MESSAGE_GAUGE, MESSAGE_SUM, "ns", "sum", NULL, "l", 0 },
	{ MESSAGE_GAUGE, MESSAGE_EACH, "ns", "each", NULL, "l", 0 },
	{ MESSAGE_GAUGE, MESSAGE_LAST, NULL, "last", NULL, NULL, 0 },
	{ MESSAGE_GAUGE, MESSAGE_MAX, "ns", "max", NULL, "l", 0 },
	{ MESSAGE_HISTOGRAM, MESSAGE_SUM, "ns", "h", NULL, "l", 1 },
	{ MESSAGE_COUNTER, MESSAGE_SUM, NULL, "h_count", NULL, NULL, 0 },
	{ MESSAGE_GAUGE, MESSAGE_SUM, "ns", "c", NULL, NULL, 0 },
};

static void
put_shape(struct play *p, struct wire_writer *out, uint32_t id, const struct shape *s)
{
	struct message_metric m = { .id = id,
		.kind = s->kind,
		.merge = s->merge,
		.name = wire_text(s->name),
		.help = wire_text(play_any(p, 2) ? "Help\\ it" : ""),
		.n_constant = s->constant != NULL,
		.n_variable = s->variable != NULL,
		.n_bounds = s->n_bounds,
		.bounds = bounds };

	if (s->level)
		m.level =
		    (struct message_level){ .depth = 1, .name = { wire_text(s->level) } };
	if (s->constant) {
		m.constant_name[0] = wire_text(s->constant);
		m.constant_value[0] = wire_text("v\"\n");
	}
	if (s->variable)
		m.variable_name[0] = wire_text(s->variable);
	message_put_metric(out, &m);
}

/* One of nobody's choice. */
static void
put_wild(struct play *p, struct wire_writer *out, uint32_t id)
{
	struct message_metric m = { .id = id };

	m.kind = (enum message_kind)(1 + play_any(p, 3));
	m.level.depth = (uint8_t)play_any(p, 4);
	for (int i = 0; i < MESSAGE_LEVELS_MAX; i++)
		m.level.name[i] = fuzz_bytes(&p->in, i ? 1 : 2);
	m.name = fuzz_bytes(&p->in, 1 + play_any(p, 5));
	m.help = fuzz_bytes(&p->in, play_any(p, 4));
	m.n_constant = play_any(p, 3);
	m.n_variable = play_any(p, 2);
	if (m.kind == MESSAGE_GAUGE)
		m.merge = (enum message_merge)play_any(p, 5);
	for (size_t i = 0; i < m.n_constant; i++) {
		m.constant_name[i] = fuzz_bytes(&p->in, 1 + play_any(p, 9));
		m.constant_value[i] = fuzz_bytes(&p->in, play_any(p, 4));
	}
	m.variable_name[0] = fuzz_bytes(&p->in, 1);
	if (m.kind == MESSAGE_HISTOGRAM && play_any(p, 2)) {
		m.bounds = (const uint8_t *)fuzz_bytes(&p->in, 8).at;
		m.n_bounds = p->in.at >= m.bounds + 8;
	}
	message_put_metric(out, &m);
}

static void
put_child(struct play *p, struct someone *from, struct wire_writer *out, uint32_t id,
    bool has_value)
{
	static const char *const values[] = { "x", "y", "", "\\q\"\n", "\xe2\x82\xac",
		"longer than it may be at times" };
	uint32_t cell = play_any(p, 64);
	struct message_child child = { .metric = id,
		.cell = cell < PLAY_CELLS ? cell
			: cell == 63	  ? 4000000000U
					  : cell * 7,
		.n_values = has_value };

	child.value[0] = wire_text(values[play_any(p, PLAY_COUNT(values))]);
	from->cell[from->n_defined++ % PLAY_COUNT(from->cell)] = child.cell;
	message_put_child(out, &child);
}

/* Of the same number comes the same metric, if it is below the number of shapes. */
void
play_define(struct play *p)
{
	struct someone *from = any_worker(p);
	struct wire_writer out = play_writer(from);
	size_t begun = message_begin_define(&out, from->ticket, ++from->n);
	uint32_t n = 1 + play_any(p, 4), items = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t id = play_any(p, PLAY_COUNT(shapes) + 2), how = play_any(p, 8);

		if (id >= PLAY_COUNT(shapes))
			put_wild(p, &out, id);
		else if (how > 0)
			put_shape(p, &out, id, &shapes[id]);
		else
			items--;
		put_child(p, from, &out, id,
		    id < PLAY_COUNT(shapes) ? shapes[id].variable != NULL : how % 2);
		items += 2;
	}
	message_end(&out, begun, items);
	play_send_writer(p, from, &out);
}

static double
some_value(struct play *p, struct someone *from, uint32_t cell)
{
	static const double absurd[] = { INFINITY, -1, NAN, -0.0, 1e300, 1.7e308, 1e-300,
		-1e300 };
	uint32_t how = play_any(p, 256);

	if (how >= 248)
		return p->whole && how >= 252 ? -1 : absurd[how - 248];
	return from->value[cell % PLAY_CELLS] += p->whole ? how : how / 7.0;
}

void
play_update(struct play *p)
{
	struct someone *from = any_worker(p);
	struct wire_writer out = play_writer(from);
	size_t begun = message_begin_update(&out, from->ticket, ++from->n);
	uint32_t n = 1 + play_any(p, 6), cell = play_any(p, PLAY_CELLS);

	if (n <= 4)
		cell = from->cell[cell % PLAY_COUNT(from->cell)];
	for (uint32_t i = 0; i < n; i++)
		message_put_record(
		    &out, cell + i, wire_bits(some_value(p, from, cell + i)));
	if (n == 6)
		message_put_record(&out, MESSAGE_CELL_DROPPED, wire_bits(play_any(p, 9)));
	message_end(&out, begun, n + (n == 6));
	play_send_writer(p, from, &out);
}

void
play_remove(struct play *p)
{
	struct someone *from = any_worker(p);
	struct wire_writer out = play_writer(from);
	size_t begun = message_begin_remove(&out, from->ticket, ++from->n);
	uint32_t n = 1 + play_any(p, 3);

	for (uint32_t i = 0; i < n; i++)
		message_put_cell(&out, play_any(p, PLAY_CELLS));
	message_end(&out, begun, n);
	play_send_writer(p, from, &out);
}

void
play_ask(struct play *p)
{
	struct someone *from = play_anyone(p);
	struct wire_writer out = play_writer(from);
	uint32_t how = play_any(p, 8);
	struct message_ticket ticket = from->ticket;

	if (how == 7)
		ticket = p->who[0].ticket;
	if (how == 6)
		ticket.store++;
	if (how % 4 == 0)
		message_put_bye(&out, ticket);
	else if (how % 4 == 1)
		message_put_status(&out);
	else
		message_put_ping(&out, ticket);
	play_send_writer(p, from, &out);
}

void
play_expose(struct play *p)
{
	struct someone *from = play_anyone(p);
	struct wire_writer out = play_writer(from);
	struct message_level level = { (uint8_t)play_any(p, 2), { wire_text("ns") } };
	struct fuzz_page page = { 0 };

	message_put_expose(&out, &level);
	play_send_writer(p, from, &out);
	if (p->reply.type == MESSAGE_TEXT)
		fuzz_page_read(&page, p->reply.text.at, p->reply.text.bytes);
	fuzz_page_free(&page);
	world_page(&p->w);
}

/* It comes once more, perhaps over another connection. */
void
play_again(struct play *p)
{
	struct someone *from = play_anyone(p);
	uint32_t how = play_any(p, 16);
	uint8_t bytes[sizeof(from->sent[0])];
	size_t n = from->sent_bytes[how % 2];

	memcpy(bytes, from->sent[how % 2], sizeof(bytes));
	if (n > 0)
		play_send(p, how >= 12 ? &p->who[how - 12] : from, bytes, n);
}

/* A request whose header and type are right. */
void
play_wild(struct play *p)
{
	struct someone *from = play_anyone(p);
	struct wire_writer out = play_writer(from);
	uint32_t type = play_any(p, 16);

	wire_put_bytes(&out, MESSAGE_MAGIC, 4);
	wire_put_u8(&out, MESSAGE_VERSION);
	wire_put_u8(&out, (uint8_t)type);
	wire_put_u16(&out, 0);
	if (type != MESSAGE_HELLO) {
		wire_put_u64(&out, from->ticket.store);
		wire_put_u64(&out, from->ticket.serial);
		wire_put_u64(&out, ++from->n);
		wire_put_u32(&out, play_any(p, 4));
	}
	while (p->in.bytes > 0 && out.bytes < 200)
		wire_put_u8(&out, fuzz_u8(&p->in));
	play_send_writer(p, from, &out);
}

void
play_disconnect(struct play *p)
{
	struct someone *who = play_anyone(p);
	bool certainly = play_any(p, 4) == 0;

	world_before(&p->w);
	apply_disconnect(p->w.apply, &who->peer, certainly, p->w.now_ms);
	world_after(&p->w, WORLD_WORKERS, 0, 0);
	if (certainly) {
		play_new_session(p, who);
		who->peer.process_start++;
	}
	who->peer.connection += PLAY_PEERS;
	/* Without an id it is known by who sent it. */
	if (who == &p->who[p->json_from] && strstr(p->json, "\"id\"") == NULL)
		p->json_known = false;
}
