# SPDX-License-Identifier: Apache-2.0
"""Packed pages, and the programs that unpack them."""
import gzip
import subprocess
import zlib

import page
from harness import SystemTest, clean_environment, wait_for
from test_prometheus import Prometheus

CHILDREN = 30_000  # many slices
FAMILY = "/metrics?name[]=dynamo_v_total"
FETCH = """\
fetch(process.argv[1], {headers: {'accept-encoding': 'gzip'}}).then(async answer => {
    if (answer.headers.get('content-encoding') !== 'gzip') process.exit(2);
    process.stdout.write(await answer.text());
});
"""


class PackedPages(SystemTest):
    def setUp(self):
        self.d = self.daemon()
        worker = self.worker(self.d, max_series=2 * CHILDREN)
        vec = worker.make("counter_vec", worker.scope(), "v_total", "", "i")
        worker.call("children", vec, CHILDREN)
        worker.flush()
        self.url = f"http://127.0.0.1:{self.d.port}{FAMILY}"
        self.plain = self.d.get(FAMILY).body
        self.assertEqual(self.plain.count(b"\n"), CHILDREN + 1)

    def packed(self, path=FAMILY):
        connection = self.d.connection()
        self.addCleanup(connection.close)
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        self.assertEqual(answer.headers["Content-Encoding"], "gzip")
        return answer

    def run_program(self, *command, **more):
        return subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE,
            env=clean_environment(), **more).stdout

    def test_curl_unpacks_them(self):
        self.assertEqual(self.run_program("curl", "-sSg", "--compressed", self.url), self.plain)

    def test_gzip_unpacks_them(self):
        packed = self.run_program("curl", "-sSg", "-H", "Accept-Encoding: gzip", self.url)
        self.assertLess(len(packed), len(self.plain) / 5)
        self.assertEqual(self.run_program("gzip", "-dc", input=packed), self.plain)
        self.run_program("gzip", "-t", input=packed)

    def test_python_unpacks_them(self):
        self.assertEqual(gzip.decompress(self.packed().read()), self.plain)

    def test_node_unpacks_them(self):
        self.assertEqual(self.run_program("node", "-e", FETCH, self.url), self.plain)

    def test_they_are_one_member_that_can_be_read_as_it_comes(self):
        answer = self.packed()
        unpacker = zlib.decompressobj(31)
        text, parts = b"", 0
        while packed := answer.read1(1000):
            self.assertFalse(unpacker.eof)
            part = unpacker.decompress(packed)
            text += part
            parts += part != b""
        self.assertTrue(unpacker.eof)
        self.assertEqual(unpacker.unused_data, b"")
        self.assertEqual(text, self.plain)
        self.assertGreater(parts, 10)

    def test_a_connection_serves_both_kinds_in_turn(self):
        connection = self.d.connection()
        self.addCleanup(connection.close)
        for i in range(10):
            connection.request("GET", FAMILY,
                headers={"Accept-Encoding": "gzip" if i % 2 else "identity"})
            body = connection.getresponse().read()
            self.assertEqual(gzip.decompress(body) if i % 2 else body, self.plain)

    def test_prometheus_unpacks_them(self):
        prometheus = Prometheus(self, self.d.port)
        wait_for("the first scrape", lambda: prometheus.number("up") == 1, 60)
        wait_for("all children", lambda: prometheus.number(
            "count(dynamo_v_total)") == CHILDREN, 60)
        values = {int(dict(labels)["i"]): value
            for labels, value in prometheus.query("dynamo_v_total").items()}
        self.assertEqual(values, {i: i % 7 + 1 for i in range(CHILDREN)})
        # What was sent to it was packed: its scrapes are all but those of this test.
        name = "dynamo_system_http_response_size_bytes"
        sent = self.sizes(name)
        own = len(self.plain)
        scrapes = sent[name + "_count"] - 1
        self.assertGreaterEqual(scrapes, 1)
        self.assertLess(sent[name + "_sum"] - own, scrapes * own / 4)

    def sizes(self, name):
        text = gzip.decompress(self.packed("/metrics?name[]=" + name).read())
        family = next(f for f in page.parse(text) if f.name == name)
        return {s.name: s.value for s in family.samples
            if dict(s.labels)["path"] == "/metrics" and "le" not in dict(s.labels)}
