# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: how they are built, and what becomes of a machine that has them. Each
test of machine.py has a clean Debian of its own, which systemd has booted."""
import functools
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import machine

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("DYNM_BUILD") or os.path.join(SOURCE, "build", "release"))
DEB = os.environ["DYNM_DEB"]
ROOT = os.environ.get("DYNM_DEBIAN")
BOX = os.path.join(SOURCE, "tests", "service", "box")
PROGRAMS = ("usr/sbin/dynamo-metricsd", "usr/bin/dynamo-metricsctl")


def run(*command, **options):
    """What it printed; that it ends well is part of the test."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", check=False, **options)
    if done.returncode:
        raise AssertionError(
            f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def changed_copy(folder, version=None):
    """The tree without its history, as somebody unpacks it; of another version, when given."""
    copy = os.path.join(folder, "source")
    shutil.copytree(SOURCE, copy, symlinks=True,
        ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    if version:
        rewrite(os.path.join(copy, "Makefile"), r"^VERSION := .*", f"VERSION := {version}")
        rewrite(os.path.join(copy, "debian/changelog"), r"\A", f"""\
dynamo-metricsd ({version}-1) unstable; urgency=medium

  * A later version.

 -- Somebody Else <somebody@else.example>  Tue, 24 Nov 2026 04:00:00 +0000

""")
    return copy


def rewrite(path, pattern, text):
    with open(path, encoding="utf-8") as file:
        old = file.read()
    new = re.sub(pattern, text, old, count=1, flags=re.MULTILINE)
    assert new != old, f"{pattern} is not in {path}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(new)


def build_packages(copy, version, folder):
    run(os.path.join(copy, "debian/pack"), folder, version)


def packages(folder):
    return sorted(glob.glob(f"{folder}/*.deb"))


@functools.lru_cache
def version():
    return run("dpkg-parsechangelog", "-S", "Version", cwd=SOURCE).strip().split("-")[0]


class Built(unittest.TestCase):
    maxDiff = None

    def folder(self):
        path = tempfile.mkdtemp(prefix="dynm-")
        self.addCleanup(shutil.rmtree, path)
        os.chmod(path, 0o755)
        return path

    def unpacked(self):
        folder = self.folder()
        for package in packages(DEB):
            run("dpkg-deb", "-x", package, folder)
        return folder

    def test_are_three_with_their_debugging_symbols(self):
        names = [os.path.basename(path).split("_")[0] for path in packages(DEB)]
        self.assertEqual(names, ["dynamo-metricsd-dbgsym", "dynamo-metricsd",
            "libdynamo-metrics-dev", "libdynamo-metrics0-dbgsym", "libdynamo-metrics0"])

    def test_leave_lintian_nothing_to_say(self):
        [changes] = glob.glob(f"{DEB}/*.changes")
        said = run("lintian", "--allow-root", "-EvIL", "+pedantic", "--fail-on",
            "error,warning,info,pedantic,experimental", changes)
        self.assertEqual([line for line in said.splitlines() if not line.startswith("N: ")], [])

    def test_are_the_same_when_built_elsewhere_from_the_source_package(self):
        [description] = glob.glob(f"{DEB}/*.dsc")
        elsewhere = os.path.join(self.folder(), "elsewhere")
        run("dpkg-source", "--no-check", "-x", description, elsewhere)
        run("dpkg-buildpackage", "-us", "-uc", "-b", "-j3", cwd=elsewhere, env={
            "PATH": os.environ["PATH"], "DEB_BUILD_OPTIONS": "nocheck",
            "DEB_BUILD_PROFILES": "nocheck", "TZ": "Asia/Tokyo", "LC_ALL": "C"})
        for path in packages(DEB):
            with self.subTest(os.path.basename(path)):
                run("cmp", path, f"{elsewhere}/../{os.path.basename(path)}")

    def test_are_refused_when_the_changelog_has_another_version(self):
        copy = changed_copy(self.folder())
        done = subprocess.run([f"{copy}/debian/pack", f"{copy}/deb", "9.9.9"],
            capture_output=True, encoding="utf-8", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"the Makefile says version 9.9.9, debian/changelog {version()}",
            done.stderr)

    def test_have_programs_that_are_hardened(self):
        folder = self.unpacked()
        library, = glob.glob(f"{folder}/usr/lib/*/libdynamo-metrics.so.0")
        for path in [*(os.path.join(folder, name) for name in PROGRAMS), library]:
            with self.subTest(os.path.basename(path)):
                read = run("readelf", "--wide", "--dynamic", "--program-headers", path)
                self.assertRegex(read, r"FLAGS_1\) .*NOW")
                self.assertIn("GNU_RELRO", read)
                self.assertNotRegex(read, r"R(UN)?PATH")
                self.assertNotRegex(read, r"GNU_STACK .* RWE ")
                called = run("nm", "--dynamic", "--undefined-only", path)
                self.assertIn("__stack_chk_fail", called)
                self.assertIn("_chk@", called.replace("__stack_chk_fail", ""))
        for name in PROGRAMS:
            self.assertRegex(run("readelf", "--dynamic", os.path.join(folder, name)), "PIE")

    def test_have_every_symbol_of_the_library_in_the_symbols_file(self):
        with open(f"{SOURCE}/client/libdynamo-metrics.map", encoding="ascii") as file:
            exported = set(re.findall(r"^\t(dynm_\w+);", file.read(), re.MULTILINE))
        with open(f"{SOURCE}/debian/libdynamo-metrics0.symbols", encoding="ascii") as file:
            listed = re.findall(r"^ (dynm_\w+)@DYNAMO_METRICS_0 [\d.]+$", file.read(),
                re.MULTILINE)
        self.assertEqual(listed, sorted(exported))


def boxed(*command, root=None, **folders):
    """What a command prints on a machine of its own, which sees these folders in /srv."""
    shown = {"source": SOURCE, "build": BUILD, "deb": DEB, **folders}
    return run(BOX, *(["-r", root] if root else []),
        *(word for name, path in shown.items() for word in ("-b", f"{path}:/srv/{name}")),
        *command)


class Development(unittest.TestCase):
    def test_serves_programs_in_c_and_cpp_shared_and_static_as_debian_will_test(self):
        """On a copy of this machine, as it has the compilers. It may forbid packages to start what
        they install; a machine of Debian's own testers does not."""
        boxed("/bin/sh", "-euc", """
            rm -f /usr/sbin/policy-rc.d
            dpkg --install --force-confnew /srv/deb/*metrics[0d]*_*.deb /srv/deb/*-dev_*.deb
            /srv/source/debian/tests/worker
            /srv/source/debian/tests/service""")


@unittest.skipUnless(ROOT, "there is no clean Debian")
class OnAMachine(unittest.TestCase):
    """The tests of machine.py, each by its name, each on a machine of its own."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="dynm-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        os.chmod(cls.folder, 0o755)
        cls.next = os.path.join(cls.folder, "next")
        build_packages(changed_copy(cls.folder, machine.NEXT), machine.NEXT, cls.next)


def on_a_machine(kind, name):
    def test(self):
        boxed("/usr/bin/python3", "/srv/source/tests/packages/machine.py",
            f"{kind.__name__}.{name}", root=ROOT, next=self.next)

    return test


for _kind in machine.Machine, machine.Guide:
    for _name in unittest.TestLoader().getTestCaseNames(_kind):
        setattr(OnAMachine, _name, on_a_machine(_kind, _name))
del _kind  # it is no test of this module
