# SPDX-License-Identifier: Apache-2.0
"""dynamo-metricsctl bridge: the daemon on nanomsg's other transports, with unmodified
libnanomsg at the far end."""
import json
import os
import signal
import socket

import harness
from ctl_tool import COUNT, Ctl, LINE, OK, REFUSED, USAGE, ctl
from test_compatibility import NANOMSG, Peer, PeerClient


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Bridge(Ctl):
    def setUp(self):
        super().setUp()
        self.running = self.daemon()
        self.address = {"DYN_METRICSD_ADDRESS": self.running.address}

    def bridge(self, url):
        process = self.started("bridge", url, **self.address)
        self.assertEqual(process.stdout.readline(),
            f"{url} is now {self.running.address}; Ctrl-C ends it\n", process.poll())
        return process

    def peer(self, url):
        peer = Peer(NANOMSG, "req", url)
        self.addCleanup(peer.end)
        return peer

    def check(self, url):
        """JSON, a refusal, STATUS, a session and a long message, over there and back."""
        peer = self.peer(url)
        for count in range(1, 11):
            self.assertEqual(json.loads(peer.ask(COUNT.encode())), {"ok": True})
            self.assertEqual(self.running.value(LINE), 14 * count)
        self.assertEqual(json.loads(peer.ask(b'{"x":1}'))["errors"][0]["reason"], "field")
        client = PeerClient(peer)
        cells = [client.counter(f"of_many_{i}_total", "x" * 200) for i in range(50)]
        client.update({cell: cell + 0.5 for cell in cells})
        self.assertEqual(self.running.value("dynamo_of_many_49_total"), 49.5)
        self.assertEqual(len(json.loads(client.request(0x07, b"", 0x8a)[4:])["workers"]), 1)
        client.close()

    def test_over_tcp(self):
        url = f"tcp://127.0.0.1:{free_port()}"
        self.bridge(url)
        self.check(url)

    def test_over_websocket(self):
        url = f"ws://127.0.0.1:{free_port()}"
        self.bridge(url)
        self.check(url)

    def test_over_another_socket_that_leaves_with_it(self):
        path = os.path.join(self.folder_path, "other.ipc")
        bridge = self.bridge("ipc://" + path)
        self.check("ipc://" + path)
        self.assertEqual(self.interrupted(bridge), (OK, ""))
        self.assertFalse(os.path.lexists(path))

    def test_the_tool_itself_speaks_through_it(self):
        url = f"tcp://127.0.0.1:{free_port()}"
        self.bridge(url)
        self.expect(OK, "-a", url, "send", COUNT, COUNT)
        self.assertEqual(self.running.value(LINE), 28)
        self.assertEqual(self.expect(OK, "-a", url, "expose", "dynamo"),
            self.running.workers_page())
        self.assertIn("dynamo-metricsd", self.expect(OK, "-a", url, "status"))

    def test_administration_does_not_pass(self):
        url = f"tcp://127.0.0.1:{free_port()}"
        self.bridge(url)
        self.expect(OK, "send", COUNT, **self.address)
        for words in (["remove", "my_counter"], ["log-level", "error"], ["tail"]):
            with self.subTest(words):
                self.expect(REFUSED, "-a", url, *words, says="refused: owner: ")
        self.assertEqual(self.running.value(LINE), 14)

    def test_signals_end_it_in_order(self):
        for how in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(how):
                bridge = self.bridge(f"tcp://127.0.0.1:{free_port()}")
                self.assertEqual(self.interrupted(bridge, how), (OK, ""))

    def test_it_finds_a_daemon_that_was_started_again(self):
        url = f"tcp://127.0.0.1:{free_port()}"
        self.bridge(url)
        self.expect(OK, "-a", url, "send", COUNT)
        folder = self.running.folder
        self.running.stop()
        self.running = self.daemon(folder)
        harness.wait_for("the bridge to find it",
            lambda: ctl("-a", url, "-t", "1000", "status").returncode == OK)
        self.expect(OK, "-a", url, "send", COUNT)
        self.assertEqual(self.running.value(LINE), 28)

    def test_a_file_where_it_is_to_listen_is_left_alone(self):
        path = os.path.join(self.folder_path, "file")
        with open(path, "w", encoding="ascii") as file:
            file.write("precious")
        self.expect(USAGE, "bridge", "ipc://" + path, says="not a socket", **self.address)
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_where_it_cannot_listen_is_told(self):
        # Libnanomsg forgets memory when it cannot.
        self.address["ASAN_OPTIONS"] = "detect_leaks=0"
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.expect(USAGE, "bridge", f"tcp://127.0.0.1:{taken.getsockname()[1]}",
                says="cannot listen", **self.address)
        self.expect(USAGE, "bridge", "ws://127.0.0.1:0", says="say a port", **self.address)
        for url in ("x", "tcp://", "inproc://x", "ipc://x", "ipc:///" + "x" * 110,
                "tcp://127.0.0.1:0", "tcp://127.0.0.1", "ws://127.0.0.1:99999",
                "tcp://" + "x" * 200, "ipc:///nowhere/at/all", self.running.address):
            with self.subTest(url):
                self.expect(USAGE, "bridge", url, says=f"'{url}'" if "127" not in url
                    and "nowhere" not in url else url, **self.address)


del Ctl
