/* SPDX-License-Identifier: Apache-2.0 */
/* A counter cannot be set. */
#include <dynamo/metrics.h>

void misuse(dynm_counter c);

void
misuse(dynm_counter c)
{
#ifdef MISUSE
	dynm_gauge_set(c, 1);
#else
	dynm_counter_add(c, 1);
#endif
}
