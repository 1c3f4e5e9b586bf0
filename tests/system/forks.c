/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forks.c SCENARIO - programs that make processes in every way there is, and report from
 * them.
 *
 * What the driver, test_fork.py, is to know is printed as lines "WHAT NUMBER": "total",
 * how much was counted into forks_total; "pid", a process that has flushed and now waits
 * until its standard input ends. A process that cannot do its work ends with a status
 * that is not 0.
 */
#include <dynamo/metrics.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENT_MS 20000

static dynm_runtime *rt;
static dynm_counter total;
static dynm_histogram seconds;
static dynm_gauge each, sum;

/* ---- What all do --------------------------------------------------------- */

static void
must(bool ok, int status)
{
	if (!ok)
		_exit(status);
}

/* One line, whole, whoever else prints. */
static void
say(const char *what, long number)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s %ld\n", what, number);

	must(write(STDOUT_FILENO, line, (size_t)n) == n, 90);
}

static void
open_runtime(void)
{
	dynm_options o = { .worker = "forks", .flush_ms = 20 };

	must(dynm_open(&rt, &o, NULL) == DYNM_OK, 91);
}

static void
make_metrics(void)
{
	dynm_scope at = dynm_runtime_scope(rt);

	total = dynm_counter_create(at, "forks_total", "");
	seconds = dynm_histogram_create(at, "forks_seconds", "", DYNM_BUCKETS(1, 2));
	each = dynm_gauge_create_merge(at, "forks_each", "", DYNM_EACH);
	sum = dynm_gauge_create(at, "forks_sum", "");
}

static void
flush(void)
{
	must(dynm_flush(rt, PATIENT_MS) == DYNM_OK, 92);
}

static void
count(long n)
{
	dynm_counter_add(total, (double)n);
	flush();
}

/* Until the driver closes our standard input. */
static void
stay(void)
{
	char c;

	say("pid", getpid());
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
}

/* A byte from the driver. */
static void
wait_for_go(void)
{
	char c;

	must(read(STDIN_FILENO, &c, 1) == 1, 93);
}

static void
wait_ended(pid_t pid)
{
	int status;

	must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, 94);
}

static void
wait_all(void)
{
	int status;

	while (wait(&status) > 0)
		must(status == 0, 95);
}

/* ---- A family ------------------------------------------------------------- */

#define CHILDREN      3
#define GRANDCHILDREN 2

/* Number n of the family; the even ones set no gauge. */
static void
report(long n)
{
	for (long i = 0; i < n; i++)
		dynm_histogram_observe(seconds, 1.5);
	if (n % 2) {
		dynm_gauge_set(each, (double)n);
		dynm_gauge_set(sum, (double)n);
	}
	count(n);
}

static void
grandparent(void)
{
	dynm_gauge_set(sum, 1000);
	report(1);
	for (long child = 1; child <= CHILDREN; child++) {
		if (fork() != 0)
			continue;
		report(1 + child);
		for (long k = 0; k < GRANDCHILDREN; k++)
			if (fork() == 0) {
				report(
				    1 + CHILDREN + (child - 1) * GRANDCHILDREN + k + 1);
				stay();
				_exit(0);
			}
		stay();
		wait_all();
		_exit(0);
	}
	stay();
	wait_all();
}

/* ---- Children that use nothing --------------------------------------------- */

static void
quiet(void)
{
	pid_t pid;

	count(5);
	pid = fork();
	if (pid == 0) {
		say("pid", getpid());
		wait_for_go();
		count(3);
		say("total", 8);
		wait_for_go();
		_exit(0);
	}
	wait_ended(pid);
}

/* ---- Threads that count meanwhile ------------------------------------------ */

static atomic_bool over;

static void *
count_on(void *arg)
{
	long n = 0;

	for (; !atomic_load(&over); n++)
		dynm_counter_inc(total);
	*(long *)arg = n;
	return NULL;
}

#define THREADS 3
#define STORM	200

static void
storm(void)
{
	long counted[THREADS], all = 0;
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		must(pthread_create(&thread[i], NULL, count_on, &counted[i]) == 0, 96);
	for (long i = 0; i < STORM; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			for (int k = 0; k < 100; k++)
				dynm_counter_inc(total);
			flush();
			_exit(0);
		}
		must(pid > 0, 97);
		if (i % 20 == 19)
			wait_all();
	}
	wait_all();
	atomic_store(&over, true);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		all += counted[i];
	}
	flush();
	say("total", all + STORM * 100);
}

/* ---- Other programs -------------------------------------------------------- */

/* Started by the next one: what it has open beside 0, 1 and 2. */
static void
descriptors(void)
{
	long n = 0;

	for (int fd = 3; fd < 1024; fd++)
		n += dup2(fd, fd) == fd;
	say("descriptors", n);
}

static char program[] = "/proc/self/exe", scenario[] = "descriptors";
static char *const command[] = { program, scenario, NULL };
extern char **environ;

