/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler: one event after another, chosen from the seed. */
#include <stdlib.h>

#include "sim.h"

#define PAGE_TURNS 32 /* in one of so many the whole page is looked at */

/* ---- Choosing ------------------------------------------------------------ */

struct sim_worker *
sim_some_worker(struct sim *s)
{
	struct sim_worker *w = &s->worker[sim_below(s, SIM_WORKERS)];

	return w->alive ? w : NULL;
}

struct sim_worker *
sim_free_worker(struct sim *s)
{
	for (int i = 0; i < SIM_WORKERS; i++)
		if (!s->worker[i].alive)
			return &s->worker[i];
	return NULL;
}

struct sim_conn *
sim_some_conn(struct sim *s)
{
	struct sim_conn *c = s->conns;

	if (c == NULL)
		return NULL;
	for (unsigned n = sim_below(s, s->n_conns); n > 0; n--)
		c = c->next;
	return c;
}

bool
sim_lives(const struct sim *s, uint32_t process)
{
	for (int i = 0; i < SIM_WORKERS; i++)
		if (s->worker[i].alive && s->worker[i].process == process)
			return true;
	return false;
}

/* ---- Events: false when there is nothing to do ---------------------------- */

static bool
ev_count(struct sim *s)
{
	static const double observed[] = { 0.05, 0.1, 0.7, 5 };
	struct sim_worker *w = sim_some_worker(s);

	if (w == NULL)
		return false;
	switch (sim_below(s, 6)) {
	case 0:
		sim_count(w, SIM_WHOLE, 1 + sim_below(s, 3));
		break;
	case 1:
		sim_count(w, SIM_FRACTION, 0.1);
		break;
	case 2:
		sim_count(w, SIM_HISTOGRAM, observed[sim_below(s, 4)]);
		break;
	case 3:
		sim_count(w, SIM_SHARED, 1000);
		break;
	case 4:
		sim_count(w, SIM_OWN_A, 1);
		break;
	case 5:
		sim_count(w, SIM_OWN_B, 1000000);
		break;
	}
	sim_note(s, "counts", w->process, 0);
	return true;
}

static bool
ev_set(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);

	if (w == NULL)
		return false;
	sim_set(w, sim_chance(s, 2) ? SIM_LEVEL : SIM_LATEST, sim_below(s, 4));
	sim_note(s, "sets", w->process, 0);
	return true;
}

static bool
ev_define(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);
	unsigned m = SIM_SHARED + sim_below(s, 3);

	if (w == NULL || w->child[m][0].state != SIM_NONE)
		return false;
	sim_define(w, m);
	sim_note(s, "defines", w->process, m);
	return true;
}

static bool
ev_remove(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);
	unsigned m = SIM_SHARED + sim_below(s, 3);

	if (w == NULL || w->child[m][0].state == SIM_NONE ||
	    w->child[m][1].state != SIM_NONE)
		return false;
	sim_remove(w, m);
	sim_note(s, "removes", w->process, m);
	return true;
}

static bool
ev_flush(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);

	if (w == NULL)
		return false;
	if (w->conn == NULL) {
		if (!s->daemon->up)
			return false;
		sim_hello(w);
		sim_note(s, "says HELLO", w->process, w->session->has_ticket);
		return true;
	}
	w->offer_from = sim_below(s, SIM_METRICS);
	w->offer_most = sim_chance(s, 2) ? SIM_METRICS : 1 + sim_below(s, 3);
	if (!sim_flush(w, sim_chance(s, 8)))
		return false;
	sim_note(s, "sends", w->process, w->session->flight_n);
	return true;
}

static bool
ev_serve(struct sim *s)
{
	struct sim_conn *c = sim_some_conn(s);

	if (c == NULL)
		return false;
	if (!c->open && c->served && c->requests.n == 0 && s->daemon->up) {
		bool gone = !sim_lives(s, c->process);

		if (sim_chance(s, 4))
			gone = false; /* its process is not visible */
		sim_note(s, "reads the end of", c->process, gone);
		sim_serve_end(s->daemon, c, gone && c->process);
		return true;
	}
	if (!sim_serve(s->daemon, c))
		return false;
	sim_note(s, "reads from", c->process, c->peer.connection);
	return true;
}

static bool
ev_turn(struct sim *s)
{
	if (!s->daemon->dirty)
		return false;
	sim_note(s, "ends its turn", 0, 0);
	sim_turn(s->daemon);
	if (sim_chance(s, PAGE_TURNS))
		sim_check_page(s);
	return true;
}

