/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "program.h"

#define ID_BYTES   4
#define KEEP_BYTES 65536U /* a reply buffer above this is given back */
#define STEP_BYTES 65536U /* memory is taken as bytes come, not as a length promises */

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == TRANSPORT_PATH_BYTES,
    "the longest path");

void
transport_init(struct transport *t, pthread_mutex_t *lock, uint32_t random)
{
	memset(t, 0, sizeof(*t));
	t->fd = -1;
	t->lock = lock;
	t->request_id = random;
}

void
transport_free(struct transport *t)
{
	transport_close(t);
	free(t->in);
	t->in = NULL;
}

static void
forget(struct transport *t)
{
	t->fd = -1;
	t->waiting = t->greeted = t->framed = t->may_read = false;
	t->ahead_at = t->ahead_end = 0;
	t->head_bytes = t->head_sent = 0;
	t->payload = NULL;
	t->payload_bytes = t->payload_sent = 0;
	t->in_head_bytes = t->in_bytes = t->in_want = 0;
}

void
transport_abandon(struct transport *t)
{
	if (t->fd >= 0)
		close(t->fd);
	forget(t);
}

void
transport_close(struct transport *t)
{
	pthread_mutex_lock(t->lock);
	transport_abandon(t);
	pthread_mutex_unlock(t->lock);
}

