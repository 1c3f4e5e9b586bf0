# SPDX-License-Identifier: Apache-2.0
"""List D, first part: the configuration, when it is not what it should be."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading

from frame import attack
from harness import DAEMON, clean_environment, wait_for
from target import many

RIGHT = {"naming": "seed", "labels": {"rack": "b7"}, "http": {"port": 0, "gzip": False},
    "limits": {"series": 1000, "labels": 8}, "log": {"level": "warning"}}
TB = 1 << 40


def check_config(path, *before):
    """The exit status of --check-config, and what it said in one printable line."""
    done = subprocess.run([*before, DAEMON, "--config", path, "--check-config"], check=False,
        capture_output=True, env=clean_environment(), timeout=10, stdin=subprocess.DEVNULL)
    said = done.stderr.decode("utf-8", "surrogateescape")
    if done.returncode not in (0, 1) or (done.returncode == 1) != bool(said):
        raise AssertionError(f"--check-config ended with {done.returncode}: {said}")
    if len(said.splitlines()) > 1 or any(ord(c) < 32 for c in said.rstrip("\n")):
        raise AssertionError(f"not one line of text: {said!r}")
    return done.returncode, said


def config_file(t, data):
    path = os.path.join(t.folder, "hostile.json")
    with open(path, "wb") as file:
        file.write(data)
    return path


def must_be_wrong(path, words="", *before):
    status, said = check_config(path, *before)
    if status != 1 or words not in said:
        raise AssertionError(f"{status}, {said!r} instead of {words!r}")


@attack("D01", "a configuration that is cut anywhere")
def config_cut(t):
    data = json.dumps(RIGHT).encode()
    cuts = range(0, len(data), many(23, 1))
    for cut in cuts:
        must_be_wrong(config_file(t, data[:cut]))
    return f"{len(cuts)} cuts"


@attack("D02", "a configuration with any bit flipped")
def config_flipped(t):
    data = json.dumps(RIGHT).encode()
    bits = range(0, 8 * len(data), many(197, 1))
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        check_config(config_file(t, flipped))
    return f"{len(bits):,} bits"


@attack("D03", "a configuration of another kind, or with absurd contents")
def config_foreign(t):
    draw = random.Random(3)
    with open(DAEMON, "rb") as file:
        program = file.read(1 << 19)
    files = [program, draw.randbytes(1 << 20), bytes(1 << 20), b"\x1f\x8b\x08" + draw.randbytes(99),
        json.dumps(RIGHT).encode("utf-16"), b"\xef\xbb\xbf{}", b"http:\n  port: 1\n", b"[]", b"1",
        b"[" * (1 << 20), b'{"a":' * 100000, b'{"http":{"port":1},"http":{"port":2}}',
        b'{"\\u001b[2J\\nforged line":1}', b'{"http":{"\x1b[2J":1}}', b'{"http":{"host":"\\u0000"}}',
        b'{"http":{"host":"a\\nb"}}', b'{"limits":{"series":1e400}}', b'{"limits":{"series":-1}}',
        b'{"limits":{"series":99999999999999999999}}', b'{"log":{"level":"\\u001b[1m"}}',
        b'{"labels":{' + b",".join(b'"a%d":"x"' % n for n in range(50000)) + b"}}",
        b"{" + b",".join(b'"k%d":1' % n for n in range(50000)) + b"}",
        b'{"' + b"x" * ((1 << 20) - 10) + b'":1}']
    for data in files:
        status, _ = check_config(config_file(t, data))
        assert status == 1 or data.startswith((b'{"labels"', b'{"http":{"host":"a')), data[:40]
    return f"{len(files)} files"


@attack("D04", "a configuration of 1 TB, or of a byte too many")
def config_enormous(t):
    path = config_file(t, b"{}")
    for size in ((1 << 20) + 1, 1 << 30, TB):
        os.truncate(path, size)
        must_be_wrong(path, "longer than", "prlimit", "--as=100000000")
    return "3 sizes, in 100 MB of memory"


def other_things(folder):
    """Paths that are no files, or that nobody should follow."""
    made = {name: os.path.join(folder, name) for name in
        ("folder", "fifo", "socket", "self", "dangling", "zero", "full")}
    os.mkdir(made["folder"])
    os.mkfifo(made["fifo"])
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(made["socket"])
    os.symlink("self", made["self"])
    os.symlink("nothing", made["dangling"])
    os.symlink("/dev/zero", made["zero"])
    os.symlink("/dev/full", made["full"])
    return made


@attack("D05", "a folder, FIFO, socket, device or link as the configuration")
def config_other(t):
    folder = os.path.join(t.folder, "others")
    os.mkdir(folder)
    os.mkfifo(os.path.join(folder, "a\n\x1b[2Jb"))
    paths = [*other_things(folder).values(), os.path.join(folder, "a\n\x1b[2Jb"),
        "/proc/self/mem", "/dev/tty", "/proc/kmsg", "/dev/null"]
    for path in paths:
        must_be_wrong(path)
    shutil.rmtree(folder)
    return f"{len(paths)} things"


@attack("D06", "a configuration that changes while it is read again")
def config_changing(t):
    daemon = t.another(config={"log": {"level": "info"}}).start().ready()
    over, text = threading.Event(), json.dumps({"log": {"level": "info"}, "limits": {"series": 5}})

    def change():
        draw = random.Random(6)
        while not over.is_set():
            with open(daemon.config_file, "r+b", buffering=0) as file:
                file.truncate(draw.randrange(len(text)))
                file.write(text.encode()[:draw.randrange(len(text))])

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for n in range(many(10, 300)):
            daemon.process.send_signal(signal.SIGHUP)
            assert daemon.get("/live").status == 200
    finally:
        over.set()
        changing.join()
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)):
        os.unlink(daemon.config_file)
        make(daemon.config_file)
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.get("/live").status == 200
        (os.rmdir if make is os.mkdir else os.unlink)(daemon.config_file)
        with open(daemon.config_file, "w", encoding="ascii") as file:
            file.write(text)
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the right one", lambda: daemon.value(
        'dynamo_metricsd_config_reloads_total{result="ok"}') > 0)
    daemon.stop()
    return f"{many(10, 300)} reloads, 3 other things"
