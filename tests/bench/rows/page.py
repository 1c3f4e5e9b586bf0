# SPDX-License-Identifier: Apache-2.0
"""A large page, read over HTTP by another process."""
import socket
import statistics
import time

import pages
from bench import NotHere, QUICK, Row, peer, program

STALLED = 8
WINDOW = 4096  # bytes that a client takes which does not read


def total(daemon, *headers):
    """The median of three in a row: what ran before has the processor's caches no more."""
    return lambda: statistics.median(pages.read(daemon(), "total", *headers)
        for _ in range(3))


def first_byte():
    return pages.read(pages.filled(), "first")


def peer_1m(name, language="go"):
    def measure():
        if QUICK:
            raise NotHere("not of so few series")
        return peer(language, name)()
    return measure


def stall(port, *headers):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    client.connect(("127.0.0.1", port))
    client.sendall("\r\n".join(["GET /metrics HTTP/1.1", "Host: bench", *headers, "", ""])
        .encode())
    return client


def settled(figure, still_s=0.5):
    """A figure that has not changed for a while."""
    last, since = figure(), time.monotonic()
    while time.monotonic() - since < still_s:
        time.sleep(0.02)
        now = figure()
        if now != last:
            last, since = now, time.monotonic()
    return last


def stalled_mb(*headers):
    """What a daemon needs for a scrape whose client does not read on."""
    with pages.fresh() as daemon:
        before = settled(lambda: pages.resident_bytes(daemon))
        clients = [stall(daemon.port, *headers) for _ in range(STALLED)]
        for client in clients:
            client.recv(1)
        during = settled(lambda: pages.resident_bytes(daemon))
        for client in clients:
            client.close()
    return (during - before) / STALLED / 1e6


def running_mb(*headers):
    """And, at most, for one whose client does; it is the first."""
    with pages.fresh() as daemon:
        before = settled(lambda: pages.resident_bytes(daemon))
        pages.forget_peak(daemon)
        pages.read(daemon, "total", *headers)
        return (pages.resident_bytes(daemon, "VmHWM") - before) / 1e6


many = "20,000" if QUICK else "1,000,000"

ROWS = [
    Row(name="page_plain", text=f"/metrics of {many} series, plain; floor: prepared", unit="s",
        floor=total(pages.prepared), own=total(pages.filled), most=1.5,
        peers={"client_golang": peer_1m("scrape_1m"),
            "rust-prometheus, into memory": peer_1m("scrape_1m", "rust"),
            "prometheus-cpp, into memory": peer_1m("scrape_1m", "cpp")},
        against={"client_golang": 40}),
    Row(name="page_first_byte", text=f"its first byte ({many} series)", unit="s",
        own=first_byte, peers={"client_golang": peer_1m("scrape_first_byte_1m")},
        against={"client_golang": 500}),
    Row(name="page_mixed", text="the same, its families made side by side", unit="s",
        floor=total(pages.prepared), own=total(lambda: pages.filled("mixed")), printed=True),
    Row(name="page_stalled_memory", text="a scrape whose client does not read", unit="MB",
        own=stalled_mb, own_most=1, rounds=3),
    Row(name="page_running_memory", text="a scrape whose client does", unit="MB",
        own=running_mb, own_most=1, rounds=3),
    Row(name="render_counter", text="a counter with 5 labels, not sent", unit="ns",
        floor=program("daemon_render", pages.SERIES, "copy"),
        own=program("daemon_render", pages.SERIES, "family"), printed=True),
    Row(name="render_mixed", text="the same, families made side by side", unit="ns",
        own=program("daemon_render", pages.SERIES, "mixed"), printed=True),
    Row(name="render_gauge", text="a gauge of one worker", unit="ns",
        own=program("daemon_render", pages.SERIES, "gauge"), printed=True),
    Row(name="render_histogram", text="a histogram of 10 buckets: 13 lines", unit="ns",
        own=program("daemon_render", pages.SERIES // 10, "histogram"), printed=True),
]
