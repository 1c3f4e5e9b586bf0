/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest_rig.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST_TURNS 1000 /* a turn may be over early, where all is slow */
#define GIVE_UP_S  20

struct ingest_options
ingest_rig_options(void)
{
	return (struct ingest_options){ .connections = 10,
		.handshake_ms = 10000,
		.idle_ms = 10000,
		.frame_ms = 10000,
		.message_bytes = 1 << 20,
		.queue_bytes = 1 << 20,
		.buffered_bytes = 64 << 20 };
}

void
ingest_rig_start(struct ingest_rig *r, const struct ingest_options *given)
{
	struct ingest_options options = *given;

	*r = (struct ingest_rig){ .address.sun_family = AF_UNIX,
		.address_bytes = sizeof(r->address) };
	r->t = talk_new(NULL, NULL);
	r->base = event_base_new();
	options.listen = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(options.listen, (struct sockaddr *)&r->address,
			     sizeof(r->address.sun_family)),
	    0);
	ck_assert_int_eq(getsockname(options.listen, (struct sockaddr *)&r->address,
			     &r->address_bytes),
	    0);
	ck_assert_int_eq(listen(options.listen, 1000), 0);
	r->in =
	    ingest_new(&options, r->base, &r->now, r->t->apply, r->t->self, r->t->log);
	ck_assert_ptr_nonnull(r->in);
}

void
ingest_rig_stop(struct ingest_rig *r)
{
	ingest_free(r->in);
	event_base_free(r->base);
	talk_free(r->t);
}

void
ingest_rig_pass(struct ingest_rig *r)
{
	event_base_loop(r->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

void
ingest_rig_turn(struct ingest_rig *r)
{
	ingest_rig_pass(r);
	ingest_turn(r->in);
	ingest_release(r->in);
	turn_end(&r->now);
}

int
ingest_rig_connect(const struct ingest_rig *r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (connect(fd, (const struct sockaddr *)&r->address, r->address_bytes) == 0)
		return fd;
	close(fd);
	return -1;
}

int
ingest_rig_join(struct ingest_rig *r, enum sp_protocol protocol)
{
	int fd = ingest_rig_connect(r);
	uint8_t header[SP_HEADER_BYTES];
	ssize_t n = -1;

	ck_assert_int_ge(fd, 0);
	sp_put_header(header, protocol);
	ck_assert_int_eq(write(fd, header, sizeof(header)), sizeof(header));
	for (int i = 0; i < MOST_TURNS && n < 0; i++) {
		ingest_rig_turn(r);
		n = read(fd, header, sizeof(header));
	}
	ck_assert_int_eq(n, sizeof(header));
	return fd;
}

bool
ingest_rig_ask(int fd, const void *payload, size_t bytes)
{
	static uint32_t number; /* one that was there before would be a repetition */
	size_t n = SP_FRAME_BYTES + 4 + bytes;
	uint8_t *frame = malloc(n);
	bool sent;

	sp_put_frame(frame, 4 + bytes);
	sp_put_request_id(frame + SP_FRAME_BYTES, ++number);
	memcpy(frame + SP_FRAME_BYTES + 4, payload, bytes);
	sent = send(fd, frame, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
	free(frame);
	return sent;
}

long
ingest_rig_take(int fd)
{
	static char bytes[1 << 20];
	long all = 0;
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		all += n;
	if (all == 0 && (n == 0 || errno != EAGAIN))
		return -1;
	return all;
}

void
ingest_rig_settle(struct ingest_rig *r)
{
	bool quiet = false;

	for (int i = 0; i < MOST_TURNS && !quiet; i++) {
		turn_end(&r->now);
		ingest_rig_pass(r);
		ingest_turn(r->in);
		/* Whatever is called asks for the time first. */
		quiet = r->now.began_ns == 0 && !ingest_is_behind(r->in);
		ingest_release(r->in);
	}
	turn_end(&r->now);
	ck_assert(quiet);
}

bool
ingest_rig_is_served(struct ingest_rig *r, int fd)
{
	static const char add_one[] =
	    "{\"metrics\":[{\"name\":\"n\",\"type\":\"counter\",\"inc\":1}]}";
	uint64_t began_ns = turn_clock_ns();
	long n = 0;

	if (!ingest_rig_ask(fd, add_one, sizeof(add_one) - 1))
		return false;
	while (n == 0 && turn_clock_ns() - began_ns < GIVE_UP_S * 1000000000U) {
		ingest_rig_turn(r);
		n = ingest_rig_take(fd);
	}
	return n > 0;
}

bool
ingest_rig_is_closed(struct ingest_rig *r, int fd)
{
	ingest_rig_settle(r);
	return ingest_rig_take(fd) < 0;
}

double
ingest_rig_closed(const struct ingest_rig *r, enum self_closed cause)
{
	size_t series = SELF_SOCKET_INGEST * SELF_CLOSED_END + (size_t)cause;

	return *self_cells(r->t->self, SELF_CONNECTIONS_CLOSED, series);
}

double
ingest_rig_buffered(const struct ingest_rig *r)
{
	return *self_cells(r->t->self, SELF_BUFFERED_BYTES, SELF_SOCKET_INGEST);
}
