/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SETTLE_ROUNDS 2000
#define SETTLE_STEPS  1000

/* ---- Chance, and what is told -------------------------------------------- */

uint64_t
sim_random(struct sim *s)
{
	uint64_t z = s->random += 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

void
sim_note(struct sim *s, const char *what, uint64_t a, uint64_t b)
{
	s->trace[s->traced++ % SIM_TRACE] = (struct sim_event){ what, s->step, a, b };
}

bool
sim_fail(struct sim *s, const char *format, ...)
{
	va_list args;

	if (s->failed[0])
		return false;
	va_start(args, format);
	vsnprintf(s->failed, sizeof(s->failed), format, args);
	va_end(args);
	return false;
}

static const char *const fault_words[SIM_FAULTS] = { "late", "lose", "kill-worker",
	"fork", "lease", "evict", "remove", "json", "kill-daemon", "snapshot", "disk",
	"loss", "crash" };

const char *
sim_fault_word(unsigned bit)
{
	return fault_words[bit];
}

void
sim_print(const struct sim *s, uint64_t seed)
{
	uint64_t from = s->traced > SIM_TRACE ? s->traced - SIM_TRACE : 0;

	for (uint64_t i = from; i < s->traced; i++) {
		const struct sim_event *e = &s->trace[i % SIM_TRACE];

		printf("%8llu  %s %llu %llu\n", (unsigned long long)e->step, e->what,
		    (unsigned long long)e->a, (unsigned long long)e->b);
	}
	printf("seed %llu, step %llu, faults", (unsigned long long)seed,
	    (unsigned long long)s->step);
	for (unsigned i = 0; i < SIM_FAULTS; i++)
		if (s->faults & 1U << i)
			printf(" %s", fault_words[i]);
	printf(": %s\n", s->failed);
}

/* ---- Settling ------------------------------------------------------------- */

static bool
is_settled(const struct sim *s)
{
	if (s->daemon->degraded)
		return false;
	for (int i = 0; i < SIM_WORKERS; i++)
		if (s->worker[i].alive &&
		    (!sim_is_quiet(&s->worker[i]) || s->worker[i].wants_bye))
			return false;
	for (int i = 0; i < SIM_SENDERS; i++)
		if (s->sender[i].amount > 0)
			return false;
	for (const struct sim_conn *c = s->conns; c; c = c->next)
		if (c->requests.n || (!c->open && c->served))
			return false;
	return true;
}

static void
settle_worker(struct sim *s, struct sim_worker *w)
{
	if (!w->alive)
		return;
	if (w->conn == NULL) {
		sim_hello(w);
	} else if (w->conn->replies.n) {
		sim_answer(w);
	} else if (!w->conn->served || (w->conn->requests.n == 0 && w->awaits)) {
		sim_give_up(w);
	} else {
		w->offer_most = SIM_METRICS;
		sim_flush(w, s->step % 4 == 0);
	}
}

static void
settle_conns(struct sim *s)
{
	for (struct sim_conn *c = s->conns; c; c = c->next) {
		bool of_worker = c->process == 0;

		for (int i = 0; i < SIM_WORKERS; i++)
			of_worker |= s->worker[i].alive && s->worker[i].conn == c;
		if (!of_worker)
			c->open = false;
		if (!c->open)
			sim_serve_end(s->daemon, c, false);
		else
			while (sim_serve(s->daemon, c))
				;
	}
}

static void
settle_round(struct sim *s)
{
	for (int i = 0; i < SIM_WORKERS; i++)
		settle_worker(s, &s->worker[i]);
	settle_conns(s);
	sim_turn(s->daemon);
	sim_sweep(s);
	for (int i = 0; i < SIM_SENDERS; i++)
		if (s->sender[i].conn && s->sender[i].conn->replies.n)
			sim_json_answer(s, &s->sender[i]);
		else if (s->sender[i].amount > 0)
			sim_json_again(s, &s->sender[i]);
	s->step++;
}

bool
sim_settle(struct sim *s)
{
	unsigned rounds = 0;
	uint64_t calm_ms;

	sim_note(s, "settles", 0, 0);
	s->settling = true;
	s->disk->fuse = 0;
	s->disk->failing[DISK_STATE] = s->disk->failing[DISK_RUNTIME] = false;
	if (!s->daemon->up)
		sim_daemon_start(s->daemon);
	calm_ms = s->mono_ms + 2 * SIM_GRACE_MS;
	do {
		settle_round(s);
		sim_disk_child(s->disk, true);
		sim_pass(s->daemon, 100);
		if (++rounds > SETTLE_ROUNDS)
			sim_fail(s, "does not settle");
	} while (!s->failed[0] && (!is_settled(s) || s->mono_ms < calm_ms));
	sim_check_settled(s);
	sim_note(s, "is settled", 0, 0);
	s->settling = false;
	return !s->failed[0];
}

/* ---- Worlds --------------------------------------------------------------- */

struct sim *
sim_new(uint64_t seed, unsigned faults, uint32_t folded)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (s == NULL)
		abort();
	s->random = seed * 0x2545f4914f6cdd1dU;
	s->faults = faults;
	s->mono_ms = 1000000;
	s->disk = sim_disk_new(&s->random);
	s->disk->waiting = seed % 4 != 0;
	if (folded == 0 && (faults & SIM_EVICT))
		folded = 1 + sim_below(s, 3);
	s->daemon = sim_daemon_new(s, folded);
	if ((faults & SIM_DISK) && sim_chance(s, 8))
		s->daemon->journalled = false;
	sim_daemon_start(s->daemon);
	return s;
}

void
sim_add_figures(struct sim_figures *to, const struct sim_figures *from)
{
	to->worlds++;
	to->steps += from->steps;
	to->settled += from->settled;
	to->pages += from->pages;
	to->kills += from->kills;
	to->stops += from->stops;
	to->worker_kills += from->worker_kills;
	to->forks += from->forks;
	to->losses += from->losses;
	to->crashes += from->crashes;
	to->degraded += from->degraded;
	to->snapshots += from->snapshots;
	to->folds += from->folds;
	to->resends += from->resends;
	to->missed += from->missed;
	to->refused += from->refused;
	for (int i = 0; i < 16; i++)
		to->answers[i] += from->answers[i];
	to->counted += from->counted;
	to->lost += from->lost;
	to->doubled += from->doubled;
}

void
sim_free(struct sim *s)
{
	sim_daemon_free(s->daemon);
	sim_free_conns(s);
	for (int i = 0; i < SIM_WORKERS; i++)
		sim_worker_free(&s->worker[i]);
	sim_disk_free(s->disk);
	free(s);
}

bool
sim_run(struct sim *s, uint64_t steps)
{
	for (uint64_t i = 1; i <= steps && sim_step(s); i++)
		if (i % SETTLE_STEPS == 0)
			sim_settle(s);
	return !s->failed[0] && sim_settle(s);
}
