/* SPDX-License-Identifier: Apache-2.0 */
/* ADMIN: who may, and what is done. */
#include "admin.h"
#include "apply_parts.h"

#define ANSWER_HEAD 128 /* an answer to remove without its series */

/* What comes through a device has the device's user, whoever sent it. */
static enum reason
check_owner(const struct request *q, struct refusal *r)
{
	const struct apply_peer *peer = q->peer;

	if (!peer->direct)
		return refuse(r, REASON_OWNER,
		    "administration does not go through a bridge or a PUSH: ask on the "
		    "daemon's host, at its own socket");
	if (peer->uid != 0 && peer->uid != q->a->options.admin_uid)
		return refuse(r, REASON_OWNER,
		    "only root and the daemon's own user (uid %u) may administer it, not "
		    "uid %u",
		    (unsigned)q->a->options.admin_uid, (unsigned)peer->uid);
	return REASON_NONE;
}

/* ---- remove ---------------------------------------------------------------- */

/* The second naming makes a name fit. */
static enum reason
check_name(const struct request *q, const struct admin_command *c, struct refusal *r)
{
	char shown[64];

	if (c->verb != ADMIN_REMOVE || registry_naming(q->a->registry)->component ||
	    names_is_metric(c->name))
		return REASON_NONE;
	return refuse(
	    r, REASON_NAME, "'%s' cannot be a metric's name", names_show(c->name, shown));
}

/* Lines as an array of strings, as many as fit into room bytes. */
static void
add_lines(struct strbuf *text, const struct strbuf *lines, size_t room)
{
	const char *at = lines->bytes ? lines->at : "", *end = at + lines->bytes;
	size_t begun = text->bytes;

	strbuf_addc(text, '[');
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((stop ? stop : end) - at);

		/* Each byte may be escaped into six. */
		if (text->bytes - begun + 6 * n + 4 > room)
			break;
		strbuf_adds(text, text->bytes - begun > 1 ? "," : "");
		strbuf_add_json(text, (struct wire_text){ at, n });
		at += n + 1;
	}
	strbuf_addc(text, ']');
}

bool
apply_admin_remove(struct apply *a, const struct admin_command *c, struct strbuf *lines,
    struct registry_removed *ret_done)
{
	struct registry_removal what = { .name = c->name,
		.level = c->level,
		.n = c->n_labels,
		.label_name = c->label_name,
		.label_value = c->label_value,
		.dry_run = c->dry_run };
	struct registry_removed done;

	registry_remove_matching(a->registry, &what, lines, &done);
	if (ret_done)
		*ret_done = done;
	return !lines->failed;
}

/* Without memory, what could not be compared stayed: that is not what is asked for. */
static void
record_removal(const struct request *q, const struct registry_removed *done, bool whole)
{
	struct effects *effects = &q->a->effects;

	if (done->removed + done->reset == 0)
		return;
	if (whole)
		effect_request(effects, JOURNAL_ADMIN, q->payload, q->bytes);
	else
		effect_untold(effects);
}

static void
remove_and_tell(const struct request *q, const struct admin_command *c, size_t room,
    struct strbuf *text)
{
	struct apply *a = q->a;
	struct registry_removed done = { 0 };
	struct strbuf lines = STRBUF_EMPTY;
	bool whole;

	whole = apply_admin_remove(a, c, &lines, &done);
	if (!c->dry_run) {
		record_removal(q, &done, whole);
		log_line(a->log, LOG_LEVEL_INFO,
		    "apply: removed: %u series of '%.*s', and %u begin again, by pid %d, "
		    "uid %u",
		    done.removed, (int)c->name.bytes, c->name.at, done.reset,
		    (int)q->peer->pid, (unsigned)q->peer->uid);
	}
	strbuf_addf(text,
	    "{\"removed\":%u,\"reset\":%u,\"dry_run\":%s,\"series\":", done.removed,
	    done.reset, c->dry_run ? "true" : "false");
	add_lines(text, &lines, room);
	strbuf_addc(text, '}');
	text->failed |= lines.failed && done.removed + done.reset == 0;
	strbuf_free(&lines);
}

/* The answer has its memory before anything is removed. */
static void
do_remove(const struct request *q, const struct admin_command *c)
{
	size_t room = q->a->options.message_bytes / 2;
	struct strbuf text = STRBUF_EMPTY;

	if (strbuf_reserve(&text, room + ANSWER_HEAD) &&
	    strbuf_reserve(q->reply, room + ANSWER_HEAD + APPLY_REPLY_ROOM))
		remove_and_tell(q, c, room, &text);
	apply_reply_text(q, &text);
	strbuf_free(&text);
}

/* ---- log_level ------------------------------------------------------------- */

static enum log_level
level_now(const struct log *log)
{
	enum log_level level = LOG_LEVEL_DEBUG;

	while (level > LOG_LEVEL_ERROR && !log_wants(log, level))
		level--;
	return level;
}

static void
do_log_level(const struct request *q, const struct admin_command *c)
{
	struct log *log = q->a->log;
	enum log_level was = level_now(log);
	struct strbuf text = STRBUF_EMPTY;

	/* Told under the one of both levels that tells more. */
	if (c->log_level > was)
		log_set_level(log, c->log_level);
	log_line(log, LOG_LEVEL_INFO,
	    "apply: log level: %s instead of %s, by pid %d, uid %u",
	    log_level_word(c->log_level), log_level_word(was), (int)q->peer->pid,
	    (unsigned)q->peer->uid);
	log_set_level(log, c->log_level);
	strbuf_addf(&text, "{\"level\":\"%s\",\"was\":\"%s\"}",
	    log_level_word(c->log_level), log_level_word(was));
	apply_reply_text(q, &text);
	strbuf_free(&text);
}

/* ---- Dispatch -------------------------------------------------------------- */

static void
run(const struct request *q, const struct admin_command *c)
{
	switch (c->verb) {
	case ADMIN_REMOVE:
		do_remove(q, c);
		return;
	case ADMIN_LOG_LEVEL:
		do_log_level(q, c);
		return;
	case ADMIN_TAIL:
		apply_tail_answer(q, c->has_after, c->after);
		return;
	}
}

void
apply_admin(const struct request *q)
{
	struct admin_command c;
	struct refusal r = { 0 };

	if (check_owner(q, &r) != REASON_NONE ||
	    admin_read(&c, q->m->text, &r) != REASON_NONE) {
		apply_reply_error(q, &r);
		return;
	}
	if (check_name(q, &c, &r) == REASON_NONE)
		run(q, &c);
	else
		apply_reply_error(q, &r);
	admin_free(&c);
}
