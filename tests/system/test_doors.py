# SPDX-License-Identifier: Apache-2.0
"""What comes in at the doors and must not. Every reason of the closed list is provoked over
the real socket, by binary messages and by JSON where that can be: the sender is told this
reason and a sentence, it is counted once, the log names the process and its user, and
nothing else of the page has moved by a byte."""
import json
import math
import os
import re
import struct

import harness
import page
from protocol_client import ProtocolClient, text
from prometheus_client.parser import text_string_to_metric_families

HELLO, DEFINE, UPDATE, REMOVE, PING, EXPOSE, STATUS, BYE, ADMIN = range(1, 10)
NEW, ACK, REFUSED, TEXT, ERROR = 0x81, 0x87, 0x88, 0x8a, 0x8b
COUNTER, GAUGE, HISTOGRAM = 1, 2, 3
SUM, MIN, MAX, LAST, EACH = range(5)
LEVEL = ("dynamo", "backend", "generate")
NOBODY = 65534

# Reasons that nobody can provoke from outside, and where they are proved instead.
NOT_FROM_OUTSIDE = {
    "memory": "needs an allocation that fails: check_registry_failing, check_client_memory",
    "session": "this version has no use for it",
}


def reasons():
    """number -> word, from the table of the protocol's description."""
    path = os.path.join(harness.SOURCE, "proto", "PROTOCOL.md")
    with open(path, encoding="utf-8") as file:
        section = file.read().split("## 8. ")[1]
    return {int(n): word for n, word in re.findall(r"^\| (\d+) \| (\w+) \|", section, re.M)}


def texts(values):
    return bytes([len(values)]) + b"".join(map(raw, values))


def raw(value):
    """A text of the wire; bytes go as they are, whatever they are."""
    if isinstance(value, bytes):
        return struct.pack("<H", len(value)) + value
    return text(value)


def metric(name, number=0, kind=COUNTER, merge=SUM, level=(), help="", constant=(), variable=(),
        bounds=()):
    return (struct.pack("<BIBB", 1, number, kind, merge) + texts(level) + raw(name) + raw(help)
        + bytes([len(constant)]) + b"".join(raw(n) + raw(v) for n, v in constant)
        + texts(variable) + struct.pack("<H", len(bounds)) + struct.pack(f"<{len(bounds)}d", *bounds))


def child(number=0, cell=0, values=()):
    return struct.pack("<BII", 2, number, cell) + texts(values)


def record(cell, value):
    return struct.pack("<Id", cell, value)


class Session(ProtocolClient):
    """A connection with a session, that says what it is told and collects refusals."""

    def hello(self):
        self.sid, self.n, self.ticket = os.urandom(16), 0, None

    def ask(self, kind, fields=b""):
        reply = self.exchange(b"DYNM" + bytes([1, kind, 0, 0]) + fields)
        return reply[5], reply[8:]

    def begin(self, sid=None, worker="", ticket=None):
        """HELLO; the refusals."""
        self.sid = sid or self.sid
        kind, fields = self.ask(HELLO, self.sid + bytes([ticket is not None])
            + (ticket or bytes(16)) + raw(worker) + text("test"))
        if kind == NEW:
            self.ticket = fields[:16]
            return []
        return self.refusals(kind, fields)

    def say(self, message):
        """Any bytes; the refusals."""
        reply = self.exchange(message)
        return self.refusals(reply[5], reply[8:])

    def numbered(self, kind, items, count=None):
        self.n += 1
        body = b"".join(items)
        kind, fields = self.ask(kind, self.ticket + struct.pack("<QI", self.n,
            len(items) if count is None else count) + body)
        return self.refusals(kind, fields)

    def define(self, *items):
        return self.numbered(DEFINE, items)

    def update(self, *records):
        return self.numbered(UPDATE, records)

    def json(self, message):
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        answer = json.loads(self.exchange(data))
        return [(e["reason"], e["text"]) for e in answer.get("errors", ())]

    @staticmethod
    def refusals(kind, fields):
        """What an answer refuses: pairs of reason and sentence."""
        def one(at):
            length = struct.unpack("<H", fields[at + 1:at + 3])[0]
            sentence = fields[at + 3:at + 3 + length].decode("utf-8")
            return (REASONS[fields[at]], sentence), at + 3 + length

        if kind == ERROR:
            return [one(0)[0]]
        if kind == REFUSED:
            return [one(8)[0]]
        found, at = [], 12
        for _ in range(struct.unpack("<QI", fields[:12])[1] if kind == ACK else 0):
            refused, at = one(at + 4)
            found.append(refused)
        return found


