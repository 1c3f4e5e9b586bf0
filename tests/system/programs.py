# SPDX-License-Identifier: Apache-2.0
"""Programs of C that tests drive: they print lines "WHAT NUMBER" and wait for a byte, or for
the end, of their standard input. And what /proc says of processes."""
import os
import select
import signal
import subprocess
import time

import harness


class Program:
    """One running program of tests/system/, with the processes that it tells of."""

    def __init__(self, name, *arguments, address, **environment):
        self.process = subprocess.Popen(
            [os.path.join(harness.BUILD, "tests", "system", name), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=harness.clean_environment(DYN_METRICSD_ADDRESS=address, **environment))
        self.rest, self.others = b"", set()

    def line(self, deadline_s=harness.DEADLINE_S):
        end = time.monotonic() + deadline_s
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"the program said nothing for {deadline_s} s")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f"the program ended with {self.process.wait()}")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        what, number = line.decode().split(" ")
        if what in ("pid", "clone"):
            self.others.add(int(number))
        return what, int(number)

    def hear(self, wanted, deadline_s=harness.DEADLINE_S):
        what, number = self.line(deadline_s)
        if what != wanted:
            raise AssertionError(f"waited for '{wanted}', and it said '{what} {number}'")
        return number

    def go(self):
        self.process.stdin.write(b"g")
        self.process.stdin.flush()

    def finish(self):
        """Those who stay may go; all must end well."""
        self.process.stdin.close()
        self.process.stdout.close()
        status = self.process.wait(harness.DEADLINE_S)
        if status != 0:
            raise AssertionError(f"the program ended with {status}")
        harness.wait_for("the end of its processes",
            lambda: not any(is_alive(pid) for pid in self.others))

    def clean_up(self):
        for pid in self.others | {self.process.pid}:
            if self.process.returncode is None or pid != self.process.pid:
                kill(pid)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def state(pid):
    """R, S, T, Z ... or "" when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid):
    return state(pid) not in ("", "Z", "X")


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid):
    """What a process has open, beside its standard streams: {number: name}."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if int(fd) > 2:
            try:
                found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
            except FileNotFoundError:
                pass
    return found


def memory_bytes(pid):
    """What is resident."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
