# SPDX-License-Identifier: Apache-2.0
"""dynamo-metricsctl against a real daemon, and against all that may be there instead."""
import json
import os
import re
import socket
import struct
import subprocess
import time

import harness
from ctl_tool import (COUNT, Ctl, HEADER, LINE, OK, REFUSED, UNREACHABLE, USAGE, ctl,
    read_request)
from protocol_client import ProtocolClient, Refused, text

COMMANDS = ("send", "expose", "status", "remove", "log-level", "tail", "bridge")
# Each with arguments that are right.
CALLS = (["send", COUNT], ["expose"], ["status"], ["remove", "x"], ["log-level", "info"],
    ["tail", "--count", "1"], ["bridge", "ipc:///nowhere/at/all"])


class WithDaemon(Ctl):
    def setUp(self):
        super().setUp()
        self.running = self.daemon()
        self.address = {"DYN_METRICSD_ADDRESS": self.running.address}

    def test_send_takes_a_message_from_everywhere(self):
        path = os.path.join(self.folder_path, "message.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(" \n" + COUNT + "\n")
        ways = ([COUNT], ["@" + path], ["-f", path], ["--file", path], ["-"], ["-f", "-"])
        for count, way in enumerate(ways, 1):
            with self.subTest(way=way):
                self.assertEqual(self.expect(OK, "send", *way, stdin=COUNT, **self.address), "")
                self.assertEqual(self.running.value(LINE), 14 * count)

    def test_an_address_on_the_command_line_wins(self):
        self.expect(OK, "--address", self.running.address, "send", COUNT,
            DYN_METRICSD_ADDRESS="ipc:///nowhere")
        self.expect(OK, "send", "-a", self.running.address, COUNT)
        self.assertEqual(self.running.value(LINE), 28)

    def test_send_says_what_was_refused_and_why(self):
        message = ('{"metrics":[{"name":"good_total","type":"counter","inc":1},'
            '{"name":"bad name","type":"counter","inc":1},'
            '{"name":"down_total","type":"counter","inc":-1}]}')
        done = ctl("send", message, **self.address)
        self.assertEqual(done.returncode, REFUSED)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 2, done.stderr)
        self.assertTrue(lines[0].startswith("refused: bad name (metric 1): name: "))
        self.assertTrue(lines[1].startswith("refused: down_total (metric 2): value: "))
        self.assertEqual(self.running.value("dynamo_good_total"), 1)

    def test_send_says_why_a_message_was_refused_as_a_whole(self):
        self.expect(REFUSED, "send", '{"metrics":[', says="refused: json: ", **self.address)
        self.expect(REFUSED, "send", '{"metric":[]}', says="refused: field: ", **self.address)
        self.expect(REFUSED, "send", '{"metrics":[' + " " * 70000 + "]}",
            says="refused: length: ", **self.address)

    def test_send_prints_the_answer_as_it_is(self):
        self.assertEqual(json.loads(self.expect(OK, "send", "--json", COUNT, **self.address)),
            {"ok": True})
        done = ctl("send", "--json", '{"metrics":[{"name":"x"}]}', **self.address)
        self.assertEqual(done.returncode, REFUSED)
        self.assertEqual(json.loads(done.stdout)["errors"][0]["metric"], "x")

    def test_send_takes_many_messages_from_each_of_many_places(self):
        path = os.path.join(self.folder_path, "messages.ndjson")
        with open(path, "w", encoding="utf-8") as file:
            file.write(COUNT + "\n" + COUNT + "\n\n" + COUNT.replace(",", ",\n  "))
        self.expect(OK, "send", COUNT + COUNT, "@" + path, "-", "-f", path,
            stdin=COUNT + "\n" + COUNT, **self.address)
        self.assertEqual(self.running.value(LINE), 14 * 10)

    def test_send_tells_which_of_many_messages_was_refused(self):
        bad = '{"metrics":[{"name":"a b","type":"counter","inc":1}]}'
        done = ctl("send", COUNT, bad, "-", stdin=COUNT + '\n{"metrics":[}\n' + COUNT + bad,
            **self.address)
        self.assertEqual(done.returncode, REFUSED)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 4, done.stderr)
        self.assertTrue(lines[0].startswith("message 2: refused: a b (metric 0): name: "))
        self.assertTrue(lines[1].startswith("message 4: refused: json: "))
        self.assertTrue(lines[2].startswith("message 6: refused: a b (metric 0): name: "))
        self.assertEqual(lines[3],
            "dynamo-metricsctl: 3 of 6 messages were refused, whole or in part")
        self.assertEqual(self.running.value(LINE), 14 * 3)
        for arguments in ([bad, COUNT], [bad + "\n" + COUNT]):
            self.assertTrue(ctl("send", *arguments, **self.address).stderr.startswith(
                "message 1: refused: a b (metric 0): name: "))
        done = ctl("send", "--json", COUNT, bad, **self.address)
        self.assertEqual([json.loads(line)["ok"] for line in done.stdout.splitlines()],
            [True, False])

    def test_send_ends_where_there_is_no_message(self):
        self.expect(USAGE, "send", "-", stdin=COUNT + "hello" + COUNT,
            says="after message 1: a message is a JSON object", **self.address)
        self.assertEqual(self.running.value(LINE), 14)

    def test_send_passes_each_message_on_when_it_is_there(self):
        process = subprocess.Popen([harness.CTL, "send", "-"], stdin=subprocess.PIPE,
            env=harness.clean_environment(**self.address))
        self.addCleanup(process.wait)
        for count in range(1, 4):
            process.stdin.write(COUNT.encode())
            process.stdin.flush()
            harness.wait_for("the message", lambda: self.running.value(LINE) == 14 * count)
        process.stdin.close()
        self.assertEqual(process.wait(harness.DEADLINE_S), OK)

    def test_send_stops_when_the_daemon_is_gone(self):
        process = subprocess.Popen([harness.CTL, "-t", "300", "send", "-"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
            env=harness.clean_environment(**self.address))
        self.addCleanup(process.wait)
        self.addCleanup(process.stderr.close)
        process.stdin.write(COUNT.encode())
        process.stdin.flush()
        harness.wait_for("the message", lambda: self.running.value(LINE) == 14)
        self.running.stop()
        with process.stdin:
            process.stdin.write(COUNT.encode())
        self.assertEqual(process.wait(harness.DEADLINE_S), UNREACHABLE)
        self.assertIn(b"dynamo-metricsctl: message 2: ", process.stderr.read())

    def test_expose_prints_a_level_and_what_is_below_it(self):
        for where in ('"namespace":"dynamo","component":"a/b",', '"namespace":"dynamo",',
                '"namespace":"other",', ""):
            self.expect(OK, "send", "{" + where
                + '"metrics":[{"name":"x_total","type":"counter","inc":1}]}', **self.address)
        head = "# TYPE dynamo_x_total counter\n"
        below = 'dynamo_x_total{namespace="dynamo",component="a/b"} 1\n'
        own = 'dynamo_x_total{namespace="dynamo"} 1\n'
        everything = self.expect(OK, "expose", **self.address)
        self.assertEqual(harness.without_own(everything), self.running.workers_page())
        self.assertIn("dynamo_metricsd_workers", everything)
        page = self.expect(OK, "expose", "dynamo", **self.address)
        self.assertEqual(sorted(page.splitlines()), sorted((head + below + own).splitlines()))
        self.assertEqual(self.expect(OK, "expose", "dynamo", "a/b", **self.address),
            head + below)
        self.assertEqual(self.expect(OK, "expose", "dynamo/a/b", **self.address), "")
        self.assertEqual(self.expect(OK, "expose", "nowhere", **self.address), "")

    def test_status_shows_the_workers(self):
        client = ProtocolClient(self.running.socket)
        client.update({client.counter("x_total", ""): 1.0})
        raw = json.loads(self.expect(OK, "status", "--json", **self.address))
        self.assertEqual(raw["series"]["counter"], 1)
        self.assertEqual([(w["name"], w["pid"], w["uid"], w["last"], w["library"])
            for w in raw["workers"]], [("0", os.getpid(), os.getuid(), 2, "python")])
        shown = self.expect(OK, "status", **self.address)
        self.assertRegex(shown, r"^dynamo-metricsd [0-9.]+, up ")
        self.assertIn("\n1 families; series: 1 counters, 0 gauges, 0 histograms\n", shown)
        self.assertIn(
            "\n1 workers; so far 0 were folded, 0 of them are remembered; lease 15.0 s\n", shown)
        self.assertIn("\n2 connections; so far: 5 messages, 0 of them sent again, 0 things refused, "
            "0 updates dropped by workers\n", shown)
        self.assertRegex(shown,
            rf"\nstate in {self.running.state}: no snapshot yet; journal 1, \d+ bytes\n\n")
        self.assertRegex(shown,
            r"\nWORKER +PID +UID +STATE +AGE +IDLE +UPDATED +SERIES +REFUSED +LIBRARY\n"
            rf"0 +{os.getpid()} +{os.getuid()} +connected +\d+.* 1 +0 +python\n$")
        client.close()

    def test_status_can_be_read_whatever_a_worker_calls_itself(self):
        client = ProtocolClient(self.running.socket)
        for i, name in enumerate((b"\xff\xfe", "\u00e9".encode() * 40, b'"\n\\', b"\xe2\x82" * 20)):
            for worker, version in ((name, b""), (b"", name)):
                try:
                    client.request(0x01, bytes([i + 1, len(worker)]) * 8 + bytes(17)
                        + struct.pack("<H", len(worker)) + worker
                        + struct.pack("<H", len(version)) + version, 0x81)
                except Refused:
                    pass  # that is one way to keep it readable
        json.loads(self.expect(OK, "status", "--json", **self.address))
        self.expect(OK, "status", **self.address)

    def test_workers_with_one_long_name_have_names_of_their_own(self):
        wish = "x" + "\u00e9" * 31  # 63 bytes: the most there can be
        names = set()
        clients = []
        for i in range(12):
            clients.append(ProtocolClient(self.running.socket))
            new = clients[-1].request(0x01, bytes([i]) * 16 + bytes(17) + text(wish) + text(""),
                0x81)
            names.add(new[26:26 + int.from_bytes(new[24:26], "little")].decode("utf-8"))
        self.assertEqual(len(names), 12, names)
        self.assertIn(wish, names)
        shown = json.loads(self.expect(OK, "status", "--json", **self.address))["workers"]
        self.assertLessEqual(names, {worker["name"] for worker in shown})

    def test_an_answer_that_is_too_long_is_refused(self):
        path = os.path.join(self.folder_path, "config.json")
        with open(path, "w", encoding="ascii") as file:
            file.write('{"ingest":{"message_bytes":4096,"json_bytes":1024}}')
        daemon = self.daemon(arguments=["--config", path])
        address = {"DYN_METRICSD_ADDRESS": daemon.address}
        self.expect(REFUSED, "expose", says="refused: limit: ", **address)
        self.expect(OK, "expose", "n", **address)
        clients = [ProtocolClient(daemon.socket) for _ in range(40)]
        self.expect(REFUSED, "status", says="refused: limit: ", **address)
        for client in clients:
            client.socket.close()

    def test_a_level_that_cannot_be_is_told(self):
        for level in ("a/b/c/d", "a//c", "/", "x" * 129):
            with self.subTest(level=level):
                self.expect(USAGE, "expose", level, says="dynamo-metricsctl: ", **self.address)
        self.expect(USAGE, "expose", "a", "b", "c", "d", says="at most", **self.address)


class WithoutDaemon(Ctl):
    def test_it_explains_itself(self):
        shown = self.expect(OK, "--help")
        for word in (*COMMANDS, "--address", "--timeout-ms", "Exit status"):
            self.assertIn(word, shown)
        for command in COMMANDS:
            with self.subTest(command):
                text = self.expect(OK, command, "--help")
                self.assertIn(f" {command} ", text.splitlines()[0])
                self.assertEqual(self.expect(OK, "-h", command), text)
                for line in text.splitlines()[1:]:
                    self.assertLessEqual(len(line), 80, line)
        self.assertRegex(self.expect(OK, "--version"), r"^dynamo-metricsctl \d+\.\d+\.\d+\n$")

    def test_the_example_of_its_help_is_a_message(self):
        shown = self.expect(OK, "send", "--help")
        message = re.search(r"ctl send '(.*?)'", shown, re.S).group(1)
        daemon = self.daemon()
        self.expect(OK, "send", message, DYN_METRICSD_ADDRESS=daemon.address)
        self.assertEqual(daemon.value(
            'dynamo_jobs_total{namespace="dynamo",component="backend"}'), 1)

    def test_a_wrong_command_line_is_told(self):
        for words, says in (
                ([], "say a command"), (["sned"], "no command 'sned'; did you mean 'send'?"),
                (["log_level"], "did you mean 'log-level'?"), (["frobnicate"], "'frobnicate'\n"),
                (["send"], "no message to send"), (["send", "hello"], "JSON object"),
                (["send", ""], "no message to send"), (["send", "-"], "no message to send"),
                (["send", "@/nowhere"], "/nowhere: No such file"),
                (["send", "-f", "/nowhere"], "/nowhere: No such file"),
                (["send", "@/"], "Is a directory"), (["send", "@/dev/zero"], "NUL"),
                (["send", "--level", "x", COUNT], "no --level"), (["status", "x"], "no argument"),
                (["status", "--count", "1"], "no --count"), (["status", "-f", "x"], "no --file"),
                (["expose", "--json"], "no --json"), (["expose", "--dry-run"], "no --dry-run"),
                (["remove"], "NAME of a metric"), (["remove", "x", "y"], "no label=value"),
                (["remove", "x", "=y"], "no label=value"),
                (["remove", "x", "a=1", "a=2"], "'a' is there twice"),
                (["remove", "x", "--level", "a//b"], "component"),
                (["remove", "x", "--level", "a/b/c/d"], "more than three"),
                (["remove", "x", "-f", "y"], "no --file"), (["remove", "--level"], "argument"),
                (["log-level"], "one level"), (["log-level", "info", "debug"], "one level"),
                (["log-level", "--json", "info"], "no --json"), (["tail", "x"], "no argument"),
                (["tail", "--count", "0"], "whole number"),
                (["tail", "--count", "x"], "whole number"), (["tail", "--level", "x"], "no --level"),
                (["bridge"], "one URL"), (["bridge", "a", "b"], "one URL"),
                (["bridge", "--json", "x"], "no --json"),
                (["--timeout-ms", "0", "status"], "whole number"),
                (["--timeout-ms", "1s", "status"], "whole number"),
                (["--timeout-ms", "9999999", "status"], "whole number"),
                (["--wrong", "status"], "--wrong"), (["-a"], "argument")):
            with self.subTest(words=words):
                self.expect(USAGE, *words, says=says)

    def test_an_address_that_cannot_be_is_told(self):
        for address in ("ipc://x", "ipc://", "ipc:///" + "x" * 107, "ipc:///" + "x" * 115,
                "x", "nothing://x", "tcp://" + "x" * 200):
            with self.subTest(address=address):
                self.expect(USAGE, "-a", address, "status", says="address")

    def test_a_daemon_that_is_not_there_is_told_at_once(self):
        folder = self.folder_path
        plain, dead = os.path.join(folder, "file"), os.path.join(folder, "dead")
        open(plain, "w", encoding="ascii").close()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as once:
            once.bind(dead)
        for path, says in ((folder + "/missing", "is not running"), (plain, "not a socket"),
                (dead, "nobody listens"), (plain + "/x", "Not a directory")):
            for call in CALLS:
                with self.subTest(path=path, call=call):
                    began = time.monotonic()
                    self.expect(UNREACHABLE, *call, "-t", "60000", "-a", "ipc://" + path,
                        says=says)
                    self.assertLess(time.monotonic() - began, 5)

    def test_a_host_that_does_not_answer_is_told_in_time(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.expect(UNREACHABLE, "-a", f"tcp://127.0.0.1:{port}", "-t", "300", "status",
            says="cannot be reached within 300 ms")

    def test_silence_ends_in_time(self):
        for name, serve in (
                ("no handshake", lambda c: c.recv(1) and time.sleep(0.5)),
                ("no answer", lambda c: (c.sendall(HEADER), time.sleep(0.5)))):
            with self.subTest(name):
                self.setUp()
                self.expect(UNREACHABLE, "-a", self.fake(serve), "-t", "200", "status",
                    says="within 200 ms")

    def test_a_connection_that_ends_is_told(self):
        def serve(connection):
            connection.sendall(HEADER)
            read_request(connection)

        began = time.monotonic()
        self.expect(UNREACHABLE, "-a", self.fake(serve), "-t", "20000", "status", says="closed")
        self.assertLess(time.monotonic() - began, 10)

    def answer(self, payload):
        """An address where one request gets this answer."""
        def serve(connection):
            connection.sendall(HEADER)
            got = read_request(connection)
            reply = got[17:21] + payload
            connection.sendall(struct.pack(">BQ", 1, len(reply)) + reply)
            connection.recv(1)

        return self.fake(serve)

    def test_another_version_is_told_in_words(self):
        text = b"install the same release on both sides"
        address = self.answer(b"DYNM\x02\x8b\0\0\x01" + struct.pack("<H", len(text)) + text)
        self.expect(REFUSED, "-a", address, "status", says="version: install the same release")
        self.expect(REFUSED, "-a", address, "send", COUNT, says="version: install the same")

    def test_an_answer_that_makes_no_sense_is_told(self):
        for payload in (b"", b"hello", b"DYNM\x01\x89\0\0", b"[]", b'{"ok":1}',
                b"DYNM\x01\x8a\0\0\x01\0\0\0x"):
            with self.subTest(payload=payload):
                self.setUp()
                self.expect(UNREACHABLE, "-a", self.answer(payload), "-t", "5000", "status",
                    says="makes no sense")

    def test_nothing_is_sent_twice(self):
        """libnanomsg by itself sends a request again when its connection breaks."""
        seen = []

        def serve(connection):
            connection.sendall(HEADER)
            if b"my_counter" in read_request(connection):
                seen.append(1)

        self.expect(UNREACHABLE, "-a", self.fake(serve), "-t", "1000", "send", COUNT,
            says="closed")
        self.assertEqual(len(seen), 1)


del Ctl
