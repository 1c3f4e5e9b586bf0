# SPDX-License-Identifier: Apache-2.0
"""Daemons and workers as a container engine runs them: process 1 of a namespace of its own,
a root that cannot be written, a user without a name, no capabilities. And whole machines that
are this one, or a tree of files, with all that is written kept in memory. It takes root."""
import os
import signal
import subprocess
import unittest

from harness import DAEMON, SANITIZED, Daemon, clean_environment
from namespaces import can, only_child, runs
from programs import kill

# A user and a group that no list of users has, as OpenShift gives them out.
UID = 1000650000
GID_OF_FILES = 2000

# FOLDERS: those that can be written. PROC: own, hidden (without processes of other users),
# outer (that of the machine) or none.
SETUP = """set -e
mount --make-rprivate /
for folder in $FOLDERS; do mount --bind "$folder" "$folder"; done
case $PROC in
own) mount -t proc proc /proc ;;
hidden) mount -t proc -o hidepid=invisible proc /proc ;;
none) umount -l /proc ;;
esac
mount -o remount,bind,ro /
unset FOLDERS PROC HOME
exec setpriv "$@"
"""
# COPY and BIND: FROM=TO words, the latter inside.
MACHINE = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$ROOM"
mkdir "$ROOM/upper" "$ROOM/work" "$ROOM/root"
root=$ROOM/root
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$ROOM/upper,workdir=$ROOM/work" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
for folder in $MEMORY; do mount -t tmpfs tmpfs "$root$folder"; done
for pair in $COPY; do
	mkdir -p "$root$(dirname "${pair#*=}")"
	cp -r "${pair%%=*}" "$root${pair#*=}"
done
for pair in $BIND; do
	mkdir -p "$root${pair#*=}"
	mount --bind "${pair%%=*}" "$root${pair#*=}"
done
(cd "$root" && eval "$PREPARE")
[ -z "$READ_ONLY" ] || mount -o remount,ro "$root"
user=$AS
unset ROOM LOWER MEMORY COPY BIND PREPARE READ_ONLY AS HOME
exec setpriv --no-new-privs chroot $user "$root" "$@"
"""
SPACES = ("unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child")


def need():
    """Skip the test where there can be no containers."""
    if SANITIZED:
        raise unittest.SkipTest("a sanitizer needs more than a container has")
    if os.geteuid() != 0 or not can(*SPACES) or not can("setpriv", "--reuid=1", "--clear-groups"):
        raise unittest.SkipTest("this takes root, and the right to make namespaces")


def command(folders, proc="own", uid=UID, gid=0, groups=(GID_OF_FILES,)):
    """What runs a command in a container that shares these folders."""
    extra = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return ("env", f"PROC={proc}", "FOLDERS=" + " ".join(folders), *SPACES, "sh", "-c", SETUP,
        "-", f"--reuid={uid}", f"--regid={gid}", extra, "--no-new-privs")


def words(pairs):
    return " ".join(f"{a}={b}" for a, b in pairs.items())


def machine(room, lower="/", copies=None, binds=None, memory=(), prepare="", read_only=False,
        user="0:0", groups=(), net=None):
    """What runs a command on a machine of its own, in an empty folder. memory: folders that
    are empty there. net: None: that of this machine, "new", or of a process with this number."""
    extra = f" --groups={','.join(map(str, groups))}" if groups else ""
    enter = ("nsenter", f"--target={net}", "--net") if isinstance(net, int) else ()
    new = ("--net",) if net == "new" else ()
    return ("env", f"ROOM={room}", f"LOWER={lower}", f"COPY={words(copies or {})}",
        f"BIND={words(binds or {})}", f"MEMORY={' '.join(memory)}", f"PREPARE={prepare}",
        f"READ_ONLY={'yes' if read_only else ''}", f"AS=--userspec={user}{extra}",
        *enter, *SPACES, *new, "sh", "-c", MACHINE, "-")


def shared_folder(test):
    """As an emptyDir with an fsGroup: its group may write, and owns what is made in it."""
    folder = test.folder()
    os.chown(folder, 0, GID_OF_FILES)
    os.chmod(folder, 0o2775)
    return folder


def end_all(process):
    """Kill what runs a container, and the container. (That its end is the other's as well is
    forgotten by a process that changes its user.)"""
    if process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
                inside = [int(pid) for pid in file.read().split()]
        except FileNotFoundError:
            inside = []
        process.kill()
        for pid in inside:
            kill(pid)
    process.wait()


class Contained(Daemon):
    """A daemon that is process 1."""

    def __init__(self, folder, proc="own", inside=(), gid=0, **options):
        super().__init__(folder, before=(*command([folder], proc, gid=gid), *inside), **options)
        self.expected = DAEMON

    def pid(self):
        """Its number out here."""
        return runs(only_child(self.process.pid), self.expected)

    def send(self, number):
        os.kill(self.pid(), number)

    def stop(self, how=signal.SIGTERM):
        self.send(how)
        status = self.wait_ended()
        if status != 0:
            raise AssertionError(f"the daemon stopped with {status}: {self.log()}")

    def kill(self):
        end_all(self.process)

    def run_inside(self, *what, wait=True):
        """Run a command beside it, as who it is not: root."""
        done = subprocess.Popen(["nsenter", f"--target={self.pid()}", "--pid", *what],
            stdin=subprocess.DEVNULL, env=clean_environment())
        return done.wait() if wait else done
