# SPDX-License-Identifier: Apache-2.0
"""List D, third part: the paths of the sockets, the port file and the locks, when something else is
there or they are taken away. Each daemon here has paths of its own."""
import fcntl
import os
import shutil
import signal
import socket
import stat

from frame import attack
from harness import wait_for
from target import Peer, many

from lists.files import other_things
from lists.ingest import STATUS
from lists.kept import Kept, must_be_untouched, victim


def refused(daemon, words):
    """It ends at once with a sentence that has these words."""
    daemon.start()
    status = daemon.wait_ended()
    said = daemon.log()
    if status != 1 or words not in said:
        raise AssertionError(f"{status}, without {words!r}: {said}")
    if len(said.splitlines()) > 4:
        raise AssertionError(f"much is said: {said}")


def at(t, path, **options):
    """A daemon whose ingest socket would be there."""
    daemon = t.another(DYN_METRICSD_ADDRESS="ipc://" + path, **options)
    daemon.socket = path
    daemon.port_file = os.path.join(os.path.dirname(path), "http.port")
    return daemon


def place(t, name):
    """A folder for sockets, of this attack's."""
    folder = os.path.join(t.folder, f"place-{name}")
    os.mkdir(folder, 0o700)
    return folder


@attack("D30", "socket paths of every length")
def path_length(t):
    folder = place(t, "long")
    tried = 0
    for length in (106, 107, 108, 109, 121, 122, 128, 255, 4096, 65536)[:many(5, 10)]:
        path = os.path.join(folder, "x" * (length - len(folder) - 1))
        daemon = at(t, path)
        if length <= 107:
            daemon.start().ready()
            Kept.count(daemon)
            daemon.stop()
        else:
            refused(daemon, "at most 107 bytes")
        daemon.clean_up()
        http = t.another(DYN_SYSTEM_HOST="unix:" + path)
        if length > 107:
            refused(http, "DYN_SYSTEM_HOST")
        tried += 1
    return f"{tried} lengths, 2 sockets"


@attack("D31", "a file, folder, FIFO, device or link in place of a socket")
def path_taken(t):
    folder, target = place(t, "taken"), victim(t)
    paths = [path for name, path in other_things(folder).items() if name != "socket"]
    for name, source in (("file", target), ("link", None)):
        paths.append(os.path.join(folder, name))
        if source:
            shutil.copy2(source, paths[-1])
        else:
            os.symlink(target, paths[-1])
    for path in paths:
        before = os.lstat(path)
        refused(at(t, path), "is not a socket: it is left alone")
        refused(t.another(DYN_SYSTEM_HOST="unix:" + path), "is not a socket: it is left alone")
        after = os.lstat(path)
        assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode), path
    must_be_untouched(target)
    return f"{len(paths)} things, 2 sockets each"


@attack("D32", "a socket that somebody else answers at, or that is of another sort")
def path_in_use(t):
    folder = place(t, "used")
    for name, kind, words in (("stream", socket.SOCK_STREAM, "another server answers"),
            ("datagram", socket.SOCK_DGRAM, "is left alone"),
            ("packets", socket.SOCK_SEQPACKET, "is left alone")):
        path = os.path.join(folder, name)
        with socket.socket(socket.AF_UNIX, kind) as server:
            server.bind(path)
            if kind != socket.SOCK_DGRAM:
                server.listen(1)
            refused(at(t, path), words)
            assert stat.S_ISSOCK(os.lstat(path).st_mode)
    stale = os.path.join(folder, "stream")  # nobody is there any more
    at(t, stale).start().ready()
    refused(at(t, t.socket), "another dynamo-metricsd has")
    t.expect(t.serves, "the shared daemon does not serve any more")
    return "3 sorts, a stale one, the shared daemon's"


