# SPDX-License-Identifier: Apache-2.0
"""Processes that make processes (forks.c): a child is a worker of its own from unset and zero,
and has of its parent no count, name, thread, descriptor or lock. All totals are exact."""
import os
import re
import signal
import time
import unittest

import harness
from harness import wait_for
from programs import Program, descriptors, is_alive, kill, state, threads

EACH = re.compile(r'^dynamo_forks_each\{worker_id="([^"]+)"\} (\S+)$', re.M)
LEASE_MS = 400


class Fork(harness.SystemTest):
    def program(self, scenario, daemon, **environment):
        program = Program("forks", scenario, address=daemon.address, **environment)
        self.addCleanup(program.clean_up)
        return program

    def total(self, daemon):
        return daemon.value("dynamo_forks_total")

    def workers(self, daemon):
        return daemon.value("dynamo_metricsd_workers")

    def run_to_the_end(self, scenario):
        """The scenario's own total is the daemon's, and nobody is left there."""
        daemon = self.daemon()
        program = self.program(scenario, daemon)
        total = program.hear("total", 60)
        program.finish()
        self.assertEqual(self.total(daemon), total)
        wait_for("all to be folded", lambda: self.workers(daemon) == 0)
        self.assertEqual(self.total(daemon), total)
        return daemon


class AFamily(Fork):
    """A parent, three children and six grandchildren, numbered from 1: each counts its number,
    and those with an odd one set gauges."""

    def setUp(self):
        self.page_of = self.daemon()
        self.family = self.program("family", self.page_of)
        self.pids = [self.family.hear("pid") for _ in range(10)]

    def test_counts_exactly_and_from_zero(self):
        page = self.page_of
        self.assertEqual(self.total(page), sum(range(1, 11)))
        self.assertEqual(page.value('dynamo_forks_seconds_bucket{le="1"}'), 0)
        self.assertEqual(page.value('dynamo_forks_seconds_bucket{le="2"}'), 55)
        self.assertEqual(page.value("dynamo_forks_seconds_sum"), 82.5)
        self.family.finish()
        wait_for("all to be folded", lambda: self.workers(page) == 0)
        self.assertEqual(self.total(page), 55)
        self.assertEqual(page.value("dynamo_forks_seconds_count"), 55)

    def test_begins_with_gauges_unset(self):
        page = self.page_of.page()
        self.assertEqual(sorted(float(value) for _, value in EACH.findall(page)),
            [1, 3, 5, 7, 9])
        self.assertEqual(self.page_of.value("dynamo_forks_sum"), 1 + 3 + 5 + 7 + 9)
        self.family.finish()
        wait_for("the gauges to leave", lambda: not EACH.search(self.page_of.page()))
        self.assertIsNone(self.page_of.value("dynamo_forks_sum"))

    def test_has_a_name_for_each(self):
        self.assertEqual(self.workers(self.page_of), 10)
        names = {name for name, _ in EACH.findall(self.page_of.page())}
        self.assertEqual(len(names), 5)
        self.assertLessEqual(names, {"forks"} | {f"forks-{i}" for i in range(2, 11)})
        self.assertIn("forks", names)

    def test_has_a_thread_and_a_connection_for_each(self):
        seen = set()
        for pid in self.pids:
            self.assertEqual(threads(pid), 2)
            kinds = sorted(re.sub(r"\W.*", "", name) for name in descriptors(pid).values())
            self.assertEqual(kinds, ["anon_inode", "socket"], descriptors(pid))
            seen |= {name for name in descriptors(pid).values() if name.startswith("socket")}
        self.assertEqual(len(seen), len(self.pids))

    def test_loses_a_killed_parent_only(self):
        kill(self.family.process.pid)
        wait_for("the parent to be folded", lambda: self.workers(self.page_of) == 9)
        self.assertEqual(self.total(self.page_of), 55)
        self.assertEqual(self.page_of.value("dynamo_forks_sum"), 3 + 5 + 7 + 9)


