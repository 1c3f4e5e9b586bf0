/* SPDX-License-Identifier: Apache-2.0 */
#include "persist_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define RETRY_MS 60000

/* ---- When -------------------------------------------------------------- */

uint64_t
persist_interval_ms(const struct persist *p, bool again)
{
	return again && p->options.snapshot_ms > RETRY_MS ? RETRY_MS
							  : p->options.snapshot_ms;
}

static bool
is_in_trouble(const struct persist *p)
{
	return p->has_failed || persist_is_degraded(p);
}

uint64_t
persist_snapshot_due_ms(const struct persist *p)
{
	return p->tried_ms + persist_interval_ms(p, is_in_trouble(p));
}

static bool
is_due(const struct persist *p, uint64_t now_ms)
{
	if (now_ms >= persist_snapshot_due_ms(p))
		return true;
	return !is_in_trouble(p) && p->before_bytes - p->stuck_bytes + p->file_bytes >
					p->options.journal_bytes;
}

/* ---- The next generation ----------------------------------------------- */

/* What was just created must be found after the machine went down. */
static int
sync_journal(struct persist *p)
{
	int error;

	if (!persist_syncs(p))
		return 0;
	error = p->disk->sync(p->disk->arg, p->file);
	if (error == 0)
		error = p->disk->sync_folder(p->disk->arg, DISK_RUNTIME);
	return error;
}

static int
write_head(struct persist *p, uint64_t now_ms)
{
	struct strbuf head = STRBUF_EMPTY;
	int error = ENOMEM;

	p->head.clock_ms = now_ms;
	p->head.unix_ms = p->options.unix_ms(p->options.arg);
	journal_put_head(&head, &p->head);
	if (!head.failed)
		error = persist_append(p, head.at, head.bytes);
	strbuf_free(&head);
	return error;
}

void
persist_begin_journal(struct persist *p, uint64_t now_ms)
{
	char name[PERSIST_NAME_BYTES];
	int error;

	persist_journal_name(p->head.generation, name);
	p->before_bytes += p->file_bytes;
	p->file_bytes = 0;
	error = persist_open(p, DISK_RUNTIME);
	if (error == 0)
		error = p->disk->create(p->disk->arg, DISK_RUNTIME, name, &p->file);
	if (error) {
		persist_give_up(
		    p, "the journal cannot be made", persist_open_error(error));
		return;
	}
	error = write_head(p, now_ms);
	if (error == 0)
		error = sync_journal(p);
	if (error)
		persist_give_up(p, "the journal cannot be begun", strerror(error));
	p->head_bytes = p->file_bytes;
}

/* The end of the journal under way. -1: it has none, so none that follows is read. */
static int
seal(struct persist *p)
{
	struct strbuf text = STRBUF_EMPTY;
	int error = ENOMEM;

	journal_put_seal(&text);
	if (!text.failed)
		error = persist_append(p, text.at, text.bytes);
	if (error == 0 && persist_syncs(p))
		error = p->disk->sync(p->disk->arg, p->file);
	strbuf_free(&text);
	if (error) {
		persist_give_up(p, "the journal cannot be ended", strerror(error));
		return -1;
	}
	p->disk->close(p->disk->arg, p->file);
	p->file = -1;
	return 0;
}

/*
 * From here on records go to another journal than those that the snapshot has. One in
 * which nothing stands yet is as good as a new one.
 */
static void
begin_generation(struct persist *p, uint64_t now_ms)
{
	if (persist_is_writing(p) && p->file_bytes == p->head_bytes)
		return;
	if (!persist_is_writing(p) || seal(p) != 0)
		p->hole = true;
	p->head.generation++;
	persist_begin_journal(p, now_ms);
}

/* ---- After it ---------------------------------------------------------- */

/* Those that stay are no reason for another snapshot: it would not free them either. */
static void
remove_journals_before(struct persist *p, uint64_t generation)
{
	char name[PERSIST_NAME_BYTES];
	int error = 0;

	for (; p->lowest < generation; p->lowest++) {
		persist_journal_name(p->lowest, name);
		error = p->disk->remove(p->disk->arg, DISK_RUNTIME, name);
		if (error && error != ENOENT)
			break;
	}
	if (p->lowest == generation) {
		p->before_bytes = p->stuck_bytes = 0;
		return;
	}
	if (p->stuck_bytes == 0)
		log_line(p->log, LOG_LEVEL_WARNING,
		    "persist: %s/%s cannot be removed: %s: it and those after it stay "
		    "until it can",
		    persist_path(p, DISK_RUNTIME), name, strerror(error));
	p->stuck_bytes = p->before_bytes;
}

