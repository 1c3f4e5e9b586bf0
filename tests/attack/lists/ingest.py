# SPDX-License-Identifier: Apache-2.0
"""List I, first part: bytes that the ingest socket is sent."""
import os
import random
import socket
import struct

from frame import attack
from target import PUSH, REQ, frame, header, many, readable, request

MAGIC = b"DYNM\1"
STATUS = MAGIC + b"\7\0\0"
MESSAGE_BYTES = 1 << 20  # ingest.message_bytes
LONG_FRAME = 1 << 18
DICE = 7  # what is random here is the same each time


def send_all(t, shapes, shaken=True, protocol=REQ):
    """Each on a connection of its own, which is left at once. How many there were."""
    n = 0
    for shape in shapes:
        peer = t.peer(protocol) if shaken else t.connect()
        try:
            peer.send(shape)
        except OSError:
            pass  # closed in the middle of it: well done
        peer.close()
        n += 1
    return n


def refused(t, shapes, shaken=True, protocol=REQ):
    """Each on a connection of its own, which the daemon closes. How many there were."""
    n = 0
    for shape in shapes:
        peer = t.peer(protocol) if shaken else t.connect()
        try:
            peer.send(shape)
        except OSError:
            pass
        t.expect(peer.closed, f"the connection stays open after {shape[:40]!r}")
        peer.close()
        n += 1
    return n


def hello(worker=b"", sid=None):
    return (MAGIC + b"\1\0\0" + (sid or os.urandom(16)) + bytes(17)
        + struct.pack("<H", len(worker)) + worker + struct.pack("<H", 4) + b"evil")


@attack("I01", "random bytes instead of a handshake")
def random_bytes(t):
    dice = random.Random(DICE)
    n = send_all(t, (dice.randbytes(1 + i * 37 % 5000) for i in range(many(60, 3000))), False)
    return f"{n:,} connections"


@attack("I02", "random bytes after a handshake")
def random_frames(t):
    dice = random.Random(DICE)
    n = send_all(t, (dice.randbytes(1 + i * 37 % 5000) for i in range(many(60, 3000))))
    return f"{n:,} connections"


@attack("I03", "HTTP, TLS, SSH and other greetings")
def greetings(t):
    words = (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3" * 9,
        b"SSH-2.0-OpenSSH_9.2\r\n", b'{"metrics":[]}' * 3, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 64, b"\xff" * 64, b"EHLO localhost\r\n", b"\0SP\0\0" * 3)
    return f"{refused(t, words * many(1, 20), False)} connections"


@attack("I04", "headers of other protocols and versions")
def headers(t):
    others = [n for n in (*range(0, 0x80), 0x100, 0x3000, 0x5000, 0xFFFF) if n not in (REQ, PUSH)]
    shapes = [header(n) for n in others[::many(6, 1)]]
    shapes += [b"\0SP\1\0\x30\0\0", b"\0SP\xff\0\x30\0\0", b"\1SP\0\0\x30\0\0", b"\0sp\0\0\x30\0\0",
        b"\0\0\0\0\0\0\0\0", b"PS\0\0\0\x30\0\0"]
    return f"{refused(t, shapes, False)} headers"


@attack("I05", "half a handshake, then gone")
def half_handshake(t):
    shapes = [header(REQ)[:n] for n in range(8)] * many(5, 200)
    return f"{send_all(t, shapes, False):,} connections"


@attack("I06", "a handshake byte by byte, a request byte by byte")
def byte_by_byte(t):
    for _ in range(many(2, 20)):
        peer = t.connect()
        for byte in header(REQ) + request(STATUS):
            peer.send(bytes([byte]))
        peer.read(8)
        t.expect(lambda: len(peer.read_frame()) > 4, "it was not answered")
        peer.close()
    return f"{many(2, 20)} requests"


