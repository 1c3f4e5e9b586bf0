/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app.c - an application that has metrics, and notices everything. What it is to do comes
 * line by line over a socket, whose number is its argument; each line is answered by one:
 *
 *	app FD TALLY		FD: the socket; TALLY: the file of struct tally
 *	app exec		what a started program is: it looks at what it inherited
 *
 * Nothing is ever written to stdout and stderr: what comes there is the library's.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "acts.h"
#include "load.h"
#include "watch.h"

#define LINE 256

static int control;

/* ---- For the acts ------------------------------------------------------ */

void
act_wait(double seconds)
{
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9);

	do {
		watch_glance();
		usleep(20000);
	} while (watch_ns() < until);
}

void
act_start(struct act_threads *t, void *(*run)(void *))
{
	pthread_t thread;

	if (t->n == ACT_THREADS || pthread_create(&thread, NULL, run, t) != 0) {
		noticed("a thread of the application could not be made");
		return;
	}
	t->thread[t->n++] = thread;
}

bool
act_goes_on(const struct act_threads *t)
{
	return !__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE);
}

void
act_join(struct act_threads *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < t->n; i++)
		pthread_join(t->thread[i], NULL);
}

/* ---- Commands ---------------------------------------------------------- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
say(const char *format, ...)
{
	char line[NOTICED_MAX * NOTICED_TEXT];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	line[n] = '\n';
	if (write(control, line, (size_t)n + 1) != n + 1)
		_exit(96);
}

/* Another user: root has no limit of threads. */
static void
do_user(const char *argument)
{
	unsigned id = (unsigned)strtoul(argument, NULL, 10);

	if (setgroups(0, NULL) != 0 || setgid(id) != 0 || setuid(id) != 0)
		noticed("setuid: %s", strerror(errno));
	(void)prctl(PR_SET_DUMPABLE, 1); /* /proc/self is ours again */
	say("ok");
}

static void
do_standard(const char *argument)
{
	(void)argument;
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	say("ok");
}

static void
do_begin(const char *argument)
{
	(void)argument;
	watch_begin();
	say("ok");
}

static void
do_open(const char *argument)
{
	load_open(NULL, (uint32_t)strtoul(argument, NULL, 10));
	say("ok");
}

static void
do_start(const char *argument)
{
	load_start((unsigned)strtoul(argument, NULL, 10));
	say("ok");
}

static void
do_mark(const char *argument)
{
	struct figures f;

	load_mark(&f);
	if (*argument)
		watch_memory();
	say("%.0f %llu %llu %llu", f.calls_per_s, (unsigned long long)f.p999_ns,
	    (unsigned long long)f.most_ns, (unsigned long long)f.switches);
}

static void
do_stop(const char *argument)
{
	(void)argument;
	load_stop();
	say("ok");
}

/* The milliseconds that it may take; of all runtimes. */
static void
do_flush(const char *argument)
{
	uint64_t counted = __atomic_load_n(&tally->done, __ATOMIC_ACQUIRE) + tally->extra;
	dynm_err err = DYNM_OK;

	for (unsigned i = 0; i < n_loads && err == DYNM_OK; i++)
		err = load_flush(i, atoi(argument));
	if (err == DYNM_OK)
		tally->acked = counted;
	say("%s", err == DYNM_OK ? "ok" : dynm_strerror(err));
}

/* What has to be there: events, dropped of them, the gauge. */
static void
do_counted(const char *argument)
{
	unsigned long long dropped = 0;
	dynm_status status;

	(void)argument;
	for (unsigned i = 0; i < n_loads; i++) {
		dynm_runtime_status(loads[i].rt, &status);
		dropped += status.dropped;
	}
	say("%llu %llu %.0f", (unsigned long long)(tally->events + tally->extra), dropped,
	    load_depth());
}

static void
do_close(const char *argument)
{
	(void)argument;
	load_close();
	watch_end();
	say("%ld", watch_grown_kb());
}

