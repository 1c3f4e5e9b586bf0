# SPDX-License-Identifier: Apache-2.0
"""The application (app.c) as a process: what it is told, and what it leaves."""
import os
import socket
import struct
import subprocess
import tempfile

import harness

PROGRAMS = os.path.join(harness.BUILD, "tests", "sacred")
FAILING_MALLOC = os.path.join(PROGRAMS, "failing_malloc.so")
ANSWER_S = 60  # a command that takes longer has hung
END_S = 20


class Hung(Exception):
    pass


class Application:
    def __init__(self, address, program="app", flush_ms=20, **environment):
        self.flush_ms = flush_ms
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(ANSWER_S)
        self.file = self.socket.makefile("r", encoding="utf-8", errors="replace")
        handle, self.tally = tempfile.mkstemp(prefix="dynm-")
        os.close(handle)
        os.chmod(self.tally, 0o666)
        with theirs:
            self.process = subprocess.Popen(
                [os.path.join(PROGRAMS, program), str(theirs.fileno()), self.tally],
                pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env=harness.clean_environment(
                    DYN_METRICSD_ADDRESS=address, LD_LIBRARY_PATH=harness.BUILD, **environment))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.file.close()
        self.socket.close()
        self.process.stdout.close()
        self.process.stderr.close()
        os.unlink(self.tally)

    def tell(self, command):
        """Its answer."""
        try:
            self.socket.sendall(command.encode() + b"\n")
            line = self.file.readline()
        except (OSError, ValueError) as error:
            raise Hung(f"'{command}' was not answered in {ANSWER_S} s: {error}") from None
        if not line:
            raise Hung(f"'{command}' ended the application: {self.ended()}")
        return line[:-1]

    def begin(self, runtimes=1, threads=2):
        """The watch first, then the library."""
        self.tell("begin")
        for _ in range(runtimes):
            self.tell(f"open {self.flush_ms}")
        self.tell(f"start {threads}")

    def mark(self, memory=False):
        """calls a second, p99.9 ns, most ns, switches: since the last mark."""
        return [float(f) for f in self.tell("mark memory" if memory else "mark").split()]

    def ended(self):
        """How: 0, or a negative signal; None when it does not end."""
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            return None

    def said(self):
        """What was written to stdout and stderr, by whomever. It has ended."""
        return self.process.stdout.read() + self.process.stderr.read()

    def hang_up(self):
        """No more commands: its main returns."""
        self.file.close()
        self.socket.close()

    def counts(self):
        """events, extra, acknowledged: also of an application that is dead."""
        with open(self.tally, "rb") as file:
            events, _, extra, acked = struct.unpack("=QQQQ", file.read(32))
            return events, extra, acked
