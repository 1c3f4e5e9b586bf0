/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sim.h"

/* ---- Life ---------------------------------------------------------------- */

/* As fork() wipes it. */
static void
wipe(struct sim_worker *w)
{
	size_t all = session_map_bytes(SIM_WIRE_CELLS),
	       tail = (size_t)SIM_WIRE_CELLS * 17;

	if (w->map == NULL) {
		w->map = calloc(1, all);
		if (w->map == NULL)
			abort();
	} else {
		memset(w->map, 0, sizeof(struct session));
		memset((char *)w->map + all - tail, 0, tail);
	}
	w->session = session_init(w->map, SIM_WIRE_CELLS);
}

void
sim_forget(struct sim_worker *w)
{
	for (int i = 0; i < SIM_HISTORY; i++) {
		free(w->history[i]);
		w->history[i] = NULL;
	}
	w->n_history = 0;
}

static void
begin(struct sim *s, struct sim_worker *w)
{
	void *map = w->map;

	sim_forget(w);
	memset(w, 0, sizeof(*w));
	w->sim = s;
	w->map = map;
	w->process = ++s->processes;
	w->alive = true;
	w->offer_most = SIM_METRICS;
	sim_source_init(w);
	wipe(w);
	w->source.restart(w, false);
}

bool
sim_worker_start(struct sim *s, struct sim_worker *w)
{
	if (s->processes + 1 >= SIM_PROCESSES)
		return false;
	begin(s, w);
	for (unsigned m = 0; m < SIM_SHARED; m++)
		sim_define(w, m);
	return true;
}

void
sim_worker_free(struct sim_worker *w)
{
	sim_forget(w);
	free(w->map);
	memset(w, 0, sizeof(*w));
}

void
sim_kill_worker(struct sim_worker *w)
{
	sim_bury(w);
	if (w->conn)
		sim_hang_up(w->sim, w->conn);
	w->alive = false;
	sim_forget(w);
}

/* The child has what its parent made, all of it at zero. What bears the parent's name
 * the application makes anew. */
void
sim_fork(struct sim_worker *parent, struct sim_worker *child)
{
	begin(parent->sim, child);
	for (unsigned m = 0; m < SIM_OWN_A; m++)
		if (parent->child[m][0].state != SIM_NONE)
			sim_define(child, m);
}

/* ---- What the application does ------------------------------------------- */

static bool
is_taken(const struct sim_worker *w, uint32_t cell)
{
	for (unsigned m = 0; m < SIM_METRICS; m++)
		for (unsigned second = 0; second < 2; second++) {
			const struct sim_child *c = &w->child[m][second];

			if (c->state != SIM_NONE && cell >= c->cell &&
			    cell < c->cell + sim_cells[m])
				return true;
		}
	return false;
}

static uint32_t
take_cells(const struct sim_worker *w, uint32_t n)
{
	uint32_t run = 0, at = 0;

	while (run < n) {
		run = is_taken(w, at) ? 0 : run + 1;
		at++;
	}
	return at - n;
}

void
sim_define(struct sim_worker *w, enum sim_metric m)
{
	struct sim_child *c = &w->child[m][0];

	if (c->state != SIM_NONE)
		return;
	*c = (struct sim_child){ .cell = take_cells(w, sim_cells[m]) };
	c->state = SIM_UNDEFINED;
}

void
sim_remove(struct sim_worker *w, enum sim_metric m)
{
	struct sim_child *c = w->child[m];

	if (c[0].state == SIM_NONE || c[1].state != SIM_NONE)
		return;
	/* What is asked for is known by its place. */
	for (uint32_t i = 0; i < w->n_asked; i++)
		if (w->asked[i] == m)
			w->asked[i] |= 0x40;
	c[1] = c[0];
	c[1].removed = true;
	c[0] = (struct sim_child){ 0 };
}

void
sim_count(struct sim_worker *w, enum sim_metric m, double amount)
{
	struct sim_child *c = &w->child[m][0];
	int line = sim_line_of[m];

	if (c->state == SIM_NONE)
		return;
	w->sim->figures.counted++;
	if (m == SIM_HISTOGRAM) {
		int bucket = amount <= 0.1 ? 0 : amount <= 1 ? 1 : 2;

		c->value[bucket]++;
		c->value[3] += amount;
		w->counted[SIM_LINE_BUCKETS + bucket]++;
		w->counted[SIM_LINE_SUM] += amount;
		return;
	}
	c->value[0] += amount;
	if (line >= SIM_LINE_OWN)
		w->own_counted[line - SIM_LINE_OWN] += amount;
	else
		w->counted[line] += amount;
}

