/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deflate_code.h - prefix codes of deflate: from how often each symbol comes to its bits.
 */
#ifndef DEFLATE_CODE_H
#define DEFLATE_CODE_H

#include <stdint.h>

#define DEFLATE_SYMBOLS 288

struct deflate_code {
	unsigned n; /* symbols */
	uint32_t count[DEFLATE_SYMBOLS];
	uint8_t length[DEFLATE_SYMBOLS]; /* in bits; 0: does not come */
	uint16_t bits[DEFLATE_SYMBOLS];	 /* the first one lowest */
};

/*
 * From n and count[] (each below 2 to the 23, the sum below 2 to the 32) to the best
 * lengths of at most longest bits (15 or less), and to nearly the best ones where that
 * bound is met. At least two symbols get a length, so that any reader takes the code.
 */
void deflate_code_lengths(struct deflate_code *c, unsigned longest);
/* From n and length[] to bits[]. */
void deflate_code_bits(struct deflate_code *c);

#endif /* DEFLATE_CODE_H */
