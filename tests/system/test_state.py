# SPDX-License-Identifier: Apache-2.0
"""What a daemon keeps over its end, however it ends and whatever its disk does: with real
daemons, workers, files and file systems."""
import json
import os
import random
import signal
import stat
import subprocess
import unittest

from harness import CTL, Daemon, SystemTest, wait_for

TOTAL = "dynamo_jobs_total"


def names(folder, start=""):
    return sorted(name for name in os.listdir(folder) if name.startswith(start))


def counters(text):
    """Lines that only ever go up: counters, buckets, sums and counts."""
    kinds, found = {}, {}
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            kinds[line.split(" ")[2]] = line.split(" ")[3]
        elif line and not line.startswith("#"):
            name = line.split("{")[0].split(" ")[0]
            family = name if name in kinds else name.rsplit("_", 1)[0]
            if kinds[family] != "gauge":
                key, value = line.rsplit(" ", 1)
                found[key] = value
    return found


class State(SystemTest):
    config = None

    def start_again(self, daemon):
        if os.path.exists(daemon.port_file):
            os.unlink(daemon.port_file)
        return daemon.start().ready()

    def restart(self, daemon, how):
        if how == signal.SIGKILL:
            daemon.kill()
        else:
            daemon.stop(how)
        return self.start_again(daemon)

    def send(self, daemon, n=1, **more):
        subprocess.run([CTL, "--address", daemon.address, "send", json.dumps({
            "metrics": [{"name": "jobs_total", "type": "counter", "inc": n}], **more})],
            check=True, stdout=subprocess.DEVNULL)

    def health(self, daemon):
        answer = daemon.get("/health")
        self.assertEqual(answer.status, 200)
        return json.loads(answer.text)

    def problems(self, daemon):
        return self.health(daemon)["problems"]

    def counting(self, daemon, **options):
        """A worker with a counter, a histogram and a gauge."""
        worker = self.worker(daemon, **options)
        worker.jobs = worker.metric("counter", (), "jobs_total")
        worker.sizes = worker.metric("histogram", ("ns",), "sizes", bounds=(0.5, 1))
        worker.busy = worker.metric("gauge", (), "busy")
        return worker

    def count(self, worker, n):
        worker.call("add", worker.jobs, repr(float(n)))


