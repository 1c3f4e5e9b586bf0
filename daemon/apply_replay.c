/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Effects again, out of a journal: as a request does them, but for its checks, its reply
 * and what is said about it. The interface is in apply.h.
 */
#include <stdlib.h>

#include "admin.h"
#include "apply_parts.h"

static enum reason
memory(struct refusal *why)
{
	return refuse(why, REASON_MEMORY, "out of memory");
}

/* What cannot follow what was replayed before it. */
static enum reason
misfit(struct refusal *why, const char *what)
{
	return refuse(why, REASON_MESSAGE, "%s", what);
}

/* ---- Sessions -------------------------------------------------------------- */

static enum reason
replay_time(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	if (!effect_get_time(record, &a->effects))
		return misfit(why, "a time that is none");
	registry_set_time(a->registry, a->effects.now_ms);
	return REASON_NONE;
}

static enum reason
replay_head(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	struct journal_head head;

	if (journal_get_head(record, &head) != JOURNAL_OK ||
	    head.store != a->options.store)
		return misfit(why, "a head of another state");
	a->effects.now_ms = a->effects.last_ms = head.clock_ms;
	a->effects.last_unix_ms = head.unix_ms;
	a->effects.offset_ms = head.offset_ms;
	registry_set_time(a->registry, head.clock_ms);
	return REASON_NONE;
}

static enum reason
replay_session(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	struct sessions *s = &a->sessions;
	struct session_saved who;
	uint32_t same;

	if (!effect_get_session(record, &who))
		return misfit(why, "a session that is none");
	/* A folded one was forgotten by then: there was less memory for such. */
	same = sessions_find_sid(s, who.sid);
	if (same && sessions_record(s, same)->live == NULL)
		sessions_forget(s, same);
	if (sessions_find_sid(s, who.sid) || sessions_find_serial(s, who.serial))
		return misfit(why, "a session that is there already");
	who.born_ms = a->effects.now_ms;
	return sessions_restore(s, &who) ? REASON_NONE : memory(why);
}

/* The live session of a serial. */
static struct record *
find_live(struct apply *a, uint64_t serial, uint32_t *ret_number)
{
	uint32_t number = sessions_find_serial(&a->sessions, serial);
	struct record *record = number ? sessions_record(&a->sessions, number) : NULL;

	*ret_number = number;
	return record && record->live ? record : NULL;
}

static enum reason
replay_name(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	struct record *of;
	uint64_t serial;
	struct wire_text name;
	uint32_t number;

	if (!effect_get_name(record, &serial, &name) ||
	    (of = find_live(a, serial, &number)) == NULL)
		return misfit(why, "a name of a session that is not there");
	return sessions_rename(&a->sessions, of->live, name) ? REASON_NONE : memory(why);
}

static enum reason
replay_fold(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	uint64_t serial;
	uint32_t number;
	bool remember;

	if (!effect_get_fold(record, &serial, &remember) ||
	    find_live(a, serial, &number) == NULL)
		return misfit(why, "the end of a session that is not there");
	sessions_end(&a->sessions, number, remember);
	return REASON_NONE;
}

/* ---- Requests of sessions ----------------------------------------------------- */

/* A request that was applied, and the session it is of: its next. */
static enum reason
open_request(struct apply *a, const void *payload, size_t bytes, enum message_type type,
    struct message *m, struct record **ret, struct refusal *why)
{
	uint32_t number;

	if (message_decode(m, payload, bytes, why) != REASON_NONE)
		return why->reason;
	if (m->type != type || m->ticket.store != a->options.store)
		return misfit(why, "a request that is none, or of another state");
	*ret = find_live(a, m->ticket.serial, &number);
	if (*ret == NULL || m->n <= (*ret)->last)
		return misfit(
		    why, "a request of a session that is not there, or past it");
	(*ret)->last = m->n;
	return REASON_NONE;
}

/* An item that was taken then: names and labels of now may not allow it. */
static enum reason
define_again(struct apply *a, struct column *column, const struct message_item *item,
    struct refusal *why)
{
	struct refusal r = { 0 };
	enum reason reason = REASON_NONE;

	switch (item->type) {
	case MESSAGE_ITEM_METRIC:
		reason = registry_define_metric(a->registry, column, &item->metric, &r);
		break;
	case MESSAGE_ITEM_CHILD:
		reason =
		    registry_define_child(a->registry, column, &item->child, NULL, &r);
		break;
	}
	if (reason == REASON_MEMORY)
		return memory(why);
	if (reason == REASON_NONE)
		return REASON_NONE;
	/* What had the cell had lost it. */
	if (item->type == MESSAGE_ITEM_CHILD)
		registry_remove_child(a->registry, column, item->child.cell);
	a->replaying.dropped++;
	return REASON_NONE;
}