REASONS = reasons()
CASES = []


def refused(reason, **limits):
    """A case: something that is refused for this reason by a daemon with these limits, given
    as section_key=value. It returns what the sender was told."""
    def register(provoke):
        CASES.append((reason, provoke, limits))
        return provoke
    return register


# Each: `s` has a session of its own; a bystander lives beside it (Doors.bystander).

@refused("version")
def another_version(s):
    return s.say(b"DYNM\2\5\0\0")


@refused("message")
def bytes_that_are_no_message(s):
    return s.say(b"hello")


@refused("message")
def a_message_that_is_cut(s):
    return s.say(b"DYNM\1\5\0\0" + s.ticket[:-1])


@refused("message")
def a_message_with_more_behind_it(s):
    return s.say(b"DYNM\1\5\0\0" + s.ticket + b"\0")


@refused("message")
def a_reply_as_a_request(s):
    return s.say(b"DYNM\1\x89\0\0")


@refused("message")
def a_child_of_an_undefined_metric(s):
    return s.define(child(7, 0))


@refused("message")
def a_metric_number_far_out(s):
    return s.define(metric("x_total", number=1 << 20))


@refused("json")
def json_that_is_cut(s):
    return s.json(b'{"metrics":[')


@refused("duplicate")
def json_with_a_key_twice(s):
    return s.json(b'{"metrics":[],"metrics":[]}')


@refused("utf8")
def json_that_is_not_utf8(s):
    return s.json(b'{"metrics":[{"name":"x\xff","type":"counter"}]}')


@refused("utf8")
def json_with_a_nul(s):
    return s.json(b'{"metrics":[{"name":"x\\u0000","type":"counter"}]}')


@refused("field")
def json_with_an_unknown_field(s):
    return s.json({"metrics": [], "colour": "red"})


@refused("field")
def a_json_metric_with_an_unknown_field(s):
    return s.json({"metrics": [{"name": "x_total", "type": "counter", "incr": 1}]})


@refused("field")
def json_that_sets_a_counter(s):
    return s.json({"metrics": [{"name": "x_total", "type": "counter", "set": 1}]})


@refused("field")
def a_json_metric_without_a_type(s):
    return s.json({"metrics": [{"name": "x_total", "inc": 1}]})


@refused("name")
def a_name_with_a_space(s):
    return s.define(metric("bad name"))


@refused("name")
def an_empty_name(s):
    return s.define(metric(""))


@refused("name")
def a_name_that_would_be_a_line_of_its_own(s):
    return s.define(metric("x 1\ny"))


@refused("name")
def a_json_name_that_would_be_a_line_of_its_own(s):
    return s.json({"metrics": [{"name": "x 1\n# TYPE y counter\ny", "type": "counter"}]})


@refused("label")
def a_label_name_with_a_dash(s):
    return s.define(metric("x_total", constant=[("a-b", "1")]))


@refused("label")
def an_empty_variable_label_name(s):
    return s.define(metric("x_total", variable=[""]))


@refused("label")
def too_few_label_values(s):
    return s.define(metric("x_total", variable=["a", "b"]), child(0, 0, ["1"]))


@refused("label")
def too_many_label_values(s):
    return s.define(metric("x_total"), child(0, 0, ["1"]))


@refused("label")
def a_json_label_name_with_a_quote(s):
    return s.json({"metrics": [{"name": "x_total", "type": "counter", "labels": {'a="': "1"}}]})


