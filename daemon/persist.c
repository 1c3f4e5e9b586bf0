/* SPDX-License-Identifier: Apache-2.0 */
#include "persist_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOW_MS 60000 /* a snapshot that takes longer is a problem */

/* ---- Problems ---------------------------------------------------------- */

void
persist_say(struct persist *p, enum persist_problem which, const char *format, ...)
{
	char text[PROBLEM_TEXT];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (strcmp(text, p->problem[which]) == 0)
		return;
	log_line(p->log, LOG_LEVEL_ERROR, "persist: %s", text);
	memcpy(p->problem[which], text, sizeof(text));
}

void
persist_well(struct persist *p, enum persist_problem which)
{
	if (p->problem[which][0])
		log_line(p->log, LOG_LEVEL_INFO, "persist: well again: no longer: %s",
		    p->problem[which]);
	p->problem[which][0] = '\0';
}

/* A snapshot that does not end. */
static bool
is_slow(const struct persist *p, uint64_t now_ms)
{
	return p->child_runs && now_ms - p->child_began_ms > SLOW_MS;
}

void
persist_problems(const struct persist *p, uint64_t now_ms, struct strbuf *out)
{
	const char *comma = "";
	char text[PROBLEM_TEXT];

	strbuf_addc(out, '[');
	for (size_t i = 0; i < PROBLEMS; i++) {
		if (p->problem[i][0] == '\0')
			continue;
		strbuf_adds(out, comma);
		strbuf_add_json(out, wire_text(p->problem[i]));
		comma = ",";
	}
	if (is_slow(p, now_ms)) {
		snprintf(text, sizeof(text),
		    "the snapshot under way in %s has taken %" PRIu64 " s so far",
		    persist_path(p, DISK_STATE), (now_ms - p->child_began_ms) / 1000);
		strbuf_adds(out, comma);
		strbuf_add_json(out, wire_text(text));
	}
	strbuf_addc(out, ']');
}

/* ---- Folders ----------------------------------------------------------- */

const char *
persist_path(const struct persist *p, enum disk_place place)
{
	return place == DISK_STATE ? p->options.state_path : p->options.runtime_path;
}

bool
persist_syncs(const struct persist *p)
{
	return p->options.fsync != PERSIST_FSYNC_NEVER;
}

void
persist_journal_name(uint64_t generation, char out[PERSIST_NAME_BYTES])
{
	snprintf(out, PERSIST_NAME_BYTES, PERSIST_JOURNAL "%" PRIu64, generation);
}

int
persist_open(struct persist *p, enum disk_place place)
{
	int error = p->disk->open(p->disk->arg, place);

	if (error == 0 && !p->open[place] && p->is_recovered)
		error = persist_set_all_aside(p, place);
	if (error == 0)
		p->open[place] = true;
	return error;
}

const char *
persist_open_error(int error)
{
	return error == EWOULDBLOCK ? "another dynamo-metricsd has the folder"
				    : strerror(error);
}

/* ---- The journal ------------------------------------------------------- */

bool
persist_is_writing(const struct persist *p)
{
	return p->file >= 0;
}

/* True if what is counted is not being kept. */
bool
persist_is_degraded(const struct persist *p)
{
	if (p->off)
		return false;
	return p->journal ? p->hole || !persist_is_writing(p) : p->has_failed;
}

void
persist_give_up(struct persist *p, const char *what, const char *why)
{
	if (p->file >= 0)
		p->disk->close(p->disk->arg, p->file);
	p->file = -1;
	self_add(p->self, SELF_JOURNAL_FAILURES, 0, 0, 1);
	persist_say(p, PROBLEM_JOURNAL,
	    "%s in %s: %s: what is counted from now on is lost if the daemon is killed, "
	    "until a snapshot can be written (tried every %" PRIu64 " s)",
	    what, persist_path(p, DISK_RUNTIME), why,
	    (persist_interval_ms(p, true) + 999) / 1000);
}

int
persist_append(struct persist *p, const void *bytes, size_t n)
{
	int error = p->disk->write(p->disk->arg, p->file, bytes, n);

	if (error == 0 && p->options.fsync == PERSIST_FSYNC_ALWAYS)
		error = p->disk->sync(p->disk->arg, p->file);
	if (error)
		p->disk->cut(p->disk->arg, p->file, p->file_bytes);
	else
		p->file_bytes += n;
	return error;
}