static bool
ev_answer(struct sim *s)
{
	struct sim_worker *w = sim_some_worker(s);

	if (w == NULL || w->conn == NULL)
		return false;
	if (w->conn->replies.n == 0) {
		if (w->conn->served)
			return false;
		sim_note(s, "is cut off", w->process, 0);
		sim_give_up(w);
		return true;
	}
	sim_note(s, "gets a reply", w->process, w->conn->replies.first->data[5]);
	return sim_answer(w);
}

static bool
ev_json(struct sim *s)
{
	struct sim_sender *from = &s->sender[sim_below(s, SIM_SENDERS)];

	if (from->conn && from->conn->replies.n) {
		sim_note(s, "JSON is answered", (uint64_t)(from - s->sender), 0);
		return sim_json_answer(s, from);
	}
	if (from->amount > 0) {
		if (from->conn && from->conn->served && !sim_chance(s, 20))
			return false;
		if (!s->daemon->up)
			return false;
		sim_note(s, "JSON again", (uint64_t)(from - s->sender), 0);
		sim_json_again(s, from);
		return true;
	}
	if (s->settling || !s->daemon->up)
		return false;
	if (from->conn && !from->conn->served)
		sim_hang_up(s, from->conn);
	sim_note(s, "JSON is sent", (uint64_t)(from - s->sender), 0);
	sim_json_send(s, from, sim_chance(s, 2));
	return true;
}

static bool
ev_time(struct sim *s)
{
	sim_note(s, "time passes", 0, 0);
	return sim_pass(s->daemon, 1 + sim_below(s, 200));
}

static bool
ev_start_worker(struct sim *s)
{
	struct sim_worker *w = sim_free_worker(s);

	if (w == NULL || !sim_worker_start(s, w))
		return false;
	sim_note(s, "starts", w->process, 0);
	return true;
}

static bool
ev_start(struct sim *s)
{
	if (s->daemon->up)
		return false;
	if ((s->faults & SIM_KILL_DAEMON) && sim_chance(s, 4))
		s->disk->fuse = 1 + sim_below(s, 12);
	sim_note(s, "the daemon starts", s->disk->fuse, 0);
	sim_daemon_start(s->daemon);
	return true;
}

static bool
ev_child(struct sim *s)
{
	bool well = !(s->faults & SIM_SNAPSHOT) || !sim_chance(s, 4);

	if (!sim_disk_child(s->disk, well))
		return false;
	s->figures.snapshots++;
	s->daemon->dirty |= s->daemon->up;
	sim_note(s, "a child goes on", well, 0);
	return true;
}

/* ---- One step ------------------------------------------------------------- */

static const struct sim_choice events[] = {
	{ ev_count, 60, 0 },
	{ ev_set, 10, 0 },
	{ ev_define, 8, SIM_REMOVE },
	{ ev_remove, 4, SIM_REMOVE },
	{ ev_flush, 90, 0 },
	{ ev_serve, 120, 0 },
	{ ev_turn, 90, 0 },
	{ ev_answer, 120, 0 },
	{ ev_json, 20, SIM_JSON },
	{ ev_time, 10, 0 },
	{ ev_start_worker, 4, 0 },
	{ ev_start, 40, 0 },
	{ ev_child, 20, 0 },
	{ NULL, 0, 0 },
};

static unsigned
weight_of(const struct sim *s, const struct sim_choice *c)
{
	return c->fault == 0 || (s->faults & c->fault) ? c->weight : 0;
}

static unsigned
weight_of_all(const struct sim *s, const struct sim_choice *c)
{
	unsigned all = 0;

	for (; c->fn; c++)
		all += weight_of(s, c);
	return all;
}

static bool
choose(struct sim *s, unsigned of_events, unsigned of_all)
{
	unsigned at = sim_below(s, of_all);
	const struct sim_choice *c = events;

	if (at >= of_events) {
		at -= of_events;
		c = sim_fault_events;
	}
	for (; at >= weight_of(s, c); c++)
		at -= weight_of(s, c);
	return c->fn(s);
}

bool
sim_step(struct sim *s)
{
	unsigned of_events = weight_of_all(s, events);
	unsigned of_all = of_events + weight_of_all(s, sim_fault_events);

	while (!choose(s, of_events, of_all))
		;
	sim_sweep(s);
	s->step++;
	s->figures.steps++;
	return sim_check(s);
}