def reserved_labels():
    for label in ("namespace", "component", "endpoint", "dynamo_namespace", "dynamo_component",
            "dynamo_endpoint", "__name__"):
        refused("reserved")(named(f"the_constant_label_{label}",
            lambda s, n=label: s.define(metric("x_total", constant=[(n, "1")]))))
        refused("reserved")(named(f"the_variable_label_{label}",
            lambda s, n=label: s.define(metric("x_total", variable=[n]))))
        refused("reserved")(named(f"the_json_label_{label}", lambda s, n=label: s.json(
            {"metrics": [{"name": "x_total", "type": "counter", "labels": {n: "1"}}]})))


def named(name, function):
    function.__name__ = name
    return function


reserved_labels()


@refused("reserved")
def le_on_a_histogram(s):
    return s.define(metric("x", kind=HISTOGRAM, variable=["le"], bounds=[1]))


@refused("reserved")
def worker_id_on_a_gauge_for_each(s):
    return s.define(metric("x", kind=GAUGE, merge=EACH, constant=[("worker_id", "1")]))


@refused("reserved")
def le_on_a_json_histogram(s):
    return s.json({"metrics": [{"name": "x", "type": "histogram", "labels": {"le": "1"}}]})


@refused("duplicate")
def a_label_name_twice(s):
    return s.define(metric("x_total", constant=[("a", "1"), ("b", "2")], variable=["a"]))


@refused("duplicate")
def a_metric_number_for_another_metric(s):
    s.define(metric("taken_total", level=LEVEL))
    return s.define(metric("other_total"))


@refused("duplicate")
def a_series_for_each_worker_twice_in_one(s):
    s.define(metric("busy", kind=GAUGE, merge=EACH), child(0, 0))
    return s.define(child(0, 1))


@refused("duplicate")
def an_id_for_another_json_message(s):
    message = {"id": "monday", "metrics": [{"name": "x_total", "type": "counter", "inc": 1}]}
    s.json(message)
    s.settled()
    message["metrics"][0]["inc"] = 2
    return s.json(message)


@refused("type")
def a_gauge_that_is_a_counter_elsewhere(s):
    return s.define(metric("taken_total", kind=GAUGE))


@refused("type")
def a_json_gauge_that_is_a_counter_elsewhere(s):
    return s.json({"metrics": [{"name": "taken_total", "type": "gauge", "set": 1}]})


@refused("merge")
def a_gauge_of_another_merge(s):
    return s.define(metric("depth", kind=GAUGE, merge=MAX))


@refused("merge")
def a_counter_with_a_merge(s):
    return s.define(metric("x_total", merge=MAX))


@refused("merge")
def a_json_gauge_of_another_merge(s):
    return s.json({"metrics": [{"name": "depth", "type": "gauge", "merge": "last", "set": 1}]})


@refused("bounds")
def other_bounds(s):
    return s.define(metric("latency", kind=HISTOGRAM, bounds=[0.25, 1, 2]))


@refused("bounds")
def as_many_other_bounds(s):
    return s.define(metric("latency", kind=HISTOGRAM, bounds=[0.25, 2]))


@refused("bounds")
def bounds_that_do_not_ascend(s):
    return s.define(metric("x", kind=HISTOGRAM, bounds=[1, 0.25]))


@refused("bounds")
def bounds_that_are_equal(s):
    return s.define(metric("x", kind=HISTOGRAM, bounds=[1, 1]))


@refused("bounds")
def a_bound_that_is_not_a_number(s):
    return s.define(metric("x", kind=HISTOGRAM, bounds=[math.nan]))


@refused("bounds")
def a_bound_that_is_infinite(s):
    return s.define(metric("x", kind=HISTOGRAM, bounds=[1, math.inf]))


@refused("bounds")
def a_counter_with_bounds(s):
    return s.define(metric("x_total", bounds=[1]))


