/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>

#include "apply_parts.h"
#include "registry_saved.h"

/* ---- Writing ------------------------------------------------------------- */

static void
put_record(struct items_out *out, const struct record *record)
{
	items_bytes(out, record->sid, sizeof(record->sid));
	items_u64(out, record->serial);
	items_u64(out, record->last);
	items_u32(out, record->uid);
}

static void
put_session(
    struct items_out *out, const struct sessions *s, const struct session *session)
{
	items_begin(out, ITEM_SESSION);
	put_record(out, sessions_record(s, session->record));
	items_u32(out, (uint32_t)session->pid);
	items_u64(out, session->start);
	items_text(out, wire_text(session->name));
	items_text(out, wire_text(session->wish));
	items_text(out, wire_text(session->library));
	items_u32(out, session->lease_ms);
	items_u64(out, session->born_ms);
	items_u64(out, session->touched_ms);
	items_u64(out, session->updated_ms);
	items_u64(out, session->unbound_ms);
	items_u64(out, session->refused);
}

/* The oldest first: who comes later is put before it. */
static void
put_sessions(
    struct items_out *out, const struct sessions *s, struct registry_save *registry)
{
	const struct session *session = s->first;

	items_begin(out, ITEM_SESSIONS);
	items_u64(out, s->next_serial);
	while (session && session->next)
		session = session->next;
	for (; session; session = session->previous) {
		put_session(out, s, session);
		registry_save_column(registry, session->column);
	}
}

static void
put_folded(struct items_out *out, const struct sessions *s)
{
	const struct record *record;

	for (uint32_t at = s->folded_first; at; at = record->next_folded) {
		record = sessions_record(s, at);
		items_begin(out, ITEM_FOLDED);
		put_record(out, record);
	}
}

static void
put_repeats(struct items_out *out, const struct repeats *r)
{
	for (uint32_t i = 0; i < repeats_count(r); i++) {
		struct repeats_saved saved;

		repeats_saved(r, i, &saved);
		items_begin(out, ITEM_REPEAT);
		items_u32(out, saved.tick);
		items_bytes(out, saved.key.key, sizeof(saved.key.key));
		items_bytes(out, saved.key.content, sizeof(saved.key.content));
		items_u8(out, saved.refused);
		items_text(out, saved.text);
	}
}

static int
put_head(const struct journal_head *head, const struct snapshot_sink *sink)
{
	struct strbuf out = STRBUF_EMPTY;
	int error = ENOMEM;

	journal_put_head_of(&out, SNAPSHOT_HEAD, head);
	if (!out.failed)
		error = sink->put(sink->arg, out.at, out.bytes);
	strbuf_free(&out);
	return error;
}

int
snapshot_write(const struct apply *a, const struct journal_head *head,
    const struct snapshot_sink *sink)
{
	struct items_out out;
	struct registry_save *registry = NULL;
	int error = items_open(&out, sink);

	if (error == 0)
		error = put_head(head, sink);
	if (error)
		goto out;
	registry = registry_save_new(a->registry, &out);
	if (registry == NULL) {
		error = ENOMEM;
		goto out;
	}
	put_sessions(&out, &a->sessions, registry);
	registry_save_rest(registry);
	put_folded(&out, &a->sessions);
	put_repeats(&out, a->repeats);
	error = items_finish(&out);
out:
	registry_save_free(registry);
	items_close(&out);
	return error;
}

/* ---- Items of sessions ---------------------------------------------------- */

struct load {
	struct apply *a;
	struct registry_load *registry;
	uint32_t counts[ITEM_END];
	uint32_t n[ITEM_END]; /* checked so far */
	uint64_t now_ms;      /* of the moment that the file has */
	uint64_t next_serial;
	struct column *column; /* of the session before; NULL: it was left out */
	uint64_t dropped;
};

/* A session, live or folded, with the times of a live one. */
struct load_session {
	struct session_saved saved;
	uint32_t lease_ms;
	uint64_t touched_ms, unbound_ms;
};

static struct load_session
get_record(struct wire_reader *from)
{
	struct load_session s = { .saved = {
				      .sid = wire_get_bytes(from, MESSAGE_SID_BYTES) } };

	s.saved.serial = wire_get_u64(from);
	s.saved.last = wire_get_u64(from);
	s.saved.uid = wire_get_u32(from);
	return s;
}

static struct load_session
get_session(struct wire_reader *from)
{
	struct load_session s = get_record(from);

	s.saved.pid = (pid_t)wire_get_u32(from);
	s.saved.start = wire_get_u64(from);
	s.saved.name = wire_get_long_text(from);
	s.saved.wish = wire_get_long_text(from);
	s.saved.library = wire_get_long_text(from);
	s.lease_ms = wire_get_u32(from);
	s.saved.born_ms = wire_get_u64(from);
	s.touched_ms = wire_get_u64(from);
	s.saved.updated_ms = wire_get_u64(from);
	s.unbound_ms = wire_get_u64(from);
	s.saved.refused = wire_get_u64(from);
	return s;
}

