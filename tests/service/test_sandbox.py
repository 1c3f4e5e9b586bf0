# SPDX-License-Identifier: Apache-2.0
"""What a process can do in the sandbox of the unit, tried from within: a probe (probe.c) runs in
the daemon's place, by the unit as it is installed. What is refused there is seen to be possible
without the sandbox, so that no test passes because the probe is wrong."""
import http.client
import os
import unittest

from service import *

PROBE = "/srv/build/tests/service/probe"
SAID = "/run/dynm-probe"

# What the daemon needs.
NEEDED = {"write the state folder", "write the runtime folder", "write a /tmp", "use Unix sockets",
    "fork", "give memory back", "raise the limit of descriptors", "open 4096 descriptors",
    "know root", "watch other processes"}
# What hardened.conf takes as well.
KNOWN = {"see other processes", "see which boot it is", "know other users", "run another program"}
NETWORK = {"use IPv4", "use IPv6"}
REFUSED = {"write /etc", "write /usr", "write /home", "write /var/lib", "write /run",
    "see the /tmp of all", "see /home", "change a kernel setting", "change the cgroups",
    "make a set-uid file", "map writable code", "turn data into code", "lock memory",
    "read memory of processes", "mount", "make a user namespace", "make a network namespace",
    "set the host's name", "change the personality", "trace", "become another user",
    "give a file away", "use packets", "use netlink", "remove a kernel module", "set the clock",
    "read the kernel's log", "use the keyring", "run as realtime", "give way",
    "open the kernel's memory"}
# Where no process of the box may do these, nothing is seen of what the unit adds.
NOT_IN_A_BOX = {"remove a kernel module", "set the clock", "read the kernel's log",
    "use the keyring", "run as realtime", "open the kernel's memory", "lock memory"}


def read_probe(text):
    """name -> what it said"""
    return dict(line.split(":", 1) for line in text.splitlines())


def allowed(said):
    return {name for name, how in said.items() if how == " ok"}


class Sandbox(ServiceTest):
    def setUp(self):
        super().setUp()
        for path in ("/tmp/dynm-probe", "/home/dynm-probe", "/opt/dynm-probe"):
            with open(path, "w", encoding="ascii"):
                self.addCleanup(os.unlink, path)
        os.chown("/opt/dynm-probe", 12345, 12345)

    def plain(self):
        """Without a sandbox, as root."""
        return read_probe(run("systemd-run", "--quiet", "--wait", "--pipe", "--collect",
            "--property=RuntimeDirectory=dynamo-metricsd-plain",
            "--property=StateDirectory=dynamo-metricsd-plain", PROBE).stdout)

    def probed(self, *names, more=""):
        """In the daemon's place, with these drop-ins."""
        for name in names:
            self.add_example(name)
        self.drop_in(f"""[Service]
            Type=oneshot
            Restart=no
            ExecStart=
            ExecStart={PROBE}
            StandardOutput=truncate:{SAID}
            {more}
            """, name="probe.conf")
        self.start(SERVICE)
        with open(SAID, encoding="ascii") as file:
            return read_probe(file.read())

    def check(self, said, wanted):
        self.assertEqual(sorted(allowed(said)), sorted(wanted), said)
        self.assertNotIn(" killed", said.values())
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(said[name], 16), 0, name)
        self.assertEqual(said["NoNewPrivs"].strip(), "1")
        self.assertEqual(said["Seccomp"].strip(), "2")

    def test_all_that_is_refused_can_be_done_without_the_sandbox(self):
        said = self.plain()
        self.assertLessEqual(REFUSED - allowed(said), NOT_IN_A_BOX)
        # A limit of the unit's own.
        self.assertLessEqual((NEEDED | KNOWN | NETWORK) - {"open 4096 descriptors"}, allowed(said))

    def test_the_unit_lets_the_daemon_do_what_it_needs_and_no_more(self):
        said = self.probed()
        self.check(said, NEEDED | KNOWN | NETWORK)
        self.assertEqual(len(set(said["Uid"].split())), 1)
        self.assertNotIn("0", said["Uid"].split())

    def test_the_sandbox_holds_even_root(self):
        said = self.probed(more="User=root\nGroup=root")
        self.check(said, NEEDED | KNOWN | NETWORK)
        self.assertEqual(set(said["Uid"].split()), {"0"})

    def test_with_sockets_of_systemd_there_is_no_network(self):
        self.start(*SOCKETS)
        self.check(self.probed("activated.conf"), NEEDED | KNOWN)

    def test_the_hardened_unit_knows_nobody_and_runs_nothing_else(self):
        said = self.probed("hardened.conf", more=f"ExecPaths={PROBE}")
        self.check(said, NEEDED | NETWORK)


