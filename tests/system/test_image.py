# SPDX-License-Identifier: Apache-2.0
"""deploy/Dockerfile: what it says fits the code. With DYNM_IMAGE, as `make test-image` sets it,
its steps are taken in a clean Debian, and what comes out is run as an engine would run it."""
import json
import os
import re
import signal
import subprocess
import unittest

import containers
import dockerfile
import test_kubernetes
from harness import SOURCE, SystemTest, clean_environment, wait_for
from namespaces import only_child, runs

PATH = os.path.join(SOURCE, "deploy", "Dockerfile")
# A folder in which there is a Debian of its own, base, and the stages are to be.
FOLDER = os.environ.get("DYNM_IMAGE")
MOST_KB = 4096


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


class TheDockerfile(SystemTest):
    def setUp(self):
        self.build, self.last = dockerfile.stages(PATH)
        self.defaults = json.loads(read("conf/dynamo-metricsd.json"))

    def test_has_instructions_that_are_known_and_one_debian(self):
        self.assertEqual((self.build.name, self.last.name), ("build", None))
        self.assertEqual(self.build.base, self.last.base)
        with self.assertRaisesRegex(AssertionError, "not known"):
            list(dockerfile.instructions("FORM debian\n"))

    def test_has_the_port_and_the_folders_of_the_configuration(self):
        self.assertEqual(self.last.facts["EXPOSE"], str(self.defaults["http"]["port"]))
        address = self.defaults["ingest"]["address"].removeprefix("ipc://")
        self.assertEqual(self.last.facts["VOLUME"][1],
            [os.path.dirname(address), self.defaults["state"]["path"]])
        for folder in self.last.facts["VOLUME"][1]:
            self.assertIn(f" {folder}", self.last.steps[-1][2])

    def test_runs_as_a_number_that_is_not_root(self):
        self.assertRegex(self.last.user, r"^[1-9]\d*:[1-9]\d*$")

    def test_can_be_reached_and_stopped(self):
        self.assertEqual(self.last.environment["DYN_SYSTEM_HOST"], "0.0.0.0")
        self.assertEqual(self.last.facts["STOPSIGNAL"], "SIGTERM")
        self.assertEqual(self.last.facts["ENTRYPOINT"][1], ["/usr/sbin/dynamo-metricsd"])

    def test_installs_what_the_makefile_links(self):
        packages = re.search(r"^DAEMON_PKGS := (.*)$", read("Makefile"), re.MULTILINE).group(1)
        packages += " " + re.search(r"^CTL_PKGS +:= (.*)$", read("Makefile"), re.MULTILINE).group(1)
        installed = " ".join(rest for word, _, rest in self.build.steps if word == "RUN")
        for name in packages.replace("lib", "").split():
            self.assertRegex(installed, rf"\blib{name}-dev\b")


