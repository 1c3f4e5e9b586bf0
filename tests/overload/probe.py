# SPDX-License-Identifier: Apache-2.0
"""probe.py live|scrape|flush|newcomer PORT EVERY_S - somebody who means well, does one thing
again and again, and times it. It hears and tells as the programs do (crowd.h), with "wrong":
sentences about what may not be.

    live        asks /live, from a new connection each time
    scrape      /metrics over one connection that stays, as Prometheus does; every other time
                packed. Remembers all, and no counter may come back lower, or be gone
    flush       a worker with the library that counts one, and flushes
    newcomer    such a worker, from its start to its end
"""
import gzip
import http.client
import json
import math
import os
import select
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "system")]
sys.dont_write_bytecode = True

import harness  # noqa: E402

STEPS, BUCKETS = 16, 512  # as figures.h has them
GONE_TOO = ("dynamo_define_series_total",)  # series that are taken away, and never come again
PATIENCE_S = 60
WRONG_MAX = 20


class Live:
    def __init__(self, port):
        self.port = port

    def act(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/live")
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            yield f"/live answered {answer.status}"


def counters(text):
    """key -> value, of all that never goes down; and what comes twice."""
    found, twice, kind = {}, [], ""
    for line in text.split("\n"):
        if line[:1] == "#":
            words = line.split(" ")
            kind = words[3] if words[1] == "TYPE" else kind
        elif kind != "gauge" and line:
            key, _, value = line.rpartition(" ")
            if key in found:
                twice.append(key)
            # A histogram's sum goes down with what is below zero.
            if "_sum{" not in key and not key.endswith("_sum"):
                found[key] = float(value)
    return found, twice


class Scrape:
    """What it read last is kept: whoever scrapes twice compares."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self.turn, self.seen, self.text = 0, {}, None

    def fetch(self, headers):
        try:
            self.connection.request("GET", "/metrics", headers=headers)
            answer = self.connection.getresponse()
            return answer, answer.read()
        except (ConnectionError, http.client.BadStatusLine):
            self.connection.close()  # it was idle for too long; the next request opens another
            self.connection.request("GET", "/metrics", headers=headers)
            answer = self.connection.getresponse()
            return answer, answer.read()

    def act(self):
        self.turn += 1
        packed = {"Accept-Encoding": "gzip"} if self.turn % 2 else {}
        answer, body = self.fetch(packed)
        self.text = None
        if answer.status != 200:
            yield f"/metrics answered {answer.status}: {body[:80]!r}"
        else:
            self.text = gzip.decompress(body) if packed else body

    def compare(self):
        if self.text is None:
            return
        text = self.text.decode()
        if not text.endswith("\n"):
            yield f"the page ends in the middle of a line: ...{text[-80:]!r}"
        now, twice = counters(text)
        for key in twice:
            yield f"twice: {key}"
        for key, before in self.seen.items():
            value = now.get(key)
            if value is None and not key.startswith(GONE_TOO):
                yield f"went down: {key} was {before!r} and is gone"
            elif value is not None and value < before:
                yield f"went down: {key} was {before!r} and is {value!r}"
        self.seen = now


class Flush:
    def __init__(self, _):
        self.worker = harness.Worker(os.environ["DYN_METRICSD_ADDRESS"], flush_ms=60000)
        self.series = self.worker.metric("counter", ("overload",), "probe_total")

    def act(self):
        self.worker.call("add", self.series, "1.0")
        self.worker.flush(PATIENCE_S * 1000)
        yield from ()


class Newcomer:
    def __init__(self, _):
        self.address = os.environ["DYN_METRICSD_ADDRESS"]

    def act(self):
        worker = harness.Worker(self.address, flush_ms=60000)
        try:
            series = worker.metric("counter", ("overload",), "newcomer_total")
            worker.call("add", series, "1.0")
            worker.flush(PATIENCE_S * 1000)
            worker.close()
        finally:
            worker.end_quietly()
        yield from ()


ROLES = {"live": Live, "scrape": Scrape, "flush": Flush, "newcomer": Newcomer}


class Probe:
    def __init__(self, role, port, every_s):
        self.actor, self.every_s = ROLES[role](port), every_s
        self.done, self.wrong, self.latency = 0, [], {}
        self.due = None  # it rests

    def act(self):
        began = time.monotonic()
        try:
            wrong = list(self.actor.act())
        except (OSError, http.client.HTTPException, AssertionError, harness.WorkerError) as error:
            wrong = [f"{type(error).__name__}: {error}"]
        seconds = time.monotonic() - began
        bucket = min(max(0, int(STEPS * math.log2(seconds * 1e6 + 1e-9))), BUCKETS - 1)
        self.latency[bucket] = self.latency.get(bucket, 0) + 1
        self.done += 1
        if hasattr(self.actor, "compare"):
            wrong += self.actor.compare()
        self.wrong += wrong[:WRONG_MAX]
        self.due = max(self.due + self.every_s, time.monotonic())

    def tell(self):
        print(json.dumps({"done": [self.done], "failed": len(self.wrong),
            "wrong": self.wrong[:WRONG_MAX], "latency": sorted(self.latency.items())}), flush=True)

    def obey(self, line):
        if line.startswith(b"rate"):
            self.due = time.monotonic() if float(line.split()[1]) else None
            return
        if line == b"settle":
            self.due = None
        self.tell()

    def run(self):
        rest = b""
        self.tell()
        while True:
            wait_s = None if self.due is None else max(0, self.due - time.monotonic())
            if select.select([0], [], [], wait_s)[0]:
                data = os.read(0, 4096)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.obey(line)
            elif self.due is not None:
                self.act()


if __name__ == "__main__":
    Probe(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])).run()
