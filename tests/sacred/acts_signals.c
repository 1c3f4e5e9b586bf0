/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals of the application's own; and much to send.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "acts.h"
#include "load.h"
#include "watch.h"

#define MANY	30000
#define WAIT_MS 20000

static const struct {
	int number;
	int flags;
} handled[] = { { SIGUSR1, SA_RESTART }, { SIGUSR2, 0 }, { SIGALRM, 0 },
	{ SIGHUP, SA_RESTART } };
#define HANDLED (sizeof(handled) / sizeof(handled[0]))

static bool elsewhere; /* atomic */
static unsigned taken; /* atomic */

static void
on_signal(int number)
{
	(void)number;
	if (watch_is_foreign())
		__atomic_store_n(&elsewhere, true, __ATOMIC_RELAXED);
	__atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
}

/* Threads that sit in a system call and know that it may be interrupted. */
static void *
target_main(void *arg)
{
	struct act_threads *t = arg;

	watch_thread("target");
	while (act_goes_on(t)) {
		if (usleep(500) != 0 && errno != EINTR)
			noticed("usleep: %s", strerror(errno));
		load_extra("signals", 1);
	}
	return NULL;
}

static void
send_all(const struct act_threads *t, unsigned i)
{
	int number = handled[i % HANDLED].number;

	(void)kill(getpid(), number);
	for (unsigned k = 0; k < t->n; k++)
		(void)pthread_kill(t->thread[k], number);
	(void)pthread_kill(pthread_self(), number);
}

void
act_signals(double seconds)
{
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9);
	struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { 0 };
	struct sigaction before[HANDLED], ours = { .sa_handler = on_signal };
	struct act_threads t = { 0 };

	watch_allow_signals(true);
	for (unsigned i = 0; i < HANDLED; i++) {
		ours.sa_flags = handled[i].flags;
		(void)sigaction(handled[i].number, &ours, &before[i]);
	}
	act_start(&t, target_main);
	act_start(&t, target_main);
	(void)setitimer(ITIMER_REAL, &often, NULL);
	for (unsigned i = 0; watch_ns() < until; i++) {
		send_all(&t, i);
		if (i % 64 == 0 && load_flush(0, WAIT_MS) != DYNM_OK)
			noticed("a flush under signals failed");
	}
	(void)setitimer(ITIMER_REAL, &never, NULL);
	act_join(&t);
	while (usleep(10000) != 0) /* what is still under way */
		;
	for (unsigned i = 0; i < HANDLED; i++)
		(void)sigaction(handled[i].number, &before[i], NULL);
	watch_allow_signals(false);
	if (__atomic_load_n(&elsewhere, __ATOMIC_RELAXED))
		noticed("a handler ran in a thread of the library");
	if (__atomic_load_n(&taken, __ATOMIC_RELAXED) == 0)
		noticed("no signal came");
}

void
act_many(double seconds)
{
	int64_t until = watch_ns() + (int64_t)(seconds * 1e9);
	static dynm_counter many[MANY];
	char name[32];
	const char *value = name;

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many %u", i);
		many[i] =
		    dynm_counter_vec_with(loads[0].acts, (dynm_strings){ 1, &value });
	}
	do {
		__atomic_fetch_add(&tally->extra, MANY, __ATOMIC_RELAXED);
		for (unsigned i = 0; i < MANY; i++)
			dynm_counter_inc(many[i]);
		act_wait(0.05);
	} while (watch_ns() < until);
}
