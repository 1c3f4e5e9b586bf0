# SPDX-License-Identifier: Apache-2.0
"""From the workers' counters to the daemon's page: how much goes through, whether all of it
arrives, and how long the daemon's loop is busy at a time."""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import harness
from bench import BUILD, QUICK, Row, peer, program, run

WORKERS = 8
SERIES = 1000
SECONDS = 0.2 if QUICK else 1.5
HELD = 20000 if QUICK else 1000000
LIMIT_S = 0.01  # of a turn; a bound of the histogram dynamo_metricsd_loop_turn_seconds
MEMORY = "/dev/shm"  # where a runtime folder is under systemd: in memory


@contextlib.contextmanager
def daemon(before=(), **config):
    """A daemon with its socket and its journal in memory, and its state on the disk. before:
    a command that runs it."""
    place = MEMORY if os.path.isdir(MEMORY) and os.access(MEMORY, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="dynm-", dir=place)
    state = tempfile.mkdtemp(prefix="dynm-")
    d = harness.Daemon(folder, config=config, before=before,
        DYN_METRICSD_STATE=os.path.join(state, "s"))
    try:
        yield d.start().ready()
        d.stop()
    finally:
        d.clean_up()
        for path in (folder, state):
            shutil.rmtree(path, ignore_errors=True)


def command(name, *arguments):
    return [os.path.join(BUILD, "tests", "bench", name), *map(str, arguments)]


def sum_of(page, start):
    """Of the values of all lines that start so."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.split("\n")
        if line.startswith(start))


def counted(d, *arguments):
    """Run a program that counts: its figure, if the page has exactly what it counted."""
    lines = run(command(*arguments), {"DYN_METRICSD_ADDRESS": d.address})
    there = sum_of(d.get("/metrics").text, "dynamo_ingest_total{") + \
        sum_of(d.get("/metrics").text, "dynamo_events_total{")
    if there != float(lines[-2]):
        raise RuntimeError(f"counted {lines[-2]}, and the page has {there:.0f}")
    if d.value("dynamo_metricsd_journal_failures_total") != 0:
        raise RuntimeError(f"the journal was given up: {d.log()[-400:]}")
    return float(lines[-1])


def ingest(workers=WORKERS, series=SERIES):
    with daemon() as d:
        return counted(d, "client_ingest", workers, series, SECONDS)


def events():
    with daemon() as d:
        return counted(d, "client_events", 2, SECONDS)


def journal_bytes():
    """Of the journal for each cell that changed: what more of them adds to it. A snapshot
    would begin another one."""
    with daemon(state={"journal_bytes": 1 << 32}) as d:
        figures = [(d.value("dynamo_metricsd_journal_bytes"), 0)]
        for seconds in (0, SECONDS / 2):
            lines = run(command("client_ingest", 1, SERIES, seconds),
                {"DYN_METRICSD_ADDRESS": d.address})
            figures.append((d.value("dynamo_metricsd_journal_bytes"), float(lines[-2])))
        # The first, of one change each, tells what the definitions take.
        first, second = ((b[0] - a[0], b[1]) for a, b in zip(figures, figures[1:]))
        return (second[0] - first[0]) / (second[1] - first[1])


# ---- Turns of the loop -----------------------------------------------------------------------


class Probe(threading.Thread):
    """Asks for /live again and again, and for /metrics all the time beside it."""

    def __init__(self, d):
        super().__init__()
        self.d, self.over, self.live_s = d, False, []

    def run(self):
        connection = self.d.connection()
        while not self.over:
            begin = time.monotonic()
            connection.request("GET", "/live")
            connection.getresponse().read()
            self.live_s.append(time.monotonic() - begin)
            time.sleep(0.0005)
        connection.close()


SCRAPES = """
import sys, urllib.request
while True:
    request = urllib.request.Request(sys.argv[1], headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request) as answer:
        while answer.read(1 << 20):
            pass
"""


def turns_over(d, limit_s):
    text = d.get("/metrics?name[]=dynamo_metricsd_loop_turn_seconds").text
    name = "dynamo_metricsd_loop_turn_seconds_"
    return sum_of(text, name + "count") - sum_of(text, f'{name}bucket{{le="{limit_s:g}"}}')


_load = {}  # figures of one run under load, each taken once


def under_load():
    """The daemon with HELD series, scraped with gzip, a snapshot each second, and WORKERS
    that send as fast as they can."""
    config = {"state": {"snapshot_ms": 1000}, "limits": {"series_per_family": HELD}}
    with daemon(**config) as d, contextlib.ExitStack() as stack:
        env = harness.clean_environment(DYN_METRICSD_ADDRESS=d.address)
        hold = stack.enter_context(subprocess.Popen(command("client_hold", 2, HELD // 2),
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        stack.callback(hold.stdin.close)
        if hold.stdout.readline() != b"ready\n":
            raise RuntimeError("the series were not taken")
        before = turns_over(d, LIMIT_S)
        scrape = stack.enter_context(subprocess.Popen([sys.executable, "-c", SCRAPES,
            f"http://127.0.0.1:{d.port}/metrics"]))
        stack.callback(scrape.kill)
        probe = Probe(d)
        probe.start()
        try:
            lines = run(command("client_ingest", WORKERS, SERIES, 2 * SECONDS),
                {"DYN_METRICSD_ADDRESS": d.address})
        finally:
            probe.over = True
            probe.join()
        times = sorted(probe.live_s)
        return {"over": turns_over(d, LIMIT_S) - before,
            "live": times[min(len(times) - 1, len(times) * 999 // 1000)] * 1e3,
            "ingest": float(lines[-1])}


def of_load(figure):
    def measure():
        if figure not in _load:
            _load.update(under_load())
        return _load.pop(figure)
    return measure


ROWS = [
    Row(name="ingest_8x1000", text="end to end over IPC: 8 workers, 1,000 series each, all "
        "changing, journal on, none lost", unit="M series/s",
        floor=program("wire_socket", WORKERS, SERIES, SECONDS), own=ingest,
        peers={"pushgateway": peer("pushgateway", "million_series_per_s")},
        own_least=20, higher_is_better=True),
    Row(name="events_exact", text="events counted exactly, 2 threads at full speed",
        unit="M events/s", own=events, own_least=1000, higher_is_better=True),
    Row(name="journal_cell", text="journal: bytes for each changed cell", unit="B",
        floor=lambda: 12.0, own=journal_bytes, own_most=16),
    Row(name="turns_over_10ms", text="turns of the loop over 10 ms, while a million series are "
        "scraped with gzip, snapshotted each second, and 8 workers send", unit="turns",
        own=of_load("over"), own_most=0, rounds=3),
    Row(name="live_p999", text="/live meanwhile, p99.9", unit="ms", own=of_load("live"),
        printed=True, rounds=3),
    Row(name="ingest_loaded", text="ingest meanwhile", unit="M series/s",
        own=of_load("ingest"), printed=True, higher_is_better=True, rounds=3),
]
