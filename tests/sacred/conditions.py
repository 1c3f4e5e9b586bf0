# SPDX-License-Identifier: Apache-2.0
"""The twenty conditions. Each is a function of a Case, which has a daemon and an application in
it; what it does is what happens to them while the application counts."""
import os
import signal
import threading
import time

import harness
import stand_ins
from application import FAILING_MALLOC, Application, Hung
from figures import Outcome

NOBODY = 65534
ARRIVE_S = 30
MEMORY_KB = 16 * 1024  # may come on top
RESTART_S = 0.1
WITHOUT_SANITIZERS = {11: "the sanitizer has a malloc of its own",
    12: "the sanitizer's malloc does not outlive a fork of a busy process",
    13: "the sanitizer's malloc does not outlive a fork of a busy process"}
CONNECTS_PER_S = 25  # more of them is no back-off


class Case:
    """A daemon that is well, an application that counts, and what comes between them."""

    def __init__(self, outcome, seconds):
        self.outcome, self.seconds = outcome, seconds
        self.daemon = harness.Daemon()
        self.app = None
        self.quiet = not harness.SANITIZED  # hot calls never wait, not even for the kernel
        self.memory_kb = MEMORY_KB

    def clean_up(self):
        self.daemon.clean_up()

    def start_daemon(self):
        if os.path.exists(self.daemon.port_file):
            os.unlink(self.daemon.port_file)
        self.daemon.start().ready()
        os.chmod(self.daemon.folder, 0o755)
        os.chmod(self.daemon.socket, 0o666)

    def start_application(self, runtimes=1, user=None, standard=True, **options):
        self.app = Application(self.daemon.address, **options)
        if user is not None:
            self.app.tell(f"user {user}")
        if not standard:
            self.app.tell("standard")
        self.app.begin(runtimes)

    def sleep(self, share=1.0):
        time.sleep(self.seconds * share)

    def measure_before(self):
        """With a daemon that is well."""
        self.flush()
        self.app.mark(memory=True)
        self.sleep(0.5)
        self.outcome.before = self.app.mark()

    def flush(self):
        answer = self.app.tell(f"flush {ARRIVE_S * 1000}")
        if answer != "ok":
            self.outcome.notice(f"nothing arrives any more: {answer}")

    def act(self, name, share=1.0):
        answer = self.app.tell(f"act {name} {self.seconds * share}")
        if answer != "ok":
            raise AssertionError(answer)

    def restart(self):
        self.sleep(0.3)
        self.daemon.kill()
        self.start_daemon()

    def act_and_restart(self, name):
        """The daemon is restarted in the middle of it."""
        restart = threading.Thread(target=self.restart)
        restart.start()
        try:
            self.act(name)
        finally:
            restart.join()

    def there(self):
        """All events on the page, and the gauge."""
        events, gauge = 0, 0
        weights = {"dynamo_calls_total": 1, "dynamo_quarters_total": 4, "dynamo_seconds_count": 1,
            "dynamo_codes_total": 1, "dynamo_acts_total": 1, "dynamo_plugged_total": 1,
            "dynamo_json_total": 1}
        for line in self.daemon.get("/metrics").text.splitlines():
            name = line.partition("{")[0]
            if name in weights:
                events += weights[name] * float(line.rpartition(" ")[2])
            elif name == "dynamo_depth":
                gauge += float(line.rpartition(" ")[2])
        return events, gauge

    def check_arrived(self):
        """The daemon is well again: to the last call."""
        self.app.tell("stop")
        self.flush()
        events, dropped, depth = map(float, self.app.tell("counted").split())
        counted = events - dropped
        there, gauge = self.there()
        self.outcome.arrived = f"{there:.0f} of {counted:.0f}"
        if dropped:
            self.outcome.arrived += f" ({dropped:.0f} dropped, and said so)"
        if there != counted:
            self.outcome.notice(f"{there - counted:+.0f} arrived")
        if gauge != depth:
            self.outcome.notice(f"the gauge is {gauge}, and was set to {depth}")

    def end_application(self):
        self.outcome.grown_kb = int(self.app.tell("close"))
        if self.outcome.grown_kb > self.memory_kb and not harness.SANITIZED:
            self.outcome.notice(f"memory grew by {self.outcome.grown_kb} KiB")
        self.outcome.notice(self.app.tell("noticed"))
        self.app.hang_up()
        self.check_end(0)

    def check_end(self, status):
        ended = self.app.ended()
        if ended != status:
            self.outcome.notice("it does not end" if ended is None else f"it ended with {ended}")
            self.app.process.kill()
        said = self.app.said()
        if said:
            self.outcome.notice(f"was written to stdout or stderr: {said[:200]!r}")

    def check_switches(self):
        switches = (self.outcome.during or [0] * 4)[3]
        if self.quiet and switches:
            self.outcome.notice(f"hot calls waited {switches:.0f} times")

    def run(self, during, **options):
        """The usual course of a condition."""
        self.start_daemon()
        self.start_application(**options)
        with self.app:
            self.measure_before()
            during(self)
            if not self.outcome.during:
                self.outcome.during = self.app.mark()
            self.check_switches()
            self.check_arrived()
            self.end_application()

    def instead(self, stand_in):
        """In the place of the daemon; then the daemon again."""
        self.daemon.kill()
        with stand_in:
            self.app.tell("cold")
            self.sleep()
            self.outcome.during = self.app.mark()
        self.start_daemon()
        return stand_in


