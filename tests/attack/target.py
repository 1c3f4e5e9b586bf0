# SPDX-License-Identifier: Apache-2.0
"""What an attack is aimed at: the real daemon, or for comparison another server on such a
socket. And the means to do it harm."""
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time

from harness import BUILD, Daemon, clean_environment, wait_for

FLOOD = os.path.join(BUILD, "tests", "attack", "flood")
TIMEOUT_S = 10
QUICK = bool(os.environ.get("QUICK"))
REQ, REP, PUSH, PULL = 0x30, 0x31, 0x50, 0x51
ANSWERS = {REQ: REP, PUSH: PULL}


def many(quick, full):
    """How often something is done: with QUICK=1, or else."""
    return quick if QUICK else full


def header(protocol):
    return b"\0SP\0" + struct.pack(">HH", protocol, 0)


def frame(payload, length=None, kind=1):
    """A frame; length and kind: what it says instead of the truth."""
    return struct.pack(">BQ", kind, len(payload) if length is None else length) + payload


def request(payload, number=1):
    """A frame with the request `number` of a REQ."""
    return frame(struct.pack(">I", 0x80000000 | number) + payload)


def cpu_s(pid):
    """How long a process has run so far or wanted to, all its threads: on a busy machine, who
    spins waits for a processor most of the time."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += sum(map(int, file.read().split()[:2]))
    return total / 1e9


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_mib(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


class Peer:
    """A connection to the ingest socket, after the handshake of `protocol` (None: before)."""

    def __init__(self, path, protocol=REQ, timeout_s=TIMEOUT_S):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.number, self.timeout_s = 0, timeout_s
        try:
            self.socket.connect(path)
            if protocol is not None:
                self.socket.sendall(header(protocol))
                answer = self.read(8)
                if protocol in ANSWERS and answer != header(ANSWERS[protocol]):
                    raise AssertionError(f"the handshake was answered {answer!r}")
        except BaseException:
            self.socket.close()
            raise

    def send(self, data):
        self.socket.sendall(data)
        return self

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            if not more:
                raise ConnectionError(f"closed after {len(data)} of {n} bytes")
            data += more
        return data

    def read_frame(self):
        kind, length = struct.unpack(">BQ", self.read(9))
        if kind != 1 or length > 1 << 30:
            raise AssertionError(f"a frame of type {kind} and {length} bytes")
        return self.read(length)

    def ask(self, payload):
        """The answer to a request."""
        self.number += 1
        self.send(request(payload, self.number))
        reply = self.read_frame()
        if reply[:4] != struct.pack(">I", 0x80000000 | self.number):
            raise AssertionError(f"not the answer to this request: {reply[:80]!r}")
        return reply[4:]

    def json(self, message):
        """The answer to a message in JSON: an object, or text that is sent as it is."""
        data = message if isinstance(message, (str, bytes)) else json.dumps(message)
        return json.loads(self.ask(data if isinstance(data, bytes) else data.encode()))

    def closed(self, within_s=None):
        """Whether the other side closes, whatever it says before."""
        end = time.monotonic() + (within_s or self.timeout_s)
        try:
            while True:
                self.socket.settimeout(max(end - time.monotonic(), 0.001))
                if not self.socket.recv(65536):
                    return True
        except socket.timeout:
            return False
        except OSError:
            return True

    def reset(self):
        """Close so that the other side's answer finds nobody; TCP: RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()


