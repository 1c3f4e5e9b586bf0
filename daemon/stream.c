/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEPT_BYTES 4096 /* of memory, while there is nothing in it */

static void
empty(struct strbuf *b)
{
	if (b->room > KEPT_BYTES)
		strbuf_free(b);
	strbuf_reset(b);
}

/* The little that is in much memory is moved to little memory, if there is some. */
static void
shrink(struct strbuf *b)
{
	struct strbuf small = STRBUF_EMPTY;

	strbuf_add(&small, b->at, b->bytes);
	if (small.failed)
		return;
	free(b->at);
	*b = small;
}

/* Forget the first bytes. */
static void
cut(struct strbuf *b, size_t n)
{
	b->bytes -= n;
	if (b->bytes > 0 && n > 0)
		memmove(b->at, b->at + n, b->bytes);
	if (b->bytes == 0)
		empty(b);
	else if (b->room > KEPT_BYTES && b->bytes < b->room / 8)
		shrink(b);
}

int
stream_open(struct stream *s, struct event_base *base, int fd,
    event_callback_fn on_readable, event_callback_fn on_writable, void *arg)
{
	*s = (struct stream){ .fd = fd };
	s->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, arg);
	s->writable = event_new(base, fd, EV_WRITE, on_writable, arg);
	if (s->readable == NULL || s->writable == NULL)
		return -1;
	return event_add(s->readable, NULL);
}

void
stream_close(struct stream *s)
{
	if (s->readable)
		event_free(s->readable);
	if (s->writable)
		event_free(s->writable);
	if (s->fd >= 0)
		close(s->fd);
	strbuf_free(&s->in);
	strbuf_free(&s->out);
	*s = (struct stream){ .fd = -1 };
}

void
stream_pause(struct stream *s)
{
	s->paused = true;
	event_del(s->readable);
}

int
stream_resume(struct stream *s)
{
	s->paused = false;
	return event_add(s->readable, NULL);
}

/* ---- In ---------------------------------------------------------------- */

struct stream_view
stream_kept(const struct stream *s)
{
	return (struct stream_view){ (const uint8_t *)s->in.at, s->in.bytes };
}

int
stream_read(struct stream *s, const struct stream_room *room, struct stream_view *ret)
{
	/* No control data: descriptors that a peer passes are not ours. */
	ssize_t n = recv(s->fd, room->at, room->bytes, MSG_DONTWAIT);

	*ret = stream_kept(s);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	if (n <= 0)
		return -1;
	if (s->in.bytes > 0) {
		strbuf_add(&s->in, room->at, (size_t)n);
		*ret = stream_kept(s);
		return s->in.failed ? -1 : (int)n;
	}
	*ret = (struct stream_view){ room->at, (size_t)n };
	return (int)n;
}

bool
stream_keep(struct stream *s, struct stream_view view, size_t taken)
{
	if (s->in.bytes > 0)
		cut(&s->in, taken);
	else if (taken < view.bytes)
		strbuf_add(&s->in, view.at + taken, view.bytes - taken);
	return !s->in.failed;
}

/* ---- Out --------------------------------------------------------------- */

size_t
stream_queued(const struct stream *s)
{
	return s->out.bytes - s->sent;
}

static size_t
held(const struct strbuf *b)
{
	return b->room > KEPT_BYTES ? b->room : 0;
}

size_t
stream_held(const struct stream *s)
{
	return held(&s->in) + held(&s->out);
}

bool
stream_put(struct stream *s, const struct stream_view *part, size_t n)
{
	size_t all = 0;

	/* What has gone makes room, once it is worth moving the rest. */
	if (s->sent > s->out.bytes / 2) {
		cut(&s->out, s->sent);
		s->released -= s->sent;
		s->sent = 0;
	}
	for (size_t i = 0; i < n; i++)
		all += part[i].bytes;
	/* At once: growing part by part would take up to twice as much. */
	strbuf_reserve(&s->out, all);
	for (size_t i = 0; i < n; i++)
		strbuf_add(&s->out, part[i].at, part[i].bytes);
	return !s->out.failed;
}

int
stream_send(struct stream *s)
{
	while (s->sent < s->released) {
		ssize_t n = send(s->fd, s->out.at + s->sent, s->released - s->sent,
		    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return -1;
		if (n < 0)
			return event_add(s->writable, NULL);
		s->sent += (size_t)n;
	}
	if (s->sent == s->out.bytes) {
		empty(&s->out);
		s->sent = s->released = 0;
	}
	return 0;
}

int
stream_release(struct stream *s)
{
	s->released = s->out.bytes;
	/* What waits for the socket already is sent when that says so. */
	return event_pending(s->writable, EV_WRITE, NULL) ? 0 : stream_send(s);
}
