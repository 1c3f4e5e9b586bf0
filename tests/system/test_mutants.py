# SPDX-License-Identifier: Apache-2.0
"""The mutants themselves: each applies to the tree as it is and names a suite that exists.
Whether it is noticed is for `make mutants`, which takes its time."""
import glob
import os
import re
import subprocess
import unittest

from harness import SOURCE

PATCHES = sorted(glob.glob(os.path.join(SOURCE, "tests", "mutants", "*")))
ATTACKS = set()
for file_of_attacks in glob.glob(os.path.join(SOURCE, "tests", "attack", "lists", "*.py")):
    with open(file_of_attacks, encoding="utf-8") as attacks:
        ATTACKS.update(re.findall(r'^@attack\("(\w+)"', attacks.read(), re.M))


class EachMutant(unittest.TestCase):
    def test_says_what_is_broken_and_who_notices(self):
        for path in PATCHES:
            with self.subTest(os.path.basename(path)), open(path, encoding="utf-8") as file:
                words, kills, blank, *patch = file.read().split("\n")
                self.assertRegex(words, r"^\S+ .+\.$")
                self.assertEqual((blank, patch[0][:6], patch[1][:6]), ("", "--- a/", "+++ b/"))
                check, module, attack = re.fullmatch(
                    r"kills: (?:check_(\w+)|system (test_\w+)(?:\.\w+)*|chaos \d+ \d+"
                    r"|attack ([A-Z]\d+)(?: timed)?)", kills).groups()
                suite = (f"tests/check_{check}.c" if check else
                    f"tests/system/{module}.py" if module else
                    "tests/attack/run" if attack else "tests/chaos/run")
                self.assertTrue(os.path.exists(os.path.join(SOURCE, suite)), suite)
                self.assertTrue(not attack or attack in ATTACKS, attack)

    def test_applies(self):
        for path in PATCHES:
            with self.subTest(os.path.basename(path)):
                result = subprocess.run(["patch", "-p1", "--batch", "--forward", "--fuzz=1",
                    "--dry-run", "-i", path], cwd=SOURCE, capture_output=True, text=True,
                    check=False)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_is_one_of_many(self):
        self.assertGreaterEqual(len(PATCHES), 30)
        parts = set()
        for path in PATCHES:
            with open(path, encoding="utf-8") as file:
                parts |= set(re.findall(r"(?m)^\+\+\+ b/(\w+)/", file.read()))
        self.assertLessEqual({"client", "ctl", "daemon", "proto"}, parts)
