/* SPDX-License-Identifier: Apache-2.0 */
/* Every public macro and kind of call, in C99 and later. */
#include <dynamo/metrics.h>

static dynm_counter at_file_scope;
static const dynm_options no_options;

int use(dynm_runtime *rt);

int
use(dynm_runtime *rt)
{
	dynm_namespace ns = dynm_runtime_namespace(rt, "n");
	dynm_component comp = dynm_namespace_component(ns, "c");
	dynm_endpoint ep = dynm_component_endpoint(comp, "e");
	dynm_scope labelled = dynm_scope_label(ep.scope, "k", "v");
	dynm_counter_vec cv =
	    dynm_counter_vec_create(labelled, "c", "", DYNM_LABELS("a", "b"));
	dynm_gauge_vec gv =
	    dynm_gauge_vec_create_merge(ns.scope, "g", "", DYNM_LABELS("a"), DYNM_EACH);
	dynm_histogram_vec hv = dynm_histogram_vec_create(
	    comp.scope, "h", "", DYNM_LABELS("a"), DYNM_BUCKETS(0.1, 1, 10));
	dynm_strings kept = DYNM_LABELS("x", "y");
	dynm_status status;
	dynm_error err;

	at_file_scope = dynm_counter_create(dynm_runtime_scope(rt), "f", "");
	dynm_counter_inc(dynm_counter_vec_with(cv, kept));
	dynm_gauge_set(dynm_gauge_vec_with(gv, DYNM_LABELS("x")), 1);
	dynm_histogram_observe(dynm_histogram_vec_with(hv, DYNM_LABELS("x")), dynm_now());
	dynm_histogram_observe(
	    dynm_histogram_create(ep.scope, "d", "", DYNM_BUCKETS_DEFAULT), 1);
	dynm_counter_vec_remove(cv, kept);
	dynm_gauge_vec_remove(gv, DYNM_LABELS("x"));
	dynm_histogram_vec_remove(hv, DYNM_LABELS("x"));
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
	dynm_counter_add(dynm_with(cv, "a", "b"), 2);
	dynm_gauge_add(dynm_with(gv, "a"), -1);
	dynm_histogram_observe_n(dynm_with(hv, "a"), 1, 5);
	dynm_remove(cv, "a", "b");
	dynm_remove(gv, "a");
	dynm_remove(hv, "a");
#endif
	dynm_runtime_status(rt, &status);
	if (dynm_open(&rt, &no_options, &err) != DYNM_OK)
		return dynm_runtime_error(rt, &err) == DYNM_OK;
	return 0;
}
