/* SPDX-License-Identifier: Apache-2.0 */
/*
 * twins.h - two daemons that are told the same: one lives on, the other is killed again
 * and again, and begins anew with nothing but its snapshot and what it recorded. Nobody
 * can tell them apart: they answer alike and show the same page.
 *
 * What fails aborts the test with what differs.
 */
#ifndef TWINS_H
#define TWINS_H

#include "effect.h"
#include "talk.h"

#define TWIN_WORKERS 4

struct twin {
	struct talk *talk;
	struct journal *journal; /* of the turn under way */
	struct strbuf snapshot;	 /* the last, if it took one */
	struct strbuf file;	 /* what was written since then */
	struct apply_options options;
	struct registry_limits limits;
	bool component; /* naming */
	struct talk_worker *w[TWIN_WORKERS];
	struct talk_worker *root;
};

struct twins {
	struct twin lives, dies;
};

/* Options as talk.h has them, to be changed before twins_open(). */
void twins_init(struct twins *t);
void twins_open(struct twins *t);
void twins_close(struct twins *t);

/* Both do it, answer alike, and show the same. what: for a message. */
void twins_do(
    struct twins *t, const char *what, void (*act)(struct twin *x, void *arg), void *arg);
/* The second takes a snapshot, and what it wrote before is forgotten. */
void twins_snapshot(struct twins *t);
/* The second is killed and starts again at once; nobody has a connection then. */
void twins_restart(struct twins *t);
/* Pages and workers are the same. */
void twins_same(const struct twins *t, const char *what);

/* ---- Parts of it, for who wants them one by one ---------------------------- */

/* The end of a turn: what was recorded is written. */
void twin_write(struct twin *x);
/* An empty daemon with the same options, that records nothing. */
struct talk *twin_empty(struct twin *x);
/* All that was written into an empty daemon, the snapshot first. */
enum reason twin_replay(const struct twin *x, struct talk *into, struct refusal *why);
/* Ask as root. */
enum message_type twin_admin(struct twin *x, const char *json);

#endif /* TWINS_H */
