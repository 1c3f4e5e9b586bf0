# SPDX-License-Identifier: Apache-2.0
"""Clocks that jump, stand still and differ: nobody expires by them, and nothing is counted
otherwise."""
import json
import mmap
import os
import signal
import struct
import subprocess
import time
import unittest

from harness import SANITIZED, WORKER, SystemTest, Worker, wait_for
from ctl_tool import ctl

YEARS = 365 * 24 * 3600 * 10**9
FOLDED = "dynamo_metricsd_sessions_folded_total"
LEASE_MS = 1000

# Every clock of the program is ahead by what the file says: the calendar by its first
# number, the monotonic clocks by its second, in nanoseconds.
SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void
begin(void)
{
	int file = open(getenv("DYNM_AHEAD"), O_RDONLY);

	ahead = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
	close(file);
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	int which = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ? 0
	    : clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE ||
	      clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_BOOTTIME ? 1 : -1;
	int64_t ns;

	if (syscall(SYS_clock_gettime, clock, ts) != 0)
		return -1;
	if (which < 0 || !ahead)
		return 0;
	ns = (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec + ahead[which];
	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}
"""


def a_lease_passes(daemon):
    """An idle worker sends a PING in each third of the lease, and nothing else comes."""

    def messages():
        return daemon.value('dynamo_metricsd_messages_total{format="binary"}')

    before = messages()
    wait_for("signs of life", lambda: messages() >= before + 8)


class Clocks(SystemTest):
    """A daemon and workers whose clocks the test sets."""
    config = {"ingest": {"lease_ms": LEASE_MS, "grace_ms": LEASE_MS // 2}}

    @unittest.skipIf(SANITIZED, "a sanitizer wants to be loaded first")
    def setUp(self):
        folder = self.folder()
        shim = os.path.join(folder, "shim.so")
        subprocess.run([os.environ.get("CC") or "cc", "-shared", "-fPIC", "-x", "c", "-", "-o",
            shim], input=SHIM.encode(), check=True)
        with open(os.path.join(folder, "ahead"), "w+b") as file:
            file.write(bytes(16))
            file.flush()
            self.ahead = mmap.mmap(file.fileno(), 16)
        self.addCleanup(self.ahead.close)
        self.shimmed = {"LD_PRELOAD": shim, "DYNM_AHEAD": os.path.join(folder, "ahead")}
        self.running = self.daemon(**self.shimmed)

    def set_calendar(self, ns):
        self.ahead[:8] = struct.pack("=q", ns)

    def set_monotonic(self, ns):
        self.ahead[8:] = struct.pack("=q", ns)

    def reporter(self, name):
        """A worker with a counter, and the counter's number."""
        worker = self.worker(self.running, name, **self.shimmed)
        return worker, worker.metric("counter", (), f"{name}_total")

    def sleeps_and_wakes(self, processes, stood_still):
        """Stop all for longer than the lease, and let them go on."""
        began_ns = time.monotonic_ns()
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * LEASE_MS / 1000)
        if stood_still:
            self.set_monotonic(began_ns - time.monotonic_ns())
        for process in processes:
            process.send_signal(signal.SIGCONT)