class Restart(State):
    def test_totals_are_exact_over_many_ends(self):
        draw = random.Random(4)
        daemon = self.daemon()
        workers = [self.counting(daemon) for _ in range(3)]
        counted, dead = 0, 0
        for round in range(30):
            for worker in workers:
                for _ in range(draw.randrange(5)):
                    self.count(worker, 1)
                    counted += 1
                if draw.random() < 0.5:
                    worker.flush()
            if round % 10 == 5:  # what a worker had acknowledged stays when it dies
                worker = workers.pop(0)
                worker.flush()
                worker.kill()
                dead += 1
                workers.append(self.counting(daemon))
            self.restart(daemon, draw.choice((signal.SIGKILL, signal.SIGTERM)))
        for worker in workers:
            worker.flush()
        self.assertEqual(daemon.value(TOTAL), counted)
        self.assertEqual(dead, 3)
        self.assertEqual(daemon.value("dynamo_metricsd_workers"), 3)
        self.assertEqual(self.problems(daemon), [])

    def test_a_page_is_the_same_to_the_last_digit(self):
        for how in (signal.SIGKILL, signal.SIGTERM):
            with self.subTest(how.name):
                daemon = self.daemon()
                worker = self.counting(daemon)
                for n in range(50):
                    self.count(worker, 0.1)
                    worker.call("add", worker.sizes, repr(0.1 * n))
                worker.call("set", worker.busy, "0.30000000000000004")
                worker.flush()
                worker.process.send_signal(signal.SIGSTOP)  # it says nothing meanwhile
                before = daemon.workers_page()
                self.restart(daemon, how)
                # The gauge too: its process is the same.
                self.assertEqual(daemon.workers_page(), before)
                worker.process.send_signal(signal.SIGCONT)
                worker.flush()
                self.assertEqual(daemon.workers_page(), before)

    def test_no_line_goes_down_over_kills(self):
        daemon = self.daemon(config={"state": {"snapshot_ms": 20}})
        worker = self.counting(daemon, flush_ms=5)
        last = {}
        for n in range(60):
            self.count(worker, 0.1)
            worker.call("add", worker.sizes, repr(0.01 * n))
            for line, value in counters(daemon.workers_page()).items():
                self.assertGreaterEqual(float(value), float(last.get(line, 0)), line)
                last[line] = value
            if n % 3 == 0:
                self.restart(daemon, signal.SIGKILL)

    def test_a_page_shows_nothing_that_a_kill_takes_back(self):
        """Without a worker that could send again what is missing."""
        daemon = self.daemon()
        for n in range(10):
            worker = self.counting(daemon, flush_ms=5)
            self.count(worker, 1)
            wait_for("the count", lambda: daemon.value(TOTAL) == n + 1)
            worker.kill()
            self.restart(daemon, signal.SIGKILL)
            self.assertEqual(daemon.value(TOTAL), n + 1)

    def test_what_flush_acknowledged_is_there_whoever_is_killed_first(self):
        daemon = self.daemon()
        counted = 0
        for round in range(20):
            worker = self.counting(daemon)
            self.count(worker, 3)
            worker.flush()
            counted += 3
            if round % 2:
                worker.kill()
                daemon.kill()
            else:
                daemon.kill()
                worker.kill()
            self.start_again(daemon)
            self.assertEqual(daemon.value(TOTAL), counted, round)
        wait_for("the dead", lambda: daemon.value("dynamo_metricsd_workers") == 0)
        self.assertIsNone(daemon.value("dynamo_busy"))

    def test_a_worker_goes_on_in_its_session(self):
        daemon = self.daemon()
        workers = [self.counting(daemon) for _ in range(20)]
        for worker in workers:
            self.count(worker, 1)
            worker.flush()
        self.restart(daemon, signal.SIGKILL)
        for worker in workers:
            worker.flush()
        self.assertEqual(daemon.value("dynamo_metricsd_workers"), 20)
        self.assertEqual(daemon.value("dynamo_metricsd_sessions_folded_total"), 0)
        self.assertEqual(daemon.value("dynamo_metricsd_sessions_remembered"), 0)
        # Each had at most one request under way.
        self.assertLessEqual(daemon.value("dynamo_metricsd_resent_total"), 20)
        self.assertEqual(daemon.value(TOTAL), 20)

    def test_a_message_with_an_id_counts_once_over_a_kill(self):
        daemon = self.daemon()
        self.send(daemon, id="one")
        self.restart(daemon, signal.SIGKILL)
        self.send(daemon, id="one")
        self.restart(daemon, signal.SIGTERM)
        self.send(daemon, id="one")
        self.assertEqual(daemon.value(TOTAL), 1)

    def test_a_daemon_killed_while_it_writes_a_snapshot(self):
        """Again and again, at any moment of it, and started at once."""
        draw = random.Random(5)
        daemon = self.daemon(config={"state": {"snapshot_ms": 10}})
        worker = self.counting(daemon, flush_ms=5)
        for n in range(40):
            self.count(worker, 1)
            worker.flush()
            wait_for("some time", lambda: draw.random() < 0.3)
            self.restart(daemon, signal.SIGKILL)
            self.assertEqual(daemon.value(TOTAL), n + 1)
        daemon.stop()
        self.assertEqual(names(daemon.state), ["snapshot"])
        self.assertEqual(names(daemon.folder, "journal."), [])
        self.assertNotIn("set aside", daemon.log())

    def test_snapshots_alone(self):
        daemon = self.daemon(config={"state": {"journal": False}})
        self.send(daemon)
        self.assertEqual(names(daemon.folder, "journal."), [])
        self.restart(daemon, signal.SIGTERM)
        self.assertEqual(daemon.value(TOTAL), 1)
        self.send(daemon)
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 1)

    def test_nothing_at_all(self):
        daemon = self.daemon(config={"state": {"path": ""}}, DYN_METRICSD_STATE=None)
        self.send(daemon)
        self.assertFalse(os.path.exists(daemon.state))
        self.assertEqual(names(daemon.folder, "journal."), [])
        self.restart(daemon, signal.SIGTERM)
        self.assertIsNone(daemon.value(TOTAL))
        self.assertEqual(self.problems(daemon), [])