int
transport_open(struct transport *t, const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int error = 0;

	memcpy(to.sun_path, path, strlen(path) + 1);
	pthread_mutex_lock(t->lock);
	transport_abandon(t);
	t->fd = program_keep_off(
	    socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	/* A Unix socket connects at once or not at all. */
	if (t->fd < 0 || connect(t->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		error = errno;
		transport_abandon(t);
	}
	pthread_mutex_unlock(t->lock);
	if (error == 0) {
		sp_put_header(t->head, SP_REQ);
		t->head_bytes = SP_HEADER_BYTES;
	}
	return error;
}

void
transport_send(struct transport *t, const uint8_t *payload, size_t bytes)
{
	/* The first request goes out behind our header, without waiting for the peer's.
	 */
	if (t->head_sent == t->head_bytes)
		t->head_bytes = t->head_sent = 0;
	sp_put_frame(t->head + t->head_bytes, ID_BYTES + bytes);
	sp_put_request_id(t->head + t->head_bytes + SP_FRAME_BYTES, ++t->request_id);
	t->head_bytes += SP_FRAME_BYTES + ID_BYTES;
	t->payload = payload;
	t->payload_bytes = bytes;
	t->payload_sent = 0;
	t->waiting = true;
}

bool
transport_wants_to_write(const struct transport *t)
{
	return t->head_sent < t->head_bytes || t->payload_sent < t->payload_bytes;
}

/* Bytes moved, 0 for "not now", -1 for an end. */
static ssize_t
moved(ssize_t n, bool reading)
{
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	return n == 0 && !reading ? 0 : -1;
}

static bool
write_some(struct transport *t)
{
	while (transport_wants_to_write(t)) {
		struct iovec part[2] = {
			{ t->head + t->head_sent, t->head_bytes - t->head_sent },
			{ (void *)(uintptr_t)(t->payload + t->payload_sent),
			    t->payload_bytes - t->payload_sent },
		};
		bool head = part[0].iov_len > 0;
		struct msghdr m = { .msg_iov = head ? part : part + 1,
			.msg_iovlen = head && part[1].iov_len ? 2 : 1 };
		ssize_t n = moved(sendmsg(t->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT), false);
		size_t sent = (size_t)n, of_head;

		if (n <= 0)
			return n == 0;
		of_head = sent < part[0].iov_len ? sent : part[0].iov_len;
		t->head_sent += of_head;
		t->payload_sent += sent - of_head;
	}
	return true;
}

/* As recv(), and what is asked for may have been read before. */
static ssize_t
fetch(struct transport *t, uint8_t *to, size_t want)
{
	size_t room = want > sizeof(t->ahead) ? want : sizeof(t->ahead), n;

	if (t->ahead_at == t->ahead_end) {
		/* No control data: descriptors that a peer passes are not ours. */
		ssize_t got =
		    recv(t->fd, room == want ? to : t->ahead, room, MSG_DONTWAIT);

		t->may_read = got == (ssize_t)room;
		if (got <= 0 || room == want)
			return got;
		t->ahead_at = 0;
		t->ahead_end = (size_t)got;
	}
	n = t->ahead_end - t->ahead_at;
	n = n < want ? n : want;
	memcpy(to, t->ahead + t->ahead_at, n);
	t->ahead_at += n;
	return (ssize_t)n;
}

/* Read towards want bytes; false at an end. */
static bool
read_some(struct transport *t, uint8_t *to, size_t *have, size_t want, bool *ret_more)
{
	ssize_t n;

	*ret_more = false;
	if (*have == want)
		return true;
	n = moved(fetch(t, to + *have, want - *have), true);
	if (n <= 0)
		return n == 0;
	*have += (size_t)n;
	*ret_more = true;
	return true;
}

static bool
take_head(struct transport *t)
{
	uint64_t bytes;

	if (!t->greeted) {
		t->greeted = true;
		t->in_head_bytes = 0;
		return sp_get_header(t->in_head) == SP_REP;
	}
	/* Only an answer to what was asked makes sense. */
	if (!t->waiting || transport_wants_to_write(t) ||
	    sp_get_frame(t->in_head, &bytes) != 0 || bytes < ID_BYTES ||
	    bytes > t->reply_max + ID_BYTES)
		return false;
	t->framed = true;
	t->in_bytes = 0;
	t->in_want = (size_t)bytes;
	return true;
}

static bool
make_room(struct transport *t)
{
	size_t room = t->in_bytes + STEP_BYTES;
	uint8_t *in;

	if (t->in_bytes < t->in_room && (t->in_room <= KEEP_BYTES || t->in_bytes > 0))
		return true;
	if (room < t->in_bytes * 2)
		room = t->in_bytes * 2;
	in = realloc(t->in, room);
	if (!in)
		return false;
	t->in = in;
	t->in_room = room;
	return true;
}

/* One step of reading: false when broken. */
static bool
read_step(struct transport *t, bool *ret_more)
{
	size_t want = t->greeted ? SP_FRAME_BYTES : SP_HEADER_BYTES;
	size_t room;

	if (!t->framed) {
		if (!read_some(t, t->in_head, &t->in_head_bytes, want, ret_more))
			return false;
		return t->in_head_bytes < want || take_head(t);
	}
	if (!make_room(t))
		return false;
	room = t->in_room < t->in_want ? t->in_room : t->in_want;
	return read_some(t, t->in, &t->in_bytes, room, ret_more);
}

static bool
is_ours(const struct transport *t)
{
	uint8_t id[ID_BYTES];

	sp_put_request_id(id, t->request_id);
	return memcmp(t->in, id, ID_BYTES) == 0;
}

enum transport_event
transport_pump(struct transport *t)
{
	bool more = true;

	if (!write_some(t))
		return TRANSPORT_BROKEN;
	while (more && (t->may_read || t->ahead_at < t->ahead_end)) {
		if (!read_step(t, &more))
			return TRANSPORT_BROKEN;
		if (!t->framed || t->in_bytes < t->in_want)
			continue;
		t->framed = false;
		t->in_head_bytes = 0;
		t->waiting = false;
		return is_ours(t) ? TRANSPORT_REPLY : TRANSPORT_BROKEN;
	}
	return TRANSPORT_NOTHING;
}

const uint8_t *
transport_reply(const struct transport *t, size_t *ret_bytes)
{
	*ret_bytes = t->in_want - ID_BYTES;
	return t->in + ID_BYTES;
}
