# SPDX-License-Identifier: Apache-2.0
"""A daemon, those who load it, those who mean well beside them, and what is known of it."""
import os
import time

import harness
import programs
from crowd import Crowd

PLACE = 'namespace="overload"'
SETTLED_S = 60


def place(name, **labels):
    """The line of a series of ours."""
    pairs = "".join(f',{label}="{value}"' for label, value in sorted(labels.items()))
    return f"dynamo_{name}{{{PLACE}{pairs}}}"


def read_page(text):
    """key -> value of each line."""
    pairs = (line.rpartition(" ")[::2] for line in text.split("\n") if line and line[0] != "#")
    return {key: float(value) for key, value in pairs}


def total(page, name):
    """All series of one name together."""
    return sum(value for key, value in page.items()
        if key == name or key.startswith(name + "{"))


class Scene:
    """To be used with `with`: what was started has ended afterwards."""

    def __init__(self, config):
        self.daemon = harness.Daemon(config=config)
        self.crowds, self.wanted = [], {}

    def __enter__(self):
        try:
            self.daemon.start().ready()
        except BaseException:
            self.daemon.clean_up()
            raise
        self.pid = self.daemon.process.pid
        return self

    def __exit__(self, *_):
        for crowd in self.crowds:
            crowd.clean_up()
        self.daemon.clean_up()

    def crowd(self, name, *arguments, **more):
        """Started; ready() waits for it."""
        crowd = Crowd(name, *arguments, DYN_METRICSD_ADDRESS=self.daemon.address, **more)
        self.crowds.append(crowd)
        return crowd

    def probe(self, role, every_s):
        return self.crowd("probe.py", role, self.daemon.port, every_s, nice=0)

    def end(self, crowds):
        for crowd in crowds:
            crowd.end()
            self.crowds.remove(crowd)

    # ---- What is known of the daemon

    def look(self):
        if self.daemon.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.daemon.process.returncode}: "
                f"{self.daemon.log()[-4000:]}")
        # A sanitizer keeps what was freed.
        return {"memory": 0 if harness.SANITIZED else programs.memory_bytes(self.pid),
            "descriptors": len(os.listdir(f"/proc/{self.pid}/fd"))}

    def page(self):
        answer = self.daemon.get("/metrics")
        if answer.status != 200:
            raise AssertionError(f"/metrics answered {answer.status}: {answer.text}")
        return read_page(answer.text)

    def own(self, page=None):
        """What the daemon says of itself."""
        page = page or self.page()
        return {name: total(page, "dynamo_metricsd_" + key) for name, key in (
            ("refused", "refused_total"), ("folded", "sessions_folded_total"),
            ("resent", "resent_total"), ("workers", "workers"),
            ("remembered", "sessions_remembered"), ("journal", "journal_bytes"),
            ("series", "series"), ("messages", "messages_total"))}

    def wait(self, what, holds, deadline_s=SETTLED_S):
        """Until holds() is true; False when it never is."""
        end = time.monotonic() + deadline_s
        while not holds():
            self.look()
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    # ---- What should be on the page

    def add(self, key, n):
        self.wanted[key] = self.wanted.get(key, 0) + n

    def add_all(self, told, first, *names, **labels):
        """That one of these crowds has done: each member has a line of its own. names: the
        name of it, and of its label."""
        for i, n in enumerate(told.done):
            self.add(place(names[0], **{names[1]: first + i}, **labels), n)
