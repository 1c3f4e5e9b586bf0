/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deflate_block.h - the second half of deflate: literals and copies become bits.
 */
#ifndef DEFLATE_BLOCK_H
#define DEFLATE_BLOCK_H

#include <stdbool.h>

#include "deflate_match.h"
#include "strbuf.h"

/* Bits that do not fill a byte yet, the first one lowest. */
struct deflate_bits {
	uint64_t waiting;
	unsigned n; /* 0 to 7 between blocks */
};

/*
 * Append text[0, bytes), which copies tell (bytes is below 2 to the 23), in the way that
 * takes least: with a code of its own, with the fixed one, or as it is. *ret_cost: what
 * bits cost in this block. out fails when memory is out.
 */
void deflate_block(struct deflate_bits *bits, const struct deflate_copies *copies,
    const uint8_t *text, size_t bytes, bool last, struct strbuf *out,
    struct deflate_cost *ret_cost);

/* Fill the last byte with zeros, and append it. */
void deflate_bits_end(struct deflate_bits *bits, struct strbuf *out);

#endif /* DEFLATE_BLOCK_H */