class Target:
    """A server on a socket. What an attack opens here ends with the attack."""

    def __init__(self, socket_path, pid, folder, daemon=None):
        self.socket, self.pid, self.folder, self.daemon = socket_path, pid, folder, daemon
        self.address = "ipc://" + socket_path
        self.port = daemon.port if daemon else None
        self.timeout_s, self.noted = TIMEOUT_S, None
        self.to_close = []

    # ---- The ingest socket

    def connect(self):
        """A bare connection to the ingest socket."""
        return self.keep(Peer(self.socket, None, self.timeout_s))

    def peer(self, protocol=REQ, timeout_s=None):
        """A connection that has shaken hands."""
        return self.keep(Peer(self.socket, protocol, timeout_s or self.timeout_s))

    def json(self, message):
        peer = Peer(self.socket)
        try:
            return peer.json(message)
        finally:
            peer.close()

    def keep(self, thing):
        """It is closed when the attack is over."""
        self.to_close.append(thing)
        return thing

    def expect(self, promised, sentence):
        """promised() is true; of another server the first that is not is noted, no more."""
        if self.daemon and not promised():
            raise AssertionError(sentence)
        if not self.daemon and not self.noted:
            try:
                self.noted = None if promised() else sentence
            except (OSError, AssertionError):
                self.noted = sentence

    def serves(self):
        """A request of an honest stranger is answered."""
        peer = Peer(self.socket, timeout_s=self.timeout_s)
        try:
            return bool(peer.ask(b"DYNM\1\7\0\0"))
        finally:
            peer.close()

    # ---- HTTP

    def http(self, data=b"", timeout_s=TIMEOUT_S):
        """A connection to the HTTP port, on which `data` has been sent."""
        connection = self.keep(socket.create_connection(("127.0.0.1", self.port), timeout_s))
        connection.sendall(data)
        return connection

    def answer(self, data, timeout_s=TIMEOUT_S):
        """All that comes until the daemon closes, or is silent for timeout_s."""
        connection, answer = self.http(data, timeout_s), b""
        try:
            while more := connection.recv(1 << 20):
                answer += more
        except OSError:
            pass
        connection.close()
        return answer

    def get(self, path="/metrics", **more):
        return self.daemon.get(path, **more)

    def value(self, line_start):
        """Of the line of the page that starts so, or None."""
        for line in self.get().text.split("\n"):
            if line.startswith(line_start + " "):
                return float(line.rpartition(" ")[2])
        return None

    # ---- What it holds

    def descriptors(self):
        return descriptors(self.pid)

    def memory_mib(self):
        return memory_mib(self.pid)

    def alive(self):
        """Whether its process runs."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
                return file.read().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def cpu_share(self, seconds=0.3):
        """Of one processor, over this time."""
        began, before = time.monotonic(), cpu_s(self.pid)
        time.sleep(seconds)
        return (cpu_s(self.pid) - before) / (time.monotonic() - began)

    def must_idle(self, seconds=0.3, most=0.5):
        """While connections are held: no busy loop. The bystanders take a little themselves."""
        if self.daemon:
            wait_for("an idle daemon", lambda: self.busy_at_most(seconds, most))
        elif (share := self.cpu_share(seconds)) > most / 2:  # it has nothing else to do
            self.noted = f"spins: {share:.1f} of a core"

    def busy_at_most(self, seconds, most):
        return self.cpu_share(seconds) <= most

    # ---- More force

    def more_files(self, n=70000):
        """This process may open so many."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (n, max(n, hard)))
        except (ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def flood(self, *arguments):
        """A program that is faster than Python (flood.c); it runs until it is done."""
        return self.start([FLOOD, *map(str, arguments)])

    def start(self, command, **options):
        """A process that ends with the attack."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=clean_environment(),
            stdout=subprocess.PIPE, text=True, **options)
        self.to_close.append(_Process(process))
        return process

    def fork(self, function, *arguments, uid=None):
        """The pid of a process in which function(*arguments) runs, as another user if asked."""
        pid = os.fork()
        if pid:
            self.to_close.append(_Forked(pid))
            return pid
        status = 1
        try:
            if uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            function(*arguments)
            status = 0
        finally:
            os._exit(status)

    def wait(self, pid):
        """The exit status of what fork() began."""
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def another(self, *arguments, **options):
        """One more daemon, as harness.Daemon(...), in a folder beside this one's: not started,
        ended with the attack."""
        beside = None if arguments else tempfile.mkdtemp(
            prefix="dynm-", dir=os.path.dirname(self.folder))
        daemon = Daemon(*arguments or (beside,), **options)
        daemon.own_folder = daemon.own_folder or beside is not None
        self.to_close.append(_Other(daemon))
        return daemon

    def close(self):
        for thing in reversed(self.to_close):
            try:
                thing.close()
            except OSError:
                pass
        self.to_close = []


class _Process:
    def __init__(self, process):
        self.process = process

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.stdout.close()
        self.process.wait()


class _Forked:
    def __init__(self, pid):
        self.pid = pid

    def close(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


class _Other:
    def __init__(self, daemon):
        self.daemon = daemon

    def close(self):
        self.daemon.clean_up()


def readable(connection, within_s):
    """Whether something can be read from it in this time."""
    return bool(select.select([connection], [], [], within_s)[0])
