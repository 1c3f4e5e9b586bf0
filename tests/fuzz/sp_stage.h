/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sp_stage.h - what fuzz_sp plays for ingest: sockets, processes, clocks and libevent, by
 * functions of the same names. So nothing is waited for, and no system call is made.
 *
 * All is at file scope: what is played has no argument for it.
 */
#ifndef SP_STAGE_H
#define SP_STAGE_H

#include "fuzz.h"
#include "ingest_parts.h"

enum { PEERS = 2, FD = 1 << 20, PIDFD = FD + 16, LISTEN = FD + 32 };

struct peer {
	struct connection *c; /* NULL: it has gone */
	struct strbuf sends;
	size_t arrived, read; /* of sends */
	bool ended, dead;     /* it closed; its process is dead */
	bool bound;	      /* it has a session */
	bool cloned;	      /* a child goes on, and its process is dead */
	bool refused;	      /* closed over what it sent */
	bool late;	      /* time has passed: it may be refused for that */
	size_t taken;	      /* of sends, by the simple reader */
	bool pushes;
	struct strbuf answers; /* what it is to get */
	size_t got, released, window;
};

/* A peer's socket is FD and its number. The second peer has a PIDFD. */
extern struct peer peers[PEERS];
/* While it plays, CLOCK_MONOTONIC is clock_ns, and so much later at each look. */
extern bool playing;
extern uint64_t clock_ns, tick_ns;

/* Call what libevent would call. True if there was something. */
bool stage_events(void);

#endif /* SP_STAGE_H */