class Files(State):
    """Files that are not what they should be."""

    def state_with(self, counted=2):
        """A daemon that was killed: one count in its snapshot, the others in its journal."""
        daemon = self.daemon(config={"state": {"snapshot_ms": 10}})
        self.send(daemon)
        wait_for("a snapshot", lambda: names(daemon.state) == ["snapshot"]
            and names(daemon.folder, "journal.") == ["journal.2"])
        daemon.config["state"]["snapshot_ms"] = 86400000
        with open(daemon.config_file, "w", encoding="utf-8") as file:
            json.dump(daemon.config, file)
        self.restart(daemon, signal.SIGTERM)
        for _ in range(counted - 1):
            self.send(daemon)
        daemon.kill()
        [journal] = names(daemon.folder, "journal.")
        daemon.journal = os.path.join(daemon.folder, journal)
        daemon.snapshot = os.path.join(daemon.state, "snapshot")
        return daemon

    def assert_begins_anew(self, daemon, aside):
        self.start_again(daemon)
        self.assertIsNone(daemon.value(TOTAL))
        self.assertIn(aside, names(daemon.state))
        self.assertIn("it is set aside as " + aside, daemon.log())
        self.assertGreaterEqual(daemon.value("dynamo_metricsd_state_set_aside_total"), 1)
        self.assertEqual(self.problems(daemon), [])
        self.send(daemon)
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 1)

    def test_they_are_their_owners_alone(self):
        daemon = self.state_with()
        for path in (daemon.snapshot, daemon.journal):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(daemon.state).st_mode), 0o700)

    def test_a_torn_journal(self):
        for cut in (1, 5, 30, 60):
            with self.subTest(cut=cut):
                daemon = self.state_with(3)
                os.truncate(daemon.journal, os.path.getsize(daemon.journal) - cut)
                self.start_again(daemon)
                self.assertEqual(daemon.value(TOTAL), 2)
                self.send(daemon)
                self.restart(daemon, signal.SIGKILL)
                self.assertEqual(daemon.value(TOTAL), 3)

    def flip(self, path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            [byte] = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def test_a_byte_of_the_journal_that_changed(self):
        daemon = self.state_with(4)
        self.flip(daemon.journal, os.path.getsize(daemon.journal) - 3)
        self.start_again(daemon)
        self.assertEqual(daemon.value(TOTAL), 3)
        self.assertRegex(daemon.log(), r"journal\.\d+: cut after \d+ of \d+ bytes")

    def test_any_byte_of_the_snapshot_that_changed(self):
        for at in (3, 40, -10):
            with self.subTest(at=at):
                daemon = self.state_with()
                self.flip(daemon.snapshot, at % os.path.getsize(daemon.snapshot))
                self.assert_begins_anew(daemon, "snapshot.bad-1")

    def test_a_snapshot_that_was_cut(self):
        daemon = self.state_with()
        os.truncate(daemon.snapshot, os.path.getsize(daemon.snapshot) // 2)
        self.assert_begins_anew(daemon, "snapshot.bad-1")

    def test_somebody_elses_file(self):
        daemon = self.state_with()
        with open(daemon.snapshot, "w", encoding="ascii") as file:
            file.write("hello\n" * 100)
        self.assert_begins_anew(daemon, "snapshot.bad-1")

    def test_other_things_in_place_of_files(self):
        for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)):
            for which in ("snapshot", "journal"):
                with self.subTest(which=which, make=make):
                    daemon = self.state_with()
                    path = getattr(daemon, which)
                    os.unlink(path)
                    make(path)
                    self.start_again(daemon)
                    self.assertEqual(daemon.value(TOTAL), None if which == "snapshot" else 1)
                    self.assertIn("it is no file: it is set aside as "
                        + os.path.basename(path) + ".bad-1", daemon.log())
                    daemon.stop()

    def test_a_lost_state_folder_is_refilled_by_those_who_live(self):
        daemon = self.daemon()
        worker = self.counting(daemon)
        self.count(worker, 5)
        worker.flush()
        daemon.kill()
        for name in names(daemon.state):
            os.unlink(os.path.join(daemon.state, name))
        for name in names(daemon.folder, "journal."):
            os.unlink(os.path.join(daemon.folder, name))
        self.start_again(daemon)
        self.count(worker, 1)
        worker.flush()
        self.assertEqual(daemon.value(TOTAL), 6)


