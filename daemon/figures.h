/* SPDX-License-Identifier: Apache-2.0 */
/*
 * figures.h - the daemon's process as self-metrics.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "self_metrics.h"

/* Set them to what they are now. started_ns: of turn_clock_ns(). */
void figures_set(struct self_metrics *self, uint64_t started_ns);

#endif /* FIGURES_H */
