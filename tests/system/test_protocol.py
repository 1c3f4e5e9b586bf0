# SPDX-License-Identifier: Apache-2.0
"""What proto/PROTOCOL.md promises of the daemon, row by row, on a real socket."""
import json
import os
import struct
import time
import unittest

import harness
from protocol_client import ProtocolClient, Refused, text

HELLO, DEFINE, UPDATE, REMOVE, PING, EXPOSE, STATUS, BYE = range(1, 9)
(NEW, LIVE, FOLDED, EXPIRED, STALE, UNBOUND, ACK, REFUSED, OK, TEXT,
    ERROR) = range(0x81, 0x8c)
VERSION, MESSAGE, VALUE, CELL = 1, 2, 16, 17
NO_TICKET = bytes(16)


class Speaker(ProtocolClient):
    """A connection that says what it is told, and nothing by itself."""

    def hello(self):
        pass

    def ask(self, kind, fields=b""):
        """The type of the answer, and its fields."""
        reply = self.exchange(b"DYNM" + bytes([1, kind, 0, 0]) + fields)
        return reply[5], reply[8:]

    def say_hello(self, sid, ticket=None, worker="w"):
        return self.ask(HELLO, sid + bytes([ticket is not None]) + (ticket or NO_TICKET)
            + text(worker) + text("test"))

    def ask_n(self, kind, ticket, n, count=0, items=b""):
        return self.ask(kind, ticket + struct.pack("<QI", n, count) + items)


def counter(number, cell, name="c_total", level=b"\0"):
    """The items of a DEFINE: a counter and its child."""
    return (b"\1" + struct.pack("<IBB", number, 1, 0) + level + text(name) + text("")
        + bytes(4) + b"\2" + struct.pack("<IIB", number, cell, 0))


def record(cell, value):
    return struct.pack("<Id", cell, value)


def number(n):
    return struct.pack("<Q", n)


class Protocol(harness.SystemTest):
    def setUp(self):
        folder = self.folder()
        config = os.path.join(folder, "config.json")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"ingest": self.ingest}, file)
        self.running = self.daemon(arguments=["--config", config])
        self.speaker = self.connect()
        self.sid = os.urandom(16)

    ingest = {"lease_ms": 15000}

    def connect(self):
        return Speaker(self.running.socket)

    def begin(self):
        """A session with a counter at cell 0, after its first DEFINE: its ticket."""
        kind, fields = self.speaker.say_hello(self.sid)
        self.assertEqual(kind, NEW)
        ticket = fields[:16]
        self.expect(ACK, 1, DEFINE, ticket, 1, 2, counter(0, 0))
        return ticket

    def expect(self, expected, last, *request):
        """A numbered request's answer, with the number in it, and what follows that."""
        kind, fields = self.speaker.ask_n(*request)
        self.assertEqual((kind, fields[:8]), (expected, number(last)))
        return fields[8:]