void
sim_set(struct sim_worker *w, enum sim_metric m, double value)
{
	struct sim_child *c = &w->child[m][0];

	c->value[0] = value;
	c->stamp_ns = w->sim->mono_ms * 1000000 + ++w->sim->ids % 1000000;
	c->set = true;
}

/* ---- What it says -------------------------------------------------------- */

static void
say(struct sim_worker *w)
{
	const struct session *session = w->session;
	struct sim_queue copy = { 0 };
	uint32_t at = w->n_history++ % SIM_HISTORY;

	w->awaits = ++w->sim->ids;
	if (!w->conn->served)
		return; /* nobody will ever read it */
	sim_put(&w->conn->requests, w->awaits, session->out, session->out_bytes);
	sim_put(&copy, w->awaits, session->out, session->out_bytes);
	free(w->history[at]);
	w->history[at] = sim_take(&copy);
}

void
sim_hello(struct sim_worker *w)
{
	uint8_t random[MESSAGE_SID_BYTES];

	for (int i = 0; i < 2; i++)
		wire_store_u64(random + 8 * i, sim_random(w->sim));
	w->conn = sim_connect(w->sim, w->process);
	session_hello(w->session, random, "", "0.1.0");
	say(w);
}

bool
sim_flush(struct sim_worker *w, bool ping)
{
	struct session_wish wish = { .update = true, .ping = ping, .bye = w->wants_bye };

	if (w->conn == NULL || !session_next(w->session, &wish, &w->source))
		return false;
	say(w);
	return true;
}

void
sim_give_up(struct sim_worker *w)
{
	session_lost(w->session);
	sim_hang_up(w->sim, w->conn);
	w->awaits = 0;
}

/* ---- What it is told ----------------------------------------------------- */

/* What the daemon is taken to have of a child's cell. */
static double
believed(const struct sim_worker *w, const struct sim_child *c, uint32_t i)
{
	const struct session *session = w->session;

	return session->base[c->cell + i] + wire_double(session->acked[c->cell + i]);
}

struct belief {
	double of[SIM_METRICS][SIM_CELLS];
};

static void
believe(const struct sim_worker *w, struct belief *b)
{
	for (unsigned m = 0; m < SIM_METRICS; m++)
		for (uint32_t i = 0; i < sim_cells[m]; i++)
			b->of[m][i] =
			    sim_line_of[m] < 0 || w->child[m][0].state == SIM_NONE
				? 0
				: believed(w, &w->child[m][0], i);
}

/* The daemon has forgotten the session: what was in flight may be missing for ever. */
static void
allow(struct sim_worker *w, const struct belief *before)
{
	struct belief after;

	believe(w, &after);
	for (unsigned m = 0; m < SIM_METRICS; m++)
		for (uint32_t i = 0; i < sim_cells[m]; i++) {
			double more = after.of[m][i] - before->of[m][i];
			int line = sim_line_of[m];

			if (line >= SIM_LINE_OWN)
				line += 2 * (int)w->process;
			if (more > 0)
				w->sim->line[line + (int)i].maybe += more;
		}
}

/* Nobody living is forgotten while there is room to remember. */
static void
must_be_known(struct sim_worker *w, uint8_t answer)
{
	struct sim *s = w->sim;
	bool unknown = answer == MESSAGE_EXPIRED || answer == MESSAGE_STALE;

	if (unknown && !w->wants_bye && s->daemon->folded_memory == 0 &&
	    !s->failed_once && w->session->has_store &&
	    w->session->base_store == s->daemon->store)
		sim_fail(s, "process %u was forgotten", w->process);
}

static void
end_well(struct sim_worker *w)
{
	sim_note(w->sim, "process ends", w->process, 0);
	sim_kill_worker(w);
}

bool
sim_answer(struct sim_worker *w)
{
	struct sim_packet *p = w->conn ? sim_take(&w->conn->replies) : NULL;
	enum session_verdict verdict;
	struct belief before;
	uint64_t lost = w->session ? w->session->lost : 0;
	bool bye;

	if (p == NULL)
		return false;
	if (p->id != w->awaits) {
		free(p); /* the answer to another copy of the request came first */
		return true;
	}
	w->awaits = 0;
	w->sim->figures.answers[p->data[5] & 0xf]++;
	must_be_known(w, p->data[5]);
	bye = w->session->state == SESSION_WAIT && w->session->asked == MESSAGE_BYE;
	believe(w, &before);
	verdict = session_reply(w->session, p->data, p->bytes, &w->source);
	w->left |= p->data[5] == MESSAGE_LIVE && verdict == SESSION_AGAIN;
	free(p);
	if (w->session->lost != lost) {
		w->sim->figures.missed++;
		allow(w, &before);
	}
	if (bye)
		end_well(w);
	else if (verdict != SESSION_OK)
		sim_hang_up(w->sim, w->conn);
	return true;
}
