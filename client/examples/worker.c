/* SPDX-License-Identifier: Apache-2.0 */
#include <dynamo/metrics.h>
int
main(void)
{
	dynm_runtime *rt;
	if (dynm_open(&rt, NULL, NULL) != DYNM_OK)
		return 1;
	dynm_namespace ns = dynm_runtime_namespace(rt, "dynamo");
	dynm_component comp = dynm_namespace_component(ns, "backend");
	dynm_endpoint ep = dynm_component_endpoint(comp, "generate");
	dynm_counter c = dynm_counter_create(ep.scope, "my_counter", "My custom counter");
	for (int i = 0; i < 42; i++)
		dynm_counter_inc(c);
	dynm_close(rt);
}
