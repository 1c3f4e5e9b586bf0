# SPDX-License-Identifier: Apache-2.0
"""List C, third part: what one user may do to others."""
import json
import os
import struct

from frame import attack
from lists.cells import (ADMIN, BYE, DEFINE, EACH, ERROR, GAUGE, NEW, PING, REMOVE, UNBOUND, UPDATE,
    Session, child, hello, metric, record, small)
from target import many

NOBODY = 65534


def reachable(t):
    """Other users may connect, as members of the group."""
    os.chmod(t.folder, 0o711)
    os.chmod(t.socket, 0o666)


def as_nobody(t, function):
    """It runs as another user, if we may; whether that was so."""
    if os.geteuid() != 0:
        return False
    reachable(t)
    read, write = os.pipe()

    def run():
        try:
            function()
        except Exception as error:
            os.write(write, repr(error).encode())
            raise

    status = t.wait(t.fork(run, uid=NOBODY))
    os.close(write)
    said = os.read(read, 1000).decode()
    os.close(read)
    assert status == 0, said
    return True


@attack("C40", "another user's session: HELLO, and every request of it")
def others_session(t):
    s = Session(t, "victim")
    s.must_define(metric(0, "attack_victim_total"), child(0, 0))
    assert s.update(record(0, 5.0))

    def harm():
        peer = t.peer()
        for again in (None, s.ticket):
            reply = peer.ask(hello(s.sid, again, "victim"))
            assert reply[5] == ERROR and reply[8] == 19, reply
        evil = Session(t, "evil", peer=peer)
        evil.ticket = s.ticket
        for kind in (DEFINE, UPDATE, REMOVE):
            reply = evil.numbered(kind, 0, b"", 1 << 40)
            assert reply[5] == UNBOUND, reply
        for kind in (PING, BYE):
            assert evil.ask(kind, s.ticket)[5] == UNBOUND

    if not as_nobody(t, harm):
        return "nothing: it needs another user"
    assert s.update(record(0, 6.0)), "the session was touched"
    assert t.value("dynamo_attack_victim_total") == 6
    s.end()
    return "8 requests with its id and ticket"


@attack("C41", "another user's name, ADMIN of somebody")
def others_name(t):
    s = Session(t, "victim")
    s.must_define(metric(0, "attack_each", GAUGE, EACH), child(0, 0))
    assert s.update(record(0, 5.0))

    def harm():
        evil = Session(t, "victim")
        evil.must_define(metric(0, "attack_each", GAUGE, EACH), child(0, 0))
        evil.update(record(0, 6.0))
        for command in ("tail", "remove", "log_level"):
            body = json.dumps({"command": command, "name": "attack_each", "level": "debug"}).encode()
            reply = evil.ask(ADMIN, struct.pack("<I", len(body)) + body)
            assert reply[5] == ERROR and reply[8] == 19, reply

    if not as_nobody(t, harm):
        return "nothing: it needs another user"
    assert t.value('dynamo_attack_each{worker_id="victim"}') == 5, "its gauge is another's"
    s.end()
    return "1 name, 3 commands"


@attack("C42", "a user who takes all there is: others still have their share",
    config=small(labels=31))
def share(t):
    turns = many(4, 40)

    def harm():
        s = Session(t)
        s.must_define(metric(variable=["k"]))
        for i in range(turns):
            s.define(*(child(0, i * 1000 + k, f"{i}-{k}") for k in range(1000)))
            s.define(*(metric(1 + i * 100 + k, f"attack_evil_{i}_{k}") for k in range(100)))
        for _ in range(400):
            s.peer.ask(hello(os.urandom(16)))

    if not as_nobody(t, harm):
        return "nothing: it needs another user"
    s = Session(t, "good")
    assert s.reply[5] == NEW, s.reply
    s.must_define(metric(0, "attack_good_total", variable=["k"]))
    s.must_define(*(child(0, k, str(k)) for k in range(1000)))
    s.end()
    return f"{1000 * turns:,} series, {100 * turns:,} names, 400 workers"


@attack("C43", "shapes that are in the way of a name", removes=True)
def poison(t):
    """A name that nobody alive defines makes way; HELP is that of the first."""
    for i in range(many(5, 100)):
        t.json({"metrics": [{"name": "attack_poison", "type": "gauge", "set": i,
            "help": "# TYPE dynamo_attack_poison gauge\nevil 1"}]})
        s = Session(t)
        s.must_define(metric(0, "attack_poison"), child(0, 0))
        assert s.update(record(0, 7.0))
        answer = t.json({"metrics": [{"name": "attack_poison", "type": "gauge", "set": 1},
            {"name": "attack_poison_total", "type": "histogram", "observe": 1},
            {"name": "attack_poison", "type": "counter", "remove": True}]})
        assert answer["errors"][0]["reason"] == "type", answer
        value = t.value("dynamo_attack_poison")
        assert value == 7, f"it is {value}, and was set to 7"
        s.end()
    return f"{many(5, 100)} times"
