/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h - what the targets of `make fuzz` share.
 *
 * A target is a file fuzz_X.c with LLVMFuzzerTestOneInput(). It tells what must hold with
 * fuzz_must(). The same input has to do the same each time: randomness comes from
 * getrandom(), which is replaced here and starts anew with fuzz_begin().
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "strbuf.h"
#include "wire.h"

/* What libFuzzer calls; always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* End the process, with a sentence, unless it holds. */
void fuzz_must(bool holds, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes of the input that decide something. Behind their end there are zeros. */
struct fuzz_input {
	const uint8_t *at;
	size_t bytes;
};

/* The input, as memory of exactly so many bytes, so that a read past them is seen. */
struct fuzz_input fuzz_begin(const uint8_t *bytes, size_t n);

uint8_t fuzz_u8(struct fuzz_input *in);
uint16_t fuzz_u16(struct fuzz_input *in);
uint32_t fuzz_u32(struct fuzz_input *in);
uint64_t fuzz_u64(struct fuzz_input *in);
/* A number below limit, which is at least 1. */
uint32_t fuzz_below(struct fuzz_input *in, uint32_t limit);
/* So many bytes, or as many as there are; in place. */
struct wire_text fuzz_bytes(struct fuzz_input *in, size_t n);

/* ---- The page ---------------------------------------------------------------- */

enum { FUZZ_COUNTER, FUZZ_GAUGE, FUZZ_HISTOGRAM };

struct fuzz_sample {
	struct wire_text series; /* the line up to its value; borrows from the text */
	int kind;		 /* of the family */
	double value;
};

/* The samples of a page, ordered by fuzz_compare(). */
struct fuzz_page {
	size_t n, room;
	struct fuzz_sample *sample;
};

/*
 * Read a page, and see that it is one: each line is HELP, TYPE or a sample; families are
 * ordered, whole, and none is there twice; no series is; labels and escapes are right;
 * counters and counts are neither negative nor no number; buckets add up. Room is kept
 * for the next page: zeroed at first, to be given to fuzz_page_free().
 */
void fuzz_page_read(struct fuzz_page *ret, const char *text, size_t bytes);
void fuzz_page_free(struct fuzz_page *p);
/* A sample, or NULL. */
const struct fuzz_sample *fuzz_page_find(
    const struct fuzz_page *p, struct wire_text series);
int fuzz_compare(struct wire_text a, struct wire_text b);

#endif /* FUZZ_H */
