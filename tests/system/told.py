# SPDX-License-Identifier: Apache-2.0
"""Running tests of unittest, and telling how they went: a line each with its seconds, and
"N passed, N failed" in the end."""
import sys
import time
import unittest


class Result(unittest.TextTestResult):
    """A class that is skipped whole is a line, too."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.began, self.passed = time.monotonic(), 0

    def startTest(self, test):
        unittest.TestResult.startTest(self, test)
        self.began = time.monotonic()

    def line(self, word, test):
        seconds = time.monotonic() - self.began
        name = test.id().split(".", 1)[1].replace(".test_", ".").replace("_", " ").rstrip(")")
        self.stream.writeln(f"{word:4} {seconds:5.1f} s  {name}")
        self.stream.flush()

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.passed += 1
        self.line("ok", test)

    def addError(self, test, err):
        unittest.TestResult.addError(self, test, err)
        self.line("FAIL", test)

    def addFailure(self, test, err):
        unittest.TestResult.addFailure(self, test, err)
        self.line("FAIL", test)

    def addSubTest(self, test, subtest, err):
        unittest.TestResult.addSubTest(self, test, subtest, err)
        if err is not None:
            self.line("FAIL", subtest)

    def addSkip(self, test, reason):
        unittest.TestResult.addSkip(self, test, reason)
        self.line("skip", test)
        self.stream.writeln(f"              {reason}")

    def printErrors(self):
        self.printErrorList("FAIL", self.errors + self.failures)


def counts(passed, failed, skipped):
    """The last line, and the exit status."""
    left_out = f", {skipped} skipped" if skipped else ""
    print(f"{passed} passed, {failed} failed{left_out}", flush=True)
    return 0 if passed and not failed else 1


def run(names):
    """Run modules, classes or tests here. The exit status."""
    tests = unittest.TestLoader().loadTestsFromNames(names)
    runner = unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=0)
    runner.stream.flush()
    result = runner.run(tests)
    bad = len({test.id().split(" ")[0] for test, _ in result.errors + result.failures})
    return counts(result.passed, bad, len(result.skipped))
