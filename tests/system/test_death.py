# SPDX-License-Identifier: Apache-2.0
"""The end of workers, as the daemon sees it without their help: what the dead have counted
stays, their gauges leave; and who only seems to be dead is counted neither twice nor not at
all."""
import os
import signal
import time

import harness
from harness import wait_for
from namespaces import Namespace, need, new, numbers, only_child
from programs import Program, is_alive, kill, state

LONG_MS = 600000
PATIENT = {"ingest": {"lease_ms": LONG_MS, "grace_ms": LONG_MS}}  # a death is seen or it is not
SHORT_MS = 500
HASTY = {"ingest": {"lease_ms": SHORT_MS, "grace_ms": SHORT_MS // 2}}
AWAY_MS = SHORT_MS + 2000
OLD_KERNEL = os.path.join(harness.BUILD, "tests", "system", "old_kernel")
MERGES = ("sum", "min", "max", "last", "each")


class Death(harness.SystemTest):
    def workers(self, daemon):
        return daemon.value("dynamo_metricsd_workers")

    def folded(self, daemon):
        return daemon.value("dynamo_metricsd_sessions_folded_total")

    def wait_workers(self, daemon, n):
        wait_for(f"{n} live workers", lambda: self.workers(daemon) == n)

    def reporter(self, daemon, name=None, count=0, gauge=None, **options):
        """A worker with a counter and gauges of all kinds, which it has flushed."""
        worker = self.worker(daemon, name, **options)
        worker.total = worker.metric("counter", (), "total")
        worker.gauges = [worker.metric("gauge", (), f"g_{m}", merge=m) for m in MERGES]
        self.report(worker, count, gauge)
        return worker

    def report(self, worker, count, gauge=None):
        worker.call("add", worker.total, count)
        for number in worker.gauges:
            if gauge is not None:
                worker.call("set", number, gauge)
        worker.flush()

    def gauges(self, daemon):
        """{line: value} of all gauges."""
        lines = [line.rsplit(" ", 1) for line in daemon.workers_page().split("\n")]
        return {line[0].removeprefix("dynamo_g_"): float(line[1])
            for line in lines if line[0].startswith("dynamo_g_")}

    def pass_leases(self, n, condition):
        """It is true all the time."""
        end = time.monotonic() + n * SHORT_MS / 1000
        while time.monotonic() < end:
            self.assertTrue(condition())
            time.sleep(0.02)


class AKilledWorker(Death):
    config = PATIENT

    def test_leaves_its_counts_and_takes_its_gauges_along(self):
        daemon = self.daemon()
        one = self.reporter(daemon, "one", 5, 3)
        two = self.reporter(daemon, "two", 0.1, 4)
        h = two.metric("histogram", (), "h", bounds=(1, 2))
        for value in (0.5, 1.5, 9):
            two.call("add", h, value)
        two.flush()
        self.assertEqual(self.gauges(daemon), {"sum": 7, "min": 3, "max": 4, "last": 4,
            'each{worker_id="one"}': 3, 'each{worker_id="two"}': 4})
        counts = [line for line in daemon.workers_page().split("\n") if "g_" not in line]
        two.kill()
        wait_for("its gauges to leave", lambda: self.gauges(daemon) == {"sum": 3, "min": 3,
            "max": 3, "last": 3, 'each{worker_id="one"}': 3})
        one.kill()
        wait_for("all gauges to leave", lambda: self.gauges(daemon) == {})
        self.assertEqual(
            [line for line in daemon.workers_page().split("\n") if "g_" not in line], counts)
        self.assertEqual((self.workers(daemon), self.folded(daemon)), (0, 2))

    def test_is_missed_though_another_process_has_its_connection(self):
        daemon = self.daemon()
        program = Program("handover", address=daemon.address)
        self.addCleanup(program.clean_up)
        heard = dict(program.line() for _ in range(2))
        self.assertEqual(self.workers(daemon), 1)
        kill(heard["pid"])
        program.process.wait()
        self.wait_workers(daemon, 0)
        self.assertTrue(is_alive(heard["clone"]))
        self.assertEqual(daemon.value("dynamo_handover_total"), 5)

    def test_is_missed_on_older_kernels_too(self):
        need(OLD_KERNEL, "1")
        daemon = self.daemon(before=(OLD_KERNEL, "1"))
        one, two = (self.reporter(daemon, name, 5, 3) for name in ("one", "two"))
        two.kill()
        self.wait_workers(daemon, 1)
        one.kill()
        self.wait_workers(daemon, 0)
        self.assertEqual(daemon.value("dynamo_total"), 10)

    def test_is_folded_by_its_lease_where_no_kernel_tells(self):
        need(OLD_KERNEL, "2")
        daemon = self.daemon(before=(OLD_KERNEL, "2"), config=HASTY)
        one, two = (self.reporter(daemon, name, 5, 3) for name in ("one", "two"))
        two.kill()
        self.wait_workers(daemon, 1)
        self.assertEqual(self.gauges(daemon)["sum"], 3)
        self.assertEqual(self.folded(daemon), 1)
        self.report(one, 1)
        self.assertEqual(daemon.value("dynamo_total"), 11)


class AStoppedWorker(Death):
    config = HASTY

    def setUp(self):
        self.page = self.daemon()
        self.stopped = self.reporter(self.page, "s", 5, 3, flush_ms=60000)
        self.other = self.reporter(self.page, "o", 100, 40)
        self.addCleanup(self.go_on)
        self.counted = 105

    def stop(self):
        os.kill(self.stopped.process.pid, signal.SIGSTOP)
        wait_for("it to stop", lambda: state(self.stopped.process.pid) == "T")

    def go_on(self):
        kill(self.stopped.process.pid, signal.SIGCONT)

    def stop_past_the_lease(self):
        folded = self.folded(self.page)
        self.stop()
        wait_for("it to be folded", lambda: self.folded(self.page) == folded + 1)
        self.assertEqual(self.gauges(self.page), {
            'each{worker_id="o"}': 40, "last": 40, "max": 40, "min": 40, "sum": 40})

    def restart(self):
        self.page.kill()
        self.page.start().ready()

    def count(self, now):
        """And be found to have counted all."""
        self.go_on()
        self.report(self.stopped, now)
        self.counted += now
        self.assertEqual(self.page.value("dynamo_total"), self.counted)

    def test_that_goes_on_is_counted_once(self):
        for i in range(4):
            self.stopped.call("add", self.stopped.total, 7)  # not flushed yet
            self.counted += 7
            self.stop_past_the_lease()
            self.count(i)
            self.assertEqual(self.gauges(self.page)['each{worker_id="s"}'], 3)
            self.assertEqual(self.gauges(self.page)["sum"], 43)

    def test_that_counts_in_a_thread_meanwhile_is_counted_once(self):
        self.stopped.call("tick", self.stopped.total)
        for _ in range(4):
            self.stopped.flush()
            self.stop_past_the_lease()
            self.go_on()
        self.counted += int(self.stopped.call("tick"))
        self.count(0)

    def test_is_counted_once_though_the_daemon_restarts_when_it_was_folded(self):
        for i in range(3):
            self.stopped.call("add", self.stopped.total, 7)
            self.counted += 7
            self.stop_past_the_lease()
            self.restart()
            self.count(i)
        self.other.flush()
        self.assertEqual(self.page.value("dynamo_total"), self.counted)
        self.assertEqual(self.gauges(self.page)["sum"], 43)

    def test_is_counted_once_though_the_daemon_restarts_before_it_is_folded(self):
        for i in range(3):
            self.stopped.call("add", self.stopped.total, 7)
            self.counted += 7
            self.stop()
            self.restart()
            self.other.flush()
            wait_for("it to be folded", lambda: self.workers(self.page) == 1)
            self.count(i)
        self.assertEqual(self.gauges(self.page)["sum"], 43)

    def test_may_be_killed_without_going_on(self):
        self.stop_past_the_lease()
        self.stopped.kill()
        self.assertEqual(self.page.value("dynamo_total"), self.counted)
        self.wait_workers(self.page, 1)


class AStoppedDaemon(Death):
    config = HASTY

    def test_takes_no_living_worker_for_dead_for_good(self):
        daemon = self.daemon()
        workers = [self.reporter(daemon, name, 1, 2) for name in "abc"]
        total = 3
        for worker in workers:
            worker.call("tick", worker.total)
        for _ in range(2):
            os.kill(daemon.process.pid, signal.SIGSTOP)
            time.sleep(AWAY_MS / 1000)  # nobody can be asked meanwhile
            os.kill(daemon.process.pid, signal.SIGCONT)
            for worker in workers:
                worker.flush()
            self.pass_leases(2, lambda: self.workers(daemon) == 3 and
                self.gauges(daemon)["sum"] == 6)
        for worker in workers:
            total += int(worker.call("tick"))
            worker.flush()
        self.assertEqual(daemon.value("dynamo_total"), total)
        self.assertEqual(self.folded(daemon), 0)


class AnIdleWorker(Death):
    def test_is_not_a_dead_one(self):
        daemon = self.daemon(config=HASTY)
        self.reporter(daemon, "idle", 5, 3, flush_ms=60000)
        self.pass_leases(8, lambda: self.workers(daemon) == 1 and
            self.gauges(daemon)["sum"] == 3)
        self.assertEqual(self.folded(daemon), 0)
        self.assertEqual(daemon.value("dynamo_total"), 5)


class Containers(Death):
    """Workers and daemons that do not see each other's processes, or see them under other
    numbers."""

    config = PATIENT

    def contained(self, daemon, name, *command, **options):
        """A worker that such a command runs, and the process that it is."""
        worker = self.reporter(daemon, name, 5, 3, command=(*command, harness.WORKER), **options)
        pid = only_child(worker.process.pid)
        while (inner := only_child(pid) if self.runs_another(pid) else None) is not None:
            pid = inner
        self.addCleanup(kill, pid)
        return worker, pid

    @staticmethod
    def runs_another(pid):
        return os.readlink(f"/proc/{pid}/exe") != os.path.realpath(harness.WORKER)

    def two_of_the_same_number(self, *command):
        need(*command)
        daemon = self.daemon()
        one, pid_1 = self.contained(daemon, "one", *command)
        two, pid_2 = self.contained(daemon, "two", *command)
        self.assertEqual((numbers(pid_1)[-1], numbers(pid_2)[-1]), (1, 1))
        kill(pid_1)
        one.process.wait()
        self.wait_workers(daemon, 1)
        self.assertEqual(self.gauges(daemon)["sum"], 3)
        self.assertIn('each{worker_id="two"}', self.gauges(daemon))
        self.report(two, 2, 9)
        self.assertEqual(daemon.value("dynamo_total"), 12)
        self.assertEqual(self.gauges(daemon), {'each{worker_id="two"}': 9, "sum": 9, "min": 9,
            "max": 9, "last": 9})
        kill(pid_2)
        self.wait_workers(daemon, 0)

    def test_are_told_apart_where_both_workers_are_process_1(self):
        self.two_of_the_same_number(*new())

    def test_are_told_apart_without_root(self):
        self.two_of_the_same_number(*new("--user", "--map-root-user"))

    def test_may_be_in_each_other_and_without_proc(self):
        command = (*new("--mount"), "sh", "-c", 'umount -l /proc; exec "$@"', "-", *new())
        need(*command)
        daemon = self.daemon()
        worker, pid = self.contained(daemon, "deep", *command,
            LD_LIBRARY_PATH=harness.BUILD)
        self.assertEqual(len(numbers(pid)), 3)
        self.report(worker, 2, 9)
        self.assertEqual(daemon.value("dynamo_total"), 7)
        kill(pid)
        self.wait_workers(daemon, 0)
        self.assertEqual(self.gauges(daemon), {})

    def daemon_apart(self, *kernel, **options):
        """A daemon that cannot see its workers: to it all are process 0."""
        need(*new("--mount-proc"), *kernel)
        return self.daemon(before=(*new("--mount-proc"), *kernel), **options)

    def test_are_missed_by_a_daemon_apart_where_the_kernel_tells(self):
        daemon = self.daemon_apart()
        one, two = (self.reporter(daemon, name, 5, 3) for name in ("one", "two"))
        one.kill()
        self.wait_workers(daemon, 1)
        self.report(two, 1)
        self.assertEqual(daemon.value("dynamo_total"), 11)

    def test_are_never_probed_by_a_daemon_apart_that_knows_only_numbers(self):
        for level in "12":
            with self.subTest(level):
                daemon = self.daemon_apart(OLD_KERNEL, level, config=HASTY)
                one, two = (self.reporter(daemon, name, 5, 3) for name in ("one", "two"))
                self.pass_leases(4, lambda: self.workers(daemon) == 2)
                one.kill()
                self.wait_workers(daemon, 1)
                self.assertEqual(self.gauges(daemon)["sum"], 3)
                self.report(two, 1)
                self.assertEqual(daemon.value("dynamo_total"), 11)
                self.assertEqual(self.folded(daemon), 1)

    def test_are_not_taken_for_dead_by_a_daemon_that_starts_again_apart_from_them(self):
        need(*new("--mount-proc"))
        daemon = self.daemon()
        workers = [self.reporter(daemon, name, 5, 3) for name in ("one", "two")]
        for before in (new("--mount-proc"), (), new("--mount-proc")):
            for worker in workers:
                worker.call("add", worker.total, 1)
            self.stop_all_of(daemon)
            daemon.before = before
            daemon.start().ready()
            for worker in workers:
                worker.flush()
            self.assertEqual((self.workers(daemon), self.folded(daemon)), (2, 0))
            self.assertEqual(self.gauges(daemon)["sum"], 6)
        self.assertEqual(daemon.value("dynamo_total"), 16)

    def stop_all_of(self, daemon):
        """Kill it, and what runs it."""
        if daemon.before:
            kill(only_child(daemon.process.pid))
        daemon.kill()


class AReusedNumber(Death):
    """The number of a dead worker goes to another process at once."""

    def setUp(self):
        need(*new("--mount-proc"), OLD_KERNEL, "2")
        self.space = Namespace()
        self.addCleanup(self.space.end)

    def inside(self, *command):
        return (*self.space.enter(), *command)

    def start_all(self, *kernel, **options):
        """A daemon in the namespace, and in it the worker that is to die."""
        self.page = self.daemon(before=self.inside(*kernel), **options)
        self.daemon_pid = only_child(self.page.process.pid)
        self.victim, pid = self.enter("victim")
        self.number = numbers(pid)[-1]
        return pid

    def enter(self, name):
        worker = self.reporter(self.page, name, 5, 3, command=self.inside(harness.WORKER))
        return worker, only_child(worker.process.pid)

    def succeed(self, victim):
        """Kill the worker; another process will have its number. Not within the same tick of
        the clock that processes' births are told by: no kernel gives a number away so soon."""
        time.sleep(2 / os.sysconf("SC_CLK_TCK"))
        kill(victim)
        self.victim.process.wait()
        self.space.next_number(self.number)

    def check_succession(self, kernel, **options):
        victim = self.start_all(*kernel, **options)
        os.kill(self.daemon_pid, signal.SIGSTOP)
        self.succeed(victim)
        successor = self.worker(self.page, "successor", command=self.inside(harness.WORKER))
        os.kill(self.daemon_pid, signal.SIGCONT)
        self.assertEqual(numbers(only_child(successor.process.pid))[-1], self.number)
        number = successor.metric("counter", (), "total")
        successor.call("add", number, 2)
        successor.flush()
        self.wait_workers(self.page, 1)
        self.assertEqual(self.folded(self.page), 1)
        self.assertEqual(self.gauges(self.page), {})
        self.assertEqual(self.page.value("dynamo_total"), 7)
        return successor

    def test_is_another_process_to_this_kernel(self):
        self.check_succession((), config=PATIENT)

    def test_is_another_process_to_a_kernel_that_opens_processes_by_number(self):
        self.check_succession((OLD_KERNEL, "1"), config=PATIENT)

    def test_does_not_keep_the_dead_alive_where_no_kernel_tells(self):
        successor = self.check_succession((OLD_KERNEL, "2"), config=HASTY)
        self.pass_leases(3, lambda: self.workers(self.page) == 1)
        successor.flush()

    def test_is_another_process_to_a_daemon_that_was_killed_meanwhile(self):
        victim = self.start_all(config=PATIENT)
        kill(self.daemon_pid)
        self.page.process.wait()
        self.succeed(victim)
        bystander = self.worker(self.page, command=self.inside(harness.WORKER))
        self.assertEqual(numbers(only_child(bystander.process.pid))[-1], self.number)
        self.page.start().ready()
        self.daemon_pid = only_child(self.page.process.pid)
        self.assertEqual((self.workers(self.page), self.gauges(self.page)), (0, {}))
        self.assertEqual(self.page.value("dynamo_total"), 5)
