# SPDX-License-Identifier: Apache-2.0
"""What the library takes of a worker: memory, and wake-ups when nothing happens."""
import os

import harness
from bench import BUILD, Row, run


def worker(what):
    def measure():
        daemon = harness.Daemon()
        try:
            daemon.start().ready()
            return float(run([os.path.join(BUILD, "tests", "bench", "client_memory"), what],
                {"DYN_METRICSD_ADDRESS": daemon.address})[-1])
        finally:
            daemon.clean_up()
    return measure


ROWS = [
    Row(name="worker_bytes", text="memory per series in a worker, without label values",
        unit="B", own=worker("series"), own_most=64, rounds=3),
    Row(name="worker_bytes_thread", text="the same, more for each thread that counts: two cells, and a mark for each block",
        unit="B", own=worker("thread"), own_most=16.05, rounds=3),
    Row(name="worker_wakeups", text="wake-ups of an idle worker's thread, per flush interval",
        unit="times", own=worker("wakeups"), own_most=1.05, rounds=3),
    Row(name="worker_wakeups_unused", text="wake-ups when nothing is defined", unit="times",
        own=worker("unused"), own_most=0, rounds=3),
]
