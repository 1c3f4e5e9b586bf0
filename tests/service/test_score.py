# SPDX-License-Identifier: Apache-2.0
"""How exposed systemd-analyze finds the unit, alone and with each of its drop-ins: 0 is the least."""
import os
import re
import shutil
import tempfile
import unittest

from service import *

UNITS = "/usr/lib/systemd/system"
EXAMPLES = "/usr/share/doc/dynamo-metricsd"
MOST = {(): 1.3, ("activated.conf",): 0.6, ("hardened.conf",): 0.9,
    ("activated.conf", "hardened.conf"): 0.3}


def score_of(done):
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+) ", done.stdout)
    if not found:
        raise AssertionError(f"no score: {done.stdout}{done.stderr}")
    return float(found.group(1))


class Score(ServiceTest):
    def offline(self, unit, drop_ins):
        """(score, what was printed besides) of a unit's file with these drop-ins."""
        folder = tempfile.mkdtemp(prefix="dynm-")
        self.addCleanup(shutil.rmtree, folder)
        file = shutil.copy(os.path.join(UNITS, unit), folder)
        os.mkdir(file + ".d")
        for name in drop_ins:
            shutil.copy(os.path.join(EXAMPLES, name), file + ".d")
        done = run("systemd-analyze", "security", "--offline=true", "--no-pager", file)
        return score_of(done), done.stderr

    def test_no_profile_is_more_exposed_than_promised(self):
        for unit in (SERVICE, "dynamo-metricsd@.service"):
            for drop_ins, most in MOST.items():
                if unit != SERVICE and "activated.conf" in drop_ins:
                    continue  # an instance opens its own
                with self.subTest(unit=unit, drop_ins=drop_ins):
                    score, said = self.offline(unit, drop_ins)
                    self.assertLessEqual(score, most)
                    self.assertEqual(said, "")

    def test_the_running_service_is_no_more_exposed_than_its_file(self):
        for drop_ins, most in MOST.items():
            with self.subTest(drop_ins=drop_ins):
                fresh()
                for name in drop_ins:
                    self.add_example(name)
                self.start()
                self.assertEqual(get("/live")[0], 200)
                self.assertLessEqual(score_of(run("systemd-analyze", "security", "--no-pager",
                    SERVICE)), most)
