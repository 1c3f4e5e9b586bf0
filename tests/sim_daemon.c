/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sim.h"
#include "sim_inside.h"

#define UNIX_MS	      1700000000000U /* what the calendar shows when the world begins */
#define JOURNAL_BYTES 8192

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static uint64_t
unix_ms(void *arg)
{
	const struct sim_daemon *d = arg;

	return UNIX_MS + d->sim->calendar_ms;
}

uint64_t
sim_daemon_ms(const struct sim_daemon *d)
{
	return (uint64_t)((int64_t)d->sim->mono_ms + d->offset_ms);
}

/* ---- Life ---------------------------------------------------------------- */

static void
make(struct sim_daemon *d)
{
	struct apply_options o = { .epoch = ++d->epoch,
		.lease_ms = SIM_LEASE_MS,
		.grace_ms = SIM_GRACE_MS,
		.message_bytes = 1 << 20,
		.json_bytes = 65536,
		.folded_memory = d->folded_memory,
		.dedupe_ms = 600000,
		.dedupe_keys = 1000,
		.version = "0.1.0",
		.unix_ms = unix_ms,
		.refresh_arg = d };
	struct persist_options p = { .state_path = "state",
		.hold_ms = 5000,
		.runtime_path = "runtime",
		.journal = d->journalled,
		.fsync = PERSIST_FSYNC_SNAPSHOT,
		.journal_bytes = JOURNAL_BYTES,
		.snapshot_ms = SIM_SNAPSHOT_MS,
		.unix_ms = unix_ms,
		.arg = d };

	d->registry = must(registry_new(&REGISTRY_DEFAULT_LIMITS, NULL));
	d->self = must(self_metrics_new());
	o.journal = d->journal = d->journalled ? must(journal_new()) : NULL;
	d->apply = must(apply_new(&o, d->registry, d->self, NULL));
	d->persist = must(
	    persist_new(&p, &d->sim->disk->ops, d->apply, d->journal, d->self, NULL));
}

void
sim_tally(struct sim_daemon *d)
{
	struct sim_figures *f = &d->sim->figures;

	if (!d->up)
		return;
	f->folds += (uint64_t)*self_cells(d->self, SELF_SESSIONS_FOLDED, 0);
	f->resends += (uint64_t)*self_cells(d->self, SELF_RESENT, 0);
}

static void
unmake(struct sim_daemon *d)
{
	sim_tally(d);
	d->sim->disk->dead = true; /* what is released here writes nothing */
	persist_free(d->persist);
	apply_free(d->apply);
	self_metrics_free(d->self);
	registry_free(d->registry);
	journal_free(d->journal);
	strbuf_reset(&d->reply);
	sim_disk_process(d->sim->disk);
	d->up = false;
	d->dirty = false;
}

struct sim_daemon *
sim_daemon_new(struct sim *s, uint32_t folded_memory)
{
	struct sim_daemon *d = must(calloc(1, sizeof(*d)));

	d->sim = s;
	d->folded_memory = folded_memory;
	d->boot = 1;
	d->journalled = true;
	return d;
}

void
sim_daemon_free(struct sim_daemon *d)
{
	if (d->up)
		sim_daemon_kill(d);
	strbuf_free(&d->reply);
	free(d);
}

/* What it finds out about a process of the last run. */
static enum apply_life
life(void *arg, pid_t pid, uint64_t start)
{
	const struct sim_daemon *d = arg;

	(void)pid;
	if (start % 3 == 0)
		return APPLY_LIFE_UNKNOWN;
	for (int i = 0; i < SIM_WORKERS; i++)
		if (d->sim->worker[i].alive && d->sim->worker[i].process == start)
			return APPLY_LIFE_SAME;
	return APPLY_LIFE_GONE;
}

static bool
recover(struct sim_daemon *d)
{
	struct sim *s = d->sim;
	struct persist_now now = { .pid_namespace = 1,
		.monotonic_ms = s->mono_ms,
		.unix_ms = unix_ms(d),
		.store = sim_random(s) | 1,
		.life = life,
		.life_arg = d };
	char error[PERSIST_ERROR_TEXT];

	wire_store_u64(now.boot, d->boot);
	for (int i = 0; i < 2; i++)
		wire_store_u64(now.secret + 8 * i, sim_random(s));
	return persist_recover(d->persist, &now, &d->offset_ms, error) == 0 ||
	       sim_fail(s, "no start: %s", error);
}

static void
note_degraded(struct sim_daemon *d)
{
	struct persist_figures f;

	persist_figures(d->persist, sim_daemon_ms(d), &f);
	if (f.degraded && !d->degraded)
		d->sim->figures.degraded++;
	d->degraded = f.degraded;
}

