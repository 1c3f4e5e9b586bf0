/* SPDX-License-Identifier: Apache-2.0 */
#include "figures.h"

#include "process.h"
#include "turn.h"

/* What nobody can tell is not on the page: a 0 would be a lie. */
static void
set_known(struct self_metrics *self, enum self_metric m, double value)
{
	if (value > 0)
		self_set(self, m, 0, 0, value);
}

void
figures_set(struct self_metrics *self, uint64_t started_ns)
{
	uint64_t up_ns = turn_clock_ns() - started_ns;
	struct process_figures f;

	process_figures(&f);
	self_set(self, SELF_UPTIME, 0, 0, (double)(up_ns / 1000000000U));
	self_set(self, SELF_PROCESS_CPU, 0, 0, f.cpu_seconds);
	self_set(self, SELF_PROCESS_MAX_FDS, 0, 0, f.max_fds);
	set_known(self, SELF_PROCESS_OPEN_FDS, f.open_fds);
	set_known(self, SELF_PROCESS_RESIDENT, f.resident_bytes);
	set_known(self, SELF_PROCESS_START_TIME, f.start_time_seconds);
	set_known(self, SELF_PROCESS_VIRTUAL, f.virtual_bytes);
}
