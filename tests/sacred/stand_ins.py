# SPDX-License-Identifier: Apache-2.0
"""What listens at a daemon's address and is none, or a bad one. Each is a context: it listens
within, and leaves neither socket nor connection behind."""
import os
import random
import socket
import struct
import threading
import time

REQ, REP = b"\0SP\0\0\x30\0\0", b"\0SP\0\0\x31\0\0"
SLOWLY_S = 1  # between two bytes that a slow one reads
BIG_BYTES = 300000  # more than a socket takes at once


def receive(connection, n):
    """n bytes, or None at the end."""
    data = b""
    while len(data) < n:
        more = connection.recv(min(n - len(data), 65536))
        if not more:
            return None
        data += more
    return data


class StandIn:
    def __init__(self, address):
        self.path = address.removeprefix("ipc://")
        self.lock = threading.Lock()
        self.open, self.threads, self.accepted = set(), [], []
        self.stopping = False

    def __enter__(self):
        if os.path.lexists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listen()
        return self

    def listen(self):
        self.listener.listen(64)
        self.start(self.accept)

    def __exit__(self, *_):
        with self.lock:
            self.stopping = True
            for connection in self.open:
                self.shut(connection)
        self.shut(self.listener)
        for thread in list(self.threads):
            thread.join()
        self.listener.close()
        os.unlink(self.path)

    def shut(self, connection):
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def start(self, run, *arguments):
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while not self.stopping:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            self.accepted.append((time.monotonic(), struct.unpack("iII", peer)[0]))
            self.start(self.serve, connection)

    def keep(self, connection):
        """False when it is too late."""
        with self.lock:
            if not self.stopping:
                self.open.add(connection)
            return not self.stopping

    def serve(self, connection):
        if self.keep(connection):
            try:
                self.talk(connection)
            except OSError:
                pass
        with self.lock:
            self.open.discard(connection)
        connection.close()

    def rest(self, seconds):
        end = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < end:
            time.sleep(0.01)

    def gaps_ms(self, pid):
        """Between the connections of a process."""
        times = [t for t, p in self.accepted if p == pid]
        return [(b - a) * 1000 for a, b in zip(times, times[1:])]


class Refusing(StandIn):
    """Closes each connection at once."""

    def talk(self, connection):
        pass


class Silent(StandIn):
    """Takes every byte, and answers none."""

    def talk(self, connection):
        while receive(connection, 1):
            pass


class Full(StandIn):
    """Accepts nobody: its queue is full."""

    def listen(self):
        self.listener.listen(0)
        self.first = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.first.connect(self.path)

    def __exit__(self, *exception):
        self.first.close()
        super().__exit__(*exception)


class Slow(StandIn):
    """Reads a byte a second."""

    def talk(self, connection):
        while not self.stopping and connection.recv(1):
            self.rest(SLOWLY_S)


class Answering(StandIn):
    """Takes requests as a daemon does."""

    def talk(self, connection):
        if receive(connection, 8) != REQ:
            return
        connection.sendall(REP)
        while True:
            head = receive(connection, 9)
            request = head and receive(connection, struct.unpack(">xQ", head)[0])
            if not request or not self.answer(connection, request):
                return

    def send(self, connection, request, message):
        """As the reply to that request."""
        connection.sendall(struct.pack(">BQ", 1, 4 + len(message)) + request[:4] + message)
        return True


class Garbage(Answering):
    """Answers bytes that mean nothing: another kind of them each time."""

    def __init__(self, address, seed=1):
        super().__init__(address)
        self.random = random.Random(seed)

    def talk(self, connection):
        if len(self.accepted) % 4 == 0:
            connection.sendall(self.random.randbytes(1000))
        else:
            super().talk(connection)

    def answer(self, connection, request):
        noise = self.random.randbytes(self.random.randrange(1, 300))
        return self.random.choice((
            lambda: self.send(connection, request, noise),
            lambda: self.send(connection, request, b"DYNM\1" + noise),
            lambda: self.send(connection, request, b"DYNM\1\x8b\0\0" + noise),
            lambda: self.send(connection, self.random.randbytes(4), noise),
            lambda: connection.sendall(noise),
            lambda: connection.sendall(b"\1" + b"\xff" * 8 + noise),
            lambda: connection.sendall(struct.pack(">BQ", 1, 1 << 20) + noise)))()


class OtherVersion(Answering):
    """Speaks version 2, and says so; or only speaks it."""

    def answer(self, connection, request):
        text = b"this is version 2: install the same release on both sides"
        error = b"DYNM\1\x8b\0\0\1" + struct.pack("<H", len(text)) + text
        return self.send(connection, request,
            error if len(self.accepted) % 2 else b"DYNM\2\x81\0\0" + bytes(40))


class Between(StandIn):
    """Stands before a real daemon at another address."""

    def __init__(self, address, daemon):
        super().__init__(address)
        self.behind = daemon.removeprefix("ipc://")

    def talk(self, connection):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
            if not self.keep(daemon):
                return
            try:
                daemon.connect(self.behind)
                self.between(connection, daemon)
            finally:
                with self.lock:
                    self.open.discard(daemon)

    def head(self, connection, daemon):
        """Hand on the first bytes of both, or a frame's head: the length of what follows."""
        greeting = receive(connection, 8)
        if greeting is None:
            return False
        daemon.sendall(greeting)
        greeting = receive(daemon, 8)
        if greeting is not None:
            connection.sendall(greeting)
        return greeting is not None

    def frame(self, from_, to, at_most=None):
        """Hand on a frame. False at the end, or when it is longer."""
        head = receive(from_, 9)
        bytes_ = struct.unpack(">xQ", head)[0] if head else 0
        if not head or (at_most and bytes_ > at_most):
            return False
        body = receive(from_, bytes_)
        if body is not None:
            to.sendall(head + body)
        return body is not None


class ClosingAfterHandshake(Between):
    """Closes when the daemon has answered HELLO; at times before that."""

    def between(self, connection, daemon):
        if self.head(connection, daemon) and len(self.accepted) % 3:
            _ = self.frame(connection, daemon) and self.frame(daemon, connection)


class ClosingInMessages(Between):
    """Stops reading in the middle of each big message, while it is being written."""

    cut = 0

    def between(self, connection, daemon):
        if not self.head(connection, daemon):
            return
        while self.frame(connection, daemon, BIG_BYTES):
            if not self.frame(daemon, connection):
                return
        # No more is taken from now on; when there is room again, the writer hears of it.
        connection.shutdown(socket.SHUT_RD)
        while connection.recv(65536):
            pass
        self.cut += 1
        self.rest(0.05)