static enum reason
replay_define(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	struct effect_items items;
	struct message_item item;
	struct message m = { 0 };
	struct record *of;
	enum reason reason;

	if (!effect_get_define(record, &items))
		return misfit(why, "a definition that is none");
	reason =
	    open_request(a, items.payload, items.bytes, MESSAGE_DEFINE, &m, &of, why);
	if (reason != REASON_NONE)
		return reason;
	of->live->refused += items.count;
	for (uint32_t i = 0; i < m.count && reason == REASON_NONE; i++) {
		message_next_item(&m.items, &item);
		if (!effect_was_refused(&items, i))
			reason = define_again(a, of->live->column, &item, why);
	}
	return reason;
}

static enum reason
replay_update(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	struct message m = { 0 };
	struct record *of;
	enum reason reason =
	    open_request(a, record->body, record->bytes, MESSAGE_UPDATE, &m, &of, why);

	for (uint32_t i = 0; i < m.count && reason == REASON_NONE; i++) {
		const uint8_t *one = m.records + (size_t)i * MESSAGE_RECORD_BYTES;
		struct refusal r = { 0 };

		reason = registry_check_records(of->live->column, one, 1, &r);
		if (reason == REASON_NONE)
			registry_apply_records(a->registry, of->live->column, one, 1);
		else if (reason == REASON_CELL)
			reason = REASON_NONE; /* of a series that was left out */
		else
			refuse(why, reason, "%s", r.text);
	}
	if (reason == REASON_NONE)
		of->live->updated_ms = a->effects.now_ms;
	return reason;
}

static enum reason
replay_remove(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	struct message m = { 0 };
	struct record *of;
	enum reason reason =
	    open_request(a, record->body, record->bytes, MESSAGE_REMOVE, &m, &of, why);

	for (uint32_t i = 0; i < m.count && reason == REASON_NONE; i++)
		registry_remove_child(a->registry, of->live->column,
		    wire_load_u32(m.records + 4 * (size_t)i));
	return reason;
}

/* ---- JSON, ADMIN, and what time takes away ------------------------------------- */

/* The message is known again, as it was. */
static enum reason
remember_again(struct apply *a, uint32_t uid, const struct effect_answer *answer,
    struct refusal *why)
{
	uint32_t number;

	/* Keys that were forgotten without a word. */
	repeats_expire(a->repeats, a->effects.now_ms, UINT32_MAX);
	if (repeats_find(a->repeats, &answer->key))
		return misfit(why, "a message that was applied already");
	if (!repeats_take(a->repeats, uid, &answer->key, &number))
		return memory(why);
	repeats_keep(
	    a->repeats, number, answer->until_ms, answer->refused ? &answer->text : NULL);
	return REASON_NONE;
}

static enum reason
apply_batch(struct apply *a, const struct request *q, struct json_batch *batch,
    struct effect_items *items, struct refusal *why)
{
	for (size_t i = 0; i < json_batch_count(batch); i++) {
		struct refusal r = { 0 };
		struct json_metric j;

		if (effect_was_refused(items, (uint32_t)i))
			continue;
		if (json_batch_metric(batch, i, &j, &r) == REASON_NONE)
			apply_json_metric(q, &j, &r);
		if (r.reason == REASON_MEMORY)
			return memory(why);
		a->replaying.dropped += r.reason != REASON_NONE;
	}
	return REASON_NONE;
}

static enum reason
replay_json(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	struct apply_peer peer = { 0 };
	struct request q = { .a = a, .peer = &peer, .now_ms = a->effects.now_ms };
	struct json_batch *batch = NULL;
	struct effect_items items;
	struct effect_answer answer;
	enum reason reason;
	uint32_t uid;
	bool known;

	if (!effect_get_json(record, &uid, &items, &known, &answer))
		return misfit(why, "a message in JSON that is none");
	peer.uid = uid;
	reason = json_batch_new(&batch, items.payload, items.bytes, why);
	if (reason == REASON_NONE && known)
		reason = remember_again(a, uid, &answer, why);
	if (reason == REASON_NONE)
		reason = apply_batch(a, &q, batch, &items, why);
	json_batch_free(batch);
	return reason;
}

/* It was JSON then, but a file may say anything. For jansson a string without memory is a
 * bad token, too: what is none twice, while there is memory, was never JSON. */