@attack("I07", "a wrong type byte: 17 bytes")
def wrong_type(t):
    kinds = [0, *range(2, 256)]
    shapes = [bytes([kind]) + bytes(8) for kind in kinds[::many(8, 1)]]
    n = refused(t, shapes) + refused(t, shapes, True, PUSH)
    return f"{n} connections, REQ and PUSH"


@attack("I08", "lengths up to 2^64-1")
def lengths(t):
    most = MESSAGE_BYTES + 32
    shapes = [frame(b"\x80\0\0\1abc", length) for length in (most + 1, 2**31 - 1, 2**31, 2**32 - 1,
        2**32, 2**32 + 5, 2**40, 2**60, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 9, 2**64 - 1)]
    n = refused(t, shapes * many(1, 20)) + refused(t, shapes, True, PUSH)
    return f"{n} connections, 13 lengths"


@attack("I09", "a frame cut at each byte, then gone")
def truncated(t):
    whole = request(STATUS)
    n = send_all(t, [whole[:i] for i in range(len(whole))] * many(2, 100))
    return f"{n:,} connections"


@attack("I10", "frames that say they are longer or shorter than they are")
def overlong(t):
    dice, whole, n = random.Random(DICE), STATUS * 8, 0
    for _ in range(many(20, 500)):
        said = dice.randrange(0, 3 * len(whole))
        n += send_all(t, [b"".join(frame(b"\x80\0\0\1" + whole, said) for _ in range(9))])
    return f"{n:,} connections"


