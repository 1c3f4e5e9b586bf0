#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""report.py - report from Python without any package: nanomsg's REQ in a few lines."""
import json
import os
import random
import socket
import struct

DEFAULT_ADDRESS = "ipc:///run/dynamo-metricsd/ingest.ipc"


class Reporter:
    """A connection to the daemon. After an exception, open another one."""

    def __init__(self, address=None, timeout_s=5):
        address = address or os.environ.get("DYN_METRICSD_ADDRESS") or DEFAULT_ADDRESS
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        self.socket.connect(address[len("ipc://"):])
        self.socket.sendall(b"\0SP\0\0\x30\0\0")  # here speaks a REQ
        if self.read(8) != b"\0SP\0\0\x31\0\0":  # and there a REP
            raise OSError(f"{address} does not answer as dynamo-metricsd")
        self.request = random.getrandbits(31)

    def read(self, n):
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise OSError("the daemon closed the connection")
            data += piece
        return data

    def report(self, *metrics, **message):
        """Send metrics; returns a list of what was refused, and why."""
        self.request = (self.request + 1) % 2**31  # each request has a new id
        body = struct.pack(">I", 2**31 + self.request)
        body += json.dumps({**message, "metrics": metrics}).encode()
        self.socket.sendall(struct.pack(">BQ", 1, len(body)) + body)
        _, n = struct.unpack(">BQ", self.read(9))
        return json.loads(self.read(n)[4:]).get("errors", [])


if __name__ == "__main__":
    reporter = Reporter()
    refused = reporter.report(
        {"name": "mails_total", "type": "counter", "labels": {"to": "all"}, "inc": 2},
        {"name": "mail_seconds", "type": "histogram", "buckets": [0.1, 1], "observe": [0.05, 3]},
        {"name": "mails_waiting", "type": "gauge", "inc": 1},  # wrong: a gauge has set or add
        namespace="dynamo", component="python")
    for error in refused:
        print(f"refused: {error['metric']}: {error['text']}")
