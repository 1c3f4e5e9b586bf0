# SPDX-License-Identifier: Apache-2.0
"""The manifests of deploy/kubernetes: what fields they may have, and pods run after them
without Kubernetes: each container a machine of its own, which shares a network and volumes."""
import os
import signal
import subprocess

import containers
import harness
from harness import DAEMON, Daemon, clean_environment, wait_for
from namespaces import only_child, runs

FOLDER = os.path.join(harness.SOURCE, "deploy", "kubernetes")
TEXTS = {"*": str}
ENV = [{"name": str, "value": str}]
PROBE = {"httpGet": {"path": str, "port": (str, int)}, "periodSeconds": int,
    "timeoutSeconds": int, "failureThreshold": int, "initialDelaySeconds": int}
CONTAINER = {"name": str, "image": str, "restartPolicy": str, "args": [str], "command": [str],
    "env": ENV, "ports": [{"name": str, "containerPort": int}], "startupProbe": PROBE,
    "livenessProbe": PROBE, "readinessProbe": PROBE,
    "lifecycle": {"preStop": {"exec": {"command": [str]}}},
    "securityContext": {"allowPrivilegeEscalation": bool, "readOnlyRootFilesystem": bool,
        "capabilities": {"drop": [str]}, "runAsUser": int},
    "resources": {"requests": TEXTS, "limits": TEXTS},
    "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}]}
POD = {"terminationGracePeriodSeconds": int,
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "runAsGroup": int,
        "fsGroup": int, "seccompProfile": {"type": str}},
    "initContainers": [CONTAINER], "containers": [CONTAINER],
    "volumes": [{"name": str, "emptyDir": {"medium": str, "sizeLimit": str},
        "configMap": {"name": str}}]}
META = {"name": str, "labels": TEXTS, "annotations": TEXTS}
RELABEL = {"sourceLabels": [str], "targetLabel": str, "action": str, "regex": str,
    "replacement": str}
# What fields the objects have that are used here, as Kubernetes and the operator define them.
KINDS = {
    ("v1", "ConfigMap"): {"metadata": META, "data": TEXTS},
    ("apps/v1", "Deployment"): {"metadata": META, "spec": {"replicas": int,
        "selector": {"matchLabels": TEXTS}, "template": {"metadata": META, "spec": POD}}},
    ("monitoring.coreos.com/v1", "PodMonitor"): {"metadata": META, "spec": {
        "selector": {"matchLabels": TEXTS}, "podMetricsEndpoints": [{"port": str, "path": str,
            "honorLabels": bool, "relabelings": [RELABEL]}]}},
}


def check(value, shape, where=""):
    """The value has only fields that its shape has, of its types."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise AssertionError(f"{where}: not an object: {value!r}")
        for name, inner in value.items():
            if name not in shape and "*" not in shape:
                raise AssertionError(f"{where}: there is no field {name}")
            check(inner, shape.get(name, shape.get("*")), f"{where}.{name}")
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise AssertionError(f"{where}: not a list: {value!r}")
        for number, inner in enumerate(value):
            check(inner, shape[0], f"{where}[{number}]")
    elif not isinstance(value, shape) or isinstance(value, bool) and shape is int:
        raise AssertionError(f"{where}: of another type: {value!r}")


def load(name):
    """{kind: object} of a file, which has each kind once."""
    import yaml  # Debian's python3-yaml, which only these tests need
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        found = list(yaml.safe_load_all(file))
    for one in found:
        kind = one.pop("apiVersion"), one.pop("kind")
        check(one, KINDS[kind], kind[1])
        one["kind"] = kind[1]
    return {one["kind"]: one for one in found}


def without_cluster(job, file):
    """A job of Prometheus that has its pods from a file: Debian's knows no Kubernetes."""
    return job.replace("kubernetes_sd_configs:", "file_sd_configs:").replace(
        "- role: pod", f"- files: ['{file}']")


def environment(container):
    return {one["name"]: one["value"] for one in container.get("env", ())}


