/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what outlives the daemon, as the server has it: the folders of the
 * configuration, the journal that apply records in, the process that writes a snapshot as
 * an event of the loop, and what is told of it. What is kept, and when, is persist.h's.
 * One thread.
 */
#ifndef STATE_H
#define STATE_H

#include <event2/event.h>

#include "apply.h"
#include "config.h"
#include "turn.h"

struct state;

/* Nothing is touched yet. All outlives it. NULL when memory is out. */
struct state *state_new(const struct config *config, struct event_base *base,
    struct turn *turn, struct log *log);
void state_free(struct state *s);

/* Where apply is to record; NULL: nowhere. */
struct journal *state_journal(const struct state *s);

/*
 * Load what was kept into apply, which is empty, and set the turn's clock. 0, or -1 with
 * a sentence in error (of STATE_ERROR_TEXT bytes).
 */
#define STATE_ERROR_TEXT 512
int state_load(struct state *s, struct apply *apply, struct self_metrics *self,
    char error[STATE_ERROR_TEXT]);

/* The turn's effects are kept when it returns. */
void state_turn(struct state *s);
/* Milliseconds until state_turn() has something to do; UINT64_MAX: nothing. */
uint64_t state_due_ms(const struct state *s, uint64_t now_ms);
/* True while requests had better wait, at the end of a turn: see persist.h. */
bool state_is_behind(const struct state *s);
/* The configuration has changed. */
void state_set_options(struct state *s);
/* A child of this process has ended: see disk_bury(). */
void state_bury(struct state *s);
/* The last of it; nothing may be applied afterwards. */
void state_stop(struct state *s);

/* Set the self-metrics. */
void state_refresh(struct state *s);
/* What is wrong, as a JSON array of sentences. arg: the state. */
void state_problems(void *arg, struct strbuf *out);
/* All of it as a JSON object, for STATUS. */
void state_status(struct state *s, struct strbuf *out);

#endif /* STATE_H */
