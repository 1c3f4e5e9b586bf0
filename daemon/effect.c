/* SPDX-License-Identifier: Apache-2.0 */
#include "effect.h"

#include "names.h"

#define NO_MORE UINT32_MAX /* behind the indexes of refused items */

/* ---- Writing ------------------------------------------------------------- */

static void
put_time(struct effects *e)
{
	struct journal *j = e->journal;

	e->last_ms = e->now_ms;
	e->last_unix_ms = e->unix_ms ? e->unix_ms(e->arg) : 0;
	journal_begin(j, JOURNAL_TIME);
	journal_put_u64(j, e->last_ms);
	journal_put_u64(j, e->last_unix_ms);
	journal_put_u64(j, (uint64_t)e->offset_ms);
	journal_end(j);
}

/* What is written at once begins with the time: then no file has to rest on another. */
bool
effect_begin(struct effects *e, enum journal_type type)
{
	if (e->journal == NULL)
		return false;
	journal_bytes(e->journal, &e->before);
	e->before_ms = e->last_ms;
	e->before_unix_ms = e->last_unix_ms;
	if (e->before == 0 || e->last_ms != e->now_ms)
		put_time(e);
	journal_begin(e->journal, (uint8_t)type);
	return true;
}

void
effect_session(struct effects *e, const struct session_saved *who)
{
	struct journal *j = e->journal;

	if (!effect_begin(e, JOURNAL_REG))
		return;
	journal_put_bytes(j, who->sid, MESSAGE_SID_BYTES);
	journal_put_u64(j, who->serial);
	journal_put_u32(j, who->uid);
	journal_put_u32(j, (uint32_t)who->pid);
	journal_put_u64(j, who->start);
	journal_put_text(j, who->name);
	journal_put_text(j, who->wish);
	journal_put_text(j, who->library);
	journal_end(j);
}

void
effect_name(struct effects *e, uint64_t serial, const char *name)
{
	if (!effect_begin(e, JOURNAL_NAME))
		return;
	journal_put_u64(e->journal, serial);
	journal_put_text(e->journal, wire_text(name));
	journal_end(e->journal);
}

void
effect_fold(struct effects *e, uint64_t serial, bool remember)
{
	if (!effect_begin(e, JOURNAL_FOLD))
		return;
	journal_put_u64(e->journal, serial);
	journal_put_u8(e->journal, remember);
	journal_end(e->journal);
}

void
effect_boot(struct effects *e)
{
	if (effect_begin(e, JOURNAL_BOOT))
		journal_end(e->journal);
}

void
effect_request(
    struct effects *e, enum journal_type type, const void *payload, size_t bytes)
{
	if (!effect_begin(e, type))
		return;
	journal_put_bytes(e->journal, payload, bytes);
	journal_end(e->journal);
}

static struct wire_text
text_of(const void *payload, size_t bytes)
{
	return (struct wire_text){ payload, bytes };
}

void
effect_define_begin(struct effects *e, const void *payload, size_t bytes)
{
	if (effect_begin(e, JOURNAL_DEFINE))
		journal_put_text(e->journal, text_of(payload, bytes));
}

void
effect_refused(struct effects *e, uint32_t index)
{
	if (e->journal)
		journal_put_u32(e->journal, index);
}

void
effect_define_end(struct effects *e)
{
	if (e->journal == NULL)
		return;
	journal_put_u32(e->journal, NO_MORE);
	journal_end(e->journal);
}

void
effect_json_begin(struct effects *e, uint32_t uid, const void *payload, size_t bytes)
{
	if (!effect_begin(e, JOURNAL_JSON))
		return;
	journal_put_u32(e->journal, uid);
	journal_put_text(e->journal, text_of(payload, bytes));
}

static void
put_answer(struct journal *j, const struct effect_answer *answer)
{
	journal_put_bytes(j, answer->key.key, sizeof(answer->key.key));
	journal_put_bytes(j, answer->key.content, sizeof(answer->key.content));
	journal_put_u64(j, answer->until_ms);
	journal_put_u8(j, answer->refused);
	journal_put_text(j, answer->text);
}

void
effect_json_end(struct effects *e, const struct effect_answer *answer)
{
	if (e->journal == NULL)
		return;
	journal_put_u32(e->journal, NO_MORE);
	journal_put_u8(e->journal, answer != NULL);
	if (answer)
		put_answer(e->journal, answer);
	journal_end(e->journal);
}

void
effect_json_cancel(struct effects *e)
{
	if (e->journal == NULL)
		return;
	journal_cut(e->journal, e->before);
	e->last_ms = e->before_ms;
	e->last_unix_ms = e->before_unix_ms;
}

void
effect_untold(struct effects *e)
{
	if (e->journal)
		journal_fail(e->journal);
}

/* ---- Reading ------------------------------------------------------------- */

