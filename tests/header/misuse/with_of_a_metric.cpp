/* SPDX-License-Identifier: Apache-2.0 */
/* Only a vec has children. */
#include <dynamo/metrics.h>

void misuse(dynm_counter_vec v, dynm_counter c);

void
misuse(dynm_counter_vec v, dynm_counter c)
{
#ifdef MISUSE
	(void)dynm_with(c, "x");
	(void)v;
#else
	(void)dynm_with(v, "x");
	(void)c;
#endif
}
