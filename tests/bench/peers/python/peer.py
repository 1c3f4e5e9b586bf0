# SPDX-License-Identifier: Apache-2.0
"""peer.py MEASUREMENT: the hot paths and the page of client_python, as tests/bench measures
ours, less often and with fewer series: it is some hundred times slower. Ends with 3 when it has
no such measurement."""
import math
import os
import sys
import time

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
except ImportError:
    sys.stderr.write("not installed\n")
    sys.exit(3)

QUICK = bool(os.environ.get("QUICK"))
TIMES = 2000 if QUICK else 200000
SERIES = 1000 if QUICK else 100000
MILLION = 1000000
VALUES = 65536
MASK = (1 << 64) - 1


class Source:
    """The generator of tests/bench/bench.h."""

    def __init__(self):
        self.state = 1

    def random(self):
        self.state = z = (self.state + 0x9e3779b97f4a7c15) & MASK
        z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ z >> 27) * 0x94d049bb133111eb) & MASK
        return z ^ z >> 31

    def uniform(self):
        return (self.random() >> 11) / 2.0 ** 53

    def lognormal(self):
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        return 0.1 * math.exp(1.5 * radius * math.cos(2 * math.pi * self.uniform()))


def nanoseconds(call, arguments):
    began = time.perf_counter()
    for argument in arguments:
        call(argument)
    return (time.perf_counter() - began) / len(arguments) * 1e9


def observe(bounds):
    seed = Source()
    histogram = Histogram("h", "h", registry=None, buckets=bounds)
    return nanoseconds(histogram.observe, [seed.lognormal() for _ in range(min(TIMES, VALUES))])


def lookup(children):
    seed = Source()
    vec = Counter("v", "v", ["path", "method"], registry=None)
    keys = [f"/api/v1/resource{seed.random() % children}" for _ in range(min(TIMES, VALUES))]
    for i in range(children):
        vec.labels(f"/api/v1/resource{i}", "GET")
    return nanoseconds(lambda path: vec.labels(path, "GET").inc(), keys)


def fill(series):
    registry = CollectorRegistry()
    seed = Source()
    for f in range(100):
        vec = Counter(f"dynamo_bench_requests_{f:03}_total", "Requests served.", ["namespace",
            "component", "endpoint", "model", "worker_id"], registry=registry)
        for i in range(series // 100):
            r = seed.random()
            vec.labels("prod", "backend", "generate", f"llama-{i % 10}-instruct",
                f"worker-{i // 10:05}").inc(r // 7 % 10 ** (r % 7 + 1))
    return registry


def scrape():
    """Seconds of a million series: of a tenth of them, times ten."""
    registry = fill(SERIES)
    began = time.perf_counter()
    generate_latest(registry)
    return (time.perf_counter() - began) * (1 if QUICK else MILLION / SERIES)


def rss():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def bytes_per_series():
    before = rss()
    registry = fill(SERIES)
    after = rss()
    del registry
    return (after - before) / SERIES


ELEVEN = (.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
THIRTY = tuple(0.001 * 1.4 ** i for i in range(30))
MEASUREMENTS = {
    "counter_inc": lambda: nanoseconds(Counter("c", "c", registry=None).inc, [1] * TIMES),
    "gauge_set": lambda: nanoseconds(Gauge("g", "g", registry=None).set, range(TIMES)),
    "gauge_add": lambda: nanoseconds(Gauge("g", "g", registry=None).inc, [1] * TIMES),
    "observe_11": lambda: observe(ELEVEN),
    "observe_30": lambda: observe(THIRTY),
    "lookup_100": lambda: lookup(100),
    "lookup_10000": lambda: lookup(10000),
    "scrape_1m": scrape,
    "bytes_per_series": bytes_per_series,
}

if len(sys.argv) != 2 or sys.argv[1] not in MEASUREMENTS:
    sys.exit((sys.stderr.write("not offered\n"), 3)[1])
print(repr(MEASUREMENTS[sys.argv[1]]()))
