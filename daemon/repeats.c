/* SPDX-License-Identifier: Apache-2.0 */
#include "repeats.h"

#include <stdlib.h>

#include "deadlines.h"
#include "index.h"
#include "owners.h"
#include "table.h"

#define TEXTS_BYTES_MAX (16U << 20) /* of answers that are kept, together */

struct repeat {
	uint8_t key[REPEATS_KEY_BYTES];
	uint8_t content[8];
	uint32_t owner;	 /* of owners; 0: nobody */
	uint32_t answer; /* ANSWER_OK, ANSWER_LOST, or a number of answers */
};

#define ANSWER_OK   0U
#define ANSWER_LOST UINT32_MAX

struct answer {
	size_t bytes;
	char *text;
};

struct repeats {
	uint8_t secret[REPEATS_SECRET_BYTES];
	struct slab keys; /* of struct repeat, from its first byte on */
	struct index index;
	struct owners owners;
	struct deadlines ends;
	struct slab answers; /* of struct answer */
	size_t text_bytes;
};

/* ---- Hash ------------------------------------------------------------- */

static uint64_t
rotate(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

static void
sip_rounds(uint64_t v[4], int n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32) + v[3];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

static void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
}

void
repeats_hash(const uint8_t secret[REPEATS_SECRET_BYTES], const void *bytes, size_t n,
    uint8_t ret[16])
{
	uint64_t k0 = wire_load_u64(secret), k1 = wire_load_u64(secret + 8);
	/* The constants spell "somepseudorandomlygeneratedbytes". */
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
		k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	const uint8_t *p = bytes;
	uint8_t rest[8] = { 0 };

	rest[7] = (uint8_t)n;
	for (; n >= 8; p += 8, n -= 8)
		sip_word(v, wire_load_u64(p));
	if (n)
		memcpy(rest, p, n);
	sip_word(v, wire_load_u64(rest));
	v[2] ^= 0xee;
	sip_rounds(v, 4);
	wire_store_u64(ret, v[0] ^ v[1] ^ v[2] ^ v[3]);
	v[1] ^= 0xdd;
	sip_rounds(v, 4);
	wire_store_u64(ret + 8, v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* ---- Keys ------------------------------------------------------------- */

enum { KEY_OF_ID = 1, KEY_OF_REQUEST = 2 };

struct repeats_key
repeats_key_of_id(const struct repeats *r, uint32_t uid, struct wire_text id,
    const void *payload, size_t bytes)
{
	uint8_t head[5 + REPEATS_ID_BYTES] = { KEY_OF_ID }, hash[16];
	size_t n = id.bytes < REPEATS_ID_BYTES ? id.bytes : REPEATS_ID_BYTES;
	struct repeats_key key;

	wire_store_u32(head + 1, uid);
	memcpy(head + 5, id.at, n);
	repeats_hash(r->secret, head, 5 + n, key.key);
	repeats_hash(r->secret, payload, bytes, hash);
	memcpy(key.content, hash, sizeof(key.content));
	return key;
}

struct repeats_key
repeats_key_of_request(const struct repeats *r, const struct repeats_request *from,
    const void *payload, size_t bytes)
{
	uint8_t head[21 + 16] = { KEY_OF_REQUEST };
	struct repeats_key key = { .content = { 0 } };

	wire_store_u64(head + 1, from->process);
	wire_store_u64(head + 9, from->start);
	wire_store_u32(head + 17, from->request);
	repeats_hash(r->secret, payload, bytes, head + 21);
	repeats_hash(r->secret, head, sizeof(head), key.key);
	return key;
}

static struct repeat *
repeat_at(const struct repeats *r, uint32_t number)
{
	return slab_at(&r->keys, number);
}

/* A part of a key is a hash of it. */
static uint64_t
key_hash(const void *owner, uint32_t number)
{
	return wire_load_u64(repeat_at(owner, number)->key);
}

static bool
key_equal(const void *owner, uint32_t number, const void *key)
{
	return memcmp(repeat_at(owner, number)->key, key, REPEATS_KEY_BYTES) == 0;
}

static const struct index_keys index_keys = { key_hash, key_equal, NULL };

/* ---- Finding ---------------------------------------------------------- */

uint32_t
repeats_find(const struct repeats *r, const struct repeats_key *key)
{
	return index_find(&r->index, wire_load_u64(key->key), key->key);
}

bool
repeats_is_same(const struct repeats *r, uint32_t number, const struct repeats_key *key)
{
	return memcmp(repeat_at(r, number)->content, key->content,
		   sizeof(key->content)) == 0;
}

struct wire_text
repeats_answer(const struct repeats *r, uint32_t number, bool *ret_refused)
{
	uint32_t answer = repeat_at(r, number)->answer;
	const struct answer *a;

	*ret_refused = answer != ANSWER_OK;
	if (answer == ANSWER_OK || answer == ANSWER_LOST)
		return (struct wire_text){ "", 0 };
	a = slab_at(&r->answers, answer);
	return (struct wire_text){ a->text, a->bytes };
}

/* ---- Keeping ---------------------------------------------------------- */

/* A place for a key, which is nobody's; 0 when memory is out. */
static uint32_t
repeat_new(struct repeats *r, const struct repeats_key *key)
{
	uint32_t number = deadlines_reserve(&r->ends) ? slab_new(&r->keys) : 0;
	struct repeat *repeat;

	if (number == 0)
		return 0;
	repeat = repeat_at(r, number);
	memcpy(repeat->key, key->key, sizeof(repeat->key));
	memcpy(repeat->content, key->content, sizeof(repeat->content));
	if (!index_add(&r->index, key_hash(r, number), number)) {
		slab_release(&r->keys, number);
		return 0;
	}
	return number;
}

bool
repeats_take(
    struct repeats *r, uint32_t uid, const struct repeats_key *key, uint32_t *ret_number)
{
	uint32_t number = repeat_new(r, key);
	uint32_t owner = number ? owners_add(&r->owners, uid) : 0;

	if (number && owner == 0)
		repeats_drop(r, number);
	if (owner == 0)
		return false;
	repeat_at(r, number)->owner = owner;
	*ret_number = number;
	return true;
}

void
repeats_drop(struct repeats *r, uint32_t number)
{
	uint32_t answer = repeat_at(r, number)->answer;
	uint32_t owner = repeat_at(r, number)->owner;

	if (owner)
		owners_remove(&r->owners, owner);
	if (answer != ANSWER_OK && answer != ANSWER_LOST) {
		struct answer *a = slab_at(&r->answers, answer);

		r->text_bytes -= a->bytes;
		free(a->text);
		slab_release(&r->answers, answer);
	}
	index_remove(&r->index, key_hash(r, number), number);
	slab_release(&r->keys, number);
}

/* Its text would only help a person: without room for it, that it was refused is kept. */
static uint32_t
answer_new(struct repeats *r, struct wire_text text)
{
	uint32_t number;
	struct answer *a;

	if (text.bytes > REPEATS_TEXT_BYTES ||
	    r->text_bytes + text.bytes > TEXTS_BYTES_MAX)
		return ANSWER_LOST;
	number = slab_new(&r->answers);
	if (number == 0)
		return ANSWER_LOST;
	a = slab_at(&r->answers, number);
	a->text = malloc(text.bytes + 1);
	if (a->text == NULL) {
		slab_release(&r->answers, number);
		return ANSWER_LOST;
	}
	memcpy(a->text, text.at, text.bytes);
	a->bytes = text.bytes;
	r->text_bytes += text.bytes;
	return number;
}

void
repeats_keep(
    struct repeats *r, uint32_t number, uint64_t until_ms, const struct wire_text *answer)
{
	if (answer)
		repeat_at(r, number)->answer = answer_new(r, *answer);
	deadlines_add(&r->ends, until_ms, number);
}

void
repeats_saved(const struct repeats *r, uint32_t position, struct repeats_saved *ret)
{
	const struct deadline *end = &r->ends.at[position];
	const struct repeat *repeat = repeat_at(r, end->number);

	*ret = (struct repeats_saved){ .tick = end->tick };
	memcpy(ret->key.key, repeat->key, sizeof(ret->key.key));
	memcpy(ret->key.content, repeat->content, sizeof(ret->key.content));
	ret->text = repeats_answer(r, end->number, &ret->refused);
}

bool
repeats_restore(struct repeats *r, const struct repeats_saved *saved)
{
	uint32_t number = repeat_new(r, &saved->key);

	if (number == 0)
		return false;
	if (saved->refused)
		repeat_at(r, number)->answer = ANSWER_LOST;
	if (saved->text.bytes)
		repeat_at(r, number)->answer = answer_new(r, saved->text);
	deadlines_add(&r->ends, (uint64_t)saved->tick * DEADLINES_TICK_MS, number);
	return true;
}

void
repeats_expire(struct repeats *r, uint64_t now_ms, uint32_t most)
{
	uint32_t number;

	while (most-- > 0 && (number = deadlines_take(&r->ends, now_ms)) != 0)
		repeats_drop(r, number);
}

/* ---- All -------------------------------------------------------------- */

struct repeats *
repeats_new(const uint8_t secret[REPEATS_SECRET_BYTES])
{
	struct repeats *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	memcpy(r->secret, secret, sizeof(r->secret));
	slab_init(&r->keys, sizeof(struct repeat));
	slab_init(&r->answers, sizeof(struct answer));
	index_init(&r->index, &index_keys, r);
	owners_init(&r->owners);
	return r;
}

void
repeats_set_secret(struct repeats *r, const uint8_t secret[REPEATS_SECRET_BYTES])
{
	memcpy(r->secret, secret, sizeof(r->secret));
}

void
repeats_free(struct repeats *r)
{
	if (r == NULL)
		return;
	while (r->ends.n > 0)
		repeats_expire(r, UINT64_MAX, UINT32_MAX);
	deadlines_free(&r->ends);
	index_free(&r->index);
	owners_free(&r->owners);
	slab_free(&r->keys);
	slab_free(&r->answers);
	free(r);
}

uint32_t
repeats_count(const struct repeats *r)
{
	return r->keys.live;
}

uint32_t
repeats_count_of(struct repeats *r, uint32_t uid)
{
	return owners_count(&r->owners, uid);
}
