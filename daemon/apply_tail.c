/* SPDX-License-Identifier: Apache-2.0 */
/* tail: each request and what came of it in a line, for the administrator who asks. */
#include "apply_parts.h"

#define SHOWN 240 /* the most bytes of a JSON message, or of a sentence */

/* The live session that the request is of, or NULL. */
static const struct session *
session_of(const struct request *q)
{
	const struct apply_binding *binding =
	    sessions_bound(q->peer->bindings, q->m->ticket.serial);
	const struct record *record;

	if (binding == NULL)
		return NULL;
	record = sessions_record(&q->a->sessions, binding->record);
	return record->serial == binding->serial ? record->live : NULL;
}

void
apply_tail_begin(const struct request *q)
{
	struct apply_note *note = &q->a->note;
	const struct session *session = NULL;

	*note = (struct apply_note){ 0 };
	if (q->m->ticket.serial)
		session = session_of(q);
	if (session)
		memcpy(note->worker, session->name, sizeof(note->worker));
}

/* As a JSON string, whatever the bytes are. */
static void
add_shown(struct strbuf *line, const char *text, size_t bytes)
{
	char shown[SHOWN + 4];
	size_t n = bytes < SHOWN ? bytes : SHOWN;
	bool utf8;

	/* Not half a character at the end. */
	while (n < bytes && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	utf8 = names_utf8((struct wire_text){ text, n });
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		shown[i] = c == '\0' || c == 0x7f || (c >= 0x80 && !utf8) ? '?' : (char)c;
	}
	memcpy(shown + n, "...", 4);
	if (n == bytes)
		shown[n] = '\0';
	strbuf_add_json(line, wire_text(shown));
}

static void
add_request(struct strbuf *line, const struct request *q)
{
	const struct message *m = q->m;
	bool numbered = m->type == MESSAGE_DEFINE || m->type == MESSAGE_UPDATE ||
			m->type == MESSAGE_REMOVE;

	strbuf_addf(line, ",\"type\":\"%s\"", message_type_word(m->type));
	if (numbered)
		strbuf_addf(
		    line, ",\"n\":%llu,\"count\":%u", (unsigned long long)m->n, m->count);
}

/* The name of the reply, and the worker's name if it is a welcome. */
static void
add_answer(struct strbuf *line, const struct request *q)
{
	struct apply_note *note = &q->a->note;
	struct message reply;

	if (message_decode(&reply, q->reply->at, q->reply->bytes, NULL) != REASON_NONE)
		return;
	strbuf_addf(line, ",\"answer\":\"%s\"", message_type_word(reply.type));
	if ((reply.type == MESSAGE_NEW || reply.type == MESSAGE_LIVE) &&
	    reply.worker.bytes < sizeof(note->worker)) {
		memcpy(note->worker, reply.worker.at, reply.worker.bytes);
		note->worker[reply.worker.bytes] = '\0';
	}
}

static void
add_note(struct strbuf *line, const struct apply_note *note)
{
	if (note->worker[0]) {
		strbuf_adds(line, ",\"worker\":");
		strbuf_add_json(line, wire_text(note->worker));
	}
	if (note->refused == 0)
		return;
	strbuf_addf(line, ",\"refused\":%u,\"reason\":\"%s\",\"text\":", note->refused,
	    message_reason_word(note->first.reason));
	add_shown(line, note->first.text, strlen(note->first.text));
}

static void
begin_line(struct strbuf *line, const struct apply_peer *peer, uint64_t now_ms)
{
	strbuf_addf(line, "{\"at_ms\":%llu,\"pid\":%d,\"uid\":%u",
	    (unsigned long long)now_ms, (int)peer->pid, (unsigned)peer->uid);
}

static void
end_line(struct apply *a, struct strbuf *line, uint64_t now_ms)
{
	add_note(line, &a->note);
	strbuf_addc(line, '}');
	tail_add(&a->tail, line->failed ? NULL : line->at, now_ms);
	strbuf_free(line);
}

void
apply_closed(struct apply *a, const struct apply_peer *peer, enum reason reason,
    const char *why, uint64_t now_ms)
{
	struct strbuf line = STRBUF_EMPTY;

	if (!tail_wants(&a->tail))
		return;
	a->note = (struct apply_note){ .refused = 1 };
	refuse(&a->note.first, reason, "%s", why);
	begin_line(&line, peer, now_ms);
	strbuf_adds(&line, ",\"answer\":\"closed\"");
	end_line(a, &line, now_ms);
}

void
apply_tail_end(const struct request *q, bool json, const char *payload, size_t bytes)
{
	struct apply *a = q->a;
	struct strbuf line = STRBUF_EMPTY;

	if (a->note.quiet)
		return;
	begin_line(&line, q->peer, q->now_ms);
	strbuf_addf(&line, ",\"bytes\":%zu", bytes);
	if (json) {
		strbuf_adds(&line, ",\"type\":\"JSON\",\"json\":");
		add_shown(&line, payload, bytes);
	} else {
		add_request(&line, q);
		add_answer(&line, q);
	}
	end_line(a, &line, q->now_ms);
}

void
apply_tail_answer(const struct request *q, bool has_after, uint64_t after)
{
	struct apply *a = q->a;
	struct strbuf text = STRBUF_EMPTY, lines = STRBUF_EMPTY;
	size_t room = a->options.message_bytes - a->options.message_bytes / 4;
	uint64_t next, missed;

	text.failed = !tail_ask(&a->tail, q->now_ms);
	/* A number of another run of the daemon is none of this one's. */
	if (!has_after)
		after = a->tail.n;
	else if (after > a->tail.n)
		after = a->tail.first - 1;
	next = tail_read(&a->tail, after, room, &lines, &missed);
	strbuf_addf(&text,
	    "{\"next\":%llu,\"missed\":%llu,\"now_ms\":%llu,\"more\":%s,\"messages\":[",
	    (unsigned long long)next, (unsigned long long)missed,
	    (unsigned long long)q->now_ms, next < a->tail.n ? "true" : "false");
	strbuf_adds(&text, lines.bytes ? lines.at : "");
	strbuf_adds(&text, "]}");
	text.failed |= lines.failed;
	a->note.quiet = true;
	apply_reply_text(q, &text);
	strbuf_free(&lines);
	strbuf_free(&text);
}