class Folders(State):
    def test_two_daemons_have_no_folder_in_common(self):
        one = self.daemon()
        two = Daemon(DYN_METRICSD_STATE=one.state)
        self.addCleanup(two.clean_up)
        two.start()
        self.assertEqual(two.wait_ended(), 1)
        self.assertIn(f"another dynamo-metricsd has the folder {one.state}: stop it, or give "
            "this one another folder (DYN_METRICSD_STATE)\n", two.log())
        self.assertEqual(self.problems(one), [])

    def test_a_folder_that_cannot_be_made(self):
        daemon = self.daemon(DYN_METRICSD_STATE="/proc/no/such/folder")
        self.assertRegex(self.problems(daemon)[0], "^no snapshot in /proc/no/such/folder: ")
        self.send(daemon)
        # The journal alone holds it, as long as the runtime folder is there.
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 1)

    def test_a_folder_that_is_made_later(self):
        folder = os.path.join(self.folder(), "a", "b")
        daemon = self.daemon(config={"state": {"snapshot_ms": 50}}, DYN_METRICSD_STATE=folder)
        self.send(daemon)
        self.assertEqual(len(self.problems(daemon)), 1)
        os.mkdir(os.path.dirname(folder))
        wait_for("it to be well", lambda: self.problems(daemon) == [])
        self.assertEqual(names(folder), ["snapshot"])
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 1)

    def test_keys_that_are_read_again(self):
        daemon = self.daemon(config={"state": {"snapshot_ms": 86400000}})
        self.send(daemon)
        daemon.config["state"] = {"snapshot_ms": 20, "path": "/elsewhere"}
        with open(daemon.config_file, "w", encoding="utf-8") as file:
            json.dump(daemon.config, file)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("a snapshot", lambda: names(daemon.state) == ["snapshot"])
        self.assertIn("changed: state.snapshot_ms", daemon.log())


def may_mount():
    """Root in a namespace of its own may mount; a container may not let it."""
    return subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL,
        check=False).returncode == 0