bool
sim_daemon_start(struct sim_daemon *d)
{
	struct sim *s = d->sim;
	uint64_t store;

	make(d);
	if (!recover(d))
		return false;
	if (s->disk->dead) {
		unmake(d);
		return true;
	}
	store = sim_store(d->apply);
	if (d->store && d->store != store && !s->loose)
		return sim_fail(s, "the store is another one after a restart");
	if (d->store != store)
		sim_truth_lost(s);
	d->store = store;
	d->up = true;
	d->dirty = true;
	note_degraded(d);
	return sim_check(s);
}

/*
 * What its end loses is what nobody was told of; unless the disk had
 * failed, or there is no journal. Then numbers
 * of sessions and requests that were given are given again, and nothing that was said
 * before may come again over a connection of the next run: no library does that.
 */
static void
end(struct sim_daemon *d)
{
	struct sim *s = d->sim;
	bool lossy = d->degraded || !d->journalled;

	for (struct sim_conn *c = s->conns; c; c = c->next) {
		sim_clear(&c->held);
		if (c->served)
			sim_cut(s, c);
	}
	unmake(d);
	s->loose |= lossy;
	s->failed_once |= lossy;
	for (int i = 0; lossy && i < SIM_WORKERS; i++) {
		sim_forget(&s->worker[i]);
		s->worker[i].left = true; /* one that has ended may be there again */
	}
	sim_unseen(s);
}

void
sim_daemon_kill(struct sim_daemon *d)
{
	d->sim->figures.kills++;
	end(d);
}

void
sim_daemon_stop(struct sim_daemon *d)
{
	sim_turn(d);
	if (!d->up)
		return;
	persist_stop(d->persist, sim_daemon_ms(d));
	d->sim->figures.stops++;
	end(d);
}

bool
sim_daemon_lose(struct sim_daemon *d)
{
	struct sim *s = d->sim;

	if (d->up)
		sim_daemon_kill(d);
	for (int i = 0; i < DISK_PLACES; i++)
		sim_disk_wipe(s->disk, (enum disk_place)i);
	d->store = 0;
	s->figures.losses++;
	return sim_daemon_start(d);
}

void
sim_crash(struct sim *s)
{
	struct sim_daemon *d = s->daemon;

	if (d->up)
		end(d);
	for (int i = 0; i < SIM_WORKERS; i++)
		if (s->worker[i].alive)
			sim_kill_worker(&s->worker[i]);
	sim_disk_crash(s->disk);
	d->boot++;
	s->mono_ms = 1000; /* the clock that starts with the machine */
	s->loose = s->failed_once = true;
	s->figures.crashes++;
	sim_unseen(s);
}

/* ---- Turns --------------------------------------------------------------- */

bool
sim_serve(struct sim_daemon *d, struct sim_conn *c)
{
	struct sim *s = d->sim;
	struct sim_packet *p = d->up && c->served ? sim_take(&c->requests) : NULL;

	if (p == NULL)
		return false;
	d->dirty = true;
	strbuf_reset(&d->reply);
	apply_request(d->apply, &c->peer, p->data, p->bytes, sim_daemon_ms(d), &d->reply);
	if (c->open && d->reply.bytes)
		sim_put(&c->held, p->id, d->reply.at, d->reply.bytes);
	free(p);
	sim_check(s);
	return true;
}

void
sim_serve_end(struct sim_daemon *d, struct sim_conn *c, bool certainly)
{
	while (sim_serve(d, c))
		;
	if (!d->up || !c->served)
		return;
	apply_disconnect(d->apply, &c->peer, certainly, sim_daemon_ms(d));
	c->served = false;
	d->dirty = true;
	sim_check(d->sim);
}

static void
release(struct sim *s)
{
	for (struct sim_conn *c = s->conns; c; c = c->next) {
		struct sim_packet *p;

		while ((p = sim_take(&c->held)) != NULL) {
			if (c->open)
				sim_put(&c->replies, p->id, p->data, p->bytes)->store =
				    s->daemon->store;
			free(p);
		}
	}
}

bool
sim_turn(struct sim_daemon *d)
{
	if (!d->up)
		return false;
	apply_tick(d->apply, sim_daemon_ms(d));
	sim_check(d->sim);
	persist_turn(d->persist, sim_daemon_ms(d));
	if (d->sim->disk->dead) {
		sim_daemon_kill(d);
		return true;
	}
	note_degraded(d);
	release(d->sim);
	sim_seen(d->sim);
	d->dirty = false;
	return true;
}

bool
sim_pass(struct sim_daemon *d, uint64_t ms)
{
	d->sim->mono_ms += ms;
	d->sim->calendar_ms += ms;
	if (!d->up)
		return true;
	d->dirty = true;
	apply_tick(d->apply, sim_daemon_ms(d));
	return sim_check(d->sim);
}
