/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"

#include "process.h"
#include "turn.h"

void
figures_set(struct self_metrics *self, uint64_t started_ns)
{
	uint64_t up_ns = turn_clock_ns() - started_ns;
	struct process_figures f;

	process_figures(&f);
	self_set(self, SELF_UPTIME, 0, 0, (double)(up_ns / 1000000000U));
	self_set(self, SELF_PROCESS_CPU, 0, 0, f.cpu_seconds);
	self_set(self, SELF_PROCESS_MAX_FDS, 0, 0, f.max_fds);
	self_set(self, SELF_PROCESS_OPEN_FDS, 0, 0, f.open_fds);
	self_set(self, SELF_PROCESS_RESIDENT, 0, 0, f.resident_bytes);
	self_set(self, SELF_PROCESS_START_TIME, 0, 0, f.start_time_seconds);
	self_set(self, SELF_PROCESS_VIRTUAL, 0, 0, f.virtual_bytes);
}
