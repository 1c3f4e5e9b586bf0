/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport.h - the one socket of the library: nanomsg's REQ over IPC, as bytes.
 *
 * Non-blocking; the caller polls. One thread, but for transport_abandon(). Writes never
 * raise SIGPIPE, and the descriptor is closed on exec.
 */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sp.h"

#define TRANSPORT_PATH_BYTES  108
#define TRANSPORT_AHEAD_BYTES 64

struct transport {
	int fd; /* -1: not connected; changes under lock */
	pthread_mutex_t *lock;
	uint32_t request_id;
	bool waiting;  /* for a reply */
	bool may_read; /* the caller's: the socket may have something to read */

	/* to be sent: header if any, frame and id, then the caller's payload */
	uint8_t head[SP_HEADER_BYTES + SP_FRAME_BYTES + 4];
	size_t head_bytes, head_sent;
	const uint8_t *payload;
	size_t payload_bytes, payload_sent;

	/* what was read and not looked at: most replies are read whole at once */
	uint8_t ahead[TRANSPORT_AHEAD_BYTES];
	size_t ahead_at, ahead_end;

	/* what is being read: the peer's header, then a frame's head, then its payload */
	uint8_t in_head[SP_FRAME_BYTES];
	size_t in_head_bytes;
	bool greeted; /* the peer's header has come */
	bool framed;  /* a frame's head has come */
	size_t in_bytes, in_want, in_room;
	uint8_t *in;
	size_t reply_max; /* the longest reply that is taken */
};

enum transport_event {
	TRANSPORT_NOTHING,
	TRANSPORT_REPLY, /* transport_reply() has it */
	TRANSPORT_BROKEN /* closed by the peer, or it makes no sense */
};

/* fork() is kept out by lock wherever a descriptor is made or closed. */
void transport_init(struct transport *t, pthread_mutex_t *lock, uint32_t random);
void transport_free(struct transport *t);

/* 0, or an errno value: nobody listens at path, or no descriptor can be had. */
int transport_open(struct transport *t, const char *path);
void transport_close(struct transport *t);
/* In a forked child, under the lock: the descriptor is closed, the peer told nothing. */
void transport_abandon(struct transport *t);

/* Start to send a request. payload must stay as it is until the reply or the close. */
void transport_send(struct transport *t, const uint8_t *payload, size_t bytes);

/* True when it waits for room to write, beside something to read. */
bool transport_wants_to_write(const struct transport *t);
/* Write and read what can be, without waiting. Nothing is read until the caller has set
 * may_read, which is so until all was read that there was. */
enum transport_event transport_pump(struct transport *t);
/* The reply that came, without its backtrace; valid until the next pump. */
const uint8_t *transport_reply(const struct transport *t, size_t *ret_bytes);

#endif /* TRANSPORT_H */
