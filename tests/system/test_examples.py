# SPDX-License-Identifier: Apache-2.0
"""The programs of client/examples run, print what they should, and report what they say."""
import os
import subprocess

from guides import part_of, pattern
from harness import BUILD, SOURCE, SystemTest, clean_environment

EXAMPLES = os.path.join(SOURCE, "client", "examples")

# What each prints, and what is on the page after it. demo.c and run: see test_run.py;
# prefork.c: test_prefork.py.
THREADS = """\
# HELP dynamo_answer_tokens Tokens of an answer.
# TYPE dynamo_answer_tokens histogram
dynamo_answer_tokens_bucket{namespace="dynamo",component="threads",endpoint="generate",le="1"} 500000
dynamo_answer_tokens_bucket{namespace="dynamo",component="threads",endpoint="generate",le="2"} 750000
dynamo_answer_tokens_bucket{namespace="dynamo",component="threads",endpoint="generate",le="+Inf"} 1000000
dynamo_answer_tokens_sum{namespace="dynamo",component="threads",endpoint="generate"} 1500000
dynamo_answer_tokens_count{namespace="dynamo",component="threads",endpoint="generate"} 1000000
# HELP dynamo_answers_total Answers by code.
# TYPE dynamo_answers_total counter
dynamo_answers_total{namespace="dynamo",component="threads",endpoint="generate",code="200"} 900000
dynamo_answers_total{namespace="dynamo",component="threads",endpoint="generate",code="500"} 100000
"""
ON_FLUSH = """\
# HELP dynamo_pool_busy_ratio Busy part of the pool.
# TYPE dynamo_pool_busy_ratio gauge
dynamo_pool_busy_ratio{namespace="dynamo",component="on_flush"} 0.75
# HELP dynamo_queue_depth Requests waiting.
# TYPE dynamo_queue_depth gauge
dynamo_queue_depth{namespace="dynamo",component="on_flush"} 17
"""
PLACE = 'namespace="dynamo",component="backend",endpoint="generate"'
EXPECTED = {
    "worker.c": ("", f"""\
# HELP dynamo_my_counter My custom counter
# TYPE dynamo_my_counter counter
dynamo_my_counter{{{PLACE}}} 42
"""),
    "threads.c": (THREADS, THREADS),
    "on_flush.c": (ON_FLUSH, ""),
    "cpp.cpp": ("", f"""\
# HELP dynamo_cpp_answers_total Answers by code.
# TYPE dynamo_cpp_answers_total counter
dynamo_cpp_answers_total{{{PLACE},code="500",method="GET",model="llama-7b"}} 2
dynamo_cpp_answers_total{{{PLACE},code="200",method="GET",model="llama-7b"}} 8
# HELP dynamo_cpp_job_seconds Time per job.
# TYPE dynamo_cpp_job_seconds histogram
dynamo_cpp_job_seconds_bucket{{{PLACE},model="llama-7b",le="0.1"}} 1
dynamo_cpp_job_seconds_bucket{{{PLACE},model="llama-7b",le="1"}} 2
dynamo_cpp_job_seconds_bucket{{{PLACE},model="llama-7b",le="10"}} 10
dynamo_cpp_job_seconds_bucket{{{PLACE},model="llama-7b",le="+Inf"}} 10
dynamo_cpp_job_seconds_sum{{{PLACE},model="llama-7b"}} 45
dynamo_cpp_job_seconds_count{{{PLACE},model="llama-7b"}} 10
# HELP dynamo_cpp_jobs_total Jobs done.
# TYPE dynamo_cpp_jobs_total counter
dynamo_cpp_jobs_total{{{PLACE},model="llama-7b"}} 10
"""),
    "nanomsg.c": ('{"ok":true}\n', """\
# TYPE dynamo_job_seconds histogram
dynamo_job_seconds_bucket{namespace="dynamo",component="nanomsg",le="0.5"} 1
dynamo_job_seconds_bucket{namespace="dynamo",component="nanomsg",le="1"} 2
dynamo_job_seconds_bucket{namespace="dynamo",component="nanomsg",le="+Inf"} 2
dynamo_job_seconds_sum{namespace="dynamo",component="nanomsg"} 1
dynamo_job_seconds_count{namespace="dynamo",component="nanomsg"} 2
# HELP dynamo_jobs_total Jobs done.
# TYPE dynamo_jobs_total counter
dynamo_jobs_total{namespace="dynamo",component="nanomsg"} 3
"""),
    "report.sh": ("", """\
# HELP dynamo_backup_bytes Size of the last backup.
# TYPE dynamo_backup_bytes gauge
dynamo_backup_bytes{namespace="dynamo",component="backup"} 9
# HELP dynamo_backups_total Backups, by result.
# TYPE dynamo_backups_total counter
dynamo_backups_total{namespace="dynamo",component="backup",result="ok"} 1
"""),
    "report.py": ("refused: mails_waiting: 'inc' is for a counter, not for a gauge...\n", """\
# TYPE dynamo_mail_seconds histogram
dynamo_mail_seconds_bucket{namespace="dynamo",component="python",le="0.1"} 1
dynamo_mail_seconds_bucket{namespace="dynamo",component="python",le="1"} 1
dynamo_mail_seconds_bucket{namespace="dynamo",component="python",le="+Inf"} 2
dynamo_mail_seconds_sum{namespace="dynamo",component="python"} 3.05
dynamo_mail_seconds_count{namespace="dynamo",component="python"} 2
# TYPE dynamo_mails_total counter
dynamo_mails_total{namespace="dynamo",component="python",to="all"} 2
"""),
    "report.mjs": ("refused: heap_bytes: 'merge' ... \"sum\", \"min\", \"max\" or \"last\"...\n", """\
# TYPE dynamo_pages_total counter
dynamo_pages_total{namespace="dynamo",component="node",kind="html"} 5
# TYPE dynamo_render_seconds histogram
dynamo_render_seconds_bucket{namespace="dynamo",component="node",le="0.1"} 0
dynamo_render_seconds_bucket{namespace="dynamo",component="node",le="1"} 1
dynamo_render_seconds_bucket{namespace="dynamo",component="node",le="+Inf"} 1
dynamo_render_seconds_sum{namespace="dynamo",component="node"} 0.25
dynamo_render_seconds_count{namespace="dynamo",component="node"} 1
"""),
}


