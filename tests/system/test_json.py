# SPDX-License-Identifier: Apache-2.0
"""Messages in JSON at a real daemon: delivered again by real libraries, gauges with an end,
what is removed and what leaves with time."""
import json
import os
import signal
import socket
import struct
import threading
import time
import unittest

import harness
from ctl_tool import ctl, OK
from test_compatibility import NANOMSG, NNG, Peer

RESENT = "dynamo_metricsd_resent_total"


def message(*metrics, **more):
    return json.dumps({**more, "metrics": metrics}).encode()


def count(name="counted_total", **more):
    return message({"name": name, "type": "counter", "inc": 1}, **more)


def read(connection, n):
    data = b""
    while len(data) < n:
        piece = connection.recv(n - len(data))
        if not piece:
            return None
        data += piece
    return data


class CutOff(threading.Thread):
    """Between a client and the daemon: the first answers are not delivered, but the
    connection is cut instead. What is sent to it and what comes back is not changed."""

    def __init__(self, folder, daemon, cuts):
        super().__init__(daemon=True)
        self.path = os.path.join(folder, "cut.ipc")
        self.daemon_path, self.cuts, self.ids = daemon.socket, cuts, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.start()

    def relay(self, client, server):
        """Handshakes, then requests and answers until one of them leaves."""
        server.sendall(read(client, 8))
        client.sendall(read(server, 8))
        while True:
            head = read(client, 9)
            if head is None:
                return
            request = read(client, struct.unpack(">BQ", head)[1])
            server.sendall(head + request)
            self.ids.append(request[:4])
            head = read(server, 9)
            answer = head + read(server, struct.unpack(">BQ", head)[1])
            if self.cuts > 0:
                self.cuts -= 1
                return
            client.sendall(answer)

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX) as server:
                server.connect(self.daemon_path)
                self.relay(client, server)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Json(harness.SystemTest):
    def setUp(self):
        self.running = self.daemon()

    def configured(self, **sections):
        path = os.path.join(self.folder(), "config.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(sections, file)
        self.running = self.daemon(arguments=["--config", path])

    def peer(self, program, mode, *addresses):
        peer = Peer(program, mode, *addresses)
        self.addCleanup(peer.end)
        return peer

    def send(self, payload, address=None):
        """By a process of its own."""
        done = ctl("send", payload.decode(),
            DYN_METRICSD_ADDRESS=address or self.running.address)
        self.assertEqual(done.returncode, OK, done.stderr)

    def ask(self, peer, payload):
        self.assertEqual(json.loads(peer.ask(payload)), {"ok": True})


class DeliveredAgain(Json):
    def check_cut_off(self, program):
        cut = CutOff(self.folder(), self.running, cuts=2)
        self.addCleanup(cut.close)
        peer = self.peer(program, "req", "ipc://" + cut.path)
        self.ask(peer, count())
        self.assertEqual(len(cut.ids), 3)
        self.assertEqual(len(set(cut.ids)), 1, "the library sends it under one id")
        self.assertEqual(self.running.value("dynamo_counted_total"), 1)
        self.assertEqual(self.running.value(RESENT), 2)
        # The same again is another request.
        self.ask(peer, count())
        self.assertEqual(self.running.value("dynamo_counted_total"), 2)
        self.assertEqual(self.running.value(RESENT), 2)

    def test_a_request_of_libnanomsg_whose_connection_breaks_is_counted_once(self):
        self.check_cut_off(NANOMSG)

    @unittest.skipUnless(os.path.exists(NNG), "there is no nng here")
    def test_a_request_of_nng_whose_connection_breaks_is_counted_once(self):
        self.check_cut_off(NNG)

    def test_what_an_impatient_sender_repeats_is_counted_once(self):
        peer = self.peer(NANOMSG, "impatient", self.running.address)
        asked = 0

        def was_sent_again():
            nonlocal asked
            self.running.process.send_signal(signal.SIGSTOP)
            peer.tell(count())
            asked += 1
            time.sleep(0.1)
            self.running.process.send_signal(signal.SIGCONT)
            self.assertEqual(bytes.fromhex(peer.line().decode()), b'{"ok":true}')
            return self.running.value(RESENT) > 0

        harness.wait_for("a request that comes again", was_sent_again)
        self.assertEqual(self.running.value("dynamo_counted_total"), asked)

    def test_a_message_with_an_id_is_counted_once_whichever_way_it_comes(self):
        payload = count(id="job-17")
        peer = self.peer(NANOMSG, "req", self.running.address)
        self.ask(peer, payload)
        self.ask(peer, payload)
        self.send(payload)
        push = self.peer(NANOMSG, "push", self.running.address)
        push.ask(payload)
        harness.wait_for("the pushed one", lambda: self.running.value(RESENT) == 3)
        self.assertEqual(self.running.value("dynamo_counted_total"), 1)
        refused = json.loads(peer.ask(payload.replace(b"1}", b"2}")))
        self.assertEqual(refused["errors"][0]["reason"], "duplicate")
        self.assertEqual(self.running.value("dynamo_counted_total"), 1)

    def test_a_message_that_is_pushed_twice_is_counted_twice(self):
        push = self.peer(NANOMSG, "push", self.running.address)
        push.ask(count())
        push.ask(count())
        harness.wait_for("both", lambda: self.running.value("dynamo_counted_total") == 2)

    def test_senders_behind_a_bridge_are_told_apart(self):
        front = "ipc://" + os.path.join(self.folder(), "device.ipc")
        self.peer(NANOMSG, "device", front, self.running.address)
        for _ in range(3):
            self.send(count(), address=front)
        self.assertEqual(self.running.value("dynamo_counted_total"), 3)

    def test_a_time_is_compared_with_the_calendar(self):
        peer = self.peer(NANOMSG, "req", self.running.address)
        self.ask(peer, count(time=time.time()))
        for off in (-700, 700):
            refused = json.loads(peer.ask(count(time=time.time() + off)))
            self.assertEqual(refused["errors"][0]["reason"], "value")
            self.assertIn("the daemon's clock", refused["errors"][0]["text"])


class Leaving(Json):
    def gauge(self, value, **more):
        self.send(message({"name": "depth", "type": "gauge", "set": value, **more}))

    def test_a_gauge_leaves_when_its_time_is_over(self):
        self.gauge(3, ttl_s=1)
        removed = 'dynamo_metricsd_series_removed_total{cause="ttl"}'
        harness.wait_for("its end", lambda: self.running.value(removed) == 1)
        self.assertIsNone(self.running.value("dynamo_depth"))

    def test_an_end_that_is_far_has_not_come(self):
        self.gauge(3, ttl_s=100000)
        self.assertEqual(self.running.value("dynamo_depth"), 3)

    def test_what_is_removed_starts_again(self):
        worker = self.worker(self.running)
        number = worker.metric("counter", (), "shared_total")
        worker.call("add", number, "5.0")
        worker.flush()
        remove = message({"name": "shared_total", "remove": True})
        self.send(count("shared_total"))
        self.send(remove)
        self.assertEqual(self.running.value("dynamo_shared_total"), 6)
        worker.close()
        self.send(remove)
        self.assertIsNone(self.running.value("dynamo_shared_total"))
        self.send(count("shared_total"))
        self.assertEqual(self.running.value("dynamo_shared_total"), 1)

    def test_kept_series_leave_after_state_retain_s(self):
        self.configured(state={"retain_s": 2})
        worker = self.worker(self.running)
        worker.call("add", worker.metric("counter", (), "live_total"), "1.0")
        worker.flush()
        gone = self.worker(self.running)
        gone.call("add", gone.metric("counter", (), "dead_total"), "1.0")
        gone.flush()
        gone.close()
        self.gauge(3)
        removed = 'dynamo_metricsd_series_removed_total{cause="retain"}'
        harness.wait_for("both to leave", lambda: self.running.value(removed) == 2)
        self.assertNotIn("dynamo_de", self.running.page())
        self.assertEqual(self.running.value("dynamo_live_total"), 1)
        self.assertIn("(state.retain_s)", self.running.log())


if __name__ == "__main__":
    unittest.main()
