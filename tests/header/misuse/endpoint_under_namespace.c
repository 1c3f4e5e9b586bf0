/* SPDX-License-Identifier: Apache-2.0 */
/* An endpoint is under a component. */
#include <dynamo/metrics.h>

void misuse(dynm_namespace ns, dynm_component comp);

void
misuse(dynm_namespace ns, dynm_component comp)
{
#ifdef MISUSE
	(void)dynm_component_endpoint(ns, "e");
	(void)comp;
#else
	(void)dynm_component_endpoint(comp, "e");
	(void)ns;
#endif
}
