/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer MEASUREMENT: the hot paths and the page of prometheus-cpp, as tests/bench measures
 * ours. Prints one figure on its last line. Ends with 3 when it has no such measurement.
 */
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace
{

using Labels = std::map<std::string, std::string>;

constexpr std::size_t values = 65536;
const bool quick = std::getenv("QUICK") && *std::getenv("QUICK");
const int times = quick ? 100000 : 20000000;
const int many = quick ? 10000 : 1000000;

/* The generator of tests/bench/bench.h. */
struct source {
	std::uint64_t state = 1;

	std::uint64_t
	random()
	{
		std::uint64_t z = state += 0x9e3779b97f4a7c15u;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		return z ^ z >> 31;
	}
	double
	uniform()
	{
		return static_cast<double>(random() >> 11) * 0x1p-53;
	}
	double
	lognormal()
	{
		double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
		return 0.1 *
		       std::exp(1.5 * radius * std::cos(6.283185307179586 * uniform()));
	}
};

double
seconds_of(const std::function<void()> &work)
{
	auto began = std::chrono::steady_clock::now();
	work();
	return std::chrono::duration<double>(std::chrono::steady_clock::now() - began)
	    .count();
}

/* Nanoseconds of one turn of the loop, with so many threads in it. */
template <typename Turn>
double
per_turn(int threads, int turns, Turn turn)
{
	return seconds_of([&] {
		std::vector<std::thread> all;
		for (int t = 0; t < threads; t++)
			all.emplace_back([&] {
				for (int i = 0; i < turns; i++)
					turn(i);
			});
		for (auto &thread : all)
			thread.join();
	}) / turns *
	       1e9;
}

double
counter_inc(int threads)
{
	prometheus::Counter c;
	return per_turn(threads, times, [&](int) { c.Increment(); });
}

double
gauge_set()
{
	prometheus::Gauge g;
	return per_turn(1, times, [&](int i) { g.Set(i); });
}

double
gauge_add()
{
	prometheus::Gauge g;
	return per_turn(1, times, [&](int) { g.Increment(1); });
}

double
observe(int threads, const std::vector<double> &bounds)
{
	source seed;
	std::vector<double> observed(values);
	for (auto &value : observed)
		value = seed.lognormal();
	prometheus::Histogram h(bounds);
	return per_turn(threads, times / 4,
	    [&](int i) { h.Observe(observed[static_cast<std::size_t>(i) % values]); });
}

double
lookup(int threads, unsigned children)
{
	source seed;
	prometheus::Registry registry;
	auto &family = prometheus::BuildCounter().Name("v").Register(registry);
	std::vector<std::string> paths;
	for (unsigned i = 0; i < children; i++) {
		paths.push_back("/api/v1/resource" + std::to_string(i));
		family.Add({ { "path", paths[i] }, { "method", "GET" } });
	}
	std::vector<const std::string *> keys(values);
	for (auto &key : keys)
		key = &paths[seed.random() % children];
	return per_turn(threads, times / 100, [&](int i) {
		family
		    .Add({ { "path", *keys[static_cast<std::size_t>(i) % values] },
			{ "method", "GET" } })
		    .Increment();
	});
}

double
rss()
{
	long pages = 0, resident = 0;
	std::unique_ptr<FILE, int (*)(FILE *)> file(
	    std::fopen("/proc/self/statm", "r"), std::fclose);
	if (!file || std::fscanf(file.get(), "%ld %ld", &pages, &resident) != 2)
		std::exit(1);
	return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/* The counters of tests/bench/client_fill.c: 100 families, 3 + 2 labels. */
void
fill(prometheus::Registry &registry, int series)
{
	source seed;
	char name[64], model[64], worker[64];
	for (int f = 0; f < 100; f++) {
		std::snprintf(name, sizeof(name), "dynamo_bench_requests_%03d_total", f);
		auto &family =
		    prometheus::BuildCounter()
			.Name(name)
			.Help("Requests served.")
			.Labels(Labels{ { "namespace", "prod" },
			    { "component", "backend" }, { "endpoint", "generate" } })
			.Register(registry);
		for (int i = 0; i < series / 100; i++) {
			std::uint64_t r = seed.random();
			auto most = static_cast<std::uint64_t>(std::pow(10, r % 7 + 1));
			std::snprintf(model, sizeof(model), "llama-%d-instruct", i % 10);
			std::snprintf(worker, sizeof(worker), "worker-%05d", i / 10);
			family.Add({ { "model", model }, { "worker_id", worker } })
			    .Increment(static_cast<double>(r / 7 % most));
		}
	}
}

/* Seconds to collect and write the second page into memory: civetweb would copy it. */
double
scrape()
{
	prometheus::Registry registry;
	double seconds = 0;
	fill(registry, many);
	for (int i = 0; i < 2; i++)
		seconds = seconds_of([&] {
			std::ostringstream page;
			prometheus::TextSerializer().Serialize(page, registry.Collect());
		});
	return seconds;
}

double
bytes_per_series()
{
	prometheus::Registry registry;
	double before = rss();
	fill(registry, many);
	return (rss() - before) / many;
}

std::vector<double>
thirty()
{
	std::vector<double> bounds;
	for (int i = 0; i < 30; i++)
		bounds.push_back(0.001 * std::pow(1.4, i));
	return bounds;
}

} // namespace

int
main(int argc, char **argv)
{
	const std::vector<double> eleven{ .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5,
		10 };
	const std::map<std::string, std::function<double()>> measurements{
		{ "counter_inc", [] { return counter_inc(1); } },
		{ "counter_inc_2", [] { return counter_inc(2); } },
		{ "gauge_set", gauge_set },
		{ "gauge_add", gauge_add },
		{ "observe_11", [&] { return observe(1, eleven); } },
		{ "observe_30", [] { return observe(1, thirty()); } },
		{ "observe_2", [&] { return observe(2, eleven); } },
		{ "lookup_100", [] { return lookup(1, 100); } },
		{ "lookup_10000", [] { return lookup(1, 10000); } },
		{ "lookup_2", [] { return lookup(2, 100); } },
		{ "scrape_1m", scrape },
		{ "bytes_per_series", bytes_per_series },
	};
	auto found = measurements.find(argc == 2 ? argv[1] : "");
	if (found == measurements.end()) {
		std::fputs("not offered\n", stderr);
		return 3;
	}
	std::printf("%.17g\n", found->second());
	return 0;
}
