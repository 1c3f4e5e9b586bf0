/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repeats.h - messages that were applied, so that one that comes again is not.
 *
 * A message is known by the id that its sender gave it, or else by the request that
 * brought it: nanomsg's REQ sends a request again by itself when its connection breaks,
 * with the same request id. Either becomes a key of 16 bytes, by a hash that senders
 * cannot aim at. A key stays until its time is over and is never given up earlier: when
 * there is no room for another, the message is to be refused.
 *
 * What is kept is 32 bytes a key, 8 for when it ends and up to 11 to find it. Pure: the
 * time is handed in, in milliseconds of one clock. One thread.
 */
#ifndef REPEATS_H
#define REPEATS_H

#include "wire.h"

#define REPEATS_SECRET_BYTES 16
#define REPEATS_KEY_BYTES    16
#define REPEATS_ID_BYTES     128  /* the longest id */
#define REPEATS_TEXT_BYTES   4096 /* the longest answer that is kept */

struct repeats;

/* secret: random; keys made with another one are not found. NULL when memory is out. */
struct repeats *repeats_new(const uint8_t secret[REPEATS_SECRET_BYTES]);
void repeats_free(struct repeats *r);
/* Another secret, while no key is known. */
void repeats_set_secret(struct repeats *r, const uint8_t secret[REPEATS_SECRET_BYTES]);

/* The 128 bits of SipHash-2-4, which keys are made with. */
void repeats_hash(const uint8_t secret[REPEATS_SECRET_BYTES], const void *bytes, size_t n,
    uint8_t ret[16]);

struct repeats_key {
	uint8_t key[REPEATS_KEY_BYTES];
	uint8_t content[8]; /* tells apart two messages with one id */
};

/* A request, and who sent it. */
struct repeats_request {
	uint64_t
	    process;	/* its pid, or a number of the connection when that is not seen */
	uint64_t start; /* when the process started; ~0 for a connection */
	uint32_t request; /* SP request id */
};

/* The key of a message with an id, which is the sender's uid's own. */
struct repeats_key repeats_key_of_id(const struct repeats *r, uint32_t uid,
    struct wire_text id, const void *payload, size_t bytes);
/* The key of a message without. */
struct repeats_key repeats_key_of_request(const struct repeats *r,
    const struct repeats_request *from, const void *payload, size_t bytes);

/* The number of a key, or 0. */
uint32_t repeats_find(const struct repeats *r, const struct repeats_key *key);
/* False if the key was another message's. */
bool repeats_is_same(
    const struct repeats *r, uint32_t number, const struct repeats_key *key);
/* What was answered: *ret_refused false for a plain ok; else the text of the answer,
 * which is empty if it was not kept. Valid until the next call. */
struct wire_text repeats_answer(
    const struct repeats *r, uint32_t number, bool *ret_refused);

/*
 * Room for a uid's key that is not there: before its message is applied, so that nothing
 * can fail after it. *ret_number is to be given to repeats_keep() or repeats_drop()
 * before anything else is asked. False when memory is out.
 */
bool repeats_take(
    struct repeats *r, uint32_t uid, const struct repeats_key *key, uint32_t *ret_number);
/* answer NULL: a plain ok. */
void repeats_keep(struct repeats *r, uint32_t number, uint64_t until_ms,
    const struct wire_text *answer);
void repeats_drop(struct repeats *r, uint32_t number);

/* Keys for a file, by position: 0 to repeats_count() less 1. */
struct repeats_saved {
	struct repeats_key key;
	uint32_t tick; /* when it ends (deadlines.h) */
	bool refused;
	struct wire_text text; /* empty: a plain ok, or it was not kept */
};
void repeats_saved(const struct repeats *r, uint32_t position, struct repeats_saved *ret);
/* A key that is not there, and is nobody's. In the order of positions they come back to
 * the same ones. False when memory is out. */
bool repeats_restore(struct repeats *r, const struct repeats_saved *saved);

/* Forget up to most keys that have ended. */
void repeats_expire(struct repeats *r, uint64_t now_ms, uint32_t most);
uint32_t repeats_count(const struct repeats *r);
/* Those that a uid has taken since the start. */
uint32_t repeats_count_of(struct repeats *r, uint32_t uid);

#endif /* REPEATS_H */
