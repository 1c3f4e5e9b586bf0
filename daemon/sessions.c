/* SPDX-License-Identifier: Apache-2.0 */
#include "sessions.h"

#include <stdio.h>
#include <stdlib.h>

#include "sessions_parts.h"

#define FOLDED_MOST 65536 /* 4 MB: a worker that is folded comes back within seconds */

/* Causes of limited log lines; 60 to 63 are this module's. */
enum { CAUSE_CONNECTED = 60, CAUSE_FOLDED };

/* ---- Records ----------------------------------------------------------- */

struct record *
sessions_record(const struct sessions *s, uint32_t number)
{
	return slab_at(&s->records, number);
}

static uint64_t
sid_hash(const void *owner, uint32_t number)
{
	return table_hash(sessions_record(owner, number)->sid, MESSAGE_SID_BYTES);
}

static bool
sid_equal(const void *owner, uint32_t number, const void *key)
{
	return memcmp(sessions_record(owner, number)->sid, key, MESSAGE_SID_BYTES) == 0;
}

static uint64_t
serial_hash(const void *owner, uint32_t number)
{
	return table_hash(&sessions_record(owner, number)->serial, sizeof(uint64_t));
}

static bool
serial_equal(const void *owner, uint32_t number, const void *key)
{
	return memcmp(&sessions_record(owner, number)->serial, key, sizeof(uint64_t)) ==
	       0;
}

static const struct index_keys sid_keys = { sid_hash, sid_equal, NULL };
static const struct index_keys serial_keys = { serial_hash, serial_equal, NULL };

uint32_t
sessions_find_sid(const struct sessions *s, const uint8_t *sid)
{
	return index_find(&s->by_sid, table_hash(sid, MESSAGE_SID_BYTES), sid);
}

uint32_t
sessions_find_serial(const struct sessions *s, uint64_t serial)
{
	return index_find(&s->by_serial, table_hash(&serial, sizeof(serial)), &serial);
}

static uint32_t
record_new(struct sessions *s, const uint8_t *sid, uint64_t serial, uid_t uid)
{
	uint32_t number = sessions_folded_reserve(s, uid) ? slab_new(&s->records) : 0;
	struct record *r = number ? sessions_record(s, number) : NULL;

	if (r == NULL)
		return 0;
	memcpy(r->sid, sid, MESSAGE_SID_BYTES);
	r->serial = serial;
	r->uid = uid;
	if (!index_add(&s->by_sid, sid_hash(s, number), number))
		goto fail;
	if (!index_add(&s->by_serial, serial_hash(s, number), number))
		goto fail_sid;
	if (serial >= s->next_serial)
		s->next_serial = serial + 1;
	return number;
fail_sid:
	index_remove(&s->by_sid, sid_hash(s, number), number);
fail:
	r->serial = 0;
	slab_release(&s->records, number);
	return 0;
}

void
sessions_record_free(struct sessions *s, uint32_t number)
{
	index_remove(&s->by_sid, sid_hash(s, number), number);
	index_remove(&s->by_serial, serial_hash(s, number), number);
	sessions_record(s, number)->serial = 0;
	slab_release(&s->records, number);
}

/* ---- Sessions ------------------------------------------------------------ */

static void
copy_text(char *out, size_t room, struct wire_text text)
{
	snprintf(out, room, "%.*s", (int)text.bytes, text.at);
}

/* For people only: nothing checks it, and it may be cut anywhere. */
static void
copy_shown(char *out, size_t room, struct wire_text text)
{
	char shown[64];

	copy_text(out, room, wire_text(names_show(text, shown)));
}

static void
link_live(struct sessions *s, struct session *session)
{
	session->next = s->first;
	if (s->first)
		s->first->previous = session;
	s->first = session;
	s->n_live++;
}

static void
unlink_live(struct sessions *s, struct session *session)
{
	if (session->previous)
		session->previous->next = session->next;
	else
		s->first = session->next;
	if (session->next)
		session->next->previous = session->previous;
	s->n_live--;
}

static void
due_by(struct sessions *s, uint64_t at_ms)
{
	if (at_ms < s->due_ms)
		s->due_ms = at_ms;
}

