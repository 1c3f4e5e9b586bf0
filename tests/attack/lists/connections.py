# SPDX-License-Identifier: Apache-2.0
"""List I, second part: who connects to the ingest socket, how often, for how long, and what they
do not take."""
import os
import signal
import socket
import struct
import time

from frame import attack
from harness import wait_for
from protocol_client import ProtocolClient
from target import PUSH, REQ, Peer, frame, header, many, readable, request

from lists.ingest import MAGIC, STATUS, hello

JSON = (b'{"namespace":"attack","metrics":[{"name":"attack_flood_total","type":"counter","inc":1},'
    b'{"name":"attack_flood_seconds","type":"histogram","observe":[0.1,0.2,0.3,3]}]}')
FLOOD_MS = many(150, 4000)
COUNTED = {"ingest": {"dedupe_ms": 0}}  # each, and no memory is kept of it
IMPATIENT = {"ingest": {"handshake_ms": 100, "frame_ms": 300}}


def bytes_file(t, data):
    """A file with these bytes."""
    path = os.path.join(t.folder, f"flood-{len(t.to_close)}")
    with open(path, "wb") as file:
        file.write(data)
    return path


def visits(t, data, times, protocol, processes=4):
    """Processes that connect, send and leave; how often in all."""
    path = bytes_file(t, data) if data else ""
    each = times // processes
    for flood in [t.flood("visit", t.socket, protocol, each, path) for _ in range(processes)]:
        flood.communicate()
    return f"{each * processes:,} connections, {processes} processes"


def floods(t, data, connections, protocol=REQ, processes=1, reads=True, ms=FLOOD_MS):
    """Processes that send data again and again; what they did."""
    path, rounds, size = bytes_file(t, data), 0, 0
    running = [t.flood("repeat", t.socket, protocol, connections, ms, int(reads), path)
        for _ in range(processes)]
    for flood in running:
        said = flood.communicate()[0].split()
        rounds += int(said[0])
        size += int(said[1])
    t.expect(t.serves, "a stranger is not answered afterwards")
    t.rounds = rounds
    return f"{rounds:,} in {size >> 20:,} MiB, {connections * processes} peers"


# ---- Coming and going


@attack("I30", "connect and leave")
def come_and_go(t):
    return visits(t, b"", many(2000, 100000), 0)


@attack("I31", "shake hands and leave")
def shake_and_go(t):
    return visits(t, b"", many(2000, 100000), REQ)


@attack("I32", "half a frame, and leave")
def half_and_go(t):
    return visits(t, request(STATUS)[:20], many(2000, 100000), REQ)


@attack("I33", "a request, and leave before its answer")
def ask_and_go(t):
    return visits(t, request(STATUS), many(2000, 100000), REQ)


@attack("I34", "a JSON message by PUSH, and leave: each must count")
def push_and_go(t):
    name = f"attack_pushed_{os.getpid()}_total"
    text = b'{"metrics":[{"name":"%s","type":"counter","inc":1}]}' % name.encode()
    tried = visits(t, frame(text), many(400, 20000), PUSH, 2)
    n = many(400, 20000)
    if t.daemon:
        wait_for("every message", lambda: t.value(f"dynamo_{name}") == n)
    return tried


@attack("I35", "a new session, and leave, again and again",
    config={"limits": {"folded": 1000, "workers": 1000}})
def session_and_go(t):
    return visits(t, request(hello()), many(1000, 20000), REQ, 2)


@attack("I36", "peers that are killed in the middle of a message")
def killed(t):
    def die():
        peer = Peer(t.socket)
        peer.send(request(STATUS)[:15])
        os.kill(os.getpid(), signal.SIGKILL)

    n = many(10, 300)
    for pid in [t.fork(die) for _ in range(n)]:
        t.wait(pid)
    return f"{n} processes"


# ---- Half-closed


@attack("I37", "shutdown of one side or both, before, in and after a message")
def half_closed(t):
    stages = (b"", header(REQ)[:3], header(REQ), header(REQ) + request(STATUS)[:5],
        header(REQ) + request(STATUS)[:15], header(REQ) + request(STATUS))
    n = 0
    for _ in range(many(1, 30)):
        for stage in stages:
            for how in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
                peer = t.connect()
                peer.send(stage)
                try:
                    peer.socket.shutdown(how)
                    if how == socket.SHUT_WR:
                        t.expect(peer.closed, "it stays open though nothing can come")
                    elif how == socket.SHUT_RD:
                        peer.send(request(STATUS))
                except OSError:
                    pass  # the daemon was faster
                peer.close()
                n += 1
    return f"{n:,} connections"


