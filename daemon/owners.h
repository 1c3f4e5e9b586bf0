/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owners.h - how many things of a kind each uid made: counted when one is made, and given
 * back when it leaves. A uid has a number while it has any. One thread.
 */
#ifndef OWNERS_H
#define OWNERS_H

#include "index.h"
#include "table.h"

struct owners {
	struct slab items; /* of struct owner */
	struct index by_uid;
	uint32_t last; /* the number found last: most series come in runs of one uid */
};

void owners_init(struct owners *o);
void owners_free(struct owners *o);
/* How many a uid has made that are still there. */
uint32_t owners_count(struct owners *o, uint32_t uid);
/* The uid's number, or 0. */
uint32_t owners_find(struct owners *o, uint32_t uid);
/* One more; the uid's number, or 0 when memory is out. */
uint32_t owners_add(struct owners *o, uint32_t uid);
/* The uid that has a number. */
uint32_t owners_uid(const struct owners *o, uint32_t number);
/* One less of that number. */
void owners_remove(struct owners *o, uint32_t number);

#endif /* OWNERS_H */
