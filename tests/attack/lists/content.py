# SPDX-License-Identifier: Apache-2.0
"""List C, first part: messages in JSON that mean ill."""
import json
import random
import threading

from frame import attack
from target import Peer, many

JSON_BYTES = 65536  # ingest.json_bytes
DICE = 9


def metric(name="c", type="counter", **fields):
    return {"name": name, "type": type, **fields}


def message(*metrics, **fields):
    return json.dumps({"metrics": list(metrics), **fields})


def fresh(t):
    """A peer whose requests are not taken for those of one before."""
    peer = t.peer()
    peer.number = random.randrange(1 << 30)
    return peer


def taken(t, text):
    """A message in JSON that is taken as a whole."""
    peer = fresh(t)
    answer = peer.json(text)
    peer.close()
    assert answer == {"ok": True}, f"{answer} for {text[:80]!r}"


def refused(t, texts, *reasons):
    """Each is refused, for one of these reasons. How many there were."""
    peer, n = fresh(t), 0
    for text in texts:
        answer = peer.json(text)
        assert not answer["ok"], f"taken: {text[:80]!r}"
        for error in answer["errors"]:
            assert error["reason"] in reasons, f"{error} for {text[:80]!r}"
        n += 1
    peer.close()
    return n


@attack("C01", "deep JSON")
def deep(t):
    depths = (3, 100, 2048, 2049, 10000, 30000)
    shapes = [opening * n + closing * n for n in depths
        for opening, closing in (('{"a":', "}"), ('{"metrics":[', "]}"), ('{"a":[', "]}"))]
    shapes += [opening * n for n in depths for opening in ('{"a":', '{"a":[')]
    shapes = [s for s in shapes if len(s) <= JSON_BYTES]
    return f"{refused(t, shapes, 'json', 'field', 'limit')} messages, depth up to 30,000"


@attack("C02", "keys twice")
def twice(t):
    head = '{"metrics":[{"name":"c","type":"counter","inc":1'
    shapes = ['{"metrics":[],"metrics":[]}', '{"id":"a","id":"b","metrics":[]}', head + ',"inc":1}]}',
        head + ',"labels":{"a":"1","a":"2"}}]}', head + ',"labels":{"a":"1","\\u0061":"2"}}]}']
    shapes += ["{" + ",".join('"a":1' for _ in range(n)) + "}" for n in (2, 100, 10000)]
    return f"{refused(t, shapes, 'duplicate')} messages"


