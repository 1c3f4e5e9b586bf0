/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life.h - what may happen to a daemon, at random but the same for the same seed: workers
 * of several users that come, define, count, remove, are silent, leave and come back;
 * messages in JSON; an administrator; time that passes. And its state as a file.
 */
#ifndef LIFE_H
#define LIFE_H

#include "snapshot.h"
#include "talk.h"

#define LIFE_WORKERS 6

struct life {
	struct talk *talk;
	struct talk_worker *worker[LIFE_WORKERS];
	uint64_t random;
	uint64_t n; /* steps so far; values rise with them */
	/* What was answered so far, to be compared. */
	uint64_t answers;
};

/* Of a talk, which stays the caller's. */
struct life life_new(struct talk *talk, uint64_t seed);
/* The same life, from here on in another talk: its workers have the same sessions, but no
 * connection yet. */
struct life life_in(const struct life *life, struct talk *talk);
/* As after a start: nobody is connected, and then those workers that had a session say
 * HELLO. */
void life_connect(struct life *life);
void life_step(struct life *life);
void life_steps(struct life *life, unsigned n);

/* The state as a file, appended. Fails the test if that fails. */
void life_save(struct talk *t, struct strbuf *file);
struct journal_head life_head(const struct talk *t);
/* A talk with what the file has, at its time. naming NULL: the seed's. */
struct talk *life_load(const struct strbuf *file, const struct naming *naming);

/* The page, and STATUS without what is of this run: what it counts, who is connected. */
void life_show(struct talk *t, struct strbuf *ret);
/* Fails the test where they do not show the same. */
void life_same(struct talk *a, struct talk *b, const char *when);
/* The same, but for what was refused to each worker: a journal does not have it. */
void life_same_but_refused(struct talk *a, struct talk *b, const char *when);

#endif /* LIFE_H */
