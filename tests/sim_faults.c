/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong in a world. */
#include <stdlib.h>

#include "sim.h"

static bool
ev_again(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);
	struct sim_conn *c = sim_some_conn(s);
	const struct sim_packet *p;

	if (w == NULL || c == NULL || !w->n_history || !s->daemon->up)
		return false;
	p = w->history[sim_below(s, SIM_HISTORY)];
	if (p == NULL)
		return false;
	if (c->process != w->process || !c->served) {
		c = sim_connect(s, w->process);
		c->open = sim_chance(s, 4) != 0;
	}
	sim_put(&c->requests, p->id, p->data, p->bytes);
	if (sim_chance(s, 4) && c != w->conn)
		c->open = false;
	sim_note(s, "comes again", w->process, c->peer.connection);
	return true;
}

static bool
ev_lose_request(struct sim *s)
{
	struct sim_conn *c = sim_some_conn(s);
	struct sim_packet *p = c ? sim_take(&c->requests) : NULL;

	if (p == NULL)
		return false;
	sim_note(s, "request is lost", c->process, c->peer.connection);
	free(p);
	return true;
}

static bool
ev_lose_reply(struct sim *s)
{
	struct sim_conn *c = sim_some_conn(s);
	struct sim_packet *p = c ? sim_take(&c->replies) : NULL;

	if (p == NULL)
		return false;
	sim_note(s, "reply is lost", c->process, c->peer.connection);
	free(p);
	return true;
}

static bool
ev_give_up(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);

	if (w == NULL || w->conn == NULL)
		return false;
	sim_note(s, "gives up", w->process, w->conn->peer.connection);
	sim_give_up(w);
	return true;
}

static bool
ev_cut(struct sim *s)
{
	struct sim_conn *c = sim_some_conn(s);

	if (c == NULL || !c->served || !s->daemon->up)
		return false;
	sim_note(s, "connection is cut", c->process, c->peer.connection);
	s->daemon->dirty = true;
	sim_cut(s, c);
	return true;
}

static bool
ev_kill_worker(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);

	if (w == NULL || s->processes + 2 >= SIM_PROCESSES)
		return false;
	s->figures.worker_kills++;
	sim_note(s, "is killed", w->process, 0);
	if (sim_chance(s, 4))
		w->conn = NULL; /* a clone of it holds the connection */
	sim_kill_worker(w);
	return true;
}

/* The daemon sees that a process is gone whose connection is open. */
static bool
ev_gone(struct sim *s)
{
	struct sim_conn *c = sim_some_conn(s);

	if (c == NULL || !c->open || !c->served || !s->daemon->up || !c->process ||
	    sim_lives(s, c->process))
		return false;
	sim_note(s, "is seen to be gone", c->process, c->peer.connection);
	sim_serve_end(s->daemon, c, true);
	c->open = false;
	return true;
}

static bool
ev_bye(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);

	if (w == NULL || w->wants_bye || s->processes + 2 >= SIM_PROCESSES)
		return false;
	w->wants_bye = true;
	sim_note(s, "wants to end", w->process, 0);
	return true;
}

static bool
ev_fork(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s), *child = sim_free_worker(s);

	if (w == NULL || child == NULL || s->processes + 2 >= SIM_PROCESSES)
		return false;
	sim_fork(w, child);
	s->figures.forks++;
	sim_note(s, "forks", w->process, child->process);
	return true;
}

static bool
ev_lease(struct sim *s)
{
	static const unsigned ms[] = { SIM_GRACE_MS, SIM_LEASE_MS / 3, SIM_LEASE_MS / 2,
		SIM_LEASE_MS };
	unsigned most = s->faults & SIM_LEASE ? 4 : 2;

	sim_note(s, "much time passes", 0, 0);
	return sim_pass(s->daemon, ms[sim_below(s, most)]);
}

static bool
ev_mistaken(struct sim *s)
{
	struct sim_conn *c = sim_some_conn(s);

	if (c == NULL || !c->served || !s->daemon->up || !c->process)
		return false;
	sim_note(s, "is taken for dead", c->process, c->peer.connection);
	sim_serve_end(s->daemon, c, true);
	return true;
}

static bool
ev_loss(struct sim *s)
{
	sim_note(s, "the state is lost", 0, 0);
	sim_daemon_lose(s->daemon);
	return true;
}

static bool
ev_kill(struct sim *s)
{
	if (!s->daemon->up)
		return false;
	sim_note(s, "the daemon is killed", s->daemon->dirty, s->daemon->degraded);
	sim_daemon_kill(s->daemon);
	return true;
}

/* In the midst of what it does with its files. */
static bool
ev_fuse(struct sim *s)
{
	if (!s->daemon->up || s->disk->fuse)
		return false;
	s->disk->fuse = 1 + sim_below(s, 12);
	sim_note(s, "the daemon will be killed", s->disk->fuse, 0);
	return true;
}

static bool
ev_stop(struct sim *s)
{
	if (!s->daemon->up)
		return false;
	sim_note(s, "the daemon is stopped", s->daemon->dirty, s->daemon->degraded);
	sim_daemon_stop(s->daemon);
	return true;
}

static bool
ev_disk(struct sim *s)
{
	unsigned place = sim_below(s, DISK_PLACES);

	s->disk->failing[place] = !s->disk->failing[place];
	sim_note(s, "writes fail", place, s->disk->failing[place]);
	return true;
}

static bool
ev_crash(struct sim *s)
{
	sim_note(s, "the machine goes down", 0, 0);
	sim_crash(s);
	return true;
}

const struct sim_choice sim_fault_events[] = {
	{ ev_again, 20, SIM_LATE },
	{ ev_lose_request, 4, SIM_LOSE },
	{ ev_lose_reply, 6, SIM_LOSE },
	{ ev_give_up, 6, SIM_LOSE },
	{ ev_cut, 4, SIM_LOSE },
	{ ev_kill_worker, 1, SIM_KILL_WORKER },
	{ ev_gone, 10, SIM_KILL_WORKER },
	{ ev_bye, 1, SIM_KILL_WORKER },
	{ ev_fork, 2, SIM_FORK },
	{ ev_lease, 4, SIM_LEASE },
	{ ev_mistaken, 2, SIM_EVICT },
	{ ev_kill, 3, SIM_KILL_DAEMON },
	{ ev_fuse, 3, SIM_KILL_DAEMON },
	{ ev_stop, 1, SIM_KILL_DAEMON },
	{ ev_disk, 2, SIM_DISK },
	{ ev_loss, 1, SIM_LOSS },
	{ ev_crash, 1, SIM_CRASH },
	{ NULL, 0, 0 },
};
