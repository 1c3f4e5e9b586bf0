# SPDX-License-Identifier: Apache-2.0
"""A pre-fork server (client/examples/prefork.c) whose workers are killed and replaced all the
time. PREFORK_KILLS says how many (default 1000)."""
import http.client
import os
import re
import signal
import subprocess
import time
import unittest

import harness
from harness import BUILD, wait_for
from programs import descriptors, is_alive, kill, memory_bytes

PREFORK = os.path.join(BUILD, "client", "examples", "prefork")
PLACE = '{namespace="dynamo",component="prefork"}'
KILLS = int(os.environ.get("PREFORK_KILLS") or 1000)
WORKERS = 4
PAGE_EVERY = 25  # kills
SETTLED = 100  # kills, after which nothing grows any more
MORE_BYTES = 512 << 10  # the allocator's own


@unittest.skipIf(harness.SANITIZED, "the sanitizer's malloc does not outlive a fork that "
    "comes while another thread has its lock")
class Prefork(harness.SystemTest):
    def serve(self, daemon):
        self.master = subprocess.Popen([PREFORK], stdout=subprocess.PIPE,
            env=harness.clean_environment(DYN_METRICSD_ADDRESS=daemon.address))
        self.addCleanup(self.clean_up)
        self.port = int(re.fullmatch(rb"port (\d+)\n", self.master.stdout.readline())[1])

    def clean_up(self):
        pids = self.children()
        self.master.kill()
        self.master.wait()
        self.master.stdout.close()
        wait_for("the workers to notice", lambda: not any(map(is_alive, pids)))

    def children(self):
        try:
            with open(f"/proc/{self.master.pid}/task/{self.master.pid}/children",
                    encoding="ascii") as file:
                return [int(pid) for pid in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def ask(self, path):
        """The worker that answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path)
            return int(re.fullmatch(r"worker (\d+)\n", connection.getresponse().read().decode())[1])
        finally:
            connection.close()

    def value(self, daemon, name):
        return daemon.value(f"dynamo_{name}{PLACE}")

    def stop(self, number=signal.SIGTERM):
        pids = self.children()
        self.master.send_signal(number)
        self.assertEqual(self.master.wait(harness.DEADLINE_S), 0)
        self.assertFalse([pid for pid in pids if is_alive(pid)])


class Server(Prefork):
    def test_reports_from_the_master_and_from_all_workers(self):
        daemon = self.daemon()
        self.serve(daemon)
        workers = {self.ask("/") for _ in range(50)} | {self.ask("/order") for _ in range(50)}
        self.assertLessEqual(workers, set(self.children()))
        self.assertEqual(len(self.children()), WORKERS)
        wait_for("the gauge of the master", lambda: self.value(daemon, "workers") == WORKERS)
        self.stop()
        self.assertEqual(self.value(daemon, "requests_total"), 100)
        self.assertEqual(daemon.value(f"dynamo_request_duration_seconds_count{PLACE}"), 100)
        self.assertEqual(self.value(daemon, "worker_restarts_total"), 0)
        wait_for("all gauges to leave", lambda: self.value(daemon, "workers") is None)
        self.assertIsNone(self.value(daemon, "requests_in_flight"))

    def test_ends_with_its_master_whatever_ends_that(self):
        daemon = self.daemon()
        self.serve(daemon)
        self.ask("/order")
        pids = self.children()
        kill(self.master.pid)
        wait_for("the workers to notice", lambda: not any(map(is_alive, pids)))
        wait_for("all to be folded", lambda: daemon.value("dynamo_metricsd_workers") == 0)
        self.assertEqual(self.value(daemon, "requests_total"), 1)


class KilledWorkers(Prefork):
    def figures(self, daemon):
        """What must not grow with the number of those that were killed."""
        page = daemon.page()
        own = re.findall(r"^dynamo_metricsd_series\S* .*$|^dynamo_metricsd_workers .*$", page, re.M)
        names = [line.rsplit(" ", 1)[0] for line in page.split("\n") if line[:1] not in ("", "#")]
        return {"series": own, "lines": names}

    def open(self, daemon):
        """Descriptors. Those of HTTP go a moment after their last answer."""
        return len(descriptors(daemon.process.pid))

    def kill_one(self, victim):
        kill(victim)
        wait_for("a successor",
            lambda: victim not in self.children() and len(self.children()) == WORKERS)

    def check_page(self, daemon, orders, kills, last):
        """Never lower than before, and all that was answered is there."""
        now = [self.value(daemon, "requests_total"), self.value(daemon, "worker_restarts_total")]
        self.assertEqual(now[0], orders)
        self.assertLessEqual(now[1], kills)
        for before, after in zip(last, now):
            self.assertGreaterEqual(after, before)
        return now

    def test_lose_nothing_that_was_answered_and_nothing_grows(self):
        daemon = self.daemon()
        self.open_at_rest = self.open(daemon)
        self.serve(daemon)
        kills, last, began = 0, [0, 0], time.monotonic()
        settled = memory = None
        while kills < KILLS:
            # it has said that the order is counted: it may die now
            self.kill_one(self.ask("/order"))
            kills += 1
            if kills % PAGE_EVERY == 0:
                last = self.check_page(daemon, kills, kills, last)
            if kills == min(SETTLED, KILLS):
                settled, memory = self.settled(daemon, kills), memory_bytes(daemon.process.pid)
        seconds = time.monotonic() - began
        self.assertEqual(self.settled(daemon, kills), settled)
        grown = memory_bytes(daemon.process.pid) - memory
        if not harness.SANITIZED:  # they keep what was freed
            self.assertLess(grown, MORE_BYTES)
        print(f"     {kills} workers killed, {kills / seconds:.0f} a second; "
            f"the daemon has {grown // 1024} KiB more than after {SETTLED}")
        self.stop()
        self.assertEqual(self.value(daemon, "requests_total"), kills)
        self.assertEqual(self.value(daemon, "worker_restarts_total"), kills)

    def settled(self, daemon, kills):
        """The figures when all workers are there and the dead are gone."""
        wait_for("the master's count",
            lambda: self.value(daemon, "worker_restarts_total") == kills)
        wait_for("the gauge of the master", lambda: self.value(daemon, "workers") == WORKERS)
        # the master, and the workers that were asked once and live
        wait_for("the dead to be folded", lambda: daemon.value("dynamo_metricsd_workers") == 1)
        wait_for("their connections to close", lambda: self.open(daemon) <= self.open_at_rest + 1)
        return self.figures(daemon)