static enum reason
read_command(struct admin_command *ret, struct wire_text text, struct refusal *r)
{
	enum reason reason = admin_read(ret, text, r);
	void *room;

	if (reason != REASON_JSON)
		return reason;
	*r = (struct refusal){ 0 };
	reason = admin_read(ret, text, r);
	if (reason != REASON_JSON)
		return reason;
	room = malloc(4096 + 16 * text.bytes);
	reason = room ? REASON_JSON : REASON_MEMORY;
	free(room);
	return reason;
}

static enum reason
replay_admin(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	struct message m = { 0 };
	struct admin_command c;
	struct strbuf lines = STRBUF_EMPTY;
	struct refusal r = { 0 };
	enum reason reason = message_decode(&m, record->body, record->bytes, why);

	if (reason == REASON_NONE && m.type != MESSAGE_ADMIN)
		reason = misfit(why, "an administrator's request that is none");
	if (reason != REASON_NONE)
		return reason;
	reason = read_command(&c, m.text, &r);
	if (reason == REASON_MEMORY)
		return memory(why);
	if (reason != REASON_NONE)
		return refuse(why, reason, "%s", r.text);
	if (c.verb != ADMIN_REMOVE)
		reason = misfit(why, "an administrator's request that changes nothing");
	else if (!apply_admin_remove(a, &c, &lines, NULL))
		reason = memory(why);
	strbuf_free(&lines);
	admin_free(&c);
	return reason;
}

static enum reason
replay_gone(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	return registry_gone(a->registry, record, why);
}

static enum reason
replay_boot(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	(void)record;
	(void)why;
	registry_retained_forget_times(a->registry);
	return REASON_NONE;
}

static enum reason
replay_nothing(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	(void)a;
	(void)record;
	(void)why;
	return REASON_NONE;
}

/* ---- The interface --------------------------------------------------------------- */

/* The most that requests can carry, and counts without end. */
static const struct registry_limits no_limits = {
	.names = { .name_bytes = NAMES_NAME_BYTES_MAX,
	    .help_bytes = UINT32_MAX,
	    .labels = MESSAGE_LABELS_MAX,
	    .label_bytes = UINT32_MAX,
	    .buckets = MESSAGE_BOUNDS_MAX },
	.families = UINT32_MAX,
	.series = UINT32_MAX,
	.series_per_family = UINT32_MAX,
	.series_per_worker = UINT32_MAX,
	.series_per_uid = UINT32_MAX,
};

void
apply_replay_begin(struct apply *a)
{
	a->replaying = (struct apply_replaying){ .journal = a->effects.journal,
		.log = a->log,
		.registry_log = registry_set_log(a->registry, NULL),
		.limits = *registry_limits(a->registry) };
	a->effects.journal = NULL;
	a->log = NULL;
	registry_set_limits(a->registry, &no_limits);
}

enum reason
apply_replay(struct apply *a, const struct journal_record *record, struct refusal *why)
{
	static enum reason (*const replay[])(
	    struct apply *, const struct journal_record *, struct refusal *) = {
		[JOURNAL_HEAD] = replay_head,
		[JOURNAL_SEAL] = replay_nothing,
		[JOURNAL_TIME] = replay_time,
		[JOURNAL_REG] = replay_session,
		[JOURNAL_NAME] = replay_name,
		[JOURNAL_DEFINE] = replay_define,
		[JOURNAL_UPDATE] = replay_update,
		[JOURNAL_REMOVE] = replay_remove,
		[JOURNAL_FOLD] = replay_fold,
		[JOURNAL_JSON] = replay_json,
		[JOURNAL_ADMIN] = replay_admin,
		[JOURNAL_GONE] = replay_gone,
		[JOURNAL_BOOT] = replay_boot,
	};

	if (record->type >= sizeof(replay) / sizeof(replay[0]) ||
	    replay[record->type] == NULL)
		return refuse(
		    why, REASON_MESSAGE, "a record of the unknown type %u", record->type);
	return replay[record->type](a, record, why);
}

uint64_t
apply_replay_dropped(const struct apply *a)
{
	return a->replaying.dropped;
}

/* The self-metrics count what happens in this run. */
static void
begin_counts(struct apply *a)
{
	a->replaced_seen = registry_replaced(a->registry);
	for (size_t i = 0; i < REGISTRY_CAUSES; i++)
		a->removed_seen[i] =
		    registry_removed(a->registry, (enum registry_cause)i);
	a->dropped_seen = registry_client_dropped(a->registry);
}

void
apply_replay_end(struct apply *a)
{
	a->effects.journal = a->replaying.journal;
	a->log = a->replaying.log;
	registry_set_log(a->registry, a->replaying.registry_log);
	registry_set_limits(a->registry, &a->replaying.limits);
	begin_counts(a);
}
