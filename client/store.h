/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - memory for what series.c makes. All under the store's lock.
 */
#ifndef STORE_H
#define STORE_H

#include "series.h"

/* A place for a child of so many process cells, block and slot filled; or NULL. It is
 * taken only when it is published. */
struct dynm_series *store_series(struct store *st, uint16_t stride);
/* The child is complete: the flush thread may see it. */
void store_publish(struct store *st, struct dynm_series *s);

/* A run of n wire cells; UINT32_MAX when there is none. */
uint32_t store_wire_take(struct store *st, uint32_t n);
void store_wire_give(struct store *st, uint32_t first, uint32_t n);

/* Room for one more than used in an array; false when there is no memory. */
bool store_grow(void **array, size_t *room, size_t used, size_t size);

#endif /* STORE_H */
