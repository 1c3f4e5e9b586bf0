/* SPDX-License-Identifier: Apache-2.0 */
/* What all connections together may have: how many there are, and what they hold. */
#include <stdio.h>
#include <sys/ioctl.h>

#include "ingest_parts.h"

/* At connections, for one that makes room; the next time goes on behind them. */
#define LOOKS 64

/* ---- How many ------------------------------------------------------------ */

bool
ingest_count_user(struct connection *c)
{
	c->user = owners_add(&c->in->users, c->peer.uid);
	return c->user != 0;
}

void
ingest_count(struct ingest *in, int change)
{
	in->connections += (uint32_t)change;
	self_set(in->self, SELF_CONNECTIONS, 0, 0, in->connections);
}

void
ingest_touch(struct connection *c)
{
	c->touched_ms = turn_ms(c->in->turn);
	TAILQ_REMOVE(&c->in->open, c, among_all);
	TAILQ_INSERT_TAIL(&c->in->open, c, among_all);
}

/* What it has sent lies in its socket, and is about to be read. */
static bool
has_sent(const struct connection *c)
{
	int bytes = 0;

	return !c->stream.paused && ioctl(c->stream.fd, FIONREAD, &bytes) == 0 &&
	       bytes > 0;
}

/* A connection that can be done without, or NULL. */
static struct connection *
dispensable(struct ingest *in)
{
	uint64_t now_ms = turn_ms(in->turn);

	/* While nothing is read, nobody knows who is silent. */
	for (unsigned looks = 0; looks < LOOKS && !in->hold; looks++) {
		struct connection *c = TAILQ_FIRST(&in->open);

		if (c == NULL || now_ms - c->touched_ms < in->options.idle_ms)
			return NULL;
		if (!c->is_waiting && !has_sent(c) &&
		    !apply_has_worker(in->apply, &c->peer))
			return c;
		/* Looked at again when it has been silent for as long once more. */
		ingest_touch(c);
	}
	return NULL;
}

/* True if one has gone for another that comes. */
static bool
replace_one(struct ingest *in)
{
	struct connection *c = TAILQ_FIRST(&in->lingering);

	if (c) {
		connection_end(c);
		return true;
	}
	c = dispensable(in);
	if (c == NULL)
		return false;
	connection_refuse(c, REASON_LIMIT, SELF_CLOSED_IDLE,
	    "it was silent for %u ms, and another one wants its place "
	    "(ingest.connections)",
	    in->options.idle_ms);
	connection_end(c);
	return true;
}

static uint32_t
share_of(const struct ingest *in)
{
	uint64_t share =
	    (uint64_t)in->options.connections * in->options.uid_percent / 100;

	return share > 0 ? (uint32_t)share : 1;
}

bool
ingest_make_room(
    struct ingest *in, uid_t uid, char *why, size_t room, enum self_closed *ret_cause)
{
	const struct ingest_options *o = &in->options;

	if (o->uid_percent < 100 && owners_count(&in->users, uid) >= share_of(in)) {
		snprintf(why, room,
		    "its user has %u already (limits.uid_percent of "
		    "ingest.connections)",
		    owners_count(&in->users, uid));
		*ret_cause = SELF_CLOSED_SHARE;
		return false;
	}
	if (in->connections < o->connections && in->connections < o->descriptors)
		return true;
	/* More of them after a reload with less go as new ones come. */
	if (replace_one(in) && in->connections < o->connections &&
	    in->connections < o->descriptors)
		return true;
	if (o->descriptors < o->connections) {
		snprintf(why, room,
		    "there are %u already, and few descriptors (LimitNOFILE)",
		    in->connections);
		*ret_cause = SELF_CLOSED_DESCRIPTORS;
	} else {
		snprintf(why, room, "there are %u already (ingest.connections)",
		    in->connections);
		*ret_cause = SELF_CLOSED_FULL;
	}
	return false;
}

/* ---- What they hold ------------------------------------------------------- */

static void
leave_bulky(struct connection *c)
{
	if (c->is_bulky)
		TAILQ_REMOVE(&c->in->bulky, c, among_bulky);
	c->is_bulky = false;
}

void
ingest_account(struct connection *c, bool progress)
{
	struct ingest *in = c->in;
	uint64_t held = stream_held(&c->stream);

	if (held == 0 && c->buffered == 0)
		return;
	if (progress || held == 0)
		leave_bulky(c);
	if (held > 0 && !c->is_bulky) {
		TAILQ_INSERT_TAIL(&in->bulky, c, among_bulky);
		c->is_bulky = true;
	}
	in->buffered += held - c->buffered;
	c->buffered = held;
	self_set(
	    in->self, SELF_BUFFERED_BYTES, SELF_SOCKET_INGEST, 0, (double)in->buffered);
}

void
ingest_relieve(struct ingest *in)
{
	struct connection *c;

	while (in->buffered > in->options.buffered_bytes &&
	       (c = TAILQ_FIRST(&in->bulky)) != NULL) {
		connection_refuse(c, REASON_LIMIT, SELF_CLOSED_BUFFERED,
		    "all connections hold %llu bytes (ingest.buffered_bytes), and it has "
		    "kept %llu of them for longest",
		    (unsigned long long)in->buffered, (unsigned long long)c->buffered);
		connection_close(c);
	}
}
