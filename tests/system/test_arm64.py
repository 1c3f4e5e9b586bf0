# SPDX-License-Identifier: Apache-2.0
"""What make arm64 leaves out is there, each with a reason, and nothing else may fail."""
import os
import re
import subprocess
import unittest

from harness import SOURCE, SystemTest, clean_environment

EXCUSED = os.path.join(SOURCE, "tests", "arm64", "excused")
# A Check program of 10 tests; those that are named fail.
PROGRAM = """#!/bin/sh
set -- {failing}
echo "90%: Checks: 10, Failures: $#, Errors: 0"
for name; do echo "tests/check_x.c:12:F:x:$name:0: Assertion 'a: b' failed"; done
[ $# -eq 0 ]
"""


def excused():
    """(suite, test or None) of each line."""
    with open(EXCUSED, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                match = re.fullmatch(r"check_(\w+)(?: (\w+))?: (\S.*)\n", line)
                yield match.groups()[:2] if match else (line, None)


class Arm64(SystemTest):
    def test_leaves_out_only_what_there_is(self):
        for suite, test in excused():
            path = os.path.join(SOURCE, "tests", f"check_{suite}.c")
            self.assertTrue(os.path.exists(path), suite)
            with open(path, encoding="utf-8") as file:
                self.assertIn(f"START_TEST({test or ''}", file.read())

    def judged(self, *failing):
        folder = self.folder()
        program, list_of = os.path.join(folder, "check_x"), os.path.join(folder, "excused")
        with open(program, "w", encoding="ascii") as file:
            file.write(PROGRAM.format(failing=" ".join(failing)))
        os.chmod(program, 0o755)
        with open(list_of, "w", encoding="ascii") as file:
            file.write("check_x it_may: for a reason\ncheck_x so_may_it: too\ncheck_y it: too\n")
        done = subprocess.run([os.path.join(SOURCE, "tests", "unit"), program],
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            env=clean_environment(EXCUSED=list_of, JOBS="1", RUNNER=""))
        return done.returncode, done.stdout.splitlines()[-1]

    def test_that_may_fail_does_no_harm_and_does_not_count(self):
        self.assertEqual(self.judged(), (0, "10 passed, 0 failed"))
        self.assertEqual(self.judged("it_may"), (0, "9 passed, 0 failed"))
        self.assertEqual(self.judged("it_may", "so_may_it"), (0, "8 passed, 0 failed"))

    def test_that_may_not_fail_does_beside_one_that_may(self):
        for failing in (("it",), ("it_may", "it"), ("it_may_not",)):
            status, said = self.judged(*failing)
            self.assertEqual((status, said), (1, f"{10 - len(failing)} passed, "
                f"{len(failing)} failed"))


if __name__ == "__main__":
    unittest.main()
