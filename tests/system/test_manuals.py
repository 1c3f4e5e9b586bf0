# SPDX-License-Identifier: Apache-2.0
"""The manual pages: man and mandoc show them without a warning, they say what the header, the
programs and the protocol say, and their examples run."""
import os
import re
import subprocess

import manuals
from guides import Installation, Player
from harness import CTL, DAEMON, SOURCE, SystemTest, clean_environment

# Pages of others that ours refer to.
ELSEWHERE = {("attributes", "7"), ("clock_gettime", "2"), ("fork", "2"), ("free", "3"),
    ("pthread_exit", "3"), ("sd_listen_fds", "3"), ("sd_notify", "3"), ("systemd.service", "5"),
    ("systemd.socket", "5"), ("unix", "7"), ("vfork", "2")}
# What mandoc says of pages that are not a BSD's, or not installed.
NOT_OURS = ("operating system explicitly specified", "referenced manual not found",
    "outdated mandoc.db")
# Not for programs.
PRIVATE = {"DYNAMO_METRICS_H", "DYNM_API", "DYNM_USE_RESULT"}
COLUMNS = 80
# A number that a page tells: where the code has it, and the words around it.
NUMBERS = (
    ("proto/names.h", r"\.name_bytes = (\d+)", "dynamo_metrics.3",
        "at most {} bytes, without prefix"),
    ("proto/names.h", r"\.label_bytes = (\d+)", "dynamo_metrics.3",
        "at most {} bytes, and a series"),
    ("proto/names.h", r"\.labels = (\d+)", "dynamo_metrics.3", "at most {} labels"),
    ("proto/names.h", r"\.buckets = (\d+)", "dynm_histogram.3", "at most {} of them"),
    ("proto/names.h", r"NAMES_LEVEL_BYTES +(\d+)", "dynm_scope.3", "one byte and at most {}."),
    ("proto/names.h", r"NAMES_WORKER_BYTES +(\d+)", "dynm_open.3", "of at most {} bytes: it is"),
    ("client/runtime.c", r"FLUSH_MS_DEFAULT +(\d+)", "dynm_open.3",
        "in milliseconds. Default: {}."),
    ("client/runtime.c", r"MAX_SERIES_DEFAULT +(\d+)", "dynm_open.3", "is logged. Default: {}."),
    ("ctl/main.c", r"DEFAULT_TIMEOUT_MS +(\d+)", "dynamo-metricsctl.1", "default {}."),
    ("systemd/dynamo-metricsd.service", r"WatchdogSec=(\d+)s", "dynamo-metricsd.8",
        "for {} seconds"),
    ("systemd/dynamo-metricsd.service", r"StartLimitBurst=(\d+)", "dynamo-metricsd.8",
        "After {} starts in a minute"),
    ("ctl/main.c", r"MAX_TIMEOUT_MS\s+(\d+)", "dynamo-metricsctl.1", "1 to {};"),
)


def run(*command, **environment):
    return subprocess.run(command, capture_output=True, encoding="utf-8",
        env=clean_environment(**{"LC_ALL": "C.UTF-8", **environment}))


def read(*path):
    with open(os.path.join(SOURCE, *path), encoding="utf-8") as file:
        return file.read()


