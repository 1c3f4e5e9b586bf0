/* SPDX-License-Identifier: Apache-2.0 */
#include "deflate_code.h"

#include <string.h>

#define DEEPEST 32 /* of a code without a bound: counts of so few bits allow no more */

/* The symbols that come, the rarest first: the count above the symbol's nine bits. */
static unsigned
sort(const struct deflate_code *c, uint32_t *key)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n; i++) {
		uint32_t k = c->count[i] << 9 | i;
		unsigned at = n;

		if (c->count[i] == 0)
			continue;
		for (; at > 0 && key[at - 1] > k; at--)
			key[at] = key[at - 1];
		key[at] = k;
		n++;
	}
	return n;
}

/*
 * Join the two rarest until one is left: leaves are taken in order, and so are the
 * joined, which come to be in order. parent[] of n leaves and, from n on, of n - 1 joined
 * ones.
 */
static void
join(const uint32_t *key, unsigned n, uint16_t *parent)
{
	uint32_t weight[DEFLATE_SYMBOLS];
	unsigned leaf = 0, joined = 0;

	for (unsigned next = 0; next < n - 1; next++) {
		weight[next] = 0;
		for (unsigned k = 0; k < 2; k++) {
			if (joined < next &&
			    (leaf == n || weight[joined] < key[leaf] >> 9)) {
				weight[next] += weight[joined];
				parent[n + joined++] = (uint16_t)(n + next);
			} else {
				weight[next] += key[leaf] >> 9;
				parent[leaf++] = (uint16_t)(n + next);
			}
		}
	}
}

/* How many leaves are so deep. */
static void
count_depths(const uint16_t *parent, unsigned n, unsigned *at_depth)
{
	uint8_t depth[2 * DEFLATE_SYMBOLS];

	depth[2 * n - 2] = 0;
	for (unsigned i = 2 * n - 2; i-- > 0;) {
		depth[i] = (uint8_t)(depth[parent[i]] + 1);
		if (i < n)
			at_depth[depth[i] < DEEPEST ? depth[i] : DEEPEST]++;
	}
}

/*
 * Bring leaves that are too deep up to the bound, and make room for them: each time, one
 * of the next shorter length becomes two that are longer by a bit.
 */
static void
bound(unsigned *at_depth, unsigned longest)
{
	uint32_t full = UINT32_C(1) << longest;
	uint32_t used = 0;

	for (unsigned i = longest + 1; i <= DEEPEST; i++)
		at_depth[longest] += at_depth[i];
	for (unsigned i = 1; i <= longest; i++)
		used += at_depth[i] << (longest - i);
	for (; used > full; used--) {
		unsigned i = longest - 1;

		while (at_depth[i] == 0)
			i--;
		at_depth[i]--;
		at_depth[i + 1] += 2;
		at_depth[longest]--;
	}
}

void
deflate_code_lengths(struct deflate_code *c, unsigned longest)
{
	unsigned at_depth[DEEPEST + 1] = { 0 };
	uint16_t parent[2 * DEFLATE_SYMBOLS];
	uint32_t key[DEFLATE_SYMBOLS];
	unsigned n = sort(c, key);

	memset(c->length, 0, sizeof(c->length));
	/* A code of one symbol is not complete: another one is there without coming. */
	for (unsigned i = 0; n < 2; i++)
		if (c->count[i] == 0)
			key[n++] = i;
	join(key, n, parent);
	count_depths(parent, n, at_depth);
	bound(at_depth, longest);
	for (unsigned i = longest, k = 0; i > 0; i--)
		for (unsigned left = at_depth[i]; left > 0; left--)
			c->length[key[k++] & 511] = (uint8_t)i;
}

void
deflate_code_bits(struct deflate_code *c)
{
	unsigned of_length[16] = { 0 }, next[16] = { 0 };

	for (unsigned i = 0; i < c->n; i++)
		of_length[c->length[i]]++;
	of_length[0] = 0;
	for (unsigned i = 1; i < 16; i++)
		next[i] = (next[i - 1] + of_length[i - 1]) << 1;
	for (unsigned i = 0; i < c->n; i++) {
		unsigned v = c->length[i] ? next[c->length[i]]++ : 0;
		unsigned bits = 0;

		for (unsigned k = 0; k < c->length[i]; k++, v >>= 1)
			bits = bits << 1 | (v & 1);
		c->bits[i] = (uint16_t)bits;
	}
}
