# SPDX-License-Identifier: Apache-2.0
"""What the README says is so: its worker, its message, its commands, its files."""
import os
import re
import subprocess
import sys

from harness import BUILD, SOURCE, SystemTest, clean_environment
from test_install import readme_blocks


class TheReadme(SystemTest):
    def setUp(self):
        with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
            self.text = file.read()

    def test_shows_the_example_that_is_in_the_tree(self):
        with open(os.path.join(SOURCE, "client/examples/worker.c"), encoding="utf-8") as file:
            spdx, program = file.read().split("\n", 1)
        self.assertIn("SPDX", spdx)
        self.assertEqual(readme_blocks("c"), [program])
        self.assertLessEqual(program.count("\n"), 15)

    def test_sends_a_message_in_one_line(self):
        [line] = [line for block in readme_blocks("sh") for line in block.splitlines()
            if line.startswith("dynamo-metricsctl send ")]
        daemon = self.daemon()
        done = subprocess.run(["sh", "-c", line], capture_output=True, encoding="utf-8",
            env=clean_environment(DYN_METRICSD_ADDRESS=daemon.address,
                PATH=f"{BUILD}:{os.environ['PATH']}"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        [shown] = re.findall(r"^dynamo_jobs_total\S* \d+$", self.text, re.MULTILINE)
        self.assertIn(shown + "\n", daemon.page())

    def test_has_a_configuration_that_the_daemon_takes(self):
        done = subprocess.run([os.path.join(BUILD, "dynamo-metricsd"), "--config",
            os.path.join(SOURCE, "conf/dynamo-metricsd.json"), "--check-config"],
            capture_output=True, encoding="utf-8", env=clean_environment())
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_names_only_targets_that_exist(self):
        named = set(re.findall(r"\bmake ([a-z-]+)", self.text))
        self.assertIn("run", named)
        with open(os.path.join(SOURCE, "Makefile"), encoding="utf-8") as file:
            targets = set(re.findall(r"^([a-z-]+):", file.read(), re.MULTILINE))
        self.assertEqual(named - targets, set())

    def test_names_only_files_that_exist(self):
        for path in re.findall(r"\]\(([^)#]+)\)", self.text):
            self.assertTrue(os.path.exists(os.path.join(SOURCE, path)), path)

    def test_shows_the_abort_that_it_speaks_of(self):
        done = subprocess.run([sys.executable, os.path.join(SOURCE,
            "tests/system/show_abort.py")], capture_output=True, encoding="utf-8",
            env=dict(os.environ, DYNM_BUILD=BUILD))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("ended by SIGABRT", done.stdout)
        self.assertIn("/live answers 200", done.stdout)