@unittest.skipUnless(FOLDER, "make test-image builds it")
class TheImage(SystemTest):
    @classmethod
    def setUpClass(cls):
        containers.need()
        cls.base = os.path.join(FOLDER, "base")
        cls.image = dockerfile.Builder(SOURCE, cls.base, FOLDER).build(PATH)

    def volumes(self):
        """As Docker makes them: what the image has there, with its owner and mode."""
        folder, found = self.folder(), {}
        for path in self.image.facts["VOLUME"][1]:
            own = os.path.join(folder, os.path.basename(path) + str(len(found)))
            subprocess.run(["cp", "-a", self.image.root + path, own], check=True)
            found[own] = path
        return found

    def machine(self, volumes, **more):
        return containers.machine(self.folder(), self.image.root, binds=volumes, read_only=True,
            **{"user": self.image.user, **more})

    def start(self, volumes, **more):
        log = os.path.join(self.folder(), "log")
        with open(log, "wb") as file:
            process = subprocess.Popen([*self.machine(volumes, net="new", **more),
                *self.image.facts["ENTRYPOINT"][1]], stdin=subprocess.DEVNULL, stdout=file,
                stderr=file, env=clean_environment(**self.image.environment), cwd="/")
        self.addCleanup(containers.end_all, process)
        process.user = more.get("user", self.image.user).split(":")
        process.inner = runs(only_child(process.pid), self.image.facts["ENTRYPOINT"][1][0])
        wait_for("its health", lambda: self.check_health(process).returncode == 0)
        return process

    def inside(self, process, *command):
        """A command in it, as `docker exec` runs it."""
        user, group = process.user
        return subprocess.run(["nsenter", f"--target={process.inner}", "--all", "--root",
            f"--setuid={user}", f"--setgid={group}", "--", *command], encoding="utf-8",
            capture_output=True, env=clean_environment(**self.image.environment))

    def check_health(self, process):
        return self.inside(process, *self.image.facts["HEALTHCHECK"][1])

    def page(self, process):
        subprocess.run(["nsenter", f"--target={process.inner}", "--net", "ip", "link", "set",
            "lo", "up"], check=True)
        return subprocess.run(["nsenter", f"--target={process.inner}", "--net", "curl", "-fs",
            f"http://127.0.0.1:{self.image.facts['EXPOSE']}/metrics"], encoding="utf-8",
            check=True, capture_output=True, env=clean_environment()).stdout

    def send(self, process, n):
        done = self.inside(process, "dynamo-metricsctl", "send", json.dumps({"metrics": [
            {"name": "jobs_total", "type": "counter", "inc": n}]}))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_is_small(self):
        added = dockerfile.added(self.image.root, self.base)
        print(f"              {added} kB are added to the base", flush=True)
        self.assertLess(added, MOST_KB)

    def test_has_no_compiler_and_no_source(self):
        for path in ("usr/bin/gcc", "usr/bin/make", "usr/include/stdio.h", "source"):
            self.assertFalse(os.path.exists(os.path.join(self.image.root, path)), path)

    def test_serves_keeps_its_state_and_stops(self):
        volumes = self.volumes()
        for n in (1, 2):
            process = self.start(volumes)
            self.assertEqual(os.stat(f"/proc/{process.inner}").st_uid, 10001)
            self.send(process, 5)
            self.assertIn(f"\ndynamo_jobs_total {5 * n}\n", self.page(process))
            os.kill(process.inner, getattr(signal, self.image.facts["STOPSIGNAL"]))
            self.assertEqual(process.wait(20), 0)

    def test_runs_as_any_user_of_the_group_0(self):
        volumes = self.volumes()
        process = self.start(volumes, user=f"{containers.UID}:0")
        self.assertEqual(os.stat(f"/proc/{process.inner}").st_uid, containers.UID)
        self.assertIn("dynamo_metricsd_degraded 0\n", self.page(process))
        os.kill(process.inner, signal.SIGTERM)
        self.assertEqual(process.wait(20), 0)

    def test_is_unhealthy_when_it_does_not_answer(self):
        process = self.start(self.volumes())
        os.kill(process.inner, signal.SIGSTOP)
        self.assertEqual(self.check_health(process).returncode, 3)

    def test_is_what_the_pod_of_the_manifest_runs(self):
        sidecar = test_kubernetes.manifests.load("sidecar.yaml")
        context = sidecar["Deployment"]["spec"]["template"]["spec"]["securityContext"]
        self.assertEqual(f"{context['runAsUser']}:{context['runAsGroup']}", self.image.user)
        pod = test_kubernetes.Pod(self, sidecar["Deployment"], sidecar["ConfigMap"],
            image=self.image.root, entrypoint=self.image.facts["ENTRYPOINT"][1])
        daemon = pod.sidecar()
        worker = pod.worker(daemon)
        worker.call("add", worker.metric("counter", (), "total"), 5)
        worker.flush()
        self.assertIn("\ndynamo_total 5\n", daemon.page())
        worker.close()
        self.assertEqual(daemon.end(), 0)
