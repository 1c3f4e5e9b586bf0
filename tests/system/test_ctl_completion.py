# SPDX-License-Identifier: Apache-2.0
"""Completion of dynamo-metricsctl, by a real bash and a real zsh: what --help tells, all of it
and no more."""
import os
import pty
import re
import select
import shutil
import subprocess
import unittest

import harness
from ctl_tool import COUNT, Ctl, OK, ctl

BASH = os.path.join(harness.SOURCE, "ctl", "completion.bash")
ZSH = os.path.join(harness.SOURCE, "ctl", "_dynamo-metricsctl")

# Words to complete on standard output, as bash would call for it.
ASK_BASH = r"""
source "$1"; shift
[[ $(complete -p dynamo-metricsctl) == *"-F _dynamo_metricsctl dynamo-metricsctl" ]] || exit 1
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_dynamo_metricsctl
printf '%s\n' "${COMPREPLY[@]}"
"""

# An interactive zsh that writes what could be completed into a file.
RC_ZSH = r"""
PS1= RPS1=
unsetopt zle_bracketed_paste prompt_cr prompt_sp 2>/dev/null
fpath=($COMPLETIONS $fpath)
autoload -Uz compinit; compinit -u -D
compadd() {
	local -a hits
	if [[ " $* " == *" -[OAD] "* ]]; then builtin compadd "$@"; return; fi
	builtin compadd -O hits "$@"
	(( $#hits )) && print -rl -- $hits >>$OUT
	builtin compadd "$@"
}
told() { print -r -- END >>$OUT; }
show() { comppostfuncs=(told); zle complete-word; }
zle -N show
bindkey '^I' show
print ready
"""


class Help(Ctl):
    """What there is to complete, from --help."""

    def commands(self):
        text = self.expect(OK, "--help").split("Commands")[1].split("Options")[0]
        found = re.findall(r"^  ([a-z-]+) ", text, re.MULTILINE)
        self.assertGreater(len(found), 5)
        return found

    def options(self, *command):
        return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*",
            self.expect(OK, *command, "--help"))))


class InAShell(Help):
    def setUp(self):
        super().setUp()
        self.environment = harness.clean_environment(
            PATH=os.path.dirname(harness.CTL) + ":" + os.environ["PATH"],
            DYN_METRICSD_ADDRESS="ipc:///nowhere/at/all", HOME=self.folder_path)

    def test_every_command_is_completed(self):
        self.assertEqual(self.complete(""), sorted(self.commands()))
        self.assertEqual(self.complete("lo"), ["log-level"])
        self.assertEqual(self.complete("--address", "ipc:///x", "-t", "5", "ta"), ["tail"])

    def test_every_option_is_completed(self):
        for command in self.commands():
            with self.subTest(command):
                self.assertEqual(self.long(command, "--"), self.options(command))
                self.assertEqual(self.long("-t", "5", command, "--he"), ["--help"])
        self.assertEqual(self.long("--"), self.options())

    def long(self, *words):
        return [word for word in self.complete(*words) if word.startswith("--")]

    def test_arguments_are_completed(self):
        self.assertEqual(self.complete("log-level", ""), ["debug", "error", "info", "warning"])
        self.assertEqual(self.complete("log-level", "wa"), ["warning"])
        self.assertEqual(self.complete("bridge", ""), ["ipc://", "tcp://", "ws://"])
        self.assertEqual([word for word in self.complete("log-level", "info", "")
            if not word.startswith("-")], [])

    def test_files_are_completed(self):
        for name in ("message.json", "messages.ndjson", "other"):
            open(os.path.join(self.folder_path, name), "w", encoding="ascii").close()
        there = ["message.json", "messages.ndjson"]
        self.assertEqual(self.complete("send", "-f", "mess"), there)
        self.assertEqual(self.complete("send", "--file", "mess"), there)
        self.assertEqual([word.lstrip("@") for word in self.complete("send", "@mess")], there)

    def test_metrics_are_completed_from_the_daemon(self):
        self.assertEqual(self.complete("remove", ""), [])
        daemon = self.daemon()
        self.environment["DYN_METRICSD_ADDRESS"] = daemon.address
        ctl("send", COUNT, COUNT.replace("my_counter", "other_total"),
            DYN_METRICSD_ADDRESS=daemon.address)
        self.assertEqual(self.complete("remove", ""),
            ["dynamo_my_counter", "dynamo_other_total"])
        self.assertEqual(self.complete("remove", "dynamo_o"), ["dynamo_other_total"])
        self.assertNotIn("dynamo_my_counter", self.complete("remove", "dynamo_my_counter", ""))


class InBash(InAShell):
    def complete(self, *words):
        done = subprocess.run(["bash", "--norc", "-c", ASK_BASH, "bash", BASH,
            "dynamo-metricsctl", *words], stdin=subprocess.DEVNULL, capture_output=True,
            encoding="utf-8", env=self.environment, cwd=self.folder_path)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return sorted(filter(None, done.stdout.split("\n")))


@unittest.skipUnless(shutil.which("zsh"), "zsh is not installed (tests/deps test does)")
class InZsh(InAShell):
    def setUp(self):
        super().setUp()
        home = self.folder()
        self.out = os.path.join(home, "completed")
        self.environment.update(ZDOTDIR=home, OUT=self.out, TERM="dumb",
            COMPLETIONS=os.path.join(home, "functions"))
        os.mkdir(self.environment["COMPLETIONS"])
        shutil.copy(ZSH, self.environment["COMPLETIONS"])
        with open(os.path.join(home, ".zshrc"), "w", encoding="ascii") as file:
            file.write(RC_ZSH)

    def read_until(self, terminal, done):
        """Read what zsh shows until done(all of it), which the deadline of wait_for bounds."""
        shown = b""

        def reads():
            nonlocal shown
            if select.select([terminal], [], [], 0.02)[0]:
                shown += os.read(terminal, 65536)
            return done(shown)

        try:
            harness.wait_for("zsh", reads)
        except AssertionError as error:
            raise AssertionError(f"{error}; it showed {shown!r}") from None

    def told(self):
        try:
            with open(self.out, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def complete(self, *words):
        if os.path.exists(self.out):
            os.remove(self.out)
        here, there = pty.openpty()
        shell = subprocess.Popen(["zsh", "-d", "-i"], stdin=there, stdout=there, stderr=there,
            env=self.environment, cwd=self.folder_path, start_new_session=True)
        os.close(there)
        try:
            self.read_until(here, lambda shown: b"ready" in shown)
            os.write(here, " ".join(("dynamo-metricsctl", *words)).encode() + b"\t")
            self.read_until(here, lambda shown: "END\n" in self.told())
        finally:
            shell.kill()
            shell.wait()
            os.close(here)
        return sorted(set(self.told().split("\n")) - {"", "END"})


del Ctl, Help, InAShell