static struct repeats_saved
get_repeat(struct wire_reader *from)
{
	struct repeats_saved r = { .tick = wire_get_u32(from) };
	const uint8_t *key = wire_get_bytes(from, sizeof(r.key.key));
	const uint8_t *content = wire_get_bytes(from, sizeof(r.key.content));

	if (content) {
		memcpy(r.key.key, key, sizeof(r.key.key));
		memcpy(r.key.content, content, sizeof(r.key.content));
	}
	r.refused = wire_get_u8(from) != 0;
	r.text = wire_get_long_text(from);
	return r;
}

/* ---- Checking -------------------------------------------------------------- */

static bool
is_serial(const struct load *l, const struct session_saved *s)
{
	return s->serial > 0 && s->serial < l->next_serial;
}

static bool
is_name(struct wire_text name)
{
	return names_check_worker(name, NULL) == REASON_NONE;
}

static bool
check_session(struct load *l, struct wire_reader *from)
{
	struct load_session s = get_session(from);

	/* Its column comes next. */
	return l->n[ITEM_SESSIONS] == 1 && l->n[ITEM_SESSION] == l->n[ITEM_COLUMN] &&
	       is_serial(l, &s.saved) && s.saved.pid >= 0 && is_name(s.saved.name) &&
	       is_name(s.saved.wish) && is_name(s.saved.library);
}

static bool
check_own(struct load *l, enum item item, struct wire_reader *from)
{
	struct load_session s;
	struct repeats_saved r;

	if (item == ITEM_SESSIONS) {
		l->next_serial = wire_get_u64(from);
		return l->next_serial > 0 && l->n[ITEM_SESSIONS] == 0;
	}
	if (item == ITEM_SESSION)
		return check_session(l, from);
	if (item == ITEM_FOLDED) {
		s = get_record(from);
		return l->n[ITEM_SESSIONS] == 1 && is_serial(l, &s.saved);
	}
	r = get_repeat(from);
	return r.text.bytes <= REPEATS_TEXT_BYTES && (r.refused || r.text.bytes == 0);
}

static bool
is_own(uint8_t item)
{
	return item == ITEM_SESSIONS || item == ITEM_SESSION || item == ITEM_FOLDED ||
	       item == ITEM_REPEAT;
}

static bool
check_item(struct load *l, uint8_t item, struct wire_reader *from)
{
	bool well = item < ITEM_END && l->n[item] < l->counts[item];

	if (item == ITEM_COLUMN)
		well = well && l->n[ITEM_SESSION] == l->n[ITEM_COLUMN] + 1;
	if (well && is_own(item))
		well = check_own(l, item, from) && !from->failed;
	else if (well)
		well = registry_load_check(l->registry, item, from);
	if (well)
		l->n[item]++;
	return well;
}

static enum snapshot_verdict
check_all(struct load *l, struct items_in *in)
{
	bool memory;
	uint8_t item;

	while ((item = items_next(in)) != 0)
		if (!check_item(l, item, &in->block)) {
			registry_load_checked(l->registry, &memory);
			return memory ? SNAPSHOT_MEMORY : SNAPSHOT_DAMAGED;
		}
	if (!registry_load_checked(l->registry, &memory) || l->n[ITEM_SESSIONS] != 1 ||
	    l->n[ITEM_SESSION] != l->n[ITEM_COLUMN] ||
	    memcmp(l->n, l->counts, sizeof(l->n)) != 0)
		return memory ? SNAPSHOT_MEMORY : SNAPSHOT_DAMAGED;
	return SNAPSHOT_OK;
}

/* ---- Loading ---------------------------------------------------------------- */

static bool
is_known(const struct sessions *s, const struct session_saved *saved)
{
	return sessions_find_sid(s, saved->sid) || sessions_find_serial(s, saved->serial);
}

static bool
load_session(struct load *l, struct wire_reader *from)
{
	struct sessions *sessions = &l->a->sessions;
	struct load_session s = get_session(from);
	struct session *session;
	uint32_t number;

	l->column = NULL;
	if (is_known(sessions, &s.saved))
		return true; /* the column is left out, and counted */
	number = sessions_restore(sessions, &s.saved);
	if (number == 0)
		return false;
	session = sessions_record(sessions, number)->live;
	session->lease_ms = s.lease_ms;
	session->touched_ms = s.touched_ms;
	session->unbound_ms = s.unbound_ms;
	l->column = session->column;
	return true;
}

static bool
load_folded(struct load *l, struct wire_reader *from)
{
	struct load_session s = get_record(from);

	return is_known(&l->a->sessions, &s.saved) ||
	       sessions_restore_folded(&l->a->sessions, &s.saved);
}