class Sessions(Protocol):
    def test_a_hello_opens_a_session(self):
        kind, fields = self.speaker.say_hello(self.sid)
        self.assertEqual(kind, NEW)
        self.assertEqual(fields[16:24], number(0))
        self.assertEqual(fields[24:27], text("w"))
        self.assertEqual(struct.unpack("<III", fields[-12:]), (15000, 1048576, 500000))
        again = self.connect().say_hello(self.sid)
        self.assertEqual(again, (NEW, fields), "as long as nothing was applied")

    def test_a_hello_with_a_ticket_goes_on(self):
        ticket = self.begin()
        kind, fields = self.connect().say_hello(self.sid, ticket)
        self.assertEqual((kind, fields[:24]), (LIVE, ticket + number(1)))

    def test_a_late_hello_is_stale(self):
        ticket = self.begin()
        late = self.connect()
        self.assertEqual(late.say_hello(self.sid), (STALE, ticket[:8]))
        other_store = bytes(8) + ticket[8:]
        self.assertEqual(late.say_hello(self.sid, other_store), (STALE, ticket[:8]))
        self.assertEqual(late.ask(PING, ticket), (UNBOUND, b""), "and binds nothing")

    def test_a_ticket_that_nobody_knows_is_expired_or_new(self):
        ticket = self.begin()
        store, serial = ticket[:8], struct.unpack("<Q", ticket[8:])[0]
        sid = os.urandom(16)
        self.assertEqual(self.speaker.say_hello(sid, store + number(serial))[0], NEW,
            "the number is another session's: the state was set back")
        self.assertEqual(self.speaker.ask(BYE, ticket)[0], OK)
        self.assertEqual(self.speaker.say_hello(os.urandom(16), store + number(serial)),
            (EXPIRED, store))
        self.assertEqual(self.speaker.say_hello(sid, store + number(serial + 9))[0], NEW)
        self.assertEqual(self.speaker.say_hello(os.urandom(16), bytes(16))[0], NEW)

    def test_requests_of_a_session_need_its_hello_on_the_connection(self):
        ticket = self.begin()
        other = self.connect()
        for kind in (DEFINE, UPDATE, REMOVE):
            self.assertEqual(other.ask_n(kind, ticket, 2), (UNBOUND, b""))
        for kind in (PING, BYE):
            self.assertEqual(other.ask(kind, ticket), (UNBOUND, b""))
        elsewhere = bytes([ticket[0] ^ 1]) + ticket[1:]
        self.assertEqual(self.speaker.ask(PING, elsewhere), (UNBOUND, b""), "of another store")
        self.assertEqual(self.speaker.ask(BYE, elsewhere), (UNBOUND, b""), "of another store")
        for kind, fields in ((EXPOSE, b"\0"), (STATUS, b"")):
            self.assertEqual(other.ask(kind, fields)[0], TEXT)
        self.assertEqual(other.exchange(b' \n{"metrics":[]}'), b'{"ok":true}')

    def test_what_was_applied_is_acknowledged_and_not_applied(self):
        ticket = self.begin()
        self.expect(ACK, 2, UPDATE, ticket, 2, 1, record(0, 5))
        self.expect(ACK, 2, UPDATE, ticket, 2, 1, record(0, 7))
        self.expect(ACK, 1, DEFINE, ticket, 1, 2, counter(9, 0, "d_total"))
        self.assertEqual(self.running.value("dynamo_c_total"), 5)
        self.assertIsNone(self.running.value("dynamo_d_total"))
        self.expect(ACK, 9, UPDATE, ticket, 9, 1, record(0, 8))  # gaps are allowed
        self.assertEqual(self.speaker.ask(PING, ticket), (ACK, number(9) + bytes(4)))
        self.assertEqual(self.running.value("dynamo_c_total"), 8)

    def test_an_update_is_applied_whole_or_not_at_all(self):
        ticket = self.begin()
        self.expect(ACK, 2, UPDATE, ticket, 2, 1, record(0, 5))
        for reason, records in ((CELL, (record(0, 6), record(1, 1))), (VALUE, (record(0, 4),)),
                (VALUE, (record(0, float("nan")),)), (VALUE, (record(0, float("inf")),)),
                (CELL, (record(0, 6), record(0xfffffffe, 1)))):
            refused = self.expect(REFUSED, 3, UPDATE, ticket, 3, len(records),
                b"".join(records))
            self.assertEqual(refused[0], reason, refused)
        self.assertEqual(self.running.value("dynamo_c_total"), 5)
        self.assertEqual(self.speaker.ask(PING, ticket), (ACK, number(2) + bytes(4)))
        self.expect(ACK, 3, UPDATE, ticket, 3, 1, record(0, 6))

    def test_items_are_refused_one_by_one(self):
        ticket = self.begin()
        items = counter(1, 1, "bad name") + counter(2, 2, "good_total")
        refused = self.expect(ACK, 2, DEFINE, ticket, 2, 4, items)
        count, index, reason = struct.unpack("<IIB", refused[:9])
        self.assertEqual((count, index, reason), (2, 0, 5))
        length = struct.unpack("<H", refused[9:11])[0]
        self.assertEqual(struct.unpack("<IB", refused[11 + length:][:5]), (1, MESSAGE))
        self.assertEqual(self.running.value("dynamo_good_total"), 0)

    def test_cells_are_numbered_densely(self):
        ticket = self.begin()
        far = 65536 + 4 * 2 - 1
        self.assertEqual(self.expect(ACK, 2, DEFINE, ticket, 2, 2, counter(1, far, "f_total")),
            bytes(4))
        too_far = 65536 + 4 * 3
        refused = self.expect(ACK, 3, DEFINE, ticket, 3, 2, counter(2, too_far, "t_total"))
        self.assertEqual(struct.unpack("<IIB", refused[:9]), (1, 1, CELL))

    @unittest.skipIf(harness.SANITIZED, "a sanitizer keeps what was freed")
    def test_high_numbers_take_little_memory(self):
        before = self.running.value("process_resident_memory_bytes")
        for _ in range(3):
            tickets = []
            for _ in range(200):
                tickets.append(self.speaker.say_hello(os.urandom(16), worker="")[1][:16])
                self.expect(ACK, 1, DEFINE, tickets[-1], 1, 2, counter(65535, 65535))
            taken = self.running.value("process_resident_memory_bytes") - before
            self.assertLess(taken, 32 << 20)
            for ticket in tickets:
                self.assertEqual(self.speaker.ask(BYE, ticket)[0], OK)

    def test_a_removed_child_starts_again_from_0(self):
        ticket = self.begin()
        self.expect(ACK, 2, UPDATE, ticket, 2, 1, record(0, 5))
        self.expect(ACK, 3, REMOVE, ticket, 3, 2, struct.pack("<II", 0, 77))
        self.assertIsNone(self.running.value("dynamo_c_total"))
        self.expect(ACK, 4, DEFINE, ticket, 4, 2, counter(0, 0))
        self.assertEqual(self.running.value("dynamo_c_total"), 0)

    def test_dropped_updates_are_counted(self):
        ticket = self.begin()
        self.expect(ACK, 2, UPDATE, ticket, 2, 1, record(0xffffffff, 3))
        self.assertEqual(
            self.running.value("dynamo_metricsd_client_dropped_updates_total"), 3)
        self.expect(REFUSED, 3, UPDATE, ticket, 3, 1, record(0xffffffff, 2))

    def test_bye_ends_a_session_and_keeps_what_it_counted(self):
        ticket = self.begin()
        self.expect(ACK, 2, UPDATE, ticket, 2, 1, record(0, 5))
        self.assertEqual(self.speaker.ask(BYE, ticket), (OK, b""))
        self.assertEqual(self.speaker.ask(BYE, ticket), (OK, b""))
        self.assertEqual(self.speaker.ask(PING, ticket), (EXPIRED, ticket[:8]))
        self.assertEqual(self.speaker.say_hello(self.sid, ticket), (EXPIRED, ticket[:8]))
        self.assertEqual(self.running.value("dynamo_c_total"), 5)

    def test_what_makes_no_sense_is_told_and_changes_nothing(self):
        ticket = self.begin()
        for reason, message in ((VERSION, b"DYNM\2\5\0\0"), (MESSAGE, b"DYNM\1\5\0\0"),
                (MESSAGE, b"DYNM\1\x81\0\0"), (MESSAGE, b"DYNM\1\x63\0\0"), (MESSAGE, b"hello"),
                (MESSAGE, b""), (MESSAGE, b"DYNM\1\5\1\0" + ticket)):
            reply = self.speaker.exchange(message)
            self.assertEqual((reply[:8], reply[8]), (b"DYNM\1\x8b\0\0", reason), message)
        self.assertIn(b"version 1", self.speaker.exchange(b"DYNM\2\5\0\0"))
        self.assertEqual(self.speaker.ask(PING, ticket), (ACK, number(1) + bytes(4)))