class Children(Fork):
    def test_that_use_nothing_are_never_seen(self):
        daemon = self.daemon(config={"ingest": {"lease_ms": LEASE_MS, "grace_ms": LEASE_MS}})
        program = self.program("quiet", daemon)
        pid = program.hear("pid")
        end = time.monotonic() + 3 * LEASE_MS / 1000
        while time.monotonic() < end:
            self.assertEqual(self.workers(daemon), 1)
            self.assertEqual((threads(pid), descriptors(pid)), (1, {}))
        program.go()
        self.assertEqual(self.total(daemon) if program.hear("total") == 8 else None, 8)
        self.assertEqual(self.workers(daemon), 2)
        self.assertEqual(threads(pid), 2)
        program.go()
        program.finish()
        self.assertEqual(self.total(daemon), 8)
        self.assertEqual(daemon.value("dynamo_metricsd_refused_total"), None)

    @unittest.skipIf(harness.SANITIZED, "the sanitizer's malloc does not outlive a fork that "
        "comes while another thread has its lock")
    def test_may_come_while_threads_count(self):
        self.run_to_the_end("storm")

    def test_may_end_at_once_or_close(self):
        daemon = self.run_to_the_end("short")
        # the parent, and those that counted
        self.assertEqual(daemon.value("dynamo_metricsd_sessions_folded_total"), 101)

    def test_may_outlive_a_parent_that_closed(self):
        daemon = self.daemon()
        program = self.program("parent_closes", daemon)
        program.hear("closed")
        self.assertEqual(self.workers(daemon), 0)
        program.go()
        self.assertEqual(program.hear("total"), 3)
        self.assertEqual(self.total(daemon), 3)
        self.assertEqual(self.workers(daemon), 1)
        program.hear("pid")
        program.finish()

    def test_may_come_before_the_first_metric(self):
        self.run_to_the_end("before")

    def test_may_open_anew_after_a_close(self):
        self.run_to_the_end("after")


class OtherPrograms(Fork):
    def test_get_nothing_of_ours(self):
        daemon = self.daemon()
        program = self.program("executes", daemon)
        for how in ("fork and exec", "fork, count and exec", "vfork", "posix_spawn", "system"):
            self.assertEqual(program.hear("descriptors"), 0, how)
        self.assertEqual(program.hear("total"), 6)
        program.finish()
        self.assertEqual(self.total(daemon), 6)


class Daemons(Fork):
    def go_on(self, scenario, total):
        page = self.daemon()
        program = self.program(scenario, page)
        self.assertEqual(program.hear("total"), total)
        pid = program.hear("pid")
        self.assertEqual(program.process.wait(harness.DEADLINE_S), 0)
        self.assertNotEqual(pid, program.process.pid)
        wait_for("the first process to be folded", lambda: self.workers(page) == 1)
        self.assertEqual(self.total(page), total)
        self.assertEqual(threads(pid), 2)
        program.finish()
        wait_for("all to be folded", lambda: self.workers(page) == 0)
        self.assertEqual(self.total(page), total)

    def test_made_by_the_c_library_go_on(self):
        self.go_on("daemon", 12)

    def test_made_by_two_forks_go_on(self):
        self.go_on("double", 13)


class Clones(Fork):
    """Processes made behind the C library's back hold the connection of their parent. Whether
    they live says nothing about it."""

    LONG_MS = 600000
    config = {"ingest": {"lease_ms": LONG_MS, "grace_ms": LONG_MS}}

    def fold_the_parent(self, scenario):
        page = self.daemon()
        program = self.program(scenario, page)
        clone = program.hear("clone")
        parent = program.hear("pid")
        held = {name for name in descriptors(clone).values() if name.startswith("socket")}
        mine = {name for name in descriptors(parent).values() if name.startswith("socket")}
        self.assertEqual(held, mine)
        self.assertEqual((self.total(page), self.workers(page)), (6, 1))
        kill(parent)
        wait_for("the parent to be folded", lambda: self.workers(page) == 0)
        self.assertTrue(is_alive(clone))
        self.assertEqual(self.total(page), 6)
        kill(clone)

    def test_do_not_keep_a_dead_parent_alive(self):
        self.fold_the_parent("clone")

    def test_of_the_newer_call_do_not_either(self):
        self.fold_the_parent("clone3")

    def test_may_end_before_their_parent(self):
        page = self.daemon()
        program = self.program("clone", page)
        clone = program.hear("clone")
        program.hear("pid")
        os.kill(clone, signal.SIGKILL)
        wait_for("its end", lambda: state(clone) in ("", "Z"))
        self.assertEqual((self.total(page), self.workers(page)), (6, 1))
        program.finish()
        wait_for("the parent to be folded", lambda: self.workers(page) == 0)
        self.assertEqual(self.total(page), 6)