@unittest.skipUnless(os.geteuid() == 0 and may_mount(), "only root may mount file systems")
class FileSystems(State):
    def mount(self, *options):
        folder = self.folder()
        done = subprocess.run(["mount", "-t", "tmpfs", *options, "none", folder],
            capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"mount: {done.stderr.decode()}")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        return folder

    def remount(self, folder, option):
        subprocess.run(["mount", "-o", "remount," + option, folder], check=True)

    def assert_serves(self, daemon, worker, counted):
        """Scrapes, flushes and messages go on as if nothing were."""
        self.count(worker, 1)
        worker.flush()
        self.assertEqual(daemon.value(TOTAL), counted)

    def fill(self, folder):
        path = os.path.join(folder, "full")
        with open(path, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        return path

    def test_a_full_runtime_folder(self):
        folder = self.mount("-o", "size=256k")
        state = self.folder()
        daemon = self.daemon(folder=folder, config={"state": {"snapshot_ms": 86400000}},
            DYN_METRICSD_STATE=state)
        worker = self.counting(daemon)
        self.assert_serves(daemon, worker, 1)
        full = self.fill(folder)
        counted = 1
        while not self.problems(daemon):
            counted += 1
            self.assert_serves(daemon, worker, counted)
        self.assertIn("the journal cannot be written", self.problems(daemon)[0])
        self.assertIn("No space left on device", self.problems(daemon)[0])
        self.assertEqual(daemon.value("dynamo_metricsd_degraded"), 1)
        self.assertEqual(daemon.value("dynamo_metricsd_journal_failures_total"), 1)
        os.unlink(full)
        self.assert_serves(daemon, worker, counted + 1)
        self.assertEqual(daemon.value("dynamo_metricsd_degraded"), 1)
        daemon.config["state"]["snapshot_ms"] = 50
        self.write_config(daemon)
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("it to be well", lambda: self.problems(daemon) == [])
        self.assertEqual(daemon.value("dynamo_metricsd_degraded"), 0)
        self.assert_serves(daemon, worker, counted + 2)
        worker.kill()
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), counted + 2)
        daemon.stop()

    def write_config(self, daemon):
        with open(daemon.config_file, "w", encoding="utf-8") as file:
            json.dump(daemon.config, file)

    def test_a_full_disk_for_everything_heals_when_there_is_room(self):
        folder = self.mount("-o", "size=256k")
        daemon = self.daemon(folder=folder, config={"state": {"snapshot_ms": 50}})
        worker = self.counting(daemon)
        self.assert_serves(daemon, worker, 1)
        full = self.fill(folder)
        counted = 1
        while not daemon.value("dynamo_metricsd_degraded"):
            counted += 1
            self.assert_serves(daemon, worker, counted)
        for _ in range(20):
            counted += 1
            self.assert_serves(daemon, worker, counted)
        self.assertNotEqual(self.problems(daemon), [])
        os.unlink(full)
        wait_for("it to be well", lambda: self.problems(daemon) == []
            and daemon.value("dynamo_metricsd_degraded") == 0)
        self.assert_serves(daemon, worker, counted + 1)
        worker.kill()
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), counted + 1)
        # It said so, and not at every turn.
        self.assertLess(daemon.log().count("\n"), 200)
        daemon.stop()

    def test_a_state_folder_that_becomes_read_only(self):
        folder = self.mount()
        daemon = self.daemon(config={"state": {"snapshot_ms": 50}}, DYN_METRICSD_STATE=folder)
        worker = self.counting(daemon)
        self.assert_serves(daemon, worker, 1)
        wait_for("a snapshot", lambda: names(folder) == ["snapshot"])
        wait_for("no child", lambda: not names(folder, "tmp."))
        subprocess.run(["mount", "-o", "remount,ro", folder], check=False)
        wait_for("a problem", lambda: self.read_only(daemon, folder))
        self.assert_serves(daemon, worker, 2)
        self.assertEqual(daemon.value("dynamo_metricsd_degraded"), 0)
        worker.kill()
        # The journal has it all.
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 2)
        self.remount(folder, "rw")
        wait_for("it to be well", lambda: self.problems(daemon) == [])
        daemon.stop()

    def read_only(self, daemon, folder):
        subprocess.run(["mount", "-o", "remount,ro", folder], check=False,
            stderr=subprocess.DEVNULL)
        return any("Read-only file system" in text for text in self.problems(daemon))

    def test_a_start_with_a_state_folder_that_is_read_only(self):
        folder = self.mount()
        daemon = self.daemon(DYN_METRICSD_STATE=os.path.join(folder, "state"))
        self.send(daemon)
        daemon.stop()
        self.remount(folder, "ro")
        self.start_again(daemon)
        self.assertEqual(daemon.value(TOTAL), 1)
        self.send(daemon)
        self.restart(daemon, signal.SIGKILL)
        self.assertEqual(daemon.value(TOTAL), 2)
        daemon.stop()
        self.assertIn("stopping without a last snapshot", daemon.log())
        self.start_again(daemon)
        self.assertEqual(daemon.value(TOTAL), 2)


if __name__ == "__main__":
    unittest.main()