CONDITIONS = []


def condition(name):
    def add(function):
        CONDITIONS.append((len(CONDITIONS) + 1, name, function))
        return function
    return add


def why_not(number):
    """Why this build cannot be in that condition, or None."""
    return WITHOUT_SANITIZERS.get(number) if harness.SANITIZED else None


def run(number, seconds):
    """The outcome of a condition."""
    _, name, function = CONDITIONS[number - 1]
    outcome = Outcome(number, name)
    case = Case(outcome, seconds)
    try:
        function(case)
    except Hung as error:
        outcome.notice(f"it hangs, or died: {error}")
    finally:
        case.clean_up()
    return outcome


# ---- The daemon ------------------------------------------------------------------------


def measure_elsewhere(case):
    """Before: of an application like it, that has a daemon."""
    with Application(case.daemon.address) as other:
        other.begin()
        other.tell(f"flush {ARRIVE_S * 1000}")
        other.mark()
        case.sleep(0.5)
        case.outcome.before = other.mark()
    case.daemon.kill()
    os.unlink(case.daemon.socket)
    case.clean_up()
    case.daemon = harness.Daemon()


def without_daemon(case, appears):
    case.start_daemon()
    measure_elsewhere(case)
    case.start_application()
    with case.app:
        case.app.mark(memory=True)
        case.app.tell("cold")
        case.sleep(0.5)
        if appears:
            case.start_daemon()
        case.sleep(0.5)
        case.outcome.during = case.app.mark()
        if not appears:
            case.start_daemon()
        case.check_switches()
        case.check_arrived()
        case.end_application()


@condition("daemon absent for the whole run")
def absent(case):
    without_daemon(case, False)


@condition("daemon appearing late")
def late(case):
    without_daemon(case, True)


@condition("accepting and never answering")
def silent(case):
    def during(case):
        case.instead(stand_ins.Full(case.daemon.address))
        case.instead(stand_ins.Silent(case.daemon.address))

    case.run(during)


def check_connects(case, stand_in):
    """A stand-in that was met at all, and not besieged."""
    connects = len(stand_in.accepted)
    if not 1 <= connects <= 10 + case.seconds * CONNECTS_PER_S:
        case.outcome.notice(f"{connects} connects in {case.seconds} s")


@condition("answering garbage")
def garbage(case):
    case.run(lambda c: check_connects(c, c.instead(stand_ins.Garbage(c.daemon.address))))


@condition("closing at once after the handshake, in a loop")
def closing(case):
    case.run(lambda c: check_connects(c, behind(c, stand_ins.ClosingAfterHandshake)))


def behind(case, kind, act=None):
    """The daemon answers elsewhere, with its state; a stand-in is where it was."""
    address, moved = case.daemon.address, case.daemon.address + ".moved"
    case.daemon.kill()
    os.unlink(case.daemon.socket)
    case.daemon.environment["DYN_METRICSD_ADDRESS"] = moved
    case.daemon.socket += ".moved"
    case.start_daemon()
    with kind(address, moved) as stand_in:
        case.app.tell("cold")
        act() if act else case.sleep()
        case.outcome.during = case.app.mark()
    case.daemon.kill()
    os.unlink(case.daemon.socket)
    case.daemon.environment["DYN_METRICSD_ADDRESS"] = address
    case.daemon.socket = address.removeprefix("ipc://")
    case.start_daemon()
    return stand_in


@condition("reading one byte a second")
def slow(case):
    case.run(lambda c: c.instead(stand_ins.Slow(c.daemon.address)))


@condition("restarted every 100 ms")
def restarted(case):
    def restart(case):
        end = time.monotonic() + case.seconds
        while time.monotonic() < end:
            case.daemon.kill()
            case.daemon.start()
            time.sleep(RESTART_S)
        case.outcome.during = case.app.mark()
        case.daemon.kill()
        case.start_daemon()

    case.run(restart)


@condition("another protocol version")
def version(case):
    case.run(lambda c: check_connects(c, c.instead(stand_ins.OtherVersion(c.daemon.address))))


# ---- The system ------------------------------------------------------------------------


@condition("no descriptors left (RLIMIT_NOFILE)")
def descriptors(case):
    # Its connection ends, and no other can be made.
    case.run(lambda c: c.act_and_restart("descriptors"))


@condition("no threads left (RLIMIT_NPROC)")
def threads(case):
    case.quiet = False  # a first update asks for the thread, each thousand calls
    case.run(lambda c: c.act("threads"), user=NOBODY if os.getuid() == 0 else None)


@condition("malloc failing at random")
def memory(case):
    case.run(lambda c: c.act_and_restart("memory"), LD_PRELOAD=FAILING_MALLOC)


