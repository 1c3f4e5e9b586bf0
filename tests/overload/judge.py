# SPDX-License-Identifier: Apache-2.0
"""What may be and what not. Each function gives the sentences about what may not; it knows
figures alone, so that it can be shown bad ones."""
import itertools
import statistics

MIB = 1 << 20

# ---- Overload

# What the daemon may take while it is loaded above what it has with all workers connected:
# replies and messages under way, half a MiB for each packed page, the ids of JSON messages,
# what is defined meanwhile. And what the allocator may keep of that when all is over.
LOADED_BYTES = 64 * MIB
AFTER_BYTES = 24 * MIB
# Descriptors: a connection of a worker has two, its socket and its process. HTTP has what
# http.connections allows: those that are about to be closed have one, too. A snapshot has few.
FDS_OF_CONNECTION = 2
FDS_OF_HTTP = 256
FDS_MORE = 16
FAIRNESS = 0.8  # Jain's index: 1 when all have as much, 1/n when one has all
LEAST_SHARE = 0.25  # of the median, for the worker that has least
ENOUGH = 30  # reports of the median worker, for shares to mean something
# Seconds.
LIVE_P99, LIVE_MAX = 0.25, 1.0  # who probes for an orchestrator gives up after a second
SCRAPE_MAX = 1.0  # 64 others scrape, too, and each has its turn
NEWCOMER_MAX = 1.0


def jain(shares):
    """How even they are: 1 for all the same, 1/n for one who has all."""
    squares = sum(x * x for x in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def fairness(done):
    """Of the reports of each worker that were acknowledged."""
    return {"least": min(done), "median": statistics.median(done), "most": max(done),
        "jain": jain(done)}


def overload_stage(stage, connected, times=True):
    """stage: figures of a part of the run; connected: those when all workers were there and
    nobody loaded. times: are durations judged, and shares? In a second or two they are the
    machine's, if something else loads it."""
    name = stage["name"]
    if stage["memory"] > connected["memory"] + LOADED_BYTES:
        yield (f"{name}: the daemon has {stage['memory'] / MIB:.1f} MiB, and had "
            f"{connected['memory'] / MIB:.1f} before")
    most = connected["descriptors"] + FDS_OF_CONNECTION * stage["connections"] + FDS_OF_HTTP + FDS_MORE
    if stage["descriptors"] > most:
        yield f"{name}: {stage['descriptors']} descriptors are open, at most {most} should be"
    for what, n in stage["failed"].items():
        if n:
            yield f"{name}: {n} times {what} failed"
    if times:
        yield from stage_shares(name, stage["fairness"])
        yield from stage_times(name, stage["probes"])


def stage_shares(name, share):
    if share["median"] < ENOUGH:
        return
    if share["jain"] < FAIRNESS:
        yield f"{name}: workers are not served alike: Jain's index is {share['jain']:.3f}"
    if share["least"] < LEAST_SHARE * share["median"]:
        yield (f"{name}: a worker was acknowledged {share['least']} times, the median one "
            f"{share['median']:g} times")


def stage_times(name, probes):
    for what, figure, most in (("live", "p99", LIVE_P99), ("live", "max", LIVE_MAX),
            ("scrape", "max", SCRAPE_MAX), ("newcomer", "max", NEWCOMER_MAX)):
        if probes[what][figure] > most:
            yield (f"{name}: {what}: {figure} {1000 * probes[what][figure]:.0f} ms, at most "
                f"{1000 * most:.0f} ms should be")


def overload_end(end, connected):
    """end: what is left when all rest again."""
    if end["memory"] > connected["memory"] + AFTER_BYTES:
        yield (f"afterwards: the daemon has {end['memory'] / MIB:.1f} MiB, and had "
            f"{connected['memory'] / MIB:.1f} before")
    if end["descriptors"] > connected["descriptors"]:
        yield (f"afterwards: {end['descriptors']} descriptors are open, and "
            f"{connected['descriptors']} were before")
    for name in ("refused", "folded"):
        if end[name] != end["wanted " + name]:
            yield f"afterwards: {name} is {end[name]:g} and should be {end['wanted ' + name]:g}"


def totals(wanted, page):
    """wanted and page: key of a line -> its value."""
    for key, value in wanted.items():
        if page.get(key, 0) != value:
            yield f"lost or doubled: {key} is {page.get(key, 0):.17g} and should be {value:.17g}"


# ---- Soak

# What a figure may rise by over the second half: a part of its median, and so much at least.
FLAT = {
    "memory": (0.03, 1.0),  # MiB: what the allocator takes at a time
    "descriptors": (0.0, 4.0),  # workers come and go while they are counted
    "flush": (0.5, 1.0),  # milliseconds; a machine that others use is not still
    "scrape": (0.5, 1.0),
    "live": (0.5, 1.0),
    "turn": (0.5, 1.0),
    "series": (0.05, 20.0),
    "remembered": (0.05, 20.0),
    "journal": (0.5, 1.0),  # MiB; it goes to zero with each snapshot
}
LEAST_SAMPLES = 8
BRIEF = {"memory": 0.25, "descriptors": 10.0}  # between two halves of a few seconds


def theil_sen(points):
    """The median of the slopes between all pairs of points: single bad ones move it little."""
    slopes = [(y2 - y1) / (x2 - x1)
        for (x1, y1), (x2, y2) in itertools.combinations(points, 2) if x2 != x1]
    return statistics.median(slopes) if slopes else 0.0


def trend(samples, name):
    """What a figure did over the second half: its median, its rise, what it may rise by."""
    points = [(s["t"], s[name]) for s in samples if s.get(name) is not None]
    points = points[len(points) // 2:]
    if len(points) < LEAST_SAMPLES:
        return None
    median = statistics.median(y for _, y in points)
    part, least = FLAT[name]
    return {"median": median, "rise": theil_sen(points) * (points[-1][0] - points[0][0]),
        "may": max(part * median, least)}


def brief(samples):
    """Of seconds: what leaks with each worker that comes is seen all the same."""
    half = len(samples) // 2
    for name, most in BRIEF.items():
        first, second = (statistics.median(s[name] for s in part)
            for part in (samples[:half], samples[half:]))
        if second > first + most:
            yield f"{name}: it rose from {first:.4g} to {second:.4g}, and may by {most:g}"


def flat(samples, names=FLAT):
    for name in names:
        found = trend(samples, name)
        if found is None:
            yield f"{name}: there are too few samples"
        elif found["rise"] > found["may"]:
            yield (f"{name}: not flat: it rose by {found['rise']:.3g} over the second half, and "
                f"may by {found['may']:.3g}; its median is {found['median']:.3g}")