class Container(Daemon):
    """The daemon's container of a pod, run after the manifest."""

    def __init__(self, pod, spec):
        super().__init__(pod.folder)
        self.pod, self.spec = pod, spec
        self.log_file = os.path.join(pod.folder, "log of " + spec["name"])
        self.environment = clean_environment(**environment(spec))
        self.port = int(self.environment["DYN_SYSTEM_PORT"])
        self.inner = None

    def start(self):
        self.before = self.pod.machine(self.spec, net="new", **self.pod.image)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.before, *self.pod.entrypoint,
                *self.spec.get("args", ())], env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd="/")
        self.inner = runs(only_child(self.process.pid), self.pod.program)
        subprocess.run(self.enter("ip", "link", "set", "lo", "up"), check=True)
        return self

    def enter(self, *command):
        """A command in the network of the pod."""
        return ["nsenter", f"--target={self.inner}", "--net", *command]

    def answers(self, port, path):
        """The status of an answer, or 0."""
        done = subprocess.run(self.enter("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
            f"http://127.0.0.1:{port}{path}"), capture_output=True, encoding="ascii",
            env=clean_environment())
        return int(done.stdout or 0)

    def probe(self, which):
        """Ask as the kubelet would."""
        asked = self.spec[which]["httpGet"]
        ports = {one["name"]: one["containerPort"] for one in self.spec["ports"]}
        return self.answers(ports.get(asked["port"], asked["port"]), asked["path"])

    def ready(self, path=None, status=200):

        def started():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}: {self.log()}")
            return self.probe("startupProbe") == 200

        wait_for("its start", started)
        return self

    def page(self):
        return subprocess.run(self.enter("curl", "-s", f"http://127.0.0.1:{self.port}/metrics"),
            capture_output=True, encoding="utf-8", check=True, env=clean_environment()).stdout

    def end(self, how=signal.SIGTERM):
        os.kill(self.inner, how)
        return self.wait_ended()

    def kill(self):
        containers.end_all(self.process)


class Pod:
    """A pod of a deployment. Its image: that of a tree, or else this machine with the daemon."""

    def __init__(self, test, deployment, config_map, image=None, entrypoint=None):
        self.test = test
        self.spec = deployment["spec"]["template"]["spec"]
        self.folder = test.folder()
        self.image = {"lower": image} if image else {
            "copies": {DAEMON: "/usr/sbin/dynamo-metricsd"}}
        self.entrypoint = entrypoint or ["/usr/sbin/dynamo-metricsd"]
        self.program = os.path.join(image, self.entrypoint[0][1:]) if image else DAEMON
        self.rooms, self.volumes = 0, {}
        for volume in self.spec["volumes"]:
            self.volumes[volume["name"]] = self.make_volume(volume, config_map)

    def make_volume(self, volume, config_map):
        """As a kubelet makes it: the group may write, and owns what is made there."""
        path = os.path.join(self.folder, "volume-" + volume["name"])
        os.mkdir(path)
        if "configMap" in volume:
            for name, text in config_map["data"].items():
                with open(os.path.join(path, name), "w", encoding="utf-8") as file:
                    file.write(text)
        else:
            os.chown(path, 0, self.spec["securityContext"]["fsGroup"])
            os.chmod(path, 0o2777)
        return path

    def machine(self, spec, **more):
        context = {**self.spec["securityContext"], **spec.get("securityContext", {})}
        self.rooms += 1
        room = os.path.join(self.folder, f"room-{self.rooms}")
        os.mkdir(room)
        return containers.machine(room, binds={self.volumes[one["name"]]: one["mountPath"]
            for one in spec["volumeMounts"]}, read_only=context["readOnlyRootFilesystem"],
            user=f"{context['runAsUser']}:{context['runAsGroup']}",
            groups=(context["fsGroup"],), **more)

    def sidecar(self):
        [spec] = self.spec["initContainers"]
        daemon = Container(self, spec)
        self.test.addCleanup(daemon.clean_up)
        return daemon.start().ready()

    def worker(self, daemon, user=None, **options):
        """One that runs in the worker's container, or in one like it of another user."""
        [spec] = self.spec["containers"]
        if user:
            spec = {**spec, "securityContext": {**spec["securityContext"], "runAsUser": user}}
        command = self.machine(spec, net=daemon.inner, copies={harness.WORKER: "/worker",
            os.path.join(harness.BUILD, "libdynamo-metrics.so.0"): "/libdynamo-metrics.so.0"})
        given = environment(spec)
        worker = harness.Worker(given.pop("DYN_METRICSD_ADDRESS"), command=(*command, "/worker"),
            LD_LIBRARY_PATH="/", **given, **options)
        self.test.addCleanup(worker.end_quietly)
        return worker
