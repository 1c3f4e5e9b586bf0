# SPDX-License-Identifier: Apache-2.0
"""The limits of the unit, and a million series within them."""
import glob
import http.client
import threading
import unittest

from service import *

WORKERS, EACH = 8, 125000
MANY = 400000  # of one worker: 30 MiB
SCRAPERS, ROUNDS = 16, 2
PATIENT_MS = 300000


def most_memory(unit=SERVICE):
    """The most that the unit's cgroup ever had, with its files in memory; None: nobody says."""
    for place in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            for path in glob.glob(f"{place}/**/{unit}/{name}", recursive=True):
                with open(path, encoding="ascii") as file:
                    return int(file.read())
    return None


class Limits(ServiceTest):
    def test_what_the_configuration_asks_for_by_default_can_be_had(self):
        self.start(SERVICE)
        self.assertEqual(get("/live")[0], 200)
        self.assertFalse(self.journal.has("few descriptors"))
        with open(f"/proc/{main_pid()}/limits", encoding="ascii") as file:
            limits = {line[:25].strip(): line[26:].split()[0] for line in file}
        self.assertGreaterEqual(int(limits["Max open files"]), 2 * 1000 + 256 + 64)

    def test_without_enough_memory_it_is_killed_and_has_lost_nothing_when_there_is_more(self):
        if show(SERVICE, "MemoryAccounting") != "yes" or most_memory("system.slice") is None:
            self.skipTest("no cgroup limits memory here")
        self.drop_in("[Service]\nMemoryMax=16M\n")
        self.start()
        worker = self.worker(max_series=MANY + 1000)
        worker.call("add", worker.metric("counter", (), "work_total"), "5")
        worker.flush()
        self.assertEqual(send("sent_total", 7).returncode, 0)
        vec = worker.make("counter_vec", worker.scope(), "requests_total", "", "child")
        worker.call("children", vec, MANY)
        wait_for("it to be killed", lambda: int(show(SERVICE, "NRestarts")) > 0 or
            show(SERVICE, "ActiveState") == "failed")
        self.drop_in("[Service]\nMemoryMax=4G\n")
        systemctl("reset-failed", SERVICE)
        systemctl("restart", SERVICE)
        worker.flush(PATIENT_MS)
        self.assertEqual((value("dynamo_work_total"), value("dynamo_sent_total")), (5, 7))
        self.assertEqual(value(f'dynamo_requests_total{{child="{MANY - 1}"}}'), (MANY - 1) % 7 + 1)

    def together(self, do):
        """do(worker, vec) for all, at once."""
        failed = []

        def guarded(pair):
            try:
                do(*pair)
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=guarded, args=(pair,))
            for pair in zip(self.workers, self.vecs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])

    def count(self, worker, vec):
        worker.call("children", vec, EACH)
        worker.flush(PATIENT_MS)

    def scrape(self):
        """Until there is no more to do."""
        while not self.done.is_set():
            try:
                self.pages.append(self.scrape_once())
            except Exception as error:
                self.pages.append(repr(error))

    def scrape_once(self):
        """Status, and the page's last byte; not 16 whole pages at once."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=DEADLINE_S)
        try:
            connection.request("GET", "/metrics")
            answer, last = connection.getresponse(), b""
            while data := answer.read(1 << 20):
                last = data
            return answer.status, last[-1:]
        finally:
            connection.close()

    def test_a_million_series_fit_with_room_for_ten_times_as_many(self):
        self.start()
        self.workers = [self.worker(max_series=EACH + 1000) for _ in range(WORKERS)]
        self.vecs = [worker.make("counter_vec", worker.scope((), (("model", "m"),)),
            f"requests_{i}_total", "", "child") for i, worker in enumerate(self.workers)]
        self.together(self.count)
        self.pages, self.done = [], threading.Event()
        scrapers = [threading.Thread(target=self.scrape) for _ in range(SCRAPERS)]
        for scraper in scrapers:
            scraper.start()
        try:
            for _ in range(ROUNDS):
                self.together(self.count)
        finally:
            self.done.set()
            for scraper in scrapers:
                scraper.join()
        self.assertEqual(set(self.pages), {(200, b"\n")})
        most = most_memory()
        # Its end writes all of them, its start reads them.
        systemctl("restart", SERVICE)
        self.assertIn(f"{WORKERS * EACH} series", show(SERVICE, "StatusText"))
        self.assertEqual(show(SERVICE, "NRestarts"), "0")
        if most is None:
            return  # no cgroup says so
        most, limit = max(most, most_memory()), int(show(SERVICE, "MemoryMax"))
        print(f"              {len(self.pages)} scrapes, at most {most >> 20} MiB of "
            f"{limit >> 20}", flush=True)
        self.assertLess(10 * most, limit)
