/* SPDX-License-Identifier: Apache-2.0 */
#include "apply_parts.h"

struct wire_writer
apply_reply_begin(struct strbuf *reply, size_t room)
{
	struct wire_writer w;
	bool whole = strbuf_reserve(reply, room);

	wire_writer_init(&w, whole ? reply->at + reply->bytes : NULL, whole ? room : 0);
	return w;
}

void
apply_reply_end(struct strbuf *reply, const struct wire_writer *w)
{
	if (!w->failed)
		reply->bytes += w->bytes;
}

void
apply_count_refusal(struct apply *a, const struct apply_peer *peer,
    const struct refusal *r, uint64_t now_ms)
{
	self_refused(a->self, r->reason);
	if (tail_wants(&a->tail) && a->note.refused++ == 0)
		a->note.first = *r;
	log_limited(a->log, LOG_LEVEL_WARNING, r->reason, now_ms,
	    "apply: refused (%s) from pid %d, uid %u: %s", message_reason_word(r->reason),
	    (int)peer->pid, (unsigned)peer->uid, r->text);
}

void
apply_reply_error(const struct request *q, const struct refusal *r)
{
	struct wire_writer w = apply_reply_begin(q->reply, APPLY_REPLY_ROOM);

	apply_count_refusal(q->a, q->peer, r, q->now_ms);
	message_put_error(&w, r);
	apply_reply_end(q->reply, &w);
}

void
apply_log_metric(const struct request *q, const struct message_metric *m,
    const char *worker, pid_t pid)
{
	struct strbuf at = STRBUF_EMPTY;

	if (!log_wants(q->a->log, LOG_LEVEL_DEBUG))
		return;
	strbuf_add(&at, "", 0);
	for (size_t i = 0; i < m->level.depth; i++)
		strbuf_addf(&at, "%s%.*s", i ? "/" : "", (int)m->level.name[i].bytes,
		    m->level.name[i].at);
	log_line(q->a->log, LOG_LEVEL_DEBUG,
	    "apply: registered %s '%.*s' at %s by %s%s%s (pid %d)",
	    message_kind_word(m->kind), (int)m->name.bytes, m->name.at,
	    at.failed || at.bytes == 0 ? "the runtime" : at.at,
	    worker ? "worker '" : "a message in JSON", worker ? worker : "",
	    worker ? "'" : "", (int)pid);
	strbuf_free(&at);
}
