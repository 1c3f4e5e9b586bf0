# SPDX-License-Identifier: Apache-2.0
"""List H: the HTTP port, first part: who holds connections, pages and the loop."""
import re
import select
import socket
import struct
import time

from frame import attack
from harness import wait_for
from target import many

GET = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
PACKED = b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
LIVE = b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n"
AT_ONCE_S = 1  # any honest question is answered by then
PAGE_SERIES = many(5000, 100_000)
A_MESSAGE = 500  # series
MIB = 1 << 20
HELD_MIB = 96  # http.buffered_bytes, of which the allocator may keep what was used
LARGE = {"limits": {"series_per_worker": 500_000}, "ingest": {"dedupe_keys": 1000}}


def asked(t, path="/live"):
    """An honest question is answered at once."""
    began = time.monotonic()
    answer = t.get(path)
    took_s = time.monotonic() - began
    assert answer.status == 200, f"{path} was answered {answer.status}"
    assert took_s < AT_ONCE_S, f"{path} took {took_s:.2f} s"


def hard_reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def small_window(t, data):
    """A connection that takes little: its client reads nothing more."""
    connection = t.keep(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", t.port))
    connection.sendall(data)
    return connection


SLOW = 'dynamo_metricsd_connections_closed_total{cause="slow",socket="http"}'


def filled(t):
    """A page of many series. They are still there for the next attack."""
    if t.value("dynamo_filled") == PAGE_SERIES:
        return
    peer = t.peer()
    for first in range(0, PAGE_SERIES, A_MESSAGE):
        peer.json({"metrics": [{"name": "wide_total", "type": "counter", "inc": 1,
            "labels": {"i": str(i)}} for i in range(first, first + A_MESSAGE)]})
    peer.json({"metrics": [{"name": "filled", "type": "gauge", "set": PAGE_SERIES}]})


def drain(connections, most_s):
    """Read pages to their ends: how many came whole."""
    heads, tails = dict.fromkeys(connections, b""), dict.fromkeys(connections, b"")
    had, whole, open_ = dict.fromkeys(connections, 0), 0, set(connections)
    end = time.monotonic() + most_s
    while open_ and time.monotonic() < end:
        for c in select.select(list(open_), [], [], 0.5)[0]:
            try:
                more = c.recv(MIB)
            except OSError:
                more = b""
            if more:
                heads[c] = (heads[c] + more[:1000])[:1000]
                tails[c] = (tails[c] + more[-7:])[-7:]
                had[c] += len(more)
                continue
            open_.discard(c)
            head, _, _ = heads[c].partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            whole += (tails[c] == b"\r\n0\r\n\r\n" if length is None
                else had[c] == len(head) + 4 + int(length.group(1)))
    return whole


def cut(connection, within_s=3):
    """Whether the daemon closes, whatever it says before."""
    connection.settimeout(within_s)
    try:
        while connection.recv(MIB):
            pass
    except socket.timeout:
        return False
    except OSError:
        pass
    return True


# ---- Connections


@attack("H01", "thousands of idle connections", files=12_000)
def idle(t):
    t.more_files()
    n = many(300, 5000)
    for _ in range(n):
        t.http()
    asked(t)
    t.must_idle()
    asked(t, "/metrics?name[]=none")
    return f"{n:,} connections"


@attack("H02", "thousands of connections that asked once and stay")
def stay(t):
    t.more_files()
    n = many(300, 5000)
    for _ in range(n):
        connection = t.http(LIVE)
        connection.recv(4096)
    asked(t)
    t.must_idle()
    return f"{n:,} connections"


@attack("H03", "half a request on every connection")
def half(t):
    t.more_files()
    n = many(300, 2000)
    for i in range(n):
        t.http(LIVE[:i % (len(LIVE) - 1)])
    asked(t)
    t.must_idle()
    return f"{n:,} connections"


@attack("H04", "one byte at a time, on more connections than there are",
    config={"http": {"connections": 64, "request_ms": 2000}})
def slow_heads(t):
    n, sent = many(80, 300), 0
    held = [t.http() for _ in range(n)]
    end = time.monotonic() + many(1, 100) * 0.1
    while time.monotonic() < end:
        for connection in held:
            try:
                connection.send(LIVE[sent % 20:][:1])
                sent += 1
            except OSError:
                pass  # it had to make room
        asked(t)
        time.sleep(0.05)
    return f"{n} connections, {sent:,} bytes"


@attack("H05", "a body of which one byte comes at a time",
    config={"http": {"connections": 64, "request_ms": 2000}})
def slow_bodies(t):
    head = b"POST /live HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\n\r\n"
    held = [t.http(head) for _ in range(many(40, 100))]
    began, open_ = time.monotonic(), set(held)
    while open_ and time.monotonic() < began + 5:
        for connection in list(open_):
            try:
                connection.send(b"x")
            except OSError:
                open_.discard(connection)
        asked(t)
        time.sleep(0.05)
    assert not open_, f"{len(open_)} bodies may still come after 5 s; 2 s are allowed"
    return f"{len(held)} connections, closed after {time.monotonic() - began:.1f} s"


@attack("H06", "connect and leave, thousands of times")
def leave(t):
    n = many(500, 5000)
    for i in range(n):
        connection = socket.create_connection(("127.0.0.1", t.port), 10)
        if i % 2:
            hard_reset(connection)
        connection.close()
    asked(t)
    return f"{n:,} connections"


@attack("H07", "thousands that connect at once and leave at once")
def at_once(t):
    t.more_files()
    rounds, n = many(1, 5), many(300, 1000)
    for _ in range(rounds):
        held = []
        for _ in range(n):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", t.port))
            held.append(connection)
        for connection in held:
            connection.close()
        asked(t)
    return f"{rounds} x {n:,} connections"


@attack("H08", "requests that are left before the answer, by FIN and by RST")
def left(t):
    n = many(200, 3000)
    for i in range(n):
        connection = socket.create_connection(("127.0.0.1", t.port), 10)
        connection.sendall((LIVE, GET, PACKED, LIVE * 5)[i % 4])
        if i % 3:
            hard_reset(connection)
        connection.close()
    asked(t)
    return f"{n:,} requests"


@attack("H09", "half-closed connections that are answered all the same")
def half_closed(t):
    n = many(50, 1000)
    for i in range(n):
        connection = socket.create_connection(("127.0.0.1", t.port), 10)
        connection.sendall((LIVE, GET)[i % 2])
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while more := connection.recv(MIB):
            answer += more
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:60]
        connection.close()
    return f"{n:,} connections"


