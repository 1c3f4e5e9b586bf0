/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_rig.h - what tests of the library work with: a small daemon, one runtime that
 * reports to it, and what that runtime has logged.
 */
#ifndef CLIENT_RIG_H
#define CLIENT_RIG_H

#include <sys/types.h>

#include "responder.h"
#include "runtime.h"

#define PATIENT_MS 120000 /* in the end the limit of the test comes first */

extern struct responder d;
extern dynm_runtime *rt;
extern dynm_scope at; /* the runtime's own */

/* The daemon and a runtime that flushes each 20 ms, to be ended by client_tear_down(). */
void client_set_up(void);
void client_tear_down(void);

/* Another runtime in the place of rt; the log starts anew. max_series: 0, the default. */
void client_open(uint32_t flush_ms, uint32_t max_series);
#define FLUSH_MS 20

/* What was counted until now has arrived. */
void flush(void);

/* Lines in the log with these words in them; "": all lines. */
uint32_t client_lines(const char *words);
/* Wait for one. */
void client_wait_line(const char *words);

/* The child of a vec with one label, whose value is a number. */
dynm_counter numbered(dynm_counter_vec vec, uint32_t i);
void remove_numbered(dynm_counter_vec vec, uint32_t i);

/* It has ended well: with status 0, or by end_well(). */
void wait_child(pid_t pid);
/* The end of a child whose parent had busy threads: no leak checker is to look for what
 * they held. */
void end_well(void) __attribute__((noreturn));
/* How many threads this process has. */
size_t threads(void);
/* What a child finds out: told before the fork, heard by the parent, in order. */
void tell_begin(void);
void tell(uint64_t what);
uint64_t hear(void);

#endif /* CLIENT_RIG_H */