def command(example):
    """How a reader runs it: what is not compiled is run as it is."""
    stem, suffix = os.path.splitext(example)
    if suffix in (".c", ".cpp"):
        return [os.path.join(BUILD, "client", "examples", stem)]
    return [os.path.join(EXAMPLES, example)]


class Examples(SystemTest):
    def run_example(self, example, address):
        return subprocess.run(command(example), capture_output=True, encoding="utf-8",
            env=clean_environment(DYN_METRICSD_ADDRESS=address,
                PATH=f"{BUILD}:{os.environ['PATH']}"))

    def test_are_all_here(self):
        self.assertEqual(sorted(EXPECTED), sorted(
            set(os.listdir(EXAMPLES)) - {"run", "demo.c", "prefork.c"}))

    def test_print_and_report_what_they_say(self):
        daemon = self.daemon()
        for example, (prints, shows) in EXPECTED.items():
            with self.subTest(example):
                done = self.run_example(example, daemon.address)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertTrue(pattern(prints).fullmatch(done.stdout), done.stdout)
                self.assertEqual(part_of(daemon.page(), shows), shows)

    def test_do_not_stop_a_script_when_no_daemon_runs(self):
        done = self.run_example("report.sh", f"ipc://{self.folder()}/nobody.ipc")
        self.assertEqual(done.returncode, 0)
        self.assertIn("dynamo-metricsd is not running", done.stderr)
