/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worlds from seeds, each a few thousand events long.
 *
 *	check_simulation		a few worlds for each kind of fault, and for all
 *	check_simulation SEED SECONDS	one after another from that seed on, and a line
 *					of figures now and then (make simulate)
 *
 * When a rule is broken: the shortest world found that breaks one, with its last events.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim.h"
#include "suite.h"

#define STEPS	3000
#define SHORTER 200 /* worlds tried for each kind of fault that is left out */

/* ---- Worlds --------------------------------------------------------------- */

struct world {
	uint64_t seed;
	unsigned faults;
	uint64_t steps;
};

/* Where it failed; 0: it did not. */
static uint64_t
play(const struct world *w, struct sim_figures *figures, bool tell)
{
	struct sim *s = sim_new(w->seed, w->faults, 0);
	bool ok = sim_run(s, w->steps);
	uint64_t failed_at = ok ? 0 : s->figures.steps + 1;

	sim_tally(s->daemon);
	if (figures)
		sim_add_figures(figures, &s->figures);
	if (tell)
		sim_print(s, w->seed);
	sim_free(s);
	return failed_at;
}

/* A shorter world that fails, with one kind of fault less. */
static bool
shorten_by(struct world *w, unsigned fault)
{
	for (uint64_t seed = 1; seed <= SHORTER; seed++) {
		struct world x = { seed, w->faults & ~fault, w->steps };
		uint64_t failed_at = play(&x, NULL, false);

		if (failed_at == 0)
			continue;
		x.steps = failed_at < x.steps ? failed_at : x.steps;
		*w = x;
		return true;
	}
	return false;
}

static void
tell_shortest(struct world w)
{
	for (unsigned bit = 0; bit < SIM_FAULTS; bit++)
		if (w.faults & 1U << bit)
			shorten_by(&w, 1U << bit);
	for (int again = 0; again < 5 && shorten_by(&w, 0); again++)
		;
	play(&w, NULL, true);
}

/* ---- Tests ---------------------------------------------------------------- */

/* Faults that did not come prove nothing. */
static void
must_have_happened(unsigned faults, const struct sim_figures *f)
{
	const struct {
		unsigned fault;
		const char *what;
		uint64_t times;
	} happened[] = {
		{ SIM_KILL_WORKER, "workers killed", f->worker_kills },
		{ SIM_FORK, "forks", f->forks },
		{ SIM_LEASE, "folds", f->folds },
		{ SIM_LOSE, "requests sent again", f->resends },
		{ SIM_KILL_DAEMON, "daemons killed", f->kills },
		{ SIM_SNAPSHOT, "snapshots", f->snapshots },
		{ SIM_DISK, "disks that failed", f->degraded },
		{ SIM_LOSS, "states lost", f->losses },
		{ SIM_CRASH, "crashes", f->crashes },
		{ faults, "counts", f->counted },
		{ faults, "pages", f->pages },
		{ faults, "settlings", f->settled },
	};

	for (size_t i = 0; i < sizeof(happened) / sizeof(happened[0]); i++)
		if ((faults & happened[i].fault) == happened[i].fault)
			ck_assert_msg(happened[i].times > 0, "no %s", happened[i].what);
}

static void
must_hold(unsigned faults, uint64_t worlds)
{
	struct sim_figures figures = { 0 };

	for (uint64_t seed = 1; seed <= worlds; seed++) {
		struct world w = { seed, faults, STEPS };

		if (play(&w, &figures, false)) {
			tell_shortest(w);
			ck_abort_msg("a rule was broken in the world above");
		}
	}
	must_have_happened(faults, &figures);
}

START_TEST(nothing_is_lost_or_doubled_when_all_is_well)
{
	must_hold(0, 20);
}
END_TEST

START_TEST(nothing_is_lost_or_doubled_by_one_kind_of_fault)
{
	must_hold(1U << _i, 10);
}
END_TEST

START_TEST(nothing_is_lost_or_doubled_when_workers_connections_and_leases_end)
{
	must_hold(SIM_LOSSLESS & ~(unsigned)SIM_KILL_DAEMON, 60);
}
END_TEST

