# SPDX-License-Identifier: Apache-2.0
"""What tests of the kept state have in common."""
import json
import os
import signal
import subprocess

from harness import CTL, SystemTest

TOTAL = "dynamo_jobs_total"


def names(folder, start=""):
    """But for the lock that a folder is had by."""
    return sorted(name for name in os.listdir(folder)
        if name.startswith(start) and name != ".lock")


class State(SystemTest):
    config = None

    def start_again(self, daemon):
        if os.path.exists(daemon.port_file):
            os.unlink(daemon.port_file)
        return daemon.start().ready()

    def restart(self, daemon, how):
        if how == signal.SIGKILL:
            daemon.kill()
        else:
            daemon.stop(how)
        return self.start_again(daemon)

    def send(self, daemon, n=1, **more):
        subprocess.run([CTL, "--address", daemon.address, "send", json.dumps({
            "metrics": [{"name": "jobs_total", "type": "counter", "inc": n}], **more})],
            check=True, stdout=subprocess.DEVNULL)

    def health(self, daemon):
        answer = daemon.get("/health")
        self.assertEqual(answer.status, 200)
        return json.loads(answer.text)

    def problems(self, daemon):
        return self.health(daemon)["problems"]

    def counting(self, daemon, **options):
        """A worker with a counter, a histogram and a gauge."""
        worker = self.worker(daemon, **options)
        worker.jobs = worker.metric("counter", (), "jobs_total")
        worker.sizes = worker.metric("histogram", ("ns",), "sizes", bounds=(0.5, 1))
        worker.busy = worker.metric("gauge", (), "busy")
        return worker

    def count(self, worker, n):
        worker.call("add", worker.jobs, repr(float(n)))