class ThePages(SystemTest):
    def rendered(self, page, columns, locale):
        done = run("man", "--warnings=w", "-l", page.path, MANWIDTH=str(columns), MANROFFSEQ="",
            LC_ALL=locale)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_are_shown_by_man_without_a_warning(self):
        for page in manuals.pages():
            with self.subTest(page.file):
                for columns, locale in ((COLUMNS, "C.UTF-8"), (132, "C.UTF-8"), (COLUMNS, "C")):
                    text = self.rendered(page, columns, locale)
                    self.assertIn("SEE ALSO", text)
                    wide = [line for line in text.splitlines() if len(line) > columns]
                    self.assertEqual(wide, [])

    def test_are_right_to_mandoc(self):
        for page in manuals.pages():
            with self.subTest(page.file):
                done = run("mandoc", "-T", "lint", "-W", "style", page.path)
                said = [line for line in (done.stdout + done.stderr).splitlines()
                    if not any(words in line for words in NOT_OURS)]
                self.assertEqual(said, [])

    def test_are_found_by_each_of_their_names(self):
        for page in manuals.pages():
            with self.subTest(page.file):
                self.assertEqual(page.names()[0], page.name)
                self.assertEqual(re.search(r"^\.Dt (.*) (\d)$", page.text, re.MULTILINE).groups(),
                    (page.name.upper(), page.number))
                listed = run("lexgrog", page.path).stdout
                self.assertEqual(re.findall(r': "(\S+) - ', listed), page.names())

    def test_have_nothing_behind_what_ends_a_macro(self):
        for page in manuals.pages():
            with self.subTest(page.file):
                self.assertNotRegex(page.text,
                    r"(?m)^\.(Ql|Pa|Ev|Dv|Er|Fa|Fn|Sx|Vt|Xr) .* [.,;:)]+ [^.,;:)]")

    def test_have_no_name_twice(self):
        names = [(name, page.number) for page in manuals.pages() for name in page.names()]
        self.assertEqual(sorted(set(names)), sorted(names))

    def test_refer_to_pages_that_are_there(self):
        ours = {(name, page.number) for page in manuals.pages() for name in page.names()}
        referred = set()
        for page in manuals.pages():
            with self.subTest(page.file):
                self.assertLessEqual(set(page.references()), ours | ELSEWHERE)
                self.assertNotIn((page.name, page.number), page.references())
                referred |= set(page.references())
        self.assertEqual(ELSEWHERE - referred, set())
        for page in manuals.pages():
            with self.subTest(page.file):
                self.assertIn((page.name, page.number), referred)

    def test_have_code_that_can_be_copied(self):
        for page in manuals.pages():
            with self.subTest(page.file):
                for block in page.raw_blocks(page.lines):
                    self.assertNotRegex(block, r"(?<!\\)[-^`~']|(?m:^\.)|[^\x00-\x7f]")

    def test_have_the_numbers_of_the_code(self):
        for source, pattern, file, words in NUMBERS:
            with self.subTest(words):
                [number] = re.findall(pattern, read(source))
                shown = " ".join(line for line in manuals.page(file).lines)
                self.assertIn(words.format(number), shown)

    def test_have_the_sections_of_their_kind(self):
        wanted = {"1": "SYNOPSIS ENVIRONMENT FILES EXIT_STATUS EXAMPLES",
            "3": "LIBRARY SYNOPSIS EXAMPLES", "5": "KEYS FILES EXAMPLES",
            "7": "FILES EXAMPLES", "8": "SYNOPSIS OPTIONS SIGNALS ENVIRONMENT FILES EXIT_STATUS "
            "EXAMPLES"}
        for page in manuals.pages():
            with self.subTest(page.file):
                for title in ["NAME", "DESCRIPTION", "SEE_ALSO", *wanted[page.number].split()]:
                    self.assertIn(title.replace("_", " "), page.headings())