@refused("bounds")
def other_json_buckets(s):
    return s.json({"metrics": [{"name": "latency", "type": "histogram", "buckets": [1],
        "observe": 1}]})


@refused("collision")
def a_name_that_samples_of_a_histogram_have(s):
    return s.define(metric("latency_count"))


@refused("collision")
def a_histogram_whose_samples_have_a_taken_name(s):
    s.define(metric("size_sum"))
    return s.define(metric("size", number=1, kind=HISTOGRAM, bounds=[1]))


@refused("collision")
def a_name_of_the_daemons_own(s):
    return s.define(metric("metricsd_workers", kind=GAUGE))


@refused("collision")
def a_json_name_that_samples_of_a_histogram_have(s):
    return s.json({"metrics": [{"name": "latency_bucket", "type": "counter", "inc": 1}]})


@refused("utf8")
def a_help_that_is_not_utf8(s):
    return s.define(metric("x_total", help=b"caf\xe9"))


@refused("utf8")
def a_label_value_with_a_nul(s):
    return s.define(metric("x_total", constant=[("a", b"1\x002")]))


@refused("utf8")
def a_variable_label_value_that_is_overlong(s):
    return s.define(metric("x_total", variable=["a"]), child(0, 0, [b"\xc0\xaf"]))


@refused("utf8")
def a_namespace_with_half_a_surrogate(s):
    return s.define(metric("x_total", level=[b"\xed\xa0\x80"]))


@refused("utf8")
def a_worker_name_that_is_not_utf8(s):
    return s.begin(sid=os.urandom(16), worker=b"\xff")


@refused("length")
def a_name_of_201_bytes(s):
    return s.define(metric("x" * 201))


@refused("length")
def a_help_of_1025_bytes(s):
    return s.define(metric("x_total", help="h" * 1025))


@refused("length")
def a_label_name_of_1025_bytes(s):
    return s.define(metric("x_total", variable=["a" * 1025]))


@refused("length")
def a_label_value_of_1025_bytes(s):
    return s.define(metric("x_total", variable=["a"]), child(0, 0, ["v" * 1025]))


@refused("length")
def an_endpoint_of_129_bytes(s):
    return s.define(metric("x_total", level=["a", "b", "c" * 129]))


@refused("length")
def a_worker_name_of_64_bytes(s):
    return s.begin(sid=os.urandom(16), worker="w" * 64)


@refused("length", ingest_json_bytes=1024)
def a_json_message_over_its_limit(s):
    return s.json(b'{"metrics":[' + b" " * 1024 + b"]}")


@refused("length")
def a_json_help_of_1025_bytes(s):
    return s.json({"metrics": [{"name": "x_total", "type": "counter", "help": "h" * 1025}]})


@refused("limit", limits_series=3)
def a_series_too_many(s):
    return s.define(metric("x_total"), child(0, 0))


@refused("limit", limits_series=3)
def a_json_series_too_many(s):
    return s.json({"metrics": [{"name": "x_total", "type": "counter", "inc": 1}]})


@refused("limit", limits_series_per_family=1)
def a_series_too_many_in_a_family(s):
    return s.define(metric("taken_total"), child(0, 0))


@refused("limit", limits_series_per_worker=3)
def a_series_too_many_for_a_worker(s):
    s.define(metric("x_total", variable=["i"]), *(child(0, i, [str(i)]) for i in range(3)))
    s.settled()
    return s.define(child(0, 3, ["3"]))


@refused("limit", limits_series_per_worker=3)
def a_metric_too_many_for_a_worker(s):
    s.define(*(metric(f"x{i}_total", i) for i in range(3)))
    return s.define(metric("x3_total", 3))


@refused("limit", limits_series_per_uid=3)
def a_series_too_many_for_a_user(s):
    return s.define(metric("x_total"), child(0, 0))


@refused("limit", limits_workers=2)
def a_worker_too_many(s):
    return s.begin(sid=os.urandom(16))


