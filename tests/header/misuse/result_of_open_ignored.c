/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a runtime is open has to be looked at. */
#include <dynamo/metrics.h>

void misuse(dynm_runtime **rt);

void
misuse(dynm_runtime **rt)
{
#ifdef MISUSE
	dynm_open(rt, 0, 0);
#else
	if (dynm_open(rt, 0, 0) != DYNM_OK)
		return;
#endif
}
