# SPDX-License-Identifier: Apache-2.0
"""Without systemd: as process 1 of a container, with as little as containers have."""
import json
import os
import signal
import socket
import stat
import subprocess
import unittest

import containers
import harness
from containers import GID_OF_FILES, UID, Contained, shared_folder
from harness import wait_for
from namespaces import only_child, runs
from programs import is_alive, kill, state

NOT_THERE = ("process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds",
    "process_virtual_memory_bytes")
# Some releases of unshare complain when what they run is killed.
QUIET = ("sh", "-c", 'exec "$@" 2>/dev/null', "-")


class InContainers(harness.SystemTest):
    def setUp(self):
        containers.need()
        self.shared = shared_folder(self)

    def contained(self, **options):
        daemon = Contained(self.shared, **options)
        self.addCleanup(daemon.clean_up)
        return daemon.start().ready()

    def again(self, daemon):
        if os.path.exists(daemon.port_file):
            os.unlink(daemon.port_file)
        return daemon.start().ready()

    def reporter(self, daemon, name=None, count=5, gauge=3, flush_ms=20, **how):
        """A worker in a container of its own that shares the folder, and nothing else."""
        worker = self.worker(daemon, name, flush_ms=flush_ms, command=(*QUIET, *containers.command(
            [self.shared], **{"uid": UID + 1, **how}), harness.WORKER),
            LD_LIBRARY_PATH=harness.BUILD)
        worker.total = worker.metric("counter", (), "total")
        worker.busy = worker.metric("gauge", (), "busy")
        worker.call("add", worker.total, count)
        worker.call("set", worker.busy, gauge)
        worker.flush()
        return worker

    def health(self, daemon):
        answer = daemon.get("/health")
        self.assertEqual(answer.status, 200)
        return json.loads(answer.text)

    def check_well(self, daemon):
        self.assertEqual(self.health(daemon).get("problems", []), [])
        self.assertNotIn("warning", daemon.log())