@attack("I38", "half-closed after a request: it is answered all the same")
def half_closed_asks(t):
    for _ in range(many(5, 200)):
        peer = t.peer()
        peer.send(request(STATUS))
        peer.socket.shutdown(socket.SHUT_WR)
        t.expect(lambda: peer.read_frame(), "no answer")
        peer.close()
    return f"{many(5, 200)} connections"


# ---- More than there is room for


@attack("I40", "more peers than allowed, all idle: who comes later gets in",
    config={"ingest": {"connections": 60, "idle_ms": 100}})
def too_many(t):
    n = many(100, 2000)
    for i in range(n):
        peer = t.connect()
        try:
            peer.send(header(REQ) if i % 2 else b"")
        except OSError:
            pass  # there was no room

    def gets_in():
        try:
            return t.serves()
        except (OSError, AssertionError):
            return False

    t.must_idle()
    t.expect(lambda: wait_for("room for an honest peer", gets_in), "answers nobody else")
    return f"{n:,} peers, 60 allowed"


@attack("I41", "more peers than allowed, all busy", config={"ingest": {"connections": 30}})
def too_many_busy(t):
    path = bytes_file(t, request(STATUS))
    flood = t.flood("repeat", t.socket, REQ, 200, FLOOD_MS, 1, path)
    said = flood.communicate()[0].split()
    return f"200 peers, 30 allowed, {int(said[2]):,} times refused"


@attack("I42", "more peers than descriptors", files=80)
def out_of_descriptors(t):
    t.more_files()
    n, vain = many(150, 1500), 0
    for _ in range(n):
        peer = t.keep(socket.socket(socket.AF_UNIX))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 20000))
        try:
            peer.connect(t.socket)
            vain = 0
            peer.send(header(REQ))
        except OSError:
            vain += 1
        if vain == 5:
            break  # the backlog is full
    t.must_idle(many(0.3, 2))
    return f"{n:,} peers, 80 descriptors"


@attack("I43", "1,000 half messages of 1 MiB",
    config={"ingest": {"buffered_bytes": 16 << 20, "connections": 2000}}, memory_mib=32)
def half_messages(t):
    t.more_files()
    body = frame(b"\x80\0\0\1" + bytes(900 << 10), 1 << 20)
    for _ in range(many(60, 1000)):
        peer = t.peer()
        peer.socket.settimeout(0.2)
        try:
            peer.send(body)
        except OSError:
            pass
    t.expect(t.serves, "a stranger is not answered")
    t.expect(lambda: t.memory_mib() < 160, f"it holds {t.memory_mib():.0f} MiB")
    return f"{many(60, 1000):,} of 900 KiB, 16 MiB allowed"


# ---- Slow ones


@attack("I45", "a handshake that never ends", config=IMPATIENT)
def slow_handshake(t):
    peers = [t.connect() for _ in range(many(30, 500))]
    for byte in header(REQ)[:7]:
        for peer in peers:
            try:
                peer.socket.send(bytes([byte]))
            except OSError:
                pass
        time.sleep(0.03)  # that is what it is about
    t.expect(lambda: all(p.closed() for p in peers), "some stay open")
    return f"{len(peers)} peers, a byte each 30 ms"


@attack("I46", "nothing at all after connecting", config=IMPATIENT)
def silent(t):
    peers = [t.connect() for _ in range(many(30, 500))]
    t.expect(lambda: all(p.closed() for p in peers), "some stay open")
    return f"{len(peers)} peers"


def slow(t, data, n):
    """Peers that send data byte by byte, slower than a message may take."""
    peers, at, end = [t.peer() for _ in range(n)], 0, time.monotonic() + 5
    while peers and at < len(data) - 1 and time.monotonic() < end:
        for peer in list(peers):
            try:
                peer.socket.send(data[at:at + 1])
            except OSError:
                peers.remove(peer)
        at += 1
        time.sleep(0.05)
        if not t.daemon and at > 20:
            break
    t.expect(lambda: all(p.closed() for p in peers), "some stay open")
    return f"{n} peers, a byte each 50 ms"


