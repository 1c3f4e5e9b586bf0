/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image that becomes the snapshot.
 */
#include "persist_parts.h"

#include <inttypes.h>
#include <stdio.h>

#include "snapshot.h"

#define HELD_MOST 64 /* journals, by a child */

/* A file that an image goes to. */
struct target {
	const struct disk *disk;
	int file;
	uint64_t bytes;
};

void
persist_image_name(const struct persist_image *image, char out[PERSIST_NAME_BYTES])
{
	snprintf(out, PERSIST_NAME_BYTES, PERSIST_TEMPORARY "%" PRIu64 ".%d",
	    image->head->generation, (int)image->child->pid);
}

static int
put(void *arg, const void *bytes, size_t n)
{
	struct target *t = arg;

	t->bytes += n;
	return t->disk->write(t->disk->arg, t->file, bytes, n);
}

void
persist_image_write(void *arg, struct disk_result *ret)
{
	const struct persist_image *image = arg;
	const struct disk *disk = image->p->disk;
	struct target target = { .disk = disk, .file = -1 };
	struct snapshot_sink sink = { .put = put, .arg = &target };
	char name[PERSIST_NAME_BYTES];
	const char *what = "made";
	int error;

	persist_image_name(image, name);
	error = disk->create(disk->arg, DISK_STATE, name, &target.file);
	if (error == 0) {
		what = "written";
		error = snapshot_write(image->p->apply, image->head, &sink);
	}
	if (error == 0 && persist_syncs(image->p)) {
		what = "forced to the disk";
		error = disk->sync(disk->arg, target.file);
	}
	if (target.file >= 0)
		disk->close(disk->arg, target.file);
	ret->error = error;
	ret->bytes = target.bytes;
	if (error)
		snprintf(ret->why, sizeof(ret->why), "%s cannot be %s: %s", name, what,
		    strerror(error));
}

/*
 * What a child does. What the snapshot is about to make superfluous is held until it
 * ends: to free a file of many megabytes takes longer than a turn may.
 */
void
persist_image_child(void *arg, struct disk_result *ret)
{
	const struct persist_image *image = arg;
	const struct persist *p = image->p;
	const uint64_t end = image->head->generation;
	uint64_t g = end - p->lowest > HELD_MOST ? end - HELD_MOST : p->lowest;
	char name[PERSIST_NAME_BYTES];

	if (p->disk->hold)
		p->disk->hold(p->disk->arg, DISK_STATE, PERSIST_SNAPSHOT);
	for (; p->disk->hold && g < end; g++) {
		persist_journal_name(g, name);
		p->disk->hold(p->disk->arg, DISK_RUNTIME, name);
	}
	persist_image_write(arg, ret);
}
