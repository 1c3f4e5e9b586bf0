/* SPDX-License-Identifier: Apache-2.0 */
/* A counter is no histogram. */
#include <dynamo/metrics.h>

void misuse(dynm_counter c);

void
misuse(dynm_counter c)
{
#ifdef MISUSE
	dynm_histogram_observe(c, 1);
#else
	dynm_counter_add(c, 1);
#endif
}
