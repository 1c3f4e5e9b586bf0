# SPDX-License-Identifier: Apache-2.0
"""dynamo-metricsctl tail: messages as they come, with who sent them and what came of it."""
import json
import os
import re
import signal
import subprocess
import threading

import harness
from ctl_tool import COUNT, Ctl, OK, UNREACHABLE, ctl
from protocol_client import ProtocolClient, Refused


class Tail(Ctl):
    def setUp(self):
        super().setUp()
        self.running = self.daemon()
        self.address = {"DYN_METRICSD_ADDRESS": self.running.address}
        self.lines = []

    def tail(self, *arguments):
        """A tail that is known to have begun: it has shown a STATUS."""
        process = self.started("tail", *arguments, **self.address)

        def read():
            for line in process.stdout:
                self.lines.append(line.rstrip("\n"))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(process.kill)
        harness.wait_for("tail", lambda: ctl("status", **self.address) and self.lines)
        return process

    def shows(self, pattern):
        """Wait for a line like that, and return what matched."""
        def find():
            return next(filter(None, (re.search(pattern, line) for line in self.lines)), None)
        try:
            return harness.wait_for(pattern, find)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.lines])) from None

    def test_each_message_is_a_line_with_its_sender_and_its_answer(self):
        self.tail()
        who = rf"^\d\d:\d\d:\d\d\.\d\d\d pid {os.getpid()} uid {os.getuid()} '0' "
        client = ProtocolClient(self.running.socket)
        self.shows(who + r"HELLO bytes=\d+ -> NEW$")
        cell = client.counter("x_total", "")
        self.shows(who + r"DEFINE n=1 count=2 bytes=\d+ -> ACK$")
        client.update({cell: 1.0})
        self.shows(who + r"UPDATE n=2 count=1 bytes=48 -> ACK$")
        client.close()
        self.shows(who + r"BYE bytes=24 -> OK$")
        self.expect(OK, "send", COUNT, **self.address)
        self.shows(r"pid \d+ uid \d+ JSON bytes=\d+ " + re.escape(COUNT) + "$")
        self.assertNotIn("ADMIN", "\n".join(self.lines))

    def test_what_is_refused_is_told_with_its_reason(self):
        self.tail()
        client = ProtocolClient(self.running.socket)
        cell = client.counter("x_total", "")
        client.update({cell: 2.0})
        with self.assertRaises(Refused):
            client.update({cell: 1.0})
        self.shows(r"'0' UPDATE n=3 count=1 bytes=48 -> REFUSED, refused: value: .*\w")
        with self.assertRaises(Refused):
            client.counter("bad name", "")
        self.shows(r"'0' DEFINE n=4 .* -> ACK, refused \(the first of 2\): name: .*bad name")
        ctl("send", '{"metrics":[{"name":"x_total","type":"gauge","set":1}]}', **self.address)
        self.shows(r'JSON bytes=\d+ \{"metrics".* -> refused: type: .*\w')
        client.socket.close()

    def test_a_connection_that_is_closed_is_told(self):
        self.tail()
        client = ProtocolClient(self.running.socket)
        client.socket.sendall(b"nonsense!")
        self.shows(rf"pid {os.getpid()} uid {os.getuid()} -> closed, refused: message: .*frames")
        client.socket.close()

    def test_a_very_long_message_is_shortened(self):
        self.tail()
        ctl("send", '{"metrics":[{"name":"' + "x" * 5000 + '"}]}', **self.address)
        found = self.shows(r"JSON bytes=50\d\d (.*) -> refused")
        self.assertTrue(found.group(1).endswith("xxx..."))
        self.assertLess(len(found.group(1)), 300)

    def test_it_ends_after_so_many_messages(self):
        process = self.started("tail", "--count", "2", **self.address)
        harness.wait_for("the end of tail",
            lambda: ctl("status", **self.address) and process.poll() is not None)
        self.assertEqual(process.returncode, OK)
        self.assertEqual(len(process.stdout.read().splitlines()), 2)

    def test_it_can_be_had_as_json(self):
        self.tail("--json")
        ctl("send", '{"x":1}', **self.address)
        self.shows("JSON")
        message = json.loads(self.lines[-1])
        self.assertEqual((message["type"], message["bytes"], message["uid"],
            message["refused"], message["reason"], message["json"]),
            ("JSON", 7, os.getuid(), 1, "field", '{"x":1}'))

    def test_ctrl_c_ends_it(self):
        code, said = self.interrupted(self.tail())
        self.assertEqual((code, said), (-signal.SIGINT, ""))

    def test_a_reader_that_leaves_ends_it(self):
        process = self.started("tail", **self.address)
        process.stdout.close()
        harness.wait_for("the end of tail",
            lambda: ctl("status", **self.address) and process.poll() is not None)
        process.stdout = open(os.devnull, encoding="ascii")

    def test_a_full_disk_ends_it(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            process = subprocess.Popen([harness.CTL, "tail"], stdout=full,
                stderr=subprocess.PIPE, encoding="ascii",
                env=harness.clean_environment(**self.address))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stderr.close)
        harness.wait_for("the end of tail",
            lambda: ctl("status", **self.address) and process.poll() is not None)
        self.assertEqual((process.returncode, process.stderr.read()), (UNREACHABLE,
            "dynamo-metricsctl: standard output cannot be written\n"))

    def test_what_came_too_fast_is_told(self):
        process = self.tail()
        process.send_signal(signal.SIGSTOP)
        client = ProtocolClient(self.running.socket)
        for _ in range(3000):
            client.request(0x05, client.ticket, 0x87)
        process.send_signal(signal.SIGCONT)
        self.shows(r"'0' PING ")
        code, said = self.interrupted(process)
        missed = re.fullmatch(
            r"dynamo-metricsctl: (\d+) messages came too fast to be shown\n", said)
        self.assertEqual(code, -signal.SIGINT)
        self.assertGreaterEqual(int(missed.group(1)), 3000 - 2048)
        client.close()

    def test_it_ends_when_the_daemon_is_gone(self):
        process = self.tail("-t", "500")
        self.running.stop()
        self.assertEqual(process.wait(harness.DEADLINE_S), UNREACHABLE)


del Ctl