START_TEST(nothing_is_lost_or_doubled_when_the_daemon_is_killed_too)
{
	must_hold(SIM_LOSSLESS, 100);
}
END_TEST

START_TEST(nothing_is_doubled_when_disks_fail)
{
	must_hold(SIM_LOSSLESS | SIM_DISK, 100);
}
END_TEST

START_TEST(nothing_is_doubled_when_disks_fail_and_states_are_lost)
{
	must_hold(SIM_ALL, 100);
}
END_TEST

/* ---- A long run ----------------------------------------------------------- */

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void
tell_figures(const struct sim_figures *f, uint64_t seed, double passed_s)
{
	printf("%6.0f s  seed %" PRIu64 "  %.1f million steps  kills %" PRIu64
	       " stops %" PRIu64 " workers' %" PRIu64 " forks %" PRIu64 " folds %" PRIu64
	       " expired %" PRIu64 " refused %" PRIu64 " resent %" PRIu64,
	    passed_s, seed, (double)f->steps / 1e6, f->kills, f->stops, f->worker_kills,
	    f->forks, f->folds, f->answers[MESSAGE_EXPIRED & 0xf], f->refused,
	    f->resends);
	printf(" snapshots %" PRIu64 " degraded %" PRIu64 " losses %" PRIu64
	       " crashes %" PRIu64 " settled %" PRIu64 " counted %" PRIu64
	       " missed %" PRIu64 " lost %.9g doubled %.9g\n",
	    f->snapshots, f->degraded, f->losses, f->crashes, f->settled, f->counted,
	    f->missed, f->lost, f->doubled);
	fflush(stdout);
}

/* The kinds of faults take turns. */
static unsigned
faults_of(uint64_t seed)
{
	unsigned left_out = 1U << seed / 5 % SIM_FAULTS;

	switch (seed % 5) {
	case 0:
		return SIM_LOSSLESS;
	case 1:
		return SIM_LOSSLESS & ~(unsigned)SIM_EVICT;
	case 2:
		return SIM_LOSSLESS | SIM_DISK;
	case 3:
		return (SIM_LOSSLESS | SIM_DISK) & ~left_out;
	}
	return SIM_ALL & ~left_out;
}

static int
run_long(uint64_t seed, double for_s)
{
	struct sim_figures figures = { 0 };
	double began_s = seconds(), told_s = began_s, now_s;

	for (;; seed++) {
		struct world w = { seed, faults_of(seed), STEPS };

		if (play(&w, &figures, false)) {
			play(&w, NULL, true);
			tell_shortest(w);
			tell_figures(&figures, seed, seconds() - began_s);
			return EXIT_FAILURE;
		}
		now_s = seconds();
		if (now_s - began_s >= for_s)
			break;
		if (now_s - told_s < 10)
			continue;
		tell_figures(&figures, seed, now_s - began_s);
		told_s = now_s;
	}
	tell_figures(&figures, seed, seconds() - began_s);
	return EXIT_SUCCESS;
}

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("simulation");
	TCase *c = tcase_create("worlds");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, nothing_is_lost_or_doubled_when_all_is_well);
	tcase_add_loop_test(
	    c, nothing_is_lost_or_doubled_by_one_kind_of_fault, 0, SIM_FAULTS);
	tcase_add_test(
	    c, nothing_is_lost_or_doubled_when_workers_connections_and_leases_end);
	tcase_add_test(c, nothing_is_lost_or_doubled_when_the_daemon_is_killed_too);
	tcase_add_test(c, nothing_is_doubled_when_disks_fail);
	tcase_add_test(c, nothing_is_doubled_when_disks_fail_and_states_are_lost);
	suite_add_tcase(suite, c);
	return suite;
}

int
main(int argc, char **argv)
{
	if (argc == 3)
		return run_long(strtoull(argv[1], NULL, 10), strtod(argv[2], NULL));
	return suite_run(make_suite());
}
