# SPDX-License-Identifier: Apache-2.0
"""The daemon's HTTP: routes, methods, HEAD, health, and its metrics about itself."""
import json
import time

import page
from harness import SystemTest, wait_for

# Every metric that the daemon has about itself from its start on, with its kind.
AUTOMATIC = {
    "dynamo_system_uptime_seconds": "counter",
    "dynamo_metricsd_build_info": "gauge",
    "dynamo_metricsd_client_dropped_updates_total": "counter",
    "dynamo_metricsd_families_replaced_total": "counter",
    "dynamo_metricsd_loop_turn_seconds": "histogram",
    "dynamo_metricsd_messages_total": "counter",
    "dynamo_metricsd_received_bytes_total": "counter",
    "dynamo_metricsd_refused_total": "counter",
    "dynamo_metricsd_resent_total": "counter",
    "dynamo_metricsd_series": "gauge",
    "dynamo_metricsd_series_removed_total": "counter",
    "dynamo_metricsd_sessions_folded_total": "counter",
    "dynamo_metricsd_workers": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_max_fds": "gauge",
    "process_open_fds": "gauge",
    "process_resident_memory_bytes": "gauge",
    "process_start_time_seconds": "gauge",
    "process_virtual_memory_bytes": "gauge",
}
# These appear with the first answered request.
AUTOMATIC_HTTP = {
    "dynamo_system_http_requests_total": "counter",
    "dynamo_system_http_request_duration_seconds": "histogram",
    "dynamo_system_http_response_size_bytes": "histogram",
}
REASONS = ("version message json field name label reserved duplicate type bounds merge "
    "collision utf8 length limit value cell session owner level memory").split()


class AutomaticMetrics(SystemTest):
    def setUp(self):
        self.d = self.daemon()
        self.d.page()
        self.families = {family.name: family for family in page.parse(self.d.page())}

    def test_are_there_with_the_right_kinds(self):
        self.assertEqual({**AUTOMATIC, **AUTOMATIC_HTTP},
            {name: family.kind for name, family in self.families.items()
                if name in {**AUTOMATIC, **AUTOMATIC_HTTP}})
        for name, family in self.families.items():
            self.assertTrue(family.help, f"{name} has no HELP")

    def test_uptime_is_the_guides(self):
        uptime = self.families["dynamo_system_uptime_seconds"]
        self.assertEqual(uptime.help, "System uptime")
        self.assertEqual([(s.labels, s.value == int(s.value)) for s in uptime.samples],
            [((("namespace", "dynamo"),), True)])

    def test_uptime_goes_up(self):
        first = self.families["dynamo_system_uptime_seconds"].samples[0].value
        line = 'dynamo_system_uptime_seconds{namespace="dynamo"}'
        wait_for("uptime to move", lambda: self.d.value(line) > first)

    def test_requests_are_counted_by_path_and_code(self):
        for path in ("/metrics", "/live", "/health", "/nothing", "/more/nothing"):
            self.d.get(path)
        counts = {labels: value for name, labels, value, _ in next(family.samples
            for family in page.parse(self.d.page())
            if family.name == "dynamo_system_http_requests_total")}

        def count(path, code):
            return sum(value for labels, value in counts.items()
                if ("path", path) in labels and ("code", code) in labels)

        self.assertGreaterEqual(count("/metrics", "200"), 3)
        self.assertGreaterEqual(count("/health", "200"), 1)
        self.assertEqual(count("/live", "200"), 1)
        self.assertEqual(count("other", "404"), 2)

    def test_workers_and_series_are_counted(self):
        worker = self.worker(self.d)
        for kind in ("counter", "gauge", "histogram"):
            worker.metric(kind, ("dynamo",), f"a_{kind}")
        worker.flush()
        self.assertEqual(self.d.value("dynamo_metricsd_workers"), 1)
        for kind in ("counter", "gauge", "histogram"):
            self.assertEqual(self.d.value(f'dynamo_metricsd_series{{kind="{kind}"}}'), 1)
        worker.close()
        self.assertEqual(self.d.value("dynamo_metricsd_workers"), 0)
        self.assertGreaterEqual(self.d.value("dynamo_metricsd_sessions_folded_total"), 1)

    def test_reasons_are_of_the_closed_list(self):
        for sample in self.families["dynamo_metricsd_refused_total"].samples:
            self.assertIn(dict(sample.labels)["reason"], REASONS)

    def test_no_worker_can_take_their_names(self):
        worker = self.worker(self.d)
        for name in ("system_uptime_seconds", "metricsd_workers"):
            worker.metric("gauge", (), name)
        try:
            worker.flush()
        finally:
            self.assertEqual(worker.status()["refused"], 2)
        self.d.page()


