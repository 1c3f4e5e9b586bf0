# SPDX-License-Identifier: Apache-2.0
"""Pages of the documentation, played from top to bottom as a reader would.

A page is played against a daemon of its own, in a scratch folder that looks like the source
tree, with what `make install` installs in PATH. What stands in a fence decides what is done:

    sh          run as written by sh -e; `sh fails`: it has to fail. `sh watch`: it goes on while
                the next command is run, in another terminal; what the nameless block after
                that shows is printed by the one that goes on, or is on the page. Then Ctrl-C
    c           compiled against the installed library and run; without a main() it is put
                into the page's frame, which is the first program, where that says so
    json        a message is sent, and has to be taken, or else answered as the json block
                after it says; a configuration is given to --check-config
    python, js  run
    yaml        checked by promtool; `yaml container`: fields of a container in Kubernetes
    (nothing)   what the block before printed, or if it printed nothing, what the daemon's page
                has of the metrics it names. `...` stands for anything
    text        a picture: nothing is done

A file name after the language means: this is that file. It is written there, commands of the
page use it, and if client/examples has it, it is the same. No other fence may be.

Some commands cannot do in a test what they do for a reader. These stand in for them, and
nothing else does:

    sudo              runs the rest, as who we are
    curl              the real one; localhost:8081 is the page's daemon
    dynamo-metricsd   as a daemon: in the background, instead of the one that the page had
    pkill             signals the page's daemon and nobody else
    make              `make test` is what runs this; all else is the real one
    systemctl         and what else of systemd the README installs with: they know those words and
                      do nothing. docs/systemd.md has the same block, and is played where systemd is
                      the real one: tests/service/test_guide.py
    docker, kubectl   files that they are given have to exist; exec runs the command here
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time

import manifests
from harness import BUILD, DEADLINE_S, SANITIZED, SOURCE, Daemon, clean_environment, wait_for

FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
HERE = "/* The snippets of this page stand here. */"
# A sanitized library needs a sanitized program.
SANITIZERS = ["-fsanitize=" + os.path.basename(BUILD)] if SANITIZED else []
SECTIONS = {"naming", "labels", "ingest", "http", "limits", "state", "log"}

CONTAINERS = """case $1 in
build | apply)
	while [ "$1" != -f ]; do shift; done
	test -f "$2" ;;
exec)
	while [ "${1#dynamo-metrics}" = "$1" ]; do shift; done
	exec "$@" ;;
run) ;;
*) exit 2 ;;
esac
"""
STUBS = {
    "sudo": """exec "$@"
""",
    "curl": """port=$(cat http.port 2>/dev/null)
exec {curl} --connect-to "localhost:8081:127.0.0.1:$port" "$@"
""",
    "make": """[ "$1" != test ] || exit 0
exec {make} "$@"
""",
    "pkill": """[ "$*" = "-HUP -x dynamo-metricsd" ] || exit 2
kill -HUP "$(cat daemon.pid)"
""",
    "systemctl": """case $* in
daemon-reload | 'enable --now dynamo-metricsd') ;;
*) exit 2 ;;
esac
""",
    "systemd-sysusers": """[ "$*" = dynamo-metrics.conf ]
""",
    "systemd-tmpfiles": """[ "$*" = '--create dynamo-metrics.conf' ]
""",
    "docker": CONTAINERS,
    "kubectl": CONTAINERS,
    "dynamo-metricsd": """for a; do
	case $a in --check-config | --help | --version)
		exec "$DYNM_PREFIX/sbin/dynamo-metricsd" "$@" ;;
	esac
