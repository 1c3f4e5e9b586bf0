# SPDX-License-Identifier: Apache-2.0
"""What a measurement was made on, with, and when."""
import datetime
import os
import platform
import subprocess

import bench


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        return (done.stdout or done.stderr).split("\n")[0].strip()
    except OSError:
        return ""


def field(path, name):
    """The value of the first line "name: value" of a file."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""


def load():
    return [round(x, 2) for x in os.getloadavg()]


def version(package):
    return first_line("dpkg-query", "-W", "-f", "${Version}", package)


def distribution():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return ""


def about(command):
    """All of it. Load averages above the number of processors spoil the figures."""
    packages = {name: package for name, package in bench.LANGUAGES.values()}
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "cpu": field("/proc/cpuinfo", "model name") or platform.machine(),
        "processors": os.cpu_count(),
        "memory_gib": round(int(field("/proc/meminfo", "MemTotal").split()[0]) / 2 ** 20, 1),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "distribution": distribution(),
        "compiler": first_line(os.environ.get("CC") or "cc", "--version"),
        "versions": {name: version(package) for name, package in packages.items()
            if version(package)},
        "load_start": load(),
    }