void
persist_snapshot_failed(struct persist *p, const char *why)
{
	p->has_failed = true;
	p->snapshot_failures++;
	self_add(p->self, SELF_SNAPSHOT_FAILURES, 0, 0, 1);
	persist_say(p, PROBLEM_SNAPSHOT, "no snapshot in %s: %s (state.path)",
	    persist_path(p, DISK_STATE), why);
}

static void
cannot_take_place(
    struct persist *p, const struct persist_image *image, const char *reason)
{
	char name[PERSIST_NAME_BYTES], why[PROBLEM_TEXT];

	persist_image_name(image, name);
	snprintf(why, sizeof(why), "%s cannot take its place: %s", name, reason);
	persist_snapshot_failed(p, why);
}

/* Give a whole image its name. 0 or an errno value. */
static int
rename_image(struct persist *p, const struct persist_image *image)
{
	char name[PERSIST_NAME_BYTES];

	persist_image_name(image, name);
	return p->disk->rename(p->disk->arg, DISK_STATE, name, PERSIST_SNAPSHOT);
}

/* The same, for good. 0, or -1 and it was said. */
static int
take_image(struct persist *p, const struct persist_image *image)
{
	int error = rename_image(p, image);

	/* Before the journals go, it must be certain to be found. */
	if (error == 0 && persist_syncs(p))
		error = p->disk->sync_folder(p->disk->arg, DISK_STATE);
	if (error == 0)
		return 0;
	cannot_take_place(p, image, strerror(error));
	return -1;
}

static void
snapshot_done(struct persist *p, const struct persist_image *image, uint64_t bytes,
    uint64_t began_ms, uint64_t now_ms)
{
	p->has_failed = false;
	p->has_snapshot = true;
	p->snapshot_ms = image->head->clock_ms;
	p->snapshot_bytes = bytes;
	p->has_duration = true;
	p->snapshot_duration_ms = now_ms - began_ms;
	persist_well(p, PROBLEM_SNAPSHOT);
	remove_journals_before(p, image->head->generation);
	/* What no journal has is in it. */
	p->hole = false;
	if (p->journal == NULL || persist_is_writing(p))
		persist_well(p, PROBLEM_JOURNAL);
	log_line(p->log, LOG_LEVEL_DEBUG,
	    "persist: snapshot: %" PRIu64 " bytes in %" PRIu64 " ms, generation %" PRIu64,
	    bytes, p->snapshot_duration_ms, image->head->generation);
}

/* An image was written, or was not. 0 if it is the snapshot now. */
static int
finish(struct persist *p, const struct persist_image *image,
    const struct disk_result *result, uint64_t began_ms, uint64_t now_ms)
{
	char name[PERSIST_NAME_BYTES];

	if (result->error) {
		persist_snapshot_failed(p, result->why);
	} else if (take_image(p, image) == 0) {
		snapshot_done(p, image, result->bytes, began_ms, now_ms);
		return 0;
	}
	persist_image_name(image, name);
	p->disk->remove(p->disk->arg, DISK_STATE, name);
	return -1;
}

/* ---- The child --------------------------------------------------------- */

static void
watch(struct persist *p, int descriptor)
{
	if (p->options.watch)
		p->options.watch(p->options.arg, descriptor);
}

static void
kill_child(struct persist *p)
{
	struct persist_image image = { p, &p->child_head, &p->child };
	char name[PERSIST_NAME_BYTES];

	persist_image_name(&image, name);
	watch(p, -1);
	p->disk->kill(p->disk->arg, &p->child);
	p->child_runs = false;
	p->disk->remove(p->disk->arg, DISK_STATE, name);
}

static struct journal_head
head_of_now(const struct persist *p, uint64_t now_ms)
{
	struct journal_head head = p->head;

	head.clock_ms = now_ms;
	head.unix_ms = p->options.unix_ms(p->options.arg);
	return head;
}

static bool
state_folder_is_open(struct persist *p)
{
	int error = persist_open(p, DISK_STATE);

	if (error)
		persist_snapshot_failed(p, persist_open_error(error));
	return error == 0;
}

