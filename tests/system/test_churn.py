# SPDX-License-Identifier: Apache-2.0
"""Workers that come, count and are gone, many a second: nothing in the daemon grows with the
number of the dead. DYNM_CHURN says how many (`make churn`: 100,000)."""
import os
import re
import time
import subprocess

import harness
from harness import wait_for
from programs import cpu_s, descriptors, memory_bytes

WORKERS = int(os.environ.get("DYNM_CHURN") or 5000)
# One in five is the library's, the others speak the protocol themselves. The sanitizer's malloc
# does not outlive a fork that another thread of the process is busy in: there, all do.
OF_THE_LIBRARY = 0 if harness.SANITIZED else 1 / 5
REMEMBERED = 200  # limits.folded
LEASE_MS = 1000
PAGES = 200  # whose CPU time is measured
MORE_BYTES = 600 << 10  # the allocator's own
TIMES = 4
MORE_CPU_S = 0.1  # 10 ticks of the clock that it is measured by
PEER = os.path.join(harness.BUILD, "tests", "system", "peer_churn")
CHURN = os.path.join(harness.BUILD, "tests", "system", "churn")


class Churn(harness.SystemTest):
    times = 0
    config = {"ingest": {"lease_ms": LEASE_MS, "grace_ms": LEASE_MS},
        "limits": {"folded": REMEMBERED}}

    def come_and_go(self, daemon, n):
        """What they counted."""
        self.times += 1
        mine = int(n * OF_THE_LIBRARY)
        env = harness.clean_environment(DYN_METRICSD_ADDRESS=daemon.address)
        programs = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
            for command in ([CHURN, str(mine)], [PEER, daemon.socket, str(n - mine)])]
        for program in programs:
            self.addCleanup(program.wait)
            self.addCleanup(program.kill)
        said = [program.communicate()[0] for program in programs]
        self.assertEqual([program.returncode for program in programs], [0, 0])
        return sum(int(re.fullmatch(rb"total (\d+)\n", text)[1]) for text in said)

    def value(self, daemon, name):
        return daemon.value(f"dynamo_metricsd_{name}")

    def figures(self, daemon):
        """What is to stay as it is, once the last of the dead are gone."""
        wait_for("the dead to be folded", lambda: self.value(daemon, "workers") == 0)
        wait_for("the connections to close", lambda: len(descriptors(daemon.process.pid))
            <= self.open_at_rest)
        # Those of the snapshot are there when there is one, which is when a minute has gone.
        lines = [line.rsplit(" ", 1)[0] for line in daemon.page().split("\n")
            if not line.startswith(("#", "dynamo_metricsd_snapshot_"))]
        began = cpu_s(daemon.process.pid), time.monotonic()
        for _ in range(PAGES):
            daemon.get("/metrics")
        return {"lines": lines, "memory": memory_bytes(daemon.process.pid),
            "cpu": cpu_s(daemon.process.pid) - began[0], "time": time.monotonic() - began[1]}

    def tell(self, seconds, before, after):
        cpu_us, page_ms = ([scale * figures[key] / PAGES for figures in (before, after)]
            for key, scale in (("cpu", 1e6), ("time", 1e3)))
        print(f"     {WORKERS} workers, {WORKERS / seconds:.0f} a second; the daemon has "
            f"{before['memory'] >> 10} KiB before and {after['memory'] >> 10} after; a page takes "
            f"{cpu_us[0]:.0f} us of CPU before and {cpu_us[1]:.0f} after, {page_ms[0]:.2f} ms in "
            f"all before and {page_ms[1]:.2f} after")

    def test_leaves_nothing_but_the_totals(self):
        daemon = self.daemon()
        self.open_at_rest = len(descriptors(daemon.process.pid))
        workers, total = WORKERS // 2, self.come_and_go(daemon, WORKERS // 2)
        after = self.figures(daemon)
        # What leaks grows each time; the allocator takes a step now and then.
        for _ in range(TIMES):
            before, began = after, time.monotonic()
            workers, total = workers + WORKERS, total + self.come_and_go(daemon, WORKERS)
            seconds = time.monotonic() - began
            after = self.figures(daemon)
            self.tell(seconds, before, after)
            self.assertEqual(after["lines"], before["lines"])
            if after["memory"] - before["memory"] < MORE_BYTES:
                break
        if not harness.SANITIZED:  # they keep what was freed
            self.assertLess(after["memory"] - before["memory"], MORE_BYTES)
        self.assertLess(after["cpu"], 2 * before["cpu"] + MORE_CPU_S)
        self.check_totals(daemon, total, workers)

    def check_totals(self, daemon, total, workers):
        self.assertEqual(daemon.value("dynamo_churn_total"), total)
        self.assertEqual(daemon.value("dynamo_churn_seconds_count"), workers)
        self.assertEqual(daemon.value("dynamo_churn_seconds_sum"), workers / 2)
        self.assertNotIn("dynamo_churn_each", daemon.workers_page())
        # and the library's masters, one each time
        self.assertEqual(self.value(daemon, "sessions_folded_total"), workers + self.times)
        self.assertLessEqual(self.value(daemon, "sessions_remembered"), REMEMBERED)
