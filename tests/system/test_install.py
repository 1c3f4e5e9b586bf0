# SPDX-License-Identifier: Apache-2.0
"""make install: a program outside the tree builds and runs against what was installed,
and make uninstall leaves nothing behind."""
import os
import re
import subprocess
import unittest

from harness import BUILD, SANITIZED, SOURCE, SystemTest, clean_environment

CC = os.environ.get("CC") or "cc"


def readme_blocks(language):
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE)


@unittest.skipIf(SANITIZED, "a sanitized library needs a sanitized program")
class Installed(SystemTest):
    def make(self, target, root, prefix):
        done = subprocess.run(["make", "-s", "-C", SOURCE, f"BUILD={BUILD}",
            f"DESTDIR={root}", f"PREFIX={prefix}", target],
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
            "/etc/dynamo-metricsd.json", f"{prefix}/bin/dynamo-metricsctl",
            f"{prefix}/include/dynamo/metrics.h", f"{prefix}/lib/libdynamo-metrics.a",
            f"{prefix}/lib/libdynamo-metrics.so", f"{prefix}/lib/libdynamo-metrics.so.0",
            f"{prefix}/lib/pkgconfig/dynamo-metrics.pc", f"{prefix}/sbin/dynamo-metricsd",
            f"{prefix}/share/bash-completion/completions/dynamo-metricsctl",
            f"{prefix}/share/zsh/site-functions/_dynamo-metricsctl"]))
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

    def test_keeps_a_changed_configuration(self):
        root = self.folder()
        config = os.path.join(root, "etc", "dynamo-metricsd.json")
        os.makedirs(os.path.dirname(config))
        with open(config, "w", encoding="ascii") as file:
            file.write('{"naming": "seed"}\n')
        self.make("install", root, "/usr")
        self.make("uninstall", root, "/usr")
        with open(config, encoding="ascii") as file:
            self.assertEqual(file.read(), '{"naming": "seed"}\n')
        self.assertEqual(self.tree(root), ["/etc/dynamo-metricsd.json"])

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
