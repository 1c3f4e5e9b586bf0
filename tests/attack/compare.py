# SPDX-License-Identifier: Apache-2.0
"""The same attacks on a server of ten lines on libnanomsg (plain.c), a new one each time, and what
became of it: it died, spins, leaks, keeps connections that are gone, answers nobody, or holds."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

from frame import execute
from harness import BUILD, clean_environment, wait_for
from target import QUICK, Peer, Target, cpu_s, descriptors, memory_mib

PLAIN = os.path.join(BUILD, "tests", "attack", "plain")
TIMEOUT_S = 1.5  # until it is said to be silent
SETTLED_S = 0.3  # until it is looked at
WATCHED_S = 0.1 if QUICK else 0.5
FILES = 1024  # descriptors: a usual limit
SPINS = 0.5  # of a processor, for nobody
LEAK_FILES, LEAK_MIB = 3, 16


class Plain:
    """A running server."""

    def __init__(self, files):
        self.folder = tempfile.mkdtemp(prefix="dynm-plain-")
        self.socket = os.path.join(self.folder, "plain.ipc")
        with open(os.path.join(self.folder, "stderr"), "wb") as log:
            self.process = subprocess.Popen(["prlimit", f"--nofile={files}:{files}", PLAIN,
                "ipc://" + self.socket], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=clean_environment(), cwd=self.folder)
        try:
            wait_for("the other server", self.connections)
        except BaseException:
            self.end()
            raise
        self.files, self.mib = descriptors(self.process.pid), memory_mib(self.process.pid)

    def connections(self):
        """How many it believes to have, of which this is one; None: it does not answer."""
        try:
            peer = Peer(self.socket, timeout_s=TIMEOUT_S)
        except (OSError, AssertionError):
            return None
        try:
            return int(peer.ask(b"?"))
        except (OSError, AssertionError):
            return None
        finally:
            peer.close()

    def outcome(self, noted):
        """What is to be said of it."""
        time.sleep(SETTLED_S)
        if self.process.poll() is not None:
            code = self.process.returncode
            return f"dies: {signal.Signals(-code).name if code < 0 else code}"
        found = []
        began, before = time.monotonic(), cpu_s(self.process.pid)
        time.sleep(WATCHED_S)
        share = (cpu_s(self.process.pid) - before) / (time.monotonic() - began)
        if share > SPINS:
            found.append(f"spins: {share:.1f} of a core")
        leaked = descriptors(self.process.pid) - self.files
        if leaked >= LEAK_FILES:
            found.append(f"keeps {leaked} descriptors")
        grown = memory_mib(self.process.pid) - self.mib
        if grown > LEAK_MIB:
            found.append(f"keeps {grown:.0f} MiB")
        left = self.connections()
        if left is None:
            found.append("answers nobody")
        elif left > 1:
            found.append(f"keeps {left - 1} dead peers")
        if noted:
            found.append(noted)
        return ", ".join(found) or "holds"

    def end(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def run(one):
    """In a few words, what an attack does to it."""
    server = Plain(one.files or FILES)
    try:
        target = Target(server.socket, server.process.pid, server.folder)
        target.timeout_s = TIMEOUT_S
        return server.outcome(execute(one, target).noted)
    finally:
        server.end()
