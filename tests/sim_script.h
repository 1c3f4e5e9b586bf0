/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_script.h - a world that does what a test says, event by event.
 *
 * Two workers, w and v, that nothing has happened to. A rule of the world that is broken
 * ends the test.
 */
#ifndef SIM_SCRIPT_H
#define SIM_SCRIPT_H

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"
#include "sim_inside.h"

static struct sim *s;
static struct sim_worker *w, *v;

/* The world has not failed. */
static inline void
script_well(void)
{
	ck_assert_msg(sim_check(s), "%s", s->failed);
}

static inline void
script_begin(uint32_t folded_memory)
{
	s = sim_new(1, 0, folded_memory);
	w = &s->worker[0];
	v = &s->worker[1];
	ck_assert(sim_worker_start(s, w) && sim_worker_start(s, v));
}

static inline void
script_end(void)
{
	sim_free(s);
}

/* ---- Single events --------------------------------------------------------- */

static inline void
script_send(struct sim_worker *from)
{
	ck_assert(sim_flush(from, false));
}

static inline void
script_read(struct sim_worker *from)
{
	ck_assert(sim_serve(s->daemon, from->conn));
	script_well();
}

static inline void
script_turn(void)
{
	ck_assert(sim_turn(s->daemon));
	script_well();
}

static inline void
script_hear(struct sim_worker *to)
{
	ck_assert(sim_answer(to));
	script_well();
}

static inline void
script_pass(uint64_t ms)
{
	ck_assert(sim_pass(s->daemon, ms));
	script_turn();
}

/* Its last request comes once more. */
static inline void
script_again(struct sim_worker *from, struct sim_conn *over)
{
	const struct sim_packet *p = from->history[(from->n_history - 1) % SIM_HISTORY];

	sim_put(&over->requests, p->id, p->data, p->bytes);
}

/* All that it has said comes once more, but its HELLOs. */
static inline void
script_all_again(struct sim_worker *from, struct sim_conn *over)
{
	uint32_t n = from->n_history;

	for (uint32_t i = n > SIM_HISTORY ? n - SIM_HISTORY : 0; i < n; i++) {
		const struct sim_packet *p = from->history[i % SIM_HISTORY];

		if (p->data[5] != MESSAGE_HELLO)
			sim_put(&over->requests, p->id, p->data, p->bytes);
	}
}

/* ---- Several ----------------------------------------------------------------- */

/* A request and its answer. */
static inline void
script_exchange(struct sim_worker *from)
{
	script_read(from);
	script_turn();
	script_hear(from);
}

static inline void
script_hello_gets(struct sim_worker *from, enum message_type answer)
{
	sim_hello(from);
	script_read(from);
	script_turn();
	ck_assert_ptr_nonnull(from->conn->replies.first);
	ck_assert_int_eq(from->conn->replies.first->data[5], answer);
	script_hear(from);
}

static inline void
script_hello(struct sim_worker *from)
{
	sim_hello(from);
	script_exchange(from);
}

/* It says all that it has to say. */
static inline void
script_quiet(struct sim_worker *from)
{
	for (int i = 0; !from->conn || !from->conn->served || !sim_is_quiet(from); i++) {
		ck_assert_int_lt(i, 100);
		if (from->conn && !from->conn->served)
			sim_give_up(from);
		if (from->conn == NULL)
			script_hello(from);
		else if (sim_flush(from, false))
			script_exchange(from);
	}
}

/* Connected, and all defined. */
static inline void
script_ready(struct sim_worker *from)
{
	script_quiet(from);
}

static inline void
script_count(struct sim_worker *from, enum sim_metric m, double amount)
{
	sim_count(from, m, amount);
	script_quiet(from);
}

/* NAN: it is not there. */
static inline void
script_total(int line, double must_be)
{
	double total;

	script_well();
	total = s->line[line].total;
	ck_assert_msg(isnan(must_be) ? isnan(total) : total == must_be,
	    "line %d is %.17g and should be %.17g", line, total, must_be);
}

static inline void
script_settled(int line, double must_be)
{
	ck_assert_msg(sim_settle(s), "%s", s->failed);
	script_total(line, must_be);
}

/* All sessions, and what is known of them. */
static inline void
script_fold_and_forget(void)
{
	struct sim_worker *x = &s->worker[2];

	script_pass(SIM_LEASE_MS);
	ck_assert(sim_worker_start(s, x));
	script_hello(x);
	script_pass(SIM_LEASE_MS);
	ck_assert_uint_eq(sim_sessions(s->daemon->apply).live, 0);
}

#endif /* SIM_SCRIPT_H */
