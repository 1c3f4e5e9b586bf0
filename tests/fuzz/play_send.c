/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of sessions, and their answers. */
#include <jansson.h>

#include "apply_parts.h"
#include "play.h"

uint32_t
play_any(struct play *p, uint32_t below)
{
	return fuzz_below(&p->in, below);
}

struct someone *
play_anyone(struct play *p)
{
	return &p->who[play_any(p, PLAY_PEERS)];
}

/* ---- Requests ---------------------------------------------------------------- */

static bool
is_one_of(enum message_type type, const enum message_type *all)
{
	while (*all && *all != type)
		all++;
	return *all != 0;
}

/* The answers that there are to a request. */
static void
check_answer(const struct message *q, enum message_type answer)
{
	static const enum message_type answers[][7] = {
		[0] = { MESSAGE_ERROR },
		[MESSAGE_HELLO] = { MESSAGE_NEW, MESSAGE_LIVE, MESSAGE_FOLDED,
		    MESSAGE_EXPIRED, MESSAGE_STALE, MESSAGE_ERROR },
		[MESSAGE_DEFINE] = { MESSAGE_ACK, MESSAGE_UNBOUND, MESSAGE_FOLDED,
		    MESSAGE_EXPIRED },
		[MESSAGE_UPDATE] = { MESSAGE_ACK, MESSAGE_UNBOUND, MESSAGE_FOLDED,
		    MESSAGE_EXPIRED, MESSAGE_REFUSED },
		[MESSAGE_REMOVE] = { MESSAGE_ACK, MESSAGE_UNBOUND, MESSAGE_FOLDED,
		    MESSAGE_EXPIRED },
		[MESSAGE_PING] = { MESSAGE_ACK, MESSAGE_UNBOUND, MESSAGE_FOLDED,
		    MESSAGE_EXPIRED },
		[MESSAGE_EXPOSE] = { MESSAGE_TEXT, MESSAGE_ERROR },
		[MESSAGE_STATUS] = { MESSAGE_TEXT, MESSAGE_ERROR },
		[MESSAGE_BYE] = { MESSAGE_OK, MESSAGE_UNBOUND },
		[MESSAGE_ADMIN] = { MESSAGE_TEXT, MESSAGE_ERROR },
	};
	uint32_t type = q->type < PLAY_COUNT(answers) ? q->type : 0;

	fuzz_must(is_one_of(answer, answers[type]), "%s is answered with %s",
	    message_type_word(q->type), message_type_word(answer));
}

static void
check_refused(const struct message *q, const struct message *answer)
{
	struct wire_reader items = answer->refused;
	uint32_t last = 0;

	fuzz_must(answer->count == 0 ||
		      (q->type == MESSAGE_DEFINE && answer->count <= q->count),
	    "%u items of %u are refused", answer->count, q->count);
	for (uint32_t i = 0; i < answer->count; i++) {
		struct message_refused item;

		message_next_refused(&items, &item);
		fuzz_must(item.index < q->count && (i == 0 || item.index > last) &&
			      item.reason != REASON_NONE && item.reason < REASON_END,
		    "an item is refused for a reason");
		last = item.index;
	}
}

static const struct record *
record_of(const struct play *p, uint64_t serial)
{
	const struct sessions *s = &p->w.apply->sessions;
	uint32_t number = sessions_find_serial(s, serial);

	return number ? sessions_record(s, number) : NULL;
}

/* What was told is what the column has. */
static void
check_told(const struct play *p, const struct message *q)
{
	const struct column *c = record_of(p, q->ticket.serial)->live->column;

	for (uint32_t i = 0; i < q->count; i++) {
		const uint8_t *record = q->records + (size_t)i * MESSAGE_RECORD_BYTES;
		uint32_t cell = wire_load_u32(record);
		bool is_last = true;

		for (uint32_t k = i + 1; k < q->count; k++)
			is_last &=
			    wire_load_u32(
				q->records + (size_t)k * MESSAGE_RECORD_BYTES) != cell;
		if (cell == MESSAGE_CELL_DROPPED || !is_last)
			continue;
		fuzz_must(cell < c->room && (c->old[cell] == wire_load_u64(record + 4) ||
						isnan(wire_double(c->old[cell]))),
		    "the cell %u has what it was told", cell);
	}
}

static enum world_change
change_of(const struct message *q, const struct message *answer, uint64_t last)
{
	bool is_new = q->n > last && answer->type == MESSAGE_ACK;

	if (answer->type == MESSAGE_NEW || answer->type == MESSAGE_LIVE)
		return WORLD_WORKERS;
	if (q->type == MESSAGE_BYE && answer->type == MESSAGE_OK)
		return WORLD_WORKERS;
	if (q->type == MESSAGE_DEFINE && is_new)
		return WORLD_DEFINED;
	if ((q->type == MESSAGE_UPDATE || q->type == MESSAGE_REMOVE) && is_new)
		return WORLD_WORKERS;
	if (q->type == MESSAGE_ADMIN && answer->type == MESSAGE_TEXT)
		return WORLD_ANY;
	return WORLD_NOTHING;
}

static void
check_text(const struct play *p, const struct message *q)
{
	json_t *json;

	if (p->reply.type != MESSAGE_TEXT || q->type == MESSAGE_EXPOSE)
		return;
	json = json_loadb(p->reply.text.at, p->reply.text.bytes, 0, NULL);
	fuzz_must(json_is_object(json), "the answer is JSON");
	json_decref(json);
}

/* A request that is no JSON. */
void
play_send(struct play *p, struct someone *from, const void *bytes, size_t n)
{
	struct world *w = &p->w;
	struct message q = { 0 };
	const struct record *record;
	uint64_t last = 0;

	if (message_decode(&q, bytes, n, NULL) != REASON_NONE)
		q = (struct message){ 0 };
	record = record_of(p, q.ticket.serial);
	last = record ? record->last : 0;
	world_before(w);
	strbuf_reset(&w->reply);
	apply_request(w->apply, &from->peer, bytes, n, w->now_ms, &w->reply);
	fuzz_must(
	    message_decode(&p->reply, w->reply.at, w->reply.bytes, NULL) == REASON_NONE,
	    "the answer is a message");
	check_answer(&q, p->reply.type);
	w->is_reset |= q.type == MESSAGE_ADMIN;
	world_after(w, change_of(&q, &p->reply, last), 0, 0);
	if (p->reply.type == MESSAGE_ACK) {
		check_refused(&q, &p->reply);
		fuzz_must(p->reply.n == (q.type == MESSAGE_PING ? last : q.n),
		    "the request %llu is acknowledged", (unsigned long long)q.n);
		if (q.type == MESSAGE_UPDATE && q.n > last)
			check_told(p, &q);
	}
	check_text(p, &q);
}

struct wire_writer
play_writer(struct someone *from)
{
	struct wire_writer out;

	memcpy(from->sent[1], from->sent[0], sizeof(from->sent[1]));
	from->sent_bytes[1] = from->sent_bytes[0];
	wire_writer_init(&out, from->sent[0], sizeof(from->sent[0]));
	return out;
}

void
play_send_writer(struct play *p, struct someone *from, const struct wire_writer *out)
{
	from->sent_bytes[0] = out->failed ? 0 : out->bytes;
	if (!out->failed)
		play_send(p, from, from->sent[0], from->sent_bytes[0]);
}
