/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system has nothing left: no descriptors, no threads, no memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "acts.h"
#include "load.h"
#include "watch.h"

#define LIMIT	 96
#define COUNTED	 1000
#define WAIT_MS	 20000
#define SPARE_FD 8 /* for a look around */

static bool
set_limit(unsigned what, rlim_t now, struct rlimit *ret_before)
{
	struct rlimit limit;

	if (getrlimit(what, ret_before) != 0)
		return false;
	limit = *ret_before;
	limit.rlim_cur = now;
	return setrlimit(what, &limit) == 0;
}

/* One more runtime, made when there is nothing left. */
static dynm_runtime *
second_runtime(const char *act, dynm_counter *ret)
{
	dynm_options options = { .flush_ms = 20 };
	dynm_runtime *rt;
	dynm_error err;

	if (dynm_open(&rt, &options, &err) != DYNM_OK) {
		noticed("dynm_open when nothing is left: %s", err.text);
		return NULL;
	}
	*ret = dynm_with(
	    dynm_counter_vec_create(
		dynm_component_endpoint(
		    dynm_namespace_component(dynm_runtime_namespace(rt, "sacred"), "app"),
		    "second")
		    .scope,
		"acts_total", "", DYNM_LABELS("act")),
	    act);
	__atomic_fetch_add(&tally->extra, COUNTED, __ATOMIC_RELAXED);
	for (int i = 0; i < COUNTED; i++)
		dynm_counter_inc(*ret);
	return rt;
}

/* There is enough again: it arrives. */
static void
end_second(dynm_runtime *rt)
{
	dynm_err err;

	if (!rt)
		return;
	err = dynm_flush(rt, WAIT_MS);
	if (err != DYNM_OK)
		noticed("the second runtime: %s", dynm_strerror(err));
	dynm_close(rt);
}

/* ---- Descriptors ------------------------------------------------------- */

static unsigned
fill(int *fds, unsigned n)
{
	while (n < LIMIT && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	return n;
}

static bool
is_connected(void)
{
	dynm_status status;

	dynm_runtime_status(loads[0].rt, &status);
	return status.connected;
}

/* What is to be looked at takes descriptors too. */
static unsigned
look(int *fds, unsigned n)
{
	for (int i = 0; i < SPARE_FD && n > 0; i++)
		close(fds[--n]);
	watch_glance();
	return n;
}

void
act_descriptors(double seconds)
{
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9), glance = 0;
	bool cut_off = false; /* the daemon has left, and could not be reached again */
	struct rlimit before;
	dynm_counter counter;
	dynm_runtime *second;
	int fds[LIMIT];
	unsigned n = 0;

	if (!set_limit(RLIMIT_NOFILE, LIMIT, &before))
		noticed("RLIMIT_NOFILE: %s", strerror(errno));
	n = fill(fds, n);
	second = second_runtime("descriptors", &counter);
	/* What the library closes is taken away from it at once. */
	while (watch_ns() < until ||
	       (!cut_off && watch_ns() < until + WAIT_MS * 1000000LL)) {
		n = fill(fds, n);
		cut_off = cut_off || !is_connected();
		if (watch_ns() >= glance) {
			n = look(fds, n);
			glance = watch_ns() + 100000000;
		}
		usleep(200);
	}
	if (!cut_off)
		noticed("RLIMIT_NOFILE leaves a descriptor for the connection");
	while (n > 0)
		close(fds[--n]);
	(void)setrlimit(RLIMIT_NOFILE, &before);
	end_second(second);
}

/* ---- Threads ----------------------------------------------------------- */

static void *
nothing(void *arg)
{
	return arg;
}

void
act_threads(double seconds)
{
	struct rlimit before;
	dynm_counter counter;
	dynm_runtime *second;
	pthread_t thread;

	if (!set_limit(RLIMIT_NPROC, 0, &before))
		noticed("RLIMIT_NPROC: %s", strerror(errno));
	if (pthread_create(&thread, NULL, nothing, NULL) == 0) {
		noticed("RLIMIT_NPROC does not limit this user");
		pthread_join(thread, NULL);
	}
	second = second_runtime("threads", &counter);
	if (second && dynm_flush(second, 0) != DYNM_ESYS)
		noticed("dynm_flush() without a thread is not DYNM_ESYS");
	act_wait(seconds);
	(void)setrlimit(RLIMIT_NPROC, &before);
	end_second(second);
}

/* ---- Memory ------------------------------------------------------------ */

/* A child is picked, and made: counted where it was there. Returns how often it was. */
static unsigned
pick_some(const struct load *l, unsigned round)
{
	unsigned picked = 0;
	char name[32];
	const char *value = name;

	for (unsigned i = 0; i < 100; i++) {
		dynm_counter c;

		snprintf(name, sizeof(name), "memory %u", (round * 7 + i) % 500);
		c = dynm_counter_vec_with(l->acts, (dynm_strings){ 1, &value });
		dynm_counter_inc(c);
		picked += c.series_ != NULL;
	}
	return picked;
}

static void
ask_for_all(const struct load *l)
{
	dynm_options options = { .flush_ms = 10 };
	dynm_status status;
	dynm_runtime *rt;
	char *text = NULL;

	dynm_runtime_status(l->rt, &status);
	(void)dynm_runtime_error(l->rt, NULL);
	(void)dynm_flush(l->rt, 1);
	if (dynm_expose(l->scope, 20, &text) != DYNM_OK && text)
		noticed("dynm_expose() failed and gave a text");
	free(text);
	if (dynm_open(&rt, &options, NULL) == DYNM_OK)
		dynm_close(rt);
	else if (rt)
		noticed("dynm_open() failed and gave a runtime");
}

/* A new thread's values take memory: its updates are dropped, and counted as such. */
static void *
new_thread(void *arg)
{
	const struct load *l = arg;

	failing_malloc_spare(false);
	errno = 0;
	for (int i = 0; i < 10; i++)
		dynm_counter_inc(l->calls);
	if (errno != 0)
		noticed("an update without memory changed errno to %d", errno);
	failing_malloc_spare(true);
	return NULL;
}

void
act_memory(double seconds)
{
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9);
	const struct load *l = &loads[0];
	pthread_t thread;

	if (!failing_malloc) {
		noticed("failing_malloc.so is not loaded");
		return;
	}
	for (unsigned round = 0; watch_ns() < until; round++) {
		unsigned counted = 10, picked;

		failing_malloc_spare(true);
		failing_malloc(3, round);
		watch_glance();
		if (pthread_create(&thread, NULL, new_thread, (void *)(uintptr_t)l) == 0)
			pthread_join(thread, NULL);
		else
			counted = 0;
		failing_malloc_spare(false);
		picked = pick_some(l, round);
		ask_for_all(l);
		failing_malloc_spare(true);
		__atomic_fetch_add(&tally->extra, counted + picked, __ATOMIC_RELAXED);
	}
	failing_malloc(0, 0);
	(void)dynm_runtime_error(l->rt, NULL);
}