@attack("H10", "descriptors are out: no busy loop, no flood of the log", files=128)
def descriptors(t):
    t.more_files()
    n = many(200, 600)
    for _ in range(n):
        t.http()
    t.must_idle()
    asked(t)
    return f"{n:,} connections to a daemon with 128 descriptors"


# ---- Requests without end


@attack("H11", "ten thousand requests in one go on one connection")
def pipelined(t):
    n = many(500, 10_000)
    connection = t.http()
    connection.setblocking(False)
    rest, answers, tail = LIVE * n, 0, b""
    end = time.monotonic() + 60
    while answers < n and time.monotonic() < end:
        readable, writable, _ = select.select([connection], [connection] if rest else [], [], 5)
        if writable:
            rest = rest[connection.send(rest[:MIB]):]
        if readable:
            tail += connection.recv(MIB)
            answers += tail.count(b"HTTP/1.1 200 OK")
            tail = tail[-14:] if not tail.endswith(b"HTTP/1.1 200 OK") else b""
    assert answers == n, f"{answers} of {n} were answered"
    return f"{n:,} requests"


@attack("H12", "pipelined requests of which no answer is read")
def unread(t):
    held, sent = [], 0
    for _ in range(many(5, 100)):
        connection = small_window(t, b"")
        connection.setblocking(False)
        try:
            while True:
                sent += connection.send(LIVE * 1000)
        except BlockingIOError:
            held.append(connection)
    asked(t)
    t.must_idle()
    return f"{len(held)} connections, {sent / MIB:.0f} MiB"


