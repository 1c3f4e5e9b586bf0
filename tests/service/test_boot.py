# SPDX-License-Identifier: Apache-2.0
"""A machine that boots with the service enabled: sockets before services, everything with its
owner. It was booted so; nothing was started by hand."""
import unittest

from service import *


class Boot(unittest.TestCase):
    def test_ends_with_the_service_active_and_both_sockets_open(self):
        self.assertEqual(systemctl("is-system-running").stdout, "running\n")
        for unit in (SERVICE, *SOCKETS):
            self.assertEqual(show(unit, "ActiveState"), "active", unit)
            self.assertIn(show(unit, "SubState"), ("running", "listening"), unit)
        self.assertEqual(send("jobs_total").returncode, 0)
        self.assertEqual(value("dynamo_jobs_total"), 1)

    def test_opens_the_sockets_before_the_daemon_and_the_workers_come(self):
        times = {unit: int(show(unit, "ActiveEnterTimestampMonotonic"))
            for unit in (*SOCKETS, "sockets.target", "basic.target", SERVICE)}
        for unit in SOCKETS:
            self.assertLessEqual(times[unit], times["sockets.target"])
        self.assertLessEqual(times["sockets.target"], times["basic.target"])
        self.assertLess(times["basic.target"], times[SERVICE])

    def test_makes_the_folder_and_the_socket_for_the_group(self):
        self.assertEqual(mode(RUNTIME), "0750 dynamo-metrics dynamo-metrics")
        self.assertEqual(mode(f"{RUNTIME}/ingest.ipc"), "0660 dynamo-metrics dynamo-metrics")
        self.assertEqual(mode(STATE), "0700 dynamo-metrics dynamo-metrics")

    def test_has_no_cycle_and_no_warning_about_the_units(self):
        run("journalctl", "--sync")
        lines = run("journalctl", "--boot", "--output=cat", "_PID=1", "PRIORITY=3",
            "PRIORITY=4").stdout.splitlines()
        self.assertFalse([line for line in lines if "dynamo" in line or "ycle" in line], lines)
