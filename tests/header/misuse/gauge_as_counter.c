/* SPDX-License-Identifier: Apache-2.0 */
/* A gauge is no counter. */
#include <dynamo/metrics.h>

void misuse(dynm_gauge g);

void
misuse(dynm_gauge g)
{
#ifdef MISUSE
	dynm_counter_inc(g);
#else
	dynm_gauge_inc(g);
#endif
}