@refused("limit", limits_workers=4, limits_uid_percent=50)
def a_worker_over_the_share_of_a_user(s):
    return s.begin(sid=os.urandom(16))


@refused("limit", limits_families=6, limits_uid_percent=50)
def a_family_over_the_share_of_a_user(s):
    return s.define(metric("x_total"))


@refused("limit", limits_series=6, limits_uid_percent=50)
def a_series_over_the_share_of_a_user(s):
    return s.define(metric("x_total"), child(0, 0))


@refused("limit")
def a_json_message_that_explodes(s):
    return s.json(b'{"metrics":[' + b"{}," * 15000 + b"{}]}")


@refused("limit", limits_families=3)
def a_family_too_many(s):
    return s.define(metric("x_total"))


@refused("limit", limits_labels=2)
def a_label_too_many(s):
    return s.define(metric("x_total", constant=[("a", "1"), ("b", "2")], variable=["c"]))


@refused("limit", limits_labels=2)
def a_json_label_too_many(s):
    return s.json({"metrics": [{"name": "x_total", "type": "counter",
        "labels": {"a": "1", "b": "2", "c": "3"}}]})


@refused("limit", limits_buckets=2)
def a_bucket_too_many(s):
    return s.define(metric("x", kind=HISTOGRAM, bounds=[1, 2, 3]))


@refused("limit", ingest_message_bytes=4096, ingest_json_bytes=4096)
def a_page_that_does_not_fit_in_a_message(s):
    kind, fields = s.ask(EXPOSE, b"\0")
    return s.refusals(kind, fields)


def bad_records():
    s_cells = (("a_counter_that_is_not_a_number", 0, math.nan), ("an_infinite_counter", 0, math.inf),
        ("a_negative_counter", 0, -1.0), ("a_counter_that_goes_down", 0, 4.0),
        ("a_bucket_that_goes_down", 1, 0.0), ("an_infinite_bucket", 3, math.inf),
        ("a_sum_that_is_not_a_number", 4, math.nan), ("an_infinite_sum", 4, -math.inf),
        ("a_count_of_dropped_updates_that_is_negative", 0xffffffff, -1.0))
    for name, cell, value in s_cells:
        refused("value")(named(name, lambda s, c=cell, v=value: with_cells(s).update(
            record(5, 9), record(c, v))))


def with_cells(s):
    """The bystander's series in this session too: cells 0, 1 to 4, 5."""
    s.define(metric("taken_total", level=LEVEL), child(0, 0),
        metric("latency", 1, HISTOGRAM, level=LEVEL, bounds=[0.25, 1]), child(1, 1),
        metric("depth", 2, GAUGE, MIN, level=LEVEL), child(2, 5))
    s.update(record(0, 5), record(1, 1), record(2, 0), record(3, 0), record(4, 0.2), record(5, 8))
    s.settled()
    return s


bad_records()


@refused("value")
def a_json_counter_that_goes_down(s):
    return s.json({"metrics": [{"name": "taken_total", "type": "counter", "inc": -1}]})


@refused("value")
def a_json_time_out_of_the_window(s):
    return s.json({"time": 1, "metrics": []})


@refused("cell")
def a_cell_that_no_child_has(s):
    return with_cells(s).update(record(0, 6), record(6, 1))


@refused("cell")
def a_cell_too_far_out(s):
    return s.define(metric("x_total"), child(0, 1 << 30))


@refused("owner")
def a_session_of_another_user(s):
    s.define(metric("mine_total"), child(0, 0))
    s.settled()
    other = s.as_nobody()
    return other.begin(sid=s.sid, ticket=s.ticket)


@refused("owner")
def a_command_of_another_user(s):
    order = json.dumps({"command": "remove", "name": "taken_total"}).encode()
    kind, fields = s.as_nobody().ask(ADMIN, struct.pack("<I", len(order)) + order)
    return s.refusals(kind, fields)


@refused("level")
def an_empty_component(s):
    return s.define(metric("x_total", level=["a", ""]))


