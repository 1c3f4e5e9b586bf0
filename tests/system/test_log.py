# SPDX-License-Identifier: Apache-2.0
"""The log: every refusal says who was refused and why, and a flood of them stays short."""
import os
import re
import socket
import struct

from harness import SystemTest, wait_for
from protocol_client import ProtocolClient

REQ, SUB, PUSH = 0x30, 0x21, 0x50
# Lines of one cause: "... (3 more like it left out)" or "log: left out: 3 more like ...".
LEFT_OUT = re.compile(r"\((\d+) more like it left out\)|log: left out: (\d+) more like")


class Refusals(SystemTest):
    def connection(self, daemon, first):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(stream.close)
        stream.settimeout(20)
        stream.connect(daemon.socket)
        stream.sendall(first)

    def refused(self, daemon):
        """All that was refused so far, by the metric."""
        return sum(float(line.rsplit(" ", 1)[1]) for line in daemon.page().splitlines()
            if line.startswith("dynamo_metricsd_refused_total{"))

    def test_each_says_who_and_why_and_is_counted(self):
        sp = b"\0SP\0" + struct.pack(">HH", REQ, 0)
        # What comes to the socket, behind a HELLO (True) or as the first bytes (False).
        doors = [
            ("json", True, b'{"metrics": 1}'),
            ("field", True, b'{"colour": 1}'),
            ("a metric of JSON", True, b'{"metrics": [{"name": "1", "type": "counter"}]}'),
            ("magic", True, b"XXXX\1\1\0\0"),
            ("version", True, b"DYNM\2\1\0\0"),
            ("truncated", True, b"DYNM\1\1\0\0\1"),
            ("a reply", True, b"DYNM\1\x89\0\0"),
            ("no SP", False, b"GET / HT"),
            ("another pattern", False, b"\0SP\0" + struct.pack(">HH", SUB, 0)),
            ("no frame", False, sp + b"\7" * 9),
            ("too long", False, sp + struct.pack(">BQ", 1, 1 << 40)),
            ("no request id", False, sp + struct.pack(">BQ", 1, 4) + b"\0\0\0\0"),
        ]
        for door, hello, data in doors:
            with self.subTest(door):
                # Refusals of one cause share a budget of a line a second: each gets a new one.
                daemon = self.daemon()
                if hello:
                    client = ProtocolClient(daemon.socket)
                    client.exchange(data)
                    client.socket.close()
                else:
                    self.connection(daemon, data)
                wait_for("the refusal", lambda: self.refused(daemon) > 0)
                self.assertEqual(self.refused(daemon), 1)
                [line] = [line for line in daemon.log().splitlines() if "warning: " in line]
                self.assertRegex(line, rf"pid {os.getpid()}\b.{{0,2}}uid {os.getuid()}\b")
                daemon.stop()

    def test_a_flood_is_a_few_lines_that_count_the_rest(self):
        daemon = self.daemon()
        client = ProtocolClient(daemon.socket)
        for _ in range(3000):
            client.exchange(b'{"colour": 1}')
        client.socket.close()
        daemon.stop()
        lines = [line for line in daemon.log().splitlines() if "colour" in line]
        refusals = [line for line in lines if "log: left out" not in line]
        left_out = sum(int(match.group(1) or match.group(2))
            for match in map(LEFT_OUT.search, lines) if match)
        self.assertEqual(len(refusals) + left_out, 3000)
        self.assertLess(len(lines), 300)

    def test_the_end_of_a_flood_is_said_by_a_daemon_that_has_nothing_else_to_do(self):
        daemon = self.daemon()
        wrong = b'{"colour": 1}'
        self.connection(daemon, b"\0SP\0" + struct.pack(">HH", PUSH, 0)
            + 2 * (struct.pack(">BQ", 1, len(wrong)) + wrong))
        wait_for("the line", lambda: "log: left out: 1 more like" in daemon.log())
        daemon.stop()