@attack("C03", "JSON that explodes in memory")
def explodes(t):
    room = JSON_BYTES - 100
    units = ("{},", "[],", "[[]],", '{"":{}},', '"",', "0,", '{"a":1},')
    shapes = ['{"metrics":[' + unit * (room // len(unit)) + unit[:-1] + "]}" for unit in units]
    before = t.memory_mib()
    n = refused(t, shapes * many(2, 30), "limit", "field", "json")
    grown = t.memory_mib() - before
    assert grown < 16, f"it took {grown:.1f} MiB"
    return f"{n} messages of 64 KiB"


@attack("C04", "numbers: 1e400, 4,000 digits, -0, NaN")
def numbers(t):
    values = ("1e400", "-1e400", "1e999999999999", "9" * 4000, "-" + "9" * 4000, "NaN", "Infinity",
        "-Infinity", "01", "+1", "1.", ".5", "0x10", "1e", "--1", "1" * 400 + "e-50000000000000000000")
    shapes = ['{"metrics":[{"name":"c","type":"counter","inc":%s}]}' % v for v in values]
    shapes += ['{"metrics":[{"name":"h","type":"histogram","observe":[0,%s]}]}' % v for v in values]
    shapes += ['{"time":%s,"metrics":[]}' % v for v in values]
    n = refused(t, [s for s in shapes if "e-5" not in s], "json", "value")
    fine = ("1e-400", "-0", "-0.0", "5e-324", "0." + "0" * 4000 + "1", "18446744073709551616",
        "9" * 300, "1" * 300 + "e-290")
    for value in fine:
        taken(t, '{"metrics":[{"name":"attack_fine","type":"counter","inc":%s},'
            '{"name":"attack_set","type":"gauge","set":-%s}]}' % (value, value.lstrip("-")))
    return f"{n + len(fine)} numbers"


@attack("C05", "NUL, lone surrogates, BOM, broken UTF-8")
def texts(t):
    bad = [b'\\u0000', b'\\ud800', b'\\udc00', b'\\ud800\\ud800', b'\\ud83d', b'\xff', b'\xc0\x80',
        b'\xed\xa0\x80', b'\xf4\x90\x80\x80', b'\xf8\x88\x80\x80\x80', b'\xe2\x82', b'\0', b'\n',
        b'\x1b', b'\\x41', b'\\']
    places = (b'{"metrics":[{"name":"%s","type":"counter","inc":1}]}',
        b'{"metrics":[{"name":"c","type":"counter","inc":1,"labels":{"a":"%s"}}]}',
        b'{"metrics":[{"name":"c","type":"counter","inc":1,"labels":{"%s":"a"}}]}',
        b'{"metrics":[{"name":"c","type":"counter","inc":1,"help":"%s"}]}',
        b'{"id":"%s","metrics":[]}', b'{"namespace":"%s","metrics":[]}', b'{"%s":1}')
    return f"{refused(t, [p % b for p in places for b in bad], 'json', 'utf8')} messages"


@attack("C06", "64 KiB of one name, label, help, id or level")
def long(t):
    text = "a" * 60000
    shapes = [message(metric(text, inc=1)), message(metric(inc=1, labels={text: "a"})),
        message(metric(inc=1, labels={"a": text})), message(metric(inc=1, help=text)),
        message(id=text), message(namespace=text), message(metric(type=text)), '{"%s":1}' % text,
        message(metric(**{text: 1})), message(metric(type="gauge", merge=text, set=1))]
    return f"{refused(t, shapes, 'length', 'field')} messages"


@attack("C07", "thousands of metrics in a message, all refused")
def thousands(t):
    shapes = ['{"metrics":[' + ",".join(["{}"] * 1000) + "]}",
        message(*[metric("1", inc=1)] * 1200), message(*[metric("a", inc=-1)] * 1200),
        message(*[{"name": "é" * 10, "type": "counter"}] * 600)]
    peer, longest = t.peer(), 0
    for text in shapes:
        answer = peer.ask(text.encode())
        longest = max(longest, len(answer))
        assert not json.loads(answer)["ok"], text[:80]
    assert longest < 96 * 1024, f"an answer has {longest} bytes"
    return f"{len(shapes)} messages, answers up to {longest // 1024} KiB"


@attack("C08", "buckets: 10,000, not in order, not numbers")
def buckets(t):
    def of(*bounds, **more):
        return message(metric("attack_h", "histogram", buckets=list(bounds), **more))

    shapes = [of(*range(10000)), of(*range(4096)), of(*range(129)), of(2, 1), of(1, 1), of("1"),
        of(None), of([1]), of(1, observe=["1"]), of(1, observe={}),
        '{"metrics":[{"name":"h","type":"histogram","buckets":[1e999]}]}',
        message(metric("c", inc=1, buckets=[1]))]
    return f"{refused(t, shapes, 'limit', 'bounds', 'field', 'value', 'json')} messages"


@attack("C09", "labels: thousands, reserved ones")
def labels(t):
    names = ("namespace", "component", "endpoint", "dynamo_namespace", "__name__", "__x", "le", "1a",
        "a-b", "", "a b", "a\n", 'a"', "é")
    shapes = [message(metric("attack_h", "histogram", observe=1, labels={name: "x"}))
        for name in names]
    shapes += [message(metric(inc=1, labels={f"l{i}": "x" for i in range(n)}))
        for n in (33, 64, 65, 1000, 4000)]
    shapes += [message(metric(inc=1, labels=v)) for v in ([], 1, "a", {"a": 1}, {"a": None})]
    return f"{refused(t, shapes, 'limit', 'reserved', 'label', 'field')} messages"


@attack("C10", "10,000 observations at once, sums that overflow")
def observations(t):
    h = metric("attack_observed", "histogram", observe=[0.5] * 10000)
    taken(t, message(h))
    shapes = [message(metric("attack_observed", "histogram", observe=values))
        for values in ([1e308] * 2, [1.7e308, 1.7e308, -1.7e308], [1.7e308] * 5000)]
    n = refused(t, shapes, "value")
    huge = f"attack_huge_{random.randrange(1 << 30)}_total"
    taken(t, message(metric(huge, inc=1.7e308)))
    n += refused(t, [message(metric(huge, inc=1.7e308))] * 3, "value")
    assert t.value("dynamo_" + huge) == 1.7e308
    return f"{n + 2} messages"


@attack("C11", "fields of every wrong type")
def types(t):
    wrong = (None, True, [], {}, 1, "1", -1, "", [[]], {"a": 1})
    base = metric(inc=1)
    shapes = [message({**base, field: value}) for field in ("name", "type", "labels", "inc", "ttl_s",
        "merge", "observe", "set", "add", "remove", "help", "buckets", "x") for value in wrong]
    shapes += [json.dumps({"metrics": [], field: value}) for field in ("metrics", "id", "time",
        "namespace", "component", "endpoint", "x") for value in wrong]
    peer, n = t.peer(), 0
    for text in shapes:
        n += not peer.json(text)["ok"]
    assert n > len(shapes) * 3 // 4, f"{n} of {len(shapes)} were refused"
    return f"{len(shapes)} messages"


@attack("C12", "a valid message, bytes of it changed at random")
def changed(t):
    dice, n = random.Random(DICE), many(300, 20000)
    base = message(metric(inc=1, labels={"k": "v"}, help="x"),
        metric("attack_g", "gauge", merge="max", set=3, ttl_s=1),
        metric("attack_h", "histogram", buckets=[1, 2], observe=[1, 2, 3]),
        namespace="attack", component="b", id="some", time=1).encode()
    peer = t.peer()
    for _ in range(n):
        text = bytearray(base)
        for _ in range(dice.randrange(1, 4)):
            text[dice.randrange(1, len(text))] = dice.choice(b'{}[]",:\\0123eE.-\x00\xff azn')
        answer = peer.ask(bytes(text))
        assert isinstance(json.loads(answer).get("ok"), bool), answer
    return f"{n:,} messages"


@attack("C13", "ids without end", config={"ingest": {"dedupe_keys": 2000},
    "limits": {"uid_percent": 50}})
def ids(t):
    peer, ok = fresh(t), 0
    one = metric("attack_ids_total", inc=1)
    for i in range(many(1500, 10000)):
        answer = peer.json(message(one, id=f"id {i}"))
        ok += answer["ok"]
        assert answer["ok"] or answer["errors"][0]["reason"] == "limit", answer
    assert ok == 1000, f"{ok} were taken, and the share is 1000"
    assert t.value("dynamo_attack_ids_total") == ok
    return f"{i + 1:,} ids, {ok:,} of them taken"


@attack("C14", "one request id for many, and one message again and again")
def again(t):
    n = many(200, 5000)
    text = message(metric("attack_again_total", inc=1)).encode()
    for _ in range(2):
        peer = t.peer()
        for _ in range(n):
            peer.number = 0
            assert json.loads(peer.ask(text))["ok"]
        peer.close()
    value = t.value("dynamo_attack_again_total")
    assert value == 1, f"a message that came {2 * n} times was counted {value} times"
    return f"{2 * n:,} times, counted once"


@attack("C15", "many at once, each 64 KiB of JSON")
def flood(t):
    text = message(*[metric("attack_flood_total", inc=1)] * 1000)
    peers, n, wrong = many(4, 16), many(5, 120), []
    before = t.value("dynamo_attack_flood_total") or 0

    def run():
        peer = Peer(t.socket)
        peer.number = random.randrange(1 << 30)
        wrong.extend(a for a in (peer.json(text) for _ in range(n)) if not a["ok"])
        peer.close()

    threads = [threading.Thread(target=run) for _ in range(peers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = t.value("dynamo_attack_flood_total") - before
    assert not wrong, wrong[0]
    assert counted == peers * n * 1000, f"{counted}, and {peers * n * 1000} were sent"
    return f"{peers} peers, {peers * n:,} messages of {len(text) // 1024} KiB"