@refused("level")
def a_json_component_without_a_namespace(s):
    return s.json({"component": "c", "metrics": []})


@refused("level")
def an_empty_json_namespace(s):
    return s.json({"namespace": "", "metrics": []})


class Doors(harness.SystemTest):
    def start(self, limits):
        """A daemon with a bystander: a worker whose series must not move."""
        config = {}
        for key, value in limits.items():
            section, name = key.split("_", 1)
            config.setdefault(section, {})[name] = value
        path = os.path.join(self.folder(), "config.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(config, file)
        self.running = self.daemon(arguments=["--config", path])
        self.bystander = self.connect()
        self.assertEqual(self.bystander.begin(), [])
        self.assertEqual(self.bystander.define(
            metric("taken_total", 0, level=LEVEL, help="Things"), child(0, 0),
            metric("latency", 1, HISTOGRAM, level=LEVEL, bounds=[0.25, 1]), child(1, 1),
            metric("depth", 2, GAUGE, MIN, level=LEVEL), child(2, 5)), [])
        self.assertEqual(self.bystander.update(record(0, 5), record(1, 1), record(2, 2),
            record(3, 3), record(4, 17.5), record(5, 3)), [])

    def connect(self):
        session = Session(self.running.socket)
        self.addCleanup(session.socket.close)
        session.settled = self.settle
        session.as_nobody = self.as_nobody
        return session

    def as_nobody(self):
        """A connection of another user: the kernel tells who connects."""
        if os.geteuid() != 0:
            self.skipTest("only root can be another user")
        os.chmod(self.running.folder, 0o755)
        os.chmod(self.running.socket, 0o666)
        os.seteuid(NOBODY)
        try:
            return self.connect()
        finally:
            os.seteuid(0)

    def settle(self):
        """What comes from here on is compared with the page as it is now."""
        self.before = self.running.workers_page()

    def counts(self):
        """reason -> how often it was refused for it"""
        return {word: self.running.value(f'dynamo_metricsd_refused_total{{reason="{word}"}}') or 0
            for word in REASONS.values()}

    def check_told(self, told, reason):
        self.assertEqual([r for r, _ in told], [reason], told)
        sentence = told[0][1]
        self.assertGreaterEqual(len(sentence.split()), 3, "a sentence that one can act on")
        self.assertTrue(sentence.isprintable(), repr(sentence))

    def check_noted(self, reason, before):
        after = self.counts()
        self.assertEqual({r: after[r] - before[r] for r in after if after[r] != before[r]},
            {reason: 1})
        self.assertEqual(self.running.workers_page(), self.before)
        self.assertRegex(self.running.log(),
            rf"(?m)^warning: .*refused \({reason}\) from pid {os.getpid()}, "
            rf"uid {NOBODY if reason == 'owner' else os.getuid()}: .")

    def provoke(self, reason, provoke, limits):
        self.start(limits)
        session = self.connect()
        self.assertEqual(session.begin(), [])
        before = self.counts()
        self.settle()
        self.check_told(provoke(session), reason)
        self.check_noted(reason, before)
        self.assertEqual(self.bystander.update(record(0, 6)), [], "others are still served")


def add_cases():
    for reason, provoke, limits in CASES:
        def test(self, case=(reason, provoke, limits)):
            self.provoke(*case)

        name = f"test_{reason}_for_{provoke.__name__}"
        assert not hasattr(EveryReason, name), name
        setattr(EveryReason, name, test)


class EveryReason(Doors):
    def test_is_provoked_here_or_proved_elsewhere(self):
        provoked = {reason for reason, _, _ in CASES}
        self.assertEqual(provoked | set(NOT_FROM_OUTSIDE), set(REASONS.values()))
        self.assertFalse(provoked & set(NOT_FROM_OUTSIDE))

    def test_is_counted_though_nobody_is_told(self):
        """A PUSH has no answer, and a frame that is too long ends the connection."""
        self.start({})
        before = self.counts()
        self.settle()
        connection = self.connect()
        connection.socket.sendall(struct.pack(">BQ", 1, 1 << 30))
        with self.assertRaises(Exception):
            connection.read(1)
        self.assertEqual(self.counts()["length"], before["length"] + 1)
        self.assertEqual(self.running.workers_page(), self.before)
        self.assertRegex(self.running.log(),
            rf"(?m)^warning: ingest: .*pid {os.getpid()}[ (,]+uid \d+.*longer than")


add_cases()


class TheLog(Doors):
    def test_of_a_thousand_refusals_is_short_and_complete(self):
        self.start({})
        session = self.connect()
        session.begin()
        sent = 1000
        for _ in range(sent):
            self.check_told(session.define(metric("bad name")), "name")
        few = self.running.log().count("\n")
        self.assertGreaterEqual(few, 1)
        self.assertLess(few, sent / 10)
        self.running.stop()
        self.assertEqual(sum(self.told()), sent)

    def told(self):
        """How many refusals each line stands for."""
        for line in self.running.log().split("\n"):
            if "refused (name)" in line:
                yield "left out: " not in line
                yield from map(int, re.findall(r"(\d+) more like", line))


HOSTILE = ['"', "\\", "\n", '\\"', "\\n", 'a"} 1\n# TYPE evil counter\nevil 1\n', "\u2028",
    "\u0085", "\x1b[2J", "\ufeff", "🙂", " ", "{}", ",", "=", "#", "\r\n", "\t", "x" * 1024,
    "é" * 512, '"' * 1024, "\n" * 1024]


class HostileTexts(Doors):
    def check_values(self, name):
        """The page reads back to exactly these values, once each."""
        text_of_page = self.running.page()
        page.parse(text_of_page.encode())
        found = [sample for family in text_string_to_metric_families(text_of_page)
            for sample in family.samples if sample.name == name]
        self.assertEqual(sorted(s.labels["v"] for s in found), sorted(HOSTILE))
        self.assertNotRegex(text_of_page, "(?m)^evil")

    def test_in_label_values(self):
        self.start({})
        self.assertEqual(self.bystander.define(metric("x_total", 3, variable=["v"]),
            *(child(3, 6 + i, [value]) for i, value in enumerate(HOSTILE))), [])
        self.check_values("dynamo_x_total")

    def test_in_json_label_values(self):
        self.start({})
        self.assertEqual(self.bystander.json({"metrics": [{"name": "x_total", "type": "counter",
            "inc": 1, "labels": {"v": value}} for value in HOSTILE]}), [])
        self.check_values("dynamo_x_total")

    def test_in_levels(self):
        self.start({})
        names = [value for value in HOSTILE if len(value.encode()) <= 128]
        for i, value in enumerate(names):
            self.assertEqual(self.bystander.define(
                metric("x_total", 3 + i, level=[value, value]), child(3 + i, 6 + i)), [])
        found = [sample for family in text_string_to_metric_families(self.running.page())
            for sample in family.samples if sample.name == "dynamo_x_total"]
        self.assertEqual(sorted(s.labels["namespace"] for s in found), sorted(names))
        self.assertTrue(all(s.labels["namespace"] == s.labels["component"] for s in found))

    def test_in_help(self):
        self.start({})
        hostile = [f"a{value[:1000]}z" if value.isascii() else f"a{value[:100]}z" for value in HOSTILE]
        for i, value in enumerate(hostile):
            self.assertEqual(self.bystander.define(
                metric(f"x{i}_total", 3 + i, help=value), child(3 + i, 6 + i)), [])
        text_of_page = self.running.page()
        page.parse(text_of_page.encode())
        self.assertNotRegex(text_of_page, "(?m)^evil")
        helps = dict(re.findall(r"(?m)^# HELP dynamo_x(\d+)_total (.*)$", text_of_page))
        self.assertEqual({int(i): h for i, h in helps.items()}, {i: value.replace("\\", "\\\\")
            .replace("\n", "\\n") for i, value in enumerate(hostile)})


del Doors
