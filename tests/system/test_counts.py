# SPDX-License-Identifier: Apache-2.0
"""make counts says when a hot path has grown, tried with a stand-in for valgrind."""
import json
import os
import subprocess
import unittest

from harness import SOURCE, SystemTest, clean_environment

RUN = os.path.join(SOURCE, "tests", "counts", "run")
# PER each time, and 77 for all times together: the last argument says how often.
VALGRIND = """#!/bin/sh
for times; do :; done
[ -n "$PER" ] || exit 1
echo "==1== Collected : $((PER * times + 77))" >&2
"""
COMPILER = """#!/bin/sh
case $1 in --version) echo 'cc (stand-in)' ;; *) echo "$VERSION" ;; esac
"""


class Counts(SystemTest):
    def setUp(self):
        self.place = self.folder()
        self.figures = os.path.join(self.place, "counts.json")
        for name, text in (("valgrind", VALGRIND), ("cc", COMPILER)):
            path = os.path.join(self.place, name)
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(path, 0o755)

    def run_it(self, per, *arguments, version="1.2"):
        done = subprocess.run([RUN, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", env=clean_environment(PATH=f"{self.place}:/usr/bin:/bin",
                CC="cc", PER=str(per), VERSION=version, COUNTS_JSON=self.figures))
        return done.returncode, done.stdout + done.stderr

    def test_writes_what_one_of_many_takes(self):
        self.assertEqual(self.run_it(50, "write")[0], 0)
        with open(self.figures, encoding="utf-8") as file:
            self.assertEqual(set(json.load(file)["instructions"].values()), {50.0})

    def test_takes_a_tenth_more_and_no_more(self):
        self.run_it(50, "write")
        for per, status, word in ((50, 0, "+0%"), (55, 0, "+10%"), (56, 1, "+12%")):
            with self.subTest(per=per):
                ended, said = self.run_it(per)
                self.assertEqual(ended, status, said)
                self.assertIn(word, said)

    def test_notes_what_has_become_less(self):
        self.run_it(50, "write")
        status, said = self.run_it(40)
        self.assertEqual(status, 0, said)
        self.assertIn("-20%, make counts-write keeps it so", said)

    def test_fails_on_a_path_that_is_not_in_the_file(self):
        self.run_it(50, "write")
        with open(self.figures, encoding="utf-8") as file:
            known = json.load(file)
        del known["instructions"]["line"]
        with open(self.figures, "w", encoding="utf-8") as file:
            json.dump(known, file)
        status, said = self.run_it(50)
        self.assertEqual(status, 1, said)
        self.assertIn("not in the file", said)

    def test_compares_nothing_of_another_compiler(self):
        self.run_it(50, "write")
        status, said = self.run_it(500, version="1.3")
        self.assertEqual(status, 0, said)
        self.assertIn("skipped: other compiler or flags", said)

    def test_fails_when_nothing_could_be_counted(self):
        self.run_it(50, "write")
        self.assertEqual(self.run_it("")[0], 1)


if __name__ == "__main__":
    unittest.main()
