/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Senders of messages in JSON: their counts are differences, so each message is sent
 * until it is answered, and is to be counted once. Some have an id; the others are known
 * by their request.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

static void
say(struct sim *s, struct sim_sender *from)
{
	char text[200], id[40] = "";
	uint32_t number = (uint32_t)(from - s->sender);
	int n;

	if (from->by_id)
		snprintf(id, sizeof(id), "\"id\":\"s%u-%llu\",", number,
		    (unsigned long long)from->number);
	n = snprintf(text, sizeof(text),
	    "{%s\"metrics\":[{\"name\":\"mj\",\"type\":\"counter\",\"inc\":%.0f}]}", id,
	    from->amount);
	if (from->conn == NULL) {
		/* A process that lives as long as the machine. */
		from->conn = sim_connect(s, 0);
		from->conn->peer.pid = (pid_t)(500 + number);
	}
	from->conn->peer.has_request = !from->plain;
	from->conn->peer.request = from->request;
	from->awaits = ++s->ids;
	sim_put(&from->conn->requests, from->awaits, text, (size_t)n);
}

void
sim_json_send(struct sim *s, struct sim_sender *from, bool by_id)
{
	from->number++;
	from->request = 0x80000000U + (uint32_t)++s->ids;
	from->amount = 1 + sim_below(s, 9);
	from->by_id = by_id;
	from->since_ms = s->mono_ms;
	s->json_sent += from->amount;
	say(s, from);
}

void
sim_json_again(struct sim *s, struct sim_sender *from)
{
	if (from->conn && (!from->conn->served || sim_chance(s, 3)))
		sim_hang_up(s, from->conn);
	say(s, from);
}

bool
sim_json_answer(struct sim *s, struct sim_sender *from)
{
	struct sim_packet *p = from->conn ? sim_take(&from->conn->replies) : NULL;
	bool ours;

	if (p == NULL)
		return false;
	/* An earlier copy's answer is one to the same message. */
	ours = p->id <= from->awaits && from->amount > 0;
	if (p->id == from->awaits && ours) {
		if (p->bytes != 11 || memcmp(p->data, "{\"ok\":true}", 11) != 0)
			sim_fail(s, "a message in JSON was refused: %.*s", (int)p->bytes,
			    (const char *)p->data);
		if (p->store == s->daemon->store)
			s->json_told += from->amount;
		from->amount = 0;
	}
	free(p);
	return true;
}
