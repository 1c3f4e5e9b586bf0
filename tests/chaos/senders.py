# SPDX-License-Identifier: Apache-2.0
"""Senders of JSON that send again whatever may be lost, and sometimes what is not: with an id
of the message, or without, as nanomsg's REQ does (the same request id from the same process).
Each message counts once."""
import json
import random
import socket
import struct
import threading
import time

from repeater import Cut, read, read_frame
from truth import NAMESPACE

TIMEOUT_S = 30
PAUSE_S = 0.02
REQ, REP = b"\0SP\0\0\x30\0\0", b"\0SP\0\0\x31\0\0"


class Sender(threading.Thread):
    def __init__(self, path, number, with_id, seed, wrong):
        super().__init__(daemon=True)
        self.path, self.number, self.with_id, self.wrong = path, number, with_id, wrong
        self.random = random.Random(f"{seed} sender {number}")
        self.socket, self.request = None, 0x80000000 | number << 24
        self.sent = self.again = 0
        self.resting, self.ended = threading.Event(), False
        self.rest, self.run_on = False, threading.Event()

    def run(self):
        while not self.ended:
            if self.rest:
                self.resting.set()
                self.run_on.wait(0.2)
                continue
            self.deliver()
            time.sleep(self.random.uniform(0, 2 * PAUSE_S))

    def message(self):
        labels = {"sender": str(self.number)}
        metrics = [{"name": "sent_total", "type": "counter", "labels": labels, "inc": 1},
            {"name": "sent_tenths_total", "type": "counter", "labels": labels, "inc": 0.1},
            {"name": "sent_last", "type": "gauge", "labels": labels, "set": self.sent + 1}]
        message = {"namespace": "chaos", "metrics": metrics}
        if self.with_id:
            message["id"] = f"{self.number}-{self.sent + 1}"
        return json.dumps(message).encode()

    def deliver(self):
        """Until it is acknowledged; and at times once more, from a new connection too."""
        message = self.message()
        self.request = 0x80000000 | (self.request + 1) & 0x7FFFFFFF
        left = 1 + (self.random.random() < 0.2)
        while left and not self.ended:
            impatient = left == 1 and self.random.random() < 0.05
            try:
                self.exchange(message, impatient)
                left -= 1
            except (Cut, OSError):
                self.close()
                time.sleep(0.005)
                self.again += 1
            else:
                self.again += left > 0
        if not left:
            self.sent += 1

    def exchange(self, message, impatient):
        if self.socket is None:
            self.connect()
        if self.with_id:  # then the request id says nothing
            self.request = 0x80000000 | self.random.getrandbits(31)
        word = struct.pack(">I", self.request)
        self.socket.sendall(struct.pack(">BQ", 1, 4 + len(message)) + word + message)
        if impatient:
            raise Cut
        reply = read_frame(self.socket)[9:]
        if reply[:4] != word or json.loads(reply[4:]) != {"ok": True}:
            self.wrong(f"json: the answer to {message.decode()} is {reply[4:].decode()}")

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(self.path)
        self.socket.sendall(REQ)
        if read(self.socket, 8) != REP:
            raise Cut

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    # ---- For the driver

    def pause(self):
        """Returns when nothing is under way."""
        self.resting.clear()
        self.run_on.clear()
        self.rest = True
        if not self.resting.wait(2 * TIMEOUT_S):
            self.wrong(f"waited: {2 * TIMEOUT_S} s in vain for sender {self.number} to rest")

    def go_on(self):
        self.rest = False
        self.run_on.set()

    def check(self, page):
        """What is wrong about its lines while it rests: sentences."""
        own = f'{{{NAMESPACE},sender="{self.number}"}}'
        for name, want in (("sent_total", self.sent), ("sent_tenths_total", 0.1 * self.sent),
                ("sent_last", self.sent)):
            value = page.get(f"dynamo_{name}{own}", 0)
            if abs(value - want) > 0.01:
                word = "doubled" if value > want else "missing"
                yield f"{word}: dynamo_{name}{own} {value!r} should be {want!r}"

    def end(self):
        self.ended = True
        self.run_on.set()
        self.join(TIMEOUT_S)
        self.close()