class Routes(SystemTest):
    def setUp(self):
        self.d = self.daemon()

    def test_unknown_paths(self):
        for path in ("/nothing", "/metrics/", "/metricsx", "//metrics"):
            answer = self.d.get(path)
            self.assertEqual((answer.status, answer.text.strip()), (404, "Route not found"), path)

    def test_a_query_is_no_part_of_the_path(self):
        self.assertEqual(self.d.get("/live?x=1").status, 200)

    def test_wrong_methods(self):
        for path in ("/metrics", "/live", "/health"):
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
                answer = self.d.get(path, method)
                self.assertEqual(answer.status, 405, f"{method} {path}")
                self.assertEqual(answer.headers["Allow"].replace(" ", ""), "GET,HEAD")

    def test_head_has_no_body_and_the_connection_stays_in_step(self):
        connection = self.d.connection()
        for path in ("/metrics", "/live", "/nothing", "/health"):
            connection.request("HEAD", path)
            head = connection.getresponse()
            self.assertEqual(head.read(), b"")
            socket = connection.sock
            connection.request("GET", path)
            get = connection.getresponse()
            body = get.read()
            self.assertIs(connection.sock, socket, "the connection was not kept")
            self.assertEqual(head.status, get.status)
            self.assertEqual(head.headers["Content-Type"], get.headers["Content-Type"])
            self.assertTrue(body)
        connection.close()

    def test_head_bytes_on_the_wire(self):
        connection = self.d.connection()
        connection.connect()
        connection.sock.sendall(b"HEAD /live HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while chunk := connection.sock.recv(65536):
            answer += chunk
        connection.close()
        head, _, rest = answer.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
        self.assertTrue(rest.startswith(b"HTTP/1.1 404"), rest[:80])

    def test_content_type_of_metrics(self):
        page.check_content_type(self.d.get("/metrics").headers["Content-Type"])

    def test_a_hundred_scrapes_of_one_connection(self):
        connection = self.d.connection()
        for _ in range(100):
            connection.request("GET", "/metrics")
            page.parse(connection.getresponse().read())
        connection.close()


class LiveAndHealth(SystemTest):
    def test_shape(self):
        daemon = self.daemon()
        for path in ("/live", "/health"):
            answer = daemon.get(path)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Content-Type"].split(";")[0], "application/json")
            body = json.loads(answer.text)
            self.assertEqual(body["status"], "ready")
            self.assertGreaterEqual(body["uptime"]["secs"], 0)
            self.assertLess(body["uptime"]["nanos"], 10**9)
            self.assertIsInstance(body["endpoints"], dict)

    def test_an_endpoint_that_must_be_live(self):
        daemon = self.daemon(health=("/health", 503),
            DYN_SYSTEM_USE_ENDPOINT_HEALTH_STATUS='["generate"]')
        self.assertEqual(daemon.get("/live").status, 200)
        worker = self.worker(daemon)
        worker.metric("counter", ("dynamo", "backend", "generate"), "jobs_total")
        worker.flush()
        answer = daemon.get("/health")
        self.assertEqual((answer.status, json.loads(answer.text)["endpoints"]),
            (200, {"generate": "ready"}))
        worker.kill()
        wait_for("the endpoint to be missed", lambda: daemon.get("/health").status == 503)

    def test_other_paths_by_environment(self):
        daemon = self.daemon(health=("/healthz", 200), DYN_SYSTEM_HEALTH_PATH="/healthz",
            DYN_SYSTEM_LIVE_PATH="/livez")
        self.assertEqual(daemon.get("/livez").status, 200)
        for path in ("/health", "/live"):
            self.assertEqual(daemon.get(path).status, 404)


class TheTimeAnIdleDaemonTakes(SystemTest):
    def test_is_next_to_nothing(self):
        daemon = self.daemon()
        before = daemon.value("process_cpu_seconds_total")
        time.sleep(1)
        self.assertLess(daemon.value("process_cpu_seconds_total") - before, 0.2)
