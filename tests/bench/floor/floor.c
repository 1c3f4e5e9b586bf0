/* SPDX-License-Identifier: Apache-2.0 */
#include "floor.h"

#include <string.h>

/* A store that stays one: the compiler may not join it with the next. */
#define STORE(cell, value) (*(volatile __typeof__(cell) *)&(cell) = (value))

void
floor_call(void *handle)
{
	(void)handle;
}

void
floor_call_double(void *handle, double value)
{
	(void)handle;
	(void)value;
}

void
floor_observe_torn(struct floor_histogram *h, uint32_t bucket, double value)
{
	h->sum += value;
	h->bucket[bucket]++;
	h->mark = 1;
}

void
floor_observe(struct floor_histogram *h, uint32_t bucket, double value)
{
	uint64_t sequence = h->sequence;

	STORE(h->sequence, sequence + 1);
	STORE(h->sum, h->sum + value);
	STORE(h->bucket[bucket], h->bucket[bucket] + 1);
	STORE(h->sequence, sequence + 2);
	STORE(h->mark, 1);
}

__extension__ typedef unsigned __int128 u128;

static inline uint64_t
mix(uint64_t a, uint64_t b)
{
	u128 p = (u128)(a ^ 0x2d358dccaa6c78a5U) * (b ^ 0x8bb84b93962eacc9U);

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static inline uint64_t
word_at(const char *s, size_t bytes)
{
	uint64_t word = 0;

	memcpy(&word, s, bytes);
	return word;
}

/* Each byte once, or twice where 16 and the last 16 overlap. */
static inline uint64_t
hash_text(uint64_t h, const char *s, size_t n)
{
	uint64_t a, b;

	h ^= n;
	for (; n > 16; s += 16, n -= 16)
		h = mix(word_at(s, 8) ^ h, word_at(s + 8, 8));
	if (n >= 8) {
		a = word_at(s, 8);
		b = word_at(s + n - 8, 8);
	} else if (n >= 4) {
		a = word_at(s, 4);
		b = word_at(s + n - 4, 4);
	} else {
		a = n ? (uint64_t)(uint8_t)s[0] << 16 | (uint64_t)(uint8_t)s[n / 2] << 8 |
			    (uint8_t)s[n - 1]
		      : 0;
		b = 0;
	}
	return mix(a ^ h, b);
}

uint64_t
floor_hash(size_t n, const char *const *texts)
{
	uint64_t h = 1;

	for (size_t i = 0; i < n; i++)
		h = hash_text(h, texts[i], strlen(texts[i]));
	return h;
}