done
printf '%s\\0' "$@" >start.arguments
env -0 >start.written
mv start.written start.environment
while [ -e start.environment ]; do sleep 0.02; done
""",
}


class Block:
    def __init__(self, path, line, info, text):
        self.path, self.line, self.text = path, line, text
        self.language, *self.words = info.split() or [""]
        self.name = next((w for w in self.words if "." in w), None)
        self.fails = "fails" in self.words

    def __str__(self):
        return f"{os.path.relpath(self.path, SOURCE)}:{self.line}: ```{self.language}"


def blocks(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    found = []
    for match in FENCE.finditer(text):
        indent, info, body = match.groups()
        found.append(Block(path, text[:match.start()].count("\n") + 1, info,
            re.sub(f"^{indent}", "", body, flags=re.MULTILINE)))
    if len(re.findall(r"^ *```", text, re.MULTILINE)) != 2 * len(found):
        raise AssertionError(f"{path}: a fence is not closed")
    return found


def pattern(text):
    """What matches a text in which `...` stands for anything."""
    lines = []
    for line in text.splitlines():
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(re.escape(line).replace(r"\.\.\.", ".*") + r"\n")
    return re.compile("".join(lines))


def family_of(line):
    words = line.split(" ")
    if words[0] == "#":
        return words[2]
    return re.match(r"[a-zA-Z_:][a-zA-Z0-9_:]*", line).group() if line[:1].isalpha() else None


def like(wanted, got):
    """Whether two JSON values are equal, where "..." stands for any text."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(like(wanted[k], got[k]) for k in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(map(like, wanted, got))
    return wanted == got or wanted == "..." and isinstance(got, str)


def part_of(shown, wanted):
    """The lines of a page that are about the families which wanted names; its samples alone
    if wanted has no comments."""
    names = {family_of(line) for line in wanted.splitlines()}
    comments = any(line.startswith("# ") for line in wanted.splitlines())
    lines, family = [], None
    for line in shown.splitlines():
        if line.startswith("# "):
            family = family_of(line)
        mine = family in names or not line.startswith("# ") and family_of(line) in names
        if mine and (comments or not line.startswith("# ")):
            lines.append(line + "\n")
    return "".join(lines)


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def without_head(text):
    """A script without its first line and its licence."""
    return re.sub(r"\A(#!.*\n)?(.*SPDX-License-Identifier.*\n)", "", text)