static void
do_noticed(const char *argument)
{
	static char all[NOTICED_MAX * NOTICED_TEXT - 2];

	(void)argument;
	noticed_all(all, sizeof(all));
	say("%s", all);
}

static void
do_cold(const char *argument)
{
	(void)argument;
	load_cold();
	say("ok");
}

static void
do_act(const char *argument)
{
	static const struct {
		const char *name;
		void (*run)(double seconds);
	} acts[] = {
		{ "descriptors", act_descriptors },
		{ "threads", act_threads },
		{ "memory", act_memory },
		{ "storm", act_storm },
		{ "busy", act_busy },
		{ "exec", act_exec },
		{ "signals", act_signals },
		{ "many", act_many },
		{ "again", act_again },
		{ "nanomsg", act_nanomsg },
		{ "wait", act_wait },
	};
	const char *end = strchr(argument, ' ');
	size_t n = end ? (size_t)(end - argument) : strlen(argument);

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (strlen(acts[i].name) != n || strncmp(acts[i].name, argument, n) != 0)
			continue;
		if (acts[i].run)
			acts[i].run(end ? strtod(end, NULL) : 0);
		else
			noticed("this program does not have the act %s", argument);
		say("ok");
		return;
	}
	say("no such act");
}

/* ---- The end ----------------------------------------------------------- */

/* The process goes on without its main thread; its other threads end by and by. */
static void
leave_main(void)
{
	load_stop();
	pthread_exit(NULL);
}

/* Handlers at exit may still have something to count. */
static void
use_at_exit(void)
{
	dynm_counter_inc(dynm_counter_create(loads[0].scope, "short_lives_total", ""));
	(void)load_flush(0, 50);
}

/* In a way in which no application should end, and many do. */
static void
do_exit(const char *way)
{
	say("ok");
	(void)atexit(use_at_exit);
	(void)at_quick_exit(use_at_exit);
	load_extra("last words", 10);
	if (strcmp(way, "_exit") == 0)
		_exit(0);
	if (strcmp(way, "abort") == 0)
		abort();
	if (strcmp(way, "quick_exit") == 0)
		quick_exit(0);
	if (strcmp(way, "pthread_exit") == 0)
		leave_main();
	exit(0);
}

static const struct {
	const char *name;
	void (*run)(const char *argument);
} commands[] = {
	{ "user", do_user },
	{ "standard", do_standard },
	{ "begin", do_begin },
	{ "open", do_open },
	{ "start", do_start },
	{ "mark", do_mark },
	{ "act", do_act },
	{ "cold", do_cold },
	{ "stop", do_stop },
	{ "flush", do_flush },
	{ "counted", do_counted },
	{ "close", do_close },
	{ "noticed", do_noticed },
	{ "exit", do_exit },
};

static void
run(char *line)
{
	char *argument = strchr(line, ' ');

	if (argument)
		*argument++ = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, line) == 0) {
			commands[i].run(argument ? argument : "");
			return;
		}
	say("no such command");
}

/* A line without its end; false when nobody is there any more. Looks around meanwhile. */
static bool
next_line(char line[LINE])
{
	struct pollfd fd = { .fd = control, .events = POLLIN };
	size_t n = 0;

	while (n < LINE - 1) {
		if (poll(&fd, 1, 50) == 0) {
			watch_glance();
			continue;
		}
		if (read(control, line + n, 1) != 1)
			return false;
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	return true;
}

int
main(int argc, char **argv)
{
	char line[LINE];

	if (argc == 2 && strcmp(argv[1], "exec") == 0) {
		watch_exec();
		return noticed_any() ? 9 : 0;
	}
	if (argc != 3)
		return 2;
	control = atoi(argv[1]);
	(void)fcntl(control, F_SETFD, FD_CLOEXEC);
	/* What a shell starts in the background ignores them. */
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGQUIT, SIG_DFL);
	load_tally(argv[2]);
	while (next_line(line))
		run(line);
	return 0;
}
