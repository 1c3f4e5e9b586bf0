/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registry_saved.h - the registry's part of a snapshot: what it holds as items, and a
 * registry made from them again.
 *
 * The columns come from whoever has the sessions, one by one and first. One thread.
 */
#ifndef REGISTRY_SAVED_H
#define REGISTRY_SAVED_H

#include "registry.h"
#include "snapshot_items.h"

/* ---- Saving ------------------------------------------------------------ */

struct registry_save;

/* Nothing changes in r until it is freed. NULL when memory is out. */
struct registry_save *registry_save_new(const struct registry *r, struct items_out *out);
void registry_save_free(struct registry_save *s);
/* A worker's column. */
void registry_save_column(struct registry_save *s, const struct column *c);
/* All the rest, when the columns are there. False when memory is out. */
bool registry_save_rest(struct registry_save *s);

/* ---- Loading ----------------------------------------------------------- */

struct registry_load;

/* counts: of all items; bytes: that they take. r is empty, and stays so until the first
 * item is loaded. NULL when memory is out. */
struct registry_load *registry_load_new(
    struct registry *r, const uint32_t counts[ITEM_END], size_t bytes);
void registry_load_free(struct registry_load *l);

/*
 * Check an item, from behind its kind on; to be done with all items in their order before
 * the first is loaded. False if it cannot be, or is not the registry's.
 */
bool registry_load_check(
    struct registry_load *l, enum item item, struct wire_reader *from);
/* True if nothing is missing behind the last item; false when memory is out, too. */
bool registry_load_checked(struct registry_load *l, bool *ret_memory);

/* Load an item that was checked. False when memory is out. A COLUMN goes into column,
 * which is new, or NULL: what refers to it is left out. */
bool registry_load_item(struct registry_load *l, enum item item, struct wire_reader *from,
    struct column *column);
/* Behind the last item: give back what is not needed any more. False when memory is out.
 */
bool registry_load_done(struct registry_load *l);

/* How many series, and definitions of workers, were left out; the first one's reason. */
uint64_t registry_load_dropped(const struct registry_load *l, const char **ret_why);

#endif /* REGISTRY_SAVED_H */
