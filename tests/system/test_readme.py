# SPDX-License-Identifier: Apache-2.0
"""What the README promises besides its commands, which test_guides.py runs: that it is short,
that its worker is, that the configuration it names is right, and the abort it speaks of."""
import os
import subprocess
import sys

from harness import BUILD, SOURCE, SystemTest, clean_environment
from test_install import readme_blocks


class TheReadme(SystemTest):
    def test_is_read_in_five_minutes(self):
        with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
            self.assertLessEqual(len(file.read().splitlines()), 150)

    def test_has_a_worker_of_15_lines(self):
        [program] = readme_blocks("c")
        self.assertLessEqual(program.count("\n"), 15)

    def test_has_a_configuration_that_the_daemon_takes(self):
        done = subprocess.run([os.path.join(BUILD, "dynamo-metricsd"), "--config",
            os.path.join(SOURCE, "conf/dynamo-metricsd.json"), "--check-config"],
            capture_output=True, encoding="utf-8", env=clean_environment())
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_shows_the_abort_that_it_speaks_of(self):
        done = subprocess.run([sys.executable, os.path.join(SOURCE,
            "tests/system/show_abort.py")], capture_output=True, encoding="utf-8",
            env=dict(os.environ, DYNM_BUILD=BUILD))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("ended by SIGABRT", done.stdout)
        self.assertIn("/live answers 200", done.stdout)