class Installation:
    """What `make install` gives, and the commands that stand in for others."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="dynm-")
        self.prefix = os.path.join(self.folder, "usr")
        self.variables = {"BUILD": BUILD, "PREFIX": self.prefix, "DEPS": "skip",
            "SYSCONFDIR": os.path.join(self.folder, "etc"), "RUN_SECONDS": "1"}
        os.mkdir(os.path.join(self.folder, "stubs"))
        for name, text in STUBS.items():
            for real in ("curl", "make"):
                text = text.replace("{" + real + "}", shutil.which(real) or real)
            write(os.path.join(self.folder, "stubs", name), "#!/bin/sh\n" + text, 0o755)
        done = subprocess.run(["make", "-s", "-C", SOURCE, "install"], capture_output=True,
            encoding="utf-8", env=clean_environment(**self.variables))
        if done.returncode:
            self.remove()
            raise AssertionError(done.stdout + done.stderr)

    def environment(self):
        path = [os.path.join(self.folder, "stubs"), os.path.join(self.prefix, "bin"),
            os.path.join(self.prefix, "sbin"), os.environ["PATH"]]
        return {**self.variables, "DYNM_PREFIX": self.prefix, "PATH": ":".join(path),
            "LD_LIBRARY_PATH": os.path.join(self.prefix, "lib"),
            "PKG_CONFIG_PATH": os.path.join(self.prefix, "lib", "pkgconfig")}

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Player:
    def __init__(self, test, installation, path):
        self.test, self.blocks = test, blocks(path)
        self.folder = test.folder()
        for name in os.listdir(SOURCE):
            if name not in (".git", "build"):
                os.symlink(os.path.join(SOURCE, name), os.path.join(self.folder, name))
        self.daemon, self.frame, self.printed, self.watcher = None, None, "", None
        self.start([], {})
        self.environment = clean_environment(**installation.environment(),
            DYN_METRICSD_ADDRESS=self.daemon.address, DYN_SYSTEM_PORT="0",
            XDG_RUNTIME_DIR=self.folder)

    def start(self, arguments, environment):
        """A daemon instead of the one that the page has."""
        if self.daemon:
            self.daemon.stop()
        self.daemon = Daemon(self.folder, arguments,
            **{k: v for k, v in environment.items() if k.startswith("DYN_")})
        self.test.addCleanup(self.daemon.clean_up)
        self.daemon.start().ready()
        write(self.file("daemon.pid"), f"{self.daemon.process.pid}\n")

    def file(self, name):
        return os.path.join(self.folder, name)

    def play(self):
        for at, block in enumerate(self.blocks):
            act = getattr(self, "play_" + (block.language or "output"), None)
            try:
                self.test.assertIsNotNone(act, "what is to be done with it?")
                if block.name:
                    self.keep(block)
                act(block, self.blocks[at + 1:])
            except AssertionError as error:
                raise AssertionError(f"{block}\n{error}") from None
        self.daemon.stop()

    def keep(self, block):
        write(self.file(block.name), block.text)
        example = os.path.join(SOURCE, "client", "examples", block.name)
        if os.path.exists(example):
            with open(example, encoding="utf-8") as file:
                self.test.assertEqual(block.text, without_head(file.read()))

    def used_later(self, block, rest):
        if block.name:
            self.test.assertTrue(any(b.language == "sh" and block.name in b.text for b in rest),
                f"no command uses {block.name}")
        return bool(block.name)

    # ---- Commands -------------------------------------------------------------------------

    def requested(self):
        """A command wants a daemon to be started: do it."""
        request = self.file("start.environment")
        if not os.path.exists(request):
            return
        with open(request, encoding="utf-8") as file:
            environment = dict(v.split("=", 1) for v in file.read().split("\0") if v)
        with open(self.file("start.arguments"), encoding="utf-8") as file:
            arguments = [a for a in file.read().split("\0") if a]
        self.start(arguments, environment)
        os.unlink(request)

    def begin(self, command):
        output = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.test.addCleanup(output.close)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, cwd=self.folder, env=self.environment, start_new_session=True)
        self.test.addCleanup(self.end, process)
        return process, output

    def end(self, process):
        """It, and what it started."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def shown(self, output):
        output.seek(0)
        return output.read()

    def run(self, command, fails=False, again_s=0):
        """Run it to its end, again and again for again_s; what it printed is kept."""
        until = time.monotonic() + again_s
        while True:
            process, output = self.begin(command)
            end = time.monotonic() + 3 * DEADLINE_S
            while process.poll() is None and time.monotonic() < end:
                self.requested()
                time.sleep(0.01)
            self.end(process)
            self.printed = self.shown(output)
            if (process.returncode != 0) == fails:
                return
            if time.monotonic() > until:
                self.test.fail(f"exit status {process.returncode}\n{self.printed}")

    def play_sh(self, block, _):
        command = ["sh", "-e", "-c", block.text]
        if "watch" in block.words:
            self.watcher = self.begin(["sh", "-e", "-c", "exec " + block.text])
        elif self.watcher:
            self.last = command, block.fails
            self.run(*self.last, again_s=DEADLINE_S)
        else:
            self.run(command, block.fails)

    def play_watched(self, block):
        """What the command shows that goes on; then it is ended as by a person."""
        process, output = self.watcher
        end = time.monotonic() + DEADLINE_S
        while not pattern(block.text).search(self.shown(output)):
            if pattern(block.text).fullmatch(part_of(self.daemon.page(), block.text)):
                break
            if time.monotonic() > end:
                self.test.assertEqual(self.shown(output), block.text)
            time.sleep(0.1)
            self.run(*self.last)
        os.killpg(process.pid, signal.SIGINT)
        self.test.assertIn(process.wait(DEADLINE_S), (0, -signal.SIGINT), self.shown(output))
        self.watcher = None

    def play_python(self, block, rest):
        if not self.used_later(block, rest):
            write(self.file("block.py"), block.text)
            self.run(["python3", "block.py"])

    def play_js(self, block, rest):
        if not self.used_later(block, rest):
            write(self.file("block.mjs"), block.text)
            self.run(["node", "block.mjs"])

    def play_yaml(self, block, rest):
        write(self.file("prometheus.yml"), manifests.without_cluster(block.text, "pods.json"))
        if "container" in block.words:
            import yaml  # python3-yaml
            manifests.check(yaml.safe_load(block.text), manifests.CONTAINER)
            return
        kind = "rules" if block.text.startswith("groups:") else "config"
        self.run(["promtool", "check", kind, "prometheus.yml"])
        self.printed = ""

    def play_text(self, block, rest):
        """A picture."""

    # ---- Programs -------------------------------------------------------------------------

    def play_c(self, block, rest):
        if HERE in block.text:
            self.frame = block.text
            return
        if self.used_later(block, rest):
            return
        whole = re.search(r"\bmain\(", block.text)
        if not whole:
            self.test.assertIsNotNone(self.frame, "a snippet, and the page has no frame")
        program = block.text if whole else self.frame.replace("\t" + HERE,
            textwrap.indent(block.text, "\t"))
        write(self.file("snippet.c"), program)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "dynamo-metrics"],
            capture_output=True, encoding="utf-8", env=self.environment, check=True).stdout
        self.run([os.environ.get("CC") or "cc", "-Wall", "-Wextra", "-Wno-unused-variable",
            "-Werror", *SANITIZERS, "snippet.c", "-o", "snippet", *flags.split()])
        self.run_program(block, rest)

    def run_program(self, block, rest):
        """It may wait for the end of its input, so that its gauges can be seen."""
        expected = rest[0] if rest and rest[0].language == "" else None
        prints = re.search(r"\b(printf|fputs|puts)\(", block.text)
        process = subprocess.Popen([self.file("snippet")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            cwd=self.folder, env=self.environment, start_new_session=True)
        self.test.addCleanup(self.end, process)
        try:
            if expected and not prints:
                self.compare_with_page(expected)
        finally:
            self.printed, _ = process.communicate(timeout=DEADLINE_S)
        self.test.assertEqual(process.returncode, 0, self.printed)
        if expected and not prints:
            rest[0].done = True

    # ---- What is said to be the outcome ----------------------------------------------------

    def play_output(self, block, _):
        if getattr(block, "done", False):
            return
        if self.watcher:
            self.play_watched(block)
        elif not self.printed:
            self.compare_with_page(block)
        elif not pattern(block.text).fullmatch(self.printed.rstrip("\n") + "\n"):
            self.test.assertEqual(self.printed, block.text)

    def compare_with_page(self, block):
        wanted = pattern(block.text)
        shown = [""]

        def matches():
            shown[0] = part_of(self.daemon.page(), block.text)
            return wanted.fullmatch(shown[0])

        try:
            wait_for("the page", matches)
        except AssertionError:
            self.test.assertEqual(shown[0], block.text)

    # ---- Messages and configurations -------------------------------------------------------

    def play_json(self, block, rest):
        content = json.loads(block.text)
        if "ok" in content:
            self.test.assertTrue(self.printed, "an answer to no message")
            self.test.assertTrue(like(content, json.loads(self.printed)), self.printed)
            self.printed = ""
        elif "metrics" in content:
            write(self.file("block.json"), block.text)
            answered = rest and rest[0].language == "json" and "ok" in json.loads(rest[0].text)
            refused = answered and not json.loads(rest[0].text)["ok"]
            self.run(["dynamo-metricsctl", "send", "--json", "@block.json"], refused)
            if not answered:
                self.printed = ""
        elif set(content) <= SECTIONS:
            write(self.file("block.json"), block.text)
            self.run(["dynamo-metricsd", "--config", "block.json", "--check-config"])
            self.printed = ""
        else:
            self.test.fail("neither a message nor a configuration")
