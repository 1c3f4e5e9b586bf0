# SPDX-License-Identifier: Apache-2.0
"""deploy/kubernetes: the manifests fit the code and each other, and pods run as they say."""
import importlib.util
import json
import os
import re
import signal
import subprocess
import unittest

import containers
import manifests
from harness import CLOSE_MS, DAEMON, SOURCE, SystemTest, clean_environment, wait_for
from manifests import Pod, environment, without_cluster
from test_prometheus import Prometheus

HAVE_YAML = importlib.util.find_spec("yaml") is not None


@unittest.skipUnless(HAVE_YAML, "python3-yaml is not installed")
class Manifests(SystemTest):
    def setUp(self):
        self.sidecar = manifests.load("sidecar.yaml")
        self.monitor = manifests.load("podmonitor.yaml")["PodMonitor"]
        self.template = self.sidecar["Deployment"]["spec"]["template"]
        self.pod = self.template["spec"]
        [self.daemon_spec] = self.pod["initContainers"]
        [self.worker_spec] = self.pod["containers"]


class TheManifests(Manifests):
    def test_have_only_fields_that_there_are(self):
        self.assertEqual(set(self.sidecar), {"ConfigMap", "Deployment"})
        with self.assertRaisesRegex(AssertionError, "no field periodSecond"):
            manifests.check({"periodSecond": 1}, manifests.PROBE)
        with self.assertRaisesRegex(AssertionError, "another type"):
            manifests.check({"periodSeconds": "1"}, manifests.PROBE)

    def test_select_the_pods_that_they_make(self):
        labels = self.template["metadata"]["labels"]
        self.assertEqual(self.sidecar["Deployment"]["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(self.monitor["spec"]["selector"]["matchLabels"], labels)

    def test_mount_what_there_is_and_name_what_is_mounted(self):
        volumes = {v["name"] for v in self.pod["volumes"]}
        used = [m["name"] for c in (self.daemon_spec, self.worker_spec)
            for m in c["volumeMounts"]]
        self.assertEqual(volumes, set(used))
        [config] = [v["configMap"]["name"] for v in self.pod["volumes"] if "configMap" in v]
        self.assertEqual(config, self.sidecar["ConfigMap"]["metadata"]["name"])
        addresses = {environment(c)["DYN_METRICSD_ADDRESS"]
            for c in (self.daemon_spec, self.worker_spec)}
        [address] = addresses
        for container in (self.daemon_spec, self.worker_spec):
            self.assertIn(os.path.dirname(address.removeprefix("ipc://")),
                [m["mountPath"] for m in container["volumeMounts"]])

    def test_ask_at_the_port_and_the_paths_that_the_daemon_has(self):
        [port] = self.daemon_spec["ports"]
        given = environment(self.daemon_spec)
        self.assertEqual(str(port["containerPort"]), given["DYN_SYSTEM_PORT"])
        annotations = self.template["metadata"]["annotations"]
        self.assertEqual(annotations["prometheus.io/port"], given["DYN_SYSTEM_PORT"])
        self.assertEqual(annotations["prometheus.io/path"], "/metrics")
        [endpoint] = self.monitor["spec"]["podMetricsEndpoints"]
        self.assertEqual((endpoint["port"], endpoint["path"]), (port["name"], "/metrics"))
        self.assertEqual({which: self.daemon_spec[which]["httpGet"]["path"]
            for which in ("startupProbe", "livenessProbe", "readinessProbe")},
            {"startupProbe": "/health", "livenessProbe": "/live", "readinessProbe": "/health"})

    def test_set_only_variables_that_there_are(self):
        known = ""
        for path in ("daemon/config_table.c", "client/runtime.c"):
            with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
                known += file.read()
        for container in (self.daemon_spec, self.worker_spec):
            for name in environment(container):
                self.assertIn(f'"{name}"', known)

    def test_give_a_configuration_that_the_daemon_takes(self):
        [(name, text)] = self.sidecar["ConfigMap"]["data"].items()
        mounted = [m["mountPath"] for m in self.daemon_spec["volumeMounts"] if m.get("readOnly")]
        self.assertEqual(self.daemon_spec["args"], ["--config", f"{mounted[0]}/{name}"])
        path = os.path.join(self.folder(), name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run([DAEMON, "--config", path, "--check-config"], encoding="utf-8",
            capture_output=True, env=clean_environment(**environment(self.daemon_spec)))
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_run_as_nobody_who_may_anything(self):
        context = self.pod["securityContext"]
        self.assertTrue(context["runAsNonRoot"] and context["runAsUser"] > 0)
        self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
        for container in (self.daemon_spec, self.worker_spec):
            self.assertEqual(container["securityContext"], {"allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}})

    def test_name_the_image_of_this_version(self):
        with open(os.path.join(SOURCE, "Makefile"), encoding="utf-8") as file:
            version = re.search(r"^VERSION := (\S+)$", file.read(), re.MULTILINE).group(1)
        self.assertEqual(self.daemon_spec["image"], f"dynamo-metricsd:{version}")
        for path in ("deploy/Dockerfile", "docs/containers.md"):
            with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
                self.assertIn(f"-t dynamo-metricsd:{version} .", file.read())


class APod(Manifests):
    image = {}

    def setUp(self):
        super().setUp()
        containers.need()
        self.running = Pod(self, self.sidecar["Deployment"], self.sidecar["ConfigMap"],
            **self.image)

    def counting(self, daemon, **options):
        worker = self.running.worker(daemon, **options)
        worker.total = worker.metric("counter", ("ns", "backend", "generate"), "total")
        worker.call("add", worker.total, 5)
        worker.flush()
        return worker

    def total(self, daemon):
        found = re.findall(r"^dynamo_total\{.*\} (\d+)$", daemon.page(), re.MULTILINE)
        return int(found[0]) if found else None

    def test_answers_all_probes_and_counts_for_every_user_of_it(self):
        daemon = self.running.sidecar()
        self.counting(daemon)
        self.counting(daemon, user=4711)
        self.assertEqual(self.total(daemon), 10)
        for which in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertEqual(daemon.probe(which), 200)
        self.assertNotIn("warning", daemon.log())

    def test_gets_the_last_counts_of_its_worker(self):
        """The worker is told to end, ends, and then the sidecar is told."""
        daemon = self.running.sidecar()
        worker = self.counting(daemon, flush_ms=CLOSE_MS)
        worker.call("add", worker.total, 2)
        worker.close()
        self.assertEqual(daemon.end(), 0, daemon.log())
        self.assertEqual(self.total(daemon.start().ready()), 7)

    def test_goes_on_when_a_container_of_it_starts_again(self):
        daemon = self.running.sidecar()
        worker = self.counting(daemon)
        daemon.kill()
        worker.call("add", worker.total, 1)
        daemon.start().ready()
        worker.call("flush", 20000)
        self.assertEqual(self.total(daemon), 6)
        worker.close()
        self.counting(daemon)
        self.assertEqual(self.total(daemon), 11)

    def test_loses_the_last_counts_when_the_daemon_is_no_sidecar_and_ends_first(self):
        """What docs/containers.md warns of."""
        daemon = self.running.sidecar()
        worker = self.counting(daemon)
        self.assertEqual(daemon.end(), 0, daemon.log())
        worker.call("add", worker.total, 2)
        worker.close()
        self.assertEqual(self.total(daemon.start().ready()), 5)


class Scraped(Manifests):
    """What a real Prometheus makes of the annotations, and of labels that both sides have."""

    def scrape_config(self, folder, job):
        """A job of the guide or the operator's, with targets from a file in place of a
        cluster: what Prometheus knows of pods is in labels there as well."""
        return ("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n" +
            without_cluster(job, f"{folder}/pods.json"))

    def pods(self, folder, *more):
        """This pod, and another that has no annotations."""
        [port] = self.daemon_spec["ports"]
        of_all = {"__meta_kubernetes_namespace": "production",
            "__meta_kubernetes_pod_name": "backend-1", **dict(more)}
        of_this = {f"__meta_kubernetes_pod_annotation_{re.sub('[^a-z]', '_', name)}": value
            for name, value in self.template["metadata"]["annotations"].items()}
        of_this["__meta_kubernetes_pod_container_port_name"] = port["name"]
        of_this["__meta_kubernetes_pod_container_name"] = self.daemon_spec["name"]
        groups = [{"targets": ["127.0.0.1:1"], "labels": {**of_all, **of_this}},
            {"targets": ["127.0.0.1:2"], "labels": of_all}]
        with open(os.path.join(folder, "pods.json"), "w", encoding="ascii") as file:
            json.dump(groups, file)

    def series(self, job, *more):
        """{metric: labels} of a daemon that Prometheus scrapes by this job."""
        daemon = self.daemon()
        worker = self.worker(daemon)
        worker.call("add", worker.metric("counter", ("ns", "backend", "generate"), "total"), 1)
        worker.flush()
        folder = self.folder()
        self.pods(folder, ("__meta_kubernetes_pod_annotation_prometheus_io_port",
            str(daemon.port)), *more)
        prometheus = Prometheus(self, daemon.port, self.scrape_config(folder, job))
        wait_for("a scrape", lambda: prometheus.number("up") == 1, 60)
        found = wait_for("the metrics", lambda: prometheus.query(
            '{__name__=~"dynamo_total|process_max_fds"}'), 30)
        return {labels["__name__"]: labels for labels in map(dict, found)}

    def test_by_the_annotations_as_the_guide_says(self):
        from guides import blocks
        [text] = [b.text for b in blocks(os.path.join(SOURCE, "docs", "containers.md"))
            if b.language == "yaml" and b.text.startswith("scrape_configs:")]
        job = text.split("scrape_configs:\n")[1].replace("{", "{{").replace("}", "}}")
        # The port of the annotation is a cluster's; here it is any free one.
        self.template["metadata"]["annotations"].pop("prometheus.io/port")
        found = self.series(job)
        self.assertEqual(found["dynamo_total"], {"__name__": "dynamo_total",
            "job": "kubernetes-pods", "namespace": "ns", "component": "backend",
            "endpoint": "generate", "kubernetes_namespace": "production", "pod": "backend-1",
            "instance": found["dynamo_total"]["instance"]})
        self.assertRegex(found["dynamo_total"]["instance"], r"^127\.0\.0\.1:\d+$")

    # What the operator makes of a PodMonitor, as far as labels go.
    OPERATOR = """\
  - job_name: production/dynamo-metricsd/0
    honor_labels: HONOR
    kubernetes_sd_configs:
      - role: pod
    relabel_configs:
      - {{source_labels: [__meta_kubernetes_pod_container_port_name], regex: metrics, action: keep}}
      - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace}}
      - {{source_labels: [__meta_kubernetes_pod_container_name], target_label: container}}
      - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
      - {{target_label: endpoint, replacement: metrics}}
      - {{source_labels: [FROM], target_label: TO}}
      - {{target_label: __address__, replacement: '127.0.0.1:{port}'}}
"""

    def operated(self, honor):
        [endpoint] = self.monitor["spec"]["podMetricsEndpoints"]
        [relabel] = endpoint["relabelings"]
        return self.series(self.OPERATOR.replace("HONOR", honor).replace("FROM",
            relabel["sourceLabels"][0]).replace("TO", relabel["targetLabel"]))

    def test_by_the_operator_with_the_pages_labels_honoured(self):
        [endpoint] = self.monitor["spec"]["podMetricsEndpoints"]
        self.assertIs(endpoint["honorLabels"], True)
        found = self.operated("true")
        total = found["dynamo_total"]
        self.assertEqual((total["namespace"], total["endpoint"], total["kubernetes_namespace"]),
            ("ns", "generate", "production"))
        self.assertFalse([name for name in total if name.startswith("exported_")])
        own = found["process_max_fds"]
        self.assertEqual((own["namespace"], own["endpoint"]), ("production", "metrics"))

    def test_by_the_operator_without(self):
        total = self.operated("false")["dynamo_total"]
        self.assertEqual((total["namespace"], total["exported_namespace"]), ("production", "ns"))
        self.assertEqual((total["endpoint"], total["exported_endpoint"]),
            ("metrics", "generate"))
