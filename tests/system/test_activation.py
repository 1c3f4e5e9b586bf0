# SPDX-License-Identifier: Apache-2.0
"""A daemon whose sockets are made, kept and passed by another process, as systemd does it, and
that tells this one how it is. Without systemd: tests/service has it with."""
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import unittest

from harness import DAEMON, DEADLINE_S, SANITIZED, Daemon, Response, SystemTest, wait_for

RESTARTS = 3 if SANITIZED else 8
WORKERS = 3

# The sockets come as 3 and up, and LISTEN_PID is the daemon's, which is known only in itself.
PASS = """
import fcntl, os, sys
n = int(sys.argv[1])
away = [fcntl.fcntl(int(fd), fcntl.F_DUPFD_CLOEXEC, 100) for fd in sys.argv[2:2 + n]]
for place, fd in enumerate(away, 3):
    os.dup2(fd, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(n))
os.execv(sys.argv[2 + n], sys.argv[2 + n:])
"""


class Activated(Daemon):
    """One with both sockets passed, and somebody to tell."""

    def __init__(self, **more):
        super().__init__(**more)
        self.listeners = [socket.socket(socket.AF_UNIX), socket.socket()]
        self.listeners[0].bind(self.socket)
        self.listeners[1].bind(("127.0.0.1", 0))
        for listener in self.listeners:
            listener.listen(1000)
        self.http = self.listeners[1].getsockname()
        self.hears = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.hears.bind(os.path.join(self.folder, "notify"))
        self.hears.settimeout(DEADLINE_S)
        self.environment.update(LISTEN_FDNAMES="ingest:http",
            NOTIFY_SOCKET=self.hears.getsockname(), DYN_SYSTEM_PORT=str(self.http[1]))
        fds = [str(listener.fileno()) for listener in self.listeners]
        self.before = [sys.executable, "-c", PASS, str(len(fds)), *fds]

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = self.popen(log)
        return self

    def popen(self, log):
        return subprocess.Popen([*self.before, DAEMON, *self.arguments],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=self.folder, pass_fds=[listener.fileno() for listener in self.listeners])

    def hear(self):
        return self.hears.recv(4096).decode()

    def hear_until(self, wanted):
        while True:
            text = self.hear()
            if re.search(wanted, text):
                return text

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        if self.wait_ended() != 0:
            raise AssertionError(self.log())

    def clean_up(self):
        for each in (*self.listeners, self.hears):
            each.close()
        super().clean_up()


class Beside(threading.Thread):
    """Something that is done again and again beside the test, until it is stopped."""

    def __init__(self, once):
        super().__init__(daemon=True)
        self.once, self.times, self.error, self.stopped = once, 0, None, False
        self.start()

    def run(self):
        try:
            while not self.stopped:
                self.once()
                self.times += 1
        except Exception as error:  # told by stop()
            self.error = error

    def stop(self):
        self.stopped = True
        self.join(3 * DEADLINE_S)
        if self.error or self.is_alive():
            raise AssertionError(f"after {self.times} times: {self.error or 'it hangs'}")
        return self.times


