# SPDX-License-Identifier: Apache-2.0
"""peer.py million_series_per_s: how many series a second Debian's pushgateway takes over HTTP, pushed by
one client in groups of 1,000, each its own URL. Ends with 3 when it has no such measurement."""
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time

GROUPS = 2 if os.environ.get("QUICK") else 20
SERIES = 1000
DEADLINE_S = 20
GATEWAY = "prometheus-pushgateway"


def connect(port):
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
            connection.request("GET", "/-/ready")
            connection.getresponse().read()
            return connection
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def body(group):
    lines = ["# TYPE bench_requests_total counter"]
    lines += [f'bench_requests_total{{model="llama-{i % 10}-instruct",worker_id="worker-{i:05}"}} '
        f"{i * 7919 % 100000 + group}" for i in range(SERIES)]
    return "\n".join(lines) + "\n"


def million_series_per_s(port):
    connection = connect(port)
    bodies = [body(group) for group in range(GROUPS)]
    began = time.monotonic()
    for group, text in enumerate(bodies):
        connection.request("PUT", f"/metrics/job/bench/group/{group}", text)
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 202):
            raise RuntimeError(f"the pushgateway answered {answer.status}")
    return GROUPS * SERIES / (time.monotonic() - began) / 1e6


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    if sys.argv[1:] != ["million_series_per_s"] or not shutil.which(GATEWAY):
        print("not offered" if shutil.which(GATEWAY) else "not installed", file=sys.stderr)
        return 3
    port = free_port()
    gateway = subprocess.Popen([GATEWAY, f"--web.listen-address=127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        print(repr(million_series_per_s(port)))
    finally:
        gateway.kill()
        gateway.wait()
    return 0


sys.exit(main())
