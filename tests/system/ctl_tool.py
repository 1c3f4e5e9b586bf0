# SPDX-License-Identifier: Apache-2.0
"""Running dynamo-metricsctl in the end-to-end tests."""
import os
import shutil
import signal
import socket
import subprocess
import threading

import harness

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
COUNT = ('{"namespace":"dynamo","component":"backend","endpoint":"generate",'
    '"metrics":[{"name":"my_counter","type":"counter","help":"My custom counter","inc":14}]}')
HEADER = b"\0SP\0\0\x31\0\0"
LINE = 'dynamo_my_counter{namespace="dynamo",component="backend",endpoint="generate"}'


def ctl(*arguments, stdin="", timeout_s=harness.DEADLINE_S, **environment):
    return subprocess.run([harness.CTL, *arguments], input=stdin, capture_output=True,
        encoding="utf-8", timeout=timeout_s, env=harness.clean_environment(**environment))


def read_request(connection):
    """The peer's header and its first frame; b"" if it leaves before."""
    got = b""
    while len(got) < 17 or len(got) < 17 + int.from_bytes(got[9:17], "big"):
        more = connection.recv(65536)
        if not more:
            return b""
        got += more
    return got


class Ctl(harness.SystemTest):
    def setUp(self):
        self.folder_path = self.folder()

    def expect(self, code, *arguments, says="", **options):
        """Its exit code, and words of what it says on standard error; its output."""
        done = ctl(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(says, done.stderr)
        if not says:
            self.assertEqual(done.stderr, "")
        return done.stdout

    def fake(self, serve):
        """An address whose every connection is served by a function."""
        path = os.path.join(self.folder_path, "fake.ipc")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()

        def run():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        serve(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def end():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()

        self.addCleanup(end)
        return "ipc://" + path

    def started(self, *arguments, **environment):
        """A process of the tool that goes on until it is ended."""
        process = subprocess.Popen([harness.CTL, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
            env=harness.clean_environment(**environment),
            # Whoever runs the tests in the background has it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

        def end():
            if process.poll() is None:
                process.kill()
            process.stdout.close()
            process.stderr.close()
            process.wait()

        self.addCleanup(end)
        return process

    def nobody(self, program):
        """How to start a program as a user who is nobody else, from where he finds it."""
        if os.getuid() != 0:
            self.skipTest("only root can become another user")
        path = os.path.join(self.folder_path, os.path.basename(program))
        shutil.copy(program, path)
        os.chmod(self.folder_path, 0o777)
        os.chmod(path, 0o755)
        return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", path]

    def as_nobody(self, address, *arguments):
        return subprocess.run([*self.nobody(harness.CTL), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            timeout=harness.DEADLINE_S,
            env=harness.clean_environment(DYN_METRICSD_ADDRESS=address))

    def interrupted(self, process, how=signal.SIGINT):
        """Its exit code after Ctrl-C, and what it said on standard error."""
        process.send_signal(how)
        code = process.wait(harness.DEADLINE_S)
        return code, process.stderr.read()
