# SPDX-License-Identifier: Apache-2.0
"""A program that wants to hear nothing of its metrics hears nothing: without a log callback the
library writes to nobody, whatever goes wrong."""
import subprocess

import harness

LOST = "ipc:///nowhere/at/all.ipc"


class TheLibraryWithoutALog(harness.SystemTest):
    def said(self, address, *commands):
        """Drive a worker; what it wrote to stderr, and to stdout beside its answers."""
        lines = "".join("\t".join(fields) + "\n" for fields in commands)
        worker = subprocess.run([harness.WORKER], input=lines.encode(), capture_output=True,
            check=True, env=harness.clean_environment(
                DYN_METRICSD_ADDRESS=address, WORKER_WITHOUT_LOG="1"))
        answers = worker.stdout.decode().splitlines()
        self.assertEqual(len(answers), len(commands), answers)
        return worker.stderr.decode(), answers

    def test_is_silent_about_mistakes_of_its_program(self):
        daemon = self.daemon()
        stderr, answers = self.said(daemon.address, ("open", "20", "", "1"),
            ("level", "1", "a", ""), ("level", "2"), ("counter", "3", "2", "bad name", ""),
            ("counter", "4", "2", "x_total", ""), ("add", "4", "-1"), ("add", "4", "nan"),
            ("counter", "5", "2", "over_the_limit_total", ""), ("gauge", "6", "2", "x_total", "",
            "sum"), ("flush", "10000"), ("error",), ("close",))
        self.assertEqual(stderr, "")
        self.assertIn("the component has an empty name", answers[-2])

    def test_is_silent_about_refusals(self):
        daemon = self.daemon()
        other = self.worker(daemon)
        other.metric("gauge", (), "x_total")
        other.flush()
        stderr, answers = self.said(daemon.address, ("open", "20", "", "0"), ("level", "2"),
            ("counter", "4", "2", "x_total", ""), ("flush", "10000"), ("error",), ("close",))
        self.assertEqual(stderr, "")
        self.assertIn("cannot be a counter too", answers[-2])

    def test_is_silent_about_a_daemon_that_is_not_there(self):
        stderr, answers = self.said(LOST, ("open", "20", "", "0"), ("level", "2"),
            ("counter", "4", "2", "x_total", ""), ("flush", "200"), ("close",))
        self.assertEqual(stderr, "")
        self.assertTrue(answers[3].startswith("error"), answers)