class Process1(InContainers):
    def children(self, pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]

    def zombies(self, pid):
        return [child for child in self.children(pid) if state(child) == "Z"]

    def test_has_nothing_but_a_folder_and_does_everything(self):
        daemon = self.contained()
        self.assertEqual(os.stat(f"/proc/{daemon.pid()}").st_uid, UID)
        self.reporter(daemon, "one")
        two = self.reporter(daemon, "two", 7, 4, flush_ms=harness.CLOSE_MS)
        self.assertEqual(daemon.value("dynamo_total"), 12)
        self.assertEqual(daemon.value("dynamo_busy"), 7)
        self.check_well(daemon)
        two.call("add", two.total, 1)  # is flushed when it closes
        two.close()
        wait_for("its count", lambda: daemon.value("dynamo_total") == 13)
        wait_for("its gauge to leave", lambda: daemon.value("dynamo_busy") == 3)
        daemon.stop()
        self.assertFalse(os.path.exists(daemon.socket))
        self.again(daemon)
        self.assertEqual(daemon.value("dynamo_total"), 13)

    def test_stops_in_order_at_sigterm_and_sigint(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(how.name):
                daemon = self.contained()
                self.reporter(daemon)
                daemon.stop(how)
                self.assertIn(f"stopping: {how.name}", daemon.log())

    def test_takes_no_harm_from_the_other_signals_of_engines(self):
        daemon = self.contained()
        daemon.send(signal.SIGHUP)
        wait_for("a reload", lambda: daemon.value(
            'dynamo_metricsd_config_reloads_total{result="ok"}') == 1)
        self.assertEqual(daemon.run_inside("sh", "-c", "kill -HUP 1"), 0)
        wait_for("another one", lambda: daemon.value(
            'dynamo_metricsd_config_reloads_total{result="ok"}') == 2)
        for other in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT):
            daemon.send(other)
        self.check_well(daemon)
        daemon.stop()

    def test_tells_who_wants_to_know_when_it_is_ready(self):
        path = os.path.join(self.shared, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(path)
            os.chmod(path, 0o666)
            heard.settimeout(harness.DEADLINE_S)
            daemon = self.contained(NOTIFY_SOCKET=path)
            while b"READY=1" not in heard.recv(4096).split(b"\n"):
                pass
            daemon.stop()

    def test_is_killed_with_its_container_and_loses_nothing(self):
        daemon = self.contained()
        worker = self.reporter(daemon)
        for n in range(3):
            daemon.kill()
            worker.call("add", worker.total, 1)
            self.again(daemon)
            worker.flush()
            self.assertEqual(daemon.value("dynamo_total"), 6 + n)
            self.assertEqual(daemon.value("dynamo_busy"), 3)
        self.assertEqual(daemon.value("dynamo_metricsd_workers"), 1)

    def test_buries_who_is_left_to_it_and_not_its_own(self):
        """Snapshots are written all the time meanwhile."""
        daemon = self.contained(config={"state": {"snapshot_ms": 10}})
        pid = daemon.pid()
        for n in range(20):
            self.assertEqual(daemon.run_inside("sh", "-c", "for i in 1 2 3 4 5; do "
                "(sleep 0.0$i & exit) done; exit 0"), 0)
        wait_for("all to be buried", lambda: not self.zombies(pid) and all(
            open(f"/proc/{child}/comm").read().strip() != "sleep"
            for child in self.children(pid) if is_alive(child)))
        before = daemon.value("dynamo_metricsd_snapshot_age_seconds")
        wait_for("another snapshot", lambda:
            (daemon.value("dynamo_metricsd_snapshot_age_seconds") or 0) <= (before or 0))
        self.assertEqual(daemon.value("dynamo_metricsd_snapshot_failures_total"), 0)
        self.check_well(daemon)
        daemon.stop()

    def test_buries_what_the_shell_before_it_has_started(self):
        daemon = self.contained(inside=("sh", "-c", 'sleep 0.2 & exec "$@"', "-"))
        wait_for("the end of it", lambda: self.children(daemon.pid()) == [])
        self.check_well(daemon)
        daemon.stop()


class AUserWithoutAName(InContainers):
    def test_lets_the_group_of_the_folder_report_and_nobody_else(self):
        daemon = self.contained()
        made = os.stat(daemon.socket)
        self.assertEqual((made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)),
            (UID, GID_OF_FILES, 0o660))
        self.reporter(daemon, "of the group", uid=UID + 1, gid=UID + 1)
        stranger = self.worker(daemon, "stranger", command=(*containers.command([self.shared],
            uid=UID + 2, gid=UID + 2, groups=()), harness.WORKER), LD_LIBRARY_PATH=harness.BUILD)
        stranger.call("add", stranger.metric("counter", (), "total"), 100)
        wait_for("it to be told", lambda: "Permission denied" in stranger.log())
        self.assertEqual(daemon.value("dynamo_total"), 5)
        self.assertEqual(daemon.value("dynamo_metricsd_workers"), 1)

    def test_keeps_the_state_to_itself(self):
        daemon = self.contained()
        self.reporter(daemon)
        daemon.stop()
        for path, mode in ((daemon.state, 0o700),
                (os.path.join(daemon.state, "snapshot"), 0o600)):
            made = os.stat(path)
            self.assertEqual((made.st_uid, stat.S_IMODE(made.st_mode) & 0o777), (UID, mode))


class WithoutProc(InContainers):
    def check_death(self, daemon):
        one, two = self.reporter(daemon, "one"), self.reporter(daemon, "two", 7, 4)
        self.assertEqual((daemon.value("dynamo_total"), daemon.value("dynamo_busy")), (12, 7))
        kill(runs(only_child(two.process.pid), harness.WORKER))
        wait_for("its gauge to leave", lambda: daemon.value("dynamo_busy") == 3)
        daemon.kill()
        self.again(daemon)
        one.flush()
        self.assertEqual((daemon.value("dynamo_total"), daemon.value("dynamo_busy")), (12, 3))

    def test_all_is_counted_and_what_nobody_can_tell_is_not_on_the_page(self):
        daemon = self.contained(proc="none")
        shown = daemon.page()
        for name in NOT_THERE:
            self.assertNotIn(name, shown)
        self.assertGreater(daemon.value("process_cpu_seconds_total"), 0)
        self.assertGreater(daemon.value("process_max_fds"), 0)
        self.check_death(daemon)
        daemon.stop()

    def test_all_is_counted_with_the_proc_of_others(self):
        daemon = self.contained(proc="outer")
        self.assertGreater(daemon.value("process_resident_memory_bytes"), 0)
        self.check_death(daemon)
        daemon.stop()

    def test_a_worker_may_have_none_either(self):
        daemon = self.contained()
        worker = self.reporter(daemon, proc="none", flush_ms=harness.CLOSE_MS)
        worker.call("add", worker.total, 2)
        worker.close()
        wait_for("its counts", lambda: daemon.value("dynamo_total") == 7)
        wait_for("its gauge to leave", lambda: daemon.value("dynamo_busy") is None)


