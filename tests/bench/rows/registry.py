# SPDX-License-Identifier: Apache-2.0
"""The daemon's registry: how fast it takes values, what a series takes of memory, and how
long the daemon needs to be ready again."""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time

import harness
from bench import BUILD, QUICK, Row, peer, program, run

SERIES = 20_000 if QUICK else 1_000_000
SHARED = 5_000 if QUICK else 250_000  # that each of SHARING workers defines
SHARING = 4
LIMITS = {"series": 4 * SERIES, "series_per_family": SERIES, "series_per_worker": SERIES}


def command(name, *arguments):
    return [os.path.join(BUILD, "tests", "bench", name), *map(str, arguments)]


@contextlib.contextmanager
def daemon():
    d = harness.Daemon(config={"limits": LIMITS})
    try:
        yield d.start().ready()
        d.stop()
    finally:
        d.clean_up()


# ---- Memory ----------------------------------------------------------------------------------


def resident_bytes(d):
    with open(f"/proc/{d.process.pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("the daemon has no memory")


def resident_with(*workers, gone=False):
    """Of a daemon to which these workers (client_series) have sent all that they have; gone:
    and said good-bye."""
    with daemon() as d:
        client = subprocess.Popen(command("client_series", *workers),
            env=harness.clean_environment(DYN_METRICSD_ADDRESS=d.address),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            if client.stdout.readline() != b"ready\n":
                raise RuntimeError("the series were not taken")
            if gone:
                client.communicate()
                harness.wait_for("the good-bye", lambda: "dynamo_metricsd_workers 0\n" in
                    d.get("/metrics?name[]=dynamo_metricsd_workers").text)
            return resident_bytes(d)
        finally:
            client.communicate()


def per_series():
    return (resident_with(1, SERIES, gone=True) - resident_with(1, 1, gone=True)) / SERIES


def per_live_series():
    return (resident_with(1, SERIES) - resident_with(1, 1)) / SERIES


def per_worker_series():
    """What another worker takes for each series that is there already."""
    return (resident_with(SHARING, SHARED) - resident_with(1, SHARED)) / SHARED / (SHARING - 1)


def per_string():
    """What a series takes more when a label has a string of its own (11 bytes)."""
    return (resident_with(1, SERIES, "unique") - resident_with(1, SERIES)) / SERIES


# ---- Restart ---------------------------------------------------------------------------------


def restart(series=SERIES, *kind):
    """Seconds from the start of the daemon to the first /health with status 200."""
    folder = tempfile.mkdtemp(prefix="dynm-")
    d = harness.Daemon(folder, config={"limits": LIMITS})
    try:
        os.makedirs(d.state, mode=0o700)
        run(command("daemon_registry", "snapshot", series, os.path.join(d.state, "snapshot"),
            *kind))
        began = time.monotonic()
        d.start().ready()
        took = time.monotonic() - began
        there = d.get("/metrics?name[]=dynamo_metricsd_series").text
        if f'kind="counter"}} {series}\n' not in there:
            raise RuntimeError(f"the daemon did not load its state: {d.log()}{there}")
        d.stop()
        return took
    finally:
        d.clean_up()
        shutil.rmtree(folder, ignore_errors=True)


def measure(*arguments):
    return program("daemon_registry", *arguments)


ROWS = [
    Row(name="registry_update", text="values into the registry, 100,000 series, one core",
        unit="M values/s", floor=measure("copy", 100_000), own=measure("update", 100_000),
        own_least=400, higher_is_better=True),
    Row(name="registry_sparse", text="the same, each 20th of a million in another order",
        unit="M values/s", floor=measure("copy", 50_000), own=measure("sparse", SERIES),
        higher_is_better=True, printed=True, rounds=3),
    Row(name="registry_define", text="a new series of three labels, of a million", unit="ns",
        own=measure("define", SERIES), printed=True, rounds=3),
    Row(name="registry_longest", text="the longest definition of a million", unit="ms",
        own=measure("define_longest", SERIES), own_most=10, rounds=3),
    Row(name="registry_fold", text="the end of a worker with 500,000 counters", unit="ms",
        own=measure("fold", SERIES // 2), own_most=10, rounds=3),
    Row(name="registry_fold_gauges", text="the end of a worker with 100,000 gauges, which "
        "leave with it", unit="ms", own=measure("fold", SERIES // 10, "gauge"), own_most=10,
        rounds=3),
    Row(name="memory_series", text="memory of the daemon for each of a million series that "
        "were counted and whose worker is gone", unit="B", own=per_series, own_most=64,
        rounds=3),
    Row(name="memory_worker", text="and for each that a worker has", unit="B",
        own=per_worker_series, own_most=24, rounds=3),
    Row(name="memory_both", text="both in one: a million series of one worker", unit="B",
        own=per_live_series, own_most=64 + 24, rounds=3,
        peers={"client_golang": peer("go", "bytes_per_series"),
            "rust-prometheus": peer("rust", "bytes_per_series"),
            "prometheus-cpp": peer("cpp", "bytes_per_series")}),
    Row(name="memory_string", text="and for a label value of 11 bytes, kept once", unit="B",
        own=per_string, printed=True, rounds=3),
    Row(name="restart", text="ready after a restart with a million series in the state",
        unit="s", own=restart, own_most=0.5, rounds=5),
    Row(name="restart_strings", text="the same, where each has a label value of its own",
        unit="s", own=lambda: restart(SERIES, "unique"), own_most=0.5, rounds=5),
    Row(name="restart_quarter", text="and with a quarter of them", unit="s",
        own=lambda: restart(SERIES // 4), printed=True, rounds=5),
]
