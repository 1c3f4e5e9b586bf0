/* SPDX-License-Identifier: Apache-2.0 */
/* A level is passed by its scope. */
#include <dynamo/metrics.h>

void misuse(dynm_endpoint ep);

void
misuse(dynm_endpoint ep)
{
#ifdef MISUSE
	(void)dynm_counter_create(ep, "c", "");
#else
	(void)dynm_counter_create(ep.scope, "c", "");
#endif
}
