/* SPDX-License-Identifier: Apache-2.0 */
/* Each kind of vec has its own functions. */
#include <dynamo/metrics.h>

void misuse(dynm_histogram_vec v);

void
misuse(dynm_histogram_vec v)
{
#ifdef MISUSE
	(void)dynm_counter_vec_with(v, DYNM_LABELS("x"));
#else
	(void)dynm_histogram_vec_with(v, DYNM_LABELS("x"));
#endif
}
