# SPDX-License-Identifier: Apache-2.0
"""What `make show-abort` shows: 17 bytes that any local process can send abort a server
on libnanomsg, and leave this daemon as it was.

The bytes are a valid handshake of a REQ peer and the head of one frame whose type is not
1. The server is nanocat, the tool that comes with libnanomsg.
"""
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from harness import Daemon, wait_for

HANDSHAKE = b"\0SP\0\0\x30\0\0"
BAD_FRAME = b"\2" + bytes(8)


def attack(path):
    """True if the server closed or ended the connection."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(path)
        peer.sendall(HANDSHAKE + BAD_FRAME)
        try:
            while peer.recv(4096):
                pass
        except ConnectionResetError:
            pass


def nanocat_after(folder):
    path = os.path.join(folder, "nanocat.ipc")
    server = subprocess.Popen(["nanocat", "--rep", "--bind", "ipc://" + path, "--data", "hi"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
    try:
        wait_for("nanocat", lambda: os.path.exists(path))
        attack(path)
        status = server.wait(10)
    finally:
        server.kill()
        said = server.communicate()[1]
    return status, said.strip()


def daemon_after(folder):
    daemon = Daemon(folder).start().ready()
    try:
        for _ in range(10):
            attack(daemon.socket)
        answer = daemon.get("/live").status
        daemon.stop()
    finally:
        daemon.clean_up()
    return answer


def main():
    folder = tempfile.mkdtemp(prefix="dynm-")
    try:
        status, said = nanocat_after(folder)
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        print(f"nanocat (libnanomsg): ended by {how}")
        for line in said.splitlines():
            print(f"    {line}")
        answer = daemon_after(folder)
        print(f"dynamo-metricsd: after ten times the same, /live answers {answer}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if status == -signal.SIGABRT and answer == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
