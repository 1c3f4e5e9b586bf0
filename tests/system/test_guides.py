# SPDX-License-Identifier: Apache-2.0
"""What the README and the guides say is so: each page is played from top to bottom, and what
it names exists."""
import glob
import json
import os
import re
import subprocess

from guides import Installation, Player, blocks, pattern
from harness import CTL, DAEMON, SANITIZED, SOURCE, SystemTest, clean_environment, wait_for
from test_prometheus import Prometheus

GUIDES = ["README.md"] + sorted(
    os.path.relpath(path, SOURCE) for path in glob.glob(os.path.join(SOURCE, "docs", "*.md")))
# Where systemd is the real one: tests/service/test_guide.py.
PLAYED = [path for path in GUIDES if path not in ("docs/packages.md", "docs/systemd.md")]
PAGES = GUIDES + ["CONTRIBUTING.md", "CHANGELOG.md"]
# The fences in which nothing is done, by their first line.
PICTURES = {" worker (C)           worker (C, pre-forked)     script, cron, any language",
    "warning: apply: refused (name) from pid 4711, uid 1000: ...", "server {"}


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


class Played(SystemTest):
    """One test for each page, made below."""

    @classmethod
    def setUpClass(cls):
        cls.installation = Installation()
        cls.addClassCleanup(cls.installation.remove)


def played(path):
    def test(self):
        if SANITIZED and path == "README.md":
            self.skipTest("its command makes a program that is not sanitized")
        Player(self, self.installation, os.path.join(SOURCE, path)).play()

    return test


for _path in PLAYED:
    _word = re.sub(r"\W", "_", os.path.splitext(os.path.basename(_path))[0]).lower()
    setattr(Played, f"test_{_word}_does_what_it_says", played(_path))


class Refusals(SystemTest):
    """The table of reasons in the guide to troubleshooting."""

    # What cannot be shown by a message in JSON: the guide has words instead.
    IN_WORDS = {"version", "message", "duplicate", "utf8", "length", "limit", "cell", "session",
        "owner", "memory"}

    def rows(self):
        table = read("docs/troubleshooting.md").split("| reason |", 1)[1].split("\n\n", 1)[0]
        return re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\|$", table, re.MULTILINE)

    def test_has_every_reason_once_and_an_example_of_each(self):
        words = re.findall(r'X\(\w+, "(\w+)"\)', read("proto/message.h"))
        self.assertGreater(len(words), 20)
        self.assertEqual([reason for reason, _, _ in self.rows()], words)
        self.assertEqual({reason for reason, example, _ in self.rows()
            if not example.startswith("`{")}, self.IN_WORDS)

    def test_are_what_the_daemon_says(self):
        daemon = self.daemon()
        worker = self.worker(daemon)
        worker.metric("counter", (), "served_total")
        worker.metric("gauge", (), "depth")
        worker.metric("histogram", (), "seconds", bounds=[1])
        worker.flush()
        before = daemon.workers_page()
        for reason, example, _ in self.rows():
            if reason not in self.IN_WORDS:
                with self.subTest(reason):
                    done = subprocess.run([CTL, "send", "--json", example.strip("`")],
                        capture_output=True, encoding="utf-8",
                        env=clean_environment(DYN_METRICSD_ADDRESS=daemon.address))
                    [error] = json.loads(done.stdout)["errors"]
                    self.assertEqual(error["reason"], reason)
        self.assertEqual(daemon.workers_page(), before)
        [shown] = [b.text for b in blocks(os.path.join(SOURCE, "docs", "troubleshooting.md"))
            if b.language == "text"]
        logged = pattern(re.sub(r"\d+", "...", shown))
        self.assertTrue(any(logged.fullmatch(l + "\n") for l in daemon.log().splitlines()))


class ALabelCalledNamespace(SystemTest):
    """What the guide says that Prometheus does with it."""

    def scrape_config(self):
        """That of the guide, and the same without its second way out."""
        [text] = [b.text for b in blocks(os.path.join(SOURCE, "docs", "from-dynamo.md"))
            if b.language == "yaml"]
        job = text.split("scrape_configs:\n")[1].replace("'localhost:8081'", "'127.0.0.1:{port}'")
        self.assertIn("    honor_labels: true\n", job)
        plain = job.replace("    honor_labels: true\n", "").replace("job_name: dynamo",
            "job_name: plain")
        return ("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n" +
            job + plain)

    def test_is_renamed_when_the_target_has_one_too_and_wins_where_it_is_honoured(self):
        daemon = self.daemon()
        subprocess.run([CTL, "send", '{"namespace":"dynamo","component":"a","endpoint":"b",'
            '"metrics":[{"name":"jobs_total","type":"counter","inc":1}]}'], check=True,
            env=clean_environment(DYN_METRICSD_ADDRESS=daemon.address))
        prometheus = Prometheus(self, daemon.port, self.scrape_config())

        def both():
            found = map(dict, prometheus.query("dynamo_jobs_total"))
            jobs = {labels["job"]: labels for labels in found}
            return jobs if len(jobs) == 2 else None

        jobs = wait_for("two scrapes", both, 60)
        self.assertEqual(jobs["dynamo"]["namespace"], "dynamo")
        self.assertNotIn("exported_namespace", jobs["dynamo"])
        self.assertEqual(jobs["plain"]["namespace"], "production")
        self.assertEqual(jobs["plain"]["exported_namespace"], "dynamo")
        self.assertEqual(jobs["plain"]["endpoint"], "b")


