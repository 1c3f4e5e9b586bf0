# SPDX-License-Identifier: Apache-2.0
"""Process id namespaces, as containers have them. They take root, or a kernel that lets
anybody make them."""
import os
import subprocess
import unittest

from harness import wait_for
from programs import kill


def new(*options):
    """A command that runs others in a namespace of their own. Some releases of unshare complain
    when what they run is killed."""
    return ("sh", "-c", 'exec "$@" 2>/dev/null', "-", "unshare", "--pid", "--fork", "--kill-child",
        *options)


def can(*command):
    try:
        return subprocess.run([*command, "true"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


def need(*command):
    """Skip the test where such a command cannot be run."""
    if not can(*command):
        raise unittest.SkipTest(f"cannot run '{' '.join(command)}' here")


def only_child(pid):
    """The process that a command which runs others has started."""

    def child():
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]

    return wait_for("a process in the namespace", child)[0]


def numbers(pid):
    """The numbers of a process, from our namespace to its own."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("NSpid:"):
                return [int(number) for number in line.split()[1:]]
    raise AssertionError("this kernel does not tell the numbers of a process")


class Namespace:
    """One that lives until it is ended, whoever comes and goes in it."""

    def __init__(self):
        self.process = subprocess.Popen([*new("--mount-proc"), "sleep", "infinity"])
        self.init = only_child(self.process.pid)

    def enter(self):
        """A command that runs others in it."""
        return ["nsenter", f"--target={self.init}", "--pid", "--mount"]

    def next_number(self, number):
        """The next process that is started in it gets this one."""
        subprocess.run([*self.enter(), "sh", "-c",
            f"echo {number - 1} >/proc/sys/kernel/ns_last_pid"], check=True)

    def end(self):
        kill(self.init)
        self.process.wait()
        wait_for("the end of the namespace", lambda: not os.path.exists(f"/proc/{self.init}"))


def runs(pid, program):
    """The process, as soon as it runs a program of this name."""

    def is_it():
        try:
            return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == os.path.basename(program)
        except FileNotFoundError:
            return False

    wait_for(f"process {pid} to run {program}", is_it)
    return pid
