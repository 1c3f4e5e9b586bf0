/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_inside.h - looks into the daemon, and into a gauge's cell: headers that no file can
 * include together with the worker's session.
 */
#ifndef SIM_INSIDE_H
#define SIM_INSIDE_H

#include <stddef.h>
#include <stdint.h>

struct apply;
struct registry;

/* Of the sessions: how many are folded and known, and the number of the next. */
struct sim_sessions {
	uint32_t live, folded;
	uint64_t next_serial;
};
struct sim_sessions sim_sessions(const struct apply *a);
uint64_t sim_store(const struct apply *a);

/* A series whose live columns come to more than its total, or NULL. What is counted for
 * live workers is in the totals; the rest is of the dead. */
const char *sim_wrong_columns(const struct apply *a, double *ret_sum, double *ret_total);

/* A gauge's value as the worker's cell has it. */
uint64_t sim_gauge_bits(double value);

#endif /* SIM_INSIDE_H */