@attack("H13", "a head that never ends: one line, many lines, one byte at a time")
def endless_heads(t):
    sent = 0
    for line in (b"X" * 65536, b"X: y\r\n" * 10_000, b"GET /" + b"a" * 65536):
        connection = t.http(b"GET /live HTTP/1.1\r\n" if line[:1] == b"X" else b"")
        try:
            for _ in range(many(4, 400)):
                connection.sendall(line)
                sent += len(line)
        except OSError:
            continue
        assert cut(connection), f"more of {line[:9]!r}... may come"
    asked(t)
    return f"3 heads, {sent >> 10:,} KiB until they were cut"


@attack("H14", "huge URLs and queries")
def urls(t):
    tried = 0
    for n in (1000, 7000, 8192, 9000, 100_000):
        for url in ("/" + "a" * n, "/metrics?" + "a" * n, "/metrics?" + "&" * n,
                "/metrics?" + "name[]=&" * (n // 8), "/" + "%41" * (n // 3), "//" * (n // 2)):
            answer = t.answer(f"GET {url} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
            assert answer[9:12] in (b"200", b"400", b"404", b""), answer[:60]
            assert n < 8192 or answer[9:12] in (b"400", b""), answer[:60]
            tried += 1
    asked(t)
    return f"{tried} URLs"


@attack("H15", "floods of headers")
def headers(t):
    tried = 0
    for n in (10, 100, 700, 10_000):
        for line in (b"A: b\r\n", b"Accept-Encoding: gzip\r\n", b"Host: a\r\n", b":\r\n", b" \r\n"):
            answer = t.answer(b"GET /live HTTP/1.1\r\n" + line * n + b"Connection: close\r\n\r\n")
            assert answer[9:12] in (b"200", b"400", b""), answer[:60]
            tried += 1
    asked(t)
    return f"{tried} heads"


@attack("H16", "bodies: too long, without end, in absurd chunks")
def bodies(t):
    post = b"POST /metrics HTTP/1.1\r\nHost: a\r\n"
    shapes = [b"Content-Length: %d\r\n\r\n" % n + b"x" * 10_000
        for n in (4097, 1 << 20, 1 << 31, 1 << 32, 1 << 62, (1 << 64) - 1, 1 << 64)]
    shapes += [b"Transfer-Encoding: chunked\r\n\r\n" + chunk for chunk in (
        b"ffffffffffffffff\r\nx", b"7fffffffffffffff\r\nx", b"-1\r\nx", b"0x10\r\nx", b"+5\r\nx",
        b"5;" + b"a" * 100_000, b"5 \r\nhello\r\n", b"\r\n\r\n", b"g\r\n", b"1\r\nab\r\n",
        b"1\r\na\r\n" * 5000, b"0\r\n" + b"T: x\r\n" * 2000, b"0" * 100_000)]
    for shape in shapes:
        answer = t.answer(post + shape, timeout_s=0.3)
        assert answer.count(b"HTTP/1.1 ") <= 1 and answer[9:10] in (b"4", b""), answer[:80]
    asked(t)
    return f"{len(shapes)} bodies"


# ---- Pages


@attack("H17", "scrapers that stall, beside one that wants its page at once", config=LARGE,
    memory_mib=HELD_MIB)
def stalled(t):
    filled(t)
    n = many(30, 200)
    for i in range(n):
        small_window(t, (GET, PACKED)[i % 2])
    asked(t)
    began = time.monotonic()
    page = t.get().text
    took_s = time.monotonic() - began
    assert f"dynamo_filled {PAGE_SERIES}" in page and took_s < AT_ONCE_S, f"{took_s:.2f} s"
    t.must_idle()
    return f"{n} that read nothing of {PAGE_SERIES:,} series; a page in {took_s:.2f} s"


@attack("H18", "more stalled scrapers than connections", config=LARGE,
    memory_mib=HELD_MIB)
def stalled_all(t):
    filled(t)
    n = many(270, 600)
    t.more_files()
    for i in range(n):
        small_window(t, (GET, PACKED)[i % 2])
    wait_for("an honest page at once", lambda: t.get("/metrics?name[]=none").status == 200, 2)
    asked(t)
    t.must_idle()
    return f"{n} that read nothing"


@attack("H19", "stalled scrapers that together want more memory than pages may have",
    config={**LARGE, "http": {"buffered_bytes": 8 * MIB}}, memory_mib=32)
def buffered(t):
    filled(t)
    n = many(40, 200)
    before = t.memory_mib()
    for i in range(n):
        small_window(t, (GET, PACKED)[i % 2])
    asked(t, "/metrics?name[]=none")
    time.sleep(many(0, 1))
    held = t.value('dynamo_metricsd_buffered_bytes{socket="http"}')
    assert held < 10 * MIB, f"pages hold {held:,.0f} bytes"
    grown = t.memory_mib() - before
    assert grown < 64, f"{grown:.0f} MiB for {n} pages"
    return f"{n} that read nothing: they hold {held / MIB:.1f} MiB"


@attack("H20", "a page that is read one byte at a time", config={**LARGE, "http": {
    "request_ms": 1000}})
def slow_readers(t):
    filled(t)
    held = [small_window(t, GET) for _ in range(many(5, 50))]
    began, open_, had = time.monotonic(), set(held), 0
    large = PAGE_SERIES >= 50_000  # a small page fits into the sockets
    while open_ and time.monotonic() < began + (20 if large else 1):
        for connection in select.select(list(open_), [], [], 0)[0]:
            try:
                had += len(connection.recv(1)) or open_.discard(connection) or 0
            except OSError:
                open_.discard(connection)
        if (t.value(SLOW) or 0) >= len(held):
            break
        time.sleep(0.02)
    cut = t.value(SLOW) or 0
    assert cut >= len(held) or not large, f"{cut:.0f} of {len(held)} were cut"
    return f"{len(held)} scrapers, {had} bytes, {cut:.0f} cut"


@attack("H21", "pages that are cut off in the middle, by RST", config=LARGE,
    memory_mib=HELD_MIB)
def reset(t):
    filled(t)
    n = many(30, 500)
    for i in range(n):
        connection = small_window(t, (GET, PACKED)[i % 2])
        connection.recv(1 + i * 97 % 4000)
        hard_reset(connection)
    asked(t)
    return f"{n} pages"


@attack("H22", "a hundred scrapes at once of a large page", config=LARGE, memory_mib=HELD_MIB)
def hundred(t):
    filled(t)
    n, whole, began = many(20, 100), 0, time.monotonic()
    rounds = many(1, 3)
    for i in range(rounds):
        ask = (PACKED, GET)[i % 2].replace(b"a\r\n", b"a\r\nConnection: close\r\n")
        had = drain([t.http(ask) for _ in range(n)], 60)
        assert had == n, f"{n - had} of {n} pages did not come whole"
        whole += had
    return (f"{whole} of {PAGE_SERIES:,} series, {(time.monotonic() - began) / rounds:.2f} s for "
        f"each {n}")


@attack("H23", "filters that leave out all of a large page", config=LARGE,
    memory_mib=HELD_MIB)
def filters(t):
    filled(t)
    n = many(10, 100)
    names = "&".join(f"name[]=n{i}" for i in range(600))
    for query in ("namespace=none", "name[]=none", names, "namespace=bystander&name[]=x",
            "namespace=" + "n" * 5000):
        connections = [t.http(f"GET /metrics?{query} HTTP/1.0\r\n\r\n".encode())
            for _ in range(n)]
        for connection in connections:
            answer = b""
            while more := connection.recv(MIB):
                answer += more
            assert answer.startswith(b"HTTP/1.1 200 ") or answer.startswith(b"HTTP/1.0 200 "), \
                answer[:60]
            connection.close()
    return f"5 filters, {n} times each at once"
