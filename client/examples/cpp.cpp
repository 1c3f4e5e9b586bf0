/* SPDX-License-Identifier: Apache-2.0 */
/* cpp.cpp - the whole API from C++17: every kind, levels, labels, vecs. */
#include <dynamo/metrics.h>

#include <cstdio>
#include <memory>
#include <string>

namespace
{

struct closer {
	void
	operator()(dynm_runtime *rt) const
	{
		dynm_close(rt);
	}
};

} // namespace

int
main()
{
	dynm_runtime *opened = nullptr;
	dynm_error error;

	if (dynm_open(&opened, nullptr, &error) != DYNM_OK) {
		std::fprintf(stderr, "cpp: %s\n", error.text);
		return 1;
	}
	std::unique_ptr<dynm_runtime, closer> rt(opened);

	const std::string model = "llama-7b";
	auto ns = dynm_runtime_namespace(rt.get(), "dynamo");
	auto ep =
	    dynm_component_endpoint(dynm_namespace_component(ns, "backend"), "generate");
	auto here = dynm_scope_label(ep.scope, "model", model.c_str());

	auto jobs = dynm_counter_create(here, "cpp_jobs_total", "Jobs done.");
	auto depth = dynm_gauge_create(here, "cpp_queue_depth", "Jobs waiting.");
	auto took = dynm_histogram_create(
	    here, "cpp_job_seconds", "Time per job.", DYNM_BUCKETS(0.1, 1, 10));
	auto codes = dynm_counter_vec_create(
	    here, "cpp_answers_total", "Answers by code.", DYNM_LABELS("method", "code"));
	auto sizes = dynm_histogram_vec_create(here, "cpp_answer_bytes",
	    "Size of answers.", DYNM_LABELS("method"), DYNM_BUCKETS(1e3, 1e6));
	auto latency = dynm_histogram_create(
	    here, "cpp_latency_seconds", "Default buckets.", DYNM_BUCKETS_DEFAULT);

	for (int i = 0; i < 10; i++) {
		dynm_counter_inc(jobs);
		dynm_gauge_set(depth, 10 - i);
		dynm_histogram_observe(took, i);
		dynm_counter_inc(dynm_with(codes, "GET", i % 5 ? "200" : "500"));
		dynm_histogram_observe(dynm_with(sizes, "GET"), 500.0 * i);
		dynm_histogram_observe(latency, 0.01 * i);
	}

	if (dynm_runtime_error(rt.get(), &error) != DYNM_OK) {
		std::fprintf(stderr, "cpp: %s\n", error.text);
		return 1;
	}
	return dynm_flush(rt.get(), 5000) == DYNM_OK ? 0 : 1;
}
