/* SPDX-License-Identifier: Apache-2.0 */
#include "audit_parts.h"

#include <stdlib.h>

FUZZ_QUIET_BEGIN

static void
check_session(struct audit_walk *l, const struct session *x)
{
	const struct sessions *s = &l->a->sessions;
	const struct record *record = sessions_record(s, x->record);

	fuzz_must(
	    record->live == x && record->serial > 0 && record->serial < s->next_serial,
	    "a live session has a record");
	fuzz_must(sessions_find_sid(s, record->sid) == x->record &&
		      sessions_find_serial(s, record->serial) == x->record,
	    "the session %llu is found", (unsigned long long)record->serial);
	fuzz_must(x->column->uid == record->uid, "a column is its session's uid's");
	fuzz_must(
	    x->name[0] != '\0' || x->column->hidden, "who has no name shows no gauges");
	for (const struct session *y = x->next; y; y = y->next)
		l->found.namesakes += x->name[0] && strcmp(x->name, y->name) == 0;
	audit_note(l, record->serial);
	audit_note(l, record->last);
	audit_note(l, (uint64_t)x->pid);
	audit_column(l, x->column);
}

static uint32_t
check_folded(struct audit_walk *l, const struct folded *list)
{
	const struct sessions *s = &l->a->sessions;
	uint32_t n = 0;

	for (uint32_t at = list->first; at; n++) {
		const struct record *record = sessions_record(s, at);

		fuzz_must(record->live == NULL && record->serial > 0 &&
			      record->uid == list->uid &&
			      sessions_find_sid(s, record->sid) == at &&
			      sessions_find_serial(s, record->serial) == at,
		    "a folded session is found");
		fuzz_must(record->next_of_uid != 0 || list->last == at,
		    "the youngest one is the last");
		at = record->next_of_uid;
	}
	fuzz_must(n == list->n && (n > 0 || list->last == 0),
	    "the uid %u has %u folded sessions, and not %u", list->uid, n, list->n);
	return n;
}

/* All of them, the oldest first. */
static uint32_t
check_remembered(struct audit_walk *l)
{
	const struct sessions *s = &l->a->sessions;
	uint32_t n = 0, before = 0;

	for (uint32_t at = s->folded_first; at; n++) {
		const struct record *record = sessions_record(s, at);

		fuzz_must(record->live == NULL && record->previous_folded == before,
		    "folded sessions are linked");
		fuzz_must(record->next_folded != 0 || s->folded_last == at,
		    "the youngest one is the last");
		audit_note(l, record->serial);
		audit_note(l, record->last);
		before = at;
		at = record->next_folded;
	}
	return n;
}

void
audit_sessions(struct audit_walk *l)
{
	const struct sessions *s = &l->a->sessions;
	uint32_t live = 0, folded = 0;
	uint32_t *owned = audit_zeros(s->owners.items.used, sizeof(*owned));

	for (const struct session *x = s->first; x; x = x->next) {
		fuzz_must(
		    x->next == NULL || x->next->previous == x, "sessions are linked");
		live++;
		fuzz_must(x->owner > 0 && x->owner <= s->owners.items.used,
		    "a session is somebody's");
		owned[x->owner]++;
		check_session(l, x);
	}
	for (uint32_t i = 0; i < s->n_lists; i++)
		folded += check_folded(l, &s->folded[i]);
	fuzz_must(folded == check_remembered(l), "a folded session is its uid's");
	fuzz_must(live == s->n_live && folded == s->n_folded && folded <= s->folded_most,
	    "%u sessions live and %u are folded, and not %u and %u", live, folded,
	    s->n_live, s->n_folded);
	fuzz_must(s->by_sid.used == live + folded && s->by_serial.used == live + folded &&
		      s->records.live == live + folded,
	    "there is nothing else among the sessions");
	audit_owners(&s->owners, owned, "live sessions");
	free(owned);
	audit_note(l, s->next_serial);
}

FUZZ_QUIET_END
