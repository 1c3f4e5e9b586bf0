# SPDX-License-Identifier: Apache-2.0
"""docs/systemd.md, played from top to bottom on a machine that has nothing of ours at first.

    sh      run as written by sh -e, as root; `sh fails`: it has to fail
    ini     lines of a unit, to which systemd has no objection
    (none)  what the block before printed, within a while: it is run again until then; or if it
            printed nothing, or something else, what the daemon's page has. `...` is anything

These stand in for others, as a box has no people:

    sudo    runs the rest, as root or as who follows -u
    make    `make install` and `make uninstall` put the files of one that was made outside into
            their places and away; `make` alone does nothing
"""
import glob
import os
import shutil
import tempfile

from guides import blocks, pattern
from service import *

PAGE = "/srv/source/docs/systemd.md"
README = "/srv/source/README.md"
SUDO = """#!/bin/sh
if [ "$1" = -u ]; then
	user=$2
	shift 2
	exec runuser -u "$user" -- "$@"
fi
exec "$@"
"""
MAKE = f"""#!/bin/sh
case $* in
'') ;;
install) cp -a --no-preserve=ownership {LOCAL}/. / && ldconfig ;;
uninstall) cd {LOCAL} && find . ! -type d ! -path './etc/*' | (cd / && xargs rm -f) ;;
*) exit 2 ;;
esac
"""


def put(tree):
    run("cp", "-a", "--no-preserve=ownership", f"{tree}/.", "/")
    run("ldconfig")
    systemctl("daemon-reload")


class Guide(ServiceTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        for name, text in (("sudo", SUDO), ("make", MAKE)):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(file.name, 0o755)
        self.addCleanup(self.back)
        for path in files_of(INSTALLED):
            os.unlink(path)
        run("userdel", "dynamo-metrics")
        shutil.rmtree(RUNTIME)
        systemctl("daemon-reload")
        add_user("alice")

    def back(self):
        """As it was, for the other tests."""
        systemctl("stop", OURS)
        for path in files_of(LOCAL):
            if os.path.lexists(path):
                os.unlink(path)
        put(INSTALLED)
        run("systemd-sysusers", "dynamo-metrics.conf")
        run("systemd-tmpfiles", "--create", "dynamo-metrics.conf")

    def sh(self, text):
        return run("sh", "-e", "-c", text, check=False, cwd=self.folder, env={**os.environ,
            "PATH": f"{self.folder}:/usr/local/sbin:/usr/local/bin:" + os.environ["PATH"]})

    def play(self, block, wanted):
        """A block of shell, again until it prints what is wanted if anything is."""
        done = [None]

        def matches():
            done[0] = self.sh(block.text)
            if (done[0].returncode != 0) != block.fails:
                return False
            return wanted is None or self.on_the_page(wanted.text) or \
                pattern(wanted.text).fullmatch(done[0].stdout.rstrip("\n") + "\n")

        try:
            wait_for("it", matches, DEADLINE_S if wanted else 0)
        except AssertionError:
            raise AssertionError(f"{block}\nexit status {done[0].returncode}\n"
                f"{done[0].stdout}{done[0].stderr}") from None

    def on_the_page(self, text):
        return text.startswith("dynamo_") and all(
            line in get("/metrics")[1].splitlines() for line in text.splitlines())

    def play_ini(self, block):
        unit = {"[Socket]": HTTP, "[Service]": SERVICE}[block.text.split("\n")[0]]
        self.drop_in(block.text, unit, "guide.conf")
        done = run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", unit)
        self.assertEqual(done.stderr, "", block)
        shutil.rmtree(f"/run/systemd/system/{unit}.d")
        systemctl("daemon-reload")

    def test_does_what_it_says(self):
        page = blocks(PAGE)
        for block, after in zip(page, [*page[1:], None]):
            if block.language == "sh":
                self.play(block, after if after and after.language == "" else None)
            elif block.language == "ini":
                self.play_ini(block)
            else:
                self.assertEqual(block.language, "", block)
        self.assertFalse([path for pattern_ in ("/run/dynamo*", "/var/lib/dynamo*",
            "/etc/systemd/system/*/dynamo*", "/usr/local/lib/systemd/system/dynamo*")
            for path in glob.glob(pattern_) if not path.endswith(".service.d")])
        self.assertEqual(systemctl("list-units", "--failed", "--no-legend").stdout, "")

    def test_installs_as_the_readme_does(self):
        [install] = [block.text for block in blocks(README) if "systemctl" in block.text]
        self.assertEqual(install, next(b.text for b in blocks(PAGE) if "systemctl" in b.text))
