/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - what an application could notice of a library: compared with what was before
 * the library did anything.
 *
 * One process-wide watch. Its own descriptors are closed on exec and closed at once.
 */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "noticed.h"

/* Before the library is used. */
void watch_begin(void);
/* In a thread of the application's, before it uses the library. */
void watch_thread(const char *name);
/* Whether the calling thread was there when signals were last allowed, and is none of the
 * application's. Safe in a signal handler. */
bool watch_is_foreign(void);

/* Look at handlers, masks, pending signals, names, processors, descriptors, children. */
void watch_glance(void);
/* How much may be looked at: an act that forks or takes signals itself says so. */
void watch_allow_children(bool allow);
void watch_allow_signals(bool allow);
bool watch_allows_signals(void);
/* From now on the memory is compared with what it is now. */
void watch_memory(void);
/* KiB that came on top since, at most; -1: never compared. */
long watch_grown_kb(void);
/* All runtimes are closed and our threads have ended: nothing may be left. */
void watch_end(void);

/* In a forked child: no socket of the library's was inherited. */
void watch_child(void);
/* In a program that was just started by fork and exec: nothing was. */
void watch_exec(void);

int64_t watch_ns(void);

#endif /* WATCH_H */
