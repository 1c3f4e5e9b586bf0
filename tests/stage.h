/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.h - a worker's session that can be put into any of its states, with the source of
 * two counters and a gauge, and replies to it.
 */
#ifndef STAGE_H
#define STAGE_H

#include "session.h"

#define STAGE_STORE  0x1111U
#define STAGE_OTHER  0x2222U
#define STAGE_FIRST  0 /* a counter: in flight where an UPDATE is */
#define STAGE_GAUGE  1
#define STAGE_SECOND 2 /* a counter: acknowledged, never in flight */

struct stage {
	struct session *session;
	struct {
		bool undefined, known, removing;
		double first, second, level;
		/* what it was told, and how often */
		unsigned defined, answers_lost, removed, restarts, kept, suspects;
	} src;
	struct session_source source;
	uint8_t bytes[4096]; /* the reply */
};

struct stage *stage_new(void);
void stage_free(struct stage *g);

/* Besides the types of messages: no answer, one that makes no sense, and LIVE with
 * somebody else's ticket. */
enum { STAGE_TIME_OUT = 0x100, STAGE_GARBAGE, STAGE_LIVE_OF_OTHERS };

/* A reply comes. k: the number in it; of NEW the serial, of ERROR the reason. */
enum session_verdict stage_hear(struct stage *g, int type, uint64_t store, uint64_t k);
void stage_hello(struct stage *g, uint8_t random);
/* The next request is of that type; n: its number, 0 if it has none. */
void stage_ask(struct stage *g, enum message_type type, uint64_t n);
bool stage_is_numbered(enum message_type type);

/*
 * The states, in this order: OFF as new, and with an UPDATE in flight; HELLO as new,
 * after a fold, with a ticket, and with UPDATE, DEFINE, REMOVE in flight; READY, and with
 * an UPDATE in flight; WAIT for UPDATE, DEFINE, REMOVE, and for PING, BYE, EXPOSE.
 *
 * After a fold the base is 5 and 3. A session behind that has serial 8, has acknowledged
 * 4 and 7, and n is 2; an UPDATE in flight is the third and reports 15 of the first.
 */
#define STAGE_STATES	      16
#define STAGE_HELLO_IN_FLIGHT 5
#define STAGE_READY	      8
#define STAGE_READY_IN_FLIGHT 9
#define STAGE_WAIT_IN_FLIGHT  10
/* From new. */
void stage_enter(struct stage *g, size_t state);

#endif /* STAGE_H */
