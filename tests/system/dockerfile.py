# SPDX-License-Identifier: Apache-2.0
"""The steps of a Dockerfile, taken for real without Docker: each stage is a copy of a Debian
tree, RUN runs in it, COPY copies. No layers, no cache, and only what our file has."""
import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess

LISTS = ("ENTRYPOINT", "HEALTHCHECK", "VOLUME")
KNOWN = (*LISTS, "FROM", "RUN", "COPY", "ENV", "LABEL", "USER", "WORKDIR", "EXPOSE", "STOPSIGNAL")
# A command runs in the tree $ROOT, with a /proc and the devices that every container has.
INSIDE = """set -e
mount --make-rprivate /
mount -t proc proc "$ROOT/proc"
mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
for name in null zero full random urandom tty; do
	touch "$ROOT/dev/$name"
	mount --bind "/dev/$name" "$ROOT/dev/$name"
done
ln -s /proc/self/fd "$ROOT/dev/fd"
cd /
exec chroot "$ROOT" "$@"
"""


def instructions(text):
    """(word, options, rest) of each; lines are joined, comments gone."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\\\n", "", text)
    for line in filter(None, map(str.strip, text.split("\n"))):
        word, rest = line.split(None, 1)
        options = {}
        while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            options[match.group(1)] = match.group(2)
            rest = rest[match.end():]
        if word not in KNOWN:
            raise AssertionError(f"an instruction that is not known: {line}")
        yield word, options, rest


class Stage:
    def __init__(self, name, base):
        self.name, self.base, self.root = name, base, None
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.folder, self.user, self.steps, self.facts = "/", "0:0", [], {}

    def add(self, word, options, rest):
        if word == "ENV":
            self.environment.update(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "LABEL":
            self.facts["LABEL"] = dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "USER":
            self.user = rest
        elif word in ("RUN", "COPY", "WORKDIR"):
            self.steps.append((word, options, rest))
        elif word in LISTS:
            self.facts[word] = (options, json.loads(rest.removeprefix("CMD ")))
        else:
            self.facts[word] = rest


def stages(path):
    found = []
    with open(path, encoding="utf-8") as file:
        for word, options, rest in instructions(file.read()):
            if word == "FROM":
                base, _, name = rest.partition(" AS ")
                found.append(Stage(name or None, base))
            else:
                found[-1].add(word, options, rest)
    return found


class Ignored:
    """What .dockerignore leaves out."""

    def __init__(self, context):
        with open(os.path.join(context, ".dockerignore"), encoding="utf-8") as file:
            self.patterns = [line.strip() for line in file if line.strip() and line[0] != "#"]
        self.context = context

    def __call__(self, folder, names):
        return [name for name in names if any(self.matches(pattern, os.path.relpath(
            os.path.join(folder, name), self.context)) for pattern in self.patterns)]

    @staticmethod
    def matches(pattern, path):
        if pattern.startswith("**/"):
            return fnmatch.fnmatch(os.path.basename(path), pattern[3:])
        return fnmatch.fnmatch(path, pattern)


class Builder:
    """Takes the steps in copies of a tree that stands for all bases."""

    def __init__(self, context, base, folder):
        self.context, self.base, self.folder, self.made = context, base, folder, {}

    def build(self, path):
        """The last stage, built."""
        for number, stage in enumerate(stages(path)):
            stage.root = os.path.join(self.folder, stage.name or str(number))
            subprocess.run(["rm", "-rf", stage.root], check=True)
            subprocess.run(["cp", "-a", self.base, stage.root], check=True)
            for word, options, rest in stage.steps:
                getattr(self, word.lower())(stage, options, rest)
            self.made[stage.name] = stage
        return stage

    def workdir(self, stage, _, rest):
        stage.folder = os.path.join(stage.folder, rest)
        os.makedirs(stage.root + stage.folder, exist_ok=True)

    def copy(self, stage, options, rest):
        source, to = rest.split()
        target = stage.root + os.path.join(stage.folder, to)
        if "from" in options:
            shutil.copy2(self.made[options["from"]].root + source, target)
        else:
            shutil.copytree(os.path.join(self.context, source), target, symlinks=True,
                ignore=Ignored(self.context), dirs_exist_ok=True)

    def run(self, stage, _, rest):
        """With the names of hosts that are known out here, which are not the stage's."""
        lent = os.path.join(stage.root, "etc/resolv.conf")
        shutil.copy("/etc/resolv.conf", lent)
        done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child",
            "sh", "-c", INSIDE, "-", "/bin/sh", "-c", f"cd {stage.folder} && {rest}"],
            env={"ROOT": stage.root, "HOME": "/root", **stage.environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.unlink(lent)
        if done.returncode:
            raise AssertionError(f"RUN {rest}\nended with {done.returncode}:\n"
                + done.stdout.decode("utf-8", "replace")[-4000:])


def kilobytes(root):
    """What a tree takes."""
    shown = subprocess.run(["du", "-sk", "--apparent-size", root], capture_output=True,
        check=True).stdout
    return int(shown.split()[0])


def added(root, base):
    """Kilobytes of the files that a tree has, and its base has not or has otherwise."""
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            now = os.lstat(path)
            before = os.path.join(base, os.path.relpath(path, root))
            was = os.lstat(before) if os.path.lexists(before) else None
            if was is None or (was.st_size, was.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
                total += now.st_size
    return total // 1024
