/* SPDX-License-Identifier: Apache-2.0 */
#include "persist_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MANY 16 /* journals */

/* One that stays where it is comes before what is written from now on, and ends the
 * next replay: nothing is certain before the next snapshot. */
static void
set_journal_aside(
    struct recovery *r, uint64_t generation, const char *how, const char *why)
{
	char name[PERSIST_NAME_BYTES];

	persist_journal_name(generation, name);
	if (persist_set_aside(r->p, DISK_RUNTIME, name, how, why) != 0)
		r->p->hole = true;
}

static void
set_journals_aside_from(struct recovery *r, size_t first, const char *why)
{
	const bool many = r->n_journals > first + MANY;

	if (many)
		persist_set_many_aside(r->p, DISK_RUNTIME, true);
	for (size_t i = first; i < r->n_journals; i++)
		set_journal_aside(r, r->journal[i], "bad", why);
	if (many)
		persist_set_many_aside(r->p, DISK_RUNTIME, false);
}

enum outcome {
	REPLAYED_SEALED,  /* another may follow */
	REPLAYED_OPEN,	  /* none: it has no end, or a bad one */
	REPLAYED_NOTHING, /* it was made and nothing was written */
	REPLAYED_NONE,	  /* it is not of this state, and was set aside */
	REPLAYED_MEMORY
};

/* How the replay of one journal went. */
struct replay {
	struct strbuf text;
	size_t good; /* bytes of it that may be followed by others */
	bool misfit; /* behind them is a whole record, which does not fit */
};

static const char *
why_not(const struct recovery *r, enum journal_verdict verdict,
    const struct journal_head *head, uint64_t generation)
{
	switch (verdict) {
	case JOURNAL_OK:
		break;
	case JOURNAL_FOREIGN:
		return "it is no journal";
	case JOURNAL_OLDER:
		return "it is of an older version that is not read any more";
	case JOURNAL_NEWER:
		return "it is of a newer version";
	case JOURNAL_DAMAGED:
		return "its head is damaged";
	}
	if (head->generation != generation)
		return "its name is another journal's";
	if (r->has_state && head->store != r->last.store)
		return "it belongs to another state";
	if (!r->has_state && head->first != head->generation)
		return "the snapshot that it follows is not there";
	return NULL;
}

/* The head of a journal. NULL; or why the journal is not to be used, and how it is to be
 * set aside. */
static const char *
read_head(const struct recovery *r, struct journal_reader *reader, uint64_t generation,
    struct journal_record *ret_record, struct journal_head *ret, const char **ret_how)
{
	enum journal_verdict verdict;

	*ret_how = "bad";
	if (!journal_next(reader, ret_record))
		return "it is damaged from its beginning on";
	verdict = journal_get_head(ret_record, ret);
	if (verdict == JOURNAL_NEWER)
		*ret_how = "newer";
	return why_not(r, verdict, ret, generation);
}

/* The journal is about to be cut there, and the rest is in a copy. */
static void
set_misfit_aside(
    struct recovery *r, struct replay *x, uint8_t type, const struct refusal *why)
{
	char name[PERSIST_NAME_BYTES], text[sizeof(why->text) + 100];

	persist_journal_name(r->last.generation, name);
	snprintf(text, sizeof(text),
	    "a record of the type %u, after %zu of %zu bytes, does not fit: %s", type,
	    x->good, x->text.bytes, why->text);
	persist_set_copy_aside(r->p, DISK_RUNTIME, name, &x->text, text);
	x->misfit = true;
}

/* What stands behind the head. */
static enum outcome
replay_records(struct recovery *r, struct journal_reader *reader, struct replay *x)
{
	struct journal_record record;
	struct refusal why = { 0 };
	enum reason reason;

	x->good = reader->good;
	while (journal_next(reader, &record)) {
		if (record.type == JOURNAL_SEAL)
			return REPLAYED_SEALED;
		reason = apply_replay(r->p->apply, &record, &why);
		if (reason == REASON_NONE) {
			x->good = reader->good;
			continue;
		}
		if (reason == REASON_MEMORY)
			return REPLAYED_MEMORY;
		set_misfit_aside(r, x, record.type, &why);
		return REPLAYED_OPEN;
	}
	return REPLAYED_OPEN;
}

static enum outcome
replay_text(struct recovery *r, uint64_t generation, struct replay *x)
{
	struct journal_reader reader = { .bytes = (const uint8_t *)x->text.at,
		.n = x->text.bytes };
	struct journal_head head = { 0 };
	struct journal_record record;
	struct refusal refusal = { 0 };
	const char *why, *how;

	if (x->text.bytes == 0)
		return REPLAYED_NOTHING;
	why = read_head(r, &reader, generation, &record, &head, &how);
	if (why) {
		set_journal_aside(r, generation, how, why);
		return REPLAYED_NONE;
	}
	if (!r->has_state)
		apply_set_identity(r->p->apply, head.store, head.secret);
	persist_took_head(r, &head);
	apply_replay(r->p->apply, &record, &refusal);
	return replay_records(r, &reader, x);
}