class TheLibrary(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.header = re.sub(r"/\*.*?\*/", "", read("client/include/dynamo/metrics.h"),
            flags=re.DOTALL)
        cls.functions = {re.search(r"(\w+)\(", text).group(1): manuals.normal(text)
            for text in re.findall(r"^DYNM_API (?:DYNM_USE_RESULT )?([^;]*;)", cls.header,
                re.MULTILINE)}
        cls.types = {re.search(r"(\w+);\s*\Z", text).group(1): manuals.normal(text)
            for text in re.findall(r"^typedef (?:[^;{]*;|[^{]*\{.*?^\}[^;]*;)", cls.header,
                re.MULTILINE | re.DOTALL)}
        cls.macros = set(re.findall(r"^#define (dynm_\w+|DYNM_\w+)", cls.header,
            re.MULTILINE)) - PRIVATE
        cls.constants = set(re.findall(r"\b(DYNM_[A-Z]+)\b(?=[ =0-9]*[,}\n])", "".join(
            re.findall(r"^typedef enum.*?^\}", cls.header, re.MULTILINE | re.DOTALL))))
        cls.pages = manuals.pages("3")

    def test_has_all_of_its_header_read(self):
        exported = set(re.findall(r"^\t(dynm_\w+);", read("client/libdynamo-metrics.map"),
            re.MULTILINE))
        self.assertEqual(set(self.functions), exported)
        self.assertGreater(len(self.types), 15)
        self.assertEqual(self.constants, {"DYNM_OK", "DYNM_EINVAL", "DYNM_EEXIST",
            "DYNM_ELIMIT", "DYNM_ENOMEM", "DYNM_EAGAIN", "DYNM_ESYS", "DYNM_SUM", "DYNM_MIN",
            "DYNM_MAX", "DYNM_LAST", "DYNM_EACH"})

    def test_has_each_name_in_one_page(self):
        told = [name for page in self.pages for name in page.names()] + [
            name for page in self.pages for name in page.items("Dv")]
        known = {*self.functions, *self.types, *self.macros, *self.constants}
        listed = {name for name in told if re.match("dynm_|DYNM_", name)}
        self.assertEqual(listed, known)
        for name in sorted(known - {"DYNM_BUCKETS_DEFAULT"}):
            self.assertEqual(told.count(name), 1, name)

    def test_has_prototypes_as_in_the_header(self):
        shown = {}
        for page in self.pages:
            mine = page.prototypes()
            self.assertLessEqual(set(mine), set(page.names()), page.file)
            shown.update(mine)
        for name, text in self.functions.items():
            self.assertEqual(shown[name], text)
        self.assertEqual(set(shown) - set(self.functions),
            self.macros - {"DYNM_BUCKETS_DEFAULT", "DYNM_ERROR_TEXT"})

    def test_has_types_as_in_the_header(self):
        shown = {}
        for page in self.pages:
            for block in page.blocks("SYNOPSIS"):
                for text in re.split(r"\n(?=typedef)", block):
                    name = re.search(r"(\w+);\s*\Z", text).group(1)
                    self.assertIn(name, page.names())
                    shown[name] = manuals.normal(text)
        self.assertEqual(shown, self.types)

    def test_has_the_members_of_types_told(self):
        for file, name in (("dynm_open.3", "dynm_options"), ("dynm_status.3", "dynm_status")):
            body = self.types[name].replace("(*log)", " log")
            members = re.findall(r"(\w+)(?:\[\w+\])?(?:\([^)]*\))?;", body)[:-1]
            page = manuals.page(file)
            self.assertEqual(page.items("Fa"), members)

    def test_says_how_safe_each_function_is(self):
        for page in self.pages:
            with self.subTest(page.file):
                rows = [line for line in page.section("ATTRIBUTES") if line.startswith(".It Fn")]
                told = {line.split()[2]: line for line in rows}
                self.assertEqual(set(told), set(page.prototypes()) & set(self.functions))
                for name, line in told.items():
                    self.assertIn("Ta MT-Unsafe" if name == "dynm_close" else "Ta MT-Safe", line)

    def test_has_its_text_length_as_in_the_header(self):
        [length] = re.findall(r"#define DYNM_ERROR_TEXT (\d+)", self.header)
        self.assertIn(f".It Dv DYNM_ERROR_TEXT\n{length}\n", manuals.page("dynm_error.3").text)


class TheDaemon(SystemTest):
    def setUp(self):
        self.page = manuals.page("dynamo-metricsd.8")
        self.help = run(DAEMON, "--help").stdout

    def test_has_its_options_told(self):
        options = {"-" + name for name in re.findall(r"^  -(-[a-z-]+)", self.help, re.MULTILINE)}
        told = {word for word in self.page.items("Fl", self.page.section("OPTIONS"))
            if word.startswith("-")}
        self.assertEqual({"-" + word for word in told}, options)

    def test_has_its_variables_told(self):
        known = re.findall(r"^  ([A-Z_]+)$", self.help, re.MULTILINE)
        told = self.page.items("Ev")
        self.assertGreater(len(known), 8)
        self.assertEqual(set(told) - set(known), {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
            "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
        self.assertEqual(set(known) - set(told), set())
        self.assertEqual(len(set(told)), len(told))

    def test_has_its_exit_statuses_told(self):
        wrong = os.path.join(self.folder(), "wrong.json")
        with open(wrong, "w", encoding="ascii") as file:
            file.write("{")
        shown = [run(DAEMON, "--help"), run(DAEMON, "--config", wrong, "--check-config"),
            run(DAEMON, "--nonsense")]
        told = [int(word) for line in self.page.section("EXIT STATUS")
            for word in re.findall(r"^\.It (\d)$", line)]
        self.assertEqual([done.returncode for done in shown], told)

    def test_has_its_units_told(self):
        told = {name for name in self.page.items("Pa", self.page.section("SYSTEMD"))}
        there = set(os.listdir(os.path.join(SOURCE, "systemd")))
        self.assertEqual(told, there - {"sysusers.conf", "tmpfiles.conf"})
        passed = "".join(read("systemd", name) for name in there if name.endswith(".socket"))
        for name in re.findall(r"^FileDescriptorName=(\w+)$", passed, re.MULTILINE):
            self.assertIn(f".Ql {name}", "\n".join(self.page.section("SYSTEMD")))

    def test_has_every_key_of_its_file_told(self):
        page = manuals.page("dynamo-metricsd.json.5")
        table = read("docs/configuration.md").split("\n## Every key\n")[1]
        self.assertEqual(page.items("Cm"),
            re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE))


class TheTool(SystemTest):
    def setUp(self):
        self.page = manuals.page("dynamo-metricsctl.1")

    def help_of(self, *command):
        return run(CTL, *command, "--help").stdout

    def options_in(self, text):
        """Long and short ones that a help lists."""
        return set(re.findall(r"^ +(?:@FILE, )?(-[a-zA-Z])(?=,)", text, re.MULTILINE)) | set(
            re.findall(r"^ .*?(--[a-z-]+)", text, re.MULTILINE))

    def options_told(self, lines):
        return {"-" + word for line in lines if line.startswith(".It ")
            for word in re.findall(r"(?:Fl|,) (-?[a-zA-Z][a-z-]*)", line)}

    def test_has_its_commands_told(self):
        commands = re.findall(r"^  ([a-z-]+) {2,}", self.help_of(), re.MULTILINE)
        self.assertEqual(self.page.headings("Ss"), commands)
        shown = [line.split()[1] for line in self.page.section("SYNOPSIS")
            if line.startswith(".Cm ") and "|" not in line]
        self.assertEqual(shown, commands)

    def test_has_its_options_told(self):
        before = "\n".join(self.page.section("DESCRIPTION")).split("\n.Ss ")[0]
        self.assertEqual(self.options_told(before.splitlines()),
            self.options_in(self.help_of().split("Options:\n")[1]))

    def test_has_the_options_of_its_commands_told(self):
        for command in self.page.headings("Ss"):
            with self.subTest(command):
                own = self.help_of(command).split("\n\n", 1)[1].split("Options:\n")[0]
                own = re.sub(r"^  dynamo-metricsctl .*", "", own, flags=re.MULTILINE)
                self.assertEqual(self.options_told(self.page.section(command, "Ss")),
                    self.options_in(own))

    def test_has_its_exit_statuses_told(self):
        daemon = self.daemon()
        refused = '{"metrics":[{"name":"a","type":"counter","inc":-1}]}'
        shown = [run(CTL, "--help"), run(CTL, "-a", daemon.address, "send", refused),
            run(CTL, "nonsense"), run(CTL, "-a", f"ipc://{self.folder()}/nobody", "status")]
        told = [int(word) for line in self.page.section("EXIT STATUS")
            for word in re.findall(r"^\.It (\d)$", line)]
        self.assertEqual([done.returncode for done in shown], told)

    def test_has_the_fields_of_a_message_told(self):
        protocol = read("proto/PROTOCOL.md")
        table = re.search(r"^\| field of a metric \|.*?\n\n", protocol,
            re.MULTILINE | re.DOTALL).group()
        fields = {name for row in re.findall(r"^\| ([a-z_, ]+) \|", table, re.MULTILINE)
            for name in row.split(", ")} - {"field of a metric"}
        told = self.page.items("Ql", self.page.section("send", "Ss"))
        self.assertEqual(set(told), fields)


class TheProtocol(SystemTest):
    def setUp(self):
        self.page = manuals.page("dynamo-metrics-protocol.7")
        self.whole = read("proto/PROTOCOL.md")

    def rows(self, pattern):
        return [match.groups() for line in self.page.lines
            for match in [re.match(pattern, line)] if match]

    def test_has_all_messages(self):
        told = self.rows(r"\.It ([A-Z]+) Ta (0x\w\w) Ta ")
        self.assertEqual([(kind, name) for name, kind in told],
            re.findall(r"^\| (0x\w\w) \| ([A-Z]+) \|", self.whole, re.MULTILINE))

    def test_has_the_bytes_of_both_headers(self):
        told = self.rows(r"\.It (REQ|REP|PUSH|PULL)\b.* Ta ([0-9a-f]{2}(?: [0-9a-f]{2})+)$")
        self.assertEqual([(name.lower(), text) for name, text in told],
            re.findall(r"```frame sp-header-(\w+)\n((?:\w\w ){7}\w\w)", self.whole))

    def test_has_all_reasons(self):
        told = [line.split()[1] for line in self.page.section("Reasons", "Ss")
            if line.startswith(".Ql ")][:-2]
        self.assertEqual(told, re.findall(r"^\| \d+ \| (\w+) \|",
            self.whole.split("\n## 8. ")[1], re.MULTILINE))

    def test_has_messages_that_are_taken(self):
        message, ok, _ = self.page.blocks()[:3]
        done = run(CTL, "-a", self.daemon().address, "send", "--json", message)
        self.assertEqual(done.stdout, ok)


class Installed(SystemTest):
    @classmethod
    def setUpClass(cls):
        cls.installation = Installation()
        cls.addClassCleanup(cls.installation.remove)

    def test_are_found_by_all_that_they_name(self):
        folder = os.path.join(self.installation.prefix, "share", "man")
        for page in manuals.pages():
            for name in page.names():
                found = run("man", "-M", folder, "-w", page.number, name)
                self.assertEqual(os.path.basename(os.path.realpath(found.stdout.strip())),
                    page.file, name + found.stderr)

    def test_have_examples_that_do_what_they_say(self):
        played = 0
        for page in manuals.pages():
            with self.subTest(page.file):
                path = os.path.join(self.folder(), page.file)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(manuals.guide(page))
                Player(self, self.installation, path).play()
                played += 1
        self.assertGreater(played, 12)

    def test_have_a_program_for_each_part_of_the_library(self):
        for page in manuals.pages("3"):
            with self.subTest(page.file):
                [program] = [text for text in page.blocks("EXAMPLES")
                    if text.startswith("#include")]
                self.assertIn("dynm_open(", program)
