/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

const struct message_ticket golden_ticket = { 0x1122334455667788, 7 };
static const uint8_t sid[MESSAGE_SID_BYTES] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
	13, 14, 15 };

static struct message_level
level(const char *namespace, const char *component, const char *endpoint)
{
	struct message_level l = { 0 };
	const char *name[] = { namespace, component, endpoint };

	for (; l.depth < 3 && name[l.depth]; l.depth++)
		l.name[l.depth] = wire_text(name[l.depth]);
	return l;
}

static void
put_hello_first(struct wire_writer *w)
{
	struct message m = { .worker = wire_text(""), .version = wire_text("0.1.0") };

	memcpy(m.sid, sid, sizeof(sid));
	message_put_hello(w, &m);
}

static void
put_hello_again(struct wire_writer *w)
{
	struct message m = { .has_ticket = true,
		.ticket = golden_ticket,
		.worker = wire_text("decode-0"),
		.version = wire_text("0.1.0") };

	memcpy(m.sid, sid, sizeof(sid));
	message_put_hello(w, &m);
}

static void
put_define_counter(struct wire_writer *w)
{
	struct message_metric m = { .id = 1,
		.kind = MESSAGE_COUNTER,
		.level = level("dynamo", "backend", "generate"),
		.name = wire_text("my_counter"),
		.help = wire_text("My custom counter") };
	struct message_child c = { .metric = 1 };
	size_t begun = message_begin_define(w, golden_ticket, 1);

	message_put_metric(w, &m);
	message_put_child(w, &c);
	message_end(w, begun, 2);
}

static void
put_define_gauge(struct wire_writer *w)
{
	struct message_metric m = { .id = 2,
		.kind = MESSAGE_GAUGE,
		.merge = MESSAGE_LAST,
		.level = level("dynamo", "backend", NULL),
		.name = wire_text("gpu_memory_bytes"),
		.help = wire_text(""),
		.n_constant = 1,
		.constant_name = { wire_text("host") },
		.constant_value = { wire_text("a") },
		.n_variable = 2,
		.variable_name = { wire_text("gpu_id"), wire_text("memory_type") } };
	struct message_child c = { .metric = 2,
		.cell = 1,
		.n_values = 2,
		.value = { wire_text("0"), wire_text("allocated") } };
	size_t begun = message_begin_define(w, golden_ticket, 2);

	message_put_metric(w, &m);
	message_put_child(w, &c);
	message_end(w, begun, 2);
}

static void
put_define_histogram(struct wire_writer *w)
{
	uint8_t bounds[16];
	struct message_metric m = { .id = 3,
		.kind = MESSAGE_HISTOGRAM,
		.name = wire_text("latency_seconds"),
		.help = wire_text("Latency"),
		.n_bounds = 2,
		.bounds = bounds };
	struct message_child c = { .metric = 3, .cell = 3 };
	size_t begun = message_begin_define(w, golden_ticket, 3);

	wire_store_u64(bounds, wire_bits(0.25));
	wire_store_u64(bounds + 8, wire_bits(1));
	message_put_metric(w, &m);
	message_put_child(w, &c);
	message_end(w, begun, 2);
}

static void
put_update(struct wire_writer *w)
{
	size_t begun = message_begin_update(w, golden_ticket, 4);

	message_put_record(w, 0, wire_bits(42));
	message_put_record(w, 1, wire_bits(8192));
	message_put_record(w, 2, 5000000000);
	message_put_record(w, 3, wire_bits(2));
	message_put_record(w, 4, wire_bits(1));
	message_put_record(w, 5, wire_bits(0));
	message_put_record(w, 6, wire_bits(0.875));
	message_end(w, begun, 7);
}

static void
put_remove(struct wire_writer *w)
{
	size_t begun = message_begin_remove(w, golden_ticket, 5);

	message_put_cell(w, 1);
	message_end(w, begun, 1);
}

static void
put_ping(struct wire_writer *w)
{
	message_put_ping(w, golden_ticket);
}

static void
put_bye(struct wire_writer *w)
{
	message_put_bye(w, golden_ticket);
}

static void
put_expose_all(struct wire_writer *w)
{
	struct message_level l = level(NULL, NULL, NULL);

	message_put_expose(w, &l);
}

static void
put_expose_component(struct wire_writer *w)
{
	struct message_level l = level("dynamo", "backend", NULL);

	message_put_expose(w, &l);
}

static void
put_admin(struct wire_writer *w)
{
	message_put_admin(
	    w, wire_text("{\"command\":\"log_level\",\"level\":\"debug\"}"));
}

static void
put_welcome(struct wire_writer *w, enum message_type type, uint64_t last)
{
	struct message m = { .type = type,
		.ticket = golden_ticket,
		.last = last,
		.worker = wire_text("decode-0"),
		.version = wire_text("0.1.0"),
		.epoch = 0x0102030405060708,
		.lease_ms = 15000,
		.message_bytes = 1048576,
		.max_series = 500000 };

	message_put_welcome(w, &m);
}

static void
put_new(struct wire_writer *w)
{
	put_welcome(w, MESSAGE_NEW, 0);
}

static void
put_live(struct wire_writer *w)
{
	put_welcome(w, MESSAGE_LIVE, 4);
}

static void
put_folded(struct wire_writer *w)
{
	message_put_folded(w, golden_ticket.store, 4);
}

static void
put_expired(struct wire_writer *w)
{
	message_put_expired(w, golden_ticket.store);
}

static void
put_stale(struct wire_writer *w)
{
	message_put_stale(w, golden_ticket.store);
}

static void
put_ack(struct wire_writer *w)
{
	message_end(w, message_begin_ack(w, 4), 0);
}

static void
put_ack_refused(struct wire_writer *w)
{
	size_t begun = message_begin_ack(w, 2);

	message_put_refused_item(
	    w, 0, &(struct refusal){ REASON_TYPE, "a counter has this name" });
	message_put_refused_item(
	    w, 1, &(struct refusal){ REASON_MESSAGE, "no metric 2" });
	message_end(w, begun, 2);
}

static void
put_refused(struct wire_writer *w)
{
	message_put_refused(
	    w, 6, &(struct refusal){ REASON_VALUE, "a counter went down" });
}

static void
put_text(struct wire_writer *w)
{
	message_put_text(w, wire_text("dynamo_x 1\n"));
}

static void
put_error(struct wire_writer *w)
{
	message_put_error(w, &(struct refusal){ REASON_VERSION,
				 "install the same release on both sides" });
}

const struct golden goldens[] = {
	{ "hello-first", put_hello_first },
	{ "hello-again", put_hello_again },
	{ "define-counter", put_define_counter },
	{ "define-gauge", put_define_gauge },
	{ "define-histogram", put_define_histogram },
	{ "update", put_update },
	{ "remove", put_remove },
	{ "ping", put_ping },
	{ "bye", put_bye },
	{ "expose-all", put_expose_all },
	{ "expose-component", put_expose_component },
	{ "status", message_put_status },
	{ "admin", put_admin },
	{ "new", put_new },
	{ "live", put_live },
	{ "folded", put_folded },
	{ "expired", put_expired },
	{ "stale", put_stale },
	{ "unbound", message_put_unbound },
	{ "ack", put_ack },
	{ "ack-refused", put_ack_refused },
	{ "refused", put_refused },
	{ "ok", message_put_ok },
	{ "text", put_text },
	{ "error", put_error },
	{ NULL, NULL },
};
