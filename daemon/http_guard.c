/* SPDX-License-Identifier: Apache-2.0 */
/* Connections, and what each is waiting for. */
#include "http_guard_parts.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>

#define LOOKS 8192 /* at connections that evhttp may have freed, at once */

/* ---- Connections ------------------------------------------------------- */

static struct guarded **
bucket_of(struct http_guard *g, const struct bufferevent *stream)
{
	uint64_t h = (uint64_t)(uintptr_t)stream * 0x9e3779b97f4a7c15U;

	return &g->bucket[h >> 52 & (HTTP_GUARD_BUCKETS - 1)];
}

static void
enter(struct guarded *c, enum guarded_state state)
{
	struct http_guard *g = c->guard;

	TAILQ_REMOVE(&g->list[c->state], c, place);
	c->state = state;
	c->since_ms = turn_ms(g->turn);
	TAILQ_INSERT_TAIL(&g->list[state], c, place);
}

/*
 * More came, though evhttp has left too much of what was there: it is waiting for the end
 * of something without one. (A watermark would not do: with one, libevent calls evhttp
 * again and again without a pause as long as it takes nothing, and no turn ends.)
 */
static void
watch_full(struct guarded *c)
{
	if (c->full)
		return;
	c->full = true;
	TAILQ_INSERT_TAIL(&c->guard->overfull, c, full_place);
	event_active(c->guard->tick, EV_TIMEOUT, 0);
}

static void
unwatch_full(struct guarded *c)
{
	if (c->full)
		TAILQ_REMOVE(&c->guard->overfull, c, full_place);
	c->full = false;
}

/* Bytes came, or were taken. */
static void
on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct guarded *c = arg;

	if (info->n_added == 0)
		return;
	http_bytes_read(&c->bytes, input, info->n_added);
	if (c->state == GUARDED_QUIET)
		enter(c, GUARDED_ARRIVING);
	else if (c->state == GUARDED_ARRIVING &&
		 info->orig_size >= c->guard->options.read_bytes)
		watch_full(c);
}

/* evhttp itself refuses a request that it cannot read. */
static void
on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct guarded *c = arg;
	char head[10]; /* "HTTP/1.1 4": no 100 Continue */

	if (info->n_added == 0 || c->state == GUARDED_OWED || c->state == GUARDED_SENT ||
	    evbuffer_copyout(output, head, sizeof(head)) != sizeof(head) ||
	    head[9] == '1')
		return;
	self_closed(c->guard->self, SELF_SOCKET_HTTP, SELF_CLOSED_PROTOCOL);
	enter(c, GUARDED_SENT);
}

static bool
is_free(const struct guarded *c)
{
	bufferevent_event_cb event = NULL;

	bufferevent_getcb(c->stream, NULL, NULL, &event, NULL);
	return event == NULL;
}

struct guarded *
guarded_new(struct http_guard *g, struct event_base *base)
{
	struct guarded *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	/* The guard closes it: then no event of it is left when its number is used again.
	 */
	c->stream = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (c->stream == NULL ||
	    !evbuffer_add_cb(bufferevent_get_input(c->stream), on_input, c) ||
	    !evbuffer_add_cb(bufferevent_get_output(c->stream), on_output, c)) {
		if (c->stream)
			bufferevent_free(c->stream);
		free(c);
		return NULL;
	}
	bufferevent_incref(c->stream);
	c->guard = g;
	return c;
}

void
guarded_link(struct guarded *c)
{
	struct http_guard *g = c->guard;
	struct guarded **bucket = bucket_of(g, c->stream);

	c->next = *bucket;
	*bucket = c;
	c->since_ms = turn_ms(g->turn);
	TAILQ_INSERT_TAIL(&g->all, c, all);
	TAILQ_INSERT_TAIL(&g->list[GUARDED_QUIET], c, place);
}

void
guarded_release(struct guarded *c)
{
	struct http_guard *g = c->guard;
	struct guarded **at = bucket_of(g, c->stream);

	/* evhttp has ended it, for its client took nothing. */
	if (!c->ended && c->state == GUARDED_SENT &&
	    turn_ms(g->turn) - c->since_ms >= g->options.request_ms)
		self_closed(g->self, SELF_SOCKET_HTTP, SELF_CLOSED_SLOW);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	unwatch_full(c);
	TAILQ_REMOVE(&g->all, c, all);
	TAILQ_REMOVE(&g->list[c->state], c, place);
	g->count--;
	evbuffer_remove_cb(bufferevent_get_input(c->stream), on_input, c);
	evbuffer_remove_cb(bufferevent_get_output(c->stream), on_output, c);
	bufferevent_decref(c->stream);
	free(c);
}

/* evhttp takes this for its own time-out, and frees the connection. */
void
guarded_end(struct guarded *c, enum self_closed cause)
{
	unwatch_full(c);
	if (!is_free(c)) {
		c->ended = true;
		self_closed(c->guard->self, SELF_SOCKET_HTTP, cause);
		bufferevent_trigger_event(
		    c->stream, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0);
	}
	if (is_free(c))
		guarded_release(c);
}

void
http_guard_look(struct http_guard *g)
{
	struct guarded *c;
	uint32_t n = g->count < LOOKS ? g->count : LOOKS;

	for (; n > 0 && (c = TAILQ_FIRST(&g->all)) != NULL; n--) {
		if (is_free(c)) {
			guarded_release(c);
		} else {
			TAILQ_REMOVE(&g->all, c, all);
			TAILQ_INSERT_TAIL(&g->all, c, all);
		}
	}
}

/* ---- Their answers ------------------------------------------------------ */

struct guarded *
http_guard_request(struct http_guard *g, struct bufferevent *stream)
{
	struct guarded *c = *bucket_of(g, stream);

	while (c && c->stream != stream)
		c = c->next;
	if (c) {
		c->asked = true;
		enter(c, GUARDED_OWED);
	}
	return c;
}

void
http_guard_sent(struct guarded *c)
{
	if (c)
		enter(c, GUARDED_SENT);
}

void
http_guard_taken(struct guarded *c)
{
	if (c)
		enter(c, GUARDED_OWED);
}

void
http_guard_answered(struct guarded *c)
{
	size_t more;

	if (c == NULL)
		return;
	more = evbuffer_get_length(bufferevent_get_input(c->stream));
	enter(c, more > 0 ? GUARDED_ARRIVING : GUARDED_QUIET);
}

bool
http_guard_is_odd(const struct guarded *c)
{
	return c == NULL || c->bytes.odd;
}

bool
http_guard_is_answering(const struct http_guard *g)
{
	const struct guarded *c;

	TAILQ_FOREACH(c, &g->all, all)
	if ((c->state == GUARDED_OWED || c->state == GUARDED_SENT) && !is_free(c))
		return true;
	return false;
}

bool
http_guard_is_expecting(const struct http_guard *g)
{
	const struct guarded *c;

	TAILQ_FOREACH(c, &g->all, all)
	if ((c->state == GUARDED_ARRIVING || (c->state == GUARDED_QUIET && !c->asked)) &&
	    !is_free(c))
		return true;
	return false;
}
