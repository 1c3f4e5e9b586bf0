/* SPDX-License-Identifier: Apache-2.0 */
#include "persist_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "snapshot.h"

static void
add_journal(struct recovery *r, uint64_t generation)
{
	size_t i = r->n_journals;

	if (i == r->room) {
		size_t room = r->room ? 2 * r->room : 16;
		uint64_t *more = realloc(r->journal, room * sizeof(*more));

		if (more == NULL) {
			r->passing = ENOMEM;
			return;
		}
		r->journal = more;
		r->room = room;
	}
	r->n_journals++;
	for (; i > 0 && r->journal[i - 1] > generation; i--)
		r->journal[i] = r->journal[i - 1];
	r->journal[i] = generation;
}

/* ---- The snapshot ------------------------------------------------------ */

static bool
is_known(const uint8_t boot[JOURNAL_BOOT_BYTES])
{
	static const uint8_t unknown[JOURNAL_BOOT_BYTES];

	return memcmp(boot, unknown, sizeof(unknown)) != 0;
}

void
persist_took_head(struct recovery *r, const struct journal_head *head)
{
	r->has_state = true;
	r->last = *head;
	if (head->pid_namespace == 0 || head->pid_namespace != r->now->pid_namespace ||
	    !is_known(head->boot) || !is_known(r->now->boot))
		r->has_strangers = true;
}

/* 0, with has_state set if there is one; -1: memory is out. */
static int
take_snapshot(struct recovery *r, const struct strbuf *text)
{
	char why[SNAPSHOT_TEXT] = "";
	struct persist *p = r->p;
	struct journal_head head;
	enum snapshot_verdict verdict =
	    snapshot_read(p->apply, text->at, text->bytes, &head, &r->dropped, why);

	if (verdict == SNAPSHOT_MEMORY)
		return -1;
	if (verdict == SNAPSHOT_OK) {
		apply_set_identity(p->apply, head.store, head.secret);
		persist_took_head(r, &head);
		r->next = head.generation;
		r->snapshot_bytes = text->bytes;
		p->has_snapshot = true;
		p->snapshot_ms = r->last.clock_ms;
		p->snapshot_bytes = text->bytes;
		if (r->dropped)
			log_line(p->log, LOG_LEVEL_WARNING,
			    "persist: left out of the snapshot: %" PRIu64
			    " series: the first: %s",
			    r->dropped, why);
		return 0;
	}
	persist_set_aside(p, DISK_STATE, PERSIST_SNAPSHOT,
	    verdict == SNAPSHOT_NEWER ? "newer" : "bad", why);
	return 0;
}

static int
load_snapshot(struct recovery *r)
{
	struct strbuf text = STRBUF_EMPTY;
	struct persist *p = r->p;
	int error = persist_read(p, DISK_STATE, PERSIST_SNAPSHOT, &text);
	int rc = 0;

	if (error == 0)
		rc = take_snapshot(r, &text);
	else if (persist_is_passing(error))
		r->passing = error;
	else if (error != ENOENT)
		persist_set_aside(
		    p, DISK_STATE, PERSIST_SNAPSHOT, "bad", persist_read_error(error));
	rc = r->passing ? -1 : rc;
	strbuf_free(&text);
	return rc;
}

/* ---- The whole --------------------------------------------------------- */

static void
look_at_state(struct recovery *r, const struct strbuf *names)
{
	const struct disk *disk = r->p->disk;

	/* What a child wrote whose daemon is dead. */
	for (const char *name = NULL; (name = persist_next_name(names, name)) != NULL;)
		if (persist_is_temporary(name))
			disk->remove(disk->arg, DISK_STATE, name);
}

static void
look_at_runtime(struct recovery *r, const struct strbuf *names)
{
	for (const char *name = NULL; (name = persist_next_name(names, name)) != NULL;)
		if (persist_generation_of(name) != 0)
			add_journal(r, persist_generation_of(name));
}

/* Files of others are not used; but ours can be taken away. */
static void
tell_of_others(const struct persist *p, enum disk_place place)
{
	if (p->disk->is_public && p->disk->is_public(p->disk->arg, place))
		log_line(p->log, LOG_LEVEL_INFO,
		    "persist: anybody may write to the folder %s, and so take away what "
		    "is kept there (chmod o-w)",
		    persist_path(p, place));
}

/* 0, or -1 with a sentence: another daemon has it. A folder that cannot be used for
 * another reason is tried again with each snapshot. */
static int
open_folder(struct recovery *r, enum disk_place place, char error[PERSIST_ERROR_TEXT])
{
	struct strbuf names = STRBUF_EMPTY;
	struct persist *p = r->p;
	int failed = persist_open(p, place);

	if (failed == EWOULDBLOCK) {
		snprintf(error, PERSIST_ERROR_TEXT,
		    "another dynamo-metricsd has the folder %s: stop it, or give this "
		    "one another folder (%s)",
		    persist_path(p, place),
		    place == DISK_STATE ? "DYN_METRICSD_STATE" : "DYN_METRICSD_ADDRESS");
		return -1;
	}
	if (failed == 0)
		failed = persist_list_names(p, place, &names);
	if (persist_is_passing(failed))
		r->passing = failed;
	p->open[place] = failed == 0;
	if (failed == 0)
		tell_of_others(p, place);
	if (failed == 0 && place == DISK_STATE)
		look_at_state(r, &names);
	else if (failed == 0)
		look_at_runtime(r, &names);
	else if (place == DISK_STATE)
		persist_snapshot_failed(p, strerror(failed));
	strbuf_free(&names);
	return 0;
}

