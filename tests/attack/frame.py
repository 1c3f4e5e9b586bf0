# SPDX-License-Identifier: Apache-2.0
"""The attacks, and how one is run: in a process of its own, with a time limit.

	@attack("I07", "a wrong type byte: 17 bytes")
	def wrong_type(t):
	    ...
	    return "4 types, 50 connections each"

The function gets a Target (target.py), returns in a few words what it did, and raises when the
daemon misbehaves. Everything it starts or opens through the target ends with it.
"""
import json
import os
import select
import signal
import time
import traceback

from target import QUICK

ATTACKS = {}
NICE = 10  # of attackers: what a scheduler gives to whom is not the daemon's doing


class Attack:
    def __init__(self, number, words, run, config, files, memory_mib, log_lines, deadline_s,
            compare, removes):
        self.number, self.words, self.run, self.config = number, words, run, config or {}
        self.files, self.memory_mib, self.log_lines = files, memory_mib, log_lines
        self.deadline_s, self.compare, self.removes = deadline_s, compare, removes

    def daemon(self):
        """Attacks of which this is the same share a daemon; those without a wish come first."""
        wish = json.dumps([self.config, self.files], sort_keys=True)
        return self.number[0], bool(self.config or self.files), wish


def attack(number, words, config=None, files=None, memory_mib=16, log_lines=60,
        deadline_s=30 if QUICK else 180, compare=None, removes=False):
    """Register an attack.

    config: of a daemon of its own kind; files: how many descriptors it may open.
    memory_mib: more than this after the attack than before the list is a leak. The allocator
    keeps some, and what an attack was allowed to leave on the page is kept by right.
    log_lines: more than these a second are a flood of the log.
    removes: series of its own leave, and may be there again from 0 before the next scrape.
    compare: whether a libnanomsg server gets the same (default: list I does).
    """
    def register(function):
        if number in ATTACKS:
            raise ValueError(f"there are two attacks {number}")
        ATTACKS[number] = Attack(number, words, function, config, files, memory_mib, log_lines,
            deadline_s, number[0] == "I" if compare is None else compare, removes)
        return function
    return register


class Result:
    """What an attack tried, what was wrong with the daemon, and of another server what is
    worth a note."""

    def __init__(self, tried, wrong, noted=None):
        self.tried, self.wrong, self.noted = tried, wrong, noted


def execute(one, target):
    """Run an attack in a process group of its own: what it tried, and what it found wrong."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _attacker(one, target, writing)
    os.close(writing)
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass  # it did so itself
    try:
        said, in_time = _read_all(reading, one.deadline_s)
    finally:  # also when we are told to end
        os.close(reading)
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(pid, 0)
    if not in_time:
        return Result("", f"did not end within {one.deadline_s} s")
    try:
        return Result(*json.loads(said))
    except ValueError:
        return Result("", "the attacker died")


def _attacker(one, target, writing):
    said = ["", "the attacker died"]
    try:
        os.setpgid(0, 0)
        os.nice(NICE)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            said = [one.run(target) or "", None]
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)
            here = [f for f in place if "/lists/" in f.filename] or place
            said = ["", f"{type(error).__name__}: {error} (line {here[-1].lineno})"]
        said.append(target.noted)
        target.close()
    finally:
        os.write(writing, json.dumps(said).encode())
        os._exit(0)


def _read_all(pipe, deadline_s):
    data, end = b"", time.monotonic() + deadline_s
    while True:
        left_s = end - time.monotonic()
        if left_s <= 0 or not select.select([pipe], [], [], left_s)[0]:
            return data, False
        more = os.read(pipe, 65536)
        if not more:
            return data, True
        data += more
        if data.endswith(b"]"):
            return data, True  # others may still hold the pipe
