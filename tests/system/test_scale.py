# SPDX-License-Identifier: Apache-2.0
"""Many series from few workers: nothing old waits for what is new, and all of it arrives.

DYNM_SCALE says how many series the large tests have (100000; `make scale`: 1000000).
"""
import os
import re
import socket
import struct
import threading
import time

from harness import SANITIZED, SystemTest, wait_for

SCALE = int(os.environ.get("DYNM_SCALE") or (20_000 if SANITIZED else 100_000))
PATIENT_MS = 600_000
DEFINE, UPDATE = 0x02, 0x03
DEFINE_BYTES = 1 << 18
LINE = re.compile(rb'^dynamo_v_total\{i="(\d+)"\} (\d+)$', re.MULTILINE)


def limits(series):
    return {"limits": {"series": 4 * series, "series_per_family": 2 * series,
        "series_per_worker": 2 * series, "series_per_uid": 4 * series}}


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s*(\d+) kB", file.read()).group(1)) // 1024


def children(daemon):
    """The number of each child of v_total on the page, and its value."""
    body = daemon.get("/metrics?name[]=dynamo_v_total").body
    return {int(i): int(value) for i, value in LINE.findall(body)}


def marker(daemon):
    text = daemon.get("/metrics?name[]=dynamo_marker_total").text
    return int(text.rsplit(" ", 1)[1])


def cell_0(message):
    """The record of the worker's first cell in an UPDATE, or None."""
    for at in range(8 + 16 + 8 + 4, len(message), 12):
        cell, value = struct.unpack_from("<Id", message, at)
        if cell == 0:
            return value
    return None


class Relay:
    """Between one worker and its daemon: passes bytes on, and keeps what requests were:
    type, length, and of an UPDATE the worker's first cell."""

    def __init__(self, test, daemon):
        self.requests = []
        self.upstream = daemon.socket
        self.path = os.path.join(test.folder(), "relay")
        self.address = "ipc://" + self.path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        test.addCleanup(self.listener.close)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                worker = self.listener.accept()[0]
                daemon = socket.socket(socket.AF_UNIX)
                daemon.connect(self.upstream)
                threading.Thread(target=self.back, args=(daemon, worker), daemon=True).start()
                threading.Thread(target=self.forth, args=(worker, daemon), daemon=True).start()
        except OSError:
            pass

    def back(self, daemon, worker):
        try:
            while data := daemon.recv(1 << 20):
                worker.sendall(data)
        except OSError:
            pass
        daemon.close()
        worker.close()

    def forth(self, worker, daemon):
        """Whole frames: a header of 9 bytes, a request id of 4, then the message."""
        file = worker.makefile("rb")
        try:
            daemon.sendall(file.read(8))
            while len(head := file.read(9)) == 9:
                frame = file.read(struct.unpack(">BQ", head)[1])
                daemon.sendall(head + frame)
                kind, message = frame[9], frame[4:]
                first = cell_0(message) if kind == UPDATE else None
                self.requests.append((kind, len(message), first))
            daemon.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        file.close()


class Scale(SystemTest):
    def report(self, what, began, daemon, *workers):
        print(f"              {what}: {time.monotonic() - began:.1f} s, daemon "
            f"{resident_mib(daemon.process.pid)} MiB, workers "
            f"{', '.join(str(resident_mib(w.process.pid)) for w in workers)} MiB", flush=True)

    def check_children(self, daemon, expected):
        found = children(daemon)
        self.assertEqual(len(found), len(expected))
        self.assertEqual(found, expected)

    def test_what_is_old_is_flushed_while_many_are_defined(self):
        began = time.monotonic()
        daemon = self.daemon(config=limits(SCALE))
        relay = Relay(self, daemon)
        worker = self.worker(relay, max_series=2 * SCALE, flush_ms=1)
        number = worker.metric("counter", (), "marker_total")
        vec = worker.make("counter_vec", worker.scope(), "v_total", "", "i")
        worker.flush()
        worker.call("tick", number)
        worker.call("children", vec, SCALE)
        worker.flush(PATIENT_MS)
        ticks = int(worker.call("tick"))
        worker.flush(PATIENT_MS)
        self.report(f"{SCALE} series defined", began, daemon, worker)

        defines = [i for i, request in enumerate(relay.requests) if request[0] == DEFINE]
        self.assertGreaterEqual(len(defines), SCALE // 4096)
        self.assertLessEqual(max(relay.requests[i][1] for i in defines), DEFINE_BYTES)
        # definitions and what was counted meanwhile take turns
        between = relay.requests[defines[1]:defines[-1]]
        told = [first for _, _, first in between if first is not None]
        self.assertGreaterEqual(len(told), len(defines) / 4)
        self.assertEqual(told, sorted(told))
        self.assertEqual(marker(daemon), ticks)
        self.check_children(daemon, {i: i % 7 + 1 for i in range(SCALE)})
        self.assertEqual(worker.status()["refused"], 0)
        self.report("and read on the page", began, daemon, worker)
        worker.close()

    def test_a_daemon_that_is_killed_is_told_everything_again(self):
        began = time.monotonic()
        daemon = self.daemon(config=limits(SCALE))
        worker = self.worker(daemon, max_series=2 * SCALE)
        vec = worker.make("counter_vec", worker.scope(), "v_total", "", "i")
        worker.call("children", vec, SCALE)
        worker.flush(PATIENT_MS)
        daemon.kill()
        worker.call("children", vec, 10)
        daemon.start().ready()
        worker.flush(PATIENT_MS)
        self.report(f"{SCALE} series defined twice", began, daemon, worker)
        self.check_children(daemon,
            {i: (1 + (i < 10)) * (i % 7 + 1) for i in range(SCALE)})

    def test_workers_that_make_and_remove_at_once_leave_what_they_kept(self):
        began = time.monotonic()
        n = SCALE // 20
        daemon = self.daemon(config=limits(8 * n))
        workers = [self.worker(daemon, f"w{k}", max_series=2 * n) for k in range(8)]
        for worker in workers:
            vec = worker.make("counter_vec", worker.scope(), "v_total", "", "i")
            worker.tell("churn", vec, n, 100)
        for worker in workers:
            worker.answer()
        for worker in workers:
            worker.flush(PATIENT_MS)
        self.report(f"8 workers with {n} each", began, daemon, *workers)
        self.check_children(daemon, {i: 8 * (i % 7 + 1) for i in range(1, n, 2)})
        for worker in workers:
            status = worker.status()
            self.assertEqual((status["series"], status["refused"]), (n // 2, 0))
            self.assertEqual(worker.log(), "")

    def test_over_a_limit_the_first_ones_count_on_and_one_line_says_why(self):
        config = limits(5000)
        config["limits"]["series_per_worker"] = 5000
        daemon = self.daemon(config=config)
        worker = self.worker(daemon)
        vec = worker.make("counter_vec", worker.scope(), "v_total", "", "i")
        worker.call("children", vec, 10_000)
        worker.flush()
        self.assertEqual(worker.status()["refused"], 5000)
        worker.call("children", vec, 10_000)
        worker.flush()
        self.check_children(daemon, {i: 2 * (i % 7 + 1) for i in range(5000)})
        said = worker.log().splitlines()
        self.assertEqual(len(said), 1, said)
        self.assertIn("5000", said[0])
        self.assertIn("v_total", said[0])
        # another worker has room of its own
        other = self.worker(daemon)
        vec = other.make("counter_vec", other.scope(), "v_total", "", "i")
        other.call("children", vec, 100)
        other.flush()
        self.assertEqual(children(daemon)[3], 3 * (3 % 7 + 1))
        # where the first one has made room there is some
        vec = worker.make("counter_vec", worker.scope(), "v_total", "", "i")
        for i in range(100):
            worker.call("remove", vec, i)
        wait_for("a refused one to be taken", lambda: worker.status()["refused"] < 5000)