@attack("D33", "a folder that is missing, read-only, no folder, or a link to itself")
def path_without_folder(t):
    folder, others = place(t, "without"), place(t, "others")
    paths = [os.path.join(folder, "a", "b", "x.ipc"), os.path.join("/proc", "x.ipc"),
        *(os.path.join(path, "x.ipc") for name, path in other_things(others).items()
            if name not in ("folder",))]
    for path in paths:
        refused(at(t, path), "x.ipc")
        refused(t.another(DYN_SYSTEM_HOST="unix:" + path), "x.ipc")
    made = at(t, os.path.join(folder, "made", "x.ipc"))
    made.start().ready()
    made.stop()
    tried = len(paths)
    if os.geteuid() == 0:
        tried += 1
        os.chmod(folder, 0o755)
        daemon = at(t, os.path.join(folder, "y.ipc"), before=(
            "setpriv", "--reuid=65534", "--clear-groups"))
        os.chmod(daemon.folder, 0o777)
        refused(daemon, "Permission denied")
    return f"{tried} folders"


@attack("D34", "sockets, locks and folders that are taken away while it runs")
def path_gone(t):
    folder = place(t, "gone")
    daemon = at(t, os.path.join(folder, "x.ipc")).start().ready()
    worker = t.keep(Peer(daemon.socket))
    os.unlink(daemon.socket + ".lock")
    refused(at(t, daemon.socket), "another server answers")
    for change in (lambda: os.chmod(daemon.socket, 0), lambda: os.unlink(daemon.socket),
            lambda: os.rename(daemon.socket, daemon.socket + ".old"),
            lambda: (os.rename(folder, folder + ".away"), os.mkdir(folder))):
        change()
        assert worker.ask(STATUS)  # who was connected goes on
        wait_for("its socket", lambda: daemon.get("/live").status == 200
            and os.path.exists(daemon.socket))
        Kept.count(daemon)
    os.unlink(daemon.socket)
    os.mkdir(daemon.socket)
    wait_for("a problem", lambda: "no worker can connect" in daemon.get("/health").text)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.wait_ended() == 0, daemon.log()
    assert os.path.isdir(daemon.socket), "what is not its own was removed"
    return "6 changes"


@attack("D35", "something else in place of the port file")
def port_file(t):
    target = victim(t)
    makers = (os.mkfifo, lambda path: os.symlink(target, path), lambda path: os.link(target, path),
        lambda path: os.symlink(path, path), lambda path: os.symlink("/dev/full", path))
    for make in makers:
        daemon = t.another()
        make(daemon.port_file)
        daemon.start()
        wait_for("its port", lambda: os.path.isfile(daemon.port_file)
            and not os.path.islink(daemon.port_file) and os.stat(daemon.port_file).st_nlink == 1)
        daemon.ready()
        os.unlink(daemon.port_file)
        make(daemon.port_file)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.wait_ended() == 0, daemon.log()
        assert os.path.lexists(daemon.port_file), "what is not its own was removed"
        daemon.clean_up()
    must_be_untouched(target)
    daemon = t.another()
    os.mkdir(daemon.port_file)
    refused(daemon, "port file")
    return f"{len(makers) + 1} things, before and while it runs"


@attack("D36", "something else, or somebody else's, in place of the locks")
def lock_planted(t):
    target = victim(t)
    others = place(t, "locks")
    for name, path in other_things(others).items():
        for lock in ("ingest.ipc.lock", ".lock"):
            daemon = t.another()
            os.rename(path, os.path.join(daemon.folder, lock))
            daemon.start()
            if lock == "ingest.ipc.lock":
                assert daemon.wait_ended() == 1 and "lock file" in daemon.log(), daemon.log()
            else:
                daemon.ready()
                Kept.count(daemon)
                daemon.stop()
            os.rename(os.path.join(daemon.folder, lock), path)
            daemon.clean_up()
    daemon = t.another()
    os.symlink(target, daemon.socket + ".lock")
    refused(daemon, "lock file")
    must_be_untouched(target)
    if os.geteuid() == 0:
        daemon = t.another(before=("setpriv", "--reuid=12345", "--clear-groups"))
        os.chmod(daemon.folder, 0o777)
        with open(daemon.socket + ".lock", "w", encoding="ascii") as file:
            os.chmod(file.name, 0o666)
            os.chown(file.name, 65534, 65534)
            fcntl.flock(file, fcntl.LOCK_EX)
            refused(daemon, "it is another user's")
    return "16 things"
