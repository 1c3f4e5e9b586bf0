# SPDX-License-Identifier: Apache-2.0
"""What a daemon keeps over its end, however it ends and whatever its files are: with real
daemons and workers."""
import json
import os
import random
import signal
import stat
import unittest

from harness import wait_for
from state import TOTAL, State, names


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


if __name__ == "__main__":
    unittest.main()