class Calls(ServiceTest):
    """The daemon itself in a sandbox that kills whoever asks for what is refused."""

    def check_it_lives(self, *profile):
        for name in profile:
            self.add_example(name)
        # The process that writes a snapshot asks to be less urgent, and goes on when it may not.
        self.drop_in("[Service]\nSystemCallErrorNumber=kill\nSystemCallFilter=setpriority\n",
            name="zz-kill.conf")
        self.configure(state={"snapshot_ms": 1000})
        self.start()
        worker = self.worker()
        worker.call("add", worker.metric("counter", (), "work_total"), "1")
        worker.flush()
        self.assertEqual(send("sent_total").returncode, 0)
        run(CTL, "--address", ADDRESS, "status")
        run("curl", "--silent", "--show-error", "--fail", "--compressed", "--output", "/dev/null",
            f"http://127.0.0.1:{PORT}/metrics")
        wait_for("a snapshot", lambda: value("dynamo_metricsd_snapshot_bytes"))
        self.assertEqual(value("dynamo_metricsd_snapshot_failures_total"), 0)
        systemctl("reload", SERVICE)
        worker.kill()
        self.journal.wait("folded: its process ended")
        systemctl("restart", SERVICE)
        self.assertEqual((value("dynamo_work_total"), value("dynamo_sent_total")), (1, 1))
        self.assertEqual(show(SERVICE, "NRestarts", "Result"),
            {"NRestarts": "0", "Result": "success"})
        self.assertFalse(self.journal.has("killed"))

    def test_the_daemon_asks_for_nothing_that_is_refused(self):
        self.check_it_lives()

    def test_nor_does_it_in_the_most_hardened_profile(self):
        self.check_it_lives("activated.conf", "hardened.conf")


class Tenants(ServiceTest):
    def test_the_daemon_of_a_tenant_sees_nothing_of_the_others(self):
        names = ("dynm-red", "dynm-blue")
        for name in names:
            run("groupadd", "--force", name)
        units = [f"dynamo-metricsd@{name}.service" for name in names]
        self.add_example("hardened.conf", units[1])  # it makes no difference
        self.start(SERVICE, *units)
        for name, unit in zip(names, units):
            for folder in ("/run", "/var/lib"):
                seen = os.listdir(f"/proc/{main_pid(unit)}/root{folder}")
                self.assertEqual([n for n in seen if n.startswith("dynamo")],
                    [f"dynamo-metricsd-{name}"])
            self.assertIn("HTTP port", show(unit, "StatusText"))
            address = f"ipc:///run/dynamo-metricsd-{name}/ingest.ipc"
            self.assertEqual(send("sent_total", address=address).returncode, 0)
            systemctl("restart", unit)
            with open(f"/run/dynamo-metricsd-{name}/http.port", encoding="ascii") as file:
                self.assertEqual(value("dynamo_sent_total", int(file.read())), 1)


class Network(ServiceTest):
    """Who is served, asking from an address of theirs."""
    PRIVATE, ELSEWHERE = "10.1.2.3", "198.51.100.7"

    def setUp(self):
        super().setUp()
        for address in (self.PRIVATE, self.ELSEWHERE):
            run("ip", "address", "add", f"{address}/32", "dev", "lo")
            self.addCleanup(run, "ip", "address", "delete", f"{address}/32", "dev", "lo")

    def is_served(self, address, timeout_s=DEADLINE_S):
        connection = http.client.HTTPConnection(address, PORT, timeout=timeout_s,
            source_address=(address, 0))
        try:
            connection.request("GET", "/live")
            return connection.getresponse().status == 200
        except TimeoutError:
            return False
        finally:
            connection.close()

    def test_private_networks_are_served_and_what_comes_from_elsewhere_is_dropped(self):
        self.environment(DYN_SYSTEM_HOST="0.0.0.0")
        self.start(SERVICE)
        self.assertTrue(self.is_served("127.0.0.1"))
        self.assertTrue(self.is_served(self.PRIVATE))
        self.assertFalse(self.is_served(self.ELSEWHERE, timeout_s=1))
        self.drop_in(f"[Service]\nIPAddressAllow={self.ELSEWHERE}\n")
        systemctl("restart", SERVICE)
        self.assertTrue(self.is_served(self.ELSEWHERE))

    def test_the_hardened_service_is_for_this_host(self):
        self.environment(DYN_SYSTEM_HOST="0.0.0.0")
        self.add_example("hardened.conf")
        self.start(SERVICE)
        self.assertTrue(self.is_served("127.0.0.1"))
        self.assertFalse(self.is_served(self.PRIVATE, timeout_s=1))

    def test_a_socket_of_systemd_serves_all_whom_its_own_unit_lets_in(self):
        self.add_example("activated.conf")
        self.drop_in("[Socket]\nListenStream=\nListenStream=0.0.0.0:8081\n", HTTP)
        self.start()
        self.assertTrue(self.is_served(self.ELSEWHERE))
        systemctl("stop", *SOCKETS, SERVICE)
        self.drop_in("[Socket]\nIPAddressDeny=any\nIPAddressAllow=localhost\n", HTTP, "deny.conf")
        self.start()
        self.assertTrue(self.is_served("127.0.0.1"))
        self.assertFalse(self.is_served(self.ELSEWHERE, timeout_s=1))
