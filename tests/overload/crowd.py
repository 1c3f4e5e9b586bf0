# SPDX-License-Identifier: Apache-2.0
"""The programs of this folder while they run (crowd.h says what they hear and tell), and the
figures that they tell: how long things took, in buckets of a sixteenth of a doubling."""
import json
import os
import select
import subprocess
import sys
import time

import harness

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS = 16  # as figures.h has them
PATIENCE_S = 120
NICE = 10  # those who load leave the daemon and the probe their part of the processors


def seconds_of(bucket):
    """The upper end of a bucket."""
    return 2 ** ((bucket + 1) / STEPS) / 1e6


class Latency:
    """Counts by bucket."""

    def __init__(self, pairs=()):
        self.count = {int(bucket): int(n) for bucket, n in pairs}

    def __add__(self, more):
        both = Latency(self.count.items())
        for bucket, n in more.count.items():
            both.count[bucket] = both.count.get(bucket, 0) + n
        return both

    def __sub__(self, before):
        return Latency((bucket, n - before.count.get(bucket, 0))
            for bucket, n in self.count.items() if n > before.count.get(bucket, 0))

    @property
    def n(self):
        return sum(self.count.values())

    def quantile(self, q):
        """In seconds; 0 when there is none."""
        wanted, seen = q * self.n, 0
        for bucket, n in sorted(self.count.items()):
            seen += n
            if seen >= wanted:
                return seconds_of(bucket)
        return 0.0

    def figures(self):
        return {"n": self.n, "median": self.quantile(0.5), "p99": self.quantile(0.99),
            "max": self.quantile(1)}


class Told:
    """One line of what a program tells."""

    def __init__(self, line):
        told = json.loads(line)
        self.done, self.failed = told["done"], told["failed"]
        self.counts = told.get("counts", self.done)
        self.wrong = told.get("wrong", [])
        self.latency = Latency(told["latency"])


class Crowd:
    """A program that runs: a file of the build, or a script of this folder. first: the number
    of its first member."""

    def __init__(self, name, *arguments, first=0, nice=NICE, **environment):
        self.name, self.first, self.rest = name, first, b""
        program = [os.path.join(harness.BUILD, "tests", "overload", name)]
        if name.endswith(".py"):
            program = [sys.executable, os.path.join(HERE, name)]
        self.process = subprocess.Popen(["nice", "-n", str(nice), *program, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=harness.clean_environment(DYNM_BUILD=harness.BUILD, **environment))
        self.began = self.last = None

    def line(self):
        end = time.monotonic() + PATIENCE_S
        while b"\n" not in self.rest:
            left = max(0, end - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError(f"{self.name} said nothing for {PATIENCE_S} s")
            data = os.read(self.process.stdout.fileno(), 1 << 16)
            if not data:
                raise AssertionError(f"{self.name} ended with {self.process.wait()}")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line

    def say(self, words):
        try:
            self.process.stdin.write(words.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AssertionError(f"{self.name} ended with {self.process.wait()}") from None

    def ready(self):
        """Wait until all of its members are there."""
        self.began = self.last = Told(self.line())
        return self

    def rate(self, rate):
        self.say(f"rate {rate}")

    def answer(self):
        self.last = Told(self.line())
        return self.last

    def take(self):
        """What it tells now."""
        self.say("take")
        return self.answer()

    def settle(self):
        """Let all of them rest."""
        self.say("settle")
        return self.answer()

    def end(self):
        """It ends in order."""
        self.process.stdin.close()
        status = self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        if status != 0:
            raise AssertionError(f"{self.name} ended with {status}")

    def clean_up(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass
