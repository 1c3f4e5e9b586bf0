/* SPDX-License-Identifier: Apache-2.0 */
/*
 * effect.h - what changes the state, as the journal has it: the bodies of its records,
 * written and read.
 *
 *	TIME	u64 now_ms, u64 unix_ms, u64 offset_ms (signed)
 *	REG	sid, u64 serial, u32 uid, u32 pid, u64 start, name, wish, library
 *	NAME	u64 serial, name (empty: a successor has it)
 *	DEFINE	the request, the refused items
 *	UPDATE REMOVE ADMIN	the request
 *	FOLD	u64 serial, u8 whether it is remembered
 *	JSON	u32 uid, the message, the refused metrics, u8 whether it is known again;
 *		then its key, u64 until when, u8 whether any was refused, the answer
 *	GONE	see gone.c
 *	BOOT	nothing: from here on it is another boot of the machine
 *
 * Texts and requests are behind their u32 length where something follows. Refused ones
 * are u32 indexes, rising, and UINT32_MAX behind the last. A request tells its session by
 * its ticket.
 *
 * Pure: the time is handed in. One thread.
 */
#ifndef EFFECT_H
#define EFFECT_H

#include <sys/types.h>

#include "journal.h"
#include "message.h"
#include "repeats.h"

/* Where effects are recorded, and when they happen. */
struct effects {
	struct journal *journal; /* NULL: nothing is recorded */
	uint64_t now_ms;	 /* of the state's clock */
	int64_t offset_ms;	 /* by which that is ahead of CLOCK_MONOTONIC */
	/* Milliseconds since 1970. May be NULL. */
	uint64_t (*unix_ms)(void *arg);
	void *arg;
	uint64_t last_ms, last_unix_ms; /* when the last effect happened; 0: none did */
	/* Before the record under way: the journal's bytes, and what was the last. */
	size_t before;
	uint64_t before_ms, before_unix_ms;
};

/* A session as it is saved. Texts are borrowed. */
struct session_saved {
	const uint8_t *sid;
	uint64_t serial; /* not 0, and no other session's */
	uint64_t last;
	uid_t uid;
	/* of live ones: */
	pid_t pid;
	uint64_t start;
	struct wire_text name; /* as it was given; empty: a successor has it */
	struct wire_text wish;
	struct wire_text library;
	uint64_t born_ms;
	uint64_t updated_ms;
	uint64_t refused;
};

/* ---- Writing ------------------------------------------------------------- */

/* A record of another's making, to be ended by journal_end(). The time comes first where
 * it has to. False: nothing is recorded. */
bool effect_begin(struct effects *e, enum journal_type type);

void effect_session(struct effects *e, const struct session_saved *who);
void effect_name(struct effects *e, uint64_t serial, const char *name);
void effect_fold(struct effects *e, uint64_t serial, bool remember);
void effect_boot(struct effects *e);
/* UPDATE, REMOVE, ADMIN. */
void effect_request(
    struct effects *e, enum journal_type type, const void *payload, size_t bytes);

/* DEFINE: begin, name the refused items, end. */
void effect_define_begin(struct effects *e, const void *payload, size_t bytes);
void effect_refused(struct effects *e, uint32_t index);
void effect_define_end(struct effects *e);

/* JSON: begin, name the refused metrics, end or cancel. */
struct effect_answer {
	struct repeats_key key;
	uint64_t until_ms;
	bool refused;
	struct wire_text text; /* if refused; empty: too long to be kept */
};
void effect_json_begin(
    struct effects *e, uint32_t uid, const void *payload, size_t bytes);
/* answer NULL: it is not known again. */
void effect_json_end(struct effects *e, const struct effect_answer *answer);
void effect_json_cancel(struct effects *e);

/* An effect that cannot be told: the journal fails. */
void effect_untold(struct effects *e);

/* ---- Reading: false for a body that is none --------------------------------- */

/* A request, and which of its items were refused. */
struct effect_items {
	const uint8_t *payload;
	size_t bytes;
	struct wire_reader refused;
	uint32_t next;	/* index of the next refused one; UINT32_MAX: none */
	uint32_t count; /* of them */
};
/* Ask for each item, in order. */
bool effect_was_refused(struct effect_items *items, uint32_t index);

bool effect_get_time(const struct journal_record *record, struct effects *ret);
bool effect_get_session(const struct journal_record *record, struct session_saved *ret);
bool effect_get_name(
    const struct journal_record *record, uint64_t *ret_serial, struct wire_text *ret);
bool effect_get_fold(
    const struct journal_record *record, uint64_t *ret_serial, bool *ret_remember);
bool effect_get_define(const struct journal_record *record, struct effect_items *ret);
bool effect_get_json(const struct journal_record *record, uint32_t *ret_uid,
    struct effect_items *ret, bool *ret_known, struct effect_answer *ret_answer);

#endif /* EFFECT_H */
