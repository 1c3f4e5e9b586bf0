# SPDX-License-Identifier: Apache-2.0
"""Daemons with a large page, for the rows that read it: started once, gone at the end."""
import atexit
import contextlib
import os
import re
import shutil
import subprocess
import tempfile

import bench
from harness import Daemon

SERIES = 20_000 if bench.QUICK else 1_000_000
FAMILIES = 100
_daemons = {}  # what it is -> Daemon


def built(name):
    return os.path.join(bench.BUILD, "tests", "bench", name)


class Prepared(Daemon):
    """The daemon, but for its page: that is a file's (daemon_page.c)."""

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([built("daemon_page"), *self.arguments],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self


def started(daemon):
    atexit.register(daemon.clean_up)
    return daemon.start().ready()


def fill(order):
    """A new daemon with the counters of client_fill.c."""
    limits = {"series": 4 * SERIES, "series_per_family": SERIES,
        "series_per_worker": 2 * SERIES, "series_per_uid": 4 * SERIES}
    daemon = started(Daemon(config={"limits": limits}))
    subprocess.run([built("client_fill"), str(SERIES), str(FAMILIES), order], check=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=bench.TIMEOUT_S,
        env=daemon.environment)
    return daemon


def filled(order="family"):
    """The one that all rows share; order: family or mixed."""
    if order not in _daemons:
        _daemons[order] = fill(order)
    return _daemons[order]


@contextlib.contextmanager
def fresh():
    """One that nobody has read from."""
    daemon = fill("family")
    try:
        yield daemon
    finally:
        daemon.clean_up()


def prepared():
    """A server that sends the page of filled(), as it was, and does no more than that."""
    if "prepared" not in _daemons:
        folder = tempfile.mkdtemp(prefix="dynm-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = os.path.join(folder, "page")
        with open(path, "wb") as file:
            file.write(filled().get("/metrics").body)
        _daemons["prepared"] = started(Prepared(BENCH_PAGE=path))
    return _daemons["prepared"]


def read(daemon, what, *headers):
    """A page is read by another process. what: total or first (in seconds), or bytes."""
    figure = float(bench.run([built("wire_get"), str(daemon.port), "/metrics", what,
        *headers])[-1])
    return figure if what == "bytes" else figure / 1000


def resident_bytes(daemon, field="VmRSS"):
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
        return int(re.search(field + r":\s*(\d+) kB", file.read()).group(1)) * 1024


def forget_peak(daemon):
    """From now on VmHWM is the most that was resident since now."""
    with open(f"/proc/{daemon.process.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