@attack("I47", "the head of a frame byte by byte", config=IMPATIENT)
def slow_head(t):
    return slow(t, request(STATUS)[:9], many(20, 500))


@attack("I48", "1 MiB announced and sent byte by byte", config=IMPATIENT)
def slow_body(t):
    return slow(t, frame(b"\x80\0\0\1" + bytes(200), 1 << 20), many(20, 500))


@attack("I49", "whole messages, but one byte in each write, for ever in time")
def slow_but_whole(t):
    peers = [t.peer() for _ in range(many(20, 300))]
    for byte in request(STATUS):
        for peer in peers:
            peer.send(bytes([byte]))
    for peer in peers:
        t.expect(lambda: peer.read_frame(), "no answer")
    return f"{len(peers)} peers"


# ---- Replies that nobody takes


@attack("I50", "replies never read: one peer")
def never_read(t):
    return floods(t, request(STATUS), 1, reads=False)


@attack("I51", "replies never read: many peers",
    config={"ingest": {"buffered_bytes": 16 << 20}}, memory_mib=32)
def never_read_many(t):
    tried = floods(t, request(STATUS), many(30, 100), processes=many(1, 4), reads=False)
    t.expect(lambda: t.memory_mib() < 160, f"it holds {t.memory_mib():.0f} MiB")
    return tried


@attack("I52", "the whole page asked for again and again, and not read")
def expose_unread(t):
    return floods(t, request(MAGIC + b"\6\0\0\0"), 20, reads=False)


@attack("I53", "an answer taken a byte at a time")
def slow_reader(t):
    peer = t.peer()
    peer.send(request(STATUS) * 2000)
    for _ in range(many(200, 3000)):
        peer.read(1)
    peer.close()
    return f"2,000 answers, {many(200, 3000):,} reads"


# ---- Floods


@attack("I55", "requests without end, one peer")
def flood_one(t):
    return floods(t, request(STATUS), 1)


@attack("I56", "requests without end, 20 peers")
def flood_twenty(t):
    return floods(t, request(MAGIC + b"\5\0\0" + bytes(16)), 5, processes=4)


@attack("I57", "pipelined: 100,000 requests before the first answer is read")
def pipelined(t):
    n, asked = many(5000, 100000), request(MAGIC + b"\5\0\0" + bytes(16))

    def send_all():
        peer.send(asked * n)

    peer = t.peer()
    pid = t.fork(send_all)
    for _ in range(n):
        peer.read_frame()
    t.wait(pid)
    return f"{n:,} requests"


@attack("I58", "JSON without end, 20 peers", config=COUNTED)
def flood_json(t):
    return floods(t, request(JSON), 5, processes=4)


@attack("I59", "JSON by PUSH without end, 20 peers: each must count")
def flood_push(t):
    line = f"dynamo_attack_pushes_{os.getpid()}_total"
    tried = floods(t, frame(b'{"metrics":[{"name":"%s","type":"counter","inc":1}]}'
        % line.removeprefix("dynamo_").encode()), 5, PUSH, processes=4)
    wait_for(f"{t.rounds} on the page", lambda: t.value(line) == t.rounds)
    return tried


@attack("I60", "nothing without end: empty frames, 20 peers")
def flood_empty(t):
    return floods(t, frame(b""), 5, PUSH, processes=4)


@attack("I61", "requests without an id without end, 20 peers: nobody is answered")
def flood_no_id(t):
    return floods(t, frame(b"\0\0\0\1"), 5, processes=4)


@attack("I62", "nonsense that is logged, without end, 20 peers")
def flood_nonsense(t):
    return floods(t, request(b'{"metrics":[{"name":"\\n\\u001b[31m","type":"?"}]}'), 5,
        processes=4)


@attack("I63", "the dearest JSON there is, without end, 8 peers")
def flood_dear(t):
    dear = b'{"metrics":[' + b",".join([b"{}"] * 20000) + b"]}"
    return floods(t, request(dear), 2, processes=4)


