# SPDX-License-Identifier: Apache-2.0
"""dynamo-metricsctl remove and log-level: what an administrator does, and nobody else."""
import json
import os
import socket
import struct
import subprocess

import harness
from ctl_tool import COUNT, Ctl, LINE, OK, REFUSED, USAGE, ctl
from protocol_client import ProtocolClient


def metric(name, labels=None, where=None, kind="counter", **update):
    return json.dumps({**(where or {}), "metrics": [
        {"name": name, "type": kind, "labels": labels or {}, **update}]})


class Administration(Ctl):
    def setUp(self):
        super().setUp()
        self.running = self.daemon()
        self.address = {"DYN_METRICSD_ADDRESS": self.running.address}

    def removed(self, *arguments):
        return self.expect(OK, "remove", *arguments, **self.address).splitlines()

    def send(self, *messages):
        self.expect(OK, "send", *messages, **self.address)


class Remove(Administration):
    def test_a_series_is_gone_with_all_that_was_counted(self):
        self.send(COUNT)
        self.assertEqual(self.removed("my_counter"), [LINE, "1 series removed"])
        self.assertEqual(self.running.workers_page(), "")
        self.assertEqual(
            self.running.value('dynamo_metricsd_series_removed_total{cause="admin"}'), 1)
        self.send(COUNT)
        self.assertEqual(self.running.value(LINE), 14)

    def test_the_name_may_have_its_prefix(self):
        self.send(COUNT)
        self.assertEqual(self.removed("dynamo_my_counter")[-1], "1 series removed")

    def test_a_dry_run_changes_nothing(self):
        self.send(COUNT, metric("my_counter", {"a": "1"}, inc=1))
        page = self.running.workers_page()
        self.assertEqual(sorted(self.removed("my_counter", "--dry-run")),
            ["2 series would be removed", 'dynamo_my_counter{a="1"}', LINE])
        self.assertEqual(self.running.workers_page(), page)
        self.assertNotIn("removed", self.running.log())
        self.assertEqual(
            self.running.value('dynamo_metricsd_series_removed_total{cause="admin"}'), 0)

    def test_labels_and_a_level_narrow_it(self):
        place = {"namespace": "n", "component": "c"}
        self.send(*(metric("jobs_total", {"queue": queue, "host": host}, where, inc=1)
            for queue in ("a", "b") for host in ("x", "y") for where in ({}, place)))
        self.assertEqual(self.removed("jobs_total", "queue=a", "host=x", "--level", "n/c"),
            ['dynamo_jobs_total{namespace="n",component="c",host="x",queue="a"}',
             "1 series removed"])
        self.assertEqual(len(self.removed("jobs_total", "--level", "n")), 3 + 1)
        self.assertEqual(len(self.removed("jobs_total", "queue=b")), 2 + 1)
        self.assertEqual(self.running.workers_page(), "# TYPE dynamo_jobs_total counter\n"
            'dynamo_jobs_total{host="x",queue="a"} 1\ndynamo_jobs_total{host="y",queue="a"} 1\n')

    def test_what_live_workers_define_begins_again(self):
        client = ProtocolClient(self.running.socket)
        cell = client.counter("x_total", "", "n")
        client.update({cell: 5.0})
        self.send(metric("x_total", {"dead": "1"}, {"namespace": "n"}, inc=3))
        self.assertEqual(sorted(self.removed("x_total")), [
            "1 series removed, 1 that live workers define begins again",
            'dynamo_x_total{namespace="n",dead="1"}', 'dynamo_x_total{namespace="n"}'])
        self.assertEqual(self.running.workers_page(),
            '# TYPE dynamo_x_total counter\ndynamo_x_total{namespace="n"} 0\n')
        client.update({cell: 7.0})
        self.assertEqual(self.running.value('dynamo_x_total{namespace="n"}'), 2)
        self.assertEqual(self.removed("x_total", "--dry-run")[-1],
            "0 series would be removed, 1 that live workers define would begin again")
        client.close()

    def test_a_live_workers_gauge_is_back_when_it_changes(self):
        worker = self.worker(self.running)
        gauge = worker.metric("gauge", ("n",), "depth")
        worker.call("set", gauge, 3)
        worker.flush()
        self.assertEqual(self.running.value('dynamo_depth{namespace="n"}'), 3)
        self.removed("depth")
        self.assertIsNone(self.running.value('dynamo_depth{namespace="n"}'))
        worker.call("set", gauge, 3)
        worker.flush()
        self.assertIsNone(self.running.value('dynamo_depth{namespace="n"}'))
        worker.call("set", gauge, 4)
        worker.flush()
        self.assertEqual(self.running.value('dynamo_depth{namespace="n"}'), 4)

    def test_very_many_series_are_not_all_listed(self):
        self.send(*(json.dumps({"metrics": [{"name": "many_total", "type": "counter",
            "labels": {"i": str(part * 400 + i)}, "inc": 1} for i in range(400)]})
            for part in range(3)))
        lines = self.removed("many_total", "--dry-run")
        self.assertEqual(lines[-2:], ["... and 200 more", "1200 series would be removed"])
        self.assertEqual(len(lines), 1002)

    def test_the_answer_can_be_had_as_it_is(self):
        self.send(COUNT)
        self.assertEqual(json.loads(
            self.expect(OK, "remove", "my_counter", "--json", **self.address)),
            {"removed": 1, "reset": 0, "dry_run": False, "series": [LINE]})

    def test_it_is_an_error_if_there_is_nothing_like_that(self):
        self.send(COUNT)
        for words in (["other"], ["my_counter", "a=b"], ["my_counter", "--level", "other"],
                ["dynamo_metricsd_workers"]):
            with self.subTest(words):
                self.expect(REFUSED, "remove", *words, says="no such series", **self.address)
        self.assertEqual(json.loads(self.expect(REFUSED, "remove", "other", "--json",
            says="no such series", **self.address))["removed"], 0)
        self.expect(REFUSED, "remove", "a b", says="refused: name: ", **self.address)
        self.assertEqual(self.running.value(LINE), 14)

    def test_another_user_is_refused_and_logged(self):
        self.send(COUNT)
        os.chmod(self.running.folder, 0o755)
        os.chmod(self.running.socket, 0o666)
        for words in (["remove", "my_counter"], ["remove", "my_counter", "--dry-run"],
                ["log-level", "debug"], ["tail", "--count", "1"]):
            with self.subTest(words):
                done = self.as_nobody(self.running.address, *words)
                self.assertEqual((done.returncode, done.stdout), (REFUSED, ""), done.stderr)
                self.assertIn("refused: owner: only root and the daemon's own user (uid 0)",
                    done.stderr)
        self.assertEqual(self.running.value(LINE), 14)
        self.assertRegex(self.running.log(),
            r"refused \(owner\) from pid \d+, uid 65534: only root")
        # What everybody may, that user may.
        self.assertEqual(self.as_nobody(self.running.address, "status").returncode, OK)
        self.assertEqual(self.as_nobody(self.running.address, "send", COUNT).returncode, OK)

    def test_the_daemons_own_user_may(self):
        address = f"ipc://{self.folder_path}/ingest.ipc"
        daemon = subprocess.Popen(self.nobody(harness.DAEMON), stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=harness.clean_environment(
                DYN_METRICSD_ADDRESS=address, DYN_SYSTEM_ENABLED="0"))
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        harness.wait_for("the daemon",
            lambda: ctl("-a", address, "status").returncode == OK)
        done = self.as_nobody(address, "log-level", "debug")
        self.assertEqual((done.returncode, done.stderr), (OK, ""))
        self.expect(OK, "-a", address, "log-level", "info")

    def test_a_push_is_nobody(self):
        """It has no answer, and comes from wherever a device takes it."""
        self.send(COUNT)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as push:
            push.connect(self.running.socket)
            push.sendall(b"\0SP\0\0\x50\0\0")
            command = b'{"command":"remove","name":"my_counter"}'
            message = b"DYNM\1\x09\0\0" + struct.pack("<I", len(command)) + command
            push.sendall(struct.pack(">BQ", 1, len(message)) + message)
            harness.wait_for("the refusal", lambda: self.running.value(
                'dynamo_metricsd_refused_total{reason="owner"}') == 1)
        self.assertEqual(self.running.value(LINE), 14)

    def test_who_removed_something_is_logged(self):
        self.send(COUNT)
        self.removed("my_counter")
        self.assertRegex(self.running.log(),
            r"info: apply: removed: 1 series of 'my_counter', and 0 begin again, "
            r"by pid \d+, uid \d+\n")


class LogLevel(Administration):
    def test_debug_shows_registrations_at_once(self):
        client = ProtocolClient(self.running.socket)
        client.counter("before_total", "")
        self.assertEqual(self.expect(OK, "log-level", "debug", **self.address),
            "the log level is debug; it was info\n")
        client.counter("after_total", "", "n")
        self.assertIn("registered counter 'after_total' at n by worker '0'",
            self.running.log())
        self.assertNotIn("before_total", self.running.log())
        self.expect(OK, "log-level", "info", **self.address)
        client.counter("later_total", "")
        self.assertNotIn("later_total", self.running.log())
        client.close()

    def test_it_is_logged_who_changed_it(self):
        self.expect(OK, "log-level", "error", **self.address)
        self.assertRegex(self.running.log(),
            r"log level: error instead of info, by pid \d+, uid \d+\n")
        self.expect(REFUSED, "send", "{", says="json", **self.address)
        self.assertNotIn("refused", self.running.log())

    def test_a_level_that_there_is_not_is_refused(self):
        self.expect(REFUSED, "log-level", "loud", says='refused: field: \'level\' has to be '
            '"error", "warning", "info" or "debug"', **self.address)
        self.expect(USAGE, "log-level", says="one level", **self.address)


del Administration, Ctl
