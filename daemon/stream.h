/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - the bytes of one connection: what has come and was not taken, and what is to
 * go.
 *
 * What is read goes to memory that all streams of an owner share, and is taken there;
 * only the beginning of something that has yet to come whole is kept by the stream
 * itself. What is put goes nowhere until it is released, and then at once, as far as the
 * socket takes it; the rest when the socket is writable. One thread, that of the
 * event_base.
 */
#ifndef STREAM_H
#define STREAM_H

#include <event2/event.h>

#include "strbuf.h"

struct stream {
	int fd;	     /* -1: closed */
	bool paused; /* it is not read */
	struct event *readable, *writable;
	struct strbuf in;  /* what was not taken when it came */
	struct strbuf out; /* what has yet to go */
	size_t sent;	   /* bytes of out that have gone */
	size_t released;   /* bytes of out that may go */
};

/* Memory for what is read: bytes is how much is read at once. */
struct stream_room {
	uint8_t *at;
	size_t bytes;
};

struct stream_view {
	const uint8_t *at;
	size_t bytes;
};

/*
 * Read fd, a socket that does not block, and call on_readable for what comes; on_writable
 * when some of what is released may go. Both are called with fd, what and arg, as
 * libevent does. fd is the stream's from now on. 0, or -1 when memory is out, and then
 * stream_close() is still to be called.
 */
int stream_open(struct stream *s, struct event_base *base, int fd,
    event_callback_fn on_readable, event_callback_fn on_writable, void *arg);
void stream_close(struct stream *s);
/* Read it no more, or again. 0, or -1 when memory is out: it is not read. */
void stream_pause(struct stream *s);
int stream_resume(struct stream *s);

/*
 * Read once into room. What is there now is in *ret, until the next read of any stream
 * that has the room: to be taken, and the rest to be kept. Bytes that were read; 0: none
 * are there now; -1: the end, or memory is out.
 */
int stream_read(
    struct stream *s, const struct stream_room *room, struct stream_view *ret);
/* The same of what was kept, without reading. */
struct stream_view stream_kept(const struct stream *s);
/* Of a view, all but the first bytes is for later. False when memory is out. */
bool stream_keep(struct stream *s, struct stream_view view, size_t taken);

/* Append to what is to go: n parts. False when memory is out. */
bool stream_put(struct stream *s, const struct stream_view *part, size_t n);
/* All that was put may go, and what the socket takes goes now. -1: as stream_send(). */
int stream_release(struct stream *s);
/* The socket is writable: what it takes of what may go. -1: the peer has gone, or memory
 * is out. */
int stream_send(struct stream *s);
/* Bytes that have yet to go. */
size_t stream_queued(const struct stream *s);
/* Bytes of memory that it has, but for the few that any stream may keep. */
size_t stream_held(const struct stream *s);

#endif /* STREAM_H */