@attack("I11", "frames of no bytes at all")
def zero_length(t):
    n = many(20000, 1000000)
    for protocol in (REQ, PUSH):
        peer = t.peer(protocol)
        for _ in range(n // 1000):
            peer.send(frame(b"") * 1000)
        t.expect(t.serves, "a stranger is not answered")
        peer.close()
    return f"{2 * n:,} frames"


@attack("I12", "requests shorter than an id, and of an id alone")
def short_requests(t):
    n = many(5000, 200000)
    for payload in (b"\x80", b"\x80\0\0", b"\0\0\0\1", b"\x80\0\0\1"):
        peer = t.peer()
        for _ in range(n // 1000):
            try:
                peer.send(frame(payload) * 1000)
            except OSError:
                break
            while readable(peer.socket, 0):
                peer.socket.recv(1 << 20)
        peer.close()
    return f"{4 * n:,} frames"


@attack("I13", "backtraces without an end, and too deep")
def backtraces(t):
    words, n = struct.pack(">I", 5), 0
    for depth in (0, 1, 7, 8, 9, 64, 1000, 262144 - 2):
        for end in (b"", b"\x80\0\0\1"):
            peer = t.peer()
            peer.send(frame(words * depth + end + STATUS))
            if depth < 8 and end:
                t.expect(lambda: peer.read_frame(), "no answer through devices")
            elif depth > 1 and depth < 10:
                # Dropped without an answer; the connection goes on.
                t.expect(lambda: peer.ask(STATUS), "no answer after a bad backtrace")
            peer.close()
            n += 1
    return f"{n} depths, up to 262,142 words"


@attack("I14", "wrong request ids: the same again, 0, descending, with the top bit clear")
def request_ids(t):
    ids = [7] * 40 + [0] * 40 + list(range(0x7FFFFFFF, 0x7FFFFFD7, -1))
    peer = t.peer()
    for number in ids * many(1, 25):
        peer.send(request(STATUS, number))
        reply = peer.read_frame()
        t.expect(lambda: reply[:4] == struct.pack(">I", 0x80000000 | number), "another's answer")
    peer.send(frame(b"\x7f\xff\xff\xff" + STATUS))  # dropped, or a device's word
    t.expect(lambda: peer.ask(STATUS), "no answer after it")
    return f"{len(ids) * many(1, 25):,} requests"


@attack("I15", "messages of every version, type and flag")
def heads(t):
    peer, n = t.peer(), 0
    shapes = [b"DYNM" + bytes([v, 7, 0, 0]) for v in range(256)]
    shapes += [MAGIC + bytes([k, 0, 0]) for k in range(256) if k != 8]
    shapes += [MAGIC + struct.pack("<BH", 7, 1 << i) for i in range(16)]
    shapes += [b"DYN", b"MNYD\1\7\0\0", b"\xff" * 40, b" ", b"\n", b"\0"]
    for shape in shapes[::many(4, 1)]:
        peer.ask(shape)
        n += 1
    t.expect(t.serves, "a stranger is not answered")
    return f"{n} messages"


@attack("I16", "a conversation with each byte flipped")
def flipped(t):
    talk = request(hello(b"flipped")) + request(STATUS, 2) + request(b'{"metrics":[]}', 3)
    dice = random.Random(DICE)
    places = range(0, len(talk), many(3, 1))
    shapes = []
    for i in places:
        for _ in range(many(1, 8)):
            mask = dice.randrange(1, 256)
            shapes.append(talk[:i] + bytes([talk[i] ^ mask]) + talk[i + 1:])
    return f"{send_all(t, shapes):,} conversations"


@attack("I17", "messages cut and stretched inside of whole frames")
def cut_messages(t):
    metric = bytes([1]) + struct.pack("<IBB", 0, 1, 0) + b"\1\3\0cut" + b"\3\0cut" + bytes(6)
    define = MAGIC + b"\2\0\0" + bytes(16) + struct.pack("<QI", 1, 1) + metric
    peer, n = t.peer(), 0
    for whole in (hello(b"cut"), define, MAGIC + b"\3\0\0" + bytes(40), MAGIC + b"\6\0\0\1\1\0a"):
        for i in range(8, len(whole), many(3, 1)):
            peer.ask(whole[:i])
            n += 1
        for more in (1, 7, 4096):
            peer.ask(whole + bytes(more))
            n += 1
    t.expect(t.serves, "a stranger is not answered")
    return f"{n} messages"


@attack("I18", "random messages in whole frames")
def fuzz(t):
    dice, n = random.Random(DICE), many(400, 30000)
    peer = t.peer()
    for i in range(n):
        body = dice.randbytes(dice.choice((0, 3, 16, 40, 200, 3000)))
        peer.ask(MAGIC + bytes([dice.randrange(1, 11), 0, 0]) + body)
    t.expect(t.serves, "a stranger is not answered")
    return f"{n:,} messages"


@attack("I19", "counts of 2^32-1 in short messages")
def counts(t):
    peer, n = t.peer(), 0
    for kind in (2, 3, 4):
        for count in (1, 2, 1000, 2**31, 2**32 - 1):
            peer.ask(MAGIC + bytes([kind, 0, 0]) + bytes(16) + struct.pack("<QI", 1, count))
            peer.ask(MAGIC + bytes([kind, 0, 0]) + bytes(16) + struct.pack("<QI", 1, count)
                + b"\1" * 500)
            n += 2
    for length in (1, 2**16, 2**31, 2**32 - 1):
        peer.ask(MAGIC + b"\x09\0\0" + struct.pack("<I", length) + b"{}")
        n += 1
    return f"{n} messages"


@attack("I20", "all of it by PUSH, where nobody is answered")
def by_push(t):
    dice, peer, n = random.Random(DICE), t.peer(PUSH), many(400, 30000)
    shapes = [STATUS, MAGIC + b"\6\0\0\0", hello(), b"", b"\x80\0\0\1" + STATUS, b"{", b'{"a":1}',
        MAGIC + b"\x09\0\0\2\0\0\0{}"]
    for i in range(n):
        peer.send(frame(shapes[i % len(shapes)] + dice.randbytes(i % 3)))
    t.expect(t.serves, "a stranger is not answered")
    t.expect(lambda: not readable(peer.socket, 0), "a PUSH was answered")
    return f"{n:,} messages"


@attack("I21", "a message of the longest size, and one byte more")
def longest(t):
    peer = t.peer()
    text = b'{"metrics":[]' + b" " * (MESSAGE_BYTES - 14) + b"}"
    for _ in range(many(2, 50)):
        reply = peer.ask(text)
        t.expect(lambda: b"error" in reply, f"{reply[:80]!r}")  # longer than JSON may be
    peer.ask(STATUS + bytes(MESSAGE_BYTES - len(STATUS)))
    refused(t, [request(bytes(MESSAGE_BYTES + 32))])
    return f"{many(2, 50) + 2} messages of 1 MiB"


@attack("I22", "a message of 1 MiB, a few bytes at a time")
def in_crumbs(t):
    peer, step = t.peer(), many(64, 16)
    data = request(b"{" + bytes(many(LONG_FRAME, MESSAGE_BYTES) - 5))
    for i in range(0, len(data), step):
        peer.send(data[i:i + step])
    peer.read_frame()
    return f"{len(data) // step:,} pieces"


# ---- What else a Unix socket carries


def with_files(peer, data, n):
    """Send data, and n descriptors with it."""
    files = [peer.socket.fileno()] * n
    socket.send_fds(peer.socket, [data], files)


@attack("I23", "descriptors passed with SCM_RIGHTS, 60 a message")
def rights(t):
    for _ in range(many(10, 200)):
        peer = t.peer()
        for _ in range(10):
            with_files(peer, request(STATUS), 60)
        t.expect(lambda: peer.read_frame(), "no answer")
        peer.close()
    return f"{600 * many(10, 200):,} descriptors"


@attack("I24", "253 descriptors with each byte of a handshake")
def rights_early(t):
    for _ in range(many(5, 100)):
        peer = t.connect()
        for byte in header(REQ):
            with_files(peer, bytes([byte]), 253)
        peer.read(8)
        peer.close()
    return f"{8 * 253 * many(5, 100):,} descriptors"


@attack("I25", "sockets in sockets: a connection passed to the daemon over itself")
def rights_cycle(t):
    for _ in range(many(20, 1000)):
        peer, other = t.peer(), t.peer()
        socket.send_fds(peer.socket, [b"\1"], [peer.socket.fileno(), other.socket.fileno()])
        socket.send_fds(other.socket, [b"\1"], [peer.socket.fileno(), other.socket.fileno()])
        peer.close()
        other.close()
    return f"{2 * many(20, 1000):,} connections"


@attack("I26", "credentials, urgent bytes, empty writes")
def odd_sends(t):
    for _ in range(many(5, 100)):
        peer = t.peer()
        credentials = struct.pack("iii", os.getpid(), os.getuid(), os.getgid())
        peer.socket.sendmsg([request(STATUS)],
            [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials)])
        peer.read_frame()
        peer.socket.send(b"")
        try:
            peer.socket.send(b"\1", socket.MSG_OOB)
        except OSError:
            pass  # a kernel without them
        peer.close()
    return f"{many(5, 100)} connections"


@attack("I27", "the wrong kind of socket")
def wrong_sockets(t):
    refusals = 0
    for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as other:
            try:
                other.connect(t.socket)
            except OSError:
                refusals += 1
    t.expect(lambda: refusals == 2, "it was taken")
    return "datagrams, packets"


@attack("I28", "frames written by several processes into one connection")
def interleaved(t):
    for _ in range(many(2, 20)):
        peer = t.peer()
        data = request(STATUS) * 200

        def write():
            for i in range(0, len(data), 7):
                peer.socket.send(data[i:i + 7], socket.MSG_DONTWAIT)

        for pid in [t.fork(write) for _ in range(3)]:
            t.wait(pid)
        peer.close()
    t.expect(t.serves, "a stranger is not answered")
    return f"{3 * many(2, 20)} writers, 7 bytes at a time"


