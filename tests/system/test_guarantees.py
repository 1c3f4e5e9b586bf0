# SPDX-License-Identifier: Apache-2.0
"""What docs/guarantees.md says about what may be lost, with real processes that are killed;
and that the tests it names exist."""
import glob
import json
import os
import re
import signal
import subprocess

from ctl_tool import ctl
from harness import SOURCE, Daemon, SystemTest, wait_for
from protocol_client import ProtocolClient

PAGE = os.path.join(SOURCE, "docs", "guarantees.md")
NEVER_MS = 3600 * 1000
FOLDED = "dynamo_metricsd_sessions_folded_total"


class Lost(SystemTest):
    """A worker that is gone has counted 1 and set a gauge; one that lives counts on, and
    sends only when it is told to. A script counted 10 and set a gauge to 4."""
    config = {"ingest": {"lease_ms": 2000, "grace_ms": 500}, "state": {"snapshot_ms": NEVER_MS}}
    SCRIPT = ('{"metrics":[{"name":"script_total","type":"counter","inc":10},'
        '{"name":"script_gauge","type":"gauge","set":4}]}')

    def setUp(self):
        self.running = self.daemon()
        gone = self.worker(self.running, "gone")
        gone.call("add", gone.metric("counter", (), "gone_total"), 1)
        gone.flush()
        gone.close()
        self.send(self.SCRIPT)
        self.living = self.worker(self.running, "living", flush_ms=NEVER_MS)
        self.count = self.living.metric("counter", (), "living_total")
        self.add(5)

    def send(self, message):
        done = ctl("send", message, DYN_METRICSD_ADDRESS=self.running.address)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def add(self, value, flush=True):
        self.living.call("add", self.count, value)
        if flush:
            self.living.flush()

    def journals(self):
        return glob.glob(os.path.join(self.running.folder, "journal.*"))

    def drop_journals(self):
        """As a reboot does, where they are in memory."""
        self.assertTrue(self.journals())
        for path in self.journals():
            os.unlink(path)

    def start_again(self):
        self.running.start().ready()

    def assert_values(self, **values):
        self.assertEqual({name: self.running.value("dynamo_" + name) for name in values}, values)

    def kept(self, living):
        self.assert_values(gone_total=1, script_total=10, script_gauge=4, living_total=living)

    def test_with_the_daemon_killed_is_nothing(self):
        self.running.kill()
        self.add(3, flush=False)
        self.start_again()
        self.living.flush()
        self.kept(8)
        self.assertEqual(self.running.value(FOLDED), 0)

    def test_with_a_worker_killed_is_what_it_had_not_flushed(self):
        self.add(3, flush=False)
        self.living.kill()
        wait_for("its death", lambda: self.running.value(FOLDED) == 2)
        self.kept(5)

    def test_with_both_killed_is_the_same_in_any_order(self):
        self.add(3, flush=False)
        self.living.kill()
        self.running.kill()
        self.start_again()
        self.kept(5)
        other = self.worker(self.running, "other", flush_ms=NEVER_MS)
        counter = other.metric("counter", (), "living_total")
        other.call("add", counter, 2)
        other.flush()
        other.call("add", counter, 2)
        self.running.kill()
        other.kill()
        self.start_again()
        self.kept(7)

    def test_with_the_machine_is_what_came_after_the_last_snapshot(self):
        self.running.stop()
        self.start_again()
        self.add(3)
        self.kept(8)
        self.running.kill()
        self.living.kill()
        self.drop_journals()
        self.start_again()
        self.kept(5)

    def without_the_others(self):
        self.living.flush()
        self.assert_values(gone_total=None, script_total=None, script_gauge=None, living_total=5)

    def empty_state_folder(self):
        self.running.stop()
        self.start_again()
        self.living.flush()
        self.kept(5)
        self.running.kill()
        for name in os.listdir(self.running.state):
            os.unlink(os.path.join(self.running.state, name))

    def test_with_both_folders_is_the_part_of_those_that_are_gone(self):
        self.empty_state_folder()
        self.drop_journals()
        self.start_again()
        self.without_the_others()

    def test_with_the_state_folder_alone_is_the_same(self):
        self.empty_state_folder()
        self.start_again()
        self.without_the_others()
        self.assertTrue(glob.glob(os.path.join(self.running.folder, "journal.*.bad-*")))

    def test_with_a_damaged_snapshot_is_the_same_and_it_is_set_aside(self):
        self.running.stop()
        path = os.path.join(self.running.state, "snapshot")
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        self.start_again()
        self.without_the_others()
        self.assertTrue(glob.glob(path + ".bad-*"), os.listdir(self.running.state))
        self.assertEqual(self.running.value("dynamo_metricsd_state_set_aside_total"), 1)

    def test_with_nothing_kept_is_the_part_of_those_that_are_gone(self):
        other = self.daemon(config={"state": {"path": ""}}, DYN_METRICSD_STATE=None)
        worker = self.worker(other)
        worker.call("add", worker.metric("counter", (), "living_total"), 5)
        worker.flush()
        other.kill()
        other.start().ready()
        worker.flush()
        self.assertEqual(other.value("dynamo_living_total"), 5)
        self.assertFalse(glob.glob(os.path.join(other.folder, "journal.*")))

    def test_without_a_journal_is_what_came_after_the_last_snapshot(self):
        other = self.daemon(config={"state": {"journal": False, "snapshot_ms": NEVER_MS}})
        worker = self.worker(other)
        worker.call("add", worker.metric("counter", (), "living_total"), 5)
        worker.flush()
        ctl("send", self.SCRIPT, DYN_METRICSD_ADDRESS=other.address)
        other.stop()
        other.start().ready()
        ctl("send", self.SCRIPT, DYN_METRICSD_ADDRESS=other.address)
        other.kill()
        other.start().ready()
        worker.flush()
        self.assertEqual(other.value("dynamo_living_total"), 5)
        self.assertEqual(other.value("dynamo_script_total"), 10)

    def on_a_small_disk(self, snapshot_ms):
        """The daemon moves to a disk of its own; how to fill it up."""
        disk = self.folder()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "dynm", disk],
                stderr=subprocess.DEVNULL, check=False).returncode != 0:
            self.skipTest("only root can mount")
        self.addCleanup(subprocess.run, ["umount", "-l", disk], check=True)
        self.living.close()
        self.running = Daemon(disk, config={"state": {"snapshot_ms": snapshot_ms}})
        self.addCleanup(self.running.clean_up)
        self.running.log_file = os.path.join(self.folder(), "stderr")
        self.running.start().ready()
        self.living = self.worker(self.running, "living", flush_ms=NEVER_MS)
        self.count = self.living.metric("counter", (), "living_total")
        self.add(5)
        self.send(self.SCRIPT)

        def fill_up():
            with open(os.path.join(disk, "filler"), "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    return file.name

        return fill_up

    def test_with_a_full_disk_is_nothing_and_then_with_the_daemon_what_cannot_come_again(self):
        filler = self.on_a_small_disk(NEVER_MS)()
        # A page of the journal may have room still.
        for _ in range(100):
            self.send(self.SCRIPT)
        self.add(3)
        self.assert_values(script_total=1010, living_total=8)
        health = self.running.get("/health")
        self.assertEqual(health.status, 200)
        self.assertIn("No space left on device", json.loads(health.text)["problems"][0])
        self.assertEqual(self.running.value("dynamo_metricsd_degraded"), 1)
        self.running.kill()
        os.unlink(filler)
        self.start_again()
        self.living.flush()
        self.assert_values(living_total=8)
        self.assertLess(self.running.value("dynamo_script_total"), 1010)
        self.assertGreaterEqual(self.running.value("dynamo_script_total"), 10)

    def test_with_a_disk_that_has_room_again_is_nothing(self):
        filler = self.on_a_small_disk(100)()
        for _ in range(100):
            self.send(self.SCRIPT)
        wait_for("the full disk", lambda: self.running.value("dynamo_metricsd_degraded") == 1)
        os.unlink(filler)
        wait_for("the snapshot", lambda: self.running.value("dynamo_metricsd_degraded") == 0)
        self.assertEqual(json.loads(self.running.get("/health").text)["problems"], [])
        self.add(3)
        self.running.kill()
        self.start_again()
        self.assert_values(script_total=1010, living_total=8)

    def test_of_a_worker_that_was_stopped_and_forgotten_is_one_batch_and_nothing_twice(self):
        other = self.daemon(config={"limits": {"folded": 1},
            "ingest": {"lease_ms": 300, "grace_ms": 100}})
        workers = [self.worker(other) for _ in range(3)]
        for worker in workers:
            worker.call("add", worker.metric("counter", (), "n_total"), 5)
            worker.flush()
        for worker in workers:
            worker.process.send_signal(signal.SIGSTOP)
        wait_for("the lease", lambda: other.value(FOLDED) == 3)
        self.assertEqual(other.value("dynamo_metricsd_sessions_remembered"), 1)
        for worker in workers:
            worker.process.send_signal(signal.SIGCONT)
            worker.call("add", worker.metric("counter", (), "n_total"), 1)
            worker.flush()
        # Two were forgotten: what they had just sent may be missing, and nothing else.
        total = other.value("dynamo_n_total")
        self.assertIn(total, (16, 17, 18))
        for worker in workers:
            worker.call("add", worker.metric("counter", (), "n_total"), 1)
            worker.flush()
        self.assertEqual(other.value("dynamo_n_total"), total + 3)

    def test_of_a_message_with_an_id_is_nothing_and_it_counts_once(self):
        message = '{"id":"a-1","metrics":[{"name":"once_total","type":"counter","inc":1}]}'
        self.send(message)
        self.running.kill()
        self.start_again()
        self.send(message)
        self.running.stop()
        self.start_again()
        self.send(message)
        self.assert_values(once_total=1)

    def test_of_a_message_without_an_id_is_nothing_when_its_request_comes_again(self):
        message = b'{"metrics":[{"name":"once_total","type":"counter","inc":1}]}'
        for _ in range(2):
            client = ProtocolClient(self.running.socket)
            client.request_id = 6
            self.assertEqual(json.loads(client.exchange(message)), {"ok": True})
            client.socket.close()
            self.running.kill()
            self.start_again()
        self.assert_values(once_total=1)

    def test_is_told_where_it_shows(self):
        status = json.loads(ctl("status", "--json",
            DYN_METRICSD_ADDRESS=self.running.address).stdout)
        health = json.loads(self.running.get("/health").text)
        self.assertEqual((status["state"]["problems"], health["problems"]), ([], []))
        self.assertEqual(status["state"]["path"], self.running.state)
        self.assertFalse(status["state"]["degraded"])
        self.assertGreater(status["state"]["journal_bytes"], 0)
        self.assertIsNone(status["state"]["snapshot_age_s"])
        self.running.stop()
        self.start_again()
        status = json.loads(ctl("status", "--json",
            DYN_METRICSD_ADDRESS=self.running.address).stdout)
        self.assertLess(status["state"]["snapshot_age_s"], 600)
        self.assertGreater(status["state"]["snapshot_bytes"], 0)
        shown = ctl("status", DYN_METRICSD_ADDRESS=self.running.address).stdout
        self.assertRegex(shown, r"\nstate in \S+: snapshot [^,]+ ago, [^,;]+; "
            r"journal \d+, [\d.]+ \w+\n\n")


class Named(SystemTest):
    """The tests that the page names."""

    def known(self):
        names = set()
        for path in glob.glob(os.path.join(SOURCE, "tests", "check_*.c")):
            suite = os.path.basename(path)[:-2]
            with open(path, encoding="utf-8") as file:
                names |= {f"{suite}: {test}"
                    for test in re.findall(r"START_TEST\((\w+)\)", file.read())}
        for path in glob.glob(os.path.join(SOURCE, "tests", "system", "test_*.py")):
            module = os.path.basename(path)[:-3]
            with open(path, encoding="utf-8") as file:
                names |= {f"{module}: {test}"
                    for test in re.findall(r"^    def (test_\w+)\(", file.read(), re.M)}
        return names

    def test_exist(self):
        with open(PAGE, encoding="utf-8") as file:
            text = file.read()
        named = re.findall(r"`((?:check|test)_\w+: \w+)`", text)
        self.assertGreater(len(named), 20)
        self.assertEqual(sorted(set(named) - self.known()), [])

    def test_are_there_for_each_line_of_what_may_be_lost(self):
        with open(PAGE, encoding="utf-8") as file:
            table = file.read().split("## What may be lost", 1)[1].split("\n## ", 1)[0]
        rows = [row for row in re.findall(r"^\| (.*) \|$", table, re.M)
            if not row.startswith(("what happens", "---"))]
        self.assertGreater(len(rows), 10)
        for row in rows:
            self.assertRegex(row, r"`(?:check|test)_\w+: \w+`")
