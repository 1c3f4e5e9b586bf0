# SPDX-License-Identifier: Apache-2.0
"""make install: a program outside the tree builds and runs against what was installed,
and make uninstall leaves nothing behind."""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import BUILD, SANITIZED, SOURCE, SystemTest, clean_environment

CC = os.environ.get("CC") or "cc"
# Under PREFIX, besides the manual.
INSTALLED = ("bin/dynamo-metricsctl", "include/dynamo/metrics.h", "lib/libdynamo-metrics.a",
    "lib/libdynamo-metrics.so", "lib/libdynamo-metrics.so.0", "lib/pkgconfig/dynamo-metrics.pc",
    "lib/systemd/system/dynamo-metricsd-http.socket",
    "lib/systemd/system/dynamo-metricsd.service", "lib/systemd/system/dynamo-metricsd.socket",
    "lib/systemd/system/dynamo-metricsd@.service", "lib/sysusers.d/dynamo-metrics.conf",
    "lib/tmpfiles.d/dynamo-metrics.conf", "sbin/dynamo-metricsd",
    "share/bash-completion/completions/dynamo-metricsctl",
    "share/doc/dynamo-metricsd/activated.conf", "share/doc/dynamo-metricsd/hardened.conf",
    "share/zsh/site-functions/_dynamo-metricsctl")


def manuals():
    """The pages, and a link for every name that one has in its NAME section."""
    found = set()
    for page in glob.glob(os.path.join(SOURCE, "docs/man/*.[1-8]")):
        name, section = os.path.basename(page).rsplit(".", 1)
        with open(page, encoding="utf-8") as file:
            names = re.findall(r"^\.Nm (\S+)", file.read().split(".Nd")[0], re.MULTILINE)
        found |= {f"man{section}/{n}.{section}" for n in (name, *names)}
    return sorted(found)


def readme_blocks(language):
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE)