class Pages(SystemTest):
    """What all pages name exists."""

    def assert_named(self, pattern, known, but=()):
        for path in PAGES:
            for name in sorted(set(re.findall(pattern, read(path))) - set(but)):
                self.assertIn(name, known, path)

    def test_name_only_files_and_headings_that_exist(self):
        for path in PAGES + ["proto/PROTOCOL.md"]:
            folder = os.path.dirname(os.path.join(SOURCE, path))
            for target in re.findall(r"\]\(([^)\s]+)\)", read(path)):
                if "://" in target:
                    continue
                file, _, heading = target.partition("#")
                found = os.path.join(folder, file) if file else os.path.join(SOURCE, path)
                self.assertTrue(os.path.exists(found), f"{path}: {target}")
                if heading:
                    self.assertIn(heading, self.headings(found), f"{path}: {target}")

    def test_name_only_sources_that_exist(self):
        folders = "proto|client|daemon|ctl|conf|docs|tests"
        for path in PAGES:
            for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", read(path)):
                self.assertTrue("_X" in name or os.path.exists(os.path.join(SOURCE, name)),
                    f"{path}: {name}")

    def headings(self, path):
        """The anchors of a page, as GitHub makes them."""
        return [re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")
            for line in re.findall(r"^#+ (.*)$", read(path), re.MULTILINE)]

    def test_name_only_targets_of_make_that_exist(self):
        targets = re.findall(r"^([a-z0-9-]+):", read("Makefile"), re.MULTILINE)
        for path in PAGES:
            for line in re.findall(r"(?:`|^|sudo )make ([^#`\n]+)", read(path), re.MULTILINE):
                for word in line.split():
                    if "=" not in word and not word.startswith("-"):
                        self.assertIn(word, targets, f"{path}: make {line}")

    def test_name_only_functions_and_macros_of_the_header(self):
        header = read("client/include/dynamo/metrics.h")
        self.assert_named(r"\b(?:dynm|DYNM)_\w+\b", re.findall(r"\w+", header))

    def test_name_only_keys_and_variables_that_exist(self):
        table = read("daemon/config_table.c") + read("client/runtime.c")
        keys = {f"{section}.{name}" for section, values in json.loads(
            read("conf/dynamo-metricsd.json")).items() if isinstance(values, dict)
            for name in values}
        self.assert_named(r"`((?:ingest|http|limits|state|log)\.[a-z_]+)`", keys, {"http.port"})
        self.assert_named(r"\bDYN_[A-Z_]+[A-Z]\b", re.findall(r"DYN_[A-Z_]+", table))

    def test_name_only_metrics_of_the_daemon_that_exist(self):
        names = re.findall(r'"((?:dynamo_(?:system|metricsd)|process)_\w+)"',
            read("daemon/self_metrics.c"))
        self.assert_named(r"\bdynamo_(?:system|metricsd)_[a-z_]+[a-z]\b", names)

    def test_name_only_options_that_exist(self):
        known = set()
        for command in ([DAEMON], [CTL], *([CTL, c] for c in self.commands())):
            known |= set(re.findall(r"--[a-z][a-z-]+", self.help(command)))
        for path in PAGES:
            for line in re.findall(r"dynamo-metrics(?:d|ctl)(?: [^\n`|]*)?", read(path)):
                for option in re.findall(r" (--[a-z][a-z-]+)", line):
                    self.assertIn(option, known, f"{path}: {line}")

    def test_name_only_commands_that_exist(self):
        self.assert_named(r"dynamo-metricsctl ([a-z][a-z-]+)\b", self.commands())

    def help(self, command):
        return subprocess.run([*command, "--help"], capture_output=True, encoding="utf-8",
            check=True, env=clean_environment()).stdout

    def commands(self):
        found = re.findall(r"^  ([a-z-]+) +\w", self.help([CTL]).split("Options:")[0],
            re.MULTILINE)
        self.assertIn("send", found)
        return found

    def test_have_lines_that_fit(self):
        """But for tables, links and what stands in fences."""
        for path in PAGES:
            text = re.sub(r"^ *```.*?^ *```$", "", read(path), flags=re.DOTALL | re.MULTILINE)
            for line in text.splitlines():
                if not line.startswith("|") and "](" not in line:
                    self.assertLessEqual(len(line), 105, f"{path}: {line}")

    def test_show_pictures_only_where_it_is_known(self):
        shown = {b.text.split("\n")[0] for path in PLAYED
            for b in blocks(os.path.join(SOURCE, path)) if b.language == "text"}
        self.assertEqual(shown, PICTURES)
