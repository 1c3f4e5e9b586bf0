/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sp.h"

#define HEAD_BYTES (SP_FRAME_BYTES + 4) /* a frame's, and the request's id */

static void
write_all(int fd, const uint8_t *at, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = send(fd, at, bytes, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err(1, "the daemon takes nothing");
		at += n;
		bytes -= (size_t)n;
	}
}

void
raw_connect(struct raw *r, const char *path, int protocol, size_t room)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	uint8_t head[SP_HEADER_BYTES];

	*r = (struct raw){ .room = HEAD_BYTES + room };
	r->out = malloc(r->room);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->out == NULL || r->fd < 0 ||
	    connect(r->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		err(1, "%s", path);
	sp_put_header(head, (enum sp_protocol)protocol);
	write_all(r->fd, head, sizeof(head));
	if (recv(r->fd, head, sizeof(head), MSG_WAITALL) != sizeof(head) ||
	    sp_get_header(head) != protocol + 1)
		errx(1, "nobody shakes hands");
}

void
raw_close(struct raw *r)
{
	close(r->fd);
	free(r->out);
	r->out = NULL;
}

struct wire_writer
raw_writer(struct raw *r)
{
	struct wire_writer w;

	wire_writer_init(&w, r->out + HEAD_BYTES, r->room - HEAD_BYTES);
	return w;
}

void
raw_send(struct raw *r, const struct wire_writer *w)
{
	if (w->failed)
		errx(1, "a message is longer than its room");
	sp_put_frame(r->out, 4 + w->bytes);
	sp_put_request_id(r->out + SP_FRAME_BYTES, ++r->request & 0x7fffffff);
	write_all(r->fd, r->out, HEAD_BYTES + w->bytes);
}

void
raw_send_text(struct raw *r, const char *text, bool is_push)
{
	struct wire_writer w = raw_writer(r);

	wire_put_bytes(&w, text, strlen(text));
	if (!is_push) {
		raw_send(r, &w);
		return;
	}
	sp_put_frame(r->out + 4, w.bytes);
	write_all(r->fd, r->out + 4, SP_FRAME_BYTES + w.bytes);
}

const uint8_t *
raw_reply(struct raw *r, bool wait, size_t *ret_bytes)
{
	uint64_t bytes = 0;

	for (;;) {
		ssize_t n;

		if (r->have >= SP_FRAME_BYTES) {
			if (sp_get_frame(r->in, &bytes) != 0 || bytes < 4 ||
			    bytes > sizeof(r->in) - SP_FRAME_BYTES)
				errx(1, "a reply is no frame, or too long");
			if (r->have >= SP_FRAME_BYTES + bytes)
				break;
		}
		n = recv(r->fd, r->in + r->have, sizeof(r->in) - r->have,
		    wait ? 0 : MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !wait && errno == EAGAIN)
			return NULL;
		if (n <= 0)
			errx(1, "the daemon has closed a connection");
		r->have += (size_t)n;
	}
	if (r->have != SP_FRAME_BYTES + bytes ||
	    sp_get_word(r->in + SP_FRAME_BYTES) != (0x80000000 | r->request))
		errx(1, "a reply is not to what was asked");
	r->have = 0;
	*ret_bytes = bytes - 4;
	return r->in + HEAD_BYTES;
}

bool
raw_ack(struct raw *r, bool wait)
{
	struct message m;
	size_t bytes;
	const uint8_t *reply = raw_reply(r, wait, &bytes);

	if (reply == NULL)
		return false;
	if (message_decode(&m, reply, bytes, NULL) != REASON_NONE ||
	    m.type != MESSAGE_ACK || m.count != 0)
		errx(1, "the answer is %s with %u refused: %.*s",
		    message_type_word(m.type), m.count, (int)m.text.bytes,
		    m.text.at ? m.text.at : "");
	return true;
}

void
raw_ping(struct raw *r)
{
	struct wire_writer w = raw_writer(r);

	message_put_ping(&w, r->ticket);
	raw_send(r, &w);
}

void
raw_hello(struct raw *r)
{
	struct message m = { .type = MESSAGE_HELLO, .version = wire_text("overload") };
	struct wire_writer w = raw_writer(r);
	const uint8_t *reply;
	size_t bytes;

	if (getentropy(m.sid, sizeof(m.sid)) != 0)
		err(1, "getentropy");
	message_put_hello(&w, &m);
	raw_send(r, &w);
	reply = raw_reply(r, true, &bytes);
	if (message_decode(&m, reply, bytes, NULL) != REASON_NONE ||
	    m.type != MESSAGE_NEW)
		errx(1, "no session: the answer is %s: %.*s", message_type_word(m.type),
		    (int)m.text.bytes, m.text.at ? m.text.at : "");
	r->ticket = m.ticket;
	r->lease_ms = m.lease_ms;
}