class Scraper:
    """Reads a total from the page, which is to be whole, and never goes down."""

    def __init__(self, daemon, keep):
        self.daemon, self.keep, self.last = daemon, keep, 0
        self.connection = None

    def __call__(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(*self.daemon.http, timeout=DEADLINE_S)
        try:
            answer = self.ask()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # A connection that was idle when the daemon ended: all clients ask again, anew.
            if not self.keep or self.connection.fresh:
                raise
            self.connection.close()
            self.connection = None
            return
        if answer.status != 200 or not answer.text.endswith("\n"):
            raise AssertionError(f"{answer.status}: {answer.text[-100:]!r}")
        found = re.search(r"^dynamo_jobs_total (\d+)$", answer.text, re.M)
        total = int(found.group(1)) if found else 0
        if total < self.last:
            raise AssertionError(f"{self.last}, then {total}")
        self.last = total
        if not self.keep:
            self.connection.close()
            self.connection = None

    def ask(self):
        self.connection.fresh = self.connection.sock is None
        self.connection.request("GET", "/metrics")
        return Response(self.connection.getresponse())


class Restarting(SystemTest):
    def activated(self, **more):
        daemon = Activated(**more)
        self.addCleanup(daemon.clean_up)
        return daemon.start()

    def jobs(self, daemon):
        worker = self.worker(daemon)
        return worker, worker.metric("counter", (), "jobs_total")

    def test_under_load_no_scrape_fails_and_nothing_is_lost(self):
        daemon = self.activated()
        daemon.hear_until("READY=1")
        workers = [self.jobs(daemon) for _ in range(WORKERS)]
        loads = [Beside(lambda w=w, n=n: w.call("add", n, 1)) for w, n in workers]
        scrapers = [Beside(Scraper(daemon, keep)) for keep in (True, False, False)]
        newcomers = 0
        for _ in range(RESTARTS):
            enough = [each.times + 20 for each in scrapers]
            wait_for("scrapes", lambda: all(each.error or each.times >= n
                for each, n in zip(scrapers, enough)))
            daemon.end()
            # Who comes while nobody is there waits.
            worker, number = self.jobs(daemon)
            worker.call("add", number, 1)
            newcomers += 1
            daemon.start()
            worker.flush()
            worker.close()
        for each in scrapers:
            each.stop()
        total = newcomers + sum(load.stop() for load in loads)
        for worker, _ in workers:
            worker.flush()
        daemon.port = daemon.http[1]
        self.assertEqual(daemon.value("dynamo_jobs_total"), total)
        daemon.end()
        self.assertNotIn("error:", daemon.log())

    def test_hellos_that_nobody_took_in_time_count_nothing_twice(self):
        daemon = self.activated(config={"ingest": {"lease_ms": 300, "grace_ms": 100}})
        daemon.hear_until("READY=1")
        worker, number = self.jobs(daemon)
        worker.call("add", number, 5)
        worker.flush()
        daemon.end()
        worker.call("add", number, 7)
        # It gives up after a lease, and comes again: several of it wait in the queue.
        wait_for("hellos", lambda: waiting(daemon.socket) >= 3)
        daemon.start()
        daemon.hear_until("READY=1")
        worker.flush()
        daemon.port = daemon.http[1]
        self.assertEqual(daemon.value("dynamo_jobs_total"), 12)
        self.assertEqual(daemon.value("dynamo_metricsd_workers"), 1)
        daemon.end()

    def test_a_scrape_that_comes_while_it_is_away_waits(self):
        daemon = self.activated()
        daemon.hear_until("READY=1")
        daemon.end()
        connection = http.client.HTTPConnection(*daemon.http, timeout=DEADLINE_S)
        connection.request("GET", "/metrics")
        daemon.start()
        self.assertEqual(Response(connection.getresponse()).status, 200)
        connection.close()
        daemon.end()

    def test_killed_it_leaves_those_that_wait_to_the_next(self):
        daemon = self.activated()
        daemon.hear_until("READY=1")
        worker, number = self.jobs(daemon)
        worker.call("add", number, 3)
        worker.flush()
        daemon.kill()
        worker.call("add", number, 4)
        daemon.start()
        worker.flush()
        daemon.port = daemon.http[1]
        self.assertEqual(daemon.value("dynamo_jobs_total"), 7)
        daemon.end()


def waiting(path):
    """How many connections wait at a Unix socket to be accepted: connected ends without an
    other one that somebody has."""
    with open("/proc/net/unix", encoding="ascii", errors="replace") as file:
        lines = [line.split() for line in file.read().splitlines()[1:]]
    return sum(1 for fields in lines if fields[-1] == path and fields[5] != "01")


class Told(SystemTest):
    def test_how_many_workers_and_series_there_are(self):
        daemon = Activated()
        self.addCleanup(daemon.clean_up)
        daemon.start()
        port = daemon.http[1]
        self.assertEqual(daemon.hear_until("READY=1"),
            f"READY=1\nSTATUS=HTTP port {port}, 0 workers, 0 series")
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", (), "jobs_total"), 1)
        worker.flush()
        daemon.hear_until(f"STATUS=HTTP port {port}, 1 workers, 1 series")
        worker.close()
        daemon.hear_until(f"STATUS=HTTP port {port}, 0 workers, 1 series")
        daemon.end()
        daemon.hear_until("STOPPING=1")

    def test_nothing_of_a_manager_is_said_when_there_is_none(self):
        daemon = self.daemon()
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", (), "jobs_total"), 1)
        worker.flush()
        daemon.stop()
        self.assertNotRegex(daemon.log(), "(?i)manager|systemd|watchdog|not used|passed")


class UnixHttp(SystemTest):
    def test_is_asked_with_curl(self):
        path = os.path.join(self.folder(), "http.sock")
        daemon = self.daemon(DYN_SYSTEM_HOST="unix:" + path)
        page = subprocess.run(["curl", "-fsS", "--unix-socket", path,
            "http://localhost/metrics"], check=True, stdout=subprocess.PIPE).stdout
        self.assertIn(b"\ndynamo_metricsd_workers 0\n", page)
        daemon.stop()
        self.assertFalse(os.path.lexists(path))


if __name__ == "__main__":
    unittest.main()