static void
run_command(pid_t pid)
{
	if (pid != 0)
		return;
	execv(program, command);
	_exit(98);
}

static void
executes(void)
{
	char self[256];
	ssize_t n = readlink(program, self, sizeof(self) - 20);
	pid_t pid;

	must(n > 0, 97);
	count(1);
	pid = fork();
	run_command(pid);
	wait_ended(pid);
	count(1);
	pid = fork();
	if (pid == 0)
		count(1); /* with a connection of its own */
	run_command(pid);
	wait_ended(pid);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	pid = vfork();
#pragma GCC diagnostic pop
	run_command(pid);
	wait_ended(pid);
	count(1);
	must(posix_spawn(&pid, program, NULL, NULL, command, environ) == 0, 98);
	wait_ended(pid);
	count(1);
	strcpy(self + n, " descriptors");
	must(system(self) == 0, 99);
	count(1);
	say("total", 6);
}

/* ---- Daemons --------------------------------------------------------------- */

static void
daemonize(void)
{
	count(5);
	must(daemon(1, 1) == 0, 96);
	count(7);
	say("total", 12);
	stay();
}

/* By hand, the way books tell: fork, setsid, fork. */
static void
daemonize_twice(void)
{
	pid_t pid;

	count(5);
	pid = fork();
	must(pid >= 0, 96);
	if (pid > 0) {
		wait_ended(pid);
		dynm_close(rt);
		exit(0);
	}
	must(setsid() > 0, 96);
	dynm_counter_inc(total);
	flush();
	pid = fork();
	if (pid != 0)
		_exit(pid < 0);
	count(7);
	say("total", 13);
	stay();
}

/* ---- Before and after ------------------------------------------------------ */

static void
before_metrics(void)
{
	pid_t pid = fork();

	make_metrics();
	count(pid == 0 ? 2 : 3);
	if (pid == 0) {
		dynm_close(rt);
		_exit(0);
	}
	wait_ended(pid);
	say("total", 5);
}

static void
after_close(void)
{
	pid_t pid;

	count(4);
	dynm_close(rt);
	pid = fork();
	open_runtime();
	make_metrics();
	count(pid == 0 ? 2 : 3);
	if (pid == 0) {
		dynm_close(rt);
		_exit(0);
	}
	wait_ended(pid);
	say("total", 9);
}

static void
short_lives(void)
{
	pid_t pid;

	count(1);
	for (int i = 0; i < 50; i++) {
		pid = fork();
		if (pid == 0)
			_exit(0);
		wait_ended(pid);
		pid = fork();
		if (pid == 0) {
			dynm_close(rt);
			_exit(0);
		}
		wait_ended(pid);
		pid = fork();
		if (pid == 0) {
			count(1);
			_exit(0);
		}
		wait_ended(pid);
		pid = fork();
		if (pid == 0) {
			count(1);
			dynm_close(rt);
			_exit(0);
		}
		wait_ended(pid);
	}
	count(1);
	say("total", 102);
}

static void
parent_closes(void)
{
	count(1);
	if (fork() == 0) {
		wait_for_go();
		count(2);
		say("total", 3);
		stay();
		_exit(0);
	}
	dynm_close(rt);
	say("closed", 1);
	wait_all();
	exit(0);
}

/* ---- Processes that the C library knows nothing of ------------------------- */

struct clone3 {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

/* The child has our connection, and nothing of the library's runs in it. */
static void
keep_connection(long pid)
{
	if (pid == 0)
		for (;;)
			pause();
	must(pid > 0, 97);
	count(5);
	say("clone", pid);
	stay();
	must(kill((pid_t)pid, SIGKILL) == 0 && waitpid((pid_t)pid, NULL, 0) == pid, 98);
}

static void
clones(void)
{
	count(1);
	keep_connection(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static void
clones3(void)
{
	struct clone3 how = { .exit_signal = SIGCHLD };

	count(1);
	keep_connection(syscall(SYS_clone3, &how, sizeof(how)));
}

/* ---- main() ----------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(void);
	enum { READY, OPENED, BARE } begin;
} scenarios[] = {
	{ "family", grandparent, READY },
	{ "quiet", quiet, READY },
	{ "storm", storm, READY },
	{ "descriptors", descriptors, BARE },
	{ "executes", executes, READY },
	{ "daemon", daemonize, READY },
	{ "double", daemonize_twice, READY },
	{ "before", before_metrics, OPENED },
	{ "after", after_close, READY },
	{ "short", short_lives, READY },
	{ "parent_closes", parent_closes, READY },
	{ "clone", clones, READY },
	{ "clone3", clones3, READY },
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(scenarios) / sizeof(scenarios[0]);
	     i++) {
		if (strcmp(argv[1], scenarios[i].name) != 0)
			continue;
		if (scenarios[i].begin != BARE)
			open_runtime();
		if (scenarios[i].begin == READY)
			make_metrics();
		scenarios[i].run();
		dynm_close(rt);
		return 0;
	}
	fprintf(stderr, "forks: no such scenario\n");
	return 2;
}
