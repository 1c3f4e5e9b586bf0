/* SPDX-License-Identifier: Apache-2.0 */
/* shelf.h - the two folders of the state, in memory. No process can be started there. */
#ifndef SHELF_H
#define SHELF_H

#include "disk.h"

#define SHELF_NAMES 32 /* in a folder */

struct shelf_file {
	char name[64]; /* "": there is none */
	struct strbuf text;
};

struct shelf {
	struct disk ops;
	struct shelf_file file[DISK_PLACES][SHELF_NAMES];
};

void shelf_init(struct shelf *s);
void shelf_free(struct shelf *s);
void shelf_put(struct shelf *s, enum disk_place place, const char *name,
    const void *bytes, size_t n);
/* NULL: it is not there. */
struct shelf_file *shelf_find(struct shelf *s, enum disk_place place, const char *name);

#endif /* SHELF_H */
