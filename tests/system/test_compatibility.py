# SPDX-License-Identifier: Apache-2.0
"""Compatibility both ways: unmodified libnanomsg and nng against the daemon, and the worker
library against a libnanomsg server. Prints the table of what was tried."""
import json
import os
import re
import select
import struct
import subprocess
import time
import unittest

import harness
from protocol_client import ProtocolClient, Refused

NANOMSG = os.path.join(harness.BUILD, "tests", "system", "peer_nanomsg")
NNG = os.path.join(harness.BUILD, "tests", "system", "peer_nng")
TEXT = 0x8a

table = []


def message(name, **update):
    return json.dumps({"namespace": "dynamo", "component": "backend",
        "endpoint": "generate", "metrics": [{"name": name, **update}]}).encode()


class Peer:
    """A process at the other end: messages in, answers out."""

    def __init__(self, program, mode, *addresses):
        self.process = subprocess.Popen([program, mode, *addresses],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.got = b""
        if self.line() != b"ready":
            raise AssertionError(f"{mode} {addresses} is not ready")

    def line(self, timeout_s=harness.DEADLINE_S):
        """The next line, or None when none comes in time."""
        end = time.monotonic() + timeout_s
        while b"\n" not in self.got:
            left = max(end - time.monotonic(), 0)
            if not select.select([self.process.stdout], [], [], left)[0]:
                return None
            more = self.process.stdout.read(65536)
            if not more:
                raise AssertionError(f"the peer ended with {self.process.wait()}")
            self.got += more
        line, self.got = self.got.split(b"\n", 1)
        return line

    def tell(self, payload):
        data = payload.hex().encode() + b"\n"
        while data:
            data = data[self.process.stdin.write(data):]

    def ask(self, payload, timeout_s=harness.DEADLINE_S):
        self.tell(payload)
        answer = self.line(timeout_s)
        return None if answer is None else bytes.fromhex(answer.decode())

    def end(self):
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class PeerClient(ProtocolClient):
    """The protocol's sessions over somebody else's sockets."""

    def __init__(self, peer):
        self.peer = peer
        self.hello()

    def exchange(self, message):
        return self.peer.ask(message)


class Compatibility(harness.SystemTest):
    @classmethod
    def tearDownClass(cls):
        width = max((len(who) for who, _ in table), default=0)
        print("\n".join(["", "     compatibility, as tried:"]
            + [f"     {who:{width}}  {what}" for who, what in table]), flush=True)

    def peer(self, program, mode, *addresses):
        peer = Peer(program, mode, *addresses)
        self.addCleanup(peer.end)
        return peer

    def device(self, daemon, number, back, program=NANOMSG):
        """A device before the address back; the address in front of it."""
        front = f"ipc://{daemon.folder}/device{number}"
        self.peer(program, "device", front, back)
        return front

    def shows(self, daemon, name, value, level=("dynamo", "backend", "generate")):
        labels = ",".join(f'{label}="{value}"' for label, value
            in zip(("namespace", "component", "endpoint"), level))
        harness.wait_for(f"{name} {value}",
            lambda: daemon.value(f"dynamo_{name}{{{labels}}}") == value)

    def check_requests(self, daemon, peer, who):
        """JSON, STATUS, a session, and a message of many frames' size."""
        for _ in range(42):
            self.assertEqual(json.loads(peer.ask(message("my_counter", type="counter",
                help="My custom counter", inc=1))), {"ok": True})
        self.assertIn('# HELP dynamo_my_counter My custom counter\n'
            '# TYPE dynamo_my_counter counter\n'
            'dynamo_my_counter{namespace="dynamo",component="backend",endpoint="generate"} 42\n',
            daemon.page())

        refused = json.loads(peer.ask(message("my_counter", type="counter", inc=-1)))
        self.assertFalse(refused["ok"])
        self.assertEqual(refused["errors"][0]["reason"], "value")

        client = PeerClient(peer)
        self.assertEqual(len(json.loads(client.request(0x07, b"", TEXT)[4:])["workers"]), 1)
        level = ("dynamo", "backend", "generate")
        many = [client.counter(f"of_many_{i}_total", "x" * 200, *level) for i in range(100)]
        client.update({number: number + 0.5 for number in many})
        self.shows(daemon, "of_many_99_total", 99.5)
        client.numbered(0x03, 40000, struct.pack("<Id", 0, 7.0) * 40000)
        self.shows(daemon, "of_many_0_total", 7)
        client.close()
        table.append((who, "42 of 42 counted by JSON, a refusal, STATUS, a session, 480 KB"))

    def check_one_way(self, daemon, peer, who):
        for _ in range(42):
            peer.ask(message("pushed_total", type="counter", inc=1))
        self.shows(daemon, "pushed_total", 42)
        table.append((who, "42 of 42 counted"))

    # ---- libnanomsg ----------------------------------------------------------

    def test_a_nanomsg_req_socket_is_served(self):
        daemon = self.daemon()
        self.check_requests(daemon, self.peer(NANOMSG, "req", daemon.address), "nanomsg REQ")

    def test_a_raw_nanomsg_req_socket_is_served(self):
        daemon = self.daemon()
        self.check_requests(daemon, self.peer(NANOMSG, "raw", daemon.address), "nanomsg raw REQ")

    def test_a_nanomsg_push_socket_is_heard(self):
        daemon = self.daemon()
        self.check_one_way(daemon, self.peer(NANOMSG, "push", daemon.address), "nanomsg PUSH")

    def test_requests_come_through_nanomsg_devices(self):
        for devices in (1, 2, 7):
            with self.subTest(devices=devices):
                daemon = self.daemon()
                address = daemon.address
                for i in range(devices):
                    address = self.device(daemon, i, address)
                self.check_requests(daemon, self.peer(NANOMSG, "req", address),
                    f"nanomsg REQ, {devices} nn_device")

    def test_two_workers_behind_one_device_are_two_sessions(self):
        daemon = self.daemon()
        front = self.device(daemon, 0, daemon.address)
        clients = [PeerClient(self.peer(NANOMSG, "req", front)) for _ in range(2)]
        for i, client in enumerate(clients):
            client.update({client.counter("shared_total", "", "dynamo"): 10.0 ** i})
        self.shows(daemon, "shared_total", 11, ("dynamo",))
        table.append(("two sessions through one nn_device", "both counted"))

    # ---- nanocat -------------------------------------------------------------

    def nanocat(self, *arguments):
        return subprocess.run(["nanocat", *arguments], stdin=subprocess.DEVNULL,
            capture_output=True, timeout=harness.DEADLINE_S, encoding="utf-8")

    def test_nanocat_reports(self):
        daemon = self.daemon()
        for _ in range(3):
            done = self.nanocat("--req", "--connect-ipc", daemon.socket, "--raw",
                "--recv-timeout", "10", "--data",
                message("nanocat_total", type="counter", inc=1).decode())
            self.assertEqual(done.stdout.strip(), '{"ok":true}', done.stderr)
        self.shows(daemon, "nanocat_total", 3)
        table.append(("nanocat --req", "3 of 3 counted, and answered"))

    def test_nanocat_pushes(self):
        daemon = self.daemon()
        # It closes its socket right after the send: libnanomsg may drop what the daemon has
        # not read by then, so one in some tries has to arrive.
        def push():
            self.nanocat("--push", "--connect-ipc", daemon.socket, "--data",
                message("nanocat_pushed", type="gauge", set=5).decode())
            return daemon.value('dynamo_nanocat_pushed{namespace="dynamo",'
                'component="backend",endpoint="generate"}') == 5

        harness.wait_for("a push by nanocat", push)
        table.append(("nanocat --push", "arrived"))

    # ---- nng -----------------------------------------------------------------

    def test_an_nng_req_socket_is_served(self):
        daemon = self.daemon()
        self.check_requests(daemon, self.peer(NNG, "req", daemon.address), "nng REQ")

    def test_an_nng_push_socket_is_heard(self):
        daemon = self.daemon()
        self.check_one_way(daemon, self.peer(NNG, "push", daemon.address), "nng PUSH")

    def test_requests_come_through_an_nng_device(self):
        daemon = self.daemon()
        front = self.device(daemon, 0, daemon.address, NNG)
        self.check_requests(daemon, self.peer(NNG, "req", front), "nng REQ, nng_device")

    def test_nng_and_nanomsg_work_together(self):
        daemon = self.daemon()
        front = self.device(daemon, 0, self.device(daemon, 1, daemon.address, NNG))
        self.check_requests(daemon, self.peer(NNG, "req", front),
            "nng REQ, nn_device, nng_device")

    # ---- Many ----------------------------------------------------------------

    def test_many_clients_of_all_makes_at_once(self):
        daemon = self.daemon()
        peers = [self.peer(program, mode, daemon.address) for program, mode
            in ((NANOMSG, "req"), (NANOMSG, "raw"), (NNG, "req")) for _ in range(4)]
        pushers = [self.peer(program, "push", daemon.address) for program in (NANOMSG, NNG)]
        sessions = [ProtocolClient(daemon.socket) for _ in range(4)]
        cells = [client.counter("all_total", "", "dynamo") for client in sessions]
        for i in range(50):
            for peer in peers + pushers:
                peer.tell(b'{"namespace":"dynamo","metrics":[{"name":"all_total",'
                    b'"type":"counter","inc":1}]}')
            for client, cell in zip(sessions, cells):
                client.update({cell: i + 1.0})
            for peer in peers + pushers:
                self.assertIsNotNone(peer.line())
        self.shows(daemon, "all_total", 50 * (len(peers) + len(pushers) + len(sessions)),
            ("dynamo",))
        table.append((f"{len(peers) + len(pushers) + len(sessions)} clients at once",
            "nanomsg REQ, raw REQ and PUSH, nng REQ and PUSH, plain sockets: all counted"))

    # ---- The document --------------------------------------------------------

    def test_a_client_written_from_the_document_reports(self):
        daemon = self.daemon()
        client = ProtocolClient(daemon.socket)
        cell = client.counter("my_counter", "My custom counter",
            "dynamo", "backend", "generate")
        for count in range(43):
            client.update({cell: float(count)})
        self.shows(daemon, "my_counter", 42)
        with self.assertRaises(Refused):
            client.update({cell: 41.0})
        client.close()
        self.shows(daemon, "my_counter", 42)
        table.append(("a Python client from PROTOCOL.md alone", "42 counted, kept after BYE"))

    def test_the_examples_of_the_document_are_true(self):
        daemon = self.daemon(config={"state": {"snapshot_ms": 10}})
        with open(os.path.join(harness.SOURCE, "proto", "PROTOCOL.md"), encoding="utf-8") as f:
            examples = [json.loads(text) for text in
                re.findall(r"^```json\n(.*?)^```$", f.read(), re.M | re.S)]
        status, request, good, bad = examples
        client = ProtocolClient(daemon.socket)
        client.update({client.counter("x_total", ""): 1.0})
        harness.wait_for("a snapshot", lambda: daemon.value(
            "dynamo_metricsd_snapshot_duration_seconds") is not None)

        def shape(value, key=""):
            if isinstance(value, dict):
                return {key: shape(part, key) for key, part in value.items()}
            if isinstance(value, list):
                return [shape(part) for part in value]
            # Seconds may be whole: 0, where a snapshot took less than a millisecond.
            return float if key.endswith("_s") and type(value) is int else type(value)

        now = json.loads(client.request(0x07, b"", TEXT)[4:])
        self.assertEqual(shape(now), shape(status))
        self.assertEqual(json.loads(client.exchange(json.dumps(request).encode())), good)
        self.assertIn("dynamo_latency_seconds_sum{namespace=\"dynamo\",component=\"backend\","
            "endpoint=\"generate\"} 0.875\n", daemon.page())
        # As long as a worker has a counter of that name, it cannot be a gauge.
        request["metrics"][1] = {"name": "x_total", "type": "gauge", "set": 17}
        bad["errors"][0]["metric"] = "x_total"
        refused = json.loads(client.exchange(json.dumps(request).encode()))
        self.assertEqual(shape(refused), shape(bad))
        for key in ("index", "metric", "reason"):
            self.assertEqual(refused["errors"][0][key], bad["errors"][0][key])

    # ---- Our library -----------------------------------------------------------

    def test_the_library_reports_to_a_nanomsg_rep_socket(self):
        address = f"ipc://{self.folder()}/rep"
        server = self.peer(NANOMSG, "rep", address)
        worker = harness.Worker(address)
        self.addCleanup(worker.end_quietly)
        counter = worker.metric("counter", ("dynamo",), "my_counter", "My custom counter")
        gauge = worker.metric("gauge", ("dynamo",), "depth", "")
        worker.call("add", counter, "42.0")
        worker.call("set", gauge, "-0.5")
        worker.flush()
        worker.close()
        cells = {}
        while len(cells) < 2:
            line = server.line()
            self.assertIsNotNone(line)
            cell, bits = line.decode().split()
            cells[int(cell)] = struct.unpack(">d", bytes.fromhex(bits))[0]
        self.assertEqual(sorted(cells.values()), [-0.5, 42.0])
        table.append(("libdynamo-metrics to a nanomsg REP", "every cell arrived, flush acknowledged"))

    def test_the_library_reports_through_a_device(self):
        daemon = self.daemon()
        front = self.device(daemon, 0, daemon.address)
        worker = harness.Worker(front)
        self.addCleanup(worker.end_quietly)
        counter = worker.metric("counter", ("dynamo",), "far_total", "")
        worker.call("add", counter, "42.0")
        worker.flush()
        self.shows(daemon, "far_total", 42, ("dynamo",))
        worker.close()
        table.append(("libdynamo-metrics, nn_device", "42 of 42 counted"))


if __name__ == "__main__":
    unittest.main()
