/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - all that the daemon knows at one moment, as a file: families and series
 * with their totals bit for bit, live sessions with their columns, the memory of folded
 * ones, and the messages that are known again.
 *
 * The file is made of records (journal.h): a head, blocks of items (snapshot_items.h),
 * and an end with how many there are. Written out of a state that was read back, it is
 * the same byte for byte. Strings and places are kept as they were sent, without prefix,
 * so that another naming or other constant labels can be applied to them.
 *
 * Not in it: what the daemon counts about itself, connections, configuration.
 *
 * Pure: no socket, file or clock. One thread.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "apply.h"
#include "journal.h"
#include "snapshot_items.h"

/* The type of the first record. */
#define SNAPSHOT_HEAD JOURNAL_TYPE
#define SNAPSHOT_TEXT 240

/*
 * Write the state. 0, the sink's errno, or ENOMEM: a few bytes are needed for each series
 * and label value. Nothing is changed, so a forked child can do it.
 */
int snapshot_write(const struct apply *a, const struct journal_head *head,
    const struct snapshot_sink *sink);

enum snapshot_verdict {
	SNAPSHOT_OK,
	SNAPSHOT_DAMAGED, /* cut, changed, or not written by this program */
	SNAPSHOT_FOREIGN, /* a file of another kind */
	SNAPSHOT_OLDER,	  /* of a format that is not read any more, or not yet */
	SNAPSHOT_NEWER,
	SNAPSHOT_MEMORY
};

/*
 * Read a state into an apply that is empty, and its registry. Everything is checked
 * before anything changes: but for OK and MEMORY both are still empty, and why has a
 * sentence. After MEMORY both are only to be freed.
 *
 * Limits are not looked at. *ret_dropped (may be NULL): series, and definitions of live
 * workers, that were left out because the naming, the constant labels or the names of the
 * daemon's own metrics are others now; then why names the first of them, else it is
 * empty. Sessions have no connection yet, and hidden gauges are hidden as they were.
 */
enum snapshot_verdict snapshot_read(struct apply *a, const void *bytes, size_t n,
    struct journal_head *ret_head, uint64_t *ret_dropped, char why[SNAPSHOT_TEXT]);

#endif /* SNAPSHOT_H */
