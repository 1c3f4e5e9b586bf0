/* SPDX-License-Identifier: Apache-2.0 */
/* A vec has to be asked for a child. */
#include <dynamo/metrics.h>

void misuse(dynm_counter_vec v);

void
misuse(dynm_counter_vec v)
{
#ifdef MISUSE
	dynm_counter_inc(v);
#else
	dynm_counter_inc(dynm_with(v, "x"));
#endif
}
