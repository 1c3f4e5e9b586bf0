/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.h - what no library can do with less, in a shared object as the library is: a
 * call through the PLT, and behind it nothing; the stores of an observation; two strlen
 * and a hash.
 */
#ifndef FLOOR_H
#define FLOOR_H

#include <stddef.h>
#include <stdint.h>

struct floor_histogram {
	uint64_t sequence;
	double sum;
	uint64_t bucket[31];
	uint8_t mark;
};

void floor_call(void *handle);
void floor_call_double(void *handle, double value);
/* The bucket is known: no search. */
void floor_observe(struct floor_histogram *h, uint32_t bucket, double value);
/* The same without the two stores that let a reader see all of it or nothing. */
void floor_observe_torn(struct floor_histogram *h, uint32_t bucket, double value);
uint64_t floor_hash(size_t n, const char *const *texts);

#endif /* FLOOR_H */