/* Bytes that no snapshot has. */
static uint64_t
waiting_bytes(const struct persist *p)
{
	return p->before_bytes - p->stuck_bytes + p->file_bytes;
}

/* NULL, or why they are not there. */
static const char *
append_records(struct persist *p, const void *bytes, size_t n)
{
	uint64_t waiting = waiting_bytes(p) + n;
	uint64_t most = p->options.most_bytes;
	int error;

	if (journal_failed(p->journal))
		return strerror(ENOMEM);
	if (most != 0 && waiting > most)
		return "without a snapshot, journals have come to the most that they may "
		       "take (state.journal_bytes)";
	error = persist_append(p, bytes, n);
	return error ? strerror(error) : NULL;
}

/* The turn's records. Those that the journal does not take are in memory all the same,
 * and so in the next snapshot. */
void
persist_write_records(struct persist *p)
{
	const void *bytes;
	const char *why;
	size_t n;

	if (p->journal == NULL)
		return;
	bytes = journal_bytes(p->journal, &n);
	if (n == 0 && !journal_failed(p->journal))
		return;
	if (persist_is_writing(p)) {
		why = append_records(p, bytes, n);
		if (why)
			persist_give_up(p, "the journal cannot be written", why);
	}
	journal_clear(p->journal);
}

/* ---- Turns ------------------------------------------------------------- */

void
persist_turn(struct persist *p, uint64_t now_ms)
{
	if (p->off || !p->is_recovered)
		return;
	persist_write_records(p);
	persist_snapshot_turn(p, now_ms);
}

void
persist_wake(struct persist *p)
{
	p->child_woke = true;
}

bool
persist_is_behind(const struct persist *p, uint64_t now_ms)
{
	return p->child_runs && persist_is_writing(p) &&
	       now_ms - p->child_began_ms < p->options.hold_ms &&
	       p->options.most_bytes != 0 && waiting_bytes(p) > p->options.most_bytes / 2;
}

uint64_t
persist_due_ms(const struct persist *p, uint64_t now_ms)
{
	uint64_t due_ms = persist_snapshot_due_ms(p);

	if (persist_is_behind(p, now_ms))
		return p->child_began_ms + p->options.hold_ms - now_ms;
	/* The end of a child wakes the loop by itself. */
	if (p->off || !p->is_recovered || p->child_runs)
		return UINT64_MAX;
	return due_ms > now_ms ? due_ms - now_ms : 0;
}

void
persist_figures(const struct persist *p, uint64_t now_ms, struct persist_figures *ret)
{
	*ret = (struct persist_figures){ .degraded = persist_is_degraded(p),
		.has_snapshot = p->has_snapshot,
		.snapshot_failures = p->snapshot_failures,
		.journal_bytes = p->before_bytes + p->file_bytes,
		.generation = p->head.generation };
	if (!p->has_snapshot)
		return;
	ret->snapshot_age_ms = now_ms > p->snapshot_ms ? now_ms - p->snapshot_ms : 0;
	ret->has_duration = p->has_duration;
	ret->snapshot_duration_ms = p->snapshot_duration_ms;
	ret->snapshot_bytes = p->snapshot_bytes;
}

/* ---- The whole --------------------------------------------------------- */

struct persist *
persist_new(const struct persist_options *options, const struct disk *disk,
    struct apply *apply, struct journal *journal, struct self_metrics *self,
    struct log *log)
{
	struct persist *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->options = *options;
	p->disk = disk;
	p->apply = apply;
	p->journal = journal;
	p->self = self;
	p->log = log;
	p->off = options->state_path[0] == '\0';
	p->file = -1;
	return p;
}

void
persist_free(struct persist *p)
{
	if (p == NULL)
		return;
	if (p->child_runs && p->options.watch)
		p->options.watch(p->options.arg, -1);
	if (p->child_runs)
		p->disk->kill(p->disk->arg, &p->child);
	if (p->file >= 0)
		p->disk->close(p->disk->arg, p->file);
	free(p);
}

void
persist_set_options(struct persist *p, const struct persist_options *options)
{
	p->options.fsync = options->fsync;
	p->options.journal_bytes = options->journal_bytes;
	p->options.most_bytes = options->most_bytes;
	p->options.snapshot_ms = options->snapshot_ms;
}
