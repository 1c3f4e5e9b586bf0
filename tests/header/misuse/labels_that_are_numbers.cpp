/* SPDX-License-Identifier: Apache-2.0 */
/* Label values are strings. */
#include <dynamo/metrics.h>

void misuse(dynm_counter_vec v);

void
misuse(dynm_counter_vec v)
{
#ifdef MISUSE
	(void)dynm_with(v, 404);
#else
	(void)dynm_with(v, "404");
#endif
}