# ---- The application -------------------------------------------------------------------


def forking(act):
    def run_it(case):
        case.quiet = False  # fork() takes all memory for a moment, whoever calls it
        case.run(lambda c: c.act(act))
    return run_it


condition("fork in a storm")(forking("storm"))
condition("fork with busy threads")(forking("busy"))
condition("fork and exec")(forking("exec"))


@condition("signals, with and without SA_RESTART")
def signals(case):
    case.run(lambda c: c.act("signals"))


@condition("SIGPIPE at its default")
def sigpipe(case):
    case.memory_kb = 4 * MEMORY_KB  # of many series

    def during(case):
        case.act("many", 0.1)
        case.flush()
        stand_in = behind(case, stand_ins.ClosingInMessages, lambda: case.act("many"))
        if stand_in.cut == 0:
            case.outcome.notice("no message was long enough to be cut")

    case.run(during)


@condition("stdout and stderr closed, and watched")
def standard(case):
    def during(case):
        for _ in range(3):
            case.daemon.kill()
            case.start_daemon()
            case.sleep(0.3)

    case.run(during, standard=False)


@condition("dlopen, use, dlclose, again")
def again(case):
    case.run(lambda c: c.act("again"), program="app_late")


@condition("two runtimes, and libnanomsg beside them")
def two(case):
    case.run(lambda c: c.act("nanomsg"), program="app_nanomsg", runtimes=2)


# ---- Its end ---------------------------------------------------------------------------

WAYS = {"return": 0, "exit": 0, "_exit": 0, "quick_exit": 0, "abort": -signal.SIGABRT,
    "pthread_exit": 0}


def leave(case, way, status):
    """What was acknowledged is there, and nothing that was not counted."""
    before, _ = case.there()
    case.start_application()
    with case.app:
        case.flush()
        case.app.mark()
        case.sleep(0.3 / len(WAYS))
        case.outcome.before = case.app.mark()
        case.flush()
        case.outcome.notice(case.app.tell("noticed"))
        if way == "return":
            case.app.hang_up()
        else:
            case.app.tell(f"exit {way}")
        case.check_end(status)
        events, extra, acked = case.app.counts()
    harness.wait_for("the end of the worker",
        lambda: case.daemon.value("dynamo_metricsd_workers") == 0)
    there, _ = case.there()
    if way == "pthread_exit":  # that is an end in order
        acked = events + extra
    if not acked <= there - before <= events + extra:
        case.outcome.notice(f"{way}: {acked} were acknowledged, {events + extra} counted, and "
            f"{there - before:.0f} are there")
    return acked, there - before, events + extra


@condition("exit, _exit, abort, pthread_exit, no close")
def ends(case):
    case.start_daemon()
    ways = dict(WAYS)
    if os.path.basename(harness.BUILD) == "thread":
        del ways["pthread_exit"]  # this sanitizer has a thread of its own, which stays
    sums = [sum(part) for part in zip(*(leave(case, *way) for way in ways.items()))]
    case.outcome.arrived = (f"{sums[0]} acknowledged, {sums[1]:.0f} there, {sums[2]} counted")


# ---- Reconnection ----------------------------------------------------------------------

BACK_OFF_S = (3, 6)  # short, and long
PAUSE_MS = 1000
OUT_OF_STEP_MS = 10


def back_off(seconds):
    """Two workers at a daemon that refuses: what is wrong about when they come, and a line."""
    with harness.tempfile.TemporaryDirectory(prefix="dynm-") as folder:
        with stand_ins.Refusing(f"ipc://{folder}/ingest.ipc") as stand_in, \
                Application("ipc://" + stand_in.path) as a, \
                Application("ipc://" + stand_in.path) as b:
            for app in (a, b):
                app.begin(threads=1)
                app.tell("stop")
            time.sleep(seconds)
            gaps = [stand_in.gaps_ms(app.process.pid) for app in (a, b)]
    return judge(gaps, seconds)


def judge(gaps, seconds):
    wrong = []
    # 10 ms doubled to 1 s, each from half to whole: at least 7, at most 8 to come to a second.
    least, most = int(7 + (seconds - 1.3)) // 2, int(9 + seconds * 2) * 2
    for own in gaps:
        if not least <= len(own) <= most:
            wrong.append(f"{len(own)} connects in {seconds} s, not {least} to {most}")
        if own and own[0] > PAUSE_MS / 2:
            wrong.append(f"the first pause is {own[0]:.0f} ms")
        if own and max(own) < PAUSE_MS / 4:
            wrong.append(f"the longest pause is {max(own):.0f} ms")
    if all(abs(x - y) < OUT_OF_STEP_MS for x, y in zip(*gaps)):
        wrong.append("two workers march in step")
    counts = " and ".join(str(len(own)) for own in gaps)
    longest = max(max(own, default=0) for own in gaps)
    return wrong, (f"Back-off: {counts} connects in {seconds} s of two workers at a daemon that "
        f"refuses, at most {longest:.0f} ms apart, not in step")
