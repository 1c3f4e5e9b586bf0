# SPDX-License-Identifier: Apache-2.0
"""A client that knows nothing but proto/PROTOCOL.md: it reports counters."""
import os
import socket
import struct

NEW, ACK, OK = 0x81, 0x87, 0x89


def text(string):
    data = string.encode("utf-8")
    return struct.pack("<H", len(data)) + data


class Refused(Exception):
    pass


class ProtocolClient:
    def __init__(self, path, timeout_s=10):
        self.request_id = 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path)
        self.socket.sendall(b"\0SP\0" + struct.pack(">HH", 0x30, 0))
        if self.read(8) != b"\0SP\0" + struct.pack(">HH", 0x31, 0):
            raise Refused("no REP answers")
        self.hello()

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise Refused("the daemon closed the connection")
            data += more
        return data

    def exchange(self, message):
        """One frame with a message, one with its answer."""
        self.request_id += 1
        word = struct.pack(">I", 0x80000000 | self.request_id)
        self.socket.sendall(struct.pack(">BQ", 1, 4 + len(message)) + word + message)
        frame, length = struct.unpack(">BQ", self.read(9))
        reply = self.read(length)
        if frame != 1 or reply[:4] != word:
            raise Refused(f"not the answer to this request: {reply!r}")
        return reply[4:]

    def request(self, kind, fields, expected):
        """The fields of the reply, which is of the expected type."""
        reply = self.exchange(b"DYNM" + bytes([1, kind, 0, 0]) + fields)
        if reply[:5] != b"DYNM\1" or reply[5] != expected:
            raise Refused(f"the answer to {kind:#04x} is {reply!r}")
        return reply[8:]

    def hello(self):
        self.n, self.counters = 0, 0
        hello = os.urandom(16) + bytes([0]) + bytes(16) + text("") + text("python")
        self.ticket = self.request(0x01, hello, NEW)[:16]

    def numbered(self, kind, count, items):
        """A DEFINE, UPDATE or REMOVE, and its ACK."""
        self.n += 1
        head = self.ticket + struct.pack("<QI", self.n, count)
        n, refused = struct.unpack("<QI", self.request(kind, head + items, ACK)[:12])
        if n != self.n or refused:
            raise Refused(f"{refused} items of request {n} were refused")

    def counter(self, name, help, *level):
        """Define a counter; its number is its id and its cell."""
        number, self.counters = self.counters, self.counters + 1
        metric = (bytes([1]) + struct.pack("<IBB", number, 1, 0) + bytes([len(level)])
            + b"".join(map(text, level)) + text(name) + text(help) + struct.pack("<BBH", 0, 0, 0))
        child = bytes([2]) + struct.pack("<IIB", number, number, 0)
        self.numbered(0x02, 2, metric + child)
        return number

    def update(self, values):
        """What counters are now: {number: the whole count so far}."""
        self.numbered(0x03, len(values),
            b"".join(struct.pack("<Id", cell, value) for cell, value in values.items()))

    def close(self):
        self.request(0x08, self.ticket, OK)