static bool
is_other_boot(const struct recovery *r)
{
	return r->has_state && is_known(r->last.boot) && is_known(r->now->boot) &&
	       memcmp(r->last.boot, r->now->boot, sizeof(r->last.boot)) != 0;
}

/* The state's clock goes on from where it was, and on by the time that has passed. */
static int64_t
offset_ms(const struct recovery *r)
{
	uint64_t clock_ms, unix_ms;
	int64_t same_ms = (int64_t)(r->now->monotonic_ms + (uint64_t)r->last.offset_ms);

	if (!r->has_state)
		return 0;
	apply_last_time(r->p->apply, &clock_ms, &unix_ms);
	if (clock_ms < r->last.clock_ms) {
		clock_ms = r->last.clock_ms;
		unix_ms = r->last.unix_ms;
	}
	if (!is_other_boot(r) && same_ms >= (int64_t)clock_ms)
		return r->last.offset_ms;
	if (r->now->unix_ms > unix_ms)
		clock_ms += r->now->unix_ms - unix_ms;
	return (int64_t)(clock_ms - r->now->monotonic_ms);
}

/* The next journal, of the same state or of a new one. */
static void
go_on(struct recovery *r, uint64_t now_ms)
{
	struct persist *p = r->p;
	uint64_t newest = r->n_journals ? r->journal[r->n_journals - 1] : 0;

	if (!r->has_state) {
		r->last = (struct journal_head){ .store = r->now->store };
		memcpy(r->last.secret, r->now->secret, sizeof(r->last.secret));
		apply_set_identity(p->apply, r->now->store, r->now->secret);
		r->next = 1;
	}
	if (p->hole && r->next <= newest)
		r->next = newest + 1;
	if (!r->has_state)
		r->last.first = r->next;
	p->head = r->last;
	p->head.generation = r->next;
	p->lowest = r->lowest != 0 && r->lowest < r->next ? r->lowest : r->next;
	p->before_bytes = r->replayed_bytes;
	p->tried_ms = p->has_snapshot ? p->snapshot_ms : now_ms;
}

static void
say_recovered(const struct recovery *r, uint64_t now_ms)
{
	const struct persist *p = r->p;

	self_add(p->self, SELF_STATE_DROPPED, 0, 0, (double)r->dropped);
	if (!r->has_state)
		log_line(p->log, LOG_LEVEL_INFO, "persist: a new state begins in %s",
		    p->options.state_path);
	else if (!p->has_snapshot)
		log_line(p->log, LOG_LEVEL_INFO,
		    "persist: loaded: %" PRIu64
		    " bytes of journal from %s; there is no snapshot yet",
		    r->replayed_bytes, p->options.runtime_path);
	else
		log_line(p->log, LOG_LEVEL_INFO,
		    "persist: loaded: a snapshot of %" PRIu64 " bytes, %" PRIu64
		    " s old, from %s, and %" PRIu64 " bytes of journal from %s",
		    r->snapshot_bytes, (now_ms - p->snapshot_ms) / 1000,
		    p->options.state_path, r->replayed_bytes, p->options.runtime_path);
}

/* What was kept is in apply: it goes on from there. */
static void
resume(struct recovery *r, int64_t offset)
{
	struct persist *p = r->p;
	const struct persist_now *now = r->now;
	uint64_t now_ms = now->monotonic_ms + (uint64_t)offset;
	bool other_boot = is_other_boot(r);

	go_on(r, now_ms);
	memcpy(p->head.boot, now->boot, sizeof(p->head.boot));
	p->head.pid_namespace = now->pid_namespace;
	p->head.offset_ms = offset;
	p->is_recovered = true;
	apply_set_clock(p->apply, offset);
	say_recovered(r, now_ms);
	if (p->journal)
		persist_begin_journal(p, now_ms);
	apply_recovered(p->apply, other_boot, r->has_strangers ? NULL : now->life,
	    now->life_arg, now_ms);
	/* The journal's head has the boot of now: a kill before the first turn must not
	 * leave it without what that changed. */
	persist_write_records(p);
}

/* What is kept stays as it is, for a start with more. */
static void
say_passing(const struct recovery *r, char error[PERSIST_ERROR_TEXT])
{
	if (r->passing == 0 || r->passing == ENOMEM)
		snprintf(error, PERSIST_ERROR_TEXT, "memory is out");
	else
		snprintf(error, PERSIST_ERROR_TEXT,
		    "what is kept in %s and %s cannot be read: %s: it stays as it is",
		    persist_path(r->p, DISK_STATE), persist_path(r->p, DISK_RUNTIME),
		    strerror(r->passing));
}

int
persist_recover(struct persist *p, const struct persist_now *now, int64_t *ret_offset_ms,
    char error[PERSIST_ERROR_TEXT])
{
	struct recovery r = { .p = p, .now = now };
	int64_t offset;
	int rc = -1;

	if (p->off) {
		apply_set_identity(p->apply, now->store, now->secret);
		*ret_offset_ms = 0;
		return 0;
	}
	if (open_folder(&r, DISK_STATE, error) != 0 ||
	    open_folder(&r, DISK_RUNTIME, error) != 0)
		goto out;
	if (r.passing || (p->open[DISK_STATE] && load_snapshot(&r) != 0) ||
	    (p->open[DISK_RUNTIME] && persist_load_journals(&r) != 0)) {
		say_passing(&r, error);
		goto out;
	}
	offset = offset_ms(&r);
	resume(&r, offset);
	*ret_offset_ms = offset;
	rc = 0;
out:
	free(r.journal);
	return rc;
}
