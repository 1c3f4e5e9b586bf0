/* SPDX-License-Identifier: Apache-2.0 */
/* A component is under a namespace. */
#include <dynamo/metrics.h>

void misuse(dynm_namespace ns, dynm_component comp);

void
misuse(dynm_namespace ns, dynm_component comp)
{
#ifdef MISUSE
	(void)dynm_namespace_component(comp, "c");
	(void)ns;
#else
	(void)dynm_namespace_component(ns, "c");
	(void)comp;
#endif
}