static struct wire_reader
reader_of(const struct journal_record *record)
{
	struct wire_reader r;

	wire_reader_init(&r, record->body, record->bytes);
	return r;
}

/* Everything was there, and nothing more. */
static bool
is_whole(const struct wire_reader *r)
{
	return !r->failed && wire_left(r) == 0;
}

static uint32_t
next_refused(struct wire_reader *r)
{
	return wire_left(r) > 0 ? wire_get_u32(r) : NO_MORE;
}

bool
effect_was_refused(struct effect_items *items, uint32_t index)
{
	if (index != items->next)
		return false;
	items->next = next_refused(&items->refused);
	return true;
}

/* A request and the indexes behind it, which must rise. */
static bool
get_items(struct wire_reader *r, struct effect_items *ret)
{
	struct wire_text payload = wire_get_long_text(r);
	const uint8_t *first = r->at;
	uint32_t index, before = 0, count = 0;

	for (; (index = wire_get_u32(r)) != NO_MORE && !r->failed; count++) {
		if (count > 0 && index <= before)
			return false;
		before = index;
	}
	*ret = (struct effect_items){ .payload = (const uint8_t *)payload.at,
		.bytes = payload.bytes,
		.count = count };
	if (r->failed)
		return false;
	wire_reader_init(&ret->refused, first, 4 * (size_t)count);
	ret->next = next_refused(&ret->refused);
	return true;
}

bool
effect_get_time(const struct journal_record *record, struct effects *ret)
{
	struct wire_reader r = reader_of(record);
	uint64_t now_ms = wire_get_u64(&r), unix_ms = wire_get_u64(&r),
		 offset_ms = wire_get_u64(&r);

	if (!is_whole(&r) || now_ms > JOURNAL_MS_MOST || unix_ms > JOURNAL_MS_MOST ||
	    offset_ms + JOURNAL_MS_MOST > 2 * JOURNAL_MS_MOST)
		return false;
	ret->now_ms = ret->last_ms = now_ms;
	ret->last_unix_ms = unix_ms;
	ret->offset_ms = (int64_t)offset_ms;
	return true;
}

static bool
is_name(struct wire_text name)
{
	return names_check_worker(name, NULL) == REASON_NONE;
}

bool
effect_get_session(const struct journal_record *record, struct session_saved *ret)
{
	struct wire_reader r = reader_of(record);
	struct session_saved who = { .sid = wire_get_bytes(&r, MESSAGE_SID_BYTES) };

	who.serial = wire_get_u64(&r);
	who.uid = wire_get_u32(&r);
	who.pid = (pid_t)wire_get_u32(&r);
	who.start = wire_get_u64(&r);
	who.name = wire_get_long_text(&r);
	who.wish = wire_get_long_text(&r);
	who.library = wire_get_long_text(&r);
	/* What a snapshot would not be read with is not taken from a journal either. */
	if (!is_whole(&r) || who.serial == 0 || who.serial == UINT64_MAX || who.pid < 0 ||
	    !is_name(who.name) || !is_name(who.wish))
		return false;
	*ret = who;
	return true;
}

bool
effect_get_name(
    const struct journal_record *record, uint64_t *ret_serial, struct wire_text *ret)
{
	struct wire_reader r = reader_of(record);

	*ret_serial = wire_get_u64(&r);
	*ret = wire_get_long_text(&r);
	return is_whole(&r) && is_name(*ret);
}

bool
effect_get_fold(
    const struct journal_record *record, uint64_t *ret_serial, bool *ret_remember)
{
	struct wire_reader r = reader_of(record);

	*ret_serial = wire_get_u64(&r);
	*ret_remember = wire_get_u8(&r) != 0;
	return is_whole(&r);
}

bool
effect_get_define(const struct journal_record *record, struct effect_items *ret)
{
	struct wire_reader r = reader_of(record);

	return get_items(&r, ret) && is_whole(&r);
}

static void
get_answer(struct wire_reader *r, struct effect_answer *ret)
{
	const uint8_t *key = wire_get_bytes(r, sizeof(ret->key.key));
	const uint8_t *content = wire_get_bytes(r, sizeof(ret->key.content));

	if (key == NULL || content == NULL)
		return;
	memcpy(ret->key.key, key, sizeof(ret->key.key));
	memcpy(ret->key.content, content, sizeof(ret->key.content));
	ret->until_ms = wire_get_u64(r);
	ret->refused = wire_get_u8(r) != 0;
	ret->text = wire_get_long_text(r);
}

bool
effect_get_json(const struct journal_record *record, uint32_t *ret_uid,
    struct effect_items *ret, bool *ret_known, struct effect_answer *ret_answer)
{
	struct wire_reader r = reader_of(record);

	*ret_uid = wire_get_u32(&r);
	if (!get_items(&r, ret))
		return false;
	*ret_known = wire_get_u8(&r) != 0;
	if (*ret_known)
		get_answer(&r, ret_answer);
	return is_whole(&r);
}