@attack("I64", "the whole page asked for without end, 8 peers")
def flood_expose(t):
    return floods(t, request(MAGIC + b"\6\0\0\0"), 2, processes=4)


@attack("I65", "handshakes without end, and bad frames after them, 4 processes")
def flood_bad(t):
    return visits(t, b"\2" + bytes(8), many(2000, 50000), REQ)


@attack("I66", "megabytes of nothing in whole messages, 8 peers")
def flood_big(t):
    return floods(t, request(bytes(1 << 20)), 2, processes=4)


@attack("I67", "all at once: floods, visitors, and those who do not read", config=COUNTED)
def mixed(t):
    paths = [bytes_file(t, request(JSON)), bytes_file(t, request(STATUS) + b" "),
        bytes_file(t, frame(JSON))]
    running = [t.flood("repeat", t.socket, REQ, 5, FLOOD_MS, 1, paths[0]),
        t.flood("repeat", t.socket, REQ, 10, FLOOD_MS, 0, paths[0]),
        t.flood("repeat", t.socket, REQ, 5, FLOOD_MS, 1, paths[1]),
        t.flood("repeat", t.socket, PUSH, 5, FLOOD_MS, 1, paths[2]),
        t.flood("visit", t.socket, REQ, many(500, 20000), "")]
    for flood in running:
        flood.communicate()
    t.expect(t.serves, "a stranger is not answered")
    return "5 kinds at once, 25 peers and visitors"


# ---- Sessions


@attack("I70", "a peer that defines for ever",
    config={"limits": {"series": 5000, "families": 500, "series_per_worker": 4000}})
def defines(t):
    n = many(3, 40)
    client, refused = ProtocolClient(t.socket), 0
    for i in range(n):
        items = b""
        for j in range(500):
            number = 500 * i + j
            name = b"forever_%d_total" % number
            items += bytes([1]) + struct.pack("<IBBB", number, 1, 0, 0)
            items += struct.pack("<H", len(name)) + name + bytes(6)
            items += bytes([2]) + struct.pack("<IIB", number, number, 0)
        client.n += 1
        head = client.ticket + struct.pack("<QI", client.n, 1000)
        reply = client.exchange(MAGIC + b"\2\0\0" + head + items)
        refused += struct.unpack("<I", reply[16:20])[0]
    t.expect(lambda: t.serves() and refused > 0, "nothing was refused")
    client.socket.close()
    return f"{500 * n:,} metrics, {refused:,} items refused"


@attack("I71", "a process that connects for another, and is dead when it speaks")
def dead_owner(t):
    for _ in range(many(3, 100)):
        ours, theirs = socket.socketpair()

        def connect():
            peer = Peer(t.socket)
            peer.ask(hello(b"dead"))
            socket.send_fds(theirs, [b"x"], [peer.socket.fileno()])

        t.wait(t.fork(connect))
        _, files, _, _ = socket.recv_fds(ours, 1, 1)
        with socket.socket(fileno=files[0]) as inherited:
            inherited.settimeout(5)
            try:
                inherited.sendall(request(STATUS))
                readable(inherited, 1)
                inherited.sendall(request(hello(b"dead")))
            except OSError:
                pass
        ours.close()
        theirs.close()
    t.expect(t.serves, "a stranger is not answered")
    return f"{many(3, 100)} connections"


@attack("I72", "many sessions on one connection",
    config={"limits": {"workers": 200, "folded": 200}})
def many_sessions(t):
    peer, n = t.peer(), many(500, 20000)
    for _ in range(n):
        peer.ask(hello(b"many"))
    t.expect(t.serves, "a stranger is not answered")
    return f"{n:,} sessions, 200 allowed"


@attack("I73", "a peer that is stopped while it is answered")
def stopped(t):
    path = bytes_file(t, request(MAGIC + b"\6\0\0\0"))
    running = [t.flood("repeat", t.socket, REQ, 4, FLOOD_MS, 1, path) for _ in range(4)]
    time.sleep(FLOOD_MS / 3000)
    for flood in running:
        flood.send_signal(signal.SIGSTOP)
    t.expect(t.serves, "a stranger is not answered")
    t.must_idle()
    for flood in running:
        flood.send_signal(signal.SIGCONT)
        flood.communicate()
    return "4 processes, 16 peers"