@unittest.skipIf(SANITIZED, "a sanitized library needs a sanitized program")
class Installed(SystemTest):
    @classmethod
    def setUpClass(cls):
        """What was built, to be built for other folders: others install it at the same time."""
        folder = tempfile.mkdtemp(prefix="dynm-")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.build = os.path.join(folder, os.path.basename(BUILD))
        shutil.copytree(BUILD, cls.build, symlinks=True,
            ignore=lambda path, names: ["tests"] if path == BUILD else [])

    def make(self, target, root, prefix, *more):
        done = subprocess.run(["make", "-s", "-C", SOURCE, f"BUILD={self.build}",
            f"DESTDIR={root}", f"PREFIX={prefix}", *more, target],
            capture_output=True, encoding="utf-8", env=clean_environment())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def compile(self, root, prefix, program):
        env = clean_environment(PKG_CONFIG_PATH=f"{root}{prefix}/lib/pkgconfig",
            PKG_CONFIG_SYSROOT_DIR=root)
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "dynamo-metrics"],
            capture_output=True, encoding="utf-8", env=env, check=True).stdout.split()
        source = os.path.join(self.folder(), "program.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(program)
        output = source[:-2]
        subprocess.run([CC, "-Wall", "-Wextra", "-Werror", source, "-o", output, *flags],
            check=True, env=clean_environment())
        return output

    def test_serves_the_readmes_worker_by_pkg_config(self):
        root, prefix = self.folder(), "/opt/dynm"
        before = self.tree(root)
        self.make("install", root, prefix)
        self.assertEqual(self.tree(root), sorted([
            "/etc/dynamo-metricsd.json", "/etc/default/dynamo-metricsd",
            *(f"{prefix}/{path}" for path in INSTALLED),
            *(f"{prefix}/share/man/{path}" for path in manuals())]))
        [program] = readme_blocks("c")
        daemon = self.daemon()
        worker = self.compile(root, prefix, program)
        subprocess.run([worker], check=True, env=clean_environment(
            DYN_METRICSD_ADDRESS=daemon.address, LD_LIBRARY_PATH=f"{root}{prefix}/lib"))
        self.assertIn("# HELP dynamo_my_counter My custom counter\n"
            "# TYPE dynamo_my_counter counter\n"
            'dynamo_my_counter{namespace="dynamo",component="backend",endpoint="generate"} 42\n',
            daemon.page())
        self.make("uninstall", root, prefix)
        self.assertEqual(self.tree(root), before)
        self.assertFalse(os.path.exists(f"{root}{prefix}/include/dynamo"))

    def test_leaves_what_others_put_beside_it(self):
        root = self.folder()
        self.make("install", root, "/usr")
        theirs = "/usr/include/dynamo/theirs.h"
        with open(root + theirs, "w", encoding="ascii"):
            pass
        self.make("uninstall", root, "/usr")
        self.assertEqual(self.tree(root), [theirs])

    def test_keeps_a_changed_configuration(self):
        root = self.folder()
        changed = {"etc/dynamo-metricsd.json": '{"naming": "seed"}\n',
            "etc/default/dynamo-metricsd": "DYN_SYSTEM_PORT=9464\n"}
        for path, text in changed.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="ascii") as file:
                file.write(text)
        self.make("install", root, "/usr")
        self.make("uninstall", root, "/usr")
        for path, text in changed.items():
            self.assertEqual(self.read(root, path), text)
        self.assertEqual(self.tree(root), sorted(f"/{path}" for path in changed))

    def test_keeps_the_state(self):
        root = self.folder()
        os.makedirs(f"{root}/var/lib/dynamo-metricsd")
        with open(f"{root}/var/lib/dynamo-metricsd/snapshot", "w", encoding="ascii"):
            pass
        self.make("install", root, "/usr")
        self.make("uninstall", root, "/usr")
        self.assertEqual(self.tree(root), ["/var/lib/dynamo-metricsd/snapshot"])

    def test_can_be_repeated_and_puts_each_kind_where_it_is_told_to(self):
        root = self.folder()
        places = {"BINDIR": "/a/bin", "SBINDIR": "/a/sbin", "LIBDIR": "/b/lib64",
            "INCLUDEDIR": "/c", "DATADIR": "/d", "MANDIR": "/e", "DOCDIR": "/f",
            "SYSCONFDIR": "/g", "UNITDIR": "/h", "SYSUSERSDIR": "/i", "TMPFILESDIR": "/j"}
        for _ in range(2):
            self.make("install", root, "/usr", *(f"{k}={v}" for k, v in places.items()))
        tree = self.tree(root)
        self.assertEqual([path for path in tree if path.startswith("/usr")], [])
        for path in ("/a/bin/dynamo-metricsctl", "/a/sbin/dynamo-metricsd",
                "/b/lib64/libdynamo-metrics.so", "/b/lib64/pkgconfig/dynamo-metrics.pc",
                "/c/dynamo/metrics.h", "/d/zsh/site-functions/_dynamo-metricsctl",
                "/e/man8/dynamo-metricsd.8", "/f/hardened.conf", "/g/dynamo-metricsd.json",
                "/g/default/dynamo-metricsd", "/h/dynamo-metricsd.service",
                "/i/dynamo-metrics.conf", "/j/dynamo-metrics.conf"):
            self.assertIn(path, tree)
        unit = self.read(root, "h/dynamo-metricsd.service")
        self.assertIn("EnvironmentFile=-/g/default/dynamo-metricsd\n", unit)
        self.assertIn("ExecStart=/a/sbin/dynamo-metricsd --config -/g/dynamo-metricsd.json\n", unit)
        self.assertIn(" --config -/g/dynamo-metricsd.json --check-config\n", unit)
        self.assertIn(" --config -/g/dynamo-metricsd-%i.json\n",
            self.read(root, "h/dynamo-metricsd@.service"))

    def test_has_units_that_run_what_was_installed(self):
        root, prefix = self.folder(), "/opt/dynm"
        self.make("install", root, prefix)
        for name in ("dynamo-metricsd.service", "dynamo-metricsd@.service"):
            unit = self.read(root, f"opt/dynm/lib/systemd/system/{name}")
            run = re.findall(r"^Exec\w+=(\S*dynamo\S*)", unit, re.MULTILINE)
            self.assertGreater(len(run), 1)
            self.assertEqual(set(run), {f"{prefix}/sbin/dynamo-metricsd"})
        for path in self.tree(root):
            if path.startswith((f"{prefix}/lib/systemd", f"{prefix}/share/doc")):
                self.assertNotIn("/usr/sbin/dynamo", self.read(root, path[1:]), path)

    def read(self, root, path):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            return file.read()

    def tree(self, root):
        return sorted(os.path.join(path, name)[len(root):]
            for path, _, names in os.walk(root) for name in names)


class TheLibrary(SystemTest):
    def symbols(self, library, *options):
        listed = subprocess.run(["nm", "--defined-only", *options,
            os.path.join(BUILD, library)], capture_output=True, encoding="utf-8", check=True)
        rows = [line.split() for line in listed.stdout.splitlines()]
        return {row[2].split("@")[0] for row in rows if len(row) == 3 and row[1] != "A"}

    def declared(self):
        with open(os.path.join(SOURCE, "client/include/dynamo/metrics.h"),
                encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
        declared = set(re.findall(r"^DYNM_API[^;(]*?\b(dynm_\w+)\(", text, re.MULTILINE))
        self.assertGreater(len(declared), 30)
        return declared

    def test_exports_its_api_and_nothing_else(self):
        self.assertEqual(self.symbols("libdynamo-metrics.so.0", "-D"), self.declared())

    @unittest.skipIf(SANITIZED, "a sanitizer adds symbols of its own")
    def test_shows_its_api_and_nothing_else_when_linked_statically(self):
        self.assertEqual(self.symbols("libdynamo-metrics.a", "-g"), self.declared())

    def test_stays_mapped_and_needs_libc_alone(self):
        shown = subprocess.run(["readelf", "-d", os.path.join(BUILD, "libdynamo-metrics.so.0")],
            capture_output=True, encoding="utf-8", check=True).stdout
        self.assertIn("NODELETE", shown)
        self.assertIn("soname: [libdynamo-metrics.so.0]", shown)
        needed = re.findall(r"NEEDED.*\[(.*)\]", shown)
        if not SANITIZED:
            self.assertEqual(set(needed) - {"libm.so.6"}, {"libc.so.6"})
