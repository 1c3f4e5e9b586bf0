/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets are no labels. */
#include <dynamo/metrics.h>

void misuse(dynm_scope at);

void
misuse(dynm_scope at)
{
#ifdef MISUSE
	(void)dynm_counter_vec_create(at, "c", "", DYNM_BUCKETS(1));
#else
	(void)dynm_counter_vec_create(at, "c", "", DYNM_LABELS("l"));
#endif
}