static void
begin_snapshot(struct persist *p, uint64_t now_ms)
{
	struct persist_image image = { p, &p->child_head, &p->child };
	char why[DISK_TEXT];
	int error;

	p->tried_ms = now_ms;
	if (!state_folder_is_open(p))
		return;
	if (p->journal)
		begin_generation(p, now_ms);
	else /* a journal that is begun some day is not the state's first */
		p->head.generation++;
	p->child_head = head_of_now(p, now_ms);
	p->child_began_ms = now_ms;
	error = p->disk->spawn(p->disk->arg, persist_image_child, &image, &p->child);
	if (error) {
		snprintf(why, sizeof(why), "no process can be started to write it: %s",
		    strerror(error));
		persist_snapshot_failed(p, why);
		return;
	}
	p->child_runs = true;
	p->child_woke = false;
	p->child_stage = STAGE_WRITES;
	watch(p, p->child.pipe);
}

/* The image is the snapshot now, and the child has done what it was for. */
static void
image_taken(struct persist *p, const struct persist_image *image, uint64_t now_ms)
{
	snapshot_done(p, image, p->child_bytes, p->child_began_ms, now_ms);
	p->child_stage = STAGE_ENDS;
	if (p->disk->child_end(p->disk->arg, &p->child) != 0)
		kill_child(p);
}

/* The image is whole: it takes its place, and before the journals go, it must be certain
 * to be found there. */
static void
image_written(struct persist *p, const struct persist_image *image, uint64_t now_ms)
{
	int error = rename_image(p, image);

	if (error == 0 && !persist_syncs(p)) {
		image_taken(p, image, now_ms);
		return;
	}
	p->child_stage = STAGE_SYNCS;
	if (error == 0)
		error = p->disk->child_sync(p->disk->arg, &p->child, DISK_STATE);
	if (error == 0)
		return;
	cannot_take_place(p, image, strerror(error));
	kill_child(p);
}

static void
child_ended(struct persist *p, const struct persist_image *image,
    const struct disk_result *result, uint64_t now_ms)
{
	p->child_runs = false;
	if (p->child_stage == STAGE_WRITES)
		finish(p, image, result, p->child_began_ms, now_ms);
	else if (p->child_stage == STAGE_SYNCS)
		cannot_take_place(p, image, result->why);
}

static void
look_after_child(struct persist *p, uint64_t now_ms)
{
	struct persist_image image = { p, &p->child_head, &p->child };
	struct disk_result result;
	enum disk_child_state state;

	p->child_woke = false;
	/* The loop must not have the descriptor any more when it is closed. */
	watch(p, -1);
	state = p->disk->reap(p->disk->arg, &p->child, &result);
	if (state == DISK_CHILD_DONE || state == DISK_CHILD_FAILED) {
		child_ended(p, &image, &result, now_ms);
	} else if (state == DISK_CHILD_WAITS && p->child_stage == STAGE_SYNCS) {
		image_taken(p, &image, now_ms);
	} else if (state == DISK_CHILD_WAITS) {
		p->child_bytes = result.bytes;
		image_written(p, &image, now_ms);
	}
	if (p->child_runs)
		watch(p, p->child.pipe);
}

void
persist_snapshot_turn(struct persist *p, uint64_t now_ms)
{
	if (p->child_runs && (p->child_woke || p->options.watch == NULL))
		look_after_child(p, now_ms);
	if (!p->child_runs && is_due(p, now_ms))
		begin_snapshot(p, now_ms);
}

/* ---- The end ----------------------------------------------------------- */

/* Written by this process, which nothing waits for any more. */
static int
last_snapshot(struct persist *p, uint64_t now_ms)
{
	static const struct disk_child nobody = { .pipe = -1 };
	struct persist_image image = { p, &p->child_head, &nobody };
	struct disk_result result = { 0 };

	if (!state_folder_is_open(p))
		return -1;
	if (persist_is_writing(p))
		seal(p);
	p->head.generation++;
	p->before_bytes += p->file_bytes;
	p->file_bytes = 0;
	p->child_head = head_of_now(p, now_ms);
	persist_image_write(&image, &result);
	return finish(p, &image, &result, now_ms, now_ms);
}

int
persist_stop(struct persist *p, uint64_t now_ms)
{
	int rc = 0;

	if (p->off || !p->is_recovered)
		return 0;
	if (p->child_runs)
		kill_child(p);
	persist_write_records(p);
	rc = last_snapshot(p, now_ms);
	if (rc != 0)
		log_line(p->log, LOG_LEVEL_ERROR,
		    "persist: stopping without a last snapshot: %s",
		    p->journal ? "the journal has what it lacks, unless that failed too"
			       : "what was counted since the one before is lost");
	p->is_recovered = false;
	return rc;
}
