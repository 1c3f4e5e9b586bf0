/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork(), and fork() with exec().
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acts.h"
#include "load.h"
#include "watch.h"

#define WAIT_MS	  20000
#define CHILD_S	  30 /* a child that takes longer hangs: SIGALRM ends it */
#define COUNTED	  50
#define PAUSE_US  2000
#define FORKERS	  3
#define EXIT_LOST 9

extern char **environ;

static void
reap(pid_t pid, const char *what)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR) {
			noticed("waitpid: %s", strerror(errno));
			return;
		}
	if (WIFSIGNALED(status))
		noticed("a child after %s ended by signal %d", what, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		noticed("a child after %s ended with %d", what, WEXITSTATUS(status));
}

/* ---- Children that use the library ------------------------------------- */

/* What a child does at once: take memory, as one that inherited a lock could not. */
static void
use_memory(void)
{
	void *p[64];

	for (unsigned i = 0; i < 64; i++)
		p[i] = malloc(100 + i * 1000);
	for (unsigned i = 0; i < 64; i++)
		free(p[i]);
}

static void one_child(unsigned number, unsigned generation);

/* How the child ends. */
static int
child_main(unsigned number, unsigned generation)
{
	noticed_forget();
	watch_child();
	(void)alarm(CHILD_S);
	use_memory();
	load_extra("child", COUNTED);
	if (generation > 0)
		one_child(number + 1, generation - 1);
	if (load_flush(0, WAIT_MS) != DYNM_OK)
		noticed("a flush failed");
	if (number % 3 == 0)
		load_close();
	return noticed_any() ? EXIT_LOST : 0;
}

static void
one_child(unsigned number, unsigned generation)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		status = child_main(number, generation);
		if (number % 2 == 0)
			_exit(status);
		exit(status);
	}
	if (pid < 0)
		noticed("fork: %s", strerror(errno));
	else
		reap(pid, "fork");
}

static void *
forker_main(void *arg)
{
	struct act_threads *t = arg;

	watch_thread("forker");
	for (unsigned i = 0; act_goes_on(t); i++) {
		one_child(i, 0);
		usleep(PAUSE_US);
	}
	return NULL;
}

static void *
definer_main(void *arg)
{
	struct act_threads *t = arg;
	char name[32];

	watch_thread("definer");
	for (unsigned i = 0; act_goes_on(t); i++) {
		snprintf(name, sizeof(name), "defined %u", i % 2000);
		load_extra(name, 1);
		usleep(100);
	}
	return NULL;
}

void
act_storm(double seconds)
{
	struct act_threads t = { 0 };

	watch_allow_children(true);
	for (unsigned i = 0; i < FORKERS; i++)
		act_start(&t, forker_main);
	act_start(&t, definer_main);
	act_wait(seconds);
	act_join(&t);
	watch_allow_children(false);
}

/* Everything that waits with a lock of the library. */
static void *
waiter_main(void *arg)
{
	struct act_threads *t = arg;

	watch_thread("waiter");
	while (act_goes_on(t)) {
		char *text = NULL;

		use_memory();
		(void)dynm_flush(loads[0].rt, 1);
		if (dynm_expose(loads[0].scope, 5, &text) == DYNM_OK)
			free(text);
		dynm_counter_inc(dynm_with(loads[0].acts, "removed"));
		dynm_remove(loads[0].acts, "removed");
	}
	return NULL;
}

/* A lock is held nearly all the time: each by one thread, so that a fork finds it so. */
static void *
holder_main(void *arg)
{
	struct act_threads *t = arg;
	dynm_status status;

	watch_thread("holder");
	while (act_goes_on(t)) {
		for (unsigned i = 0; i < 1000; i++)
			(void)dynm_gauge_create(loads[0].scope, "depth", "");
		for (unsigned i = 0; i < 1000; i++)
			dynm_runtime_status(loads[0].rt, &status);
		for (unsigned i = 0; i < 1000; i++)
			(void)dynm_runtime_error(loads[0].rt, NULL);
	}
	return NULL;
}

void
act_busy(double seconds)
{
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9);
	struct act_threads t = { 0 };

	watch_allow_children(true);
	act_start(&t, holder_main);
	act_start(&t, waiter_main);
	act_start(&t, waiter_main);
	for (unsigned i = 0; watch_ns() < until; i++) {
		one_child(i, i % 4 == 0 ? 2 : 0);
		watch_glance();
	}
	act_join(&t);
	watch_allow_children(false);
}

/* ---- Other programs ---------------------------------------------------- */

static char *const exec_args[] = { (char[]){ "app" }, (char[]){ "exec" }, NULL };

static pid_t
by_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execve("/proc/self/exe", exec_args, environ);
		_exit(127);
	}
	return pid;
}

static pid_t
by_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execve("/proc/self/exe", exec_args, environ);
		_exit(127);
	}
	return pid;
}

static pid_t
by_spawn(void)
{
	pid_t pid;
	int error = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, exec_args, environ);

	return error ? -1 : pid;
}

void
act_exec(double seconds)
{
	static const struct {
		const char *what;
		pid_t (*run)(void);
	} ways[] = { { "fork and exec", by_fork }, { "vfork and exec", by_vfork },
		{ "posix_spawn", by_spawn } };
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9);

	watch_allow_children(true);
	for (unsigned i = 0; watch_ns() < until || i < 3; i++) {
		pid_t pid = ways[i % 3].run();

		if (pid < 0)
			noticed("%s: %s", ways[i % 3].what, strerror(errno));
		else
			reap(pid, ways[i % 3].what);
		watch_glance();
	}
	watch_allow_children(false);
}