static bool
load_repeat(struct load *l, struct wire_reader *from)
{
	struct repeats_saved r = get_repeat(from);

	return repeats_find(l->a->repeats, &r.key) || repeats_restore(l->a->repeats, &r);
}

static bool
load_own(struct load *l, uint8_t item, struct wire_reader *from)
{
	if (item == ITEM_SESSION)
		return load_session(l, from);
	if (item == ITEM_FOLDED)
		return load_folded(l, from);
	if (item == ITEM_REPEAT)
		return load_repeat(l, from);
	wire_get_u64(from);
	l->a->sessions.next_serial = l->next_serial;
	return true;
}

static enum snapshot_verdict
load_all(struct load *l, struct items_in *in)
{
	uint8_t item;

	while ((item = items_next(in)) != 0)
		if (is_own(item)
			? !load_own(l, item, &in->block)
			: !registry_load_item(l->registry, item, &in->block, l->column))
			return SNAPSHOT_MEMORY;
	return registry_load_done(l->registry) ? SNAPSHOT_OK : SNAPSHOT_MEMORY;
}

/* ---- All -------------------------------------------------------------------- */

/* *ret_at: where the items begin. */
static enum snapshot_verdict
read_head(const void *bytes, size_t n, struct journal_head *ret, size_t *ret_at)
{
	struct journal_reader r = { .bytes = bytes, .n = n };
	struct journal_record record;

	if (!journal_next(&r, &record))
		return SNAPSHOT_DAMAGED;
	*ret_at = r.good;
	switch (journal_get_head_of(&record, SNAPSHOT_HEAD, ret)) {
	case JOURNAL_OK:
		return SNAPSHOT_OK;
	case JOURNAL_FOREIGN:
		return SNAPSHOT_FOREIGN;
	case JOURNAL_OLDER:
		return SNAPSHOT_OLDER;
	case JOURNAL_NEWER:
		return SNAPSHOT_NEWER;
	case JOURNAL_DAMAGED:
		break;
	}
	return SNAPSHOT_DAMAGED;
}

static void
say(enum snapshot_verdict verdict, uint32_t format, char why[SNAPSHOT_TEXT])
{
	switch (verdict) {
	case SNAPSHOT_OK:
		why[0] = '\0';
		return;
	case SNAPSHOT_DAMAGED:
		snprintf(why, SNAPSHOT_TEXT, "it is damaged, or not complete");
		return;
	case SNAPSHOT_FOREIGN:
		snprintf(why, SNAPSHOT_TEXT, "it is a file of another kind");
		return;
	case SNAPSHOT_OLDER:
	case SNAPSHOT_NEWER:
		snprintf(why, SNAPSHOT_TEXT,
		    "it has the format %u, and this release reads the format %u", format,
		    JOURNAL_FORMAT);
		return;
	case SNAPSHOT_MEMORY:
		snprintf(why, SNAPSHOT_TEXT, "out of memory");
		return;
	}
}

/* The items, which are there in their number. */
static enum snapshot_verdict
read_items(struct load *l, const uint8_t *bytes, size_t n)
{
	enum snapshot_verdict verdict;
	struct items_in in;

	l->registry = registry_load_new(l->a->registry, l->counts, n);
	if (l->registry == NULL)
		return SNAPSHOT_MEMORY;
	items_rewind(&in, bytes, n);
	verdict = check_all(l, &in);
	if (verdict != SNAPSHOT_OK)
		return verdict;
	registry_set_time(l->a->registry, l->now_ms);
	items_rewind(&in, bytes, n);
	return load_all(l, &in);
}

enum snapshot_verdict
snapshot_read(struct apply *a, const void *bytes, size_t n, struct journal_head *ret_head,
    uint64_t *ret_dropped, char why[SNAPSHOT_TEXT])
{
	struct load l = { .a = a };
	struct journal_head head = { 0 };
	size_t at = 0;
	enum snapshot_verdict verdict = read_head(bytes, n, &head, &at);
	const uint8_t *items = NULL;
	const char *first = "";

	l.now_ms = head.clock_ms;
	if (verdict == SNAPSHOT_OK)
		items = (const uint8_t *)bytes + at;
	if (verdict == SNAPSHOT_OK && !items_check(items, n - at, l.counts))
		verdict = SNAPSHOT_DAMAGED;
	if (verdict == SNAPSHOT_OK)
		verdict = read_items(&l, items, n - at);
	say(verdict, head.format, why);
	if (verdict == SNAPSHOT_OK) {
		*ret_head = head;
		a->dropped_seen = registry_client_dropped(a->registry);
		l.dropped = registry_load_dropped(l.registry, &first);
		if (l.dropped)
			snprintf(why, SNAPSHOT_TEXT, "%s", first);
		if (ret_dropped)
			*ret_dropped = l.dropped;
	}
	registry_load_free(l.registry);
	return verdict;
}
