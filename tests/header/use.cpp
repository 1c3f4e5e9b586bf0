/* SPDX-License-Identifier: Apache-2.0 */
// Every public macro and kind of call, in C++; run, so that the lists are seen to live as
// long as the calls they are given to.
#include <dynamo/metrics.h>

#include <cstdio>
#include <string>

static dynm_counter at_file_scope;

static int failed;

static void
check(bool good, const char *what)
{
	if (good)
		return;
	std::printf("wrong in C++: %s\n", what);
	failed = 1;
}

static std::string
text(int i)
{
	return std::string(40, static_cast<char>('a' + i));
}

int
main()
{
	dynm_options options{};
	dynm_runtime *rt;
	dynm_error err;

	options.address = "ipc:///nonexistent/socket";
	options.flush_ms = 10;
	if (dynm_open(&rt, &options, &err) != DYNM_OK)
		return 1;
	auto ns = dynm_runtime_namespace(rt, "n");
	auto comp = dynm_namespace_component(ns, "c");
	auto ep = dynm_component_endpoint(comp, "e");
	auto labelled = dynm_scope_label(ep.scope, "k", "v");
	auto cv = dynm_counter_vec_create(labelled, "c", "", DYNM_LABELS("a", "b"));
	auto gv =
	    dynm_gauge_vec_create_merge(ns.scope, "g", "", DYNM_LABELS("a"), DYNM_EACH);
	auto hv = dynm_histogram_vec_create(
	    comp.scope, "h", "", DYNM_LABELS("a"), DYNM_BUCKETS(0.1, 1, 10));
	auto h = dynm_histogram_create(ep.scope, "d", "", DYNM_BUCKETS_DEFAULT);

	at_file_scope = dynm_counter_create(dynm_runtime_scope(rt), "f", "");
	dynm_counter_inc(at_file_scope);
	dynm_histogram_observe(h, dynm_now());
	for (int i = 0; i < 3; i++) {
		// temporaries of the caller's, alive to the end of the full expression
		auto one = dynm_with(cv, text(i).c_str(), text(i + 1).c_str());
		auto two = dynm_with(cv, text(i).c_str(), text(i + 1).c_str());

		check(one.series_ && one.series_ == two.series_, "dynm_with");
		dynm_counter_add(one, 2);
		dynm_gauge_add(dynm_with(gv, text(i).c_str()), -1);
		dynm_histogram_observe_n(dynm_with(hv, text(i).c_str()), 1, 5);
	}
	dynm_remove(cv, text(0).c_str(), text(1).c_str());
	dynm_remove(gv, text(0).c_str());
	dynm_remove(hv, text(0).c_str());
	check(dynm_histogram_create(ep.scope, "d", "",
		  DYNM_BUCKETS(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
		      .series_ == h.series_,
	    "DYNM_BUCKETS_DEFAULT");
	dynm_status status;
	dynm_runtime_status(rt, &status);
	check(status.series == 8, "the number of series");
	check(dynm_runtime_error(rt, &err) == DYNM_OK, err.text);
	dynm_close(rt);
	return failed;
}
