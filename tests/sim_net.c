/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "sim.h"

struct sim_packet *
sim_put(struct sim_queue *q, uint64_t id, const void *data, size_t bytes)
{
	struct sim_packet *p = malloc(sizeof(*p) + bytes);

	if (p == NULL)
		abort();
	*p = (struct sim_packet){ .id = id, .bytes = bytes };
	memcpy(p->data, data, bytes);
	if (q->first == NULL)
		q->end = &q->first;
	*q->end = p;
	q->end = &p->next;
	q->n++;
	return p;
}

struct sim_packet *
sim_take(struct sim_queue *q)
{
	struct sim_packet *p = q->first;

	if (p == NULL)
		return NULL;
	q->first = p->next;
	q->n--;
	return p;
}

void
sim_clear(struct sim_queue *q)
{
	struct sim_packet *p;

	while ((p = sim_take(q)) != NULL)
		free(p);
}

struct sim_conn *
sim_connect(struct sim *s, uint32_t process)
{
	struct sim_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->process = process;
	c->open = c->served = true;
	c->peer = (struct apply_peer){ .connection = ++s->ids,
		.pid = (pid_t)(1000 + process),
		.uid = 1000,
		.process_start = process,
		.direct = true };
	c->next = s->conns;
	s->conns = c;
	s->n_conns++;
	return c;
}

void
sim_hang_up(struct sim *s, struct sim_conn *c)
{
	c->open = false;
	sim_clear(&c->replies);
	for (int i = 0; i < SIM_WORKERS; i++)
		if (s->worker[i].conn == c)
			s->worker[i].conn = NULL;
	for (int i = 0; i < SIM_SENDERS; i++)
		if (s->sender[i].conn == c)
			s->sender[i].conn = NULL;
}

void
sim_cut(struct sim *s, struct sim_conn *c)
{
	struct sim_daemon *d = s->daemon;

	if (c->served && d->up)
		apply_disconnect(d->apply, &c->peer, false, sim_daemon_ms(d));
	c->served = false;
	sim_clear(&c->requests);
	sim_clear(&c->held);
}

void
sim_sweep(struct sim *s)
{
	struct sim_conn **at = &s->conns, *c;

	while ((c = *at) != NULL) {
		if (c->open || c->served) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		s->n_conns--;
		sim_clear(&c->requests);
		sim_clear(&c->held);
		sim_clear(&c->replies);
		free(c);
	}
}

void
sim_free_conns(struct sim *s)
{
	for (struct sim_conn *c = s->conns; c; c = c->next)
		c->open = c->served = false;
	sim_sweep(s);
}
