/* SPDX-License-Identifier: Apache-2.0 */
#include "crowd.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_S	   0.005 /* how often one that waits looks for another order */
#define IDLE_TURNS 100	 /* such looks between two calls of idle() */

/* All processes have it. An order is a number and the rate that goes with it. */
struct shared {
	uint64_t order;
	double rate;
	uint64_t begun; /* how many have */
	struct member member[];
};

static struct shared *shared;
static pid_t *pids;

static uint64_t
load(const uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}

static void
store(uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}

static double
rate_now(void)
{
	double rate;

	__atomic_load(&shared->rate, &rate, __ATOMIC_SEQ_CST);
	return rate;
}

static void
sleep_s(double seconds)
{
	struct timespec t = { 0, (long)(seconds * 1e9) };

	nanosleep(&t, NULL);
}

/* ---- A member ---------------------------------------------------------- */

/* Wait until due_s, or for another order: false. */
static bool
wait_until(double due_s, uint64_t order)
{
	for (;;) {
		double left_s = due_s - figures_now_s();

		if (load(&shared->order) != order)
			return false;
		if (left_s <= 0)
			return true;
		sleep_s(left_s < LOOK_S ? left_s : LOOK_S);
	}
}

static void
go(const struct crowd *c, struct member *m, uint64_t order, double rate)
{
	double due_s = figures_now_s();

	if (rate > 0) /* not all at the same moment */
		due_s += (double)(m->number * 7919 % 1000) / 1000 / rate;
	while (wait_until(due_s, order)) {
		double began_s = figures_now_s(), now_s;

		c->turn(m);
		now_s = figures_now_s();
		figures_add(&m->latency, now_s - began_s);
		store(&m->done, m->done + 1);
		due_s = rate > 0 ? due_s + 1 / rate : now_s;
		if (due_s < now_s)
			due_s = now_s;
	}
}

static void
rest(const struct crowd *c, struct member *m, uint64_t order)
{
	if (c->rest)
		c->rest(m);
	store(&m->obeyed, order);
	for (int i = 1; load(&shared->order) == order; i++) {
		sleep_s(LOOK_S);
		if (c->idle && i % IDLE_TURNS == 0)
			c->idle(m);
	}
}

static void
be_member(const struct crowd *c, struct member *m)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	c->begin(m);
	__atomic_fetch_add(&shared->begun, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		uint64_t order = load(&shared->order);
		double rate = rate_now();

		if (rate != 0)
			go(c, m, order, rate);
		else
			rest(c, m, order);
	}
}

/* ---- The one who leads ------------------------------------------------- */

/* All of them should be there. */
static void
look(const struct crowd *c)
{
	int status;

	if (waitpid(-1, &status, WNOHANG) > 0)
		errx(1, "one of %d processes has ended with %#x", c->members, status);
}

static void
tell(const struct crowd *c)
{
	struct figures all = { { 0 } };
	uint64_t failed = 0;

	fputs("{\"done\":[", stdout);
	for (int i = 0; i < c->members; i++) {
		const struct member *m = &shared->member[i];

		printf("%s%ju", i > 0 ? "," : "", (uintmax_t)load(&m->done));
		failed += load(&m->failed);
		figures_join(&all, &m->latency);
	}
	printf("],\"failed\":%ju,\"latency\":", (uintmax_t)failed);
	figures_print(&all, stdout);
	puts("}");
	fflush(stdout);
}

static void
set_rate(double rate)
{
	__atomic_store(&shared->rate, &rate, __ATOMIC_SEQ_CST);
	store(&shared->order, shared->order + 1);
}

static void
settle(const struct crowd *c)
{
	set_rate(0);
	for (int i = 0; i < c->members; i++)
		while (load(&shared->member[i].obeyed) != shared->order) {
			look(c);
			sleep_s(LOOK_S);
		}
}

static void
obey(const struct crowd *c, const char *line)
{
	look(c);
	if (strncmp(line, "rate ", 5) == 0) {
		set_rate(atof(line + 5));
		return;
	}
	if (strcmp(line, "settle\n") == 0)
		settle(c);
	tell(c);
}

static void
start(const struct crowd *c)
{
	for (int i = 0; i < c->members; i++) {
		struct member *m = &shared->member[i];

		m->number = c->first + i;
		pids[i] = fork();
		if (pids[i] < 0)
			err(1, "fork");
		if (pids[i] == 0)
			be_member(c, m);
	}
	while (load(&shared->begun) < (uint64_t)c->members) {
		look(c);
		sleep_s(LOOK_S);
	}
	tell(c);
}

int
crowd_run(const struct crowd *c)
{
	size_t bytes = sizeof(*shared) + (size_t)c->members * sizeof(struct member);
	char line[80];

	shared =
	    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pids = calloc((size_t)c->members, sizeof(*pids));
	if (shared == MAP_FAILED || pids == NULL)
		err(1, "memory");
	start(c);
	while (fgets(line, sizeof(line), stdin))
		obey(c, line);
	for (int i = 0; i < c->members; i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	return 0;
}