class Calendar(Clocks):
    JUMPS = (10 * YEARS, -20 * YEARS, 200 * YEARS, -40 * YEARS, 0)

    def test_jumps_by_years_fold_nobody_and_count_as_always(self):
        busy, count = self.reporter("busy")
        idle, done = self.reporter("idle")
        idle.call("add", done, 7)
        idle.flush()
        for k, jump in enumerate(self.JUMPS, 1):
            self.set_calendar(jump)
            busy.call("add", count, 1)
            busy.flush()
            self.assertEqual(self.running.value("dynamo_busy_total"), k)
            a_lease_passes(self.running)
        self.assertEqual(self.running.value(FOLDED), 0)
        self.assertEqual(self.running.value("dynamo_idle_total"), 7)
        self.assertEqual(self.running.value("dynamo_metricsd_resent_total"), 0)
        self.assertLess(self.running.value('dynamo_system_uptime_seconds{namespace="dynamo"}'),
            3600)

    def test_jumps_keep_no_one_alive_either(self):
        for jump in (-20 * YEARS, 20 * YEARS):
            folded = self.running.value(FOLDED)
            worker, count = self.reporter("w" + str(int(folded)))
            worker.call("add", count, 3)
            worker.flush()
            worker.process.send_signal(signal.SIGSTOP)
            self.set_calendar(jump)
            wait_for("the lease", lambda: self.running.value(FOLDED) == folded + 1)
            worker.process.send_signal(signal.SIGCONT)
            worker.call("add", count, 1)
            worker.flush()
            self.assertEqual(self.running.value(f"dynamo_w{int(folded)}_total"), 4)

    def test_jumps_change_no_time_to_live_and_no_window(self):
        def send(**fields):
            done = ctl("send", json.dumps(fields), DYN_METRICSD_ADDRESS=self.running.address)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

        def gauge(name, ttl_s):
            return {"name": name, "type": "gauge", "set": 1, "ttl_s": ttl_s}

        once = {"id": "once", "metrics": [{"name": "n_total", "type": "counter", "inc": 1}]}
        send(metrics=[gauge("long", 1000), gauge("short", 0.5)])
        send(**once)
        self.set_calendar(-20 * YEARS)
        wait_for("the end of one", lambda: self.running.value("dynamo_short") is None)
        self.set_calendar(20 * YEARS)
        send(**once)
        # `time` is the one thing that is the calendar's.
        send(time=time.time() + 20 * YEARS / 1e9, metrics=[gauge("timed", 1000)])
        self.assertEqual(self.running.value("dynamo_n_total"), 1)
        self.assertEqual(self.running.value("dynamo_long"), 1)
        self.assertEqual(self.running.value("dynamo_timed"), 1)
        done = ctl("send", json.dumps({"time": time.time(), "metrics": []}),
            DYN_METRICSD_ADDRESS=self.running.address)
        self.assertIn("value", done.stderr)

    def test_a_daemon_that_restarts_in_another_year_is_found_again(self):
        worker, count = self.reporter("w")
        worker.call("add", count, 5)
        worker.flush()
        for k, jump in enumerate((30 * YEARS, -30 * YEARS), 1):
            self.running.kill()
            self.set_calendar(jump)
            self.running.start().ready()
            worker.call("add", count, 1)
            worker.flush()
            self.assertEqual(self.running.value("dynamo_w_total"), 5 + k)
            self.assertEqual(self.running.value(FOLDED), 0)


class Suspend(Clocks):
    """The monotonic clock stands still while the machine sleeps. Where it does not, as in
    programs that are stopped, workers may be folded, and counts are the same."""

    def worker_through_sleeps(self, times, stood_still):
        worker, count = self.reporter("w")
        for k in range(1, times + 1):
            worker.call("add", count, 1)
            self.sleeps_and_wakes((self.running.process, worker.process), stood_still)
            worker.call("add", count, 1)
            worker.flush()
            self.assertEqual(self.running.value("dynamo_w_total"), 2 * k)

    def test_a_sleep_that_the_clock_does_not_see_folds_nobody(self):
        self.worker_through_sleeps(1, stood_still=True)
        self.assertEqual(self.running.value(FOLDED), 0)

    def test_a_sleep_that_the_clock_sees_counts_nothing_twice_and_loses_nothing(self):
        self.worker_through_sleeps(2, stood_still=False)

    def test_either_alone_may_sleep(self):
        worker, count = self.reporter("w")
        for k, process in enumerate((self.running.process, worker.process), 1):
            worker.call("add", count, 1)
            self.sleeps_and_wakes((process,), stood_still=False)
            worker.flush()
            self.assertEqual(self.running.value("dynamo_w_total"), k)


class TimeNamespace(SystemTest):
    """A worker in a container whose clocks began another day."""
    config = {"ingest": {"lease_ms": LEASE_MS, "grace_ms": LEASE_MS // 2}}
    AHEAD_S = 1000000

    def setUp(self):
        command = self.command()
        if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL,
                check=False).returncode != 0:
            self.skipTest("no time namespaces here, or not for us")

    def command(self):
        return ["unshare", "--time", "--monotonic", str(self.AHEAD_S), "--boottime",
            str(self.AHEAD_S), "--fork", "--kill-child"]

    def elsewhere(self, daemon, name):
        worker = Worker(daemon.address, name, command=[*self.command(), WORKER])
        self.addCleanup(worker.end_quietly)
        return worker

    def test_a_worker_counts_and_lives_and_dies_as_any_other(self):
        daemon = self.daemon()
        worker = self.elsewhere(daemon, "far")
        worker.call("add", worker.metric("counter", (), "far_total"), 5)
        worker.flush()
        a_lease_passes(daemon)
        self.assertEqual(daemon.value(FOLDED), 0)
        self.assertEqual(daemon.value("dynamo_far_total"), 5)
        worker.kill()
        wait_for("its death", lambda: daemon.value(FOLDED) == 1)
        self.assertEqual(daemon.value("dynamo_far_total"), 5)

    def test_the_clock_that_is_ahead_has_the_last_word(self):
        daemon = self.daemon()
        far, near = self.elsewhere(daemon, "far"), self.worker(daemon, "near")
        for worker, value in ((far, 1), (near, 2)):
            worker.call("set", worker.metric("gauge", (), "g", merge="last"), value)
            worker.flush()
        self.assertEqual(daemon.value("dynamo_g"), 1)
        far.close()
        self.assertEqual(daemon.value("dynamo_g"), 2)