static enum outcome
replay_journal(struct recovery *r, uint64_t generation, struct replay *x)
{
	char name[PERSIST_NAME_BYTES];
	int error;

	persist_journal_name(generation, name);
	error = persist_read(r->p, DISK_RUNTIME, name, &x->text);
	if (persist_is_passing(error)) {
		r->passing = error;
		return REPLAYED_MEMORY;
	}
	if (error) {
		set_journal_aside(r, generation, "bad", persist_read_error(error));
		return REPLAYED_NONE;
	}
	return replay_text(r, generation, x);
}

/* The last journal ends here: it is cut, and sealed, so that others may follow. */
static void
end_journal(struct recovery *r, uint64_t generation, const struct replay *x)
{
	const struct disk *disk = r->p->disk;
	struct strbuf seal = STRBUF_EMPTY;
	char name[PERSIST_NAME_BYTES];
	int error, file = -1;

	persist_journal_name(generation, name);
	if (x->good < x->text.bytes && !x->misfit)
		log_line(r->p->log, LOG_LEVEL_WARNING,
		    "persist: %s/%s: cut after %zu of %zu bytes: the rest is no whole "
		    "record",
		    r->p->options.runtime_path, name, x->good, x->text.bytes);
	journal_put_seal(&seal);
	error = seal.failed
		    ? ENOMEM
		    : disk->open_at(disk->arg, DISK_RUNTIME, name, x->good, &file);
	if (error == 0)
		error = disk->write(disk->arg, file, seal.at, seal.bytes);
	if (error == 0 && persist_syncs(r->p))
		error = disk->sync(disk->arg, file);
	if (file >= 0)
		disk->close(disk->arg, file);
	strbuf_free(&seal);
	if (error == 0)
		return;
	r->p->hole = true;
	persist_say(r->p, PROBLEM_JOURNAL,
	    "%s/%s cannot be ended: %s: until the next snapshot, what is counted from "
	    "now on is lost if the daemon is killed",
	    r->p->options.runtime_path, name, strerror(error));
}

static void
remove_journal(struct recovery *r, uint64_t generation)
{
	char name[PERSIST_NAME_BYTES];

	persist_journal_name(generation, name);
	if (r->p->disk->remove(r->p->disk->arg, DISK_RUNTIME, name) != 0)
		r->p->hole = true;
}

/* The i-th journal is the last that was used, or could not be: others are not in order.
 */
static void
end_replay(struct recovery *r, size_t i, enum outcome outcome, const struct replay *x)
{
	uint64_t generation = r->journal[i];

	set_journals_aside_from(r, i + 1, "a journal before it was not ended in order");
	if (outcome == REPLAYED_NOTHING)
		remove_journal(r, generation);
	if (outcome == REPLAYED_OPEN && !r->p->hole)
		end_journal(r, generation, x);
}

/* From the i-th on, as long as they follow each other. 0, or -1: memory is out. */
static int
replay_journals(struct recovery *r, size_t i)
{
	for (; i < r->n_journals; i++) {
		struct replay x = { .text = STRBUF_EMPTY };
		enum outcome outcome;

		if (r->has_state && r->journal[i] != r->next) {
			set_journals_aside_from(r, i, "a journal before it is missing");
			return 0;
		}
		outcome = replay_journal(r, r->journal[i], &x);
		if (outcome == REPLAYED_SEALED || outcome == REPLAYED_OPEN) {
			r->next = r->journal[i] + 1;
			r->replayed_bytes += x.text.bytes;
		}
		if (outcome != REPLAYED_SEALED && outcome != REPLAYED_MEMORY)
			end_replay(r, i, outcome, &x);
		strbuf_free(&x.text);
		if (outcome == REPLAYED_MEMORY)
			return -1;
		if (outcome != REPLAYED_SEALED)
			return 0;
	}
	return 0;
}

/* A journal that the snapshot has: removed if it is that, set aside if it is anything
 * else. 0, or -1: memory is out. */
static int
drop_journal(struct recovery *r, uint64_t generation)
{
	const struct disk *disk = r->p->disk;
	struct strbuf text = STRBUF_EMPTY;
	struct journal_reader reader;
	struct journal_record record;
	struct journal_head head = { 0 };
	const char *why = NULL, *how = "bad";
	char name[PERSIST_NAME_BYTES];
	int error;

	persist_journal_name(generation, name);
	error = persist_read_start(r->p, DISK_RUNTIME, name, &text);
	reader =
	    (struct journal_reader){ .bytes = (const uint8_t *)text.at, .n = text.bytes };
	if (error)
		why = persist_read_error(error);
	else if (text.bytes > 0)
		why = read_head(r, &reader, generation, &record, &head, &how);
	if (why == NULL)
		disk->remove(disk->arg, DISK_RUNTIME, name);
	else if (!persist_is_passing(error))
		persist_set_aside(r->p, DISK_RUNTIME, name, how, why);
	else
		r->passing = error;
	strbuf_free(&text);
	return r->passing ? -1 : 0;
}

int
persist_load_journals(struct recovery *r)
{
	size_t i = 0;
	int rc;

	for (; r->has_state && i < r->n_journals && r->journal[i] < r->next; i++)
		if (drop_journal(r, r->journal[i]) != 0)
			return -1;
	r->lowest = i < r->n_journals ? r->journal[i] : 0;
	apply_replay_begin(r->p->apply);
	rc = replay_journals(r, i);
	r->dropped += apply_replay_dropped(r->p->apply);
	apply_replay_end(r->p->apply);
	return rc;
}