class Limits(InContainers):
    def test_of_descriptors_are_said_and_what_is_left_works(self):
        daemon = self.contained(inside=("prlimit", "--nofile=40:40"))
        self.assertIn("few descriptors: 40 can be opened", daemon.log())
        for n in (1, 2, 3):
            self.reporter(daemon)
            self.assertEqual(daemon.value("dynamo_total"), 5 * n)
        daemon.stop()

    def test_of_memory_hold_the_series_of_the_guide_and_its_snapshots(self):
        """100,000 series in 64 MiB, while snapshots are written."""
        group = MemoryGroup(64 << 20)
        self.addCleanup(group.remove)
        daemon = self.contained(config={"state": {"snapshot_ms": 200,
            "journal_bytes": 8 << 20}})
        group.add(daemon.pid())
        subprocess.run([harness.CTL, "--address", daemon.address, "send", "-"], check=True,
            input="\n".join(json.dumps(message) for message in self.messages()).encode(),
            stdout=subprocess.DEVNULL)
        self.assertEqual(daemon.value('dynamo_metricsd_series{kind="counter"}'), 100000)
        wait_for("a snapshot of all", lambda:
            daemon.value("dynamo_metricsd_snapshot_bytes") > 5e6)
        self.check_well(daemon)
        daemon.stop()

    @staticmethod
    def messages():
        for first in range(0, 100000, 400):
            yield {"namespace": "dynamo", "metrics": [{"name": f"requests_{first // 5000}_total",
                "type": "counter", "inc": n, "labels": {"model": f"model-{n}", "path": f"/{n}"}}
                for n in range(first, first + 400)]}


class MemoryGroup:
    """A control group that has so much memory, of either version of them."""

    def __init__(self, limit_bytes):
        name = f"dynm-{os.getpid()}"
        for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                ("/sys/fs/cgroup", "memory.max")):
            self.path = os.path.join(root, name)
            try:
                os.mkdir(self.path)
                with open(os.path.join(self.path, limit), "r+", encoding="ascii") as file:
                    file.write(str(limit_bytes))
                return
            except OSError:
                self.remove()
        raise unittest.SkipTest("no group with a limit of memory can be made here")

    def add(self, pid):
        with open(os.path.join(self.path, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(pid))

    def remove(self):
        if os.path.isdir(self.path):
            wait_for("the group to be empty", lambda: not open(
                os.path.join(self.path, "cgroup.procs"), encoding="ascii").read())
            os.rmdir(self.path)


class OneContainer(InContainers):
    """Workers beside the daemon, in its own container."""

    def test_are_known_by_their_numbers_there(self):
        self.check_death(self.contained())

    def test_may_be_hidden_from_it(self):
        self.check_death(self.contained(proc="hidden"))

    def check_death(self, daemon):
        worker = self.worker(daemon, "inside", command=("nsenter", f"--target={daemon.pid()}",
            "--pid", harness.WORKER))
        worker.call("add", worker.metric("counter", (), "total"), 5)
        worker.call("set", worker.metric("gauge", (), "busy"), 3)
        worker.flush()
        self.assertEqual(daemon.value("dynamo_busy"), 3)
        kill(runs(only_child(worker.process.pid), harness.WORKER))
        wait_for("its gauge to leave", lambda: daemon.value("dynamo_busy") is None)
        self.assertEqual(daemon.value("dynamo_total"), 5)
