# SPDX-License-Identifier: Apache-2.0
"""Between some workers and the daemon: requests that are late, come twice, or come again when
others have come since; answers that do not arrive."""
import random
import select
import socket
import struct
import threading
import time

LATE_S = 0.7  # longer than the lease
HELD = 25  # requests that may pass before one comes again


class Cut(Exception):
    """One of the two is gone, or is made to think so."""


def read(connection, n):
    data = b""
    while len(data) < n:
        more = connection.recv(n - len(data))
        if not more:
            raise Cut
        data += more
    return data


def read_frame(connection):
    head = read(connection, 9)
    return head + read(connection, struct.unpack(">BQ", head)[1])


class Relay(threading.Thread):
    """One connection of a worker: requests and answers in turn."""

    def __init__(self, repeater, worker, seed):
        super().__init__(daemon=True)
        self.repeater, self.worker, self.random = repeater, worker, random.Random(seed)
        self.held = []  # (after how many requests, request)
        self.start()

    def run(self):
        with self.worker, socket.socket(socket.AF_UNIX) as daemon:
            try:
                daemon.connect(self.repeater.daemon_path)
                daemon.sendall(read(self.worker, 8))
                self.worker.sendall(read(daemon, 8))
                while True:
                    self.wait_request(daemon)
                    self.relay(daemon, read_frame(self.worker))
            except (Cut, OSError):
                pass

    def wait_request(self, daemon):
        """Until the worker says something; the daemon has no reason to, but to leave."""
        ready, _, _ = select.select([self.worker, daemon], [], [])
        if daemon in ready:
            raise Cut

    def relay(self, daemon, request):
        dice = self.random.random()
        again = 0.3 if len(self.held) < 4 else 0
        if dice < 0.02:  # the worker may connect again meanwhile
            time.sleep(self.random.uniform(0, LATE_S))
        self.exchange(daemon, request, deliver=dice > 0.05)
        if self.random.random() < again:
            self.held.append([self.random.randrange(HELD), request])
        for entry in list(self.held):
            entry[0] -= 1
            if entry[0] < 0:
                self.held.remove(entry)
                self.repeater.again += 1
                self.exchange(daemon, entry[1], deliver=None)

    def exchange(self, daemon, request, deliver):
        """deliver: True, the answer; False, the end of the connection; None: nothing."""
        daemon.sendall(request)
        answer = read_frame(daemon)
        if deliver:
            self.worker.sendall(answer)
        elif deliver is False:
            self.repeater.cut += 1
            raise Cut


class Repeater(threading.Thread):
    def __init__(self, path, daemon_path, seed):
        super().__init__(daemon=True)
        self.daemon_path, self.seed, self.relays = daemon_path, seed, 0
        self.again = self.cut = 0
        self.address = "ipc://" + path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)

    def run(self):
        while True:
            try:
                worker, _ = self.listener.accept()
            except OSError:
                return
            self.relays += 1
            Relay(self, worker, f"{self.seed} relay {self.relays}")

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join(10)
        self.listener.close()
