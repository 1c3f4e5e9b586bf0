# SPDX-License-Identifier: Apache-2.0
"""dynamo-metricsctl against a real daemon, and against all that may be there instead."""
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time

import harness
from protocol_client import ProtocolClient, Refused, text

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
COUNT = ('{"namespace":"dynamo","component":"backend","endpoint":"generate",'
    '"metrics":[{"name":"my_counter","type":"counter","help":"My custom counter","inc":14}]}')
HEADER = b"\0SP\0\0\x31\0\0"
LINE = 'dynamo_my_counter{namespace="dynamo",component="backend",endpoint="generate"}'


def ctl(*arguments, stdin="", timeout_s=harness.DEADLINE_S, **environment):
    return subprocess.run([harness.CTL, *arguments], input=stdin, capture_output=True,
        encoding="utf-8", timeout=timeout_s, env=harness.clean_environment(**environment))


def read_request(connection):
    """The peer's header and its first frame; b"" if it leaves before."""
    got = b""
    while len(got) < 17 or len(got) < 17 + int.from_bytes(got[9:17], "big"):
        more = connection.recv(65536)
        if not more:
            return b""
        got += more
    return got


class Ctl(harness.SystemTest):
    def setUp(self):
        self.folder_path = self.folder()

    def expect(self, code, *arguments, says="", **options):
        """Its exit code, and words of what it says on standard error; its output."""
        done = ctl(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(says, done.stderr)
        if not says:
            self.assertEqual(done.stderr, "")
        return done.stdout

    def fake(self, serve):
        """An address whose every connection is served by a function."""
        path = os.path.join(self.folder_path, "fake.ipc")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()

        def run():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        serve(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def end():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()

        self.addCleanup(end)
        return "ipc://" + path


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
        self.assertIn("\n1 workers, 0 folded sessions remembered; lease 15.0 s\n", shown)
        self.assertRegex(shown, r"\nWORKER +PID +UID +STATE +AGE +IDLE +SERIES +REFUSED +LIBRARY\n"
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

    def test_a_level_that_cannot_be_is_told(self):
        for level in ("a/b/c/d", "a//c", "/", "x" * 129):
            with self.subTest(level=level):
                self.expect(USAGE, "expose", level, says="dynamo-metricsctl: ", **self.address)
        self.expect(USAGE, "expose", "a", "b", "c", "d", says="at most", **self.address)


class WithoutDaemon(Ctl):
    def test_it_explains_itself(self):
        shown = self.expect(OK, "--help")
        for word in ("send", "expose", "status", "--address", "--timeout-ms", "Exit status"):
            self.assertIn(word, shown)
        for command in ("send", "expose", "status"):
            self.assertIn(f"{command} ", self.expect(OK, command, "--help").splitlines()[0])
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
                ([], "say a command"), (["sned"], "no command 'sned'"),
                (["send"], "one message"), (["send", COUNT, COUNT], "one message"),
                (["send", COUNT, "-f", "x"], "one message"), (["send", "hello"], "JSON object"),
                (["send", ""], "JSON object"), (["send", "@/nowhere"], "/nowhere: No such file"),
                (["send", "@/"], "Is a directory"), (["status", "x"], "no argument"),
                (["expose", "--json"], "no --json"), (["status", "-f", "x"], "no --file"),
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
            with self.subTest(path=path):
                began = time.monotonic()
                self.expect(UNREACHABLE, "status", "-t", "60000", "-a", "ipc://" + path,
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
