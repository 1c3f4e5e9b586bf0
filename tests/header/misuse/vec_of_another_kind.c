/* SPDX-License-Identifier: Apache-2.0 */
/* The child of a gauge vec is no counter. */
#include <dynamo/metrics.h>

void misuse(dynm_gauge_vec v);

void
misuse(dynm_gauge_vec v)
{
#ifdef MISUSE
	dynm_counter_inc(dynm_with(v, "x"));
#else
	dynm_gauge_inc(dynm_with(v, "x"));
#endif
}
