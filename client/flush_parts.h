/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flush_parts.h - what the files of the flush thread share; no other file of the library
 * includes it.
 */
#ifndef FLUSH_PARTS_H
#define FLUSH_PARTS_H

#include "flush.h"
#include "ticks.h"

#define LEASE_MIN_MS 100

static inline uint64_t
flush_lease_ns(const struct flush *f)
{
	uint32_t ms = f->session->lease_ms;

	return (ms > LEASE_MIN_MS ? ms : LEASE_MIN_MS) * NS_PER_MS;
}

/* orders.c: a last pass, for an interval at most, and the thread ends. */
void flush_order_close(struct flush *f);
/* In a forked child: it has none. */
void flush_forget_threads(void);

/* flush_pass.c: READY, and no pass is under way. False: the callback has forked, this is
 * the child, and f is no longer this thread's. */
bool flush_begin_pass(struct flush *f, uint64_t now);
/* All of it was sent and taken. */
void flush_end_pass(struct flush *f);
/* Somebody asked for one, or the interval is over. */
bool flush_pass_is_due(struct flush *f, uint64_t now);
/*
 * In a pass: when definitions take longer than the interval, look at what has changed
 * meanwhile. Only then: a pass must come to its end. Returns as flush_begin_pass().
 */
bool flush_refresh_pass(struct flush *f, uint64_t now);

#endif /* FLUSH_PARTS_H */