static uint32_t
shorter_ms(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t
sessions_restore(struct sessions *s, const struct session_saved *who)
{
	struct session *session = calloc(1, sizeof(*session));
	uint32_t number = session ? record_new(s, who->sid, who->serial, who->uid) : 0;

	if (number == 0)
		goto fail;
	copy_text(session->name, sizeof(session->name), who->name);
	copy_text(session->wish, sizeof(session->wish), who->wish);
	copy_shown(session->library, sizeof(session->library), who->library);
	session->column = registry_column_new(s->registry, wire_text(session->name));
	if (session->column == NULL)
		goto fail_record;
	session->owner = owners_add(&s->owners, who->uid);
	if (session->owner == 0)
		goto fail_column;
	registry_column_owner(session->column, who->uid);
	session->column->hidden = true;
	session->record = number;
	session->pid = who->pid;
	session->start = who->start;
	session->born_ms = session->touched_ms = session->unbound_ms = who->born_ms;
	session->updated_ms = who->updated_ms;
	session->refused = who->refused;
	session->lease_ms = s->lease_ms;
	sessions_record(s, number)->last = who->last;
	sessions_record(s, number)->live = session;
	link_live(s, session);
	return number;

fail_column:
	registry_column_fold(s->registry, session->column);
fail_record:
	sessions_record_free(s, number);
fail:
	free(session);
	return 0;
}

uint32_t
sessions_restore_folded(struct sessions *s, const struct session_saved *who)
{
	uint32_t number = record_new(s, who->sid, who->serial, who->uid);

	if (number == 0)
		return 0;
	sessions_record(s, number)->last = who->last;
	sessions_remember(s, number);
	return number;
}

uint32_t
sessions_new(struct sessions *s, const struct session_saved *who, uint64_t now_ms)
{
	struct session_saved saved = *who;
	char wish[NAMES_WORKER_BYTES + 1], name[NAMES_WORKER_BYTES + 1];
	uint32_t number;

	copy_text(wish, sizeof(wish), who->wish);
	if (!sessions_choose_name(s, wish, name))
		return 0;
	saved.name = wire_text(name);
	saved.serial = s->next_serial;
	saved.born_ms = now_ms;
	number = sessions_restore(s, &saved);
	if (number == 0)
		return 0;
	effect_session(s->effects, &saved);
	due_by(s, now_ms + shorter_ms(s->grace_ms, s->lease_ms));
	s->had_worker = true;
	log_often(s->log, LOG_LEVEL_INFO, CAUSE_CONNECTED, now_ms,
	    "sessions: worker '%s' connected: pid %d, uid %u", name, (int)who->pid,
	    (unsigned)who->uid);
	return number;
}

bool
sessions_rename(struct sessions *s, struct session *session, struct wire_text name)
{
	if (name.bytes > 0 && !registry_column_rename(s->registry, session->column, name))
		return false;
	copy_text(session->name, sizeof(session->name), name);
	session->column->hidden |= name.bytes == 0;
	return true;
}

/* Its name may have gone to a successor meanwhile: then it gets another. */
static bool
show_again(struct sessions *s, struct session *session)
{
	char name[NAMES_WORKER_BYTES + 1];

	if (session->name[0] == '\0') {
		if (!sessions_choose_name(s, session->wish, name) ||
		    !sessions_rename(s, session, wire_text(name)))
			return false;
		effect_name(
		    s->effects, sessions_record(s, session->record)->serial, name);
	}
	session->column->hidden = false;
	return true;
}

const struct apply_binding *
sessions_bound(const struct apply_binding *bindings, uint64_t serial)
{
	while (bindings && bindings->serial != serial)
		bindings = bindings->next;
	return bindings;
}

/* Sessions that have ended: else who begins one after the other had more and more. */
static void
forget_ended(const struct sessions *s, struct apply_binding **bindings)
{
	struct apply_binding *binding;

	while ((binding = *bindings) != NULL) {
		const struct record *record = sessions_record(s, binding->record);

		if (record->serial == binding->serial && record->live) {
			bindings = &binding->next;
			continue;
		}
		*bindings = binding->next;
		free(binding);
	}
}

bool
sessions_bind(struct sessions *s, struct apply_binding **bindings, uint32_t number,
    bool direct, uint64_t now_ms)
{
	struct record *record = sessions_record(s, number);
	struct apply_binding *binding;

	record->live->touched_ms = now_ms;
	record->live->lease_ms = s->lease_ms;
	due_by(s, now_ms + s->lease_ms);
	if (!show_again(s, record->live))
		return false;
	forget_ended(s, bindings);
	if (sessions_bound(*bindings, record->serial))
		return true;
	binding = malloc(sizeof(*binding));
	if (binding == NULL)
		return false;
	*binding = (struct apply_binding){ *bindings, number, record->serial, direct };
	*bindings = binding;
	record->live->bound++;
	return true;
}

void
sessions_end(struct sessions *s, uint32_t number, bool remember)
{
	struct session *session = sessions_record(s, number)->live;

	registry_column_fold(s->registry, session->column);
	owners_remove(&s->owners, session->owner);
	unlink_live(s, session);
	free(session);
	if (remember)
		sessions_remember(s, number);
	else
		sessions_record_free(s, number);
}

void
sessions_fold(
    struct sessions *s, uint32_t number, bool remember, const char *why, uint64_t now_ms)
{
	const struct record *record = sessions_record(s, number);

	log_often(s->log, LOG_LEVEL_INFO, CAUSE_FOLDED, now_ms,
	    "sessions: worker '%s' (pid %d) folded: %s", record->live->name,
	    (int)record->live->pid, why);
	effect_fold(s->effects, record->serial, remember);
	sessions_end(s, number, remember);
	self_add(s->self, SELF_SESSIONS_FOLDED, 0, 0, 1);
}

/* Nobody sees a difference when it is folded before its lease is over. */
static bool
is_idle(const struct session *session)
{
	return session->bound == 0 &&
	       (session->column->hidden || session->column->n_series == 0);
}

bool
sessions_make_room(struct sessions *s, uint32_t owner, uint64_t now_ms)
{
	const struct session *longest = NULL;

	for (const struct session *o = s->first; o; o = o->next)
		if (is_idle(o) && (owner == 0 || o->owner == owner) &&
		    (longest == NULL || o->unbound_ms < longest->unbound_ms))
			longest = o;
	if (longest == NULL)
		return false;
	sessions_fold(s, longest->record, true, "its place was needed", now_ms);
	return true;
}

void
sessions_unbind(
    struct sessions *s, struct apply_binding **bindings, bool certainly, uint64_t now_ms)
{
	struct apply_binding *binding;

	while ((binding = *bindings) != NULL) {
		struct record *record = sessions_record(s, binding->record);
		struct session *session =
		    record->serial == binding->serial ? record->live : NULL;

		*bindings = binding->next;
		if (session && --session->bound == 0) {
			session->unbound_ms = now_ms;
			due_by(s, now_ms + s->grace_ms);
			if (certainly && binding->direct)
				sessions_fold(s, binding->record, false,
				    "its process ended", now_ms);
		}
		free(binding);
	}
}

/* Fold or hide one session if its time has come; when it has to be looked at again. */
static uint64_t
tick_one(struct sessions *s, struct session *session, uint64_t now_ms)
{
	uint64_t since = session->bound ? session->touched_ms : session->unbound_ms;

	if (now_ms - since >= session->lease_ms) {
		sessions_fold(s, session->record, true,
		    session->bound ? "it was silent for the lease"
				   : "it did not come back within the lease",
		    now_ms);
		return UINT64_MAX;
	}
	if (session->bound > 0 || session->column->hidden)
		return since + session->lease_ms;
	if (now_ms - since < s->grace_ms)
		return since + shorter_ms(s->grace_ms, session->lease_ms);
	session->column->hidden = true;
	return since + session->lease_ms;
}

void
sessions_tick(struct sessions *s, uint64_t now_ms)
{
	if (now_ms < s->due_ms)
		return;
	s->due_ms = UINT64_MAX;
	for (struct session *session = s->first, *next; session; session = next) {
		next = session->next;
		due_by(s, tick_one(s, session, now_ms));
	}
}

void
sessions_postpone(struct sessions *s, uint64_t now_ms)
{
	s->due_ms = now_ms + s->grace_ms;
}

void
sessions_begin_again(struct sessions *s, uint64_t now_ms)
{
	for (struct session *session = s->first; session; session = session->next) {
		session->bound = 0;
		session->touched_ms = session->unbound_ms = now_ms;
		session->lease_ms = s->lease_ms;
	}
	s->due_ms = s->first ? now_ms + shorter_ms(s->grace_ms, s->lease_ms) : UINT64_MAX;
	s->had_worker = s->first != NULL;
}

/* ---- All ------------------------------------------------------------------ */

void
sessions_init(struct sessions *s, struct registry *registry, struct self_metrics *self,
    struct log *log, struct effects *effects)
{
	*s = (struct sessions){ .registry = registry,
		.self = self,
		.log = log,
		.effects = effects,
		.folded_most = FOLDED_MOST,
		.next_serial = 1,
		.due_ms = UINT64_MAX };
	slab_init(&s->records, sizeof(struct record));
	index_init(&s->by_sid, &sid_keys, s);
	index_init(&s->by_serial, &serial_keys, s);
	owners_init(&s->owners);
}

void
sessions_set_times(struct sessions *s, uint32_t lease_ms, uint32_t grace_ms)
{
	s->lease_ms = lease_ms;
	s->grace_ms = grace_ms;
	if (s->first)
		s->due_ms = 0;
}

void
sessions_free(struct sessions *s)
{
	struct session *session;

	while ((session = s->first) != NULL) {
		s->first = session->next;
		registry_column_fold(s->registry, session->column);
		free(session);
	}
	index_free(&s->by_sid);
	index_free(&s->by_serial);
	owners_free(&s->owners);
	free(s->folded);
	slab_free(&s->records);
}