class Folded(Protocol):
    ingest = {"lease_ms": 300, "grace_ms": 50}

    def test_silence_folds_a_session_that_is_remembered(self):
        ticket = self.begin()
        self.expect(ACK, 2, UPDATE, ticket, 2, 1, record(0, 5))
        watcher = self.connect()
        harness.wait_for("the lease to run out", lambda: b'"remembered":1' in watcher.ask(STATUS)[1])
        told = (FOLDED, ticket[:8] + number(2))
        self.assertEqual(self.speaker.ask(PING, ticket), told)
        self.assertEqual(self.speaker.ask_n(UPDATE, ticket, 3, 1, record(0, 6)), told)
        self.assertEqual(watcher.say_hello(self.sid, ticket), told)
        self.assertEqual(watcher.say_hello(self.sid), told)
        self.assertEqual(watcher.say_hello(self.sid, bytes(16)), told)
        self.assertEqual(self.running.value("dynamo_c_total"), 5)

    def test_pings_keep_an_idle_session(self):
        ticket = self.begin()
        end = time.monotonic() + 1
        while time.monotonic() < end:
            self.assertEqual(self.speaker.ask(PING, ticket)[0], ACK)
            time.sleep(0.1)


class Transport(Protocol):
    def closed(self, speaker):
        with self.assertRaises((Refused, ConnectionError)):
            speaker.read(1)

    def test_a_message_that_is_too_long_ends_the_connection(self):
        most = 1048576
        reply = self.speaker.exchange(b"DYNM" + bytes(most - 4))
        self.assertEqual(reply[5], ERROR)
        self.speaker.socket.sendall(struct.pack(">BQ", 1, most + 33))
        self.closed(self.speaker)

    def test_a_frame_of_another_type_ends_the_connection(self):
        self.speaker.socket.sendall(struct.pack(">BQ", 2, 4))
        self.closed(self.speaker)

    def test_a_request_without_an_id_is_dropped(self):
        for words in (b"", b"\0\0\0\1", b"\0\0\0\1" * 8 + b"\x80\0\0\1"):
            self.speaker.socket.sendall(struct.pack(">BQ", 1, len(words)) + words)
        self.assertEqual(self.speaker.ask(STATUS)[0], TEXT)

    def test_a_backtrace_of_eight_words_is_echoed(self):
        words = b"".join(struct.pack(">I", i) for i in range(7)) + b"\x80\0\0\1"
        message = words + b"DYNM\1\7\0\0"
        self.speaker.socket.sendall(struct.pack(">BQ", 1, len(message)) + message)
        length = struct.unpack(">BQ", self.speaker.read(9))[1]
        self.assertEqual(self.speaker.read(length)[:32], words)


del Protocol
